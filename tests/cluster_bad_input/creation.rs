//! What the API server refuses at once: schema, rules of the kinds, admission policies.

#![expect(
    clippy::too_many_lines,
    reason = "a table of cases is read from top to bottom"
)]

use kube::api::PostParams;
use serde_json::{Value, json};

use super::{Differences, good, step, target, with};
use crate::support::{Scene, api, need};

/// The words after those that name the object.
fn told(error: &kube::Error) -> String {
    let kube::Error::Api(answer) = error else {
        return error.to_string();
    };
    let text = answer.message.as_str();
    let text = text
        .split_once(" is invalid: ")
        .map_or(text, |(_, rest)| rest);
    let text = text
        .split_once("denied request: ")
        .map_or(text, |(_, rest)| rest);
    // What the API server adds about itself is no part of the answer.
    let unchecked = ", <nil>: Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing errors to complete validation]";
    match text.strip_suffix(unchecked) {
        Some(rest) => rest.trim_start_matches('[').to_owned(),
        None => text.to_owned(),
    }
}

fn playbooks() -> Vec<(Value, &'static str)> {
    let steps = |value| with(good(), "/steps", value);
    let wait = |name: &str| json!({"name": name, "wait": {"duration": "1s"}});
    let many = |n: usize| (0..n).map(|i| wait(&format!("s{i}"))).collect::<Vec<_>>();
    let mut without_approval = good();
    without_approval
        .as_object_mut()
        .expect("a spec")
        .remove("approval");
    let mut without_steps = good();
    without_steps
        .as_object_mut()
        .expect("a spec")
        .remove("steps");
    let rules = |rules: Value| with(good(), "/approval", json!([{"rules": rules}]));
    let labels: Value = (0..17)
        .map(|i| (format!("l{i}"), json!("v")))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let image = json!({"image": "registry.example/a:1"});
    vec![
        (
            with(good(), "/revision", json!(0)),
            "spec.revision: Invalid value: 0: spec.revision in body should be greater than or equal to 1",
        ),
        (
            with(good(), "/revision", json!(9_007_199_254_740_992_u64)),
            "spec.revision: Invalid value: 9007199254740992: spec.revision in body should be less than or equal to 9007199254740991",
        ),
        (
            with(good(), "/revision", json!(1.5)),
            "spec.revision: Invalid value: \"float64\": spec.revision in body must be of type int64: \"float64\", <nil>: Invalid value: \"\": Checked value must be of type integer with format int64 in spec.revision",
        ),
        (
            with(good(), "/revision", json!("1")),
            "spec.revision: Invalid value: \"string\": spec.revision in body must be of type integer: \"string\"",
        ),
        (
            with(good(), "/revision", Value::Null),
            "spec.revision: Required value",
        ),
        (
            with(good(), "/serviceAccountName", json!("")),
            "spec.serviceAccountName: Invalid value: \"\": spec.serviceAccountName in body should be at least 1 chars long",
        ),
        (
            with(good(), "/description", json!("x".repeat(1025))),
            "spec.description: Too long: may not be more than 1024 bytes",
        ),
        (
            with(good(), "/version", json!("x".repeat(65))),
            "spec.version: Too long: may not be more than 64 bytes",
        ),
        (
            with(good(), "/timeout", json!("soon")),
            "spec.timeout: Invalid value: \"soon\": spec.timeout in body should match '^([0-9]{1,5}(h|m|s|ms)){1,4}$'",
        ),
        (
            with(good(), "/timeout", json!("1h 30m")),
            "spec.timeout: Invalid value: \"1h 30m\": spec.timeout in body should match '^([0-9]{1,5}(h|m|s|ms)){1,4}$'",
        ),
        (
            with(good(), "/historyLimit", json!(1001)),
            "spec.historyLimit: Invalid value: 1001: spec.historyLimit in body should be less than or equal to 1000",
        ),
        (
            with(good(), "/limits", json!({"concurrentRuns": 0})),
            "spec.limits.concurrentRuns: Invalid value: 0: spec.limits.concurrentRuns in body should be greater than or equal to 1",
        ),
        (
            with(good(), "/limits", json!({"runsPerTargetPerHour": "many"})),
            "spec.limits.runsPerTargetPerHour: Invalid value: \"string\": spec.limits.runsPerTargetPerHour in body must be of type integer: \"string\"",
        ),
        (
            with(good(), "/safety", json!("Never")),
            "spec.safety: Unsupported value: \"Never\": supported values: \"Manual\", \"Auto\"",
        ),
        (
            with(good(), "/safety", json!("Auto")),
            "spec: Invalid value: safety Auto needs auto.expression: when may it run without a Gate",
        ),
        (
            with(good(), "/auto", json!({"expression": "true"})),
            "spec: Invalid value: auto is only read with safety Auto",
        ),
        (
            with(good(), "/gitOps", json!("Maybe")),
            "spec.gitOps: Unsupported value: \"Maybe\": supported values: \"Warn\", \"Refuse\", \"Ignore\"",
        ),
        (
            with(good(), "/onFailure", json!("Retry")),
            "spec.onFailure: Unsupported value: \"Retry\": supported values: \"Compensate\", \"Stop\"",
        ),
        (
            with(good(), "/imagePolicy", json!({})),
            "spec.imagePolicy.requireSigned: Required value",
        ),
        (
            with(good(), "/match", json!({"labels": labels})),
            "spec.match.labels: Too many: 17: must have at most 16 items",
        ),
        (
            with(good(), "/match", json!({"expression": "x".repeat(1025)})),
            "spec.match.expression: Too long: may not be more than 1024 bytes",
        ),
        (
            with(good(), "/parameters", json!("none")),
            "spec.parameters: Invalid value: \"string\": spec.parameters in body must be of type object: \"string\"",
        ),
        (
            with(
                good(),
                "/source",
                json!({"image": format!("registry.example/a@sha256:{}", "a".repeat(64))}),
            ),
            "[spec: Invalid value: a Playbook has either steps or a source, spec: Invalid value: with a source, only revision, serviceAccountName and match stand here; the rest is in the artifact]",
        ),
        (
            json!({"revision": 1, "serviceAccountName": "runbook", "source": {"image": "registry.example/a:1"}}),
            "spec.source.image: Invalid value: \"registry.example/a:1\": spec.source.image in body should match '^[^@ ]+@sha256:[0-9a-f]{64}$'",
        ),
        (
            without_approval,
            "spec: Invalid value: approval is required: who must agree before it runs",
        ),
        (
            without_steps,
            "spec: Invalid value: a Playbook has either steps or a source",
        ),
        (
            with(good(), "/approval", json!([])),
            "spec.approval: Invalid value: 0: spec.approval in body should have at least 1 items",
        ),
        (
            with(good(), "/approval/0/deadline", json!("tomorrow")),
            "spec.approval[0].deadline: Invalid value: \"tomorrow\": spec.approval[0].deadline in body should match '^([0-9]{1,5}(h|m|s|ms)){1,4}$'",
        ),
        (
            with(good(), "/approval/0/onTimeout", json!("Ignore")),
            "spec.approval[0].onTimeout: Unsupported value: \"Ignore\": supported values: \"Reject\", \"Escalate\", \"Approve\"",
        ),
        (
            rules(json!([])),
            "spec.approval[0].rules: Invalid value: 0: spec.approval[0].rules in body should have at least 1 items",
        ),
        (
            rules(json!([{"role": "oncall", "min": 0}])),
            "spec.approval[0].rules[0].min: Invalid value: 0: spec.approval[0].rules[0].min in body should be greater than or equal to 1",
        ),
        (
            rules(json!([{"role": "oncall", "min": 1}, {"role": "oncall", "min": 2}])),
            "spec.approval[0].rules: Invalid value: a role stands once in a set of rules",
        ),
        (
            rules(
                ["a", "b", "c", "d", "e"]
                    .map(|role| json!({"role": role, "min": 13}))
                    .into_iter()
                    .collect(),
            ),
            "spec.approval[0].rules: Invalid value: at most 64 approvals in a set of rules",
        ),
        (
            steps(json!([])),
            "spec.steps: Invalid value: 0: spec.steps in body should have at least 1 items",
        ),
        (
            steps(json!(many(65))),
            "spec.steps: Too many: 65: must have at most 64 items",
        ),
        (
            steps(json!([wait("a"), wait("a")])),
            "spec.steps: Invalid value: step names are unique",
        ),
        (
            steps(json!([wait("Not a label")])),
            "spec.steps[0].name: Invalid value: \"Not a label\": spec.steps[0].name in body should match '^[a-z0-9]([-a-z0-9]*[a-z0-9])?$'",
        ),
        (
            steps(json!([{"wait": {"duration": "1s"}}])),
            "spec.steps[0].name: Required value",
        ),
        (
            step(json!({})),
            "spec.steps[0]: Invalid value: a step has exactly one kind: apply, patch, scale, rolloutRestart, rolloutUndo, delete, cordon, uncordon, drain, job, http, wait, check, gate or notify",
        ),
        (
            step(json!({"wait": {"duration": "1s"}, "notify": {"message": "m"}})),
            "spec.steps[0]: Invalid value: a step has exactly one kind: apply, patch, scale, rolloutRestart, rolloutUndo, delete, cordon, uncordon, drain, job, http, wait, check, gate or notify",
        ),
        (
            step(json!({"wait": {"duration": "1 day"}})),
            "spec.steps[0].wait.duration: Invalid value: \"1 day\": spec.steps[0].wait.duration in body should match '^([0-9]{1,5}(h|m|s|ms)){1,4}$'",
        ),
        (
            step(
                json!({"wait": {"duration": "1s", "target": target("ConfigMap", "a"), "expression": "true"}}),
            ),
            "spec.steps[0].wait: Invalid value: wait has either a duration or a target with an expression",
        ),
        (
            step(json!({"wait": {"target": target("ConfigMap", "a")}})),
            "[spec.steps[0].wait: Invalid value: wait has either a duration or a target with an expression, spec.steps[0].wait: Invalid value: target and expression come together]",
        ),
        (
            step(
                json!({"check": {"target": target("ConfigMap", "a"), "expression": "true", "prometheus": {"query": "up", "expression": "true"}}}),
            ),
            "spec.steps[0].check: Invalid value: check has either a prometheus query or a target with an expression",
        ),
        (
            step(
                json!({"check": {"target": target("ConfigMap", "a"), "expression": "x".repeat(1025)}}),
            ),
            "spec.steps[0].check.expression: Too long: may not be more than 1024 bytes",
        ),
        (
            step(json!({"scale": {"target": target("Deployment", "a")}})),
            "spec.steps[0].scale.replicas: Required value",
        ),
        (
            step(json!({"scale": {"target": target("Deployment", "a"), "replicas": -1}})),
            "spec.steps[0].scale.replicas: Invalid value: -1: spec.steps[0].scale.replicas in body should be greater than or equal to 0",
        ),
        (
            step(json!({"scale": {"target": target("Deployment", "a"), "replicas": "many"}})),
            "spec.steps[0].scale.replicas: Invalid value: \"many\": spec.steps[0].scale.replicas in body should match '^\\$\\(params\\.[A-Za-z_][A-Za-z0-9_]{0,62}\\)$'",
        ),
        (
            step(
                json!({"scale": {"target": {"apiVersion": "apps/v1", "kind": "Deployment"}, "replicas": 1}}),
            ),
            "spec.steps[0].scale.target.name: Required value",
        ),
        (
            step(
                json!({"patch": {"target": target("ConfigMap", "a"), "type": "Yaml", "patch": {}}}),
            ),
            "spec.steps[0].patch.type: Unsupported value: \"Yaml\": supported values: \"Merge\", \"Json\", \"Strategic\"",
        ),
        (
            step(json!({"apply": {"manifest": "kind: ConfigMap"}})),
            "spec.steps[0].apply.manifest: Invalid value: \"string\": spec.steps[0].apply.manifest in body must be of type object: \"string\"",
        ),
        (
            step(json!({"apply": {"manifest": {"apiVersion": "v1"}, "force": "yes"}})),
            "spec.steps[0].apply.force: Invalid value: \"string\": spec.steps[0].apply.force in body must be of type boolean: \"string\"",
        ),
        (
            step(json!({"job": image})),
            "spec.steps[0]: Invalid value: job and http cannot be planned inside: say opaque: Accepted",
        ),
        (
            step(json!({"wait": {"duration": "1s"}, "opaque": "Accepted"})),
            "spec.steps[0]: Invalid value: opaque is only for job and http",
        ),
        (
            step(
                json!({"job": {"image": "registry.example/a:1", "env": [{"name": "A", "value": "a", "secretKeyRef": {"name": "s", "key": "k"}}]}, "opaque": "Accepted"}),
            ),
            "spec.steps[0].job.env[0]: Invalid value: a variable has either a value or a secretKeyRef",
        ),
        (
            step(
                json!({"job": {"image": "registry.example/a:1", "env": [{"name": "A"}]}, "opaque": "Accepted"}),
            ),
            "spec.steps[0].job.env[0]: Invalid value: a variable has either a value or a secretKeyRef",
        ),
        (
            step(json!({"wait": {"duration": "1s"}, "retries": 11})),
            "spec.steps[0].retries: Invalid value: 11: spec.steps[0].retries in body should be less than or equal to 10",
        ),
        (
            step(json!({"wait": {"duration": "1s"}, "timeout": "1d"})),
            "spec.steps[0].timeout: Invalid value: \"1d\": spec.steps[0].timeout in body should match '^([0-9]{1,5}(h|m|s|ms)){1,4}$'",
        ),
        (
            step(json!({"wait": {"duration": "1s"}, "undo": "Maybe"})),
            "spec.steps[0].undo: Unsupported value: \"Maybe\": supported values: \"Auto\", \"None\"",
        ),
    ]
}

