//! What only shows when somebody asks for a run: each ends, or waits, and says why in its own condition. None of them gets
//! as far as a Gate.

#![expect(
    clippy::too_many_lines,
    reason = "a table of cases is read from top to bottom"
)]

use kube::Api;
use kube::api::{ApiResource, DynamicObject, ListParams, PostParams};
use kube::core::GroupVersionKind;
use serde_json::{Value, json};

use super::{Differences, step, target};
use crate::support::{Scene, api, create, eventually, need};

const SOON: std::time::Duration = std::time::Duration::from_secs(90);

/// A run that goes wrong: of which Playbook, with which parameters, and what it says: stage or outcome, reason, message.
struct Case {
    name: &'static str,
    spec: Value,
    parameters: Value,
    says: String,
}

fn case(name: &'static str, spec: Value, says: &str) -> Case {
    Case {
        name,
        spec,
        parameters: json!({}),
        says: says.to_owned(),
    }
}

fn given(name: &'static str, property: Value, given: Value, says: &str) -> Case {
    let mut spec = step(
        json!({"check": {"target": target("ConfigMap", "settings"), "expression": "has(params.p)"}}),
    );
    spec["parameters"] =
        json!({"type": "object", "required": ["p"], "properties": {"p": property}});
    Case {
        name,
        spec,
        parameters: given,
        says: says.to_owned(),
    }
}

fn parameters() -> Vec<Case> {
    vec![
        given(
            "none",
            json!({"type": "string"}),
            json!({}),
            "Failed ParametersInvalid: parameters.p: the Playbook needs it, and it is not given: ask again with a value",
        ),
        given(
            "unknown",
            json!({"type": "string"}),
            json!({"p": "a", "q": "b"}),
            "Failed ParametersInvalid: parameters.q: the Playbook has no such parameter; it declares p",
        ),
        given(
            "integer",
            json!({"type": "integer"}),
            json!({"p": "many"}),
            "Failed ParametersInvalid: parameters.p: \"many\" is no integer: write a whole number within 2^53-1 on either side of zero",
        ),
        given(
            "float",
            json!({"type": "integer"}),
            json!({"p": "1.5"}),
            "Failed ParametersInvalid: parameters.p: \"1.5\" is no integer: write a whole number within 2^53-1 on either side of zero",
        ),
        given(
            "big",
            json!({"type": "integer"}),
            json!({"p": "9007199254740993"}),
            "Failed ParametersInvalid: parameters.p: \"9007199254740993\" is no integer: write a whole number within 2^53-1 on either side of zero",
        ),
        given(
            "boolean",
            json!({"type": "boolean"}),
            json!({"p": "yes"}),
            "Failed ParametersInvalid: parameters.p: \"yes\" is no boolean: write true or false",
        ),
        given(
            "array",
            json!({"type": "array"}),
            json!({"p": "a,b"}),
            "Failed ParametersInvalid: parameters.p: \"a,b\" is no array: write JSON without null and fractions, such as [\"a\", \"b\"]",
        ),
        given(
            "object",
            json!({"type": "object"}),
            json!({"p": "[]"}),
            "Failed ParametersInvalid: parameters.p: \"[]\" is no object: write JSON without null and fractions, such as {\"a\": \"b\"}",
        ),
        given(
            "long",
            json!({"type": "string", "maxLength": 3}),
            json!({"p": "long"}),
            "Failed ParametersInvalid: parameters.p: \"long\" is longer than 3 characters",
        ),
        given(
            "enum",
            json!({"type": "string", "enum": ["a", "b"]}),
            json!({"p": "c"}),
            "Failed ParametersInvalid: parameters.p: \"c\" is not one of \"a\" or \"b\"",
        ),
        given(
            "small",
            json!({"type": "integer", "minimum": 1}),
            json!({"p": "0"}),
            "Failed ParametersInvalid: parameters.p: 0 is less than the minimum of 1",
        ),
        given(
            "pattern",
            json!({"type": "string", "pattern": "^[a-z]+$"}),
            json!({"p": "A"}),
            "Failed ParametersInvalid: parameters.p: \"A\" does not match \"^[a-z]+$\"",
        ),
        given(
            "label-absent",
            json!({"type": "string", "default": "$(incident.labels.absent)"}),
            json!({}),
            "Failed ParametersInvalid: parameters.p: the Playbook needs it, and it is not given, and the incident has no label absent to take it from: ask again with a value",
        ),
        given(
            "label-bad",
            json!({"type": "integer", "default": "$(incident.labels.word)"}),
            json!({}),
            "Failed ParametersInvalid: parameters.p from incident.labels.word: \"many\" is no integer: write a whole number within 2^53-1 on either side of zero",
        ),
        given(
            "annotation-absent",
            json!({"type": "string", "default": "$(incident.annotations.absent)"}),
            json!({}),
            "Failed ParametersInvalid: parameters.p: the Playbook needs it, and it is not given, and the incident has no annotation absent to take it from: ask again with a value",
        ),
    ]
}

