//! Floor 2: the writing end of the transparency log. Everybody who wants something recorded holds a [`Ledger`]; one task
//! ([`Scribe`]) opens the store, writes in groups, signs and anchors. A forward step is refused while it cannot be
//! recorded; a stop never is. What is recorded is decided by the callers, whether the log may be written by the domain.

mod anchoring;
mod attendant;
mod board;
mod claims;
mod facts;
mod inspection;
mod late;
mod opening;
mod own;
mod recall;
mod run;
mod spool;
mod writer;

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};

pub use board::{Refusal, State};
pub use run::{Failure, Parts, Scribe, prepare};
pub use spool::SpoolError;

use crate::{
    adapters::{clock, kube::error::chain, metrics::Metrics},
    domain::audit::record::Fact,
    ports::{LeafIndex, Store},
};
use claims::Order;
use spool::{Late, Spool};

/// A forward step is told within a second that it cannot be recorded.
const PATIENCE: Duration = Duration::from_millis(900);
/// How long the controllers wait for the log to open before they begin.
const SETTLING: Duration = Duration::from_secs(5);
/// Records that may wait for the writer: more than any burst, less than what would hide a writer that stands still.
const WAITING: usize = 4096;

/// How sure the caller wants to be before the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ack {
    /// Committed to the store's disk.
    Durable,
    /// Also under a checkpoint that the cluster's anchor holds.
    Anchored,
}

/// What is to be recorded.
#[derive(Clone, Debug)]
pub struct Draft {
    /// What happened.
    pub fact: Fact,
    /// A text beside the log.
    pub details: Option<String>,
    /// What is to be told to others once it is recorded.
    pub notice: Option<Vec<u8>>,
}

impl From<Fact> for Draft {
    fn from(fact: Fact) -> Self {
        Self {
            fact,
            details: None,
            notice: None,
        }
    }
}

/// What became of a stop's record. The stop happens in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It is in the log.
    Recorded(LeafIndex),
    /// It is in the spool, and comes into the log later.
    Spooled,
    /// It is nowhere but in the operator's own log: the spool is full or has failed.
    Unrecorded,
}

/// A record on its way to the writer.
pub struct Job {
    draft: Draft,
    late: Option<Timestamp>,
    ack: Ack,
    answer: oneshot::Sender<Result<LeafIndex, Refusal>>,
}

impl Job {
    /// It is not recorded, and why.
    fn refuse(self, refusal: Refusal) {
        // Whoever gave up waiting has been told already.
        let _ = self.answer.send(Err(refusal));
    }
}

/// A hold on the log, for everybody who records.
#[derive(Clone)]
pub struct Ledger {
    queue: mpsc::Sender<Job>,
    orders: mpsc::Sender<Order>,
    state: watch::Receiver<State>,
    open: watch::Receiver<bool>,
    spool: Arc<Spool>,
    metrics: Arc<Metrics>,
    /// The store of the newest opening.
    store: watch::Receiver<Option<Arc<dyn Store>>>,
}

impl Ledger {
    /// Whether the log takes records now, and why not.
    pub fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// Turns true whenever the log takes records.
    pub fn open(&self) -> watch::Receiver<bool> {
        self.open.clone()
    }

    /// Waits until the first opening has come to something, good or bad; not for ever, as a large store takes long to
    /// check and objects have to be told what is going on.
    pub async fn settled(&self) {
        let mut state = self.state.clone();
        let settled = state.wait_for(|state| !matches!(state, State::Following | State::Opening));
        // An error means that the task has ended, and with it the process.
        let _ = tokio::time::timeout(SETTLING, settled).await;
    }

    /// Records a forward step. An answer means that it is as safe as asked for; a refusal, that it must not happen:
    /// should the record have been written all the same, the next attempt finds it under its id.
    pub async fn record(&self, draft: Draft, ack: Ack) -> Result<LeafIndex, Refusal> {
        self.send(draft, None, ack).await
    }

    /// Records forward steps in their order; the first that is refused ends it.
    pub async fn record_all(&self, drafts: Vec<Draft>, ack: Ack) -> Result<(), Refusal> {
        for draft in drafts {
            self.record(draft, ack).await?;
        }
        Ok(())
    }

    /// Records a stop that is about to happen or has happened: in the log, or if that cannot be, in the spool.
    pub async fn record_stop(&self, draft: Draft) -> Stop {
        let code = draft.fact.code.code();
        let happened = clock::now();
        let refusal = match self.send(draft.clone(), None, Ack::Durable).await {
            Ok(at) => return Stop::Recorded(at),
            Err(refusal) => refusal,
        };
        match self.spool.keep(Late { happened, draft }).await {
            Ok(bytes) => {
                self.metrics.spool(bytes);
                tracing::warn!(
                    audit.code = code,
                    "a stop is recorded late, because {refusal}"
                );
                Stop::Spooled
            }
            Err(error) => {
                self.metrics.unrecorded_stop();
                tracing::error!(audit.code = code, error = %chain(&error), "a stop could not be recorded, because {refusal}");
                Stop::Unrecorded
            }
        }
    }

    async fn send(
        &self,
        draft: Draft,
        late: Option<Timestamp>,
        ack: Ack,
    ) -> Result<LeafIndex, Refusal> {
        let job = |answer| Job {
            draft,
            late,
            ack,
            answer,
        };
        self.exchange(&self.queue, job).await
    }

    /// Sends whoever writes something to do, and waits for the answer.
    async fn exchange<S, T>(
        &self,
        queue: &mpsc::Sender<S>,
        asked: impl FnOnce(oneshot::Sender<Result<T, Refusal>>) -> S,
    ) -> Result<T, Refusal> {
        if let Some(refusal) = self.state.borrow().refusal() {
            return Err(refusal);
        }
        let (answer, answered) = oneshot::channel();
        let asked = asked(answer);
        let exchange = async {
            queue.send(asked).await.ok()?;
            answered.await.ok()
        };
        match tokio::time::timeout(PATIENCE, exchange).await {
            Ok(Some(answer)) => answer,
            Ok(None) => Err(Refusal::unavailable("the writer has stopped")),
            Err(_) => Err(Refusal::unavailable(format!(
                "no answer from the store or the anchor within {} ms",
                PATIENCE.as_millis()
            ))),
        }
    }
}
