//! Floor 3: what becomes of a run in the middle of which people are asked: it waits for them, and goes on only if they approve
//! and what is left would be done as it was approved at the beginning. Pure.

use std::{sync::Arc, time::Duration};

use super::{
    super::{
        gather::{Facts, Midway, Rest, Working},
        status::waited_for,
    },
    Decision, LONGEST_DOUBT, Wait, again, asking, finish, told,
};
use crate::{
    api::v1alpha1::{Gate, GateState, GateStep, OnTimeout},
    controllers::settling::is_by_policy,
    domain::{
        plan::{Obstacle, Plan, PlannedStep, Verdict},
        reason::Reason,
        run::Ended,
        stage::{Outcome, Stage},
    },
};

/// A step that asks people, and how it stands.
#[derive(Debug)]
pub(in crate::controllers::orchestration) struct AskMidway {
    pub(in crate::controllers::orchestration) plan: Arc<Plan>,
    pub(in crate::controllers::orchestration) index: usize,
    pub(in crate::controllers::orchestration) attempt: u32,
    pub(in crate::controllers::orchestration) next: Turned,
}

/// What is to be done about it.
#[derive(Debug)]
pub(in crate::controllers::orchestration) enum Turned {
    /// The Gate is to be opened, and that it is may be on record already.
    Opens { intended: bool },
    /// People, or a deadline, or nobody any more, have decided.
    Answered {
        gate: Option<Box<Gate>>,
        ended: Result<(), Reason>,
        message: String,
    },
}

/// The rules of a step that asks, as they were approved.
pub(in crate::controllers::orchestration) fn rules_of(step: &PlannedStep) -> Option<GateStep> {
    serde_json::from_value(step.effect.clone()).ok()
}

pub(super) fn asking_midway(
    facts: &Facts,
    working: &Working,
    (plan, index): (&Arc<Plan>, usize),
    (attempt, intended): (u32, bool),
) -> Decision {
    let turned = |next| {
        Decision::Midway(Box::new(AskMidway {
            plan: Arc::clone(plan),
            index,
            attempt,
            next,
        }))
    };
    let midway = working.midway.as_ref().filter(|_| intended);
    let Some(midway) = midway else {
        return turned(Turned::Opens { intended });
    };
    let answered = |ended, message: &str| {
        turned(Turned::Answered {
            gate: midway.gate.clone(),
            ended,
            message: message.to_owned(),
        })
    };
    let gate = match &midway.gate {
        Some(gate) if midway.told => gate,
        None if midway.told => {
            let message = "its Gate is gone, and with it whoever was asked";
            return answered(Err(Reason::GateGone), message);
        }
        _ => return turned(Turned::Opens { intended }),
    };
    let state = gate.status.as_ref().and_then(|status| status.state);
    match state.unwrap_or(GateState::Open) {
        GateState::Open => {
            let (reason, message) = (Reason::AwaitingApproval, waited_for(gate));
            Wait::approved(Stage::Approve, reason, message).into()
        }
        GateState::Rejected => answered(Err(Reason::Rejected), &asking::rejected(gate)),
        GateState::Expired => {
            let message = "not enough people approved before the deadline";
            answered(Err(Reason::Expired), message)
        }
        GateState::Superseded => answered(Err(Reason::Superseded), "the Gate was superseded"),
        GateState::Cancelled => answered(Err(Reason::Cancelled), "the Gate was cancelled"),
        GateState::Approved => match approved(facts, working, (plan, index), (gate, midway)) {
            Ok((ended, message)) => answered(ended, &message),
            Err(wait) => *wait,
        },
    }
}

/// What an approval comes to, or why that is not known yet.
fn approved(
    facts: &Facts,
    working: &Working,
    (plan, index): (&Arc<Plan>, usize),
    (gate, midway): (&Gate, &Midway),
) -> Result<(Result<(), Reason>, String), Box<Decision>> {
    let step = plan.steps.get(index);
    let before = format!(
        "after the Gate of step {}",
        step.map_or("", |step| &step.name)
    );
    if let Some(held) = super::working::held(facts, working, &before) {
        return Err(Box::new(held));
    }
    let superseded = |message: String| Ok((Err(Reason::Superseded), message));
    match &midway.rest {
        None => Err(Box::new(
            Wait::approved(Stage::Execute, Reason::Running, "it is about to go on")
                .after(Duration::from_secs(1))
                .into(),
        )),
        Some(Rest::Void(why)) => superseded(format!("the approval does not hold any more: {why}")),
        Some(Rest::Obstructed(obstacles)) => obstructed(facts, obstacles),
        Some(Rest::Differs) => superseded(
            "what is left would not be done any more as it was approved: Playbook, policies or targets have changed".to_owned(),
        ),
        Some(Rest::Same) if !is_by_policy(gate) => Ok((Ok(()), "approved".to_owned())),
        Some(Rest::Same) => {
            let rules = step.and_then(rules_of);
            if rules.is_some_and(|rules| rules.on_timeout == Some(OnTimeout::Approve)) {
                let message = "nobody decided in time, and the signed Playbook approves it then";
                return Ok((Ok(()), message.to_owned()));
            }
            superseded("the plan does not say that the deadline approves it".to_owned())
        }
    }
}

fn obstructed(
    facts: &Facts,
    obstacles: &[Obstacle],
) -> Result<(Result<(), Reason>, String), Box<Decision>> {
    let worst = obstacles.iter().max_by_key(|obstacle| obstacle.verdict);
    let verdict = worst.map_or(Verdict::Unknown, |worst| worst.verdict);
    let reason = worst.map_or(Reason::DryRunUnavailable, |worst| worst.reason);
    let message = told(obstacles, verdict);
    let doubt = facts.doubt();
    if verdict == Verdict::Fail || doubt >= LONGEST_DOUBT {
        let message =
            format!("what is left cannot be planned any more as it was approved: {message}");
        return Ok((Err(Reason::Superseded), message));
    }
    let message =
        format!("approved; what is left is planned again, and that is not possible now: {message}");
    let wait = Wait::approved(Stage::Approve, reason, message).after(again(doubt));
    Err(Box::new(wait.doubted().into()))
}

/// The end of a run that was superseded in its middle before it changed anything.
pub(super) fn superseded_unchanged(
    facts: &Facts,
    ended: &Ended,
    message: &str,
) -> Option<Decision> {
    let superseded = ended.reason == Reason::Superseded.as_str() && !facts.has_effects();
    superseded.then(|| {
        let (outcome, reason) = (Outcome::Superseded, Reason::Superseded);
        finish(facts, Stage::Execute, outcome, reason, message)
    })
}