fn targets() -> Vec<Case> {
    let scale = |target: Value| step(json!({"scale": {"target": target, "replicas": 2}}));
    let by_parameter = |name: &'static str, field: &str, value: &str, says: &str| {
        let mut aim = target("Deployment", "checkout");
        aim[field] = json!("$(params.p)");
        let mut spec = step(
            json!({"patch": {"target": aim, "type": "Merge", "patch": {"metadata": {"labels": {"a": "b"}}}}}),
        );
        spec["parameters"] = json!({"type": "object", "properties": {"p": {"type": "string"}}});
        Case {
            name,
            spec,
            parameters: json!({"p": value}),
            says: says.to_owned(),
        }
    };
    let aim = json!({"apiVersion": "v1", "kind": "$(params.p)", "name": "a"});
    let mut spec = step(json!({"check": {"target": aim, "expression": "true"}}));
    spec["parameters"] = json!({"type": "object", "properties": {"p": {"type": "string"}}});
    let cluster_scoped = Case {
        name: "cluster-scoped",
        spec,
        parameters: json!({"p": "Namespace"}),
        says: "Failed TargetNotAllowed: step s: Namespace/a (v1) is no target: its kind belongs to no namespace; targets lie in the Playbook's own, and Nodes are reached by cordon, uncordon and drain".to_owned(),
    };
    vec![
        case(
            "not-there",
            scale(target("Deployment", "absent")),
            "Failed TargetNotFound: step s: there is no Deployment/absent in namespace shop, the Playbook's own; is the name right?",
        ),
        case(
            "unknown-kind",
            scale(json!({"apiVersion": "example.com/v1", "kind": "Nothing", "name": "a"})),
            "DryRun KindUnknown: step s: the API server knows no kind Nothing in example.com/v1; is its CRD installed, and the apiVersion right?",
        ),
        case(
            "no-scale",
            scale(target("ConfigMap", "settings")),
            "Failed TargetNotAllowed: step s: a ConfigMap has no scale: name an object that has, or use patch",
        ),
        case(
            "no-scale-crd",
            scale(json!({"apiVersion": "GROUP/v1", "kind": "Widget", "name": "w"})),
            "Failed TargetNotAllowed: step s: a Widget has no scale: name an object that has, or use patch",
        ),
        case(
            "no-rights",
            scale(json!({"apiVersion": "v1", "kind": "ReplicationController", "name": "a"})),
            "Failed AccessDenied: step s: ServiceAccount shop/runbook may not get replicationcontrollers a (API group core): grant it by a Role of its namespace",
        ),
        by_parameter(
            "rights-by-parameter",
            "apiVersion",
            "rbac.authorization.k8s.io/v1",
            "Failed TargetNotAllowed: step s: Deployment/checkout (rbac.authorization.k8s.io/v1) is no target: rights are never changed by a playbook",
        ),
        by_parameter(
            "own-by-parameter",
            "apiVersion",
            "neuralops.io/v1alpha1",
            "Failed TargetNotAllowed: step s: Deployment/checkout (neuralops.io/v1alpha1) is no target: a playbook never acts on the operator's own kinds",
        ),
        by_parameter(
            "path-by-parameter",
            "name",
            "../../secrets/a",
            "Failed TargetNotAllowed: step s: Deployment/../../secrets/a (apps/v1) is no target: its name is none of an object: lower-case letters, digits, - and .",
        ),
        by_parameter(
            "subresource-by-parameter",
            "apiVersion",
            "v1/namespaces",
            "DryRun KindUnknown: step s: the API server knows no kind Deployment in v1/namespaces; is its CRD installed, and the apiVersion right?",
        ),
        by_parameter(
            "kind-by-parameter",
            "kind",
            "deployments",
            "DryRun KindUnknown: step s: the API server knows no kind deployments in apps/v1; is its CRD installed, and the apiVersion right?",
        ),
        by_parameter(
            "node-by-parameter",
            "kind",
            "Node",
            "DryRun KindUnknown: step s: the API server knows no kind Node in apps/v1; is its CRD installed, and the apiVersion right?",
        ),
        cluster_scoped,
    ]
}

