//! Floor 3: what a Gate's status says. Pure. What nobody voted on keeps the status that its kind gives it.

use k8s_openapi::jiff::Timestamp;

use super::{
    super::{
        harness::Failure,
        settling::{is_open, settled},
        untold::{failed, unrecorded},
    },
    Done, Shown,
};
use crate::{
    api::{
        conditions::{self, ConditionStatus, ConditionType, Draft},
        v1alpha1::{CountedDecision, CountedVerdict, Gate, GateState, GateStatus, RuleProgress},
    },
    domain::gate::{Counted, Tally, Voted},
};

/// Votes that a status has room for; they are enough for every place that rules can have.
const SHOWN: usize = 64;

pub(super) fn status(gate: &Gate, pass: Result<&Done, &Failure>, now: Timestamp) -> GateStatus {
    let before = gate.status.clone().unwrap_or_default();
    match pass {
        Ok(Done::Settled | Done::Open(_)) => before,
        Ok(Done::Shown(shown, _)) => open(gate, shown, now),
        Ok(Done::Ended(end)) => counted(
            &end.tally,
            settled(gate, end.state, end.reason, &end.message, now),
        ),
        // Of a settled Gate nothing else can be true.
        Ok(Done::Untold(_)) | Err(_) if !is_open(gate) => before,
        Ok(Done::Untold(refusal)) => untold(gate, unrecorded(refusal), now),
        Err(failure) => untold(gate, failed(failure), now),
    }
}

/// The votes that a status shows: those that decide come first.
pub(super) fn shown(tally: &Tally) -> impl Iterator<Item = &Counted> {
    tally.counted.iter().take(SHOWN)
}

fn counted(tally: &Tally, status: GateStatus) -> GateStatus {
    let number = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    let rules = tally.rules.iter().map(|rule| RuleProgress {
        role: rule.role.clone(),
        met: number(rule.met),
        missing: number(rule.missing),
    });
    let decisions = shown(tally).map(|counted| CountedDecision {
        user: counted.vote.user.clone(),
        verdict: match counted.vote.voted {
            Voted::Reject => CountedVerdict::Reject,
            Voted::Approve | Voted::Withdraw => CountedVerdict::Approve,
        },
        name: Some(counted.vote.name.clone()),
        uid: Some(counted.vote.uid.clone()),
    });
    GateStatus {
        rules: Some(rules.collect()),
        decisions: Some(decisions.collect()),
        ..status
    }
}

fn open(gate: &Gate, shown: &Shown, now: Timestamp) -> GateStatus {
    let before = gate.status.clone().unwrap_or_default();
    let drafts = [
        (ConditionType::Ready, ConditionStatus::False),
        (ConditionType::Reconciling, ConditionStatus::True),
        (ConditionType::Approved, ConditionStatus::False),
        (ConditionType::Rejected, ConditionStatus::False),
    ];
    let said = |(kind, status)| Draft::new(kind, status, shown.reason, shown.message.as_str());
    let standing = before.conditions.as_deref().unwrap_or_default();
    let generation = gate.metadata.generation;
    let drafts = drafts.map(said).into();
    let status = GateStatus {
        observed_generation: generation,
        state: Some(GateState::Open),
        conditions: Some(conditions::merge(standing, drafts, generation, now)),
        ..before.clone()
    };
    counted(&shown.tally, status)
}

/// The pass came to nothing: what was said before stands.
fn untold(gate: &Gate, drafts: Vec<Draft>, now: Timestamp) -> GateStatus {
    let before = gate.status.clone().unwrap_or_default();
    let standing = before.conditions.as_deref().unwrap_or_default();
    let generation = gate.metadata.generation;
    let conditions = conditions::amend(standing, drafts, generation, now);
    GateStatus {
        conditions: Some(conditions),
        ..before
    }
}

#[cfg(test)]
mod tests;
