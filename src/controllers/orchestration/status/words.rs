//! Floor 3: the words of a run's status for what the domain calls otherwise, and by whom it may begin. Pure.

use super::waited_for;
use crate::{
    api::{
        conditions::{ConditionStatus, ConditionType, Draft},
        v1alpha1::{self as api, Gate},
    },
    controllers::orchestration::gather::Facts,
    domain::{
        reason::Reason,
        stage::{Outcome, Stage},
    },
};

/// What is told of a run that needs nobody's approval.
pub(super) const BY_POLICY: &str =
    "the signed Playbook allows it for this incident without a Gate (mode Auto)";

/// Whether it begins, or began, by what its Playbook allows.
pub(super) fn is_allowed(facts: &Facts) -> bool {
    let history = facts.history.as_ref();
    history.is_ok_and(|history| history.allowed.is_some()) && facts.status.gates.is_none()
}

pub(super) fn by_playbook() -> Draft {
    Draft::new(
        ConditionType::Approved,
        ConditionStatus::True,
        Reason::AutoAllowed,
        BY_POLICY,
    )
}

/// Who is asked, and, if mode Auto was wanted, why.
pub(super) fn asked(gate: &Gate, refused: Option<&str>) -> (Reason, String) {
    match refused {
        None => (Reason::AwaitingApproval, waited_for(gate)),
        Some(why) => (
            Reason::AutoNotAllowed,
            format!("mode Auto is not allowed here: {why}; {}", waited_for(gate)),
        ),
    }
}

pub(super) fn stage(stage: Stage) -> api::Stage {
    match stage {
        Stage::Suggest => api::Stage::Suggest,
        Stage::DryRun => api::Stage::DryRun,
        Stage::Approve => api::Stage::Approve,
        Stage::Execute => api::Stage::Execute,
        Stage::Done(_) => api::Stage::Done,
    }
}

pub(super) fn outcome_of(outcome: Outcome) -> api::Outcome {
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
