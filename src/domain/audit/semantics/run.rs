//! Floor 0: what the records of one run have come to, and what the next one says that cannot follow.

use super::Wrong;
use crate::domain::{
    audit::{
        event::Event,
        record::{Fact, Name, Record},
    },
    digest::Digest,
    stage::{Outcome, Stage},
};

/// One run.
#[derive(Debug, Default)]
pub(super) struct Run {
    /// Records of it may have been lost.
    doubtful: bool,
    requested: bool,
    planned: Vec<Digest>,
    /// The plan that the Playbook with this digest allows without a Gate.
    allowed: Option<(Digest, Digest)>,
    started: Option<Digest>,
    cancelled: bool,
    steps: Vec<Step>,
    /// It failed, and what it did is taken back.
    turned: bool,
    /// The steps that were taken back, in that order.
    undone: Vec<Step>,
    end: Option<End>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Finished,
    Gone,
}

#[derive(Debug)]
struct Step {
    name: Name,
    attempt: u32,
    state: State,
    /// It asks people.
    asks: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Intended,
    Succeeded,
    Failed,
}

impl Step {
    fn is_good(&self) -> bool {
        self.state == State::Succeeded
    }
}

fn still_open(step: &Step) -> Wrong {
    Wrong::StillOpen {
        step: step.name.clone(),
        attempt: step.attempt,
    }
}

impl Run {
    pub(super) fn new(doubtful: bool) -> Self {
        Self {
            doubtful,
            ..Self::default()
        }
    }

    /// Records of it may have been lost.
    pub(super) fn doubt(&mut self) {
        self.doubtful = true;
    }

    pub(super) fn is_doubtful(&self) -> bool {
        self.doubtful
    }

    pub(super) fn has_ended(&self) -> bool {
        self.end.is_some()
    }

    /// Takes the next record of this run; what is wrong with it.
    pub(super) fn take(&mut self, record: &Record) -> Vec<Wrong> {
        let (fact, late) = (&record.fact, record.late.is_some());
        let mut wrongs = Vec::new();
        if late && is_forward(fact.code) {
            wrongs.push(Wrong::LateForward);
        }
        if !self.may_follow_end(fact, late) {
            wrongs.push(Wrong::AfterEnd);
            return wrongs;
        }
        // Whoever stops a run while nothing can be recorded is not asked for what came before.
        if !self.requested && !late && fact.code != Event::RunRequested {
            wrongs.push(Wrong::NotRequested);
            self.requested = true;
        }
        match fact.code {
            Event::RunRequested => self.requested = true,
            Event::RunPlanned => match &fact.plan_digest {
                Some(digest) => self.planned.push(digest.clone()),
                None => wrongs.push(Wrong::NoPlanDigest),
            },
            Event::RunEscalated => wrongs.extend(self.escalate(fact)),
            Event::RunAllowed => self.allow(fact),
            Event::RunStarted => wrongs.extend(self.start(fact)),
            Event::RunCancelled => self.cancelled = true,
            Event::StepIntended => wrongs.extend(self.intend(fact)),
            Event::StepUnderway => wrongs.extend(come_out(&mut self.steps, fact, State::Intended)),
            Event::StepSucceeded => {
                wrongs.extend(come_out(&mut self.steps, fact, State::Succeeded));
            }
            Event::StepFailed => wrongs.extend(come_out(&mut self.steps, fact, State::Failed)),
            Event::RunTurned => wrongs.extend(self.turn(fact)),
            Event::UndoIntended => wrongs.extend(self.intend_undo(fact)),
            Event::UndoSucceeded => {
                wrongs.extend(come_out(&mut self.undone, fact, State::Succeeded));
            }
            Event::UndoFailed => wrongs.extend(come_out(&mut self.undone, fact, State::Failed)),
            Event::RunFinished => wrongs.extend(self.finish(fact)),
            Event::RunGone => self.end = Some(End::Gone),
            _ => {}
        }
        wrongs
    }

    /// Only what names plan, Playbook and expression allows anything, and only a plan that is on record.
    fn allow(&mut self, fact: &Fact) {
        let named = fact.plan_digest.clone().zip(fact.playbook_digest.clone());
        self.allowed = named.filter(|(plan, _)| {
            let on_record = self.planned.contains(plan);
            on_record && fact.expression.is_some() && !self.cancelled
        });
    }

    /// Whether what begins is what the Playbook allows without a Gate.
    pub(super) fn is_allowed(&self, fact: &Fact) -> bool {
        let (plan, playbook) = (&fact.plan_digest, &fact.playbook_digest);
        self.allowed.as_ref().is_some_and(|(allowed, by)| {
            Some(allowed) == plan.as_ref() && Some(by) == playbook.as_ref()
        })
    }

