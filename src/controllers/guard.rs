//! Floor 3: since when the admission guard is whole, and so which votes are trusted. It looks at the guard for everybody who
//! wants to know, and has each change on record, so that a restart does not forget. It counts nothing.

use std::{sync::Arc, time::Instant};

use jiff::Timestamp;
use tokio::sync::{Mutex, watch};

use super::CONTROLLER;
use crate::{
    adapters::{
        clock,
        kube::guard::{Guard, GuardError, Seen},
        ledger::{Ack, Draft, Ledger, Refusal, State},
        metrics::Metrics,
    },
    domain::{
        audit::{
            event::Event,
            record::{Actor, Fact, Record, RecordId},
        },
        digest::Digest,
        reason::Reason,
    },
};

/// What is recorded about the guard.
const RECORDED: [Event; 2] = [Event::GuardWhole, Event::GuardBroken];

/// How the guard stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Whole, and known to have been so all the time since then.
    Whole {
        /// Since when.
        since: Timestamp,
    },
    /// Missing or altered: nothing proves who votes.
    Broken,
}

impl Standing {
    /// Since when votes are trusted, if they are.
    pub fn whole(&self) -> Option<Timestamp> {
        match self {
            Self::Whole { since } => Some(*since),
            Self::Broken => None,
        }
    }
}

/// It is not known how the guard stands.
#[derive(Debug, thiserror::Error)]
pub enum Unknown {
    /// It could not be looked at.
    #[error("could not look at the admission guard")]
    Look(#[source] GuardError),
    /// It is whole, and since when is on no record that can be read or written now.
    #[error("could not learn since when the admission guard is whole")]
    Log(#[source] Refusal),
}

/// The one look at the guard.
pub struct GuardWatch {
    guard: Guard,
    ledger: Ledger,
    metrics: Arc<Metrics>,
    known: Mutex<Known>,
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct Known {
    /// What was seen last, by a look that began then.
    seen: Option<(Instant, Arc<Seen>)>,
    /// What is on record.
    told: Option<Told>,
}

/// What is on record about the guard.
struct Told {
    id: RecordId,
    whole: bool,
    digest: Option<Digest>,
    since: Timestamp,
}

impl From<Record> for Told {
    fn from(record: Record) -> Self {
        Self {
            id: record.fact.id,
            whole: record.fact.code == Event::GuardWhole,
            digest: record.fact.policy_digest,
            since: record.time,
        }
    }
}

impl Told {
    fn says(&self, seen: &Seen) -> bool {
        self.whole == seen.problems.is_empty() && self.digest.as_ref() == Some(&seen.digest)
    }
}

impl GuardWatch {
    /// One that records into this log.
    pub fn new(guard: Guard, ledger: Ledger, metrics: Arc<Metrics>) -> Self {
        Self {
            guard,
            ledger,
            metrics,
            known: Mutex::default(),
            changed: watch::Sender::new(0),
        }
    }

    /// Counts up with each change that is on record: votes may count now that did not, or the other way round.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// What is missing or altered now, each in a sentence. A leader has it on record as well, if it can.
    pub async fn problems(&self) -> Result<Vec<String>, GuardError> {
        let mut known = self.known.lock().await;
        let seen = self.look(&mut known, Instant::now()).await;
        if seen.is_err() {
            self.metrics.guard_whole(false);
        }
        let seen = seen?;
        if self.ledger.state() == State::Open
            && let Err(refusal) = self.tell(&mut known, &seen).await
        {
            tracing::warn!("how the admission guard stands is not on record yet: {refusal}");
        }
        Ok(seen.problems.clone())
    }

    /// How the guard stands, by a look that begins after this was asked: of what was read before, all that came in since
    /// [`Standing::Whole`] came in through a whole guard.
    pub async fn standing(&self) -> Result<Standing, Unknown> {
        let asked = Instant::now();
        let mut known = self.known.lock().await;
        let seen = self.look(&mut known, asked).await.map_err(Unknown::Look)?;
        let told = self.tell(&mut known, &seen).await;
        if !seen.problems.is_empty() {
            return Ok(Standing::Broken);
        }
        let since = told.map_err(Unknown::Log)?;
        Ok(Standing::Whole { since })
    }

    /// Many who ask at the same time share a look.
    async fn look(&self, known: &mut Known, asked: Instant) -> Result<Arc<Seen>, GuardError> {
        let before = known.seen.as_ref();
        if let Some((_, seen)) = before.filter(|(began, _)| *began > asked) {
            return Ok(Arc::clone(seen));
        }
        let began = Instant::now();
        let seen = self.guard.look(before.map(|(_, seen)| &**seen)).await?;
        self.metrics.guard_whole(seen.problems.is_empty());
        let seen = Arc::new(seen);
        known.seen = Some((began, Arc::clone(&seen)));
        Ok(seen)
    }

    /// Has on record what was seen, and says since when it is so.
    async fn tell(&self, known: &mut Known, seen: &Seen) -> Result<Timestamp, Refusal> {
        let told = match known.told.take() {
            Some(told) => Some(told),
            None => self.ledger.newest(&RECORDED).await?.map(Told::from),
        };
        let first = match told {
            Some(told) if told.says(seen) => told,
            before => match self.record(before.as_ref(), seen).await {
                Ok(told) => told,
                Err(refusal) => {
                    known.told = before;
                    return Err(refusal);
                }
            },
        };
        // Whoever installs the operator and uses it at once has been guarded since the guard was made, not since we looked.
        let untouched = seen.untouched_since().into_iter();
        let since = untouched.fold(first.since, Timestamp::min);
        let trusted = first.whole.then_some(since);
        self.metrics.votes_trusted_since(trusted);
        known.told = Some(first);
        Ok(since)
    }

    /// The id names what was seen and the record before it: of one change there is one record, and going there and back
    /// again is two.
    async fn record(&self, before: Option<&Told>, seen: &Seen) -> Result<Told, Refusal> {
        let whole = seen.problems.is_empty();
        let (code, reason) = if whole {
            (Event::GuardWhole, Reason::Valid)
        } else {
            (Event::GuardBroken, Reason::AdmissionGuardMissing)
        };
        let cause = before.map(|before| before.id);
        let after = cause.map(|id| id.to_string()).unwrap_or_default();
        let id = RecordId::of(&[code.code(), seen.digest.as_str(), &after]);
        let mut fact = Fact::new(id, code, Actor::operator(CONTROLLER)).outcome(reason);
        fact.policy_digest = Some(seen.digest.clone());
        fact.cause = cause;
        let mut draft = Draft::from(fact);
        if whole {
            self.ledger.record(draft, Ack::Durable).await?;
            tracing::info!(
                "the admission guard is whole; votes are trusted that are made from now on"
            );
        } else {
            draft.details = Some(seen.problems.join("; "));
            self.ledger.record_stop(draft).await;
            tracing::warn!(
                reason = reason.as_str(),
                "no vote is counted: {}",
                seen.problems.join("; ")
            );
        }
        self.changed
            .send_modify(|count| *count = count.wrapping_add(1));
        Ok(Told {
            id,
            whole,
            digest: Some(seen.digest.clone()),
            since: clock::now(),
        })
    }
}
