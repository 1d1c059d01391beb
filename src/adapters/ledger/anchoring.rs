//! Floor 2: checkpoints. At once when somebody waits for one, else within a second or 256 leaves, the log as it stands is
//! signed, swapped into the cluster's anchor, and only then published. A note that did not get into the anchor is
//! never shown to anybody.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};

use super::{Refusal, board::Board, inspection::root_at, writer::Wait};
use crate::{
    adapters::{
        failpoint::failpoint,
        kube::{
            anchor::{Anchor, Anchored},
            error::chain,
        },
        metrics::Metrics,
    },
    api::v1alpha1::AuditLogSpec,
    domain::{
        audit::{checkpoint::Checkpoint, note::SigningKey},
        reason::Reason,
    },
    ports::{Epoch, Log, LogNumber, SavedCheckpoint, Store, StoreError},
};

/// No leaf waits longer for its checkpoint, nor do more of them.
const LONGEST: Duration = Duration::from_secs(1);
const MOST: u64 = 256;
/// Between two attempts while the API server does not take it.
const PAUSE: Duration = Duration::from_millis(500);

/// Why checkpoints ended.
#[derive(Debug)]
pub(super) enum AnchoringEnd {
    /// The store failed.
    Store(StoreError),
    /// The anchor is not what this process left there.
    Altered(Refusal),
    /// Somebody else leads.
    Deposed(String),
}

/// The one signer of a leadership.
pub(super) struct Anchoring {
    pub(super) store: Arc<dyn Store>,
    pub(super) epoch: Epoch,
    pub(super) key: SigningKey,
    pub(super) anchor: Anchor,
    pub(super) anchored: Anchored,
    pub(super) board: Arc<Board>,
    pub(super) metrics: Arc<Metrics>,
}