fn writes() -> Vec<Case> {
    let patch = |target: Value, kind: &str, patch: Value| {
        step(json!({"patch": {"target": target, "type": kind, "patch": patch}}))
    };
    let settings = || target("ConfigMap", "settings");
    let widget = || json!({"apiVersion": "GROUP/v1", "kind": "Widget", "name": "w"});
    let config_map = |data: Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "made"}, "data": data});
    let mut field_twice = step(json!({}));
    field_twice["steps"] = json!([
        {"name": "a", "scale": {"target": target("Deployment", "checkout"), "replicas": 2}},
        {"name": "b", "patch": {"target": target("Deployment", "checkout"), "type": "Merge", "patch": {"spec": {"replicas": 3}}}},
    ]);
    let mut applied_twice = step(json!({}));
    let named =
        |name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
    applied_twice["steps"] = json!([
        {"name": "a", "apply": {"manifest": named("made")}},
        {"name": "b", "apply": {"manifest": named("$(params.p)")}},
    ]);
    applied_twice["parameters"] =
        json!({"type": "object", "properties": {"p": {"type": "string", "default": "made"}}});
    let data: serde_json::Map<_, _> = (0..100)
        .map(|i| (format!("k{i}"), json!("$(params.p)")))
        .collect();
    let mut large = step(json!({"apply": {"manifest": config_map(data.into())}}));
    large["parameters"] = json!({"type": "object", "properties": {"p": {"type": "string"}}});
    let mut owned =
        step(json!({"scale": {"target": target("Deployment", "owned"), "replicas": 2}}));
    owned["gitOps"] = json!("Refuse");
    vec![
        case(
            "json-does-not-apply",
            patch(
                settings(),
                "Json",
                json!([{"op": "remove", "path": "/data/absent"}]),
            ),
            "Failed DryRunRefused: step s: could not patch configmaps settings: the server rejected our request due to an error in our request; if nothing else is named, one of its operations finds no such place, or its test fails: compare the paths with the object",
        ),
        case(
            "json-test-fails",
            patch(
                settings(),
                "Json",
                json!([{"op": "test", "path": "/data/a", "value": "z"}]),
            ),
            "Failed DryRunRefused: step s: could not patch configmaps settings: the server rejected our request due to an error in our request; if nothing else is named, one of its operations finds no such place, or its test fails: compare the paths with the object",
        ),
        case(
            "strategic-on-crd",
            patch(widget(), "Strategic", json!({"spec": {"a": "b"}})),
            "Failed DryRunRefused: step s: could not patch widgets w: the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml; a Strategic patch works on kinds of Kubernetes itself only: use Merge or Json",
        ),
        case(
            "wrong-type",
            patch(
                target("Deployment", "checkout"),
                "Merge",
                json!({"spec": {"replicas": "two"}}),
            ),
            "Failed DryRunRefused: step s: could not patch deployments checkout: \"\" is invalid: patch: Invalid value: …: json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        case(
            "unknown-field",
            patch(
                target("Deployment", "checkout"),
                "Merge",
                json!({"spec": {"replica": 2}}),
            ),
            "Failed DryRunRefused: step s: could not patch deployments checkout: \"\" is invalid: patch: Invalid value: …: strict decoding error: unknown field \"spec.replica\"",
        ),
        case(
            "apply-unknown-field",
            step(
                json!({"apply": {"manifest": {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "made"}, "dada": {"a": "b"}}}}),
            ),
            "Failed DryRunRefused: step s: could not patch configmaps made: failed to create typed patch object (shop/made; /v1, Kind=ConfigMap): .dada: field not declared in schema",
        ),
        case(
            "apply-bad-name",
            step(
                json!({"apply": {"manifest": {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "Made"}}}}),
            ),
            "Failed TargetNotAllowed: step s: ConfigMap/Made (v1) is no target: its name is none of an object: lower-case letters, digits, - and .",
        ),
        case(
            "apply-conflict",
            step(
                json!({"apply": {"manifest": {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"a": "other"}}}}),
            ),
            "Failed DryRunRefused: step s: could not patch configmaps settings: Apply failed with 1 conflict: conflict with \"unknown\" using v1: .data.a; leave the field to its owner, or take it over with force: true",
        ),
        case(
            "immutable",
            patch(
                target("Deployment", "checkout"),
                "Merge",
                json!({"spec": {"selector": {"matchLabels": {"app": "other"}}}}),
            ),
            "Failed DryRunRefused: step s: could not patch deployments checkout: Deployment.apps \"checkout\" is invalid: [spec.template.metadata.labels: Invalid value: {\"app\":\"checkout\"}: `selector` does not match template `labels`, spec.selector: Invalid value: {\"matchLabels\":{\"app\":\"other\"}}: field is immutable]",
        ),
        case("field-twice", field_twice, "Failed TargetTwice: steps a and b both write /spec/replicas of Deployment/checkout: each was planned against the object as it is now; make one step of them"),
        case("applied-twice", applied_twice, "Failed TargetTwice: steps a and b both apply ConfigMap/made: each was planned against the object as it is now; make one step of them"),
        Case {
            name: "plan-too-large",
            spec: large,
            parameters: json!({"p": "x".repeat(4000)}),
            says: "Failed PlanTooLarge: the plan has 806777 bytes, 524288 are allowed: split the Playbook, or write less in one run".to_owned(),
        },
        case("owned", owned, "Failed GitOpsOwned: step s: Deployment/owned is owned by Argo CD application shop, and the Playbook refuses such targets (gitOps: Refuse); change it there"),
    ]
}

