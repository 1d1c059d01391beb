//! Floor 0: the parameters of a run: strings that people and signals wrote become typed values under the Playbook's
//! schema, or a sentence about each that does not. What a Playbook may declare is the linter's; nothing is rendered here.

use std::collections::BTreeMap;

use jsonschema::error::ValidationErrorKind;
use serde_json::{Map, Value};

use super::{
    credentials::given_away,
    document::LARGEST_INTEGER,
    reference::{Section, incident_reference},
};

/// What one compiled pattern may take, in bytes; with the size of a spec it bounds all of them together.
const LARGEST_PATTERN: usize = 64 * 1024;
/// What one look at the values can find; nobody reads more.
const MOST_FINDINGS: usize = 12;
/// A value that is longer is not repeated.
const LONGEST_SHOWN: usize = 240;

/// The types that a parameter can have. No number: floats are not exact, and no null: it means nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::domain) enum ParameterType {
    String,
    Integer,
    Boolean,
    Array,
    Object,
}

impl ParameterType {
    const ALL: [(&'static str, Self); 5] = [
        ("string", Self::String),
        ("integer", Self::Integer),
        ("boolean", Self::Boolean),
        ("array", Self::Array),
        ("object", Self::Object),
    ];

    /// The type with this name.
    pub(in crate::domain) fn parse(word: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|(known, _)| *known == word).map(|(_, kind)| kind)
    }

    pub(in crate::domain) fn as_str(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, kind)| *kind == self)
            .map_or("", |(word, _)| word)
    }

    /// How a value of it is written.
    fn advice(self) -> &'static str {
        match self {
            Self::String => "write any text",
            Self::Integer => "write a whole number within 2^53-1 on either side of zero",
            Self::Boolean => "write true or false",
            Self::Array => r#"write JSON without null and fractions, such as ["a", "b"]"#,
            Self::Object => r#"write JSON without null and fractions, such as {"a": "b"}"#,
        }
    }

    /// The value that a text stands for: strings bare, all else as the JSON literal of its type.
    fn read(self, text: &str) -> Option<Value> {
        let literal = || serde_json::from_str::<Value>(text).ok();
        match self {
            Self::String => Some(Value::from(text)),
            Self::Integer => literal().filter(is_exact),
            Self::Boolean => literal().filter(Value::is_boolean),
            Self::Array => literal().filter(Value::is_array).filter(is_plain),
            Self::Object => literal().filter(Value::is_object).filter(is_plain),
        }
    }
}

/// A whole number that every reader of JSON takes for the same.
fn is_exact(value: &Value) -> bool {
    value
        .as_i64()
        .is_some_and(|number| number.unsigned_abs() <= LARGEST_INTEGER)
}

/// Nothing in it that has no exact form, or means nothing.
fn is_plain(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Number(_) => is_exact(value),
        Value::Array(items) => items.iter().all(is_plain),
        Value::Object(fields) => fields.values().all(is_plain),
        Value::Bool(_) | Value::String(_) => true,
    }
}

/// Patterns run on the engine that cannot be made slow by its input; it knows no look-around.
pub(in crate::domain) fn validator(
    schema: &Value,
) -> Result<jsonschema::Validator, jsonschema::ValidationError<'static>> {
    jsonschema::draft202012::options()
        .with_pattern_options(jsonschema::PatternOptions::regex().size_limit(LARGEST_PATTERN))
        .build(schema)
}

/// What an incident says, for defaults that are taken from it.
#[derive(Clone, Copy, Debug)]
pub struct IncidentWords<'a> {
    /// Its labels.
    pub labels: Option<&'a BTreeMap<String, String>>,
    /// Its annotations.
    pub annotations: Option<&'a BTreeMap<String, String>>,
}