    /// After its end nothing is recorded of a run but stops that come late; and where only its object is gone, what became
    /// of the effect that was under way.
    fn may_follow_end(&self, fact: &Fact, late: bool) -> bool {
        let outcome = matches!(
            fact.code,
            Event::StepUnderway
                | Event::StepSucceeded
                | Event::StepFailed
                | Event::UndoSucceeded
                | Event::UndoFailed
        );
        match self.end {
            None => true,
            Some(_) if late => !is_forward(fact.code),
            Some(End::Gone) => outcome && self.open().is_some(),
            Some(End::Finished) => false,
        }
    }

    /// Whether this is about a step that asks people.
    pub(super) fn asks(&self, fact: &Fact) -> bool {
        let mut steps = self.steps.iter();
        steps.any(|step| step.asks && Some(&step.name) == fact.step.as_ref())
    }

    fn open(&self) -> Option<&Step> {
        let last = [self.steps.last(), self.undone.last()];
        let mut last = last.into_iter().flatten();
        last.find(|step| step.state == State::Intended)
    }

    /// The next people are asked about a plan that was made, and before it begins.
    fn escalate(&self, fact: &Fact) -> Option<Wrong> {
        if self.cancelled {
            return Some(Wrong::AfterCancel);
        }
        let late = self.started.as_ref().map(|_| Wrong::EscalatedLate);
        self.of_no_plan(fact).or(late)
    }

    /// The plan that it is about is on record before.
    fn of_no_plan(&self, fact: &Fact) -> Option<Wrong> {
        match &fact.plan_digest {
            _ if self.planned.is_empty() => Some(Wrong::NotPlanned),
            None => Some(Wrong::NoPlanDigest),
            Some(found) if !self.planned.contains(found) => Some(Wrong::OtherPlan {
                found: found.clone(),
            }),
            Some(_) => None,
        }
    }

    fn start(&mut self, fact: &Fact) -> Vec<Wrong> {
        let after_cancel = self.cancelled.then_some(Wrong::AfterCancel);
        let wrongs = after_cancel.into_iter().chain(self.of_no_plan(fact));
        let wrongs = wrongs.collect();
        self.started = fact.plan_digest.clone();
        wrongs
    }

    fn intend(&mut self, fact: &Fact) -> Vec<Wrong> {
        let (Some(name), Some(attempt)) = (&fact.step, fact.attempt) else {
            return vec![Wrong::NoStep];
        };
        let mut wrongs = self.not_under_way(fact);
        if self.turned {
            wrongs.push(Wrong::AfterTurn);
        }
        wrongs.extend(self.out_of_order(name, attempt));
        self.steps.push(Step {
            name: name.clone(),
            attempt,
            state: State::Intended,
            asks: (fact.stage.as_ref())
                .is_some_and(|stage| stage.as_str() == Stage::Approve.as_str()),
        });
        wrongs
    }

    /// What speaks against an effect of any kind.
    fn not_under_way(&self, fact: &Fact) -> Vec<Wrong> {
        let mut wrongs = Vec::new();
        match (&self.started, &fact.plan_digest) {
            (None, _) => wrongs.push(Wrong::NotStarted),
            (Some(started), Some(found)) if started != found => wrongs.push(Wrong::OtherPlan {
                found: found.clone(),
            }),
            _ => {}
        }
        if self.cancelled {
            wrongs.push(Wrong::AfterCancel);
        }
        wrongs
    }

    fn turn(&mut self, fact: &Fact) -> Vec<Wrong> {
        let mut wrongs = self.not_under_way(fact);
        if self.steps.is_empty() {
            wrongs.push(Wrong::NothingToTakeBack);
        }
        wrongs.extend(self.open().map(still_open));
        self.turned = true;
        wrongs
    }

    /// What was done is taken back in reverse order, each step once, and nothing after one that could not be.
    fn intend_undo(&mut self, fact: &Fact) -> Vec<Wrong> {
        let (Some(name), Some(attempt)) = (&fact.step, fact.attempt) else {
            return vec![Wrong::NoStep];
        };
        let mut wrongs = self.not_under_way(fact);
        if !self.turned {
            wrongs.push(Wrong::NotTurned);
        }
        let place = |name: &Name| self.steps.iter().position(|step| step.name == *name);
        let step = name.clone();
        match (place(name), self.undone.last()) {
            (None, _) => wrongs.push(Wrong::UndoOfNothing { step }),
            (_, Some(open)) if open.state == State::Intended => wrongs.push(still_open(open)),
            (_, Some(last)) if last.state == State::Failed => wrongs.push(Wrong::AfterFailure {
                step: last.name.clone(),
            }),
            (here, Some(last)) if here >= place(&last.name) => {
                wrongs.push(Wrong::UndoOutOfOrder { step });
            }
            _ => {}
        }
        self.undone.push(Step {
            name: name.clone(),
            attempt,
            state: State::Intended,
            asks: false,
        });
        wrongs
    }

