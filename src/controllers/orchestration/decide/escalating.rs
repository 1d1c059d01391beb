//! Floor 3: what becomes of a run whose Gate expired and says Escalate: the next set of rules is asked about exactly the same
//! plan, if it would still be the same and there is a next set. Pure.

use super::{
    super::{
        gather::{Escalation, Facts},
        records,
    },
    Decision, Wait, asking, opening,
};
use crate::{
    adapters::ledger::Draft,
    api::v1alpha1::{Gate, OnTimeout},
    controllers::planner::Made,
    domain::{reason::Reason, stage::Stage},
};

/// The next set of rules.
#[derive(Debug)]
pub(in crate::controllers::orchestration) struct Escalate {
    /// The Gate whose deadline has passed.
    pub(in crate::controllers::orchestration) expired: Gate,
    pub(in crate::controllers::orchestration) next: Next,
}

/// The Gate that asks it.
#[derive(Debug)]
pub(in crate::controllers::orchestration) enum Next {
    /// It is there already, and the status does not tell of it yet.
    Opened(Box<Gate>),
    /// It has to be opened.
    Asks {
        made: Box<Made>,
        ordinal: u32,
        requested_by: Vec<String>,
        record: Box<Draft>,
    },
}

pub(super) fn expired(facts: &Facts, gate: &Gate, escalation: &Escalation) -> Decision {
    let (ordinal, made) = match escalation {
        Escalation::Opened(next) => {
            return Decision::Escalate(Box::new(Escalate {
                expired: gate.clone(),
                next: Next::Opened(next.clone()),
            }));
        }
        Escalation::Suspended => {
            let message =
                "the deadline has passed; the next people are asked when suspend is taken back";
            return Wait::new(Stage::Approve, Reason::Suspended, message).into();
        }
        Escalation::Planned { ordinal, made } => (*ordinal, made),
    };
    let made = match made {
        Ok(made) => made,
        Err(obstacles) => {
            let when = "the deadline has passed; planned again before the next people are asked";
            return asking::unplannable_now(facts, obstacles, false, when);
        }
    };
    if made.digest.as_str() != gate.spec.subject.plan_digest {
        return asking::superseded(
            facts,
            "nobody decided in time, and what was asked about is not what would run now; nothing was written, ask again",
        );
    }
    let set = usize::try_from(ordinal).unwrap_or(usize::MAX);
    let before = made.approval.get(set.saturating_sub(1));
    if before.and_then(|rules| rules.on_timeout) != Some(OnTimeout::Escalate) {
        return asking::nobody_decided(
            facts,
            "; the signed Playbook does not say that others are asked then",
        );
    }
    if made.approval.get(set).is_none() {
        return asking::nobody_decided(facts, "; there is no further set of rules to ask");
    }
    Decision::Escalate(Box::new(Escalate {
        expired: gate.clone(),
        next: Next::Asks {
            record: Box::new(records::escalated(facts, made, gate)),
            made: made.clone(),
            ordinal,
            requested_by: opening::shaped_by(facts),
        },
    }))
}
