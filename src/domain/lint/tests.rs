//! The linter's rules, each with what it refuses and where it says so.

#![expect(
    clippy::too_many_lines,
    reason = "a table of cases is read from top to bottom"
)]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

mod bytes;
mod parameters;
mod secrets;
mod steps;
mod targets;

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
