//! Floor 2: what the transparency log remembers: the highest revision of a Playbook, and whether something was recorded. A
//! leaf is believed only if it is the one that its hash stands for. Which leaf is the newest is the database's word:
//! whoever can write to it can hide one, and only the status of the Playbook speaks against them. Nothing is written here.

use std::sync::Arc;

use super::{Ledger, PATIENCE, Refusal};
use crate::{
    adapters::kube::error::chain,
    domain::{
        audit::{
            event::Event,
            hash::Hash,
            record::{Record, RecordId},
            tree,
        },
        reason::Reason,
        trust::HighestRevision,
    },
    ports::{Leaf, LeafIndex, Query, Store, StoreError},
};

/// How many settlings of one name are looked through for a revision that was set back.
const LOOKED_THROUGH: u32 = 1000;
/// Leaves that are read at once.
const PAGE: u32 = 1000;

impl Ledger {
    /// The highest revision of the Playbook with this name, `namespace/name`, as far as it is on record.
    pub async fn highest_revision(
        &self,
        playbook: &str,
    ) -> Result<Option<HighestRevision>, Refusal> {
        let store = self.reach()?;
        answered(async {
            let newest = store.settled(playbook, 1).await?;
            let Some(leaf) = newest.first() else {
                return Ok(None);
            };
            settling(store.as_ref(), leaf, playbook).await.map(Some)
        })
        .await
    }

    /// Whether the log has known this revision of the Playbook, or a higher one, though it may have been set back since.
    pub async fn has_known(&self, playbook: &str, revision: u64) -> Result<bool, Refusal> {
        let store = self.reach()?;
        answered(async {
            for leaf in store.settled(playbook, LOOKED_THROUGH).await? {
                let settled = settling(store.as_ref(), &leaf, playbook).await?;
                if settled.revision >= revision {
                    return Ok(true);
                }
            }
            Ok(false)
        })
        .await
    }

    /// Whether something is on record under this id.
    pub async fn has(&self, id: RecordId) -> Result<bool, Refusal> {
        let store = self.reach()?;
        answered(async {
            match store.find(id).await? {
                Some(leaf) => Ok(genuine(store.as_ref(), &leaf).await?.fact.id == id),
                None => Ok(false),
            }
        })
        .await
    }

    /// The newest record with one of these codes, in whichever log of this store.
    pub async fn newest(&self, codes: &[Event]) -> Result<Option<Record>, Refusal> {
        let store = self.reach()?;
        answered(async {
            let Some(leaf) = store.newest(codes).await? else {
                return Ok(None);
            };
            let record = genuine(store.as_ref(), &leaf).await?;
            if !codes.contains(&record.fact.code) {
                return Err(misplaced(&leaf, "tell of another event"));
            }
            Ok(Some(record))
        })
        .await
    }

    /// Everything on record about the object with this uid, oldest first.
    pub async fn history(&self, object: &str) -> Result<Vec<(LeafIndex, Record)>, Refusal> {
        let store = self.reach()?;
        answered(history(store.as_ref(), object)).await
    }

    /// The same also while the log takes no records, from the store as it was opened last, if that can be read. It is
    /// enough to say what a stop cuts off; nothing forward rests on it.
    pub async fn history_for_stop(
        &self,
        object: &str,
    ) -> Result<Vec<(LeafIndex, Record)>, Refusal> {
        let store = self.store.borrow().clone();
        let store = store.ok_or_else(|| Refusal::unavailable("the log was never open"))?;
        answered(history(store.as_ref(), object)).await
    }

    pub(super) fn reach(&self) -> Result<Arc<dyn Store>, Refusal> {
        if let Some(refusal) = self.state().refusal() {
            return Err(refusal);
        }
        let store = self.store.borrow().clone();
        store.ok_or_else(|| Refusal::unavailable("the log is being opened"))
    }
}

/// The revision that a leaf settles.
async fn settling(
    store: &dyn Store,
    leaf: &Leaf,
    playbook: &str,
) -> Result<HighestRevision, StoreError> {
    let fact = genuine(store, leaf).await?.fact;
    let revision = fact.revision.filter(|_| {
        let named = fact.playbook.as_ref();
        named.is_some_and(|name| name.as_str() == playbook)
    });
    let Some(revision) = revision else {
        return Err(StoreError::Damaged(format!(
            "leaf {} of log {} is said to settle the revision of {playbook}, and does not",
            leaf.at.index, leaf.at.log.0
        )));
    };
    let document = fact.playbook_digest;
    let (digest, instead_of) = if fact.code == Event::PlaybookReset {
        (None, document)
    } else {
        (document, None)
    };
    Ok(HighestRevision {
        revision,
        digest,
        instead_of,
    })
}

pub(super) async fn answered<T>(
    asked: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, Refusal> {
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(StoreError::Damaged(message))) => Err(Refusal {
            reason: Reason::StoreAltered,
            message,
        }),
        Ok(Err(error)) => Err(Refusal::unavailable(chain(&error))),
        Err(_) => Err(Refusal::unavailable(format!(
            "no answer from the store within {} ms",
            PATIENCE.as_millis()
        ))),
    }
}

async fn history(store: &dyn Store, object: &str) -> Result<Vec<(LeafIndex, Record)>, StoreError> {
    let mut found = Vec::new();
    let mut query = Query {
        object: Some(object.to_owned()),
        limit: PAGE,
        ..Query::default()
    };
    loop {
        let page = store.query(query.clone()).await?;
        for leaves in page.chunk_by(|one, other| one.at.log == other.at.log) {
            let Some(first) = leaves.first() else {
                continue;
            };
            let position = |leaf: &Leaf| tree::leaf_position(leaf.at.index);
            let positions: Vec<_> = leaves.iter().map(position).collect();
            let hashes = store.hashes(first.at.log, &positions).await?;
            for (leaf, hash) in leaves.iter().zip(&hashes) {
                let record = under(leaf, Some(hash))?;
                let about = record.fact.object.as_ref();
                if about.is_none_or(|about| about.uid.as_str() != object) {
                    return Err(misplaced(leaf, "be about another object"));
                }
                found.push((leaf.at, record));
            }
        }
        if (page.len() as u64) < u64::from(PAGE) {
            return Ok(found);
        }
        query.after = page.last().map(|leaf| leaf.at);
    }
}

/// The database says of a leaf what the leaf itself does not.
fn misplaced(leaf: &Leaf, what: &str) -> StoreError {
    StoreError::Damaged(format!(
        "leaf {} of log {} is said to {what} than it says itself",
        leaf.at.index, leaf.at.log.0
    ))
}

/// The record of a leaf that is under the tree.
pub(super) async fn genuine(store: &dyn Store, leaf: &Leaf) -> Result<Record, StoreError> {
    let position = [tree::leaf_position(leaf.at.index)];
    let hashes = store.hashes(leaf.at.log, &position).await?;
    under(leaf, hashes.first())
}

fn under(leaf: &Leaf, hash: Option<&Hash>) -> Result<Record, StoreError> {
    let record = Record::parse(&leaf.body).ok();
    record
        .filter(|_| hash == Some(&Hash::of_leaf(&leaf.body)))
        .ok_or_else(|| {
            StoreError::Damaged(format!(
                "leaf {} of log {} is not the one that was recorded",
                leaf.at.index, leaf.at.log.0
            ))
        })
}
