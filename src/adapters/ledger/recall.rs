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
    ports::{Leaf, Store, StoreError},
};

/// How many settlings of one name are looked through for a revision that was set back.
const LOOKED_THROUGH: u32 = 1000;

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

    fn reach(&self) -> Result<Arc<dyn Store>, Refusal> {
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

async fn answered<T>(asked: impl Future<Output = Result<T, StoreError>>) -> Result<T, Refusal> {
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

/// The record of a leaf that is under the tree.
pub(super) async fn genuine(store: &dyn Store, leaf: &Leaf) -> Result<Record, StoreError> {
    let position = [tree::leaf_position(leaf.at.index)];
    let hashes = store.hashes(leaf.at.log, &position).await?;
    let record = Record::parse(&leaf.body).ok();
    record
        .filter(|_| hashes.first() == Some(&Hash::of_leaf(&leaf.body)))
        .ok_or_else(|| {
            StoreError::Damaged(format!(
                "leaf {} of log {} is not the one that was recorded",
                leaf.at.index, leaf.at.log.0
            ))
        })
}
