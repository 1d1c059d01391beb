//! Floor 0, tests: what may be acted on, and in which form. No rule of another file.

use serde_json::{Value, json};

use super::*;

#[test]
fn some_things_are_never_targets() {
    let delete = |api_version: &str, kind: &str| {
        with_step(
            json!({"name": "d", "delete": {"target": {"apiVersion": api_version, "kind": kind, "name": "x"}}}),
        )
    };
    for group in [
        "rbac.authorization.k8s.io/v1",
        "admissionregistration.k8s.io/v1",
        "apiextensions.k8s.io/v1",
        "neuralops.io/v1alpha1",
        "apiregistration.k8s.io/v1",
    ] {
        refused(
            delete(group, "Whatever"),
            "spec.steps[2].delete.target.apiVersion",
            "is no target",
        );
    }
    refused(
        delete("v1", "Node"),
        "spec.steps[2].delete.target.kind",
        "cordon, uncordon and drain",
    );
    refused(
        delete("v1", "Namespace"),
        "spec.steps[2].delete.target.kind",
        "belongs to no namespace",
    );
    refused(
        delete("apps/v1/x", "Deployment"),
        "spec.steps[2].delete.target.apiVersion",
        "is no apiVersion",
    );
    refused(
        delete("storage.k8s.io/v1", "StorageClass"),
        "spec.steps[2].delete.target.kind",
        "belongs to no namespace",
    );
    let role = json!({"name": "a", "apply": {"manifest": {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "x"}}}});
    refused(
        with_step(role),
        "spec.steps[2].apply.manifest.apiVersion",
        "is no target",
    );
}

#[test]
fn manifests_are_objects_of_this_namespace() {
    let apply = |manifest: Value| with_step(json!({"name": "a", "apply": {"manifest": manifest}}));
    let at = "spec.steps[2].apply.manifest";
    let map =
        |metadata: Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata});
    refused(
        apply(json!({"kind": "ConfigMap", "metadata": {"name": "a"}})),
        at,
        "no apiVersion",
    );
    refused(
        apply(json!({"apiVersion": "v1", "metadata": {"name": "a"}})),
        at,
        "no kind",
    );
    refused(
        apply(map(json!({"generateName": "a-"}))),
        &format!("{at}.metadata"),
        "no metadata.name",
    );
    refused(
        apply(map(json!({"name": "a", "namespace": "kube-system"}))),
        &format!("{at}.metadata.namespace"),
        "not the Playbook's own namespace, shop",
    );
    refused(
        apply(map(json!({"name": "a", "ownerReferences": []}))),
        &format!("{at}.metadata.ownerReferences"),
        "not an author's to set",
    );
    assert_eq!(
        findings(apply(map(json!({"name": "a", "namespace": "shop"})))),
        Vec::<String>::new()
    );
    let mut twice = apply(map(json!({"name": "a"})));
    twice["steps"]
        .as_array_mut()
        .unwrap()
        .push(json!({"name": "b", "apply": {"manifest": map(json!({"name": "a"}))}}));
    refused(twice, "spec.steps[3].apply.manifest", "TargetTwice: step 2");
}

#[test]
fn patches_have_the_form_of_their_type() {
    let patch = |kind: &str, patch: Value| {
        with_step(
            json!({"name": "p", "patch": {"target": {"apiVersion": "v1", "kind": "ConfigMap", "name": "a"}, "type": kind, "patch": patch}}),
        )
    };
    let at = "spec.steps[2].patch.patch";
    refused(patch("Json", json!({})), at, "a list of operations");
    refused(
        patch("Json", json!([{"op": "put", "path": "/a"}])),
        &format!("{at}[0].op"),
        "is no operation",
    );
    refused(
        patch("Json", json!([{"op": "add", "path": "a", "value": 1}])),
        &format!("{at}[0].path"),
        "begins with /",
    );
    refused(
        patch("Json", json!([{"op": "add", "path": "/a"}])),
        &format!("{at}[0].value"),
        "needs a value",
    );
    refused(
        patch("Json", json!([{"op": "move", "path": "/a"}])),
        &format!("{at}[0].from"),
        "needs a from",
    );
    refused(patch("Merge", json!([])), at, "is an object");
    refused(
        patch("Strategic", json!({"status": {}})),
        &format!("{at}.status"),
        "not patched",
    );
}

#[test]
fn a_json_patch_leaves_kind_and_status_alone() {
    let patch = |path: &str| {
        let target = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "a"});
        let operations = json!([{"op": "replace", "path": path, "value": 1}]);
        with_step(
            json!({"name": "p", "patch": {"target": target, "type": "Json", "patch": operations}}),
        )
    };
    for path in ["/status/replicas", "/kind", "/apiVersion"] {
        refused(
            patch(path),
            "spec.steps[2].patch.patch[0].path",
            "is not patched by a step",
        );
    }
    assert_eq!(findings(patch("/data/status")), Vec::<String>::new());
}
