//! Floor 0, tests: what a step needs, and what belongs together. No rule of another file.

use serde_json::{Value, json};

use super::*;

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
