//! Floor 3: what becomes of a run that has begun: its next step, another attempt at one that failed, the way back, or its
//! end. Pure.

use std::sync::Arc;

use jiff::SignedDuration;

use super::{
    super::gather::{Facts, Working},
    Decision, Stepping, Turn, Wait, back, finish, frozen,
    midway::{asking_midway, superseded_unchanged},
};
use crate::{
    controllers::orchestration::records,
    domain::{
        plan::{OnFailure, Plan, PlannedStep},
        reason::Reason,
        retry::backoff,
        run::{Attempt, Ended, History, Way},
        stage::{Outcome, Stage},
    },
};

/// The kind of step that asks people: their time is not the run's.
pub(in crate::controllers::orchestration) const GATE: &str = "gate";
/// What another attempt would only find again.
const FINAL: [Reason; 11] = [
    Reason::Rejected,
    Reason::Expired,
    Reason::Superseded,
    Reason::Cancelled,
    Reason::GateGone,
    Reason::Invalid,
    Reason::StepUnsupported,
    Reason::TargetNotAllowed,
    Reason::TargetDrifted,
    Reason::DoneByOthers,
    Reason::ExpressionInvalid,
];

pub(super) fn working_on(facts: &Facts, history: &History, working: &Working) -> Decision {
    let plan = match &working.plan {
        Ok(plan) => plan,
        Err(message) => return stopped(facts, Reason::InternalError, message),
    };
    if let Some(turned) = &history.turned {
        return back::going_back(facts, history, (working, plan), turned);
    }
    let due = plan.steps.iter().enumerate().find_map(|(index, step)| {
        let attempt = history.attempt(&step.name);
        let ended = attempt.and_then(|attempt| attempt.ended.as_ref());
        (!ended.is_some_and(|ended| ended.good)).then_some((index, step, attempt))
    });
    let Some((index, step, attempt)) = due else {
        let message = match plan.steps.len() {
            1 => "its step was done".to_owned(),
            count => format!("all {count} steps were done"),
        };
        return finish(
            facts,
            Stage::Execute,
            Outcome::Succeeded,
            Reason::Succeeded,
            &message,
        );
    };
    let going = Going {
        facts,
        history,
        working,
        plan,
    };
    match attempt {
        Some(Attempt {
            ended: Some(ended),
            number,
            ..
        }) => going.failed((index, step), *number, ended),
        Some(attempt) => going.stepping(index, attempt.number, Some(attempt)),
        None => going.fresh((index, step), 1),
    }
}

/// A run on its way.
struct Going<'a> {
    facts: &'a Facts,
    history: &'a History,
    working: &'a Working,
    plan: &'a Arc<Plan>,
}

