//! Floor 3: what is to be done about a run next. Pure and total: every way from one stage to another begins here, and a
//! pass takes one of them at most, so that whatever stops the process stops it between two.

mod asking;
mod back;
mod escalating;
mod midway;
mod opening;
mod retiring;
mod working;

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};

pub(super) use asking::waits_for_people;
pub(super) use back::undo_of;
pub(super) use escalating::{Escalate, Next};
pub(super) use midway::{AskMidway, Turned, rules_of};
pub(super) use opening::shaped_by;
pub(super) use retiring::{Retire, finished_at, is_due, over_at};
pub(super) use working::GATE;

use super::{
    gather::{Facts, Frozen, Look},
    records,
};
use crate::{
    adapters::ledger::{self, Draft},
    api::v1alpha1::{Gate, OrchestrationSpec, OrchestrationStatus, PlanVerdict},
    controllers::{
        planner::Made,
        settling::{Closing, is_open},
    },
    domain::{
        plan::{Obstacle, Plan, Verdict},
        reason::Reason,
        run::{History, Way},
        stage::{Outcome, Stage},
    },
};

/// A run that names no Playbook, or that nobody releases, waits for so long.
const LONGEST_WAIT: SignedDuration = SignedDuration::from_hours(24);
/// A plan that is not known is tried for so long.
const LONGEST_DOUBT: SignedDuration = SignedDuration::from_hours(1);
/// What a message tells of many obstacles.
const OBSTACLES_SHOWN: usize = 6;

/// Where a run stands, as far as spec, status and records tell without looking at anything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Its status tells of its end.
    Settled,
    /// Its records do, its status not yet.
    Ended,
    /// Somebody cancelled it.
    Cancelled,
    /// It has begun.
    Executing,
    /// People are asked.
    Asked,
    /// It has to be planned.
    Planning,
}

pub(super) fn standing(
    spec: &OrchestrationSpec,
    status: &OrchestrationStatus,
    history: &History,
) -> Standing {
    if status.outcome.is_some() {
        Standing::Settled
    } else if history.finished.is_some() {
        Standing::Ended
    } else if spec.cancel == Some(true) {
        Standing::Cancelled
    } else if history.started.is_some() {
        Standing::Executing
    } else if history.planned.is_some()
        && status.gates.as_ref().is_some_and(|gates| !gates.is_empty())
    {
        Standing::Asked
    } else {
        Standing::Planning
    }
}

/// What is to be done about a run.
#[derive(Debug)]
pub(super) enum Decision {
    /// Nothing; it has come to its end.
    Settled,
    /// It has come to its end long ago, and is deleted.
    Retire(Box<Retire>),
    /// It cannot be known or recorded now.
    Hold(ledger::Refusal),
    /// Somebody or something else has to act.
    Wait(Box<Wait>),
    /// People are to be asked about this plan.
    Ask(Box<Ask>),
    /// The next people are to be asked, because the deadline of those before has passed.
    Escalate(Box<Escalate>),
    /// What was approved begins.
    Begin(Box<Begin>),
    /// A step is begun or gone on with, or taken back.
    Step(Box<Stepping>),
    /// People are to be asked in its middle, or have decided there.
    Midway(Box<AskMidway>),
    /// It failed, and what it did is to be taken back.
    Turn(Box<Turn>),
    /// It comes to its end.
    Finish(Box<Finish>),
}

/// What a run waits for.
#[derive(Clone, Debug)]
pub(super) struct Wait {
    pub(super) stage: Stage,
    pub(super) reason: Reason,
    pub(super) message: String,
    /// When to look again; none: somebody wakes it.
    pub(super) after: Option<Duration>,
    /// Whether the right people have approved already.
    pub(super) approved: bool,
    /// What keeps it from going on, to be recorded once.
    pub(super) record: Option<Draft>,
    /// What the dry run came to, if that is what keeps it.
    pub(super) verdict: Option<PlanVerdict>,
}

impl Wait {
    /// Waits until somebody wakes it.
    fn new(stage: Stage, reason: Reason, message: impl Into<String>) -> Self {
        Self {
            stage,
            reason,
            message: message.into(),
            after: None,
            approved: false,
            record: None,
            verdict: None,
        }
    }

    /// Waits with the approval that is needed.
    pub(super) fn approved(stage: Stage, reason: Reason, message: impl Into<String>) -> Self {
        Self {
            approved: true,
            ..Self::new(stage, reason, message)
        }
    }

