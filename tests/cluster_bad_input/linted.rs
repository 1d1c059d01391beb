//! What no schema can hold: the linter says it in the Playbook's own condition, whether anybody signed it or not.

#![expect(
    clippy::too_many_lines,
    reason = "a table of cases is read from top to bottom"
)]

use serde_json::{Value, json};

use super::{Differences, good, step, target, with};
use crate::support::{Scene, api, create, eventually, need};

const SOON: std::time::Duration = std::time::Duration::from_secs(60);

fn cases() -> Vec<(Value, &'static str)> {
    let parameter = |schema: Value| with(good(), "/parameters/properties/name", schema);
    let root = |field: &str, value: Value| with(good(), &format!("/parameters/{field}"), value);
    let apply = |manifest: Value| step(json!({"apply": {"manifest": manifest}}));
    let config_map = || json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}});
    let patch = |kind: &str, patch: Value| {
        step(json!({"patch": {"target": target("ConfigMap", "a"), "type": kind, "patch": patch}}))
    };
    let act_on = |api_version: &str, kind: &str| {
        let target = json!({"apiVersion": api_version, "kind": kind, "name": "a"});
        step(json!({"patch": {"target": target, "type": "Merge", "patch": {"spec": {"a": 1}}}}))
    };
    let job = |fields: Value| {
        let mut job = json!({"image": format!("registry.example/a@sha256:{}", "a".repeat(64))});
        for (name, value) in fields.as_object().expect("fields") {
            job[name] = value.clone();
        }
        step(json!({"job": job, "opaque": "Accepted"}))
    };
    let http = |http: Value| step(json!({"http": http, "opaque": "Accepted"}));
    let deep = (0..70).fold(json!(1), |inner, _| json!([inner]));
    let mut twice = apply(config_map());
    twice["steps"] = json!([
        {"name": "a", "apply": {"manifest": config_map()}},
        {"name": "b", "apply": {"manifest": config_map()}},
    ]);
    let mut unsigned_image = job(json!({"image": "registry.example/a:1"}));
    unsigned_image["imagePolicy"] = json!({"requireSigned": true});
    vec![
        // Bytes that two readers take for different things.
        (
            parameter(json!({"type": "string", "default": null})),
            "Invalid spec.parameters.properties.name.default: null is not allowed: a merge patch drops it, and the signature with it; leave the field out (or delete a field of a target with a Json patch); spec.parameters.properties.name.default: the default does not fit its own schema: null is not of type \"string\"",
        ),
        (
            apply(with(config_map(), "/data", json!({"a": 1.5}))),
            "Invalid spec.steps[0].apply.manifest.data.a: 1.5 is not a whole number; write it as a string",
        ),
        (
            apply(with(
                config_map(),
                "/data",
                json!({"a": 9_007_199_254_740_993_u64}),
            )),
            "Invalid spec.steps[0].apply.manifest.data.a: 9007199254740993 is beyond 2^53-1 and not exact in JSON; write it as a string",
        ),
        (
            root("examples", deep),
            "Invalid spec.parameters.examples[0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0]: nested deeper than 64 levels; make it flatter",
        ),
        // Substitution.
        (
            with(good(), "/description", json!("about $(params.name)")),
            "Invalid spec.description: $( in \"about $(params.name)\" is not a substitution: this field takes no parameter; in a shell line use backquotes instead of $(…), and pass values as env",
        ),
        (
            with(good(), "/description", json!("$(params.name)")),
            "Invalid spec.description: this field takes no parameter: $(params.name)",
        ),
        (
            with(
                good(),
                "/steps/0/rolloutRestart/target/name",
                json!("$(params.other)"),
            ),
            "Invalid spec.steps[0].rolloutRestart.target.name: the parameter other is not declared (declared: name)",
        ),
        (
            with(
                good(),
                "/steps/0/rolloutRestart/target/name",
                json!("a-$(params.name)"),
            ),
            "Invalid spec.steps[0].rolloutRestart.target.name: $( in \"a-$(params.name)\" is not a substitution: a parameter stands alone: the whole value is $(params.NAME)",
        ),
        (
            with(
                good(),
                "/steps/0/rolloutRestart/target/name",
                json!("$(incident.labels.name)"),
            ),
            "Invalid spec.steps[0].rolloutRestart.target.name: $(incident…) stands only in the default of a parameter, so that the schema always checks it; declare a parameter and use $(params.NAME) here",
        ),
        (
            with(
                good(),
                "/steps/-",
                json!({"name": "b", "scale": {"target": target("Deployment", "a"), "replicas": "$(params.name)"}}),
            ),
            "Invalid spec.steps[1].scale.replicas: this field takes an integer; the parameter name is of type string",
        ),
        (
            with(
                good(),
                "/steps/-",
                json!({"name": "b", "wait": {"target": target("ConfigMap", "a"), "expression": "$(params.name)"}}),
            ),
            "Invalid spec.steps[1].wait.expression: this field takes no parameter: $(params.name)",
        ),
        (
            job(json!({"args": ["--about=$(params.name)"]})),
            "Invalid spec.steps[0].job.args[0]: $( in \"--about=$(params.name)\" is not a substitution: this field takes no parameter; in a shell line use backquotes instead of $(…), and pass values as env",
        ),
        (
            job(json!({"image": "$(params.name)"})),
            "Invalid spec.steps[0].job.image: this field takes no parameter: $(params.name)",
        ),
        // The schema of the parameters.
        (
            root("type", json!("array")),
            "Invalid spec.parameters.type: the schema of the parameters has type: object",
        ),
        (
            root("$schema", json!("http://json-schema.org/draft-07/schema#")),
            "Invalid spec.parameters.$schema: only https://json-schema.org/draft/2020-12/schema is read; leave $schema out",
        ),
        (
            root("$id", json!("https://registry.example/a")),
            "Invalid spec.parameters.$id: $id would give references another base; leave it out",
        ),
        (
            root("required", json!(["other"])),
            "Invalid spec.parameters.required[0]: other is required but not declared under properties (declared: name)",
        ),
        (
            parameter(json!({"$ref": "https://registry.example/a"})),
            "Invalid spec.parameters.properties.name.$ref: \"https://registry.example/a\" leaves the document; only references that begin with # are followed; spec.parameters.properties.name.type: every parameter has exactly one type of string, integer, boolean, array or object; found none",
        ),
        (
            parameter(json!({})),
            "Invalid spec.parameters.properties.name.type: every parameter has exactly one type of string, integer, boolean, array or object; found none",
        ),
        (
            parameter(json!({"type": ["string", "integer"]})),
            "Invalid spec.parameters.properties.name.type: every parameter has exactly one type of string, integer, boolean, array or object; found [\"string\",\"integer\"]",
        ),
        (
            parameter(json!({"type": "number"})),
            "Invalid spec.parameters.properties.name.type: every parameter has exactly one type of string, integer, boolean, array or object; found \"number\"",
        ),
        (
            parameter(json!({"type": "string", "pattern": "("})),
            "Invalid spec.parameters.properties.name.pattern: not JSON Schema 2020-12: \"(\" is not a \"regex\"",
        ),
        (
            parameter(json!({"type": "string", "maxLength": "long"})),
            "Invalid spec.parameters.properties.name.maxLength: not JSON Schema 2020-12: \"long\" is not of type \"integer\"",
        ),
        (
            parameter(json!({"type": "string", "default": 3})),
            "Invalid spec.parameters.properties.name.default: the default does not fit its own schema: 3 is not of type \"string\"",
        ),
        (
            parameter(json!({"type": "array", "default": "$(incident.labels.name)"})),
            "Invalid spec.parameters.properties.name.default: a label or annotation of the incident is a scalar; this parameter is not; spec.steps[0].rolloutRestart.target.name: this field takes a string; the parameter name is of type array",
        ),
        (
            with(
                good(),
                "/parameters/properties/bad-name",
                json!({"type": "string"}),
            ),
            "Invalid spec.parameters.properties.bad-name: a parameter's name is a letter or _, then letters, digits or _, at most 63: \"bad-name\" is not",
        ),
        // Targets.
        (
            act_on("v1", "Namespace"),
            "Invalid spec.steps[0].patch.target.kind: a Namespace belongs to no namespace; targets lie in the Playbook's own",
        ),
        (
            act_on("v1", "Node"),
            "Invalid spec.steps[0].patch.target.kind: a Node is only reached by cordon, uncordon and drain",
        ),
        (
            act_on("rbac.authorization.k8s.io/v1", "Role"),
            "Invalid spec.steps[0].patch.target.apiVersion: rbac.authorization.k8s.io/v1 is no target: rights are never changed by a playbook",
        ),
        (
            act_on(
                "admissionregistration.k8s.io/v1",
                "ValidatingAdmissionPolicy",
            ),
            "Invalid spec.steps[0].patch.target.apiVersion: admissionregistration.k8s.io/v1 is no target: admission is never changed by a playbook",
        ),
        (
            act_on("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
            "Invalid spec.steps[0].patch.target.apiVersion: apiextensions.k8s.io/v1 is no target: kinds are never changed by a playbook",
        ),
        (
            act_on("apiregistration.k8s.io/v1", "APIService"),
            "Invalid spec.steps[0].patch.target.apiVersion: apiregistration.k8s.io/v1 is no target: the API itself is never changed by a playbook",
        ),
        (
            act_on("neuralops.io/v1alpha1", "Playbook"),
            "Invalid spec.steps[0].patch.target.apiVersion: neuralops.io/v1alpha1 is no target: a playbook never acts on the operator's own kinds",
        ),
        (
            act_on("apps/v1/beta", "Deployment"),
            "Invalid spec.steps[0].patch.target.apiVersion: \"apps/v1/beta\" is no apiVersion: write v1 or group/version",
        ),
        // Steps.
        (
            apply(with(config_map(), "/metadata/namespace", json!("other"))),
            "Invalid spec.steps[0].apply.manifest.metadata.namespace: \"other\" is not the Playbook's own namespace, shop; leave it out",
        ),
        (
            apply(
                json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "a-"}}),
            ),
            "Invalid spec.steps[0].apply.manifest.metadata: the manifest has no metadata.name; a generated name would be another object at every attempt",
        ),
        (
            apply(json!({"apiVersion": "v1", "metadata": {"name": "a"}})),
            "Invalid spec.steps[0].apply.manifest: the manifest has no kind",
        ),
        (
            apply(with(config_map(), "/metadata/ownerReferences", json!([]))),
            "Invalid spec.steps[0].apply.manifest.metadata.ownerReferences: ownerReferences is not an author's to set; leave it out",
        ),
        (
            apply(with(config_map(), "/status", json!({"a": "b"}))),
            "Valid the document keeps all rules; look at: spec.steps[0].apply.manifest.status: status is not applied; leave it out",
        ),
        (
            twice,
            "Invalid spec.steps[1].apply.manifest: TargetTwice: step 0 applies the same object; the second apply would drop the first one's fields. Make it one step",
        ),
        (
            patch("Merge", json!([])),
            "Invalid spec.steps[0].patch.patch: a Merge patch is an object",
        ),
        (
            patch("Strategic", json!("text")),
            "Invalid spec.steps[0].patch.patch: a Strategic patch is an object",
        ),
        (
            patch("Merge", json!({"status": {}})),
            "Invalid spec.steps[0].patch.patch.status: status is not patched by a step",
        ),
        (
            patch("Json", json!({})),
            "Invalid spec.steps[0].patch.patch: a Json patch is a list of operations",
        ),
        (
            patch("Json", json!([{"op": "set", "path": "/a", "value": 1}])),
            "Invalid spec.steps[0].patch.patch[0].op: \"set\" is no operation of a Json patch: add, remove, replace, move, copy or test",
        ),
        (
            patch("Json", json!([{"op": "add", "path": "a", "value": 1}])),
            "Invalid spec.steps[0].patch.patch[0].path: an operation needs a path that begins with /",
        ),
        (
            patch(
                "Json",
                json!([{"op": "replace", "path": "/status/a", "value": 1}]),
            ),
            "Invalid spec.steps[0].patch.patch[0].path: status is not patched by a step",
        ),
        (
            patch("Json", json!([{"op": "add", "path": "/a"}])),
            "Invalid spec.steps[0].patch.patch[0].value: add needs a value",
        ),
        (
            patch("Json", json!([{"op": "move", "path": "/a"}])),
            "Invalid spec.steps[0].patch.patch[0].from: move needs a from",
        ),
        (
            step(json!({"rolloutRestart": {"target": target("ConfigMap", "a")}})),
            "Invalid spec.steps[0].rolloutRestart.target.kind: \"ConfigMap\" has no rollouts: Deployment, StatefulSet or DaemonSet; spec.steps[0].rolloutRestart.target.apiVersion: \"v1\" has no rollouts: apps/v1",
        ),
        (
            unsigned_image,
            "Invalid spec.steps[0].job.image: imagePolicy.requireSigned needs the image by digest: registry.example/a:1@sha256:…",
        ),
        (
            job(json!({"env": [{"name": "A", "value": "a"}, {"name": "A", "value": "b"}]})),
            "Invalid spec.steps[0].job.env[1].name: A is set twice; leave one of them out",
        ),
        (
            http(json!({"url": "ftp://registry.example", "method": "GET"})),
            "Invalid spec.steps[0].http.url: \"ftp://registry.example\" is no http or https address",
        ),
        (
            http(json!({"url": "https://user:word@registry.example", "method": "GET"})),
            "Invalid spec.steps[0].http.url: no credentials in an address: they would stand in the plan; use secretRef",
        ),
        (
            step(json!({"check": {"prometheus": {"query": "up{job=$job}", "expression": "true"}}})),
            "Invalid spec.steps[0].check.prometheus.query: $job is not in vars: give it a value there",
        ),
    ]
}

