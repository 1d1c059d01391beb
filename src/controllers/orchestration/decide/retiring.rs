//! Floor 3: when a finished run is deleted: when its time is over, or when its Playbook keeps fewer; and never before its end
//! is on record. Pure.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::jiff;

use super::{
    super::gather::{Facts, Retiring},
    Decision,
};
use crate::{
    adapters::ledger::Draft,
    api::{conditions::ConditionType, v1alpha1::OrchestrationStatus},
};

/// The end of a finished run.
#[derive(Debug)]
pub(in crate::controllers::orchestration) struct Retire {
    /// Its newest record: deleted is only what is told of under the anchor.
    pub(in crate::controllers::orchestration) newest: Draft,
}

/// When a run came to its end, by its status; nothing if it has not.
pub(in crate::controllers::orchestration) fn finished_at(
    status: &OrchestrationStatus,
) -> Option<Timestamp> {
    status.outcome?;
    let mut conditions = status.conditions.iter().flatten();
    let ready = conditions.find(|condition| condition.type_ == ConditionType::Ready.as_str())?;
    Some(ready.last_transition_time.0)
}

/// When its time is over, if that comes.
pub(in crate::controllers::orchestration) fn over_at(facts: &Facts) -> Option<Timestamp> {
    let seconds = facts.spec.ttl_seconds_after_finished?;
    let seconds = Duration::from_secs(seconds.try_into().unwrap_or_default());
    finished_at(&facts.status)?.checked_add(seconds).ok()
}

/// Whether it is to be deleted now, as far as its object tells.
pub(in crate::controllers::orchestration) fn is_due(facts: &Facts) -> bool {
    let finished = facts.status.outcome.is_some();
    finished && (facts.too_many || over_at(facts).is_some_and(|over| facts.now >= over))
}

pub(super) fn retiring(retiring: &Retiring) -> Decision {
    match (&retiring.newest, retiring.finished) {
        (Some(newest), true) => Decision::Retire(Box::new(Retire {
            newest: newest.fact.clone().into(),
        })),
        // Its records are lost with their log: the object is all that is left of it.
        _ => Decision::Settled,
    }
}
