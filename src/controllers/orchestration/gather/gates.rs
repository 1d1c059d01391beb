//! Floor 3: the Gates of a run: the one that counts, which its status names, and those that were opened when the process ended
//! before a status could tell of them. Reads only.

use kube::{Api, ResourceExt as _, api::ListParams};

use super::Facts;
use crate::{
    api::v1alpha1::Gate,
    controllers::orchestration::{
        OrchestrationError, OrchestrationKind, children::is_owned_by, decide::Standing,
    },
    domain::{names::is_dns_name, plan::RunRef, run::History},
};

/// So many names at once.
const PAGE: u32 = 500;

fn unread(source: kube::Error) -> OrchestrationError {
    OrchestrationError::Read {
        what: "its Gate",
        source: Box::new(source),
    }
}

impl OrchestrationKind {
    /// The newest Gate that stands in the run's status, and no other that may bear its name.
    pub(super) async fn gate(&self, facts: &Facts) -> Result<Option<Gate>, OrchestrationError> {
        let named = facts.status.gates.as_ref().and_then(|gates| gates.last());
        // A status may have been written while nobody guarded it, and a name becomes a part of a path.
        let Some(named) = named.filter(|named| is_dns_name(&named.name)) else {
            return Ok(None);
        };
        let gates: Api<Gate> = Api::namespaced(self.client.clone(), &facts.run.namespace);
        let found = gates.get_opt(&named.name).await.map_err(unread)?;
        Ok(found.filter(|gate| {
            gate.uid().as_ref() == Some(&named.uid) && gate.metadata.deletion_timestamp.is_none()
        }))
    }

    /// All Gates of the run, whatever they ask about and whoever was told. Their owner tells them: a Gate may ask about a
    /// plan that was made before the newest. Only names are listed, and that only where a run was interrupted or is stopped.
    pub(super) async fn gates(&self, run: &RunRef) -> Result<Vec<Gate>, OrchestrationError> {
        let api: Api<Gate> = Api::namespaced(self.client.clone(), &run.namespace);
        let mut gates = Vec::new();
        let mut page = ListParams::default().limit(PAGE);
        loop {
            let listed = api.list_metadata(&page).await.map_err(unread)?;
            for found in listed
                .items
                .iter()
                .filter(|found| is_owned_by(&found.metadata, run))
            {
                gates.extend(api.get_opt(&found.name_any()).await.map_err(unread)?);
            }
            match listed.metadata.continue_.filter(|next| !next.is_empty()) {
                Some(next) => page.continue_token = Some(next),
                None => break,
            }
        }
        gates.retain(|gate| is_owned_by(&gate.metadata, run));
        Ok(gates)
    }
}

/// Whether a Gate may be open that the status does not tell of: the process may have ended between the two, or between the
/// end of the run and that of its Gate.
pub(super) fn may_ask_untold(standing: Standing, history: &History) -> bool {
    match standing {
        // It stops also while its records cannot be read.
        Standing::Cancelled => true,
        Standing::Ended | Standing::Planning => history.planned.is_some(),
        Standing::Settled | Standing::Allowed | Standing::Asked | Standing::Executing => false,
    }
}