/// The typed values, by name; or everything that does not fit, each in a sentence.
pub fn resolve(
    schema: Option<&Value>,
    given: &BTreeMap<String, String>,
    incident: IncidentWords<'_>,
) -> Result<Map<String, Value>, Vec<String>> {
    let nothing = Map::new();
    let declared = schema
        .and_then(|schema| schema.get("properties"))
        .and_then(Value::as_object)
        .unwrap_or(&nothing);
    let mut findings: Vec<String> = given
        .keys()
        .filter(|name| !declared.contains_key(*name))
        .map(|name| unknown(name, declared))
        .collect();
    findings.extend(given.iter().filter_map(|(name, text)| {
        let what = given_away(text)?;
        Some(format!("parameters.{name}: this holds {what}, and is shown to whoever reads the run: let the Playbook name a Secret instead"))
    }));
    let mut values = Map::new();
    for (name, property) in declared {
        match value(name, property, given.get(name), incident) {
            Ok(Some(value)) => {
                values.insert(name.clone(), value);
            }
            Ok(None) => {}
            Err(finding) => findings.push(finding),
        }
    }
    if findings.is_empty() {
        findings.extend(unfit(schema, &values));
    }
    findings.truncate(MOST_FINDINGS);
    if findings.is_empty() {
        Ok(values)
    } else {
        Err(findings)
    }
}

fn unknown(name: &str, declared: &Map<String, Value>) -> String {
    let known: Vec<&str> = declared.keys().map(String::as_str).take(16).collect();
    let known = if known.is_empty() {
        "it declares none".to_owned()
    } else {
        format!("it declares {}", known.join(", "))
    };
    format!("parameters.{name}: the Playbook has no such parameter; {known}")
}

/// The value of one parameter: what was given, or its default, or nothing.
fn value(
    name: &str,
    property: &Value,
    given: Option<&String>,
    incident: IncidentWords<'_>,
) -> Result<Option<Value>, String> {
    let kind = property
        .get("type")
        .and_then(Value::as_str)
        .and_then(ParameterType::parse)
        .unwrap_or(ParameterType::String);
    let read = |text: &str, place: &str| {
        kind.read(text).map(Some).ok_or_else(|| {
            let shown: String = text.chars().take(80).collect();
            format!(
                "{place}: {shown:?} is no {}: {}",
                kind.as_str(),
                kind.advice()
            )
        })
    };
    if let Some(text) = given {
        return read(text, &format!("parameters.{name}"));
    }
    let Some(default) = property.get("default") else {
        return Ok(None);
    };
    let Some((section, label)) = default.as_str().and_then(incident_reference) else {
        return Ok(Some(default.clone()));
    };
    let (words, place) = match section {
        Section::Labels => (incident.labels, "labels"),
        Section::Annotations => (incident.annotations, "annotations"),
    };
    match words.and_then(|words| words.get(label)) {
        // Whether it is needed is for the schema to say.
        None => Ok(None),
        Some(text) => read(
            text,
            &format!("parameters.{name} from incident.{place}.{label}"),
        ),
    }
}

/// A parameter that the Playbook needs and nobody gave; its default may be a word that the incident lacks.
fn not_given(name: &str, schema: &Value) -> String {
    let properties = schema.get("properties");
    let default = properties.and_then(|all| all.get(name)?.get("default")?.as_str());
    let lacking =
        default
            .and_then(incident_reference)
            .map_or_else(String::new, |(section, word)| {
                let section = match section {
                    Section::Labels => "label",
                    Section::Annotations => "annotation",
                };
                format!(", and the incident has no {section} {word} to take it from")
            });
    format!(
        "parameters.{name}: the Playbook needs it, and it is not given{lacking}: ask again with a value"
    )
}

