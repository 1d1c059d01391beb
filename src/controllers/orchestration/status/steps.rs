//! Floor 3: what a run's status says of its steps. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff};

use crate::{
    api::v1alpha1::{StepState, StepStatus},
    controllers::orchestration::decide::undo_of,
    domain::{
        plan::Plan,
        run::{Attempt, History},
    },
};

/// What fits into the message of a step.
const LONGEST_MESSAGE: usize = 512;

/// The steps of a plan that nobody has begun.
pub(super) fn pending(plan: &Plan) -> Vec<StepStatus> {
    let steps = plan.steps.iter().map(|step| StepStatus {
        name: step.name.clone(),
        kind: step.kind.clone(),
        state: StepState::Pending,
        started: None,
        finished: None,
        message: None,
        digest: None,
    });
    steps.collect()
}

/// The steps as the records tell of them.
pub(super) fn told(
    known: Option<Vec<StepStatus>>,
    history: Option<&History>,
    said: &BTreeMap<String, String>,
    over: bool,
) -> Option<Vec<StepStatus>> {
    let mut steps = known?;
    for step in &mut steps {
        let attempt = history.and_then(|history| history.attempt(&step.name));
        let Some(attempt) = attempt else {
            if over {
                step.state = StepState::Skipped;
            }
            continue;
        };
        step.started = Some(Time(seconds(attempt.began)));
        step.digest = attempt.effect.as_ref().map(ToString::to_string);
        if let Some(message) = said.get(&step.name) {
            step.message = Some(cut(message, LONGEST_MESSAGE));
        }
        if let Some(undo) = history.and_then(|history| history.undo(&step.name)) {
            taken_back(step, undo, said, over);
            continue;
        }
        match &attempt.ended {
            None if over => {
                step.state = StepState::Failed;
                let cut_off = "it was begun and is not gone on with; what came of it is not known";
                step.message = Some(cut_off.to_owned());
            }
            None => step.state = StepState::Running,
            Some(ended) => {
                step.finished = Some(Time(seconds(ended.at)));
                step.state = if ended.good {
                    StepState::Succeeded
                } else {
                    StepState::Failed
                };
                if step.message.is_none() && !ended.good {
                    step.message = Some(ended.reason.clone());
                }
            }
        }
    }
    Some(steps)
}

/// A step on the way back.
fn taken_back(step: &mut StepStatus, undo: &Attempt, said: &BTreeMap<String, String>, over: bool) {
    if let Some(message) = said.get(&undo_of(&step.name)) {
        step.message = Some(cut(message, LONGEST_MESSAGE));
    }
    step.state = match &undo.ended {
        Some(ended) if ended.good => StepState::Compensated,
        None if !over => StepState::Compensating,
        Some(_) | None => StepState::CompensationFailed,
    };
    if let Some(ended) = &undo.ended {
        step.finished = Some(Time(seconds(ended.at)));
    }
}

/// The API server keeps whole seconds.
fn seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

/// A text that fits.
pub(super) fn cut(text: &str, longest: usize) -> String {
    if text.len() <= longest {
        return text.to_owned();
    }
    // In bytes: many steps with long words in any script still fit into one object.
    let room = longest.saturating_sub(" …".len());
    let mut ends = (0..=room).rev();
    let end = ends.find(|end| text.is_char_boundary(*end));
    format!(
        "{} …",
        text.get(..end.unwrap_or_default()).unwrap_or_default()
    )
}
