//! Floor 0: what becomes of an object, field by field: the difference between what is there and what the API server says
//! would be there. The same list says later whether an effect has happened, and how it is put back.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::domain::document::LARGEST_INTEGER;

/// One field of an object that changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Change {
    /// Where, as a JSON pointer.
    pub path: String,
    /// What is there; none: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Value>,
    /// What will be there; none: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Value>,
}

impl Change {
    /// Whether it is one: a field that a step names may be so already.
    pub fn alters(&self) -> bool {
        self.from != self.to
    }
}

/// How an object stands to the changes of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stands {
    /// Everything is as it was when the plan was made.
    Before,
    /// Everything is as the step leaves it.
    After,
    /// Neither: somebody else wrote.
    Elsewhere,
}

/// Fields of metadata that say nothing about what an author wants.
const NOISE: [&str; 8] = [
    "managedFields",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "uid",
    "selfLink",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
];

/// An annotation of DaemonSets that the API server counts up whenever their template changes, also when it changes back.
const COUNTED: &str = "deprecated.daemonset.template.generation";

/// The object without what the API server and the controllers add to it of their own accord.
pub fn comparable(object: &Value) -> Value {
    let Some(fields) = object.as_object() else {
        return object.clone();
    };
    let mut kept = fields.clone();
    kept.remove("status");
    if let Some(metadata) = kept.get_mut("metadata").and_then(Value::as_object_mut) {
        for name in NOISE {
            metadata.remove(name);
        }
        // Annotations that are left empty stay: others may be added to them.
        let annotations = metadata.get_mut("annotations");
        if let Some(annotations) = annotations.and_then(Value::as_object_mut) {
            annotations.remove(COUNTED);
        }
    }
    exact(&Value::Object(kept))
}

/// Numbers that JSON as RFC 8785 writes it would not keep stand there as text.
pub fn exact(value: &Value) -> Value {
    match value {
        Value::Number(number) => {
            let whole = number
                .as_i64()
                .is_some_and(|number| number.unsigned_abs() <= LARGEST_INTEGER);
            if whole {
                value.clone()
            } else {
                json!({ "$number": number.to_string() })
            }
        }
        Value::Array(items) => Value::Array(items.iter().map(exact).collect()),
        Value::Object(fields) => {
            let kept: Map<String, Value> = fields
                .iter()
                .map(|(name, field)| (name.clone(), exact(field)))
                .collect();
            Value::Object(kept)
        }
        Value::Null | Value::Bool(_) | Value::String(_) => value.clone(),
    }
}

/// A name as a part of a JSON pointer.
pub fn pointer(path: &str, name: &str) -> String {
    format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// What leads from one object to the other, sorted by place. Both are [`comparable`].
pub fn changes(before: &Value, after: &Value) -> Vec<Change> {
    let mut found = Vec::new();
    compare("", Some(before), Some(after), &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// The fields that a step names and that are so already, of these places: they are a part of what is approved too, and of
/// what stands in the way of another step.
pub fn kept(before: &Value, after: &Value, places: &[String], changed: &[Change]) -> Vec<Change> {
    let mut kept: Vec<Change> = places
        .iter()
        .filter_map(|path| {
            let value = before.pointer(path)?;
            let same = after.pointer(path) == Some(value);
            let told = changed.iter().any(|change| change.path == *path);
            (same && !told).then(|| Change {
                path: path.clone(),
                from: Some(value.clone()),
                to: Some(value.clone()),
            })
        })
        .collect();
    kept.sort_by(|a, b| a.path.cmp(&b.path));
    kept.dedup_by(|a, b| a.path == b.path);
    kept
}

fn compare(path: &str, before: Option<&Value>, after: Option<&Value>, found: &mut Vec<Change>) {
    match (before, after) {
        (Some(before), Some(after)) if before == after => {}
        (Some(Value::Object(before)), Some(Value::Object(after)))
            if !stands_for_one(before) && !stands_for_one(after) =>
        {
            for (name, field) in before {
                compare(&pointer(path, name), Some(field), after.get(name), found);
            }
            for (name, field) in after {
                if !before.contains_key(name) {
                    compare(&pointer(path, name), None, Some(field), found);
                }
            }
        }
        // Of another length it is told as a whole: an index says nothing about which item was meant.
        (Some(Value::Array(before)), Some(Value::Array(after))) if before.len() == after.len() => {
            for (index, (before, after)) in before.iter().zip(after).enumerate() {
                let path = pointer(path, &index.to_string());
                compare(&path, Some(before), Some(after), found);
            }
        }
        (before, after) => found.push(Change {
            path: path.to_owned(),
            from: before.cloned(),
            to: after.cloned(),
        }),
    }
}

/// Whether this is one value that cannot be written as it is: hidden, or no number of JSON's.
fn stands_for_one(fields: &Map<String, Value>) -> bool {
    fields.len() == 1 && (fields.contains_key("$hmac") || fields.contains_key("$number"))
}

/// Whether an object, which is [`comparable`], is as it was before these changes or as it is after them. An object that
/// is not there has nothing at any place.
pub fn stands(object: Option<&Value>, changes: &[Change]) -> Stands {
    let there = |change: &Change| {
        let object = object?;
        object.pointer(&change.path)
    };
    if changes
        .iter()
        .all(|change| there(change) == change.to.as_ref())
    {
        return Stands::After;
    }
    if changes
        .iter()
        .all(|change| there(change) == change.from.as_ref())
    {
        return Stands::Before;
    }
    Stands::Elsewhere
}

/// The first place that is not as it was before these changes.
pub fn left<'a>(object: Option<&Value>, changes: &'a [Change]) -> Option<&'a str> {
    let mut places = changes.iter();
    let found = places.find(|change| {
        let there = object.and_then(|object| object.pointer(&change.path));
        there != change.from.as_ref()
    });
    found.map(|change| change.path.as_str())
}

/// The first field that this part of an object sets and no step may: it is not an author's to set, and a change of it
/// could not be seen.
pub fn unplannable(part: &Value) -> Option<String> {
    if part.get("status").is_some() {
        return Some("status".to_owned());
    }
    let metadata = part.get("metadata")?;
    let noise = NOISE.iter().find(|name| metadata.get(**name).is_some());
    noise.map(|name| format!("metadata.{name}"))
}