impl Going<'_> {
    /// Another attempt, if there is one that may help; else the run has failed.
    fn failed(&self, (index, step): (usize, &PlannedStep), number: u32, ended: &Ended) -> Decision {
        let told = format!("step {} failed ({})", step.name, ended.reason);
        let told = self.working.told(&step.name, told);
        if let Some(end) = superseded_unchanged(self.facts, ended, &told) {
            return end;
        }
        let is_final = Reason::parse(&ended.reason).is_some_and(|reason| FINAL.contains(&reason));
        if is_final || number > step.retries {
            return self.given_up(Reason::StepFailed, &told, step.on_failure);
        }
        let pause = backoff(number, seed(&self.facts.run.uid, index));
        let pause = SignedDuration::try_from(pause).unwrap_or(SignedDuration::MAX);
        let gone = self.facts.now.duration_since(ended.at);
        // A clock that was set back makes no pause longer.
        let left = pause.saturating_sub(gone.max(SignedDuration::ZERO));
        let last = step.retries.saturating_add(1);
        if left.is_positive() {
            let again = number.saturating_add(1);
            let message = format!("{told}; attempt {again} of {last} follows");
            return Wait::approved(Stage::Execute, Reason::Retrying, message)
                .after(left.unsigned_abs())
                .into();
        }
        self.fresh((index, step), number.saturating_add(1))
    }

    /// The next attempt, unless something keeps anything new from beginning.
    fn fresh(&self, (index, step): (usize, &PlannedStep), attempt: u32) -> Decision {
        let before = format!("before step {}", step.name);
        if let Some(wait) = held(self.facts, self.working, &before) {
            return wait;
        }
        if self.left() == 0 {
            let message = format!("its time was over {before}");
            let then = self.plan.on_failure;
            return self.given_up(Reason::DeadlineExceeded, &message, then);
        }
        self.stepping(index, attempt, None)
    }

    fn stepping(&self, index: usize, attempt: u32, begun: Option<&Attempt>) -> Decision {
        let step = self.plan.steps.get(index);
        if step.is_some_and(|step| step.kind == GATE) {
            let attempt = (attempt, begun.is_some());
            return asking_midway(self.facts, self.working, (self.plan, index), attempt);
        }
        let name = step.map_or("", |step| step.name.as_str());
        let mut others = self.history.attempts(name).iter();
        let refused = |attempt: &Attempt| {
            let ended = attempt.ended.as_ref();
            ended.is_none_or(|ended| is_refusal(&ended.reason))
        };
        Decision::Step(Box::new(Stepping {
            plan: Arc::clone(self.plan),
            index,
            way: Way::Forth,
            attempt,
            began: begun.map(|attempt| attempt.began),
            underway: begun.is_some_and(|attempt| attempt.underway),
            ever: self
                .history
                .attempts(name)
                .iter()
                .any(|attempt| attempt.underway),
            refused: others.all(refused),
            time: step.map_or(0, |step| step.timeout).min(self.time(begun)),
            stopped: stopped_by(self.facts, self.working),
        }))
    }

    /// What is left of the time of the run, in milliseconds.
    fn left(&self) -> u64 {
        let asks = |name: &str| {
            let step = self.plan.step(name);
            step.is_some_and(|(_, step)| step.kind == GATE)
        };
        let worked = self.history.worked(self.facts.now, |step| !asks(step));
        self.plan.timeout.saturating_sub(milliseconds(worked))
    }

    /// The same as it was when this attempt began.
    fn time(&self, begun: Option<&Attempt>) -> u64 {
        let took = begun.map(|attempt| self.facts.now.duration_since(attempt.began));
        let took = took.map_or(0, milliseconds);
        self.left().saturating_add(took)
    }

    /// It goes no further: what was done is taken back, if the plan says so and there is anything.
    fn given_up(&self, reason: Reason, message: &str, then: OnFailure) -> Decision {
        let taken_back = back::to_take_back(self.plan, self.history).next().is_some();
        if then == OnFailure::Stop || !taken_back {
            let left = back::left_by_plan(self.plan, self.history);
            return match (then, left) {
                (OnFailure::Compensate, Some(left)) => {
                    stopped(self.facts, reason, &format!("{message}; {left}"))
                }
                _ => stopped(self.facts, reason, message),
            };
        }
        let Some(started) = &self.history.started else {
            return Decision::Settled;
        };
        Decision::Turn(Box::new(Turn {
            record: records::turned(self.facts, &started.plan, reason, message),
        }))
    }
}

/// Why an attempt that ended so has written nothing, if it was one write.
pub(super) fn is_refusal(reason: &str) -> bool {
    let refusals = [
        Reason::AccessDenied,
        Reason::ImpersonationForbidden,
        Reason::Invalid,
        Reason::RefusedByApiServer,
        Reason::StepUnsupported,
        Reason::TargetDrifted,
        Reason::TargetNotAllowed,
    ];
    Reason::parse(reason).is_some_and(|reason| refusals.contains(&reason))
}

/// What keeps anything new from beginning.
pub(super) fn held(facts: &Facts, working: &Working, before: &str) -> Option<Decision> {
    if let Some(freeze) = working.frozen.first() {
        return Some(frozen(facts, Stage::Execute, freeze));
    }
    (facts.spec.suspend == Some(true)).then(|| {
        let message = format!("suspended {before}");
        Wait::approved(Stage::Execute, Reason::Suspended, message).into()
    })
}

/// Why an attempt that has begun may write nothing now; it is looked at all the same.
pub(super) fn stopped_by(facts: &Facts, working: &Working) -> Option<(Reason, String)> {
    if let Some(freeze) = working.frozen.first() {
        return Some((Reason::Frozen, freeze.message()));
    }
    let suspended = facts.spec.suspend == Some(true);
    suspended.then(|| (Reason::Suspended, "suspended".to_owned()))
}

/// The end of a run whose effects stay.
fn stopped(facts: &Facts, reason: Reason, message: &str) -> Decision {
    let message = if facts.has_effects() {
        format!("{message}; what was done before stays as it is")
    } else {
        message.to_owned()
    };
    finish(facts, Stage::Execute, Outcome::Failed, reason, &message)
}

fn milliseconds(duration: SignedDuration) -> u64 {
    duration.as_millis().try_into().unwrap_or_default()
}

/// Another one for each step of each run, and the same each time.
fn seed(uid: &str, index: usize) -> u64 {
    let bytes = uid.bytes().map(u64::from);
    bytes.fold(index as u64, |seed, byte| {
        seed.wrapping_mul(31).wrapping_add(byte)
    })
}
