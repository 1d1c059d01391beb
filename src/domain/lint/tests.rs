//! The linter's rules, each with what it refuses and where it says so.

#![expect(
    clippy::too_many_lines,
    reason = "a table of cases is read from top to bottom"
)]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn document(spec: Value) -> Document {
    Document {
        api_version: "neuralops.io/v1alpha1".into(),
        name: "restart".into(),
        namespace: "shop".into(),
        spec,
    }
}

/// A Playbook without findings; each test changes one thing.
fn good() -> Value {
    json!({
        "revision": 1,
        "serviceAccountName": "runbook-shop",
        "parameters": {
            "type": "object",
            "required": ["deployment"],
            "properties": {
                "deployment": {"type": "string", "maxLength": 63, "default": "$(incident.labels.deployment)"},
                "replicas": {"type": "integer", "default": 3},
            },
        },
        "approval": [{"rules": [{"role": "oncall", "min": 1}]}],
        "steps": [
            {"name": "restart", "rolloutRestart": {"target": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "$(params.deployment)"}}},
            {"name": "scale", "scale": {"target": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "$(params.deployment)"}, "replicas": "$(params.replicas)"}},
        ],
    })
}

fn with(pointer: &str, value: Value) -> Value {
    let mut spec = good();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    match spec.pointer_mut(parent).unwrap() {
        Value::Object(fields) => {
            fields.insert(key.into(), value);
        }
        Value::Array(items) if key == "-" => items.push(value),
        Value::Array(items) => items[key.parse::<usize>().unwrap()] = value,
        other => panic!("{parent} is {other}"),
    }
    spec
}

fn with_step(step: Value) -> Value {
    with("/steps/-", step)
}

/// Findings as `position: message`.
fn findings(spec: Value) -> Vec<String> {
    lint(&document(spec))
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[track_caller]
fn refused(spec: Value, position: &str, message: &str) {
    let all = lint(&document(spec));
    let hit = all
        .iter()
        .find(|f| f.position.to_string() == position && f.message.contains(message));
    assert!(
        hit.is_some_and(|f| f.severity == Severity::Error),
        "no error {message:?} at {position}; there are {all:#?}"
    );
}

#[track_caller]
fn warned(spec: Value, position: &str, message: &str) {
    let all = lint(&document(spec));
    let hit = all
        .iter()
        .find(|f| f.position.to_string() == position && f.message.contains(message));
    assert!(
        hit.is_some_and(|f| f.severity == Severity::Warning),
        "no warning {message:?} at {position}; there are {all:#?}"
    );
}

#[test]
fn a_good_playbook_has_no_findings() {
    assert_eq!(findings(good()), Vec::<String>::new());
}

#[test]
fn values_that_lose_their_bytes_are_refused() {
    refused(
        with("/description", Value::Null),
        "spec.description",
        "null is not allowed",
    );
    refused(
        with("/revision", json!(1.5)),
        "spec.revision",
        "not a whole number",
    );
    refused(
        with("/revision", json!(9_007_199_254_740_992_u64)),
        "spec.revision",
        "beyond 2^53-1",
    );
    refused(
        with("/revision", json!(-9_007_199_254_740_992_i64)),
        "spec.revision",
        "beyond 2^53-1",
    );
    refused(
        with_step(
            json!({"name": "p", "patch": {"target": {"apiVersion": "v1", "kind": "ConfigMap", "name": "a"}, "type": "Merge", "patch": {"data": {"x y": null}}}}),
        ),
        "spec.steps[2].patch.patch.data[\"x y\"]",
        "null is not allowed",
    );
    let deep = (0..70).fold(json!(1), |inner, _| json!([inner]));
    assert!(
        findings(with("/parameters/properties/replicas/examples", deep))
            .iter()
            .any(|f| f.contains("nested deeper"))
    );
}

#[test]
fn a_spec_over_its_size_is_refused_with_its_own_reason() {
    let large = with(
        "/parameters/properties/deployment/description",
        json!("x".repeat(LARGEST_SPEC)),
    );
    let found = lint(&document(large));
    assert_eq!(
        found.first().map(|f| f.reason),
        Some(Reason::PlaybookTooLarge)
    );
}

#[test]
fn a_parameter_stands_alone_and_only_where_it_may() {
    let target = |name: &str| json!({"name": "r", "rolloutRestart": {"target": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}}});
    let at = "spec.steps[2].rolloutRestart.target.name";
    refused(
        with_step(target("web-$(params.deployment)")),
        at,
        "a parameter stands alone",
    );
    refused(
        with_step(target("$(params.deployment")),
        at,
        "a parameter stands alone",
    );
    refused(
        with_step(target("$(params.unknown)")),
        at,
        "not declared (declared: deployment, replicas)",
    );
    refused(
        with_step(target("$(params.replicas)")),
        at,
        "takes a string; the parameter replicas is of type integer",
    );
    refused(
        with_step(target("$(incident.labels.app)")),
        at,
        "stands only in the default",
    );
    refused(
        with("/steps/1/scale/replicas", json!("$(params.deployment)")),
        "spec.steps[1].scale.replicas",
        "takes an integer",
    );
    refused(
        with("/description", json!("$(params.deployment)")),
        "spec.description",
        "takes no parameter",
    );
    refused(
        with("/serviceAccountName", json!("$(params.deployment)")),
        "spec.serviceAccountName",
        "takes no parameter",
    );
    refused(
        with("/steps/0/timeout", json!("$(params.deployment)")),
        "spec.steps[0].timeout",
        "takes no parameter",
    );
    for field in ["command", "args"] {
        let mut job = json!({"name": "j", "opaque": "Accepted", "job": {"image": "a@sha256:0"}});
        job["job"][field] = json!(["sh", "-c", "echo $(date)"]);
        refused(
            with_step(job.clone()),
            &format!("spec.steps[2].job.{field}[2]"),
            "backquotes",
        );
        job["job"][field] = json!(["$(params.deployment)"]);
        refused(
            with_step(job),
            &format!("spec.steps[2].job.{field}[0]"),
            "takes no parameter",
        );
    }
    let apply = json!({"name": "a", "apply": {"manifest": {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"$(params.deployment)": "x"}}}});
    refused(
        with_step(apply),
        "spec.steps[2].apply.manifest.data[\"$(params.deployment)\"]",
        "name takes no substitution",
    );
}

