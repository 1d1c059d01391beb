//! Floor 2: how a playbook's account brings things to their end: it deletes an object, or has a pod evicted, which respects
//! disruption budgets. Bound to the object that was read, and behind the fence like every write.

use kube::{
    api::{DeleteParams, PostParams, Preconditions, PropagationPolicy},
    core::{DynamicObject, Request},
};
use serde_json::{Value, json};

use super::{Account, AccountError, Served, Writing, built, segment};

/// Which object is deleted, and how.
#[derive(Clone, Debug)]
pub struct Deletion {
    /// Its uid: another one of its name is left alone.
    pub uid: String,
    /// Its version: one that somebody wrote since is left alone.
    pub version: Option<String>,
    /// What becomes of its dependents.
    pub propagation: PropagationPolicy,
}

impl Account {
    /// Deletes an object. That the API server took it does not say that the object is gone.
    pub async fn delete(
        &self,
        kind: &Served,
        name: &str,
        deletion: &Deletion,
        writing: Writing<'_>,
    ) -> Result<(), AccountError> {
        let doing = || format!("could not delete {} {name}", kind.plural());
        let params = DeleteParams {
            dry_run: writing.dry(),
            propagation_policy: Some(deletion.propagation.clone()),
            preconditions: Some(Preconditions {
                uid: Some(deletion.uid.clone()),
                resource_version: deletion.version.clone(),
            }),
            ..DeleteParams::default()
        };
        let request = self.path(kind).delete(segment(name)?, &params);
        let request = request.map_err(|error| built(doing(), error))?;
        self.write(doing(), request, writing).await.map(drop)
    }

    /// Asks for the eviction of a pod, of any namespace. The API server says 429 while a disruption budget does not allow it.
    pub async fn evict(
        &self,
        (namespace, name, uid): (&str, &str, &str),
        grace_seconds: Option<u64>,
        writing: Writing<'_>,
    ) -> Result<(), AccountError> {
        let doing = || format!("could not evict pod {namespace}/{name}");
        let mut options = json!({"preconditions": {"uid": uid}});
        if let (Some(grace), Some(fields)) = (grace_seconds, options.as_object_mut()) {
            fields.insert("gracePeriodSeconds".to_owned(), json!(grace));
        }
        let eviction = json!({
            "apiVersion": "policy/v1", "kind": "Eviction",
            "metadata": {"name": name, "namespace": namespace},
            "deleteOptions": options,
        });
        let body = serde_json::to_vec(&eviction).map_err(|error| built(doing(), error))?;
        let params = PostParams {
            dry_run: writing.dry(),
            field_manager: None,
        };
        let path = Request::new(<DynamicObject as kube::Resource>::url_path(
            &Served::core("Pod", "pods", true).resource,
            Some(segment(namespace)?),
        ));
        let request = path.create_subresource("eviction", segment(name)?, &params, body);
        let request = request.map_err(|error| built(doing(), error))?;
        self.write(doing(), request, writing)
            .await
            .map(drop::<Value>)
    }
}
