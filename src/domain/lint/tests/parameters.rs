//! Floor 0, tests: where a parameter may stand, and what a schema may say. No rule of another file.

use serde_json::json;

use super::*;

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
    // An expression reads it by its name, and not by one that begins so.
    let reading = |expression: &str| {
        let mut spec = with("/parameters/properties/spare", json!({"type": "string"}));
        let check = json!({"prometheus": {"query": "up", "expression": expression}});
        let steps = spec["steps"].as_array_mut().unwrap();
        steps.push(json!({"name": "last", "check": check}));
        findings(spec)
            .iter()
            .any(|finding| finding.contains("spare is never used"))
    };
    assert!(!reading("result[0].metric.a == params.spare"));
    assert!(!reading("result[0].metric.a == params['spare']"));
    assert!(reading("result[0].metric.a == params.spared"));
    assert!(reading("result[0].metric.spare == 'a'"));
}
