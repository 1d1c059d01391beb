//! Floor 3: the way back of a run that failed: what was done is taken back in reverse order, as far as the approved plan
//! says; the first that cannot be ends it, and what is left is said. Pure.

use std::sync::Arc;

use super::{
    super::gather::{Facts, Working},
    Decision, Stepping, finish,
    working::{held, is_refusal, stopped_by},
};
use crate::domain::{
    plan::{Plan, PlannedStep, Undo},
    reason::Reason,
    run::{Attempt, History, Turned, Way},
    stage::{Outcome, Stage},
};

/// What a step has at least to be taken back, in milliseconds: a short effect is no reason for a short way back.
const AT_LEAST: u64 = 300_000;

/// The steps that may have changed something and are taken back, the last one first.
pub(super) fn to_take_back<'a>(
    plan: &'a Plan,
    history: &'a History,
) -> impl Iterator<Item = (usize, &'a PlannedStep)> {
    // What others have done is not this run's to take back: nothing was asked of anybody then.
    let others = Reason::DoneByOthers.as_str();
    let begun = move |step: &PlannedStep| {
        let mut attempts = history.attempts(&step.name).iter();
        attempts.any(|attempt| {
            let ended = attempt.ended.as_ref();
            ended.is_none_or(|ended| &*ended.reason != others)
        })
    };
    let steps = plan.steps.iter().enumerate().rev();
    steps.filter(move |(_, step)| begun(step) && step.is_taken_back())
}

/// What is not taken back because the plan said so before anybody approved it.
pub(super) fn left_by_plan(plan: &Plan, history: &History) -> Option<String> {
    let left = plan.steps.iter().filter_map(|step| {
        let begun = history.attempt(&step.name).is_some() && step.has_effects();
        match &step.undo {
            Undo::Nothing { why } if begun => Some(format!("{} ({why})", step.name)),
            _ => None,
        }
    });
    let left: Vec<String> = left.collect();
    (!left.is_empty()).then(|| format!("not taken back, as the plan says: {}", left.join(", ")))
}

pub(super) fn going_back(
    facts: &Facts,
    history: &History,
    (working, plan): (&Working, &Arc<Plan>),
    turned: &Turned,
) -> Decision {
    let ended = |attempt: &Attempt| attempt.ended.as_ref().map(|ended| ended.good);
    let due = to_take_back(plan, history)
        .map(|(index, step)| (index, step, history.undo(&step.name)))
        .find(|(_, _, undo)| undo.and_then(ended) != Some(true));
    let why = cause(plan, history, working, turned);
    let Some((index, step, undo)) = due else {
        return compensated(facts, history, (plan, &why), turned);
    };
    if let Some(failed) = undo.and_then(|undo| undo.ended.as_ref()) {
        let told = format!(
            "{why}; step {} was not taken back ({})",
            step.name, failed.reason
        );
        let told = working.told(&undo_of(&step.name), told);
        let left: Vec<&str> = to_take_back(plan, history)
            .map(|(_, step)| step)
            .filter(|step| history.undo(&step.name).and_then(ended) != Some(true))
            .map(|step| step.name.as_str())
            .collect();
        let message = format!("{told}; left as they are: {}", left.join(", "));
        let reason = Reason::parse(&failed.reason).unwrap_or(Reason::StepFailed);
        let outcome = Outcome::CompensationFailed;
        return finish(facts, Stage::Execute, outcome, reason, &message);
    }
    if undo.is_none() {
        let before = format!("on the way back, before step {} is taken back", step.name);
        if let Some(wait) = held(facts, working, &before) {
            return wait;
        }
    }
    let ever = history
        .attempts(&step.name)
        .iter()
        .any(|attempt| attempt.underway);
    let mut attempts = history.attempts(&step.name).iter();
    let refused = |attempt: &Attempt| {
        let ended = attempt.ended.as_ref();
        ended.is_some_and(|ended| !ended.good && is_refusal(&ended.reason))
    };
    Decision::Step(Box::new(Stepping {
        plan: Arc::clone(plan),
        index,
        way: Way::Back,
        attempt: 1,
        began: undo.map(|undo| undo.began),
        underway: ever,
        ever,
        refused: attempts.all(refused),
        time: step.timeout.max(AT_LEAST),
        stopped: stopped_by(facts, working),
    }))
}

/// The name under which is remembered what the way back of a step said.
pub(in crate::controllers::orchestration) fn undo_of(step: &str) -> String {
    format!("{step}: undo")
}

/// Why it failed: the step that did, or its time.
fn cause(plan: &Plan, history: &History, working: &Working, turned: &Turned) -> String {
    let bad = plan.steps.iter().find_map(|step| {
        let ended = history.attempt(&step.name)?.ended.as_ref()?;
        (!ended.good).then_some((step, ended))
    });
    match (turned.reason, bad) {
        (Some(Reason::StepFailed) | None, Some((step, ended))) => {
            let told = format!("step {} failed ({})", step.name, ended.reason);
            working.told(&step.name, told)
        }
        (Some(Reason::DeadlineExceeded), _) => "its time was over".to_owned(),
        (reason, _) => reason.unwrap_or(Reason::StepFailed).to_string(),
    }
}

fn compensated(
    facts: &Facts,
    history: &History,
    (plan, why): (&Plan, &str),
    turned: &Turned,
) -> Decision {
    let back: Vec<&str> = to_take_back(plan, history)
        .map(|(_, step)| step.name.as_str())
        .collect();
    let mut message = format!("{why}; taken back: {}", back.join(", "));
    if let Some(left) = left_by_plan(plan, history) {
        message.push_str("; ");
        message.push_str(&left);
    }
    finish(
        facts,
        Stage::Execute,
        Outcome::Compensated,
        turned.reason.unwrap_or(Reason::StepFailed),
        &message,
    )
}
