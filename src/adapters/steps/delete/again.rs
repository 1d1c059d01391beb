//! Floor 2: whether an object that is deleted can be made again as it was, and from what. Pure: no request is made here.

use serde_json::Value;

use crate::domain::plan::{Undo, comparable};

/// What a controller writes on it by itself, counted anew for every object.
const COUNTED: &str = "deployment.kubernetes.io/revision";

/// How the deletion of this object is taken back.
pub(super) fn undo(live: &Value) -> Undo {
    match never(live) {
        Some(why) => Undo::Nothing { why },
        None => Undo::Recreate {
            manifest: manifest(live),
        },
    }
}

/// The object as its authors want it, without what the API server and controllers add.
pub(super) fn manifest(live: &Value) -> Value {
    let mut kept = comparable(live);
    if let Some(metadata) = kept.get_mut("metadata").and_then(Value::as_object_mut)
        && let Some(annotations) = metadata.get_mut("annotations")
        && let Some(all) = annotations.as_object_mut()
        && all.remove(COUNTED).is_some()
        && all.is_empty()
    {
        metadata.remove("annotations");
    }
    kept
}

/// Whether everything that was wanted is there; controllers may have added to it since.
pub(super) fn holds(live: &Value, wanted: &Value) -> bool {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => wanted
            .iter()
            .all(|(name, wanted)| live.get(name).is_some_and(|live| holds(live, wanted))),
        (Value::Array(live), Value::Array(wanted)) if live.len() == wanted.len() => live
            .iter()
            .zip(wanted)
            .all(|(live, wanted)| holds(live, wanted)),
        (live, wanted) => live == wanted,
    }
}

/// Why it would not be what it was.
fn never(live: &Value) -> Option<String> {
    let text = |pointer| live.pointer(pointer).and_then(Value::as_str);
    let lost = match (text("/apiVersion"), text("/kind")) {
        (Some("v1"), Some("Secret")) => {
            Some("values of a Secret are kept nowhere, so they cannot be put back")
        }
        (Some("v1"), Some("PersistentVolumeClaim")) => {
            Some("the data of its volume goes with it, and nothing brings that back")
        }
        (Some("v1"), Some("Pod")) => {
            Some("a pod that is made again is another one: what it did and held is gone")
        }
        (Some("v1"), Some("ServiceAccount")) => {
            Some("tokens are of one ServiceAccount only: one that is made again is another")
        }
        (Some("batch/v1"), Some("Job")) => {
            Some("a Job that is made again does again what it has done")
        }
        (_, Some("StatefulSet"))
            if text("/spec/persistentVolumeClaimRetentionPolicy/whenDeleted") == Some("Delete") =>
        {
            Some("its volumes and their data are deleted with it (whenDeleted: Delete)")
        }
        _ => None,
    };
    if let Some(lost) = lost {
        return Some(lost.to_owned());
    }
    let list = |pointer| live.pointer(pointer).and_then(Value::as_array);
    let owners = list("/metadata/ownerReferences").map(Vec::as_slice);
    let mut owners = owners.unwrap_or_default().iter();
    let controls = |owner: &&Value| owner.get("controller").and_then(Value::as_bool) == Some(true);
    if let Some(owner) = owners.find(controls) {
        let name = |field| owner.get(field).and_then(Value::as_str).unwrap_or("?");
        let (kind, name) = (name("kind"), name("name"));
        return Some(format!(
            "it belongs to {kind}/{name}, which makes another one if it wants one"
        ));
    }
    let finalizers = list("/metadata/finalizers").map(Vec::as_slice);
    let finalizers = finalizers.unwrap_or_default().iter();
    let finalizers: Vec<&str> = finalizers.filter_map(Value::as_str).collect();
    if !finalizers.is_empty() {
        return Some(format!(
            "what is cleared away when it goes ({}) is not known, and not brought back",
            finalizers.join(", ")
        ));
    }
    let inexact = manifest(live).to_string().contains("{\"$number\":");
    inexact.then(|| "it holds a number that no plan can hold".to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn live(more: Value) -> Value {
        let mut live = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {
                "name": "a", "namespace": "shop", "uid": "u", "resourceVersion": "7", "managedFields": [],
                "creationTimestamp": "2026-01-01T00:00:00Z", "labels": {"b": "c"},
                "annotations": {COUNTED: "3"},
            },
            "data": {"a": "1"}, "status": {"x": 1},
        });
        for (name, value) in more.as_object().unwrap() {
            match (live.get_mut(name), value) {
                (Some(Value::Object(fields)), Value::Object(more)) => fields.extend(more.clone()),
                (_, value) => live[name] = value.clone(),
            }
        }
        live
    }

    #[test]
    fn what_is_made_again_is_what_its_authors_want() {
        let metadata = json!({"name": "a", "namespace": "shop", "labels": {"b": "c"}});
        let wanted = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "1"}});
        assert_eq!(undo(&live(json!({}))), Undo::Recreate { manifest: wanted });
        let annotations = json!({"metadata": {"annotations": {COUNTED: "3", "d": "e"}}});
        let kept = manifest(&live(annotations));
        assert_eq!(kept["metadata"]["annotations"], json!({"d": "e"}));
    }

    #[test]
    fn what_was_made_again_may_have_been_added_to_and_not_changed() {
        let wanted = json!({"data": {"a": "1"}, "list": [{"b": 1}]});
        let more = json!({"data": {"a": "1", "c": "2"}, "list": [{"b": 1, "d": 2}], "e": 1});
        assert!(holds(&more, &wanted));
        for other in [
            json!({"data": {"a": "2"}, "list": [{"b": 1}]}),
            json!({"data": {"a": "1"}, "list": []}),
            json!({"list": [{"b": 1}]}),
        ] {
            assert!(!holds(&other, &wanted), "{other}");
        }
    }

    #[test]
    fn what_would_be_another_is_not_made_again() {
        let controller =
            json!([{"kind": "StatefulSet", "name": "db", "uid": "o", "controller": true}]);
        let deletes = json!({"persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Delete"}});
        let cases = [
            (json!({"kind": "Secret"}), "kept nowhere"),
            (json!({"kind": "PersistentVolumeClaim"}), "data"),
            (json!({"kind": "Pod"}), "another one"),
            (json!({"kind": "ServiceAccount"}), "tokens"),
            (json!({"apiVersion": "batch/v1", "kind": "Job"}), "again"),
            (
                json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "spec": deletes}),
                "volumes",
            ),
            (
                json!({"metadata": {"ownerReferences": controller}}),
                "StatefulSet/db",
            ),
            (
                json!({"metadata": {"finalizers": ["example.com/lb"]}}),
                "example.com/lb",
            ),
            (json!({"data": {"a": 0.5}}), "number"),
        ];
        for (more, word) in cases {
            match undo(&live(more)) {
                Undo::Nothing { why } => assert!(why.contains(word), "{why}"),
                other => panic!("{other:?}"),
            }
        }
        let owner = json!([{"kind": "App", "name": "a", "uid": "o"}]);
        let owned = live(json!({"metadata": {"ownerReferences": owner}}));
        assert!(matches!(undo(&owned), Undo::Recreate { .. }));
    }
}
