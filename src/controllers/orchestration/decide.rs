//! Floor 3: what is to be done about a run next. Pure and total: every way from one stage to another begins here, and a
//! pass takes one of them at most, so that whatever stops the process stops it between two.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{
    gather::{Facts, Look, Opening, Working},
    records,
};
use crate::{
    adapters::ledger::{self, Draft},
    api::v1alpha1::{
        Gate, GateState, Mode, OrchestrationSpec, OrchestrationStatus, PlanVerdict, Start,
    },
    controllers::{planner::Made, settling::Closing},
    domain::{
        plan::{Obstacle, Plan, PlannedStep, Verdict},
        reason::Reason,
        run::{Attempt, History},
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
    /// It cannot be known or recorded now.
    Hold(ledger::Refusal),
    /// Somebody or something else has to act.
    Wait(Wait),
    /// People are to be asked about this plan.
    Ask(Box<Ask>),
    /// What was approved begins.
    Begin(Box<Begin>),
    /// A step is begun, or gone on with.
    Step(Box<Stepping>),
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

/// A plan, and who is to be asked about it.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) made: Made,
    pub(super) requested_by: Vec<String>,
    pub(super) records: Vec<Draft>,
    /// Only to be planned: nobody is asked.
    pub(super) plan_only: bool,
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
    pub(super) plan: std::sync::Arc<Plan>,
    pub(super) index: usize,
    pub(super) attempt: u32,
    /// The time of its intent, if that is on record.
    pub(super) began: Option<Timestamp>,
    /// Why nothing new may be written, if so.
    pub(super) stopped: Option<(Reason, String)>,
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
    /// The Gate that nobody need decide any more.
    pub(super) gate: Option<(Gate, Closing)>,
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
        Look::Ended => ended(facts, history),
        Look::Cancelled { gate } => cancelled(facts, history, gate.as_ref()),
        Look::Planning(opening) => planning(facts, opening),
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
        } => asked(facts, gate, beginning.as_deref()),
        Look::Working(working) => working_on(facts, history, working),
    }
}

/// The records tell of the end; what they came to is all that is known of it.
fn ended(facts: &Facts, history: &History) -> Decision {
    let outcome = history
        .finished
        .as_ref()
        .and_then(|finished| finished.outcome);
    let outcome = outcome.unwrap_or(Outcome::Failed);
    Decision::Finish(Box::new(Finish {
        from: facts.stage(),
        outcome,
        reason: reason_of(outcome),
        message: format!(
            "{}; the operator was interrupted when it came to its end, its records tell the rest",
            outcome.as_str()
        ),
        records: Vec::new(),
        stop: true,
        gate: None,
        verdict: None,
    }))
}

fn cancelled(facts: &Facts, history: &History, gate: Option<&Gate>) -> Decision {
    let open: Vec<(&str, u32)> = history
        .open_attempts()
        .map(|(step, attempt)| (step, attempt.number))
        .collect();
    let by = facts.spec.cancelled_by.as_deref();
    let who = by.map_or_else(|| "somebody".to_owned(), ToOwned::to_owned);
    let message = if facts.has_effects() {
        format!("cancelled by {who} after it had begun: nothing new begins, and nothing is undone")
    } else {
        format!("cancelled by {who} before anything was changed")
    };
    let mut records = Vec::new();
    if !history.cancelled {
        records.push(records::cancelled(facts, by));
    }
    records
        .extend(open.iter().map(|(step, attempt)| {
            records::step_cut_off(facts, step, *attempt, Reason::Cancelled)
        }));
    let from = facts.stage();
    records.push(records::finished(facts, from, Outcome::Cancelled, &message));
    Decision::Finish(Box::new(Finish {
        from,
        outcome: Outcome::Cancelled,
        reason: Reason::Cancelled,
        message,
        records,
        stop: true,
        gate: gate.map(|gate| (gate.clone(), Closing::Cancelled)),
        verdict: None,
    }))
}