/// What the schema says against the values.
fn unfit(schema: Option<&Value>, values: &Map<String, Value>) -> Vec<String> {
    let Some(schema) = schema else {
        return Vec::new();
    };
    let instance = Value::Object(values.clone());
    match validator(schema) {
        Ok(validator) => validator
            .iter_errors(&instance)
            .take(MOST_FINDINGS)
            .map(|error| {
                if let ValidationErrorKind::Required { property } = error.kind()
                    && error.instance_path().as_str().is_empty()
                    && let Some(name) = property.as_str()
                {
                    return not_given(name, schema);
                }
                let at = error.instance_path().as_str().replace('/', ".");
                // A value may be long, and what is wrong with it stands behind it.
                if error.instance().to_string().len() > LONGEST_SHOWN {
                    format!("parameters{at}: {}", error.masked())
                } else {
                    format!("parameters{at}: {error}")
                }
            })
            .collect(),
        Err(error) => vec![format!("the Playbook's schema does not build: {error}")],
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const LONG: &str = match std::str::from_utf8(&[b'x'; 4000]) {
        Ok(text) => text,
        Err(_) => "",
    };

    fn schema() -> Value {
        json!({
            "type": "object",
            "required": ["deployment"],
            "properties": {
                "deployment": {"type": "string", "maxLength": 5, "default": "$(incident.labels.deployment)"},
                "replicas": {"type": "integer", "minimum": 1, "default": 3},
                "fast": {"type": "boolean"},
                "zones": {"type": "array", "items": {"type": "string"}},
            },
        })
    }

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let pairs = pairs.iter();
        pairs
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
            .collect()
    }

    fn resolved(given: &[(&str, &str)], labels: &[(&str, &str)]) -> Result<Value, String> {
        let labels = map(labels);
        let incident = IncidentWords {
            labels: Some(&labels),
            annotations: None,
        };
        resolve(Some(&schema()), &map(given), incident)
            .map(Value::Object)
            .map_err(|findings| findings.join("; "))
    }

    #[test]
    fn text_becomes_what_the_schema_says() {
        let given = [
            ("deployment", "shop"),
            ("replicas", "5"),
            ("fast", "true"),
            ("zones", r#"["a"]"#),
        ];
        assert_eq!(
            resolved(&given, &[]),
            Ok(json!({"deployment": "shop", "replicas": 5, "fast": true, "zones": ["a"]}))
        );
    }

    #[test]
    fn what_is_secret_is_no_parameter() {
        let key = ["-----BEGIN ", "PRIVATE KEY-----"].concat();
        let told = resolved(&[("deployment", &key)], &[]).unwrap_err();
        assert!(
            told.contains("parameters.deployment: this holds a private key"),
            "{told}"
        );
        assert!(!told.contains("BEGIN"), "{told}");
    }

    #[test]
    fn what_is_not_given_comes_from_the_incident_or_the_author() {
        let found = resolved(&[], &[("deployment", "cart")]);
        assert_eq!(found, Ok(json!({"deployment": "cart", "replicas": 3})));
    }

    #[test]
    #[expect(
        clippy::too_many_lines,
        reason = "a table of cases is read from top to bottom"
    )]
    fn everything_that_does_not_fit_is_told_with_its_place() {
        for (given, labels, told) in [
            (vec![], vec![], "deployment"),
            (
                vec![("deployment", "toolong")],
                vec![],
                "parameters.deployment: \"toolong\" is longer",
            ),
            (
                vec![("deployment", "a"), ("replicas", "many")],
                vec![],
                "parameters.replicas: \"many\" is no integer",
            ),
            (
                vec![("deployment", "a"), ("replicas", "1.5")],
                vec![],
                "is no integer",
            ),
            (
                vec![("deployment", "a"), ("replicas", "9007199254740993")],
                vec![],
                "is no integer",
            ),
            (
                vec![("deployment", "a"), ("replicas", "0")],
                vec![],
                "parameters.replicas",
            ),
            (
                vec![("deployment", "a"), ("fast", "yes")],
                vec![],
                "is no boolean",
            ),
            (
                vec![("deployment", "a"), ("zones", "[null]")],
                vec![],
                "is no array",
            ),
            (
                vec![("deployment", "a"), ("zones", "[1]")],
                vec![],
                "parameters.zones.0",
            ),
            (
                vec![("deployment", "a"), ("other", "1")],
                vec![],
                "the Playbook has no such parameter; it declares deployment",
            ),
            (
                vec![("replicas", "1")],
                vec![],
                "parameters.deployment: the Playbook needs it, and it is not given, and the incident has no label deployment to take it from: ask again with a value",
            ),
            (
                vec![("deployment", LONG)],
                vec![],
                "parameters.deployment: value is longer than 5 characters",
            ),
            (
                vec![],
                vec![("deployment", "toolong")],
                "parameters.deployment",
            ),
        ] {
            let found = resolved(&given, &labels).unwrap_err();
            assert!(found.contains(told), "{found:?} lacks {told:?}");
        }
    }
}