#[tokio::test]
async fn a_playbook_that_breaks_a_rule_says_so_with_place_and_advice() {
    let cluster = need!(Users);
    let scene = Scene::set(cluster, "bad-lint").await;
    let cases = cases();
    for (number, (spec, _)) in cases.iter().enumerate() {
        let playbook = json!({
            "apiVersion": "neuralops.io/v1alpha1", "kind": "Playbook",
            "metadata": {"name": format!("p{number}"), "namespace": scene.ns.name()}, "spec": spec,
        });
        let created = create(scene.admin(), playbook).await;
        created.unwrap_or_else(|error| panic!("{number}: {error}"));
    }
    let mut differences = Differences::default();
    for (number, (_, expected)) in cases.iter().enumerate() {
        let name = format!("p{number}");
        let found = eventually(&format!("{name} is judged"), SOON, async || {
            let object = api(scene.admin(), "Playbook", scene.ns.name())
                .get(&name)
                .await;
            let object = object.map_err(|error| error.to_string())?;
            let conditions = object
                .data
                .pointer("/status/conditions")
                .and_then(Value::as_array);
            let valid = conditions
                .into_iter()
                .flatten()
                .find(|one| one["type"] == "Valid");
            valid.cloned().ok_or_else(|| object.data.to_string())
        })
        .await;
        let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
        let found = format!(
            "{} {}",
            text("reason"),
            text("message").replace(scene.ns.name(), "shop")
        );
        differences.compare(&name, &found, expected);
    }
}
