//! Leaves for the tests, each told by its number, and what a store must make of them.

use jiff::Timestamp;
use neuralops::{
    domain::audit::{
        event::Event,
        hash::Hash,
        record::{Payload, RecordId},
        tree::{Frontier, Position},
    },
    ports::{Entry, Epoch, LeafIndex, LogNumber, Store},
};

pub const ORIGIN: &str = "neuralops.io/test/1";

pub fn second(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// The leaf with this number, and nothing beside it.
pub fn entry(number: u64) -> Entry {
    Entry {
        id: RecordId::of(&["entry", &number.to_string()]),
        body: format!("{{\"number\":{number}}}").into_bytes(),
        time: second(1_700_000_000 + i64::try_from(number).unwrap()),
        code: Event::PlaybookAccepted,
        actor: "neuralops-0".into(),
        object: None,
        playbook: None,
        payload: None,
        notice: None,
    }
}

pub fn entries(numbers: std::ops::Range<u64>) -> Vec<Entry> {
    numbers.map(entry).collect()
}

pub fn text(body: &str) -> Payload {
    Payload {
        salt: [7; 16],
        body: body.as_bytes().to_vec(),
    }
}

/// The tree over these bodies, and every hash that it stores.
pub fn tree(bodies: impl IntoIterator<Item = impl AsRef<[u8]>>) -> (Frontier, Vec<Hash>) {
    let mut frontier = Frontier::empty();
    let mut hashes = Vec::new();
    for body in bodies {
        frontier.push(Hash::of_leaf(body.as_ref()), |at: Position, hash| {
            assert_eq!(at, hashes.len() as u64);
            hashes.push(hash);
        });
    }
    (frontier, hashes)
}

/// The tree over the leaves with these numbers.
pub fn tree_of(numbers: std::ops::Range<u64>) -> (Frontier, Vec<Hash>) {
    tree(numbers.map(|number| entry(number).body))
}

pub fn at(log: LogNumber, index: u64) -> LeafIndex {
    LeafIndex { log, index }
}

/// Leads, with a log that grows.
pub async fn lead(store: &dyn Store) -> (Epoch, LogNumber) {
    let epoch = store.take_over().await.unwrap();
    let log = store.begin_log(epoch, ORIGIN).await.unwrap();
    store.promote(epoch, log.number).await.unwrap();
    (epoch, log.number)
}
