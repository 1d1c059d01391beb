//! Floor 3: what a Playbook says about its runs besides their steps: how many there may be, and what becomes of targets that
//! somebody else looks after. Pure.

use crate::{
    adapters::steps::Forecast,
    api::v1alpha1::{self as api, GitOps, PlaybookSpec, RunLimits, Safety},
    domain::{
        plan::{Obstacle, OnFailure, Target},
        reason::Reason,
    },
    ports::Limits,
};

/// How many runs of it may run; what is the operator's to say is added where it begins.
pub(super) fn limits(said: Option<&RunLimits>) -> Limits {
    let count = |count: Option<i32>| count.and_then(|count| count.try_into().ok());
    Limits {
        playbook: count(said.and_then(|said| said.concurrent_runs)),
        target_hour: count(said.and_then(|said| said.runs_per_target_per_hour)),
        ..Limits::default()
    }
}

/// What has to hold over the incident for a run without a Gate, if the author allows one.
pub(super) fn auto(playbook: &PlaybookSpec) -> Option<String> {
    let allows = playbook.safety == Some(Safety::Auto);
    let rule = playbook.auto.as_ref().filter(|_| allows);
    rule.map(|rule| rule.expression.clone())
}

/// What the Playbook says about targets that a GitOps tool owns.
pub(super) fn owned(mut forecast: Forecast, git_ops: Option<GitOps>) -> Result<Forecast, Obstacle> {
    match git_ops.unwrap_or(GitOps::Warn) {
        GitOps::Warn => {}
        GitOps::Ignore => {
            for target in &mut forecast.targets {
                target.owner = None;
            }
        }
        GitOps::Refuse => {
            let owned = forecast.targets.iter().find_map(|target| {
                let owner = target.owner.as_ref()?;
                Some(format!(
                    "{} is owned by {owner}, and the Playbook refuses such targets (gitOps: Refuse); change it there",
                    Target::shown(target)
                ))
            });
            if let Some(message) = owned {
                return Err(Obstacle::fail(Reason::GitOpsOwned, message));
            }
        }
    }
    Ok(forecast)
}

/// What the author wants; absent, what was done is taken back.
pub(super) fn on_failure(wanted: Option<api::OnFailure>) -> OnFailure {
    match wanted {
        Some(api::OnFailure::Stop) => OnFailure::Stop,
        Some(api::OnFailure::Compensate) | None => OnFailure::Compensate,
    }
}
