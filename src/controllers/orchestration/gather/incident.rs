//! Floor 3: which other run is about the same incident, and wants the same. Who stands for it is the store's word, whether that
//! run goes on its object's. Reads only.

use kube::Api;

use super::{Facts, Opening};
use crate::{
    api::v1alpha1::Orchestration,
    controllers::orchestration::{
        OrchestrationError, OrchestrationKind,
        decide::{Among, Standin, among, incident_of, successor, wish_of},
    },
    ports::{IncidentKey, RunKey},
};

impl OrchestrationKind {
    /// Whether it is about an incident that has no run yet, or another one; neither if it goes its own way. One that was asked
    /// about does.
    pub(super) async fn incident(
        &self,
        facts: &Facts,
    ) -> Result<Option<Opening>, OrchestrationError> {
        let history = facts.history.as_ref();
        let asked = history.is_ok_and(|history| history.planned.is_some());
        let Some(incident) = incident_of(facts).filter(|_| !asked) else {
            return Ok(None);
        };
        let (uid, wish) = (&facts.run.uid, wish_of(&incident, &facts.spec));
        let of_key = self.standin(&incident, uid).await?;
        let of_wish = self.standin(&wish, uid).await?;
        let found = among((uid, &facts.spec), of_key.as_ref(), of_wish.as_ref());
        Ok(match found {
            Among::Goes => None,
            Among::Joins(owner) => Some(Opening::SameAs(owner)),
            Among::Stands {
                for_wish,
                instead_of,
            } => Some(Opening::Unowned {
                incident: if for_wish { wish } else { incident },
                instead_of,
            }),
        })
    }

    /// The run that has taken its place while it was suspended, and goes on.
    pub(super) async fn successor(
        &self,
        facts: &Facts,
    ) -> Result<Option<RunKey>, OrchestrationError> {
        let Some(incident) = incident_of(facts) else {
            return Ok(None);
        };
        let (uid, wish) = (&facts.run.uid, wish_of(&incident, &facts.spec));
        // Before it looks: whoever ends after the look wakes it.
        self.memory.waits(&facts.run);
        let of_key = self.standin(&incident, uid).await?;
        let of_wish = self.standin(&wish, uid).await?;
        let found = successor((uid, &facts.spec), of_key.as_ref(), of_wish.as_ref());
        if found.is_none() {
            self.memory.waits_no_more(&facts.run);
        }
        Ok(found)
    }

    async fn standin(
        &self,
        incident: &IncidentKey,
        uid: &str,
    ) -> Result<Option<Standin>, OrchestrationError> {
        let owner = self.ledger.owner(incident).await;
        let Some(owner) = owner.map_err(OrchestrationError::Log)? else {
            return Ok(None);
        };
        if owner.uid == uid {
            return Ok(Some(Standin { owner, found: None }));
        }
        let objects: Api<Orchestration> = Api::namespaced(self.client.clone(), &owner.namespace);
        let found = objects.get_opt(&owner.name).await;
        let found = found.map_err(|source| OrchestrationError::Read {
            what: "the run that is about the same incident",
            source: Box::new(source),
        })?;
        Ok(Some(Standin { owner, found }))
    }
}
