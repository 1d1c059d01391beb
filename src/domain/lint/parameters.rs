//! Floor 0: the parameters of a Playbook: a JSON Schema (2020-12) that needs nothing from outside, with one type for
//! each property, so that a value's meaning never depends on who reads it.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Findings, Position};
use crate::domain::{
    parameters::{ParameterType, validator},
    reference::{is_incident_reference, is_name},
};

const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";
/// Patterns in one schema.
const MOST_PATTERNS: usize = 64;
/// Names that fit `$(params.NAME)` and an environment variable.
const LONGEST_NAME: usize = 63;

/// The parameters that are declared, with their types.
#[derive(Default)]
pub(super) struct Declared(BTreeMap<String, (Option<ParameterType>, Position)>);

impl Declared {
    pub(super) fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// None also for a parameter whose type is itself a finding.
    pub(super) fn parameter_type(&self, name: &str) -> Option<ParameterType> {
        self.0.get(name).and_then(|(kind, _)| *kind)
    }

    pub(super) fn positions(&self) -> impl Iterator<Item = (&str, &Position)> {
        self.0
            .iter()
            .map(|(name, (_, position))| (name.as_str(), position))
    }

    /// The first names, for a message.
    pub(super) fn names(&self) -> String {
        const SHOWN: usize = 16;
        let mut names: Vec<&str> = self.0.keys().map(String::as_str).take(SHOWN).collect();
        match self.0.len() {
            0 => return "none".into(),
            all if all > SHOWN => names.push("…"),
            _ => {}
        }
        names.join(", ")
    }
}

pub(super) fn check(
    schema: Option<&Value>,
    position: &Position,
    findings: &mut Findings,
) -> Declared {
    let mut declared = Declared::default();
    let Some(schema) = schema else {
        return declared;
    };
    let Some(root) = schema.as_object() else {
        findings.error(position, "parameters is a JSON Schema: an object");
        return declared;
    };
    if root.get("type").and_then(Value::as_str) != Some("object") {
        findings.error(
            &position.key("type"),
            "the schema of the parameters has type: object",
        );
    }
    if let Some(dialect) = root.get("$schema")
        && dialect.as_str().map(|d| d.trim_end_matches('#')) != Some(DIALECT)
    {
        findings.error(
            &position.key("$schema"),
            format!("only {DIALECT} is read; leave $schema out"),
        );
    }
    if patterns(schema) > MOST_PATTERNS {
        findings.error(
            position,
            format!("more than {MOST_PATTERNS} patterns; use enum, const or lengths"),
        );
        return declared;
    }
    let before = findings.0.len();
    references(schema, position, findings);
    // The validator must not be asked to follow a reference that leaves the document.
    if findings.0.len() == before {
        meta_schema(schema, position, findings);
    }
    if let Some(properties) = root.get("properties").and_then(Value::as_object) {
        for (name, property) in properties {
            let at = position.key("properties").key(name);
            let kind = property_type(name, property, &at, findings);
            declared.0.insert(name.clone(), (kind, at));
        }
    }
    required(root, &declared, position, findings);
    declared
}

fn references(value: &Value, position: &Position, findings: &mut Findings) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                let at = position.key(name);
                if matches!(name.as_str(), "$ref" | "$dynamicRef")
                    && !field.as_str().is_some_and(|r| r.starts_with('#'))
                {
                    findings.error(&at, format!("{field} leaves the document; only references that begin with # are followed"));
                } else if name == "$id" {
                    findings.error(&at, "$id would give references another base; leave it out");
                } else {
                    references(field, &at, findings);
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                references(item, &position.index(index), findings);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// How many patterns a schema has; each is compiled when the schema is read.
fn patterns(schema: &Value) -> usize {
    match schema {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, field)| match (name.as_str(), field) {
                ("pattern", Value::String(_)) => 1,
                ("patternProperties", Value::Object(inner)) => {
                    inner.len().saturating_add(patterns(field))
                }
                _ => patterns(field),
            })
            .fold(0, usize::saturating_add),
        Value::Array(items) => items.iter().map(patterns).fold(0, usize::saturating_add),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

fn meta_schema(schema: &Value, position: &Position, findings: &mut Findings) {
    // The meta-schema first: its errors have a place; what only building finds (a bad pattern) comes second.
    let error = match jsonschema::draft202012::meta::validate(schema) {
        Err(error) => error,
        Ok(()) => match validator(schema) {
            Err(error) => error,
            Ok(_) => return,
        },
    };
    let at = position.pointer(error.instance_path().as_str());
    findings.error(&at, format!("not JSON Schema 2020-12: {error}"));
}

fn property_type(
    name: &str,
    property: &Value,
    position: &Position,
    findings: &mut Findings,
) -> Option<ParameterType> {
    if !is_name(name) || name.len() > LONGEST_NAME {
        findings.error(position, format!("a parameter's name is a letter or _, then letters, digits or _, at most {LONGEST_NAME}: {name:?} is not"));
    }
    let word = property.get("type").and_then(Value::as_str);
    let kind = word.and_then(ParameterType::parse);
    if kind.is_none() {
        let found = property
            .get("type")
            .map_or_else(|| "none".to_owned(), ToString::to_string);
        findings.error(&position.key("type"), format!("every parameter has exactly one type of string, integer, boolean, array or object; found {found}"));
    }
    if let Some(default) = property.get("default") {
        check_default(property, default, kind, &position.key("default"), findings);
    }
    kind
}

/// A default from the incident is checked with its value when a run is planned; any other is checked here.
fn check_default(
    property: &Value,
    default: &Value,
    kind: Option<ParameterType>,
    position: &Position,
    findings: &mut Findings,
) {
    if default.as_str().is_some_and(is_incident_reference) {
        if matches!(kind, Some(ParameterType::Array | ParameterType::Object)) {
            findings.error(
                position,
                "a label or annotation of the incident is a scalar; this parameter is not",
            );
        }
        return;
    }
    let Ok(validator) = validator(property) else {
        // A reference into the document, or a schema that is a finding itself.
        return;
    };
    if let Err(error) = validator.validate(default) {
        findings.error(
            position,
            format!("the default does not fit its own schema: {error}"),
        );
    }
}

fn required(
    root: &Map<String, Value>,
    declared: &Declared,
    position: &Position,
    findings: &mut Findings,
) {
    let Some(names) = root.get("required").and_then(Value::as_array) else {
        return;
    };
    for (index, name) in names.iter().enumerate() {
        if let Some(name) = name.as_str()
            && !declared.contains(name)
        {
            findings.error(
                &position.key("required").index(index),
                format!(
                    "{name} is required but not declared under properties (declared: {})",
                    declared.names()
                ),
            );
        }
    }
}