    /// Steps follow each other, each after the one before it did what it was to do; one that failed is tried again at once
    /// or is the last.
    fn out_of_order(&self, name: &Name, attempt: u32) -> Option<Wrong> {
        let step = name.clone();
        let expected = match self.steps.last() {
            Some(open) if open.state == State::Intended => return Some(still_open(open)),
            Some(last) if last.state == State::Failed && last.name == *name => {
                last.attempt.saturating_add(1)
            }
            Some(last) if last.state == State::Failed => {
                return Some(Wrong::AfterFailure {
                    step: last.name.clone(),
                });
            }
            _ if self.steps.iter().any(|step| step.name == *name) => {
                return Some(Wrong::StepAgain { step });
            }
            _ => 1,
        };
        (attempt != expected).then_some(Wrong::OtherAttempt {
            step,
            found: attempt,
            expected,
        })
    }

    fn finish(&mut self, fact: &Fact) -> Vec<Wrong> {
        let steps = self.steps.iter().chain(&self.undone);
        let open = steps.filter(|step| step.state == State::Intended);
        let mut wrongs: Vec<_> = open
            .map(|step| Wrong::Unfinished {
                step: step.name.clone(),
                attempt: step.attempt,
            })
            .collect();
        let outcome = fact.outcome.as_ref();
        match outcome.and_then(|word| Outcome::parse(word.as_str())) {
            Some(outcome) => wrongs.extend(self.cannot_end(outcome)),
            None => wrongs.push(Wrong::NoOutcome),
        }
        self.end = Some(End::Finished);
        self.steps = Vec::new();
        self.undone = Vec::new();
        self.planned = Vec::new();
        wrongs
    }

    fn cannot_end(&self, outcome: Outcome) -> Option<Wrong> {
        let (planned, started) = (!self.planned.is_empty(), self.started.is_some());
        let began = || !self.steps.is_empty();
        let lacks = match outcome {
            Outcome::Succeeded | Outcome::Compensated | Outcome::CompensationFailed if !started => {
                "it never began"
            }
            Outcome::Planned | Outcome::Rejected | Outcome::Superseded if !planned => {
                "it was never planned"
            }
            Outcome::Planned | Outcome::Joined if started || began() => "it began",
            Outcome::Succeeded | Outcome::Failed if self.turned => "it was being taken back",
            Outcome::Compensated if !self.undone.iter().any(Step::is_good) => {
                "nothing was taken back"
            }
            Outcome::Compensated if !self.undone.iter().all(Step::is_good) => {
                "not everything was taken back"
            }
            Outcome::CompensationFailed if self.undone.iter().all(Step::is_good) => {
                "nothing that was to be taken back was left"
            }
            Outcome::Succeeded => {
                // Only the last attempt at a step counts, and a failed one is the last of all.
                let last = self.steps.last()?;
                return (last.state == State::Failed).then(|| Wrong::SucceededWithFailure {
                    step: last.name.clone(),
                });
            }
            _ => return None,
        };
        Some(Wrong::CannotEnd { outcome, lacks })
    }
}

fn come_out(steps: &mut [Step], fact: &Fact, state: State) -> Option<Wrong> {
    let (Some(name), Some(attempt)) = (&fact.step, fact.attempt) else {
        return Some(Wrong::NoStep);
    };
    let open = steps.iter_mut().find(|step| {
        step.state == State::Intended && step.name == *name && step.attempt == attempt
    });
    match open {
        Some(step) => {
            step.state = state;
            None
        }
        None => Some(Wrong::NoIntent {
            step: name.clone(),
            attempt,
        }),
    }
}

/// What has to be on record before it happens.
pub(super) fn is_forward(code: Event) -> bool {
    matches!(
        code,
        Event::GateApproved
            | Event::GateAllowed
            | Event::RunEscalated
            | Event::RunAllowed
            | Event::RunStarted
            | Event::StepIntended
            | Event::RunTurned
            | Event::UndoIntended
    )
}
