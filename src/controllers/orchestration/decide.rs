//! Floor 3: what is to be done about a run next. Pure and total: every way from one stage to another begins here, and a
//! pass takes one of them at most, so that whatever stops the process stops it between two.

mod asking;
mod back;
mod ending;
mod escalating;
mod foreign;
mod joining;
mod midway;
mod opening;
mod retiring;
mod wait;
mod working;

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};

pub(super) use asking::{limited, waits_for_people};
pub(super) use back::undo_of;
pub(super) use escalating::{Escalate, Next};
pub(super) use foreign::is_foreign;
pub(super) use joining::{Among, Join, Own, Standin, among, incident_of, successor, wish_of};
pub(super) use midway::{AskMidway, Turned, rules_of};
pub(super) use opening::shaped_by;
pub(super) use retiring::{Retire, finished_at, is_due, over_at};
pub(super) use wait::Wait;
pub(super) use working::GATE;

use ending::{cancelled, ended, finish};

use super::{
    gather::{Facts, Frozen, Look, Planned},
    records,
};
use crate::{
    adapters::ledger::{self, Draft},
    api::v1alpha1::{Gate, OrchestrationSpec, OrchestrationStatus, PlanVerdict},
    controllers::{planner::Made, settling::Closing},
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
    /// The signed Playbook allows it without a Gate.
    Allowed,
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
    } else if is_allowed(status, history) {
        Standing::Allowed
    } else if history.planned.is_some()
        && status.gates.as_ref().is_some_and(|gates| !gates.is_empty())
    {
        Standing::Asked
    } else {
        Standing::Planning
    }
}

/// Whether the plan that its status shows is the one that is allowed without a Gate; else it is planned once more.
fn is_allowed(status: &OrchestrationStatus, history: &History) -> bool {
    let Some(allowed) = &history.allowed else {
        return false;
    };
    let planned = history.planned.as_ref();
    let shown = status.plan.as_ref().and_then(|plan| plan.digest.as_deref());
    status.gates.as_ref().is_none_or(Vec::is_empty)
        && planned.is_some_and(|planned| planned.plan == allowed.plan)
        && shown == Some(allowed.plan.as_str())
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
    /// Later runs about the same incident are to join it.
    Own(Own),
    /// It joins an earlier run about the same incident.
    Join(Box<Join>),
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

/// A plan, and who is to be asked about it.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) made: Made,
    pub(super) requested_by: Vec<String>,
    pub(super) records: Vec<Draft>,
    /// Only to be planned: nobody is asked.
    pub(super) plan_only: bool,
    /// Mode Auto: the expression that allows it without a Gate, or why it is asked about all the same.
    pub(super) auto: Option<Result<String, String>>,
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
    /// Whether it is on record that it has begun outside; on the way back: that any attempt had.
    pub(super) underway: bool,
    /// Whether that is on record of any attempt.
    pub(super) ever: bool,
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
    /// The plan, if it was only to be planned.
    pub(super) planned: Option<Planned>,
}

pub(super) fn decide(facts: &Facts) -> Decision {
    let history = match &facts.history {
        Ok(history) => history,
        Err(refusal) => return Decision::Hold(refusal.clone()),
    };
    match &facts.look {
        Look::Settled => Decision::Settled,
        Look::Retiring(found) => retiring::retiring(found),
        Look::Ended { planned } => ended(facts, history, planned.as_deref()),
        Look::Cancelled => cancelled(facts, history),
        Look::Allowed { beginning } => asking::allowed(facts, history, beginning.as_deref()),
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
            beginning,
            ..
        } if is_foreign(facts, gate, beginning.as_deref()) => finish(
            facts,
            Stage::Approve,
            Outcome::Failed,
            Reason::GateGone,
            "the Gate that its status names is not one that this run opened, whatever people answered there: somebody else wrote that status or that Gate; ask for another run",
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
