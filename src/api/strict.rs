//! Floor 1: an object held against its CRD's schema without an API server, and stricter: a field that the API server
//! would prune silently is an error here, because the author signed it. CEL rules are the API server's alone.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Map, Value, json};

/// What is wrong: a JSON pointer into the object, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// JSON pointer into the spec.
    pub pointer: String,
    /// What is wrong.
    pub message: String,
}

/// Everything that is wrong with the spec of an object of this kind; none if the schema cannot be read.
pub fn violations(crd: &CustomResourceDefinition, spec: &Value) -> Option<Vec<Violation>> {
    let schema = crd
        .spec
        .versions
        .first()?
        .schema
        .as_ref()?
        .open_api_v3_schema
        .as_ref()?;
    let schema = strict(&serde_json::to_value(schema.properties.as_ref()?.get("spec")?).ok()?);
    let validator = jsonschema::draft202012::new(&schema).ok()?;
    let violation = |error: jsonschema::ValidationError<'_>| Violation {
        pointer: error.instance_path().as_str().to_owned(),
        message: error.to_string(),
    };
    Some(validator.iter_errors(spec).map(violation).collect())
}

/// The same schema for a plain validator: no unknown fields, and Kubernetes' own words in standard ones.
fn strict(schema: &Value) -> Value {
    match schema {
        Value::Object(fields) => {
            let mut plain: Map<String, Value> = fields
                .iter()
                .filter(|(name, _)| !name.starts_with("x-kubernetes-"))
                .map(|(name, value)| match (name.as_str(), value) {
                    // Names of properties are not words of the schema.
                    ("properties", Value::Object(properties)) => {
                        let strict = properties
                            .iter()
                            .map(|(name, value)| (name.clone(), strict(value)));
                        (name.clone(), Value::Object(strict.collect()))
                    }
                    _ => (name.clone(), strict(value)),
                })
                .collect();
            let open =
                fields.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true));
            if fields.contains_key("properties") && !open {
                plain.insert("additionalProperties".into(), Value::Bool(false));
            }
            if fields.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true)) {
                plain.insert("type".into(), json!(["integer", "string"]));
            }
            Value::Object(plain)
        }
        Value::Array(items) => items.iter().map(strict).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use kube::CustomResourceExt as _;

    use super::*;
    use crate::api::v1alpha1::Playbook;

    fn good() -> Value {
        json!({
            "revision": 1,
            "serviceAccountName": "a",
            "approval": [{"rules": [{"role": "oncall", "min": 1}]}],
            "steps": [{"name": "s", "scale": {"target": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}, "replicas": "$(params.n)"}}],
        })
    }

    fn pointers(spec: &Value) -> Vec<String> {
        violations(&Playbook::crd(), spec)
            .unwrap()
            .into_iter()
            .map(|violation| violation.pointer)
            .collect()
    }

    #[test]
    fn a_good_spec_has_none() {
        assert_eq!(pointers(&good()), Vec::<String>::new());
    }

    #[test]
    fn unknown_fields_types_and_limits_are_found_at_their_place() {
        let mut spec = good();
        spec["steps"][0]["scale"]["replica"] = json!(1);
        assert_eq!(pointers(&spec), ["/steps/0/scale"]);
        let mut spec = good();
        spec["revision"] = json!(0);
        spec["steps"][0]["name"] = json!("Not A Label");
        assert_eq!(pointers(&spec), ["/revision", "/steps/0/name"]);
    }

    #[test]
    fn what_is_preserved_is_open() {
        let mut spec = good();
        spec["parameters"] = json!({"type": "object", "whatever": {"x": 1}});
        assert_eq!(pointers(&spec), Vec::<String>::new());
    }
}
