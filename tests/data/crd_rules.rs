//! Reads crd_rules.yaml for those who judge by it: the unit tests of the CRDs and the tests on an API server.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// One object, or one edit of an object, and what becomes of it.
pub struct Case {
    /// Where it stands in the table.
    pub name: String,
    pub kind: String,
    /// The rule that refuses it; none: it is accepted.
    pub refused_by: Option<Rule>,
    pub write: Write,
    /// Why it is not sent to an API server.
    pub offline: Option<String>,
}

/// A rule, by its place in the schema (`spec.steps[].wait`; empty: the whole object) and its message.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    pub at: String,
    pub message: String,
}

pub enum Write {
    Creation(Value),
    /// The object as it was created, a write before this one, and the edit that is tried, both as merge patches.
    Edit {
        created: Value,
        changed: Option<Value>,
        edit: Value,
    },
}

impl Write {
    /// The object before and after; nothing is before a creation.
    pub fn objects(&self) -> (Option<Value>, Value) {
        match self {
            Self::Creation(object) => (None, object.clone()),
            Self::Edit {
                created,
                changed,
                edit,
            } => {
                let old = changed
                    .iter()
                    .fold(created.clone(), |object, patch| merged(&object, patch));
                let new = merged(&old, edit);
                (Some(old), new)
            }
        }
    }
}

/// The place in the schema of a place in an object: `spec.steps[3].wait` is of `spec.steps[].wait`.
pub fn schema_place(place: &str) -> String {
    let mut parts = place.split('[');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |schema, part| {
        schema + "[" + part.trim_start_matches(|c: char| c.is_ascii_digit())
    })
}

/// A merge patch (RFC 7386): null takes a field away.
pub fn merged(target: &Value, patch: &Value) -> Value {
    let Value::Object(patch) = patch else {
        return patch.clone();
    };
    let mut fields = target.as_object().cloned().unwrap_or_default();
    for (name, value) in patch {
        let old = fields.remove(name).unwrap_or_default();
        if !value.is_null() {
            fields.insert(name.clone(), merged(&old, value));
        }
    }
    Value::Object(fields)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    bases: BTreeMap<String, Value>,
    rules: Vec<Group>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    base: String,
    #[serde(default)]
    at: String,
    message: Option<String>,
    #[serde(default)]
    refused: Vec<Value>,
    #[serde(default)]
    accepted: Vec<Value>,
    #[serde(default)]
    updates: Updates,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Updates {
    #[serde(default)]
    refused: Vec<Edit>,
    #[serde(default)]
    accepted: Vec<Edit>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Edit {
    created: Option<Value>,
    changed: Option<Value>,
    edit: Value,
    offline: Option<String>,
}

/// Every base as an accepted creation, and every case of every rule.
pub fn cases() -> Vec<Case> {
    let table: Table =
        serde_saphyr::from_str(include_str!("crd_rules.yaml")).expect("a table of cases");
    let mut cases: Vec<Case> = table
        .bases
        .iter()
        .map(|(name, object)| case(name.clone(), None, Write::Creation(object.clone()), None))
        .collect();
    for group in &table.rules {
        let base = &table.bases[&group.base];
        let rule = group.message.clone().map(|message| Rule {
            at: group.at.clone(),
            message,
        });
        let about = group.message.as_deref().unwrap_or("what stays free");
        let mut add = |what: &str, number, refused: bool, write, offline| {
            let name = format!("{} {}: {about}: {what} {number}", group.base, group.at);
            let rule = rule.clone().filter(|_| refused);
            assert_eq!(rule.is_some(), refused, "{name}: refused by which rule?");
            cases.push(case(name, rule, write, offline));
        };
        for (what, refused, patches) in [
            ("refused", true, &group.refused),
            ("accepted", false, &group.accepted),
        ] {
            for (patch, number) in patches.iter().zip(1..) {
                add(
                    what,
                    number,
                    refused,
                    Write::Creation(merged(base, patch)),
                    None,
                );
            }
        }
        for (what, refused, edits) in [
            ("refused edit", true, &group.updates.refused),
            ("accepted edit", false, &group.updates.accepted),
        ] {
            for (edit, number) in edits.iter().zip(1..) {
                let created = edit
                    .created
                    .as_ref()
                    .map_or_else(|| base.clone(), |patch| merged(base, patch));
                let write = Write::Edit {
                    created,
                    changed: edit.changed.clone(),
                    edit: edit.edit.clone(),
                };
                add(what, number, refused, write, edit.offline.clone());
            }
        }
    }
    cases
}

fn case(name: String, refused_by: Option<Rule>, write: Write, offline: Option<String>) -> Case {
    let kind = match &write {
        Write::Creation(object)
        | Write::Edit {
            created: object, ..
        } => object["kind"].as_str().expect("a kind").to_owned(),
    };
    Case {
        name,
        kind,
        refused_by,
        write,
        offline,
    }
}
