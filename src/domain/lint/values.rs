//! Floor 0: the values that keep their bytes. Two documents that differ must not have one canonical form,
//! and what a merge patch can drop must not stand in one.

use serde_json::Value;

use super::{Findings, Position};
use crate::domain::document::{DEEPEST, LARGEST_INTEGER};

pub(super) fn check(value: &Value, position: &Position, findings: &mut Findings) {
    walk(value, position, 0, findings);
}

fn walk(value: &Value, position: &Position, depth: usize, findings: &mut Findings) {
    if depth > DEEPEST {
        findings.error(
            position,
            format!("nested deeper than {DEEPEST} levels; make it flatter"),
        );
        return;
    }
    match value {
        Value::Null => findings.error(
            position,
            "null is not allowed: a merge patch drops it, and the signature with it; leave the field out (or delete a field of a target with a Json patch)",
        ),
        Value::Number(number) => {
            let exact = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs));
            match exact {
                Some(integer) if integer <= LARGEST_INTEGER => {}
                Some(_) => findings.error(position, format!("{number} is beyond 2^53-1 and not exact in JSON; write it as a string")),
                None => findings.error(position, format!("{number} is not a whole number; write it as a string")),
            }
        }
        Value::Bool(_) | Value::String(_) => {}
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                walk(item, &position.index(index), depth + 1, findings);
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                walk(field, &position.key(name), depth + 1, findings);
            }
        }
    }
}