fn expressions() -> Vec<Case> {
    let check = |name, expression: &str, says: &str| {
        case(
            name,
            step(
                json!({"check": {"target": target("ConfigMap", "settings"), "expression": expression}}),
            ),
            says,
        )
    };
    let deep = "(".repeat(30) + "true" + &")".repeat(30);
    vec![
        check(
            "cel-syntax",
            "object.data.a ==",
            "Failed ExpressionInvalid: step s: the expression does not compile: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER} (line 1, column 17): object.data.a ==",
        ),
        check(
            "cel-variable",
            "incident.severity == 'a'",
            "Failed ExpressionInvalid: step s: the expression is not allowed: there is no variable incident; there are object, params: incident.severity == 'a'",
        ),
        check(
            "cel-function",
            "object.data.a.shout()",
            "Failed ExpressionInvalid: step s: the expression is not allowed: there is no function shout; there are bool, bytes, contains, double, dyn, endsWith, hasValue, int, or, orValue, size, startsWith, string, type, uint, value: object.data.a.shout()",
        ),
        check(
            "cel-matches",
            "object.data.a.matches('a*')",
            "Failed ExpressionInvalid: step s: the expression is not allowed: matches is not offered: a pattern can take for ever; use contains, startsWith or endsWith: object.data.a.matches('a*')",
        ),
        check(
            "cel-two-loops",
            "object.a.all(x, x.all(y, y == 1))",
            "Failed ExpressionInvalid: step s: the expression is not allowed: a loop (all, exists, exists_one, map, filter) stands within a loop: object.a.all(x, x.all(y, y == 1))",
        ),
        check(
            "cel-deep",
            &deep,
            "Failed ExpressionInvalid: step s: the expression is not allowed: its brackets are more than 24 deep: ((((((((((((((((((((((((((((((true))))))))))))))))))))))))))))))",
        ),
        check(
            "cel-long",
            &format!("{}true", "!".repeat(500)),
            "Failed ExpressionInvalid: step s: the expression is not allowed: it has 501 words and signs, 400 are allowed: !!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!true",
        ),
        check(
            "cel-text",
            "'text'",
            "Failed ExpressionInvalid: step s: the expression gives no truth value but a text: 'text'",
        ),
        check(
            "cel-number",
            "1 + 1",
            "Failed ExpressionInvalid: step s: the expression gives no truth value but a number, text or list: 1 + 1",
        ),
    ]
}

/// Steps for which the account of the scene lacks a right.
fn denied() -> Vec<Case> {
    let of = |name, body: Value, lacks: &str| {
        let says =
            format!("Failed AccessDenied: step s: ServiceAccount shop/runbook may not {lacks}");
        case(name, step(body), &says)
    };
    let node = "get nodes a (API group core): grant it by a ClusterRole and a ClusterRoleBinding: it is asked for in the whole cluster";
    vec![
        of(
            "rollout-undo",
            json!({"rolloutUndo": {"target": target("Deployment", "checkout")}}),
            "list replicasets  (API group apps): grant it by a Role of its namespace",
        ),
        of("cordon", json!({"cordon": {"node": "a"}}), node),
        of("uncordon", json!({"uncordon": {"node": "a"}}), node),
        of("drain", json!({"drain": {"node": "a"}}), node),
        of(
            "notify",
            json!({"notify": {"message": "m"}}),
            "create events  (API group events.k8s.io): grant it by a Role of its namespace",
        ),
    ]
}

