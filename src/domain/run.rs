//! Floor 0: what became of a run so far, by its own records and nothing else: a status may be lost or late, a record never
//! is. Whoever goes on with a run, in this process or the next, begins here. Nothing is decided.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::{
    audit::{
        event::Event,
        record::{Fact, Name, Record},
    },
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
    /// Whose suggestion it was made from.
    pub author: Option<String>,
    /// The plans about which the next people were asked, each time one after the other.
    pub escalated: Vec<Digest>,
    /// The plan that the signed Playbook allows without a Gate.
    pub allowed: Option<PlannedAs>,
    /// It began.
    pub started: Option<Started>,
    /// Somebody's cancellation is on record.
    pub cancelled: bool,
    /// It came to its end.
    pub finished: Option<Finished>,
    /// It failed, and what it did is taken back.
    pub turned: Option<Turned>,
    /// Its attempts, by step.
    steps: BTreeMap<String, Vec<Attempt>>,
    /// The attempts to take a step back, by step.
    undos: BTreeMap<String, Vec<Attempt>>,
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

/// The way back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turned {
    /// Why, in a word; none if a later version wrote one that this one does not know.
    pub reason: Option<Reason>,
    /// When.
    pub at: Timestamp,
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
    /// It has begun outside, and is not begun again.
    pub underway: bool,
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

/// Which way a run goes through its steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// What was approved is done.
    Forth,
    /// What was done is taken back.
    Back,
}

impl Way {
    /// The record before it.
    pub fn intended(self) -> Event {
        match self {
            Self::Forth => Event::StepIntended,
            Self::Back => Event::UndoIntended,
        }
    }

    /// The record of a good end.
    pub fn succeeded(self) -> Event {
        match self {
            Self::Forth => Event::StepSucceeded,
            Self::Back => Event::UndoSucceeded,
        }
    }

    /// The record of another end.
    pub fn failed(self) -> Event {
        match self {
            Self::Forth => Event::StepFailed,
            Self::Back => Event::UndoFailed,
        }
    }
}

impl PlannedAs {
    fn of(fact: &Fact, at: Timestamp) -> Option<Self> {
        let playbook = fact.playbook_digest.clone();
        let plan = fact.plan_digest.clone();
        plan.map(|plan| Self { plan, at, playbook })
    }
}

impl Finished {
    fn of(fact: &Fact, at: Timestamp) -> Self {
        let word = fact.outcome.as_ref();
        Self {
            outcome: word.and_then(|word| Outcome::parse(word.as_str())),
            reason: reason(fact.reason.as_ref()),
            at,
        }
    }
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
            Event::RunPlanned => self.planned = PlannedAs::of(fact, at),
            Event::RunSuggested => self.author = Some(fact.actor.subject.as_str().to_owned()),
            Event::RunEscalated => self.escalated.extend(fact.plan_digest.clone()),
            Event::RunAllowed => self.allowed = PlannedAs::of(fact, at),
            Event::RunStarted => {
                let by = reason(fact.outcome.as_ref());
                let plan = fact.plan_digest.clone();
                self.started = plan.map(|plan| Started { plan, at, by });
            }
            Event::RunCancelled => self.cancelled = true,
            Event::RunFinished => self.finished = Some(Finished::of(fact, at)),
            Event::RunTurned => {
                let reason = reason(fact.outcome.as_ref());
                self.turned = Some(Turned { reason, at });
            }
            Event::StepIntended
            | Event::StepUnderway
            | Event::StepSucceeded
            | Event::StepFailed => take(&mut self.steps, record, at),
            Event::UndoIntended | Event::UndoSucceeded | Event::UndoFailed => {
                take(&mut self.undos, record, at);
            }
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

    /// The newest attempt at a step.
    pub fn attempt(&self, step: &str) -> Option<&Attempt> {
        self.attempts(step).last()
    }

    /// Every attempt at a step, oldest first.
    pub fn attempts(&self, step: &str) -> &[Attempt] {
        self.steps.get(step).map_or(&[], Vec::as_slice)
    }

    /// The newest attempt to take a step back.
    pub fn undo(&self, step: &str) -> Option<&Attempt> {
        self.undos.get(step).and_then(|attempts| attempts.last())
    }

    /// The steps of which an attempt was begun.
    pub fn attempted(&self) -> impl Iterator<Item = &str> {
        self.steps.keys().map(String::as_str)
    }

    /// The attempts that were begun and are not known to have ended, each with its step.
    pub fn open_attempts(&self) -> impl Iterator<Item = (&str, &Attempt)> {
        open(&self.steps)
    }

    /// The same, of those to take a step back.
    pub fn open_undos(&self) -> impl Iterator<Item = (&str, &Attempt)> {
        open(&self.undos)
    }

    /// How long steps have been at work until now, those that `counts`: what a run waits for between them is nobody's work.
    pub fn worked(&self, now: Timestamp, counts: impl Fn(&str) -> bool) -> SignedDuration {
        let counted = self.steps.iter().filter(|(step, _)| counts(step));
        let took = counted.flat_map(|(_, attempts)| attempts).map(|attempt| {
            let until = attempt.ended.as_ref().map_or(now, |ended| ended.at);
            until
                .duration_since(attempt.began)
                .max(SignedDuration::ZERO)
        });
        took.fold(SignedDuration::ZERO, SignedDuration::saturating_add)
    }
}

fn reason(word: Option<&Name>) -> Option<Reason> {
    word.and_then(|word| Reason::parse(word.as_str()))
}

fn open(attempts: &BTreeMap<String, Vec<Attempt>>) -> impl Iterator<Item = (&str, &Attempt)> {
    attempts.iter().flat_map(|(step, attempts)| {
        let open = attempts.iter().filter(|attempt| attempt.ended.is_none());
        open.map(move |attempt| (step.as_str(), attempt))
    })
}

/// Takes a record of one attempt.
fn take(steps: &mut BTreeMap<String, Vec<Attempt>>, record: &Record, at: Timestamp) {
    let fact = &record.fact;
    let (Some(step), Some(number)) = (&fact.step, fact.attempt) else {
        return;
    };
    let attempts = steps.entry(step.as_str().to_owned()).or_default();
    if matches!(fact.code, Event::StepIntended | Event::UndoIntended) {
        attempts.push(Attempt {
            number,
            began: at,
            effect: fact.effect.clone(),
            underway: false,
            ended: None,
        });
        return;
    }
    let mut known = attempts.iter_mut();
    let Some(attempt) = known.find(|attempt| attempt.number == number) else {
        return;
    };
    if fact.code == Event::StepUnderway {
        attempt.underway = true;
        return;
    }
    let word = fact.outcome.as_ref();
    attempt.ended = Some(Ended {
        good: matches!(fact.code, Event::StepSucceeded | Event::UndoSucceeded),
        reason: word
            .map(|word| word.as_str().to_owned())
            .unwrap_or_default(),
        at,
    });
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
