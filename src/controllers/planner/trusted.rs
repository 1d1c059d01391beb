//! Floor 3: the Playbook of a run as the API server holds it now, if it is trusted, may be used and keeps the rules. What is
//! made of it is the planner's.

use kube::ResourceExt as _;

use super::Planner;
use crate::{
    adapters::kube::{error::chain, raw},
    api::v1alpha1::{OrchestrationSpec, PlaybookSpec, RawPlaybook},
    controllers::{rules, verification::Unknown},
    domain::{
        lint::{lint, lint_sourced},
        names::is_dns_name,
        plan::{Obstacle, RunRef},
        reason::Reason,
        trust::{Refusal, Runnable},
        verdict::ErrorClass,
    },
};

/// Not signed and can only restrict: no new runs.
pub(in crate::controllers) const SUSPEND: &str = "neuralops.io/suspend";

/// What a Playbook is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// A run that has not begun: as long as nothing of it has, it is a new one.
    New,
    /// A run that has begun: whoever suspends a Playbook does not leave in the middle what it has changed.
    Begun,
}

impl Planner {
    /// The Playbook that the run names, if it is trusted and may be used now.
    pub(super) async fn verified(
        &self,
        run: &RunRef,
        spec: &OrchestrationSpec,
        asked: Asked,
    ) -> Result<Runnable, Obstacle> {
        let Some(playbook) = &spec.playbook_ref else {
            return Err(Obstacle::unknown(
                Reason::NoPlaybook,
                "the run names no Playbook",
            ));
        };
        let name = &playbook.name;
        // It becomes a part of a path: what is no name of an object leads nowhere.
        let text = if is_dns_name(name) {
            raw::get::<RawPlaybook>(&self.client, Some(&run.namespace), name).await
        } else {
            Ok(None)
        };
        let text = text.map_err(|error| {
            let message = format!("could not read Playbook {name}: {}", chain(&error));
            Obstacle::unknown(Reason::ApiServerUnavailable, message)
        })?;
        let Some(text) = text else {
            let message = format!(
                "there is no Playbook {name} in namespace {}; is the name right, and was it applied?",
                run.namespace
            );
            return Err(Obstacle::unknown(Reason::PlaybookNotFound, message));
        };
        let object = RawPlaybook::parse(&text)
            .map_err(|error| Obstacle::fail(Reason::Undecodable, error.to_string()))?;
        if let Some(obstacle) = suspended(&object, asked) {
            return Err(obstacle);
        }
        let examined = match self.verification.of(&object).await {
            Ok(examined) => examined,
            Err(unknown) => return Err(unverified(name, &unknown)),
        };
        examined.verified.map_err(|refusal| refused(name, &refusal))
    }
}

/// Its Playbook takes no new runs, and this is one.
fn suspended(playbook: &RawPlaybook, asked: Asked) -> Option<Obstacle> {
    let said = playbook.annotations().get(SUSPEND);
    let suspended = said.is_some_and(|value| value == "true") && asked == Asked::New;
    suspended.then(|| {
        let name = playbook.name_any();
        let message = format!(
            "Playbook {name} carries the annotation {SUSPEND}: no new runs; this one is planned when the annotation is taken away"
        );
        Obstacle::unknown(Reason::Suspended, message)
    })
}

/// It cannot be known now whether the Playbook is trusted.
fn unverified(name: &str, unknown: &Unknown) -> Obstacle {
    let reason = match unknown {
        Unknown::Log(refusal) => refusal.reason,
        Unknown::Policies => Reason::PolicyNotReady,
        Unknown::Registry(error) if error.class() == ErrorClass::Permanent => {
            return Obstacle::fail(
                error.reason(),
                format!("Playbook {name}: {}", chain(unknown)),
            );
        }
        Unknown::Registry(error) => error.reason(),
    };
    Obstacle::unknown(reason, format!("Playbook {name}: {}", chain(unknown)))
}

fn refused(name: &str, refusal: &Refusal) -> Obstacle {
    Obstacle::fail(refusal.reason, refusal.told()).at(&format!("Playbook {name}"))
}

/// The spec that runs, if it keeps the rules.
pub(super) fn written(runnable: &Runnable) -> Result<PlaybookSpec, Obstacle> {
    let document = runnable.document();
    let lint = if runnable.artifact().is_some() {
        lint_sourced
    } else {
        lint
    };
    let refused = |refusal: Refusal| refused(&document.name, &refusal);
    rules::keeps(document, lint).map_err(refused)?;
    serde_json::from_value(document.spec.clone())
        .map_err(|error| Obstacle::fail(Reason::Undecodable, error.to_string()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_suspended_playbook_takes_no_new_runs_and_lets_go_on_what_has_begun() {
        let playbook = |annotations| {
            let playbook = json!({
                "apiVersion": "neuralops.io/v1alpha1", "kind": "Playbook", "metadata": {"name": "heal", "annotations": annotations},
                "spec": {"revision": 1, "serviceAccountName": "runbook", "steps": []},
            });
            RawPlaybook::parse(&playbook.to_string()).unwrap()
        };
        let marked = playbook(json!({ SUSPEND: "true" }));
        let refused = suspended(&marked, Asked::New).unwrap();
        assert_eq!(refused.reason, Reason::Suspended);
        assert!(refused.message.starts_with("Playbook heal"), "{refused:?}");
        assert_eq!(suspended(&marked, Asked::Begun), None);
        let free = playbook(json!({ SUSPEND: "false" }));
        assert_eq!(suspended(&free, Asked::New), None);
    }
}
