//! Floor 3: what is left of a run that was only to be planned, when the process ended between its end and the status that
//! would have told of it. Reads only.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, ResourceExt as _};

use crate::{
    controllers::orchestration::{
        OrchestrationError, OrchestrationKind,
        children::{PLAN_KEY, is_of},
    },
    domain::{
        digest::Digest,
        names,
        plan::{Plan, RunRef},
        run::History,
        stage::Outcome,
    },
};

/// The plan of a run that nobody was to be asked about.
#[derive(Clone, Debug)]
pub(in crate::controllers::orchestration) struct Planned {
    /// Its digest.
    pub(in crate::controllers::orchestration) digest: Digest,
    /// The plan, and the ConfigMap that holds it; none if that is not there any more as it was made.
    pub(in crate::controllers::orchestration) kept: Option<(Plan, String)>,
}

impl OrchestrationKind {
    /// The plan that a run came to, if that is how it ended.
    pub(super) async fn planned(
        &self,
        run: &RunRef,
        history: &History,
    ) -> Result<Option<Planned>, OrchestrationError> {
        let outcome = history.finished.as_ref().and_then(|end| end.outcome);
        let (Some(Outcome::Planned), Some(planned)) = (outcome, &history.planned) else {
            return Ok(None);
        };
        let digest = planned.plan.clone();
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), &run.namespace);
        let name = names::child(run, "Plan", "", 0, &digest);
        let found = maps.get_opt(&name).await;
        let found = found.map_err(|source| OrchestrationError::Read {
            what: "the ConfigMap of its plan",
            source: Box::new(source),
        })?;
        let kept = found
            .filter(|found| is_of(&found.metadata, run, &digest))
            .and_then(|found| {
                let text = found.data.as_ref()?.get(PLAN_KEY)?;
                let plan = Plan::parse(text.as_bytes(), &digest).ok()?;
                Some((plan, found.name_any()))
            });
        Ok(Some(Planned { digest, kept }))
    }
}