/// What has nothing to do with a step.
fn playbooks() -> Vec<(&'static str, &'static str)> {
    vec![
        (
            "unsigned",
            "Failed Unsigned: Playbook unsigned: no signature: sign the output of `neuralops playbook canonicalize` with cosign and attach the bundle with `neuralops playbook attach`",
        ),
        (
            "altered",
            "Failed DigestMismatch: Playbook altered: the canonical bytes (sha256:, with the namespace) are not trusted by TrustPolicy \"shop\"; the document was changed after it was signed: `neuralops playbook canonicalize` prints the bytes to sign\n  DigestMismatch: policy \"shop\", neuralops.io/cosign-bundle: the bundle is about bytes with the digest sha256:, these have sha256:",
        ),
        (
            "pruned",
            "Failed DigestMismatch: Playbook pruned: the canonical bytes (sha256:, with the namespace) are not trusted by TrustPolicy \"shop\"; the document was changed after it was signed: `neuralops playbook canonicalize` prints the bytes to sign\n  DigestMismatch: policy \"shop\", neuralops.io/cosign-bundle: the bundle is about bytes with the digest sha256:, these have sha256:",
        ),
        (
            "suspended",
            "DryRun Suspended: Playbook suspended carries the annotation neuralops.io/suspend: no new runs; this one is planned when the annotation is taken away",
        ),
        (
            "broken",
            "Failed Invalid: Playbook broken: spec.description: this field takes no parameter: $(params.name)",
        ),
    ]
}

/// A kind of this test alone, without the subresource scale, and one object of it.
async fn widgets(scene: &Scene) -> String {
    let group = format!("{}.example", scene.ns.name());
    let name = format!("widgets.{group}");
    let schema = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
    let crd = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": name},
        "spec": {
            "group": group, "scope": "Namespaced",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": schema}],
        },
    });
    create(scene.admin(), crd).await.expect("a kind");
    scene.ns.also_delete("CustomResourceDefinition", &name);
    let kind = ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk(&group, "v1", "Widget"),
        "widgets",
    );
    let widgets: Api<DynamicObject> =
        Api::namespaced_with(scene.admin().clone(), scene.ns.name(), &kind);
    let mut widget = DynamicObject::new("w", &kind);
    widget.data = json!({"spec": {"a": "a"}});
    eventually("a widget is taken", SOON, async || {
        let answer = widgets.create(&PostParams::default(), &widget).await;
        answer.map(drop).map_err(|error| error.to_string())
    })
    .await;
    group
}

fn placed(value: &Value, group: &str) -> Value {
    serde_json::from_str(&value.to_string().replace("GROUP", group)).expect("JSON")
}

/// Without what differs each time: digests.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    for (number, part) in text.split("sha256:").enumerate() {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_hexdigit());
        plain.push_str(if number == 0 { part } else { "sha256:" });
        plain.push_str(if number == 0 { "" } else { rest });
    }
    plain
}

fn says(run: &Value) -> Option<String> {
    let status = run.get("status")?;
    let ready = status["conditions"]
        .as_array()?
        .iter()
        .find(|one| one["type"] == "Ready")?;
    // The log is everybody's here, and a slow disk may hold it up: that is not what is told about this run.
    if ready["reason"] == "AuditUnavailable" {
        return None;
    }
    let at = status["outcome"]
        .as_str()
        .or(status["stage"].as_str())
        .unwrap_or_default();
    let text = |field: &str| ready[field].as_str().unwrap_or_default();
    Some(format!("{at} {}: {}", text("reason"), text("message")))
}

impl Scene {
    /// What the run says once it has been looked at, with the names of this test's own taken out.
    async fn said(&self, name: &str) -> String {
        let found = eventually(&format!("{name} says something"), SOON, async || {
            says(&self.object("Orchestration", name).await).ok_or_else(|| "nothing".to_owned())
        })
        .await;
        plain(&found.replace(self.ns.name(), "shop"))
    }

