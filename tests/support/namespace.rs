//! A namespace for one test. It goes when the test ends, also by a panic, with whatever the test made outside of it:
//! in an adopted cluster nothing may stay behind. It is asked to go, not waited for.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::Mutex;
use std::time::Duration;

use kube::Client;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;
use tokio::runtime::Builder;
use tokio::time::timeout;

use super::{Cluster, api, create};

pub struct Namespace {
    name: String,
    admin: Client,
    cluster: &'static Cluster,
    elsewhere: Mutex<Vec<Elsewhere>>,
}

/// An object outside of the test's namespace.
struct Elsewhere {
    namespace: String,
    kind: String,
    name: String,
}

/// The name with something behind it that no other test has.
pub fn random(name: &str) -> String {
    format!(
        "{name}-{:08x}",
        RandomState::new().build_hasher().finish() as u32
    )
}

impl Namespace {
    pub async fn new(cluster: &'static Cluster, purpose: &str) -> Self {
        let (name, admin) = (random(&format!("t-{purpose}")), cluster.admin().await);
        let object = json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": name, "labels": {"neuralops.io/test": "true"}},
        });
        create(&admin, object).await.expect("a namespace");
        Self {
            name,
            admin,
            cluster,
            elsewhere: Mutex::default(),
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn admin(&self) -> &Client {
        &self.admin
    }

    /// Has an object without a namespace deleted at the end of the test, should it still be there.
    pub fn also_delete(&self, kind: &str, name: &str) {
        self.also_delete_in("", kind, name);
    }

    /// The same for an object of another namespace.
    pub fn also_delete_in(&self, namespace: &str, kind: &str, name: &str) {
        self.elsewhere
            .lock()
            .expect("no test panics here")
            .push(Elsewhere {
                namespace: namespace.to_owned(),
                kind: kind.to_owned(),
                name: name.to_owned(),
            });
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let elsewhere = std::mem::take(
            &mut *self
                .elsewhere
                .lock()
                .unwrap_or_else(|poisoned| poisoned.into_inner()),
        );
        // The test's runtime may be gone or blocked by now.
        let asked = std::thread::scope(|threads| {
            let end = threads.spawn(|| {
                let runtime = Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .expect("a runtime");
                let all = async {
                    timeout(
                        Duration::from_secs(30),
                        delete(self.cluster, &self.name, &elsewhere),
                    )
                    .await
                };
                runtime.block_on(all)
            });
            matches!(end.join(), Ok(Ok(true)))
        });
        // A test that fails already has said something more important.
        assert!(
            asked || std::thread::panicking(),
            "{} and what belongs to it could not be deleted",
            self.name
        );
    }
}

/// Whether all of it was there to be deleted, or gone already.
async fn delete(cluster: &Cluster, namespace: &str, elsewhere: &[Elsewhere]) -> bool {
    let admin = cluster.admin().await;
    let mut all = true;
    for Elsewhere {
        namespace,
        kind,
        name,
    } in elsewhere
    {
        let objects = api(&admin, kind, namespace);
        let Ok(Some(object)) = objects.get_opt(name).await else {
            continue;
        };
        // Some of our kinds let go only of what says so.
        let permission = json!({"metadata": {"annotations": {"neuralops.io/allow-deletion": object.metadata.uid}}});
        let _ = objects
            .patch(name, &PatchParams::default(), &Patch::Merge(permission))
            .await;
        all &= gone(
            kind,
            name,
            objects
                .delete(name, &DeleteParams::default())
                .await
                .map(|_| ()),
        );
    }
    let namespaces = api(&admin, "Namespace", "");
    all & gone(
        "Namespace",
        namespace,
        namespaces
            .delete(namespace, &DeleteParams::default())
            .await
            .map(|_| ()),
    )
}

fn gone(kind: &str, name: &str, answer: Result<(), kube::Error>) -> bool {
    match answer {
        Ok(()) => true,
        // Somebody was faster, or it is ending already.
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => true,
        Err(error) => {
            eprintln!("{kind} {name} of a test stays: {error}");
            false
        }
    }
}
