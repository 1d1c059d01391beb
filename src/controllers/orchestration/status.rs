//! Floor 3: what a run's status says. Pure; the only place that builds its conditions.

mod planned;
mod steps;

use jiff::Timestamp;
use k8s_openapi::jiff;
use kube::ResourceExt as _;

use super::{
    act::{Done, Told},
    decide::Wait,
    gather::Facts,
};
use crate::{
    api::{
        conditions::{self, ConditionStatus, ConditionType, Draft},
        v1alpha1::{
            self as api, AuditRange, Gate, GateState, GateSummary, Orchestration,
            OrchestrationStatus,
        },
    },
    controllers::{
        harness::Failure,
        untold::{failed, unrecorded},
    },
    domain::{
        plan,
        reason::Reason,
        run::History,
        stage::{Outcome, Stage},
    },
};

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
        Told::Held(refusal) => {
            return OrchestrationStatus {
                conditions: amended(unrecorded(refusal)),
                ..before
            };
        }
        Told::Waiting(_) | Told::Asked { .. } | Told::Going { .. } | Told::Ended { .. } => {}
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
                status.plan = Some(planned::unmade(verdict, &wait.message));
            }
            if wait.approved {
                settle_gates(&mut status, GateState::Approved);
            }
            status.steps = steps::told(status.steps, history, &done.said, false);
        }
        Told::Asked {
            made,
            config_map,
            gate,
        } => {
            status.stage = Some(api::Stage::Approve);
            status.plan = Some(planned::summary(&made.digest, &made.plan, config_map));
            status.steps = Some(steps::pending(&made.plan));
            status.gates = Some(vec![of_gate(gate)]);
        }
        Told::Going { .. } => {
            status.stage = Some(api::Stage::Execute);
            settle_gates(&mut status, GateState::Approved);
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
                status.plan = Some(planned::unmade(*verdict, message));
            }
            if let Some(planned) = planned {
                status.plan = Some(planned::kept(planned));
                let plan = planned.kept.as_ref();
                status.steps = plan.map(|(plan, _)| steps::pending(plan));
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

/// Gates end with the run, each as it was found or as the run's end settles it.
fn end_gates(status: &mut OrchestrationStatus, facts: &Facts, outcome: Outcome) {
    for gate in status.gates.iter_mut().flatten() {
        if let Some(state) = facts.gate_settled(&gate.uid) {
            gate.state = state;
        }
    }
    let history = facts.history.as_ref();
    let begun = history.is_ok_and(|history| history.started.is_some());
    settle_gates(status, gate_at_end(outcome, begun));
}

fn gate_at_end(outcome: Outcome, begun: bool) -> GateState {
    if begun {
        return GateState::Approved;
    }
    match outcome {
        Outcome::Rejected => GateState::Rejected,
        Outcome::Expired => GateState::Expired,
        Outcome::Cancelled => GateState::Cancelled,
        Outcome::Superseded
        | Outcome::Failed
        | Outcome::Succeeded
        | Outcome::Compensated
        | Outcome::CompensationFailed
        | Outcome::Planned
        | Outcome::Joined => GateState::Superseded,
    }
}

/// What the status says of open Gates.
fn settle_gates(status: &mut OrchestrationStatus, state: GateState) {
    for gate in status.gates.iter_mut().flatten() {
        if gate.state == GateState::Open {
            gate.state = state;
        }
    }
}

fn of_gate(gate: &Gate) -> GateSummary {
    let state = gate.status.as_ref().and_then(|status| status.state);
    GateSummary {
        name: gate.name_any(),
        uid: gate.uid().unwrap_or_default(),
        state: state.unwrap_or(GateState::Open),
    }
}

fn drafts(before: &OrchestrationStatus, told: &Told, facts: &Facts) -> Vec<Draft> {
    let plan = before.plan.as_ref().filter(|plan| plan.digest.is_some());
    let planned = plan.and_then(|plan| plan.summary.as_deref());
    match told {
        Told::Same | Told::Settled | Told::Held(_) => Vec::new(),
        Told::Waiting(wait) => waits(wait, before),
        Told::Asked { made, gate, .. } => under_way(
            Reason::AwaitingApproval,
            &waited_for(gate),
            Some(&plan::summary(&made.plan)),
            None,
        ),
        Told::Going { message } => under_way(Reason::Running, message, planned, Some(true)),
        Told::Ended {
            outcome,
            reason,
            message,
            planned: made,
            ..
        } => {
            let made = made.as_ref().map(|made| match &made.kept {
                Some((plan, _)) => plan::summary(plan),
                None => planned::GONE.to_owned(),
            });
            let planned = made.as_deref().or(planned);
            ended(*outcome, (*reason, message), planned, facts)
        }
    }
}

fn waits(wait: &Wait, before: &OrchestrationStatus) -> Vec<Draft> {
    // The words that were written when it was planned: others would be another write.
    let plan = before.plan.as_ref().filter(|plan| plan.digest.is_some());
    let planned = plan.and_then(|plan| plan.summary.as_deref());
    under_way(
        wait.reason,
        &wait.message,
        planned,
        wait.approved.then_some(true),
    )
}

/// The conditions of a run that has not come to its end.
fn under_way(
    reason: Reason,
    message: &str,
    planned: Option<&str>,
    approved: Option<bool>,
) -> Vec<Draft> {
    let unknown = |kind| Draft::new(kind, ConditionStatus::Unknown, reason, message);
    let planned = planned.map_or_else(|| unknown(ConditionType::Planned), is_planned);
    let approved = match approved {
        Some(true) => is_approved(),
        Some(false) | None => unknown(ConditionType::Approved),
    };
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

fn is_approved() -> Draft {
    Draft::new(
        ConditionType::Approved,
        ConditionStatus::True,
        Reason::Approved,
        "the right people approved exactly this plan",
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
        is_approved()
    } else {
        said(ConditionType::Approved, false, reason)
    });
    let succeeded = outcome == Outcome::Succeeded;
    drafts.push(said(ConditionType::Succeeded, succeeded, reason));
    drafts
}

/// Who is asked, and until when. It does not tell who has answered: each answer would be another write.
pub(super) fn waited_for(gate: &Gate) -> String {
    let rules = gate.spec.rules.iter().map(|rule| match rule.min {
        1 => rule.role.clone(),
        min => format!("{min} of {}", rule.role),
    });
    let rules: Vec<String> = rules.collect();
    let until = gate.spec.deadline.as_ref();
    let until = until.map_or_else(String::new, |deadline| format!(" until {}", deadline.0));
    format!(
        "Gate {} waits for {}{until}: neuralops diff, then approve or reject",
        gate.name_any(),
        rules.join(" and ")
    )
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