fn planning(facts: &Facts, opening: &Opening) -> Decision {
    match opening {
        Opening::Suspended => wait(
            Stage::DryRun,
            Reason::Suspended,
            "the run is suspended: it is planned when suspend is taken back",
            None,
        ),
        Opening::NoPlaybook => no_playbook(facts),
        Opening::NoRequester => finish(
            facts,
            Stage::DryRun,
            Outcome::Failed,
            Reason::RequesterUnknown,
            "spec.requestedBy does not say who asked for it: is the policy orchestration-requester installed?",
        ),
        Opening::Distrusted {
            message,
            lasting: true,
        } => finish(
            facts,
            Stage::DryRun,
            Outcome::Failed,
            Reason::RequesterUnknown,
            message,
        ),
        Opening::Distrusted { message, .. } => wait(
            Stage::DryRun,
            Reason::AdmissionGuardMissing,
            message,
            Some(Duration::from_secs(5)),
        ),
        Opening::Planned(Err(obstacles)) => obstructed(facts, obstacles),
        Opening::Planned(Ok(made)) if made.approval.is_empty() => finish(
            facts,
            Stage::DryRun,
            Outcome::Failed,
            Reason::Invalid,
            "the Playbook says nobody who approves",
        ),
        Opening::Planned(Ok(made)) => {
            let mut requested_by: Vec<String> = Vec::new();
            for name in [&facts.spec.requested_by, &facts.spec.selected_by]
                .into_iter()
                .flatten()
            {
                if !requested_by.contains(name) {
                    requested_by.push(name.clone());
                }
            }
            Decision::Ask(Box::new(Ask {
                made: made.clone(),
                requested_by,
                records: vec![records::requested(facts), records::planned(facts, made)],
                plan_only: facts.spec.mode == Some(Mode::PlanOnly),
            }))
        }
    }
}

fn no_playbook(facts: &Facts) -> Decision {
    if facts.age() >= LONGEST_WAIT {
        return finish(
            facts,
            Stage::Suggest,
            Outcome::Expired,
            Reason::NoPlaybook,
            "nobody took a Playbook within a day",
        );
    }
    let left = LONGEST_WAIT.saturating_sub(facts.age());
    wait(
        Stage::Suggest,
        Reason::NoPlaybook,
        "the run names no Playbook: set spec.playbookRef, spec.parameters and spec.selectedBy in one write",
        Some(left.unsigned_abs().saturating_add(Duration::from_secs(1))),
    )
}