    /// Looks again after this time, whoever wakes it.
    pub(super) fn after(mut self, after: Duration) -> Self {
        self.after = Some(after);
        self
    }
}

impl From<Wait> for Decision {
    fn from(wait: Wait) -> Self {
        Self::Wait(Box::new(wait))
    }
}

/// A plan, and who is to be asked about it.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) made: Made,
    pub(super) requested_by: Vec<String>,
    pub(super) records: Vec<Draft>,
    /// Only to be planned: nobody is asked.
    pub(super) plan_only: bool,
    /// The Gates that asked about an earlier plan when the process ended, so that nobody was told of them.
    pub(super) outdated: Vec<Gate>,
}

/// An approved plan that is to begin.
#[derive(Debug)]
pub(super) struct Begin {
    pub(super) made: Made,
    pub(super) record: Draft,
}

/// A step and how it stands.
#[derive(Debug)]
pub(super) struct Stepping {
    pub(super) plan: Arc<Plan>,
    pub(super) index: usize,
    /// Whether it is done or taken back.
    pub(super) way: Way,
    pub(super) attempt: u32,
    /// The time of its intent, if that is on record.
    pub(super) began: Option<Timestamp>,
    /// Whether it is on record that it has begun outside.
    pub(super) underway: bool,
    /// Whether every attempt so far ended by a refusal.
    pub(super) refused: bool,
    /// What the attempt has for its work, in milliseconds.
    pub(super) time: u64,
    /// Why nothing new may be written, if so.
    pub(super) stopped: Option<(Reason, String)>,
}

/// The beginning of the way back.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) record: Draft,
}

/// The end of a run.
#[derive(Debug)]
pub(super) struct Finish {
    pub(super) from: Stage,
    pub(super) outcome: Outcome,
    pub(super) reason: Reason,
    pub(super) message: String,
    pub(super) records: Vec<Draft>,
    /// A stop is done whatever can be recorded.
    pub(super) stop: bool,
    /// The Gates that nobody need decide any more.
    pub(super) gates: Vec<(Gate, Closing)>,
    /// What the dry run came to, if it is the end because of that.
    pub(super) verdict: Option<PlanVerdict>,
}

pub(super) fn decide(facts: &Facts) -> Decision {
    let history = match &facts.history {
        Ok(history) => history,
        Err(refusal) => return Decision::Hold(refusal.clone()),
    };
    match &facts.look {
        Look::Settled => Decision::Settled,
        Look::Retiring(found) => retiring::retiring(found),
        Look::Ended => ended(facts, history),
        Look::Cancelled => cancelled(facts, history),
        Look::Planning(opening) => opening::planning(facts, opening),
        Look::Asked { gate: None, .. } => finish(
            facts,
            Stage::Approve,
            Outcome::Failed,
            Reason::GateGone,
            "the Gate of this run is gone, and with it whoever was asked; ask for another run",
        ),
        Look::Asked {
            gate: Some(gate),
            escalation: Some(escalation),
            ..
        } => escalating::expired(facts, gate, escalation),
        Look::Asked {
            gate: Some(gate),
            beginning,
            ..
        } => asking::asked(facts, gate, beginning.as_deref()),
        Look::Working(working) => working::working_on(facts, history, working),
    }
}

/// The records tell of the end; what they came to is all that is known of it.
fn ended(facts: &Facts, history: &History) -> Decision {
    let finished = history.finished.as_ref();
    let outcome = finished.and_then(|finished| finished.outcome);
    let outcome = outcome.unwrap_or(Outcome::Failed);
    let reason = finished.and_then(|finished| finished.reason);
    Decision::Finish(Box::new(Finish {
        from: facts.stage(),
        outcome,
        reason: reason.unwrap_or_else(|| reason_of(outcome)),
        message: format!(
            "{}; the operator was interrupted when it came to its end, its records tell the rest",
            outcome.as_str()
        ),
        records: Vec::new(),
        stop: true,
        gates: unanswered(facts, outcome),
        verdict: None,
    }))
}

