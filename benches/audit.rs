//! The numbers of the transparency log, each beside what this machine can do at all in the same run: a disk that is asked
//! for more is slower, and only the ratio says anything about us. `make bench` runs it; `--quick` takes a few seconds. It
//! asserts that the work was done, and nothing about time.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a measurement that cannot be made ends; what was measured is printed"
)]

#[expect(dead_code, reason = "the store's tests need more of it")]
#[path = "../tests/store/entries.rs"]
mod entries;
#[expect(dead_code, reason = "the store's tests need more of it")]
#[path = "../tests/store/place.rs"]
mod place;

#[path = "audit/databases.rs"]
mod databases;
#[path = "audit/processor.rs"]
mod processor;
mod spread;

use std::{
    fs::File,
    io::Write as _,
    path::Path,
    time::{Duration, Instant},
};

use neuralops::{
    domain::{
        audit::{
            event::Event,
            record::{Actor, Fact, Method, Object, Record, RecordId, VERSION},
        },
        digest::Digest,
        reason::Reason,
    },
    ports::Entry,
};
use place::Place;
use spread::{Spread, goal, line, thousands};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// A record as the operator writes it, and the leaf it makes.
fn entry(number: u64) -> Entry {
    let uid = format!("3f0d2f6e-6b1c-4c53-9a53-{number:012x}");
    let id = RecordId::of(&["bench", &uid]);
    let actor = Actor {
        credential: None,
        groups: None,
        issuer: None,
        method: Method::Operator,
        subject: "neuralops-6d5f9c7b8-x2x4q".into(),
        uid: None,
    };
    let time = entries::second(1_700_000_000 + i64::try_from(number / 200).unwrap());
    let mut fact = Fact::new(id, Event::PlaybookAccepted, actor).outcome(Reason::Valid);
    fact.playbook_digest = Some(Digest::of(uid.as_bytes()));
    fact.object = Some(Object {
        generation: Some(7),
        kind: "Playbook".into(),
        name: "restart-checkout".into(),
        namespace: Some("shop".into()),
        uid: uid.as_str().into(),
    });
    let record = Record {
        v: VERSION,
        time,
        epoch: 1,
        late: None,
        fact,
    };
    Entry::of(&record, record.to_bytes().unwrap())
}

/// What no database can outdo that keeps what it acknowledges: 512 bytes more in a file, down to the disk.
fn disk(folder: &Path, lasting: Duration) -> Spread {
    let mut file = File::create(folder.join("limit")).unwrap();
    let mut took = Vec::new();
    let until = Instant::now() + lasting;
    while Instant::now() < until || took.len() < 100 {
        let began = Instant::now();
        file.write_all(&[7; 512]).unwrap();
        file.sync_data().unwrap();
        took.push(began.elapsed());
    }
    Spread::of(took)
}

fn disk_line(what: &str, disk: &Spread, ratio: &str) {
    let (rate, spread) = (thousands(disk.rate()), disk.percentiles(1e3));
    line(what, &format!("{rate}/s, {spread} ms"), ratio, "");
}

/// Leaves all over the tree, the same in every run.
fn scattered(proof: u64, size: u64) -> u64 {
    proof.wrapping_mul(0x9e37_79b9_7f4a_7c15) % size
}

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let lasting = Duration::from_secs(if quick { 1 } else { 10 });
    // Beside what was compiled: a folder for temporary files may lie in memory.
    let place = Place::Sqlite {
        dir: TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap(),
    };
    let file = place.file();
    let folder = file.parent().unwrap();
    let bytes = entry(0).body.len();
    println!("records of {bytes} bytes; a sync is the disk's limit, measured in the same folder");
    line("", "figure", "ratio to limit", "goal");
    let runtime = Runtime::new().unwrap();
    let before = disk(folder, lasting);
    disk_line("limit: 512 bytes more, and fdatasync", &before, "1");
    runtime.block_on(databases::measure("SQLite", &place, &before, lasting));
    match runtime.block_on(Place::postgres()) {
        Ok(place) => runtime.block_on(databases::measure("PostgreSQL", &place, &before, lasting)),
        Err(reason) => line("PostgreSQL", "not measured", "", reason),
    }
    // Whoever else uses the disk moves the limit: far from 1, the ratios above say little.
    let after = disk(folder, lasting);
    let moved = format!("{:.2}", after.rate() / before.rate());
    disk_line("limit: the same, at the end", &after, &moved);
    processor::measure();
}