#[test]
fn every_field_that_is_made_for_a_parameter_takes_one() {
    let name = "$(params.deployment)";
    let target = json!({"apiVersion": name, "kind": name, "name": name});
    let mut spec = good();
    spec["steps"] = json!([
        {"name": "a", "apply": {"manifest": {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"n": "$(params.replicas)", "list": [name]}}}},
        {"name": "b", "patch": {"target": target, "type": "Json", "patch": [{"op": "replace", "path": "/spec/replicas", "value": "$(params.replicas)"}]}},
        {"name": "c", "rolloutUndo": {"target": target, "toRevision": "$(params.replicas)"}},
        {"name": "d", "delete": {"target": target}},
        {"name": "e", "cordon": {"node": name}}, {"name": "f", "uncordon": {"node": name}},
        {"name": "g", "drain": {"node": name, "gracePeriod": name}},
        {"name": "h", "opaque": "Accepted", "job": {"image": "a@sha256:0", "env": [{"name": "A", "value": name}]}},
        {"name": "i", "opaque": "Accepted", "http": {"url": name, "headers": {"x": name}, "body": name}},
        {"name": "j", "wait": {"target": target, "expression": "true"}},
        {"name": "k", "check": {"prometheus": {"query": "up{app=$app}", "vars": {"app": name}, "expression": "true"}}},
        {"name": "l", "notify": {"message": "done", "fields": {"what": name}}},
    ]);
    assert_eq!(findings(spec), Vec::<String>::new());
}

