//! Floor 0: what is secret is named and not written down: a Playbook is signed, kept and shown to many.

use serde_json::Value;

use super::{Findings, Position};
use crate::domain::credentials::{given_away, is_secret};

/// What to do instead.
const INSTEAD: &str =
    "put it into a Secret and name that: secretKeyRef of a job's variable, secretRef of http";

pub(super) fn check(value: &Value, position: &Position, findings: &mut Findings) {
    match value {
        Value::String(text) => {
            if let Some(what) = given_away(text) {
                findings.error(position, format!("this holds {what}: {INSTEAD}"));
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                check(item, &position.index(index), findings);
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                check(field, &position.key(name), findings);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The variables of jobs, which are secret by their names too.
pub(super) fn variables(steps: &[Value], position: &Position, findings: &mut Findings) {
    for (index, step) in steps.iter().enumerate() {
        let env = step.pointer("/job/env").and_then(Value::as_array);
        for (number, variable) in env.into_iter().flatten().enumerate() {
            let text = |field: &str| variable.get(field).and_then(Value::as_str);
            if let (Some(name), Some(value)) = (text("name"), text("value"))
                && is_secret(name, value)
            {
                let at = position.index(index).key("job").key("env").index(number);
                findings.error(
                    &at.key("value"),
                    format!("{name} holds what is secret, by its name: {INSTEAD}"),
                );
            }
        }
    }
}
