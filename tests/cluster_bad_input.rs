//! What people write wrongly, and what they are told: each mistake with the exact words, and the place where they are
//! said. That is the API server at once, the Playbook's own condition, or the run that was asked for.

use serde_json::{Value, json};

mod creation;
mod linted;
mod runs;

/// A Playbook's spec, with everything in it that a mistake can be made in.
fn good() -> Value {
    json!({
        "revision": 1,
        "serviceAccountName": "runbook",
        "parameters": {
            "type": "object",
            "properties": {"name": {"type": "string", "maxLength": 63, "default": "checkout"}},
        },
        "approval": [{"rules": [{"role": "oncall", "min": 1}]}],
        "steps": [{"name": "restart", "rolloutRestart": {"target": target("Deployment", "$(params.name)")}}],
    })
}

fn target(kind: &str, name: &str) -> Value {
    let version = if kind == "Deployment" {
        "apps/v1"
    } else {
        "v1"
    };
    json!({"apiVersion": version, "kind": kind, "name": name})
}

/// The value with another one at this place.
fn with(mut object: Value, pointer: &str, value: Value) -> Value {
    let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
    match object.pointer_mut(parent) {
        Some(Value::Object(fields)) => drop(fields.insert(key.to_owned(), value)),
        Some(Value::Array(items)) => items.push(value),
        other => panic!("{parent} is {other:?}"),
    }
    object
}

/// A Playbook's spec with this as its only step.
fn step(step: Value) -> Value {
    let mut spec = good();
    spec["steps"] = json!([step]);
    spec["steps"][0]["name"] = json!("s");
    // What is declared and not used would be a warning more.
    spec.as_object_mut().expect("a spec").remove("parameters");
    spec
}

/// Every case that was answered otherwise, all at once: a table is mended in one go.
#[derive(Default)]
struct Differences(Vec<String>);

impl Differences {
    fn compare(&mut self, case: &str, found: &str, expected: &str) {
        if found != expected {
            let line = format!("{case}\n    found    {found:?}\n    expected {expected:?}");
            self.0.push(line);
        }
    }
}

impl Drop for Differences {
    fn drop(&mut self) {
        assert!(
            self.0.is_empty() || std::thread::panicking(),
            "{} cases differ\n{}",
            self.0.len(),
            self.0.join("\n")
        );
    }
}
