//! Floor 2: what one append adds, computed before anything is written and in the same way for both databases: where the
//! log ends, which entries are new, where they stand, which hashes come to be. No I/O.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;

use super::rows::damaged;
use crate::{
    domain::{
        audit::{
            hash::Hash,
            record::{Payload, RecordId},
            tree::{Frontier, Position, stored},
        },
        digest::Digest,
    },
    ports::{Appended, Entry, LeafIndex, Log, LogNumber, StoreError},
};

/// The right edge of a log.
pub(super) type Edge = (LogNumber, Frontier);

/// The right edge that is remembered, if it is that of the log as it stands now.
pub(super) fn remembered(log: &Log, known: Option<Edge>) -> Result<Option<Frontier>, StoreError> {
    let Some((_, known)) = known.filter(|(number, _)| *number == log.number) else {
        return Ok(None);
    };
    if known.size() < log.size {
        // Another leader came and went.
        return Ok(None);
    }
    if known.size() > log.size || known.root() != log.root {
        return Err(damaged(format!(
            "log {} had {} leaves under {} and has {} under {} now: it was put back to an earlier state, or altered",
            log.number.0,
            known.size(),
            known.root(),
            log.size,
            log.root
        )));
    }
    Ok(Some(known))
}

/// The right edge of the tree, if its root is the one that the log says.
pub(super) fn frontier(log: &Log, peaks: Vec<Hash>) -> Result<Frontier, StoreError> {
    let frontier = Frontier::load(log.size, peaks).ok_or_else(|| {
        damaged(format!(
            "log {} lacks hashes of its right edge",
            log.number.0
        ))
    })?;
    if frontier.root() != log.root {
        return Err(damaged(format!(
            "log {} has {} leaves and says that their root is {}, but its hashes give {}",
            log.number.0,
            log.size,
            log.root,
            frontier.root()
        )));
    }
    Ok(frontier)
}

/// Leaves that are put back stand in the log they are put back into, and in no other.
pub(super) fn at_home(log: LogNumber, appended: &[Appended]) -> Result<(), StoreError> {
    match appended.iter().find(|leaf| leaf.at.log != log) {
        None => Ok(()),
        Some(leaf) => Err(damaged(format!(
            "a leaf that belongs to log {} stands in log {} already",
            log.0, leaf.at.log.0
        ))),
    }
}

/// What one transaction writes.
pub(super) struct Batch {
    /// One answer for each entry, in their order.
    pub(super) appended: Vec<Appended>,
    /// Where the first new leaf stands; the others follow.
    pub(super) first: u64,
    /// The entries that are new, without their texts and notices.
    pub(super) leaves: Vec<Entry>,
    /// Their texts by their salted hashes, each once, and the last moment at which somebody needs it.
    pub(super) payloads: BTreeMap<Digest, (Payload, Timestamp)>,
    /// Their notices, with the leaves they come from.
    pub(super) notices: Vec<(u64, Vec<u8>)>,
    /// Where the first new hash stands; the others follow.
    pub(super) position: Position,
    /// The hashes that come to be.
    pub(super) hashes: Vec<Hash>,
    /// The tree with the new leaves.
    pub(super) frontier: Frontier,
}

/// Grows the tree by the entries whose ids do not stand anywhere yet, each once.
pub(super) fn grow(
    log: LogNumber,
    mut frontier: Frontier,
    mut standing: HashMap<RecordId, LeafIndex>,
    entries: Vec<Entry>,
) -> Batch {
    let first = frontier.size();
    let mut appended = Vec::with_capacity(entries.len());
    let mut leaves = Vec::with_capacity(entries.len());
    let mut hashes = Vec::with_capacity(2 * entries.len());
    let mut payloads = BTreeMap::new();
    let mut notices = Vec::new();
    for mut entry in entries {
        if let Some(at) = standing.get(&entry.id) {
            appended.push(Appended {
                at: *at,
                before: true,
            });
            continue;
        }
        let at = LeafIndex {
            log,
            index: frontier.size(),
        };
        // Positions count up without a gap, so that the first one names them all.
        frontier.push(Hash::of_leaf(&entry.body), |_, hash| hashes.push(hash));
        standing.insert(entry.id, at);
        appended.push(Appended { at, before: false });
        if let Some((payload, until)) = entry.payload.take() {
            let kept = payloads.entry(payload.digest()).or_insert((payload, until));
            kept.1 = kept.1.max(until);
        }
        notices.extend(entry.notice.take().map(|notice| (at.index, notice)));
        leaves.push(entry);
    }
    Batch {
        appended,
        first,
        leaves,
        payloads,
        notices,
        position: stored(first),
        hashes,
        frontier,
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::domain::audit::event::Event;

    fn entry(name: &str) -> Entry {
        Entry {
            id: RecordId::of(&[name]),
            body: name.as_bytes().to_vec(),
            time: Timestamp::UNIX_EPOCH,
            code: Event::LogOpened,
            actor: "test".into(),
            object: None,
            playbook: None,
            payload: None,
            notice: None,
        }
    }

    #[test]
    fn texts_and_notices_of_new_entries_come_along_once() {
        let second = |second| Timestamp::from_second(second).unwrap();
        let payload = Payload {
            salt: [1; 16],
            body: b"text".to_vec(),
        };
        let mut entries = ["a", "b", "c", "old"].map(entry).to_vec();
        for (entry, until) in entries.iter_mut().zip([5, 9, 7, 100]) {
            entry.payload = Some((payload.clone(), second(until)));
            entry.notice = Some(entry.body.clone());
        }
        entries[1].notice = None;
        let old = LeafIndex {
            log: LogNumber(1),
            index: 0,
        };
        let standing = HashMap::from([(RecordId::of(&["old"]), old)]);
        let batch = grow(LogNumber(1), Frontier::empty(), standing, entries);
        assert_eq!(
            batch.payloads,
            BTreeMap::from([(payload.digest(), (payload, second(9)))])
        );
        assert_eq!(batch.notices, [(0, b"a".to_vec()), (2, b"c".to_vec())]);
    }

    #[test]
    fn only_new_entries_grow_the_tree() {
        let log = LogNumber(2);
        let old = LeafIndex {
            log: LogNumber(1),
            index: 7,
        };
        let mut frontier = Frontier::empty();
        for leaf in ["x", "y", "z"] {
            frontier.push(Hash::of_leaf(leaf.as_bytes()), |_, _| {});
        }
        let mut expected = frontier.clone();
        let mut positions = Vec::new();
        for leaf in ["a", "c"] {
            expected.push(Hash::of_leaf(leaf.as_bytes()), |at, hash| {
                positions.push((at, hash));
            });
        }

        let standing = HashMap::from([(RecordId::of(&["b"]), old)]);
        let entries = ["a", "b", "a", "c"].map(entry).to_vec();
        let batch = grow(log, frontier, standing, entries);

        let at = |index, before| Appended {
            at: LeafIndex { log, index },
            before,
        };
        let known = Appended {
            at: old,
            before: true,
        };
        assert_eq!(
            batch.appended,
            [at(3, false), known, at(3, true), at(4, false)]
        );
        assert_eq!(batch.first, 3);
        let bodies: Vec<_> = batch.leaves.iter().map(|leaf| leaf.body.clone()).collect();
        assert_eq!(bodies, [b"a", b"c"]);
        assert_eq!(batch.frontier, expected);
        let written: Vec<_> = (batch.position..).zip(batch.hashes).collect();
        assert_eq!(written, positions);
    }
}
