//! Floor 3: what a run's status says. Pure; the only place that builds its conditions.

mod gates;
mod steps;

use jiff::Timestamp;
use k8s_openapi::jiff;

pub(super) use gates::waited_for;

use self::gates::{approval, end_gates, of_gate, settle_gates, tell_gate};
use super::{
    act::{Done, Told},
    decide::Wait,
    gather::Facts,
};
use crate::{
    api::{
        conditions::{self, ConditionStatus, ConditionType, Draft},
        v1alpha1::{
            self as api, AuditRange, CoverageCount, Orchestration, OrchestrationStatus,
            PlanSummary, PlanVerdict,
        },
    },
    controllers::{
        harness::Failure,
        planner::Made,
        untold::{failed, unrecorded},
    },
    domain::{
        plan::{self, Coverage},
        reason::Reason,
        run::History,
        stage::{Outcome, Stage},
    },
};

/// What fits into the summary of a plan.
const LONGEST_SUMMARY: usize = 1024;
/// Targets that a status shows; the plan holds them all.
const TARGETS_SHOWN: usize = 64;

pub(super) fn status(
    object: &Orchestration,
    pass: Result<&Done, &Failure>,
    now: Timestamp,
) -> OrchestrationStatus {
    let before = object.status.clone().unwrap_or_default();
    let generation = object.metadata.generation;
    let standing = before.conditions.clone().unwrap_or_default();
    let amended = |drafts| Some(conditions::amend(&standing, drafts, generation, now));
    let done = match pass {
        Ok(done) => done,
        // Whatever keeps a finished run from being deleted changes nothing of what it came to.
        Err(_) if before.outcome.is_some() => return before,
        Err(failure) => {
            return OrchestrationStatus {
                conditions: amended(failed(failure)),
                ..before
            };
        }
    };
    match &done.told {
        Told::Same => return before,
        Told::Settled => {
            return OrchestrationStatus {
                observed_generation: generation,
                ..before
            };
        }
        Told::Held(_) if before.outcome.is_some() => return before,
        Told::Held(refusal) => {
            return OrchestrationStatus {
                conditions: amended(unrecorded(refusal)),
                ..before
            };
        }
        Told::Waiting(_)
        | Told::Asked { .. }
        | Told::Escalated { .. }
        | Told::AskedMidway { .. }
        | Told::Answered { .. }
        | Told::Going { .. }
        | Told::Ended { .. } => {}
    }
    let drafts = drafts(&before, &done.told, &done.facts);
    let told = told(before, done);
    OrchestrationStatus {
        observed_generation: generation,
        conditions: Some(conditions::merge(&standing, drafts, generation, now)),
        ..told
    }
}

/// What is known besides the conditions.
fn told(before: OrchestrationStatus, done: &Done) -> OrchestrationStatus {
    let history = done.facts.history.as_ref().ok();
    let mut status = OrchestrationStatus {
        audit: audit(history, done.recorded).or(before.audit.clone()),
        ..before
    };
    match &done.told {
        Told::Same | Told::Settled | Told::Held(_) => {}
        Told::Waiting(wait) => {
            status.stage = Some(stage(wait.stage));
            if let Some(verdict) = wait.verdict {
                status.plan = Some(unmade(verdict, &wait.message));
            }
            if wait.approved {
                settle_gates(&mut status, &done.facts);
            }
            status.steps = steps::told(status.steps, history, &done.said, false);
        }
        Told::Asked {
            made,
            config_map,
            gate,
        } => {
            status.stage = Some(api::Stage::Approve);
            status.plan = Some(summary(made, config_map));
            status.steps = Some(steps::pending(&made.plan));
            status.gates = Some(vec![of_gate(gate)]);
        }
        Told::Escalated { expired, gate } => {
            status.stage = Some(api::Stage::Approve);
            tell_gate(&mut status, expired);
            tell_gate(&mut status, gate);
        }
        Told::AskedMidway { gate } => {
            status.stage = Some(api::Stage::Approve);
            settle_gates(&mut status, &done.facts);
            tell_gate(&mut status, gate);
            status.steps = steps::told(status.steps, history, &done.said, false);
        }
        Told::Answered { gate, .. } => {
            status.stage = Some(api::Stage::Execute);
            gate.iter().for_each(|gate| tell_gate(&mut status, gate));
            status.steps = steps::told(status.steps, history, &done.said, false);
        }
        Told::Going { .. } => {
            status.stage = Some(api::Stage::Execute);
            settle_gates(&mut status, &done.facts);
            status.steps = steps::told(status.steps, history, &done.said, false);
        }
        Told::Ended {
            outcome,
            verdict,
            message,
            planned,
            ..
        } => {
            status.stage = Some(api::Stage::Done);
            status.outcome = Some(outcome_of(*outcome));
            if let Some(verdict) = verdict {
                status.plan = Some(unmade(*verdict, message));
            }
            if let Some((made, config_map)) = planned {
                status.plan = Some(summary(made, config_map));
                status.steps = Some(steps::pending(&made.plan));
            }
            end_gates(&mut status, &done.facts, *outcome);
            status.steps = steps::told(status.steps, history, &done.said, true);
        }
    }
    status
}

fn audit(history: Option<&History>, recorded: Option<(u64, u64)>) -> Option<AuditRange> {
    let known = history.and_then(|history| history.range);
    let (first, last) = match (known, recorded) {
        (Some((first, last)), Some((_, newest))) => (first, last.max(newest)),
        (Some(range), None) | (None, Some(range)) => range,
        (None, None) => return None,
    };
    Some(AuditRange {
        first: first.try_into().ok()?,
        last: last.try_into().ok()?,
    })
}

