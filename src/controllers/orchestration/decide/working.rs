//! Floor 3: what becomes of a run that has begun: its next step, or its end. Pure.

use std::sync::Arc;

use jiff::Timestamp;

use super::{
    super::gather::{Facts, Working},
    Decision, Stepping, Wait, finish, frozen, passed,
};
use crate::domain::{
    plan::PlannedStep,
    reason::Reason,
    run::{Attempt, History},
    stage::{Outcome, Stage},
};

pub(super) fn working_on(facts: &Facts, history: &History, working: &Working) -> Decision {
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
        let message = format!("suspended before step {}", step.name);
        return Wait::approved(Stage::Execute, Reason::Suspended, message).into();
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

fn stepping(
    working: &Working,
    (index, attempt, began): (usize, u32, Option<Timestamp>),
) -> Decision {
    let Ok(plan) = &working.plan else {
        return Decision::Settled;
    };
    let stopped = working.frozen.first();
    Decision::Step(Box::new(Stepping {
        plan: Arc::clone(plan),
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