#[test]
fn parameters_are_a_schema_that_needs_nothing_from_outside() {
    let at = "spec.parameters.properties.deployment";
    refused(
        with("/parameters/type", json!("array")),
        "spec.parameters.type",
        "type: object",
    );
    refused(
        with(
            "/parameters/$schema",
            json!("http://json-schema.org/draft-07/schema#"),
        ),
        "spec.parameters.$schema",
        "leave $schema out",
    );
    refused(
        with(
            "/parameters/properties/deployment/$ref",
            json!("https://example.com/x.json"),
        ),
        &format!("{at}.$ref"),
        "leaves the document",
    );
    refused(
        with("/parameters/$id", json!("https://example.com/")),
        "spec.parameters.$id",
        "leave it out",
    );
    refused(
        with(
            "/parameters/properties/deployment/minLength",
            json!("three"),
        ),
        &format!("{at}.minLength"),
        "not JSON Schema 2020-12",
    );
    refused(
        with("/parameters/properties/deployment/pattern", json!("(")),
        &format!("{at}.pattern"),
        "not JSON Schema",
    );
    refused(
        with(
            "/parameters/properties/deployment/type",
            json!(["string", "integer"]),
        ),
        &format!("{at}.type"),
        "exactly one type",
    );
    refused(
        with("/parameters/properties/deployment/type", json!("number")),
        &format!("{at}.type"),
        "exactly one type",
    );
    refused(
        with("/parameters/properties/deployment", json!({})),
        &format!("{at}.type"),
        "found none",
    );
    refused(
        with("/parameters/properties/replicas/default", json!("three")),
        "spec.parameters.properties.replicas.default",
        "does not fit its own schema",
    );
    refused(
        with("/parameters/required", json!(["deployment", "nodes"])),
        "spec.parameters.required[1]",
        "not declared",
    );
    refused(
        with("/parameters/properties/1st", json!({"type": "string"})),
        "spec.parameters.properties.1st",
        "a parameter's name",
    );
    refused(
        with(
            "/parameters/properties/deployment/default",
            json!("$(incident.summary)"),
        ),
        &format!("{at}.default"),
        "not a substitution",
    );
    refused(
        with(
            "/parameters/properties/deployment/const",
            json!("$(incident.labels.x)"),
        ),
        &format!("{at}.const"),
        "stands only in the default",
    );
    warned(
        with("/parameters/properties/spare", json!({"type": "string"})),
        "spec.parameters.properties.spare",
        "never used",
    );
}

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
fn steps_know_their_targets_images_addresses_and_variables() {
    let step = |kind: &str, body: Value| {
        let mut s = json!({"name": "s"});
        if matches!(kind, "job" | "http") {
            s["opaque"] = json!("Accepted");
        }
        s[kind] = body;
        with_step(s)
    };
    refused(
        step(
            "rolloutRestart",
            json!({"target": {"apiVersion": "v1", "kind": "Pod", "name": "a"}}),
        ),
        "spec.steps[2].rolloutRestart.target.kind",
        "has no rollouts",
    );
    refused(
        step(
            "rolloutUndo",
            json!({"target": {"apiVersion": "apps/v1beta1", "kind": "Deployment", "name": "a"}}),
        ),
        "spec.steps[2].rolloutUndo.target.apiVersion",
        "apps/v1",
    );
    warned(
        step("job", json!({"image": "tools:1"})),
        "spec.steps[2].job.image",
        "name it by digest",
    );
    let mut signed = step("job", json!({"image": "tools:1"}));
    signed["imagePolicy"] = json!({"requireSigned": true});
    refused(
        signed,
        "spec.steps[2].job.image",
        "needs the image by digest",
    );
    refused(
        step(
            "job",
            json!({"image": "a@sha256:0", "env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]}),
        ),
        "spec.steps[2].job.env[1].name",
        "set twice",
    );
    refused(
        step("http", json!({"url": "ftp://x"})),
        "spec.steps[2].http.url",
        "no http or https address",
    );
    refused(
        step("http", json!({"url": "https://me:secret@x/"})),
        "spec.steps[2].http.url",
        "use secretRef",
    );
    refused(
        step(
            "http",
            json!({"url": "https://x/", "headers": {"Authorization": "Bearer x"}}),
        ),
        "spec.steps[2].http.headers.Authorization",
        "use secretRef",
    );
    refused(
        step(
            "check",
            json!({"prometheus": {"query": "up{app=$app}", "expression": "true"}}),
        ),
        "spec.steps[2].check.prometheus.query",
        "$app is not in vars",
    );
    warned(
        step(
            "check",
            json!({"prometheus": {"query": "up", "vars": {"app": "x"}, "expression": "true"}}),
        ),
        "spec.steps[2].check.prometheus.vars.app",
        "not used",
    );
}

#[test]
fn what_belongs_together_stands_together() {
    let without = |field: &str| {
        let mut spec = good();
        spec.as_object_mut().unwrap().remove(field);
        spec
    };
    refused(without("steps"), "spec", "either steps or a source");
    refused(without("approval"), "spec", "approval is required");
    refused(
        with("/source", json!({"image": "a@sha256:0"})),
        "spec",
        "the rest is in the artifact",
    );
    refused(
        with("/safety", json!("Auto")),
        "spec",
        "needs auto.expression",
    );
    refused(
        with("/auto", json!({"expression": "true"})),
        "spec",
        "only read with safety Auto",
    );
    let twice = json!([{"rules": [{"role": "a", "min": 1}, {"role": "a", "min": 1}]}]);
    refused(
        with("/approval", twice),
        "spec.approval[0].rules",
        "stands once",
    );
    let many: Vec<Value> = (0..5)
        .map(|n| json!({"role": format!("r{n}"), "min": 16}))
        .collect();
    refused(
        with("/approval", json!([{"rules": many}])),
        "spec.approval[0].rules",
        "at most 64 approvals",
    );
    refused(
        with("/steps/1/name", json!("restart")),
        "spec.steps[1].name",
        "unique",
    );
    refused(
        with_step(json!({"name": "none"})),
        "spec.steps[2]",
        "exactly one kind: apply, patch,",
    );
    refused(
        with_step(json!({"name": "j", "job": {"image": "a@sha256:0"}})),
        "spec.steps[2]",
        "say opaque: Accepted",
    );
    refused(
        with("/steps/0/opaque", json!("Accepted")),
        "spec.steps[0]",
        "only for job and http",
    );
    refused(
        with_step(json!({"name": "w", "wait": {}})),
        "spec.steps[2].wait",
        "either a duration",
    );
    refused(
        with_step(json!({"name": "w", "wait": {"expression": "true"}})),
        "spec.steps[2].wait",
        "come together",
    );
    refused(
        with_step(json!({"name": "c", "check": {}})),
        "spec.steps[2].check",
        "either a prometheus query",
    );
    let job = json!({"name": "j", "opaque": "Accepted", "job": {"image": "a@sha256:0", "env": [{"name": "A"}]}});
    refused(
        with_step(job),
        "spec.steps[2].job.env[0]",
        "either a value or a secretKeyRef",
    );
    refused(json!([]), "spec", "is an object");
}

#[test]
fn a_document_of_nothing_but_mistakes_costs_little() {
    let mut spec = good();
    let names = |n: usize| {
        (0..n)
            .map(|i| (format!("p{i}"), json!({"type": "string"})))
            .collect::<serde_json::Map<_, _>>()
    };
    spec["parameters"]["properties"] = Value::Object(names(2000));
    let leaves: Vec<Value> = (0..4000).map(|_| json!("$(params.z)")).collect();
    spec["steps"] = json!([{"name": "a", "apply": {"manifest": {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": leaves}}}]);
    let found = lint(&document(spec));
    assert_eq!(found.len(), 100);
    let bytes: usize = found.iter().map(|finding| finding.message.len()).sum();
    assert!(bytes < 100 * 1024, "{bytes} bytes of messages");

    let patterns: serde_json::Map<_, _> = (0..1000)
        .map(|i| {
            (
                format!("p{i}"),
                json!({"type": "string", "pattern": format!("\\w{{300}}{i}")}),
            )
        })
        .collect();
    refused(
        with("/parameters/properties", Value::Object(patterns)),
        "spec.parameters",
        "more than 64 patterns",
    );
    refused(
        with(
            "/parameters/properties/deployment/pattern",
            json!("(\\w{300}){300}"),
        ),
        "spec.parameters.properties.deployment.pattern",
        "not JSON Schema",
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

#[test]
fn errors_come_before_warnings() {
    let mut spec = with("/parameters/properties/spare", json!({"type": "string"}));
    spec["description"] = json!("$(params.deployment)");
    let severities: Vec<_> = lint(&document(spec)).iter().map(|f| f.severity).collect();
    assert_eq!(severities, [Severity::Error, Severity::Warning]);
}

fn any_json() -> impl Strategy<Value = Value> {
    let word = prop_oneof![
        Just("$(params.deployment)".to_owned()),
        Just("$(".to_owned()),
        Just("type".to_owned()),
        Just("Json".to_owned()),
        Just("properties".to_owned()),
        Just("$ref".to_owned()),
        Just("target".to_owned()),
        ".{0,8}",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word.clone().prop_map(Value::from)
    ];
    leaf.prop_recursive(5, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(word.clone(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    /// Whatever stands at any place of a Playbook: findings, never a panic, and the same ones twice.
    #[test]
    fn whatever_is_written_is_answered(value in any_json(), place in prop::sample::select(vec![
        "/parameters", "/parameters/properties", "/parameters/properties/deployment", "/steps", "/steps/0", "/steps/0/rolloutRestart",
        "/steps/0/patch", "/steps/0/apply", "/steps/0/job", "/steps/0/http", "/steps/0/check", "/approval", "/imagePolicy",
    ])) {
        let spec = with(place, value);
        prop_assert_eq!(lint(&document(spec.clone())), lint(&document(spec)));
    }
}