fn summary(made: &Made, config_map: &str) -> PlanSummary {
    let steps = made.plan.steps.iter();
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
        digest: Some(made.digest.to_string()),
        config_map: Some(config_map.to_owned()),
        verdict: PlanVerdict::Pass,
        coverage: Some(count),
        targets: Some(targets),
        summary: Some(plan::summary(&made.plan)),
    }
}

/// There is no plan; why, in short.
fn unmade(verdict: PlanVerdict, message: &str) -> PlanSummary {
    PlanSummary {
        digest: None,
        config_map: None,
        verdict,
        coverage: None,
        targets: None,
        summary: Some(steps::cut(message, LONGEST_SUMMARY)),
    }
}

fn drafts(before: &OrchestrationStatus, told: &Told, facts: &Facts) -> Vec<Draft> {
    let plan = before.plan.as_ref().filter(|plan| plan.digest.is_some());
    let planned = plan.and_then(|plan| plan.summary.as_deref());
    match told {
        Told::Same | Told::Settled | Told::Held(_) => Vec::new(),
        Told::Waiting(wait) => waits(wait, before, facts),
        Told::Asked { made, gate, .. } => under_way(
            Reason::AwaitingApproval,
            &waited_for(gate),
            Some(&plan::summary(&made.plan)),
            None,
        ),
        Told::Escalated { gate, .. } => {
            let message = format!("nobody decided in time; {}", waited_for(gate));
            under_way(Reason::AwaitingApproval, &message, planned, None)
        }
        Told::AskedMidway { gate } => under_way(
            Reason::AwaitingApproval,
            &waited_for(gate),
            planned,
            Some(approval(facts)),
        ),
        Told::Answered { message, .. } | Told::Going { message } => {
            under_way(Reason::Running, message, planned, Some(approval(facts)))
        }
        Told::Ended {
            outcome,
            reason,
            message,
            planned: made,
            ..
        } => {
            let made = made.as_ref().map(|(made, _)| plan::summary(&made.plan));
            let planned = made.as_deref().or(planned);
            ended(*outcome, (*reason, message), planned, facts)
        }
    }
}

fn waits(wait: &Wait, before: &OrchestrationStatus, facts: &Facts) -> Vec<Draft> {
    // The words that were written when it was planned: others would be another write.
    let plan = before.plan.as_ref().filter(|plan| plan.digest.is_some());
    let planned = plan.and_then(|plan| plan.summary.as_deref());
    under_way(
        wait.reason,
        &wait.message,
        planned,
        wait.approved.then(|| approval(facts)),
    )
}

/// The conditions of a run that has not come to its end.
fn under_way(
    reason: Reason,
    message: &str,
    planned: Option<&str>,
    approved: Option<Draft>,
) -> Vec<Draft> {
    let unknown = |kind| Draft::new(kind, ConditionStatus::Unknown, reason, message);
    let planned = planned.map_or_else(|| unknown(ConditionType::Planned), is_planned);
    let approved = approved.unwrap_or_else(|| unknown(ConditionType::Approved));
    vec![
        unknown(ConditionType::Ready),
        Draft::new(
            ConditionType::Reconciling,
            ConditionStatus::True,
            reason,
            message,
        ),
        planned,
        approved,
        unknown(ConditionType::Succeeded),
    ]
}

fn is_planned(summary: &str) -> Draft {
    Draft::new(
        ConditionType::Planned,
        ConditionStatus::True,
        Reason::Planned,
        summary,
    )
}

fn ended(
    outcome: Outcome,
    (reason, message): (Reason, &str),
    planned: Option<&str>,
    facts: &Facts,
) -> Vec<Draft> {
    let effects = facts.has_effects();
    let history = facts.history.as_ref().ok();
    let begun = history.is_some_and(|history| history.started.is_some());
    let well = outcome.is_settled_well(effects);
    let said = |kind, status: bool, reason| {
        let status = if status {
            ConditionStatus::True
        } else {
            ConditionStatus::False
        };
        Draft::new(kind, status, reason, message)
    };
    let mut drafts = vec![said(ConditionType::Ready, well, reason)];
    if !well {
        drafts.push(said(ConditionType::Stalled, true, reason));
    }
    drafts.push(match planned {
        Some(summary) => is_planned(summary),
        None => said(ConditionType::Planned, false, reason),
    });
    drafts.push(if begun {
        approval(facts)
    } else {
        said(ConditionType::Approved, false, reason)
    });
    let succeeded = outcome == Outcome::Succeeded;
    drafts.push(said(ConditionType::Succeeded, succeeded, reason));
    drafts
}

fn stage(stage: Stage) -> api::Stage {
    match stage {
        Stage::Suggest => api::Stage::Suggest,
        Stage::DryRun => api::Stage::DryRun,
        Stage::Approve => api::Stage::Approve,
        Stage::Execute => api::Stage::Execute,
        Stage::Done(_) => api::Stage::Done,
    }
}

fn outcome_of(outcome: Outcome) -> api::Outcome {
    match outcome {
        Outcome::Succeeded => api::Outcome::Succeeded,
        Outcome::Failed => api::Outcome::Failed,
        Outcome::Compensated => api::Outcome::Compensated,
        Outcome::CompensationFailed => api::Outcome::CompensationFailed,
        Outcome::Rejected => api::Outcome::Rejected,
        Outcome::Expired => api::Outcome::Expired,
        Outcome::Cancelled => api::Outcome::Cancelled,
        Outcome::Superseded => api::Outcome::Superseded,
        Outcome::Planned => api::Outcome::Planned,
        Outcome::Joined => api::Outcome::Joined,
    }
}

#[cfg(test)]
mod tests;