fn cancelled(facts: &Facts, history: &History) -> Decision {
    let forth = history.open_attempts().map(|open| (Way::Forth, open));
    let back = history.open_undos().map(|open| (Way::Back, open));
    let open = forth.chain(back);
    let open = open.map(|(way, (step, attempt))| (way, step, attempt.number));
    let by = facts.spec.cancelled_by.as_deref();
    let who = by.map_or_else(|| "somebody".to_owned(), ToOwned::to_owned);
    let message = if history.turned.is_some() {
        format!("cancelled by {who} on the way back: nothing else is taken back")
    } else if facts.has_effects() {
        format!("cancelled by {who} after it had begun: nothing new begins, and nothing is undone")
    } else {
        format!("cancelled by {who} before anything was changed")
    };
    let mut records = first(facts);
    if !history.cancelled {
        records.push(records::cancelled(facts, by));
    }
    records.extend(open.map(|open| records::step_cut_off(facts, open, Reason::Cancelled)));
    let from = facts.stage();
    records.push(records::finished(
        facts,
        from,
        (Outcome::Cancelled, Reason::Cancelled),
        &message,
    ));
    Decision::Finish(Box::new(Finish {
        from,
        outcome: Outcome::Cancelled,
        reason: Reason::Cancelled,
        message,
        records,
        stop: true,
        gates: unanswered(facts, Outcome::Cancelled),
        verdict: None,
    }))
}

fn told(obstacles: &[Obstacle], verdict: Verdict) -> String {
    let worst = obstacles.iter().filter(|one| one.verdict == verdict);
    let mut parts: Vec<&str> = worst.map(|one| one.message.as_str()).collect();
    let more = parts.len().saturating_sub(OBSTACLES_SHOWN);
    parts.truncate(OBSTACLES_SHOWN);
    let mut text = parts.join("; ");
    if more > 0 {
        text.push_str(&format!("; and {more} more"));
    }
    text
}

/// When to try again what was in doubt: often at first, later once a minute.
fn again(age: SignedDuration) -> Duration {
    let tenth = age.unsigned_abs() / 10;
    tenth.clamp(Duration::from_secs(2), Duration::from_secs(60))
}

fn finish(facts: &Facts, from: Stage, outcome: Outcome, reason: Reason, message: &str) -> Decision {
    let mut records = first(facts);
    records.push(records::finished(facts, from, (outcome, reason), message));
    Decision::Finish(Box::new(Finish {
        from,
        outcome,
        reason,
        message: message.to_owned(),
        records,
        stop: false,
        gates: unanswered(facts, outcome),
        verdict: None,
    }))
}

/// The Gates that still ask when the run comes to this end: whoever answers them would answer for nothing.
fn unanswered(facts: &Facts, outcome: Outcome) -> Vec<(Gate, Closing)> {
    let closing = match outcome {
        Outcome::Cancelled => Closing::Cancelled,
        _ => Closing::Superseded,
    };
    let open = facts.gates.iter().filter(|gate| is_open(gate));
    open.map(|gate| (gate.clone(), closing)).collect()
}

/// Who asked for it comes before whatever else is recorded of it.
fn first(facts: &Facts) -> Vec<Draft> {
    let history = facts.history.as_ref();
    if history.is_ok_and(|history| !history.requested) {
        vec![records::requested(facts)]
    } else {
        Vec::new()
    }
}

fn reason_of(outcome: Outcome) -> Reason {
    match outcome {
        Outcome::Succeeded => Reason::Succeeded,
        Outcome::Failed | Outcome::Compensated | Outcome::CompensationFailed => Reason::StepFailed,
        Outcome::Rejected => Reason::Rejected,
        Outcome::Expired => Reason::Expired,
        Outcome::Cancelled => Reason::Cancelled,
        Outcome::Superseded | Outcome::Joined => Reason::Superseded,
        Outcome::Planned => Reason::Planned,
    }
}

/// A Freeze stops it; that is on record once for each Freeze.
fn frozen(facts: &Facts, stage: Stage, freeze: &Frozen) -> Decision {
    let message = freeze.message();
    let record = records::held(facts, Reason::Frozen, &freeze.uid, &message);
    let wait = Wait::approved(stage, Reason::Frozen, message);
    Wait {
        record: Some(record),
        ..wait
    }
    .into()
}

/// Whether so many milliseconds have passed since then.
pub(super) fn passed(since: Timestamp, milliseconds: u64, now: Timestamp) -> bool {
    let waited = now.duration_since(since);
    waited.is_positive() && waited.unsigned_abs() >= Duration::from_millis(milliseconds)
}

#[cfg(test)]
pub(super) mod tests;
