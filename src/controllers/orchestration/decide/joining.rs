//! Floor 3: whether a run is about what another run is about already, so that it joins that one instead of doing the same
//! again. Pure.

use std::collections::BTreeMap;

use kube::ResourceExt as _;
use serde_json::json;

use super::{super::gather::Facts, Decision, Finish, finish, records};
use crate::{
    api::v1alpha1::{Mode, Orchestration, OrchestrationSpec},
    domain::{digest::Digest, reason::Reason, stage::Outcome},
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

/// The incident that the run may share with others, until it begins. One that is only planned shares nothing.
pub(in crate::controllers::orchestration) fn incident_of(facts: &Facts) -> Option<IncidentKey> {
    let key = facts.spec.incident.key.as_ref()?;
    let history = facts.history.as_ref().ok()?;
    let shares = !key.is_empty()
        && facts.spec.mode != Some(Mode::PlanOnly)
        && facts.spec.suspend != Some(true)
        && history.started.is_none();
    shares.then(|| IncidentKey {
        namespace: facts.run.namespace.clone(),
        key: key.clone(),
        wish: String::new(),
    })
}

/// The run for just what this one wants, beside the one that stands for the key.
pub(in crate::controllers::orchestration) fn wish_of(
    incident: &IncidentKey,
    spec: &OrchestrationSpec,
) -> IncidentKey {
    let none = BTreeMap::new();
    let wish = json!({
        "playbook": spec.playbook_ref.as_ref().map(|playbook| &playbook.name),
        "parameters": spec.parameters.as_ref().unwrap_or(&none),
        "mode": spec.mode.unwrap_or(Mode::Manual),
    });
    IncidentKey {
        wish: Digest::of(wish.to_string().as_bytes()).to_string(),
        ..incident.clone()
    }
}

/// Whoever stands for an incident, or for one thing that is wanted about it, as that is found now.
#[derive(Clone, Debug)]
pub(in crate::controllers::orchestration) struct Standin {
    pub(in crate::controllers::orchestration) owner: RunKey,
    pub(in crate::controllers::orchestration) found: Option<Orchestration>,
}

/// What becomes of a run among those of its incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::controllers::orchestration) enum Among {
    /// It goes its way.
    Goes,
    /// It joins this one.
    Joins(RunKey),
    /// It is to stand for the key, or for what it wants, in the place of one that does so no more.
    Stands {
        for_wish: bool,
        instead_of: Option<String>,
    },
}

/// Who wants the same as the one that stands for the key joins that; who wants something else joins whoever wants just the
/// same; and of those who go on each stands for something.
pub(in crate::controllers::orchestration) fn among(
    (uid, spec): (&str, &OrchestrationSpec),
    key: Option<&Standin>,
    wish: Option<&Standin>,
) -> Among {
    let stands = |standin: Option<&Standin>| match standin {
        None => (false, Beside::Nobody),
        Some(mine) if mine.owner.uid == uid => (true, Beside::Same),
        Some(other) => (false, beside(spec, &other.owner, other.found.as_ref())),
    };
    let instead_of = |standin: Option<&Standin>| standin.map(|other| other.owner.uid.clone());
    match (key, stands(key), wish, stands(wish)) {
        (_, (true, _), ..) | (_, (false, Beside::Nobody | Beside::Other), _, (true, _)) => {
            Among::Goes
        }
        (Some(other), (false, Beside::Same), ..)
        | (_, (false, _), Some(other), (false, Beside::Same)) => Among::Joins(other.owner.clone()),
        (_, (false, Beside::Other), ..) => Among::Stands {
            for_wish: true,
            instead_of: instead_of(wish),
        },
        (_, (false, _), ..) => Among::Stands {
            for_wish: false,
            instead_of: instead_of(key),
        },
    }
}

/// The run that has taken the place of one that was suspended after it was asked about, and goes on.
pub(in crate::controllers::orchestration) fn successor(
    (uid, spec): (&str, &OrchestrationSpec),
    key: Option<&Standin>,
    wish: Option<&Standin>,
) -> Option<RunKey> {
    let mut standins = [key, wish].into_iter().flatten();
    if standins.any(|standin| standin.owner.uid == uid) {
        return None;
    }
    match among((uid, spec), key, wish) {
        Among::Joins(other) => Some(other),
        Among::Goes | Among::Stands { .. } => None,
    }
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

pub(super) fn owns(incident: &IncidentKey, instead_of: Option<&String>) -> Decision {
    Decision::Own(Own {
        incident: incident.clone(),
        instead_of: instead_of.cloned(),
    })
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
