//! Everything that the AuditLog has ever said, in order: what was anchored once must hold for ever.

use std::sync::{Arc, Mutex, PoisonError};

use futures::TryStreamExt as _;
use kube::{
    Api, Client,
    runtime::{WatchStreamExt as _, watcher},
};
use neuralops::api::v1alpha1::{AuditLog, AuditLogSpec};
use tokio::task::JoinSet;

/// A watch over the AuditLog; it ends with this.
pub struct Anchors {
    seen: Arc<Mutex<Vec<AuditLogSpec>>>,
    api: Api<AuditLog>,
    _watch: JoinSet<()>,
}

impl Anchors {
    pub fn watch(client: Client) -> Self {
        let seen: Arc<Mutex<Vec<AuditLogSpec>>> = Arc::default();
        let api: Api<AuditLog> = Api::all(client);
        let mut watch = JoinSet::new();
        let (all, into) = (api.clone(), Arc::clone(&seen));
        watch.spawn(async move {
            let events = watcher(all, watcher::Config::default()).default_backoff();
            let noted = events.applied_objects().try_for_each(|log| {
                note(&into, log.spec);
                std::future::ready(Ok(()))
            });
            // It tries again by itself whatever happens, and so never ends.
            let _ = noted.await;
        });
        Self {
            seen,
            api,
            _watch: watch,
        }
    }

    /// What it says now.
    pub async fn now(&self) -> Option<AuditLogSpec> {
        let found = self.api.get_opt("main").await.expect("the API server");
        let spec = found.map(|log| log.spec)?;
        note(&self.seen, spec.clone());
        Some(spec)
    }

    /// What it has said so far, each state once.
    pub fn seen(&self) -> Vec<AuditLogSpec> {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

fn note(seen: &Mutex<Vec<AuditLogSpec>>, spec: AuditLogSpec) {
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    if !seen.contains(&spec) {
        seen.push(spec);
    }
}
