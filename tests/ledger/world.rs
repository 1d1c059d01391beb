//! What lies in the store and in the anchor, read past the operator, and what the operator has to make of it.

use std::collections::BTreeMap;

use neuralops::{
    adapters::store::{self, Mode},
    api::v1alpha1::AuditLogSpec,
    domain::audit::{
        checkpoint::Checkpoint,
        hash::Hash,
        record::{Record, Root, Standing},
        tree::Frontier,
    },
    ports::{Leaf, Log, LogNumber, SavedCheckpoint, Store},
};

use super::bed::Bed;

/// Read at once.
const PAGE: u32 = 1000;

/// What the operator has to make of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    Opens,
    /// With this reason.
    Refuses(&'static str),
}

/// What the store holds; nothing, if there is none.
#[derive(Default)]
pub struct Held {
    pub logs: Vec<Log>,
    pub leaves: BTreeMap<String, Vec<Leaf>>,
    pub published: BTreeMap<String, Vec<SavedCheckpoint>>,
    /// Somebody asks for a new origin.
    pub asked: bool,
}

impl Held {
    pub async fn read(bed: &Bed) -> Self {
        let url = bed.place.url().parse().expect("a URL");
        let Ok(store) = store::open(&url, Mode::Reader).await else {
            return Self::default();
        };
        let mut held = Self {
            logs: store.logs().await.expect("logs"),
            asked: !store.requests(1).await.expect("requests").is_empty(),
            ..Self::default()
        };
        for log in &held.logs {
            let leaves = leaves(store.as_ref(), log.number).await;
            held.leaves.insert(log.origin.clone(), leaves);
            let published = checkpoints(store.as_ref(), log.number).await;
            held.published.insert(log.origin.clone(), published);
        }
        held
    }

    /// The log that grows.
    pub fn current(&self) -> Option<&Log> {
        self.logs.iter().find(|log| log.current)
    }

    /// The hashes of a log's leaves.
    pub fn hashes(&self, origin: &str) -> Vec<Hash> {
        let leaves = self.leaves.get(origin).map_or(&[][..], Vec::as_slice);
        leaves
            .iter()
            .map(|leaf| Hash::of_leaf(&leaf.body))
            .collect()
    }

    /// Where the log that grows stands.
    pub fn standing(&self) -> Option<Standing> {
        self.current()
            .map(|log| standing(&log.origin, log.size, log.root))
    }

    /// Which logs the first leaf of this one names.
    pub fn names(&self, origin: &str) -> Vec<Standing> {
        let first = &self.leaves[origin][0];
        let record = Record::parse(&first.body).expect("a record");
        record.fact.logs
    }
}

pub fn standing(origin: &str, size: u64, root: Hash) -> Standing {
    Standing {
        origin: origin.into(),
        size,
        root: Root(root),
    }
}

/// What an anchor says.
pub fn anchored(anchor: &AuditLogSpec) -> Standing {
    let said = Checkpoint::read_unverified(&anchor.checkpoint).expect("a checkpoint");
    standing(&said.origin, said.size, said.root)
}

/// The root over the first of these.
pub fn root(hashes: &[Hash], size: u64) -> Option<Hash> {
    let first = hashes.get(..usize::try_from(size).ok()?)?;
    let mut tree = Frontier::empty();
    for hash in first {
        tree.push(*hash, |_, _| {});
    }
    Some(tree.root())
}

/// By the words of the design, not by the operator's code: the store must hold the log that the anchor names, at least as
/// long as the anchor says, with the anchor's root, and nothing may be published that is not anchored.
pub fn expected(anchor: Option<&AuditLogSpec>, held: &Held) -> Expected {
    let begun =
        |log: &&Log| anchor.is_some_and(|anchor| anchor.origin == log.origin && !log.current);
    let begun = held.logs.iter().find(begun);
    let newest = held.current().map_or(0, |current| current.number.0);
    let (anchor, current) = match (anchor, held.current()) {
        (None, None) => return Expected::Opens,
        _ if held.asked => return Expected::Opens,
        // Anchored, and its writer died before the store knew.
        _ if begun.is_some_and(|begun| begun.number.0 > newest) => return Expected::Opens,
        (None, Some(_)) => return Expected::Refuses("AnchorMissing"),
        (Some(_), None) => return Expected::Refuses("RolledBack"),
        (Some(anchor), Some(current)) => (anchor, current),
    };
    let said = anchored(anchor);
    if anchor.origin != current.origin {
        let followed = anchor
            .previous
            .iter()
            .any(|log| log.origin == current.origin);
        return Expected::Refuses(if followed {
            "RolledBack"
        } else {
            "StoreAltered"
        });
    }
    if current.size < said.size {
        return Expected::Refuses("RolledBack");
    }
    if root(&held.hashes(&current.origin), said.size) != Some(said.root.0) {
        return Expected::Refuses("StoreAltered");
    }
    let published = held.published[&current.origin].last();
    if published.is_some_and(|published| published.size > said.size) {
        return Expected::Refuses("AnchorAltered");
    }
    Expected::Opens
}

async fn leaves(store: &dyn Store, log: LogNumber) -> Vec<Leaf> {
    let mut all = Vec::new();
    loop {
        let page = store.leaves(log, all.len() as u64, PAGE).await;
        let page = page.expect("leaves");
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

async fn checkpoints(store: &dyn Store, log: LogNumber) -> Vec<SavedCheckpoint> {
    let mut all: Vec<SavedCheckpoint> = Vec::new();
    loop {
        let above = all.last().map_or(0, |last| last.size);
        let page = store.checkpoints(log, above, PAGE).await;
        let page = page.expect("checkpoints");
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}