#[tokio::test]
async fn a_playbook_that_breaks_its_schema_is_refused_with_the_field() {
    let cluster = need!(Users);
    let scene = Scene::set(cluster, "bad-schema").await;
    let mut differences = Differences::default();
    for (number, (spec, expected)) in playbooks().into_iter().enumerate() {
        let playbook = json!({
            "apiVersion": "neuralops.io/v1alpha1", "kind": "Playbook",
            "metadata": {"name": "p", "namespace": scene.ns.name()}, "spec": spec,
        });
        let found = scene.dry("Playbook", scene.admin(), playbook).await;
        let found = found.map_or_else(|error| told(&error), |()| "taken".to_owned());
        differences.compare(&format!("{number}"), &found, expected);
    }
}

fn runs() -> Vec<(&'static str, Value, &'static str)> {
    let many = |n: usize, longest: usize| -> Value {
        let pairs = (0..n).map(|i| (format!("l{i}"), json!("v".repeat(longest))));
        pairs.collect::<serde_json::Map<_, _>>().into()
    };
    vec![
        ("/incident", Value::Null, "spec.incident: Required value"),
        (
            "/incident/key",
            json!("k".repeat(254)),
            "spec.incident.key: Too long: may not be more than 253 bytes",
        ),
        (
            "/incident/summary",
            json!("s".repeat(1025)),
            "spec.incident.summary: Too long: may not be more than 1024 bytes",
        ),
        (
            "/incident/severity",
            json!("s".repeat(33)),
            "spec.incident.severity: Too long: may not be more than 32 bytes",
        ),
        (
            "/incident/labels",
            many(65, 1),
            "spec.incident.labels: Too many: 65: must have at most 64 items",
        ),
        (
            "/incident/labels",
            many(1, 257),
            "spec.incident.labels.l0: Too long: may not be more than 256 bytes",
        ),
        (
            "/incident/labels",
            json!({"l": 1}),
            "spec.incident.labels.l: Invalid value: \"integer\": spec.incident.labels.l in body must be of type string: \"integer\"",
        ),
        (
            "/incident/annotations",
            many(1, 1025),
            "spec.incident.annotations.l0: Too long: may not be more than 1024 bytes",
        ),
        (
            "/playbookRef",
            json!({"name": ""}),
            "spec.playbookRef.name: Invalid value: \"\": spec.playbookRef.name in body should be at least 1 chars long",
        ),
        (
            "/playbookRef",
            Value::Null,
            "spec: Invalid value: parameters need playbookRef",
        ),
        (
            "/parameters",
            many(65, 1),
            "spec.parameters: Too many: 65: must have at most 64 items",
        ),
        (
            "/parameters",
            many(1, 4097),
            "spec.parameters.l0: Too long: may not be more than 4096 bytes",
        ),
        (
            "/parameters",
            json!({"replicas": 3}),
            "spec.parameters.replicas: Invalid value: \"integer\": spec.parameters.replicas in body must be of type string: \"integer\"",
        ),
        (
            "/mode",
            json!("Fast"),
            "spec.mode: Unsupported value: \"Fast\": supported values: \"Manual\", \"Auto\", \"PlanOnly\"",
        ),
        (
            "/mode",
            json!("Auto"),
            "mode Auto needs the verb auto on playbooks/p, granted by name",
        ),
        (
            "/start",
            json!("Now"),
            "spec.start: Unsupported value: \"Now\": supported values: \"OnApproval\", \"OnRelease\"",
        ),
        (
            "/requestedBy",
            Value::Null,
            "spec.requestedBy must be your own name, alice",
        ),
        (
            "/requestedBy",
            json!("bob"),
            "spec.requestedBy must be your own name, alice",
        ),
        (
            "/selectedBy",
            json!("bob"),
            "spec.selectedBy must be your own name, alice",
        ),
        (
            "/releasedBy",
            json!("alice"),
            "a run is released after it was approved, not when it is made",
        ),
        (
            "/cancelledBy",
            json!("bob"),
            "spec.cancelledBy must be your own name, alice",
        ),
        (
            "/ttlSecondsAfterFinished",
            json!(-1),
            "spec.ttlSecondsAfterFinished: Invalid value: -1: spec.ttlSecondsAfterFinished in body should be greater than or equal to 0",
        ),
        (
            "/suspend",
            json!("yes"),
            "spec.suspend: Invalid value: \"string\": spec.suspend in body must be of type boolean: \"string\"",
        ),
    ]
}

