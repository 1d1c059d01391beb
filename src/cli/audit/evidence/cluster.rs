//! Floor 3: what the cluster still has of a run: its plan, its Playbook, its Gates and the Decisions about them. It is read
//! with the caller's own rights, and believed only as far as the records name it.

use std::path::PathBuf;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client, ResourceExt as _,
    api::{ApiResource, DynamicObject, ListParams},
};
use serde_json::{Value, json};

use super::About;
use crate::{
    adapters::kube::client::{configure_context, connect},
    api::v1alpha1::{Decision, Gate, Orchestration, Playbook},
    cli::audit::AuditError,
    domain::{audit::evidence::playbook_is, trust::ANNOTATION},
};

/// The key of the ConfigMap.
const PLAN: &str = "plan.json";

/// Which cluster, and where in it.
#[derive(clap::Args, Debug)]
pub struct ClusterArgs {
    /// The kubeconfig; absent: KUBECONFIG, else ~/.kube/config
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Which of its contexts; absent: the current one
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// Where the run is; absent: the namespace of the context
    #[arg(short, long, value_name = "NAMESPACE")]
    namespace: Option<String>,
}

/// A run as the cluster knows it.
pub struct Found {
    /// Its uid.
    pub uid: String,
    /// What its ConfigMap says that the plan is.
    pub plan: Option<String>,
    /// Where to ask further; nowhere if the run is gone.
    place: Option<Place>,
}

struct Place {
    client: Client,
    namespace: String,
    playbook: Option<String>,
    gates: Vec<(String, String)>,
}

impl ClusterArgs {
    /// The run with this name.
    pub async fn find(&self, name: &str) -> Result<Found, AuditError> {
        let config = configure_context(self.kubeconfig.as_ref(), self.context.as_deref()).await;
        let config = config.map_err(AuditError::cluster("the run"))?;
        let namespace = self
            .namespace
            .as_ref()
            .unwrap_or(&config.default_namespace)
            .clone();
        let client = connect(config).map_err(AuditError::cluster("the run"))?;
        let runs: Api<DynamicObject> = Api::namespaced_with(
            client.clone(),
            &namespace,
            &ApiResource::erase::<Orchestration>(&()),
        );
        let run = runs.get_opt(name).await;
        let Some(run) = run.map_err(AuditError::cluster("the run"))? else {
            return Err(AuditError::NotThere(format!(
                "there is no run {name} in {namespace}; if it is gone, give its uid by --uid (neuralops audit list --code run.requested shows runs, and -o json their uids)"
            )));
        };
        let text = |pointer: &str| {
            let found = run.data.pointer(pointer).and_then(Value::as_str);
            found.map(str::to_owned)
        };
        let gates = run.data.pointer("/status/gates").and_then(Value::as_array);
        let gate = |gate: &Value| {
            let word = |field: &str| gate.get(field)?.as_str().map(str::to_owned);
            Some((word("name")?, word("uid")?))
        };
        let plan = match text("/status/plan/configMap") {
            Some(map) => shown(&client, &namespace, &map).await?,
            None => None,
        };
        Ok(Found {
            uid: run.uid().unwrap_or_default(),
            plan,
            place: Some(Place {
                playbook: text("/spec/playbookRef/name"),
                gates: gates.into_iter().flatten().filter_map(gate).collect(),
                client,
                namespace,
            }),
        })
    }
}

async fn shown(client: &Client, namespace: &str, map: &str) -> Result<Option<String>, AuditError> {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let found = maps.get_opt(map).await;
    let found = found.map_err(AuditError::cluster("the plan"))?;
    Ok(found.and_then(|map| map.data?.remove(PLAN)))
}

impl Found {
    /// A run whose object is gone.
    pub fn gone(uid: &str) -> Self {
        Self {
            uid: uid.to_owned(),
            plan: None,
            place: None,
        }
    }

    /// The Playbook, if it is still the one that ran.
    pub async fn playbook(
        &self,
        about: &About,
        notes: &mut Vec<String>,
    ) -> Result<Option<Value>, AuditError> {
        let (Some(place), Some(wanted)) = (&self.place, &about.playbook) else {
            return Ok(None);
        };
        let Some(name) = &place.playbook else {
            return Ok(None);
        };
        let playbooks = place.objects(&ApiResource::erase::<Playbook>(&()));
        let found = playbooks.get_opt(name).await;
        let Some(found) = found.map_err(AuditError::cluster("the Playbook"))? else {
            return Ok(None);
        };
        let mut object = bare(&found);
        let bundles: serde_json::Map<_, _> = found
            .annotations()
            .iter()
            .filter(|(key, _)| key.starts_with(ANNOTATION))
            .map(|(key, value)| (key.clone(), Value::from(value.as_str())))
            .collect();
        if let Some(meta) = object.get_mut("metadata") {
            meta["annotations"] = Value::Object(bundles);
        }
        if let Err(why) = playbook_is(&object, wanted) {
            notes.push(format!("the Playbook is left out: {why}"));
            return Ok(None);
        }
        Ok(Some(object))
    }

    /// The Gates that the run began by, and the Decisions that counted.
    pub async fn gates(&self, about: &About) -> Result<(Vec<Value>, Vec<Value>), AuditError> {
        let (mut gates, mut decisions) = (Vec::new(), Vec::new());
        let Some(place) = &self.place else {
            return Ok((gates, decisions));
        };
        let named = place
            .gates
            .iter()
            .filter(|(_, uid)| about.gates.contains(uid));
        for (name, uid) in named {
            let all = place.objects(&ApiResource::erase::<Gate>(&()));
            let found = all.get_opt(name).await;
            let found = found.map_err(AuditError::cluster("a Gate"))?;
            gates.extend(
                found
                    .filter(|gate| gate.uid().as_ref() == Some(uid))
                    .as_ref()
                    .map(bare),
            );
            let about_it = ListParams::default().fields(&format!("spec.gateRef.uid={uid}"));
            let votes = place.objects(&ApiResource::erase::<Decision>(&()));
            let votes = votes.list(&about_it).await;
            let votes = votes.map_err(AuditError::cluster("Decisions"))?;
            let counted = votes.items.iter().filter(|vote| {
                let uid = vote.uid();
                uid.is_some_and(|uid| about.decisions.contains(&uid))
            });
            decisions.extend(counted.map(bare));
        }
        // In an order that does not depend on when each was listed.
        decisions.sort_by_key(|decision| decision.pointer("/metadata/uid").map(Value::to_string));
        Ok((gates, decisions))
    }
}

impl Place {
    fn objects(&self, resource: &ApiResource) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, resource)
    }
}

/// What an object says, without what changes while nobody changes it.
fn bare(object: &DynamicObject) -> Value {
    let types = object.types.clone().unwrap_or_default();
    let meta = &object.metadata;
    json!({
        "apiVersion": types.api_version,
        "kind": types.kind,
        "metadata": {
            "name": meta.name,
            "namespace": meta.namespace,
            "uid": meta.uid,
            "creationTimestamp": meta.creation_timestamp,
        },
        "spec": object.data.get("spec").cloned().unwrap_or_default(),
    })
}
