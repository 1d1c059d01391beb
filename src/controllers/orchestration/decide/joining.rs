//! Floor 3: whether a run is about what another run is about already, so that it joins that one instead of doing the same
//! again. Pure.

use std::collections::BTreeMap;

use kube::ResourceExt as _;

use super::{super::gather::Facts, Decision, Finish, finish, records};
use crate::{
    api::v1alpha1::{Mode, Orchestration, OrchestrationSpec},
    domain::{reason::Reason, stage::Outcome},
    ports::{IncidentKey, RunKey},
};

/// An incident that has no run, or one that collects nothing.
#[derive(Debug)]
pub(in crate::controllers::orchestration) struct Own {
    pub(in crate::controllers::orchestration) incident: IncidentKey,
    pub(in crate::controllers::orchestration) instead_of: Option<String>,
}

/// A run that joins another.
#[derive(Debug)]
pub(in crate::controllers::orchestration) struct Join {
    pub(in crate::controllers::orchestration) owner: RunKey,
    pub(in crate::controllers::orchestration) end: Finish,
}

/// How a run stands beside the one that others with its key join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::controllers::orchestration) enum Beside {
    /// That one collects nothing any more, or is not there.
    Nobody,
    /// They are about the same.
    Same,
    /// They are about the same incident, and want different things.
    Other,
}

/// The incident that the run may share with others. One that is only planned shares nothing, and one that was asked about
/// goes its own way.
pub(in crate::controllers::orchestration) fn incident_of(facts: &Facts) -> Option<IncidentKey> {
    let key = facts.spec.incident.key.as_ref()?;
    let history = facts.history.as_ref().ok()?;
    let shares = !key.is_empty()
        && facts.spec.mode != Some(Mode::PlanOnly)
        && facts.spec.suspend != Some(true)
        && history.planned.is_none();
    shares.then(|| IncidentKey {
        namespace: facts.run.namespace.clone(),
        key: key.clone(),
    })
}

/// How a later run stands beside the owner of its key, as that is found now.
pub(in crate::controllers::orchestration) fn beside(
    later: &OrchestrationSpec,
    owner: &RunKey,
    found: Option<&Orchestration>,
) -> Beside {
    match found {
        Some(found) if found.uid().as_ref() == Some(&owner.uid) && collects(found) => {
            if is_same(later, &found.spec) {
                Beside::Same
            } else {
                Beside::Other
            }
        }
        _ => Beside::Nobody,
    }
}

/// Whether a run stands for later ones: it goes on, and nobody keeps it from that.
fn collects(run: &Orchestration) -> bool {
    let ended = run.status.as_ref().is_some_and(|it| it.outcome.is_some());
    let stopped = run.spec.cancel == Some(true) || run.spec.suspend == Some(true);
    let deleted = run.metadata.deletion_timestamp.is_some();
    !ended && !stopped && !deleted && run.spec.mode != Some(Mode::PlanOnly)
}

/// Whether the later one wants nothing that the earlier one does not want too.
fn is_same(later: &OrchestrationSpec, earlier: &OrchestrationSpec) -> bool {
    let none = BTreeMap::new();
    let given = earlier.parameters.as_ref().unwrap_or(&none);
    let mode = |spec: &OrchestrationSpec| spec.mode.unwrap_or(Mode::Manual);
    let playbook = later.playbook_ref.is_none() || later.playbook_ref == earlier.playbook_ref;
    let parameters = later.parameters.as_ref().is_none_or(|all| all == given);
    playbook && parameters && (later.mode.is_none() || mode(later) == mode(earlier))
}

pub(super) fn owns(facts: &Facts, instead_of: Option<&String>) -> Decision {
    match incident_of(facts) {
        Some(incident) => Decision::Own(Own {
            incident,
            instead_of: instead_of.cloned(),
        }),
        // Nobody looks for the owner of no incident.
        None => Decision::Settled,
    }
}

pub(super) fn joins(facts: &Facts, owner: &RunKey) -> Decision {
    let key = facts.spec.incident.key.as_deref().unwrap_or_default();
    let message = format!(
        "run {} is about the same incident ({key}) and goes on: this one joined it and does nothing",
        owner.name
    );
    let (outcome, reason) = (Outcome::Joined, Reason::Joined);
    let mut decision = finish(facts, facts.stage(), outcome, reason, &message);
    if let Decision::Finish(end) = &mut decision
        && let Some(last) = end.records.last_mut()
    {
        last.fact.cause = Some(records::requested_id(&owner.uid));
    }
    match decision {
        Decision::Finish(end) => Decision::Join(Box::new(Join {
            owner: owner.clone(),
            end: *end,
        })),
        other => other,
    }
}

#[cfg(test)]
mod tests;