#[tokio::test]
async fn a_run_that_breaks_its_schema_or_lies_about_who_asks_is_refused_with_the_field() {
    let cluster = need!(Users);
    let scene = Scene::set(cluster, "bad-run").await;
    let alice = scene.alice().await;
    let mut differences = Differences::default();
    for (pointer, value, expected) in runs() {
        let spec = json!({
            "incident": {"summary": "s"}, "playbookRef": {"name": "p"}, "parameters": {"a": "b"}, "requestedBy": "alice",
        });
        let run = json!({
            "apiVersion": "neuralops.io/v1alpha1", "kind": "Orchestration",
            "metadata": {"name": "r", "namespace": scene.ns.name()}, "spec": with(spec, pointer, value),
        });
        let found = scene.dry("Orchestration", &alice, run).await;
        let found = found.map_or_else(|error| told(&error), |()| "taken".to_owned());
        differences.compare(pointer, &found, expected);
    }
}

impl Scene {
    /// What the API server says to it; nothing is stored.
    async fn dry(
        &self,
        kind: &str,
        client: &kube::Client,
        object: Value,
    ) -> Result<(), kube::Error> {
        let params = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        let object = serde_json::from_value(object).expect("an object");
        let answer = api(client, kind, self.ns.name())
            .create(&params, &object)
            .await;
        answer.map(drop)
    }
}
