//! Floor 3: what a run's status says of its Gates, and of who approved it. Pure.

use kube::ResourceExt as _;

use super::words::{by_playbook, is_allowed};
use crate::{
    api::{
        conditions::{ConditionStatus, ConditionType, Draft},
        v1alpha1::{Gate, GateState, GateSummary, OrchestrationStatus},
    },
    controllers::{
        orchestration::gather::{Facts, Look},
        settling::is_by_policy,
    },
    domain::{reason::Reason, stage::Outcome},
};

/// What a Gate came to that was open when its run ended so.
fn at_end(outcome: Outcome) -> GateState {
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

/// What is told of Gates as open is told as it is when the run ends: of those that were looked at, what they say themselves;
/// of the others, what must have become of them.
pub(super) fn end_gates(status: &mut OrchestrationStatus, facts: &Facts, outcome: Outcome) {
    let looked = match &facts.look {
        Look::Asked { gate, .. } => gate.as_ref().and_then(|gate| gate.uid()),
        _ => None,
    };
    let history = facts.history.as_ref().ok();
    let begun = history.is_some_and(|history| history.started.is_some());
    let gates = status.gates.iter_mut().flatten();
    for gate in gates.filter(|gate| gate.state == GateState::Open) {
        gate.state = match (facts.gate_settled(&gate.uid), &looked) {
            (Some(state), _) => state,
            (None, Some(looked)) if *looked == gate.uid => at_end(outcome),
            (None, _) if facts.asks_still(&gate.uid) => at_end(outcome),
            (None, _) if begun => GateState::Approved,
            (None, Some(_)) => GateState::Expired,
            (None, None) => at_end(outcome),
        };
    }
}

/// A run that goes on was approved by the Gates that are told of as open; but for one that is looked at and says otherwise.
pub(super) fn settle_gates(status: &mut OrchestrationStatus, facts: &Facts) {
    let gates = status.gates.iter_mut().flatten();
    for gate in gates.filter(|gate| gate.state == GateState::Open) {
        if !facts.asks_still(&gate.uid) {
            gate.state = facts.gate_settled(&gate.uid).unwrap_or(GateState::Approved);
        }
    }
}

/// A Gate as it stands now, in its place or as the newest.
pub(super) fn tell_gate(status: &mut OrchestrationStatus, gate: &Gate) {
    let told = of_gate(gate);
    let gates = status.gates.get_or_insert_default();
    match gates.iter_mut().find(|known| known.name == told.name) {
        Some(known) => *known = told,
        None => gates.push(told),
    }
}

pub(super) fn of_gate(gate: &Gate) -> GateSummary {
    let state = gate.status.as_ref().and_then(|status| status.state);
    GateSummary {
        name: gate.name_any(),
        uid: gate.uid().unwrap_or_default(),
        state: state.unwrap_or(GateState::Open),
    }
}

/// Who is asked, and until when. It does not tell who has answered: each answer would be another write.
pub(in crate::controllers::orchestration) fn waited_for(gate: &Gate) -> String {
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

/// What approved it: by the record of its beginning, or before that by its Gate.
pub(super) fn approval(facts: &Facts) -> Draft {
    if is_allowed(facts) {
        return by_playbook();
    }
    let history = facts.history.as_ref().ok();
    let by = match (
        history.and_then(|history| history.started.as_ref()),
        &facts.look,
    ) {
        (Some(started), _) => started.by,
        (
            None,
            Look::Asked {
                gate: Some(gate), ..
            },
        ) if is_by_policy(gate) => Some(Reason::ApprovedByPolicy),
        (None, _) => None,
    };
    let (reason, message) = match by {
        Some(Reason::ApprovedByPolicy) => (
            Reason::ApprovedByPolicy,
            "nobody decided in time, nobody was against it, and the signed Playbook approves it then",
        ),
        _ => (
            Reason::Approved,
            "the right people approved exactly this plan",
        ),
    };
    Draft::new(
        ConditionType::Approved,
        ConditionStatus::True,
        reason,
        message,
    )
}
