//! Floor 3: what a run's status says. Pure; the only place that builds its conditions.

mod gates;
mod planned;
mod steps;
mod words;

use jiff::Timestamp;
use k8s_openapi::jiff;

pub(super) use gates::waited_for;

use self::{
    gates::{approval, end_gates, of_gate, settle_gates, tell_gate},
    words::{BY_POLICY, asked, by_playbook, outcome_of, stage},
};
use super::{
    act::{Done, Told},
    decide::Wait,
    gather::{Facts, Planned},
};
use crate::{
    api::{
        conditions::{self, ConditionStatus, ConditionType, Draft},
        v1alpha1::{self as api, AuditRange, Orchestration, OrchestrationStatus},
    },
    controllers::{
        harness::Failure,
        untold::{failed, unrecorded},
    },
    domain::{plan, reason::Reason, run::History, stage::Outcome},
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
        | Told::Allowed { .. }
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
        joined: done.joined.clone().or(before.joined.clone()),
        ..before
    };
    match &done.told {
        Told::Same | Told::Settled | Told::Held(_) => {}
        Told::Waiting(wait) => tell_wait(&mut status, wait, &done.facts),
        Told::Asked {
            made, config_map, ..
        }
        | Told::Allowed { made, config_map } => {
            status.stage = Some(api::Stage::Approve);
            status.plan = Some(planned::summary(&made.digest, &made.plan, config_map));
            status.steps = Some(steps::pending(&made.plan));
            if let Told::Asked { gate, .. } = &done.told {
                status.gates = Some(vec![of_gate(gate)]);
            }
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
        }
        Told::Answered { gate, .. } => {
            status.stage = Some(api::Stage::Execute);
            gate.iter().for_each(|gate| tell_gate(&mut status, gate));
        }
        Told::Going { .. } => {
            status.stage = Some(api::Stage::Execute);
            settle_gates(&mut status, &done.facts);
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
            let unmade = verdict.map(|verdict| planned::unmade(verdict, message));
            status.plan = unmade.or(status.plan);
            planned
                .iter()
                .for_each(|one| tell_planned(&mut status, one));
            end_gates(&mut status, &done.facts, *outcome);
        }
    }
    if !matches!(done.told, Told::Same | Told::Settled | Told::Held(_)) {
        let over = matches!(done.told, Told::Ended { .. });
        status.steps = steps::told(status.steps, history, &done.said, over);
    }
    status
}

/// The plan of a run that was only to be planned.
fn tell_planned(status: &mut OrchestrationStatus, planned: &Planned) {
    status.plan = Some(planned::kept(planned));
    let plan = planned.kept.as_ref();
    status.steps = plan.map(|(plan, _)| steps::pending(plan));
}

fn tell_wait(status: &mut OrchestrationStatus, wait: &Wait, facts: &Facts) {
    status.stage = Some(stage(wait.stage));
    if let Some(verdict) = wait.verdict {
        status.plan = Some(planned::unmade(verdict, &wait.message));
    }
    if let Some(suggestions) = &wait.suggestions {
        status.suggestions = Some(suggestions.clone()).filter(|some| !some.is_empty());
    }
    if wait.approved {
        settle_gates(status, facts);
    }
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

fn drafts(before: &OrchestrationStatus, told: &Told, facts: &Facts) -> Vec<Draft> {
    let plan = before.plan.as_ref().filter(|plan| plan.digest.is_some());
    let planned = plan.and_then(|plan| plan.summary.as_deref());
    match told {
        Told::Same | Told::Settled | Told::Held(_) => Vec::new(),
        Told::Waiting(wait) => waits(wait, before, facts),
        Told::Asked {
            made,
            gate,
            refused,
            ..
        } => {
            let (reason, message) = asked(gate, refused.as_deref());
            under_way(reason, &message, Some(&plan::summary(&made.plan)), None)
        }
        Told::Allowed { made, .. } => {
            let planned = plan::summary(&made.plan);
            let approved = Some(by_playbook());
            under_way(Reason::AutoAllowed, BY_POLICY, Some(&planned), approved)
        }
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
            let made = made.as_ref().map(|made| match &made.kept {
                Some((plan, _)) => plan::summary(plan),
                None => planned::GONE.to_owned(),
            });
            let planned = made.as_deref().or(planned);
            ended(*outcome, (*reason, message), planned, facts)
        }
    }
}

fn waits(wait: &Wait, before: &OrchestrationStatus, facts: &Facts) -> Vec<Draft> {
    // The words that were written when it was planned: others would be another write.
    let plan = before.plan.as_ref().filter(|plan| plan.digest.is_some());
    let planned = plan.and_then(|plan| plan.summary.as_deref());
    let approved = wait.approved.then(|| approval(facts));
    let mut drafts = under_way(wait.reason, &wait.message, planned, approved);
    if wait.doubt {
        let (kind, status) = (ConditionType::PlanUnknown, ConditionStatus::True);
        drafts.push(Draft::new(kind, status, wait.reason, &wait.message));
    }
    drafts
}

/// The conditions of a run that has not come to its end; if it may begin, whether by the policy of its Playbook.
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

#[cfg(test)]
mod tests;
