//! Floor 3: a finished run is deleted, with the votes about its Gates first and with what it owns by its owner's end. Bound to
//! what was read, so that one that somebody has just changed stays until it is looked at again.

use kube::{
    Api, ResourceExt as _,
    api::{ApiResource, DeleteParams, DynamicObject, ListParams, Preconditions},
};

use super::{Acted, Halt, OrchestrationError, Pass, Told};
use crate::{
    adapters::{failpoint::failpoint, ledger::Ack},
    api::v1alpha1::{Decision, Orchestration},
    controllers::orchestration::decide::Retire,
    domain::verdict::Verdict,
};

/// Decisions in one answer.
const PAGE: u32 = 200;

impl Pass<'_> {
    pub(super) async fn retire(&mut self, retire: Retire) -> Acted {
        // It is on record already: the answer comes when it is under the anchor, and so does all that is older.
        self.kind
            .ledger
            .record(retire.newest, Ack::Anchored)
            .await?;
        failpoint!("retire.before");
        let gates: Vec<String> = {
            let gates = self.facts.status.gates.iter().flatten();
            gates.map(|gate| gate.uid.clone()).collect()
        };
        let run = &self.facts.run;
        let runs: Api<Orchestration> = Api::namespaced(self.kind.client.clone(), &run.namespace);
        let params = DeleteParams::background().preconditions(Preconditions {
            uid: Some(run.uid.clone()),
            resource_version: Some(self.facts.version.clone()),
        });
        // A run that may not be deleted, or has changed since it was read, keeps its votes.
        let rehearsed = params.clone().dry_run();
        self.delete("the finished run", &run.name, &runs, &rehearsed)
            .await?;
        for gate in gates.iter().filter(|gate| !gate.is_empty()) {
            self.delete_votes(gate).await?;
        }
        failpoint!("retire.votes");
        self.delete("the finished run", &run.name, &runs, &params)
            .await?;
        failpoint!("retire.after");
        tracing::info!(
            orchestration.namespace = run.namespace,
            orchestration.name = run.name,
            "a finished run was deleted: its time is over, or its Playbook keeps fewer"
        );
        Ok((Told::Same, Verdict::Settled))
    }

    /// Whoever voted need not have named the Gate as the owner of the vote.
    async fn delete_votes(&self, gate: &str) -> Result<(), Halt> {
        let namespace = &self.facts.run.namespace;
        let resource = ApiResource::erase::<Decision>(&());
        let votes: Api<DynamicObject> =
            Api::namespaced_with(self.kind.client.clone(), namespace, &resource);
        let fields = format!("spec.gateRef.uid={gate}");
        let page = ListParams::default().limit(PAGE).fields(&fields);
        loop {
            let list = votes.list_metadata(&page).await;
            let list = list.map_err(|source| OrchestrationError::Read {
                what: "the Decisions about its Gate",
                source: Box::new(source),
            })?;
            for vote in &list.items {
                let params = DeleteParams::background().preconditions(Preconditions {
                    uid: vote.uid(),
                    resource_version: None,
                });
                let name = vote.name_any();
                self.delete("a Decision about its Gate", &name, &votes, &params)
                    .await?;
            }
            // What is deleted moves the rest forward: the first page is asked for again.
            if list.metadata.continue_.is_none_or(|token| token.is_empty()) {
                return Ok(());
            }
        }
    }

    async fn delete<K>(
        &self,
        what: &'static str,
        name: &str,
        objects: &Api<K>,
        params: &DeleteParams,
    ) -> Result<(), Halt>
    where
        K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
    {
        self.fence.holds().map_err(OrchestrationError::Deposed)?;
        match objects.delete(name, params).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(answer)) if answer.is_not_found() => Ok(()),
            Err(source) => Err(OrchestrationError::Delete {
                what,
                source: Box::new(source),
            }
            .into()),
        }
    }
}
