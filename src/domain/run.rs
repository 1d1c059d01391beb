//! Floor 0: what became of a run so far, by its own records and nothing else: a status may be lost or late, a record never
//! is. Whoever goes on with a run, in this process or the next, begins here. Nothing is decided.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{
    audit::{event::Event, record::Record},
    digest::Digest,
    reason::Reason,
    stage::Outcome,
};

/// What the records of one run tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// It was taken up.
    pub requested: bool,
    /// The plan that people were asked about.
    pub planned: Option<PlannedAs>,
    /// It began.
    pub started: Option<Started>,
    /// Somebody's cancellation is on record.
    pub cancelled: bool,
    /// It came to its end.
    pub finished: Option<Finished>,
    /// Its attempts, by step.
    steps: BTreeMap<String, Vec<Attempt>>,
    /// The indexes of its first and last record.
    pub range: Option<(u64, u64)>,
}

/// The plan that people were asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedAs {
    /// Its digest.
    pub plan: Digest,
    /// When it was made.
    pub at: Timestamp,
    /// The document that it was made from.
    pub playbook: Option<Digest>,
}

/// The beginning of the execution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Started {
    /// The plan that is executed.
    pub plan: Digest,
    /// When it began.
    pub at: Timestamp,
    /// What it was allowed by, in a word.
    pub by: Option<Reason>,
}

/// The end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// What it came to; none if a later version wrote a word that this one does not know.
    pub outcome: Option<Outcome>,
    /// Why, in a word.
    pub reason: Option<Reason>,
    /// When.
    pub at: Timestamp,
}

/// One attempt at a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Counted from 1.
    pub number: u32,
    /// When its intent was recorded.
    pub began: Timestamp,
    /// What was intended.
    pub effect: Option<Digest>,
    /// What it came to, if it has.
    pub ended: Option<Ended>,
}

/// The end of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Whether it did what it was to do.
    pub good: bool,
    /// In a word.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

