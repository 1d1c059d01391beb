//! Floor 3: which Gates were voted on, by a watch over Decisions. It says where to look and never what counts: a Gate without
//! votes need not list any, and one that is voted on is looked at.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::{Stream, StreamExt as _, stream};
use kube::{
    Api, Client, ResourceExt as _,
    api::{ApiResource, DynamicObject},
    core::PartialObjectMeta,
    runtime::{reflector::ObjectRef, watcher},
};
use serde_json::Value;
use tokio::sync::watch;

use super::{
    super::{harness::Wake, held::changes},
    GateKind,
};
use crate::{
    adapters::kube::{error::chain, scope::Scope},
    api::v1alpha1::{Decision, Gate},
};

/// Decisions in one answer of a listing: nothing of them is kept.
const PAGE: u32 = 100;

type GateObject = ObjectRef<PartialObjectMeta<Gate>>;

/// The Gates that were voted on and are not known to be settled, by uid.
#[derive(Default)]
pub struct Voted(Mutex<HashMap<String, GateObject>>);

impl Voted {
    /// Whether there may be votes about the Gate with this uid.
    pub fn has(&self, uid: &str) -> bool {
        self.lock().contains_key(uid)
    }

    /// Nothing will come of votes about this Gate any more.
    pub fn forget(&self, uid: &str) {
        self.lock().remove(uid);
    }

    fn add(&self, uid: String, gate: GateObject) {
        self.lock().insert(uid, gate);
    }

    fn all(&self) -> Vec<GateObject> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, GateObject>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The Gates to look at: the one that a Decision names; and all that were voted on when the admission guard changed, because
/// other votes count then.
pub fn wakes(
    client: Client,
    scope: &Scope,
    voted: Arc<Voted>,
    guard: watch::Receiver<u64>,
) -> impl Stream<Item = Wake<GateKind>> + Send + use<> {
    // Without a type: a Decision that fits none stops nobody.
    let decisions: Api<DynamicObject> = Api::all_with(client, &ApiResource::erase::<Decision>(&()));
    let known = Arc::clone(&voted);
    let named = scope
        .watches(decisions, watcher::Config::default().page_size(PAGE))
        .filter_map(move |event| std::future::ready(named(event, &known)));
    let changed = changes(guard).flat_map(move |()| stream::iter(voted.all()));
    stream::select(named, changed).map(Wake::One)
}

fn named(
    event: watcher::Result<watcher::Event<DynamicObject>>,
    voted: &Voted,
) -> Option<GateObject> {
    let decision = match event {
        Ok(
            watcher::Event::Apply(decision)
            | watcher::Event::InitApply(decision)
            | watcher::Event::Delete(decision),
        ) => decision,
        Ok(watcher::Event::Init | watcher::Event::InitDone) => return None,
        Err(error) => {
            tracing::warn!(error = %chain(&error), "the watch over Decisions is interrupted; it is taken up again");
            return None;
        }
    };
    let text = |pointer: &str| decision.data.pointer(pointer).and_then(Value::as_str);
    let name = text("/spec/gateRef/name")?;
    let gate = ObjectRef::new(name).within(&decision.namespace()?);
    voted.add(text("/spec/gateRef/uid")?.to_owned(), gate.clone());
    Some(gate)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn decision(spec: Value) -> watcher::Result<watcher::Event<DynamicObject>> {
        let object = json!({"apiVersion": "neuralops.io/v1alpha1", "kind": "Decision", "metadata": {"name": "d", "namespace": "shop"}, "spec": spec});
        Ok(watcher::Event::Apply(
            serde_json::from_value(object).unwrap(),
        ))
    }

    #[test]
    fn a_decision_names_its_gate_and_an_odd_one_names_none() {
        let voted = Voted::default();
        let gate = named(
            decision(json!({"gateRef": {"name": "g", "uid": "u"}})),
            &voted,
        );
        assert_eq!(gate, Some(ObjectRef::new("g").within("shop")));
        assert!(voted.has("u"));
        voted.forget("u");
        assert!(!voted.has("u"));
        for odd in [
            json!(null),
            json!("all of them"),
            json!({"gateRef": {"name": 7, "uid": "u"}}),
        ] {
            assert_eq!(named(decision(odd), &voted), None);
        }
        assert_eq!(voted.all(), []);
    }
}