impl Anchoring {
    /// Anchors what the writer commits, until something fails; `waits` are answered as they are anchored.
    pub(super) async fn keep_up(
        &mut self,
        log: &mut watch::Receiver<Log>,
        waits: &mut mpsc::UnboundedReceiver<Wait>,
    ) -> AnchoringEnd {
        let mut waiting: Vec<Wait> = Vec::new();
        let mut unanchored_since: Option<Instant> = None;
        let mut not_before = Instant::now();
        loop {
            let (number, size) = {
                let log = log.borrow();
                (log.number, log.size)
            };
            let anchored = self.size();
            answer(&mut waiting, number, anchored);
            // Also those that an earlier opening has left: nobody need record anything for them to be anchored.
            if size > anchored {
                unanchored_since.get_or_insert_with(Instant::now);
            } else {
                unanchored_since = None;
            }
            let due = if !waiting.is_empty() || size >= anchored + MOST {
                Some(not_before)
            } else {
                unanchored_since.map(|since| not_before.max(since + LONGEST))
            };
            tokio::select! {
                // First whoever waits: all of them get the same checkpoint.
                biased;
                Some(wait) = waits.recv() => waiting.push(wait),
                Ok(()) = log.changed() => {}
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    let log = log.borrow_and_update().clone();
                    match self.advance(&log).await {
                        // What came in meanwhile has waited since now at the earliest.
                        Ok(true) => unanchored_since = None,
                        Ok(false) => not_before = Instant::now() + PAUSE,
                        Err(end) => return end,
                    }
                }
            }
        }
    }

    /// Anchors the log as it stands now, for the last time.
    pub(super) async fn finish(&mut self, log: &Log) -> Result<(), AnchoringEnd> {
        if log.size > self.size() {
            self.advance(log).await?;
        }
        Ok(())
    }

    fn size(&self) -> u64 {
        u64::try_from(self.anchored.spec().size).unwrap_or_default()
    }

    /// Signs, anchors, publishes. False: not now, the API server did not take it.
    async fn advance(&mut self, log: &Log) -> Result<bool, AnchoringEnd> {
        let checkpoint = Checkpoint {
            origin: log.origin.clone(),
            size: log.size,
            root: log.root,
        };
        failpoint!("sign.before");
        let note = match checkpoint.sign(&self.key) {
            Ok(note) => note,
            Err(error) => return Err(defect(&chain(&error))),
        };
        failpoint!("sign.after");
        let spec = AuditLogSpec {
            size: i64::try_from(log.size).unwrap_or(i64::MAX),
            root: log.root.to_string(),
            checkpoint: note.clone(),
            ..self.anchored.spec().clone()
        };
        failpoint!("anchor.before");
        match self.anchor.swap(&self.anchored, spec).await {
            Ok(anchored) => self.anchored = anchored,
            Err(error) if error.is_conflict() => return self.look_again(log).await,
            Err(error) => {
                self.board.anchor(Some(chain(&error)));
                return Ok(false);
            }
        }
        failpoint!("anchor.after");
        self.publish(log, note).await?;
        Ok(true)
    }

    async fn publish(&self, log: &Log, note: String) -> Result<(), AnchoringEnd> {
        failpoint!("publish.before");
        let published = SavedCheckpoint {
            log: log.number,
            size: log.size,
            note,
        };
        let saved = self.store.save_checkpoint(self.epoch, published).await;
        saved.map_err(AnchoringEnd::Store)?;
        failpoint!("publish.after");
        self.metrics.anchored_size(log.size);
        self.board.anchor(None);
        Ok(())
    }

    /// Somebody wrote the anchor since we did. Ourselves, if the answer to an earlier attempt was lost, or whoever only
    /// changed labels: what it says is a state of our log, not before the one that we knew. Anything else is not ours.
    async fn look_again(&mut self, log: &Log) -> Result<bool, AnchoringEnd> {
        let newest = self.store.epoch().await.map_err(AnchoringEnd::Store)?;
        if newest != self.epoch {
            let message = format!("the store has a newer writer: epoch {newest}");
            return Err(AnchoringEnd::Deposed(message));
        }
        let found = match self.anchor.read().await {
            Ok(Some(found)) => found,
            Ok(None) => {
                let message = "the AuditLog main was deleted while the log was written".to_owned();
                return Err(refused(Reason::AnchorMissing, message));
            }
            Err(error) => {
                self.board.anchor(Some(chain(&error)));
                return Ok(false);
            }
        };
        let said = found.spec();
        let size = u64::try_from(said.size).unwrap_or_default();
        let root = root_at(self.store.as_ref(), log.number, size).await;
        let root = root.map_err(AnchoringEnd::Store)?;
        let ours = said.origin == log.origin
            && (self.size()..=log.size).contains(&size)
            && root == said.root.parse().ok()
            && said.keys == self.anchored.spec().keys
            && said.previous == self.anchored.spec().previous;
        if !ours {
            let message = format!(
                "the AuditLog main says origin {}, size {}, root {}, which this operator did not write",
                said.origin, said.size, said.root
            );
            return Err(refused(Reason::AnchorAltered, message));
        }
        let note = said.checkpoint.clone();
        self.anchored = found;
        let reached = Log {
            size,
            ..log.clone()
        };
        self.publish(&reached, note).await?;
        Ok(true)
    }
}

/// Answers everybody whose leaf is under the anchor; a leaf of a log that was followed has been for long.
fn answer(waiting: &mut Vec<Wait>, log: LogNumber, anchored: u64) {
    let done =
        |wait: &mut Wait| wait.at.log != log || wait.at.index < anchored || wait.answer.is_closed();
    for wait in waiting.extract_if(.., done) {
        let _ = wait.answer.send(Ok(wait.at));
    }
}

fn refused(reason: Reason, message: String) -> AnchoringEnd {
    AnchoringEnd::Altered(Refusal { reason, message })
}

fn defect(message: &str) -> AnchoringEnd {
    refused(
        Reason::InternalError,
        format!("a checkpoint could not be signed: {message}"),
    )
}
