//! Floor 0: where a parameter may stand. A string whose whole value is `$(params.NAME)` takes that parameter with its
//! type, and only in the fields that are made for it; text is never pieced together, so nothing can be smuggled in.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Findings, Position, parameters::Declared};
use crate::domain::{
    parameters::ParameterType,
    reference::{is_incident_reference, parameter_name},
};

/// What a field takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    Nothing,
    Text,
    Integer,
    Scalar,
}

/// Checks every string of the spec; returns the parameters that are used.
pub(super) fn check(
    spec: &Value,
    declared: &Declared,
    findings: &mut Findings,
) -> BTreeSet<String> {
    let mut walk = Walk {
        declared,
        findings,
        used: BTreeSet::new(),
    };
    walk.value(spec, &Position::root("spec"), &mut Vec::new());
    walk.used
}

struct Walk<'a> {
    declared: &'a Declared,
    findings: &'a mut Findings,
    used: BTreeSet<String>,
}

impl Walk<'_> {
    /// `path` holds the keys below spec; a list's index is an empty key.
    fn value<'v>(&mut self, value: &'v Value, position: &Position, path: &mut Vec<&'v str>) {
        match value {
            Value::String(text) if text.contains("$(") => self.text(text, position, path),
            Value::Object(fields) => {
                for (name, field) in fields {
                    let at = position.key(name);
                    if name.contains("$(") {
                        self.findings
                            .error(&at, "a field's name takes no substitution");
                    }
                    path.push(name);
                    self.value(field, &at, path);
                    path.pop();
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    path.push("");
                    self.value(item, &position.index(index), path);
                    path.pop();
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn text(&mut self, text: &str, position: &Position, path: &[&str]) {
        if matches!(path, ["parameters", "properties", _, "default"]) && is_incident_reference(text)
        {
            return;
        }
        if is_incident_reference(text) {
            self.findings.error(
                position,
                "$(incident…) stands only in the default of a parameter, so that the schema always checks it; declare a parameter and use $(params.NAME) here",
            );
            return;
        }
        let takes = takes(path);
        let Some(name) = parameter_name(text) else {
            self.findings.error(position, unusable(text, takes));
            return;
        };
        if takes == Takes::Nothing {
            self.findings
                .error(position, format!("this field takes no parameter: {text}"));
            return;
        }
        self.used.insert(name.to_owned());
        if !self.declared.contains(name) {
            self.findings.error(
                position,
                format!(
                    "the parameter {name} is not declared (declared: {})",
                    self.declared.names()
                ),
            );
        } else if let Some(kind) = self.declared.parameter_type(name)
            && !fits(takes, kind)
        {
            let wanted = match takes {
                Takes::Integer => "an integer",
                Takes::Scalar => "a string, an integer or a boolean",
                Takes::Text | Takes::Nothing => "a string",
            };
            self.findings.error(
                position,
                format!(
                    "this field takes {wanted}; the parameter {name} is of type {}",
                    kind.as_str()
                ),
            );
        }
    }
}

fn unusable(text: &str, takes: Takes) -> String {
    let advice = if takes == Takes::Nothing {
        "this field takes no parameter; in a shell line use backquotes instead of $(…), and pass values as env"
    } else {
        "a parameter stands alone: the whole value is $(params.NAME)"
    };
    format!("$( in {text:?} is not a substitution: {advice}")
}

fn fits(takes: Takes, kind: ParameterType) -> bool {
    match takes {
        Takes::Nothing => false,
        Takes::Text => kind == ParameterType::String,
        Takes::Integer => kind == ParameterType::Integer,
        Takes::Scalar => matches!(
            kind,
            ParameterType::String | ParameterType::Integer | ParameterType::Boolean
        ),
    }
}

/// What a field takes, by its path below spec. Everything that is not named here takes nothing.
fn takes(path: &[&str]) -> Takes {
    let ["steps", "", step @ ..] = path else {
        return Takes::Nothing;
    };
    match step {
        ["apply", "manifest", ..] | ["patch", "patch", ..] => Takes::Scalar,
        ["scale", "replicas"] | ["rolloutUndo", "toRevision"] => Takes::Integer,
        [_, "target", "apiVersion" | "kind" | "name"]
        | ["cordon" | "uncordon" | "drain", "node"]
        | ["drain", "gracePeriod"]
        | ["job", "env", "", "value"]
        | ["http", "url" | "body"]
        | ["http", "headers", _]
        | ["check", "prometheus", "vars", _]
        | ["notify", "fields", _] => Takes::Text,
        _ => Takes::Nothing,
    }
}