/// Something stands in the way of a plan: for good, or as far as is known now.
fn obstructed(facts: &Facts, obstacles: &[Obstacle]) -> Decision {
    let worst = obstacles.iter().max_by_key(|obstacle| obstacle.verdict);
    let Some(worst) = worst else {
        return wait(
            Stage::DryRun,
            Reason::InternalError,
            "nothing was planned",
            None,
        );
    };
    let message = told(obstacles, worst.verdict);
    let end = |verdict, message: &str| {
        let mut end = finish(facts, Stage::DryRun, Outcome::Failed, worst.reason, message);
        if let Decision::Finish(finish) = &mut end {
            finish.verdict = Some(verdict);
        }
        end
    };
    if worst.verdict == Verdict::Fail {
        return end(PlanVerdict::Fail, &message);
    }
    if facts.age() >= LONGEST_DOUBT {
        return end(
            PlanVerdict::Unknown,
            &format!("not known for an hour: {message}"),
        );
    }
    waiting(Wait {
        stage: Stage::DryRun,
        reason: worst.reason,
        message,
        after: Some(again(facts.age())),
        approved: false,
        record: None,
        verdict: Some(PlanVerdict::Unknown),
    })
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

fn asked(facts: &Facts, gate: &Gate, beginning: Option<&super::gather::Beginning>) -> Decision {
    let end =
        |outcome, reason, message: &str| finish(facts, Stage::Approve, outcome, reason, message);
    let state = gate.status.as_ref().and_then(|status| status.state);
    match state.unwrap_or(GateState::Open) {
        GateState::Open => wait(
            Stage::Approve,
            Reason::AwaitingApproval,
            &super::status::waited_for(gate),
            None,
        ),
        GateState::Rejected => end(
            Outcome::Rejected,
            Reason::Rejected,
            &verdict_of(gate, "rejected"),
        ),
        GateState::Expired => end(
            Outcome::Expired,
            Reason::Expired,
            "not enough people approved before the deadline",
        ),
        GateState::Superseded => end(
            Outcome::Superseded,
            Reason::Superseded,
            "the Gate was superseded",
        ),
        GateState::Cancelled => end(
            Outcome::Cancelled,
            Reason::Cancelled,
            "the Gate was cancelled",
        ),
        GateState::Approved => match beginning {
            None => approved_but_waiting(facts),
            Some(beginning) => begin(facts, gate, beginning),
        },
    }
}

fn verdict_of(gate: &Gate, word: &str) -> String {
    let counted = gate
        .status
        .as_ref()
        .and_then(|status| status.decisions.as_ref());
    let users: Vec<&str> = counted
        .into_iter()
        .flatten()
        .filter(|one| one.verdict == crate::api::v1alpha1::CountedVerdict::Reject)
        .map(|one| one.user.as_str())
        .collect();
    if users.is_empty() {
        word.to_owned()
    } else {
        format!("{word} by {}", users.join(", "))
    }
}

/// Whether an approved run waits for its own people before anything else is looked at.
pub(super) fn waits_for_people(spec: &OrchestrationSpec) -> Option<Reason> {
    if spec.suspend == Some(true) {
        return Some(Reason::Suspended);
    }
    let released = spec.start != Some(Start::OnRelease) || spec.released_by.is_some();
    (!released).then_some(Reason::AwaitingRelease)
}

fn approved_but_waiting(facts: &Facts) -> Decision {
    let since = facts.status_since_approval();
    let mut left = None;
    let (reason, message) = match waits_for_people(&facts.spec) {
        Some(Reason::AwaitingRelease) => {
            let age = facts.now.duration_since(since);
            if age >= LONGEST_WAIT {
                let message = "approved, but nobody released it within a day";
                return finish(
                    facts,
                    Stage::Approve,
                    Outcome::Expired,
                    Reason::AwaitingRelease,
                    message,
                );
            }
            left = Some(LONGEST_WAIT.saturating_sub(age).unsigned_abs() + Duration::from_secs(1));
            (
                Reason::AwaitingRelease,
                "approved; it begins when somebody sets spec.releasedBy to their own name",
            )
        }
        _ => (
            Reason::Suspended,
            "approved; it begins when suspend is taken back",
        ),
    };
    waiting(Wait {
        stage: Stage::Approve,
        reason,
        message: message.to_owned(),
        after: left,
        approved: true,
        record: None,
        verdict: None,
    })
}

fn begin(facts: &Facts, gate: &Gate, beginning: &super::gather::Beginning) -> Decision {
    let superseded = |message: &str| {
        finish(
            facts,
            Stage::Approve,
            Outcome::Superseded,
            Reason::Superseded,
            message,
        )
    };
    if let Some(freeze) = beginning.frozen.first() {
        return frozen(facts, Stage::Approve, freeze);
    }
    if let Some(message) = &beginning.release_distrusted {
        return waiting(Wait {
            stage: Stage::Approve,
            reason: Reason::RequesterUnknown,
            message: message.clone(),
            after: None,
            approved: true,
            record: None,
            verdict: None,
        });
    }
    match &beginning.recount {
        None => {}
        Some(Ok(())) => {}
        Some(Err(why)) => {
            return superseded(&format!("the approval does not hold any more: {why}"));
        }
    }
    match &beginning.made {
        None => wait(
            Stage::Approve,
            Reason::Running,
            "it is about to begin",
            Some(Duration::from_secs(1)),
        ),
        Some(Err(obstacles)) => {
            let worst = obstacles.iter().max_by_key(|obstacle| obstacle.verdict);
            let verdict = worst.map_or(Verdict::Unknown, |worst| worst.verdict);
            let message = told(obstacles, verdict);
            let since = facts.now.duration_since(facts.status_since_approval());
            if verdict == Verdict::Fail || since >= LONGEST_DOUBT {
                return superseded(&format!(
                    "it cannot be planned any more as it was approved: {message}"
                ));
            }
            waiting(Wait {
                stage: Stage::Approve,
                reason: worst.map_or(Reason::DryRunUnavailable, |worst| worst.reason),
                message: format!(
                    "approved; planned again before it begins, and that is not possible now: {message}"
                ),
                after: Some(again(since)),
                approved: true,
                record: None,
                verdict: None,
            })
        }
        Some(Ok(made)) if made.digest.as_str() != gate.spec.subject.plan_digest => superseded(
            "what was approved is not what would run now: Playbook, parameters, policies or targets have changed; nothing was written, ask again",
        ),
        Some(Ok(made)) => Decision::Begin(Box::new(Begin {
            record: records::started(facts, made, gate),
            made: made.clone(),
        })),
    }
}

fn frozen(facts: &Facts, stage: Stage, freeze: &super::gather::Frozen) -> Decision {
    waiting(Wait {
        stage,
        reason: Reason::Frozen,
        message: freeze.message(),
        after: None,
        approved: true,
        record: Some(records::held(
            facts,
            Reason::Frozen,
            &freeze.uid,
            &freeze.message(),
        )),
        verdict: None,
    })
}

fn working_on(facts: &Facts, history: &History, working: &Working) -> Decision {
    let plan = match &working.plan {
        Ok(plan) => plan,
        Err(message) => {
            return failed(facts, Reason::InternalError, message);
        }
    };
    let due = plan.steps.iter().enumerate().find_map(|(index, step)| {
        let attempt = history.attempt(&step.name);
        let good = attempt.is_some_and(|attempt| {
            let ended = attempt.ended.as_ref();
            ended.is_some_and(|ended| ended.good)
        });
        (!good).then_some((index, step, attempt))
    });
    let Some((index, step, attempt)) = due else {
        let message = format!("all {} steps were done", plan.steps.len());
        return finish(
            facts,
            Stage::Execute,
            Outcome::Succeeded,
            Reason::Succeeded,
            &message,
        );
    };
    match attempt {
        Some(Attempt {
            ended: Some(ended), ..
        }) => {
            let message = format!("step {} failed ({})", step.name, ended.reason);
            failed(
                facts,
                Reason::StepFailed,
                &working.told(&step.name, message),
            )
        }
        Some(attempt) => stepping(working, (index, attempt.number, Some(attempt.began))),
        None => fresh(facts, history, working, (index, step)),
    }
}

/// The next step, unless something keeps anything new from beginning.
fn fresh(
    facts: &Facts,
    history: &History,
    working: &Working,
    (index, step): (usize, &PlannedStep),
) -> Decision {
    if let Some(freeze) = working.frozen.first() {
        return frozen(facts, Stage::Execute, freeze);
    }
    if facts.spec.suspend == Some(true) {
        return waiting(Wait {
            stage: Stage::Execute,
            reason: Reason::Suspended,
            message: format!("suspended before step {}", step.name),
            after: None,
            approved: true,
            record: None,
            verdict: None,
        });
    }
    let timeout = working.plan.as_ref().map_or(0, |plan| plan.timeout);
    let started = history
        .started
        .as_ref()
        .map_or(facts.now, |started| started.at);
    if passed(started, timeout, facts.now) {
        let message = format!("its time was over before step {}", step.name);
        return failed(facts, Reason::DeadlineExceeded, &message);
    }
    stepping(working, (index, 1, None))
}

/// Whether so many milliseconds have passed since then.
pub(super) fn passed(since: Timestamp, milliseconds: u64, now: Timestamp) -> bool {
    let waited = now.duration_since(since);
    waited.is_positive() && waited.unsigned_abs() >= Duration::from_millis(milliseconds)
}

fn stepping(
    working: &Working,
    (index, attempt, began): (usize, u32, Option<Timestamp>),
) -> Decision {
    let Ok(plan) = &working.plan else {
        return Decision::Settled;
    };
    let stopped = working.frozen.first();
    Decision::Step(Box::new(Stepping {
        plan: std::sync::Arc::clone(plan),
        index,
        attempt,
        began,
        stopped: stopped.map(|freeze| (Reason::Frozen, freeze.message())),
    }))
}

fn failed(facts: &Facts, reason: Reason, message: &str) -> Decision {
    let message = if facts.has_effects() {
        format!("{message}; what was done before stays as it is")
    } else {
        message.to_owned()
    };
    finish(facts, Stage::Execute, Outcome::Failed, reason, &message)
}

fn finish(facts: &Facts, from: Stage, outcome: Outcome, reason: Reason, message: &str) -> Decision {
    let mut records = Vec::new();
    if facts
        .history
        .as_ref()
        .is_ok_and(|history| !history.requested)
    {
        records.push(records::requested(facts));
    }
    records.push(records::finished(facts, from, outcome, message));
    Decision::Finish(Box::new(Finish {
        from,
        outcome,
        reason,
        message: message.to_owned(),
        records,
        stop: false,
        gate: None,
        verdict: None,
    }))
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

fn wait(stage: Stage, reason: Reason, message: &str, after: Option<Duration>) -> Decision {
    waiting(Wait {
        stage,
        reason,
        message: message.to_owned(),
        after,
        approved: false,
        record: None,
        verdict: None,
    })
}

fn waiting(wait: Wait) -> Decision {
    Decision::Wait(wait)
}