    async fn no_gate_and_no_plan(&self) {
        for kind in ["Gate", "ConfigMap"] {
            let all = api(self.admin(), kind, self.ns.name())
                .list(&ListParams::default())
                .await
                .expect("a list");
            let names: Vec<_> = all
                .items
                .iter()
                .filter_map(|one| one.metadata.name.as_deref())
                .collect();
            let ours: Vec<_> = names
                .iter()
                .filter(|name| !matches!(**name, "settings" | "kube-root-ca.crt"))
                .collect();
            assert!(ours.is_empty(), "{kind}: {ours:?}");
        }
    }
}

#[tokio::test]
async fn a_run_that_cannot_be_planned_says_where_why_and_what_to_do_and_asks_nobody() {
    let cluster = need!(Users);
    let scene = Scene::set(cluster, "bad-runs").await;
    let group = widgets(&scene).await;
    let account = format!("system:serviceaccount:{}:runbook", scene.ns.name());
    crate::support::grant(
        &scene.ns,
        &account,
        &[crate::support::rule(
            &group,
            "get patch",
            "widgets widgets/scale",
        )],
    )
    .await;
    let more = [crate::support::core(
        "get patch",
        "configmaps/scale namespaces",
    )];
    crate::support::grant(&scene.ns, &account, &more).await;
    create(scene.admin(), scene.deployment("checkout"))
        .await
        .expect("a deployment");
    let mut owned = scene.deployment("owned");
    owned["metadata"]["annotations"] =
        json!({"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:a/owned"});
    create(scene.admin(), owned).await.expect("a deployment");
    let settings = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": scene.ns.name()}, "data": {"a": "b"}});
    create(scene.admin(), settings).await.expect("a config map");

    let mut cases = Vec::new();
    for table in [parameters(), targets(), writes(), expressions(), denied()] {
        cases.extend(table);
    }
    for case in &cases {
        let mut playbook = scene.playbook(case.name, json!([]));
        playbook["spec"] = placed(&case.spec, &group);
        scene.signed(playbook).await;
        let incident = json!({"summary": "s", "labels": {"word": "many"}});
        scene
            .ask(
                case.name,
                case.name,
                json!({"parameters": case.parameters, "incident": incident}),
            )
            .await;
    }
    let mut differences = Differences::default();
    for case in &cases {
        differences.compare(case.name, &scene.said(case.name).await, &case.says);
    }
    drop(differences);
    scene.no_gate_and_no_plan().await;
}

#[tokio::test]
async fn a_run_of_a_playbook_that_may_not_be_used_says_which_and_why() {
    let cluster = need!(Users);
    let scene = Scene::set(cluster, "bad-books").await;
    let steps = || json!([{"name": "w", "wait": {"duration": "1s"}}]);
    create(scene.admin(), scene.playbook("unsigned", steps()))
        .await
        .expect("created");
    let mut altered = scene.author.sign(scene.playbook("altered", steps()));
    altered["spec"]["steps"][0]["wait"]["duration"] = json!("2s");
    create(scene.admin(), altered).await.expect("created");
    let mut pruned = scene.playbook("pruned", steps());
    pruned["spec"]["steps"][0]["wiat"] = json!({"duration": "1s"});
    scene.signed(pruned).await;
    let mut suspended = scene.author.sign(scene.playbook("suspended", steps()));
    suspended["metadata"]["annotations"]["neuralops.io/suspend"] = json!("true");
    create(scene.admin(), suspended).await.expect("created");
    let mut broken = scene.playbook("broken", steps());
    broken["spec"]["description"] = json!("$(params.name)");
    scene.signed(broken).await;

    let mut differences = Differences::default();
    for (name, _) in playbooks() {
        scene.ask(name, name, json!({})).await;
    }
    scene.ask("nowhere", "absent", json!({})).await;
    scene
        .ask("none", "absent", json!({"playbookRef": null}))
        .await;
    scene
        .ask("stopped", "unsigned", json!({"suspend": true}))
        .await;
    for (name, expected) in playbooks() {
        differences.compare(name, &scene.said(name).await, expected);
    }
    for (name, expected) in [
        (
            "nowhere",
            "DryRun PlaybookNotFound: there is no Playbook absent in namespace shop; is the name right, and was it applied?",
        ),
        (
            "none",
            "Suggest NoPlaybook: the run names no Playbook, and none of its namespace fits the incident: neuralops take takes one",
        ),
        (
            "stopped",
            "DryRun Suspended: the run is suspended: it is planned when suspend is taken back",
        ),
    ] {
        differences.compare(name, &scene.said(name).await, expected);
    }
    drop(differences);
    scene.no_gate_and_no_plan().await;
}
