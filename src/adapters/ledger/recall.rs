//! Floor 2: what the transparency log remembers: the highest revision of a Playbook, and whether something was recorded. A
//! leaf is believed only if it is under the tree, because whoever can write to the database could else have an old
//! Playbook accepted again. Nothing is written here.

use std::sync::Arc;

use super::{Ledger, PATIENCE, Refusal};
use crate::{
    adapters::kube::error::chain,
    domain::{
        audit::{
            hash::Hash,
            record::{Record, RecordId},
            tree,
        },
        reason::Reason,
        trust::HighestRevision,
    },
    ports::{Leaf, Store, StoreError},
};

impl Ledger {
    /// The highest revision of the Playbook with this name, `namespace/name`, as far as it is on record.
    pub async fn highest_revision(
        &self,
        playbook: &str,
    ) -> Result<Option<HighestRevision>, Refusal> {
        let store = self.reach()?;
        answered(async {
            let Some(leaf) = store.settled(playbook).await? else {
                return Ok(None);
            };
            let fact = genuine(store.as_ref(), &leaf).await?.fact;
            match (fact.playbook, fact.revision) {
                (Some(name), Some(revision)) if name.as_str() == playbook => {
                    Ok(Some(HighestRevision {
                        revision,
                        digest: fact.playbook_digest,
                    }))
                }
                _ => Err(StoreError::Damaged(format!(
                    "leaf {} of log {} is said to settle the revision of {playbook}, and does not",
                    leaf.at.index, leaf.at.log.0
                ))),
            }
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