impl History {
    /// Of the records of one run, oldest first, each with its index.
    pub fn of<'a>(records: impl IntoIterator<Item = (u64, &'a Record)>) -> Self {
        let mut history = Self::default();
        for (index, record) in records {
            let first = history.range.map_or(index, |(first, _)| first);
            history.range = Some((first, index));
            history.take(record);
        }
        history
    }

    fn take(&mut self, record: &Record) {
        let fact = &record.fact;
        let at = record.late.unwrap_or(record.time);
        match fact.code {
            Event::RunRequested => self.requested = true,
            Event::RunPlanned => {
                let playbook = fact.playbook_digest.clone();
                let plan = fact.plan_digest.clone();
                self.planned = plan.map(|plan| PlannedAs { plan, at, playbook });
            }
            Event::RunStarted => {
                let word = fact.outcome.as_ref();
                let by = word.and_then(|word| Reason::parse(word.as_str()));
                let plan = fact.plan_digest.clone();
                self.started = plan.map(|plan| Started { plan, at, by });
            }
            Event::RunCancelled => self.cancelled = true,
            Event::RunFinished => {
                let word = fact.outcome.as_ref();
                let outcome = word.and_then(|word| Outcome::parse(word.as_str()));
                let why = fact.reason.as_ref();
                let reason = why.and_then(|why| Reason::parse(why.as_str()));
                self.finished = Some(Finished {
                    outcome,
                    reason,
                    at,
                });
            }
            Event::StepIntended | Event::StepSucceeded | Event::StepFailed => self.step(record, at),
            Event::LogOpened
            | Event::LogFollowed
            | Event::LeaderElected
            | Event::LeaderReleased
            | Event::ConfigLoaded
            | Event::PlaybookAccepted
            | Event::PlaybookRefused
            | Event::PlaybookChanged
            | Event::PlaybookReset
            | Event::PolicyReady
            | Event::PolicyRefused
            | Event::RunEscalated
            | Event::RunHeld
            | Event::RunGone
            | Event::GateApproved
            | Event::GateAllowed
            | Event::GateRejected
            | Event::GateExpired
            | Event::GateSuperseded
            | Event::GateCancelled
            | Event::FreezePlaced
            | Event::FreezeLifted
            | Event::FreezeRemoved
            | Event::GuardWhole
            | Event::GuardBroken
            | Event::BackupVerified
            | Event::BackupRestored
            | Event::SpoolRefused => {}
        }
    }

    fn step(&mut self, record: &Record, at: Timestamp) {
        let fact = &record.fact;
        let (Some(step), Some(number)) = (&fact.step, fact.attempt) else {
            return;
        };
        let attempts = self.steps.entry(step.as_str().to_owned()).or_default();
        if fact.code == Event::StepIntended {
            attempts.push(Attempt {
                number,
                began: at,
                effect: fact.effect.clone(),
                ended: None,
            });
            return;
        }
        let mut open = attempts.iter_mut();
        if let Some(attempt) = open.find(|attempt| attempt.number == number) {
            attempt.ended = Some(Ended {
                good: fact.code == Event::StepSucceeded,
                reason: fact
                    .outcome
                    .as_ref()
                    .map(|word| word.as_str().to_owned())
                    .unwrap_or_default(),
                at,
            });
        }
    }

    /// The newest attempt at a step.
    pub fn attempt(&self, step: &str) -> Option<&Attempt> {
        self.steps.get(step).and_then(|attempts| attempts.last())
    }

    /// The steps of which an attempt was begun.
    pub fn attempted(&self) -> impl Iterator<Item = &str> {
        self.steps.keys().map(String::as_str)
    }

    /// The attempts that were begun and are not known to have ended, each with its step.
    pub fn open_attempts(&self) -> impl Iterator<Item = (&str, &Attempt)> {
        self.steps.iter().flat_map(|(step, attempts)| {
            let open = attempts.iter().filter(|attempt| attempt.ended.is_none());
            open.map(move |attempt| (step.as_str(), attempt))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::audit::record::{Actor, Fact, RecordId, VERSION};

    fn record(code: Event, step: Option<(&str, u32)>) -> Record {
        let mut fact = Fact::new(RecordId::of(&["x"]), code, Actor::operator("c"));
        fact.plan_digest = Some(Digest::of(b"plan"));
        if let Some((step, attempt)) = step {
            fact.step = Some(step.into());
            fact.attempt = Some(attempt);
        }
        fact = fact.outcome(Reason::Succeeded);
        Record {
            v: VERSION,
            time: Timestamp::UNIX_EPOCH,
            epoch: 1,
            late: None,
            fact,
        }
    }

    fn history(records: &[Record]) -> History {
        let indexes = 7..;
        History::of(indexes.zip(records))
    }

    #[test]
    fn a_run_is_told_by_its_records() {
        let records = [
            record(Event::RunRequested, None),
            record(Event::RunPlanned, None),
            record(Event::RunStarted, None),
            record(Event::StepIntended, Some(("a", 1))),
            record(Event::StepFailed, Some(("a", 1))),
            record(Event::StepIntended, Some(("a", 2))),
        ];
        let told = history(&records);
        assert_eq!(told.range, Some((7, 12)));
        assert_eq!(
            told.started.as_ref().map(|s| &s.plan),
            Some(&Digest::of(b"plan"))
        );
        assert!(told.attempted().eq(["a"]) && told.finished.is_none());
        let open: Vec<_> = told
            .open_attempts()
            .map(|(step, a)| (step, a.number))
            .collect();
        assert_eq!(open, [("a", 2)]);
        assert_eq!(
            told.attempt("a").map(|a| (a.number, a.ended.clone())),
            Some((2, None))
        );
        assert_eq!(told.attempt("b"), None);
        let end = history(&[record(Event::RunFinished, None)]);
        assert_eq!(
            end.finished.and_then(|end| end.outcome),
            Some(Outcome::Succeeded)
        );
        assert_eq!(history(&[]), History::default());
    }
}
