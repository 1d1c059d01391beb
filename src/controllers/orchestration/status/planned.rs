//! Floor 3: what a run's status says about its plan, in short: the plan itself lies in its ConfigMap. Pure.

use super::{super::gather::Planned, steps};
use crate::{
    api::v1alpha1::{CoverageCount, PlanSummary, PlanVerdict},
    domain::{
        digest::Digest,
        plan::{self, Coverage, Plan},
    },
};

/// What fits into the summary of a plan.
const LONGEST_SUMMARY: usize = 1024;
/// Targets that a status shows; the plan holds them all.
const TARGETS_SHOWN: usize = 64;
/// What is said of a plan whose ConfigMap is gone.
pub(super) const GONE: &str =
    "it was planned, and the ConfigMap with its plan is not there any more";

/// There is a plan, and it lies in this ConfigMap.
pub(super) fn summary(digest: &Digest, plan: &Plan, config_map: &str) -> PlanSummary {
    let steps = plan.steps.iter();
    let mut count = CoverageCount::default();
    for step in steps.clone() {
        let of = match step.coverage {
            Coverage::ServerDryRun => &mut count.server_dry_run,
            Coverage::SchemaOnly => &mut count.schema_only,
            Coverage::Opaque => &mut count.opaque,
            Coverage::Unplannable => &mut count.unplannable,
        };
        *of += 1;
    }
    let mut targets: Vec<String> = Vec::new();
    for target in steps.flat_map(|step| &step.targets) {
        let shown = target.shown();
        if !targets.contains(&shown) && targets.len() < TARGETS_SHOWN {
            targets.push(shown);
        }
    }
    PlanSummary {
        digest: Some(digest.to_string()),
        config_map: Some(config_map.to_owned()),
        verdict: PlanVerdict::Pass,
        coverage: Some(count),
        targets: Some(targets),
        summary: Some(plan::summary(plan)),
    }
}

/// The plan of a run that nobody was to be asked about, as far as it is still there.
pub(super) fn kept(planned: &Planned) -> PlanSummary {
    match &planned.kept {
        Some((plan, config_map)) => summary(&planned.digest, plan, config_map),
        None => gone(&planned.digest),
    }
}

/// There was a plan, and nobody can read it any more.
fn gone(digest: &Digest) -> PlanSummary {
    PlanSummary {
        digest: Some(digest.to_string()),
        config_map: None,
        verdict: PlanVerdict::Pass,
        coverage: None,
        targets: None,
        summary: Some(GONE.to_owned()),
    }
}

/// There is no plan; why, in short.
pub(super) fn unmade(verdict: PlanVerdict, message: &str) -> PlanSummary {
    PlanSummary {
        digest: None,
        config_map: None,
        verdict,
        coverage: None,
        targets: None,
        summary: Some(steps::cut(message, LONGEST_SUMMARY)),
    }
}
