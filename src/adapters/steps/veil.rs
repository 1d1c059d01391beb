//! Floor 2: what nobody may read in a plan: values of Secrets stand there as an HMAC under a key of this installation, so
//! that a plan still changes when they do. What else may be seen is decided elsewhere.

use std::fmt::Write as _;

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

/// What kubectl writes beside an object: all of it once more, values included.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// Where a Secret has its values.
const VALUES: [&str; 2] = ["data", "stringData"];

/// The key of the veil.
pub struct Veil(hmac::Key);

impl Veil {
    /// Under a key that is derived from a secret of this installation.
    pub fn new(secret: &[u8]) -> Self {
        let root = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let derived = hmac::sign(&root, b"neuralops.io values of secrets in plans");
        Self(hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()))
    }

    /// The veil over one Secret.
    pub(super) fn over<'a>(&'a self, namespace: &'a str, name: &'a str) -> Cover<'a> {
        Cover {
            veil: self,
            namespace,
            name,
        }
    }
}

/// Hides the values of one Secret: the same value under the same key of it looks the same, and nothing else does.
#[derive(Clone, Copy)]
pub(super) struct Cover<'a> {
    veil: &'a Veil,
    namespace: &'a str,
    name: &'a str,
}

impl Cover<'_> {
    /// The Secret, or a part of it as merge patches and manifests have it.
    pub(super) fn object(&self, object: &Value) -> Value {
        let mut hidden = object.clone();
        for field in VALUES {
            if let Some(values) = hidden.get_mut(field) {
                *values = self.values(field, values);
            }
        }
        if let Some(annotations) = hidden.pointer_mut("/metadata/annotations") {
            *annotations = self.annotations(annotations);
        }
        hidden
    }

    /// The operations of a JSON patch of the Secret.
    pub(super) fn operations(&self, operations: &Value) -> Value {
        let Some(operations) = operations.as_array() else {
            return self.value("", operations);
        };
        let hidden = operations.iter().map(|operation| {
            let path = operation.get("path").and_then(Value::as_str);
            let path = path.unwrap_or_default();
            let mut hidden = operation.clone();
            if let Some(value) = hidden.get_mut("value") {
                *value = self.at(path, value);
            }
            hidden
        });
        Value::Array(hidden.collect())
    }

    fn at(&self, path: &str, value: &Value) -> Value {
        let mut parts = path.split('/').skip(1);
        match (parts.next(), parts.next(), parts.next()) {
            (None, ..) => self.object(value),
            (Some(field), None, _) if VALUES.contains(&field) => self.values(field, value),
            (Some(field), Some(key), None) if VALUES.contains(&field) => {
                self.hide(field, &unescaped(key), value)
            }
            (Some("metadata"), None, _) => {
                let inside = self.object(&json!({ "metadata": value }));
                inside.get("metadata").cloned().unwrap_or(Value::Null)
            }
            (Some("metadata"), Some("annotations"), None) => self.annotations(value),
            (Some("metadata"), Some("annotations"), Some(key))
                if unescaped(key) == LAST_APPLIED =>
            {
                self.value(LAST_APPLIED, value)
            }
            (Some(field), ..) if VALUES.contains(&field) => self.value(path, value),
            _ => value.clone(),
        }
    }

    fn values(&self, field: &str, values: &Value) -> Value {
        match values {
            Value::Object(values) => {
                let hidden: Map<String, Value> = values
                    .iter()
                    .map(|(key, value)| (key.clone(), self.hide(field, key, value)))
                    .collect();
                Value::Object(hidden)
            }
            Value::Null => Value::Null,
            other => self.value(field, other),
        }
    }

    fn annotations(&self, annotations: &Value) -> Value {
        let mut hidden = annotations.clone();
        if let Some(whole) = hidden.get_mut(LAST_APPLIED) {
            *whole = self.value(LAST_APPLIED, whole);
        }
        hidden
    }

    /// One value; written plainly and in Base64 it is the same.
    fn hide(&self, field: &str, key: &str, value: &Value) -> Value {
        let Some(text) = value.as_str() else {
            return self.value(key, value);
        };
        match (field, STANDARD.decode(text)) {
            ("data", Ok(bytes)) => self.sign(key, &bytes),
            ("data", Err(_)) => self.value(key, value),
            _ => self.sign(key, text.as_bytes()),
        }
    }

    fn value(&self, key: &str, value: &Value) -> Value {
        self.sign(key, value.to_string().as_bytes())
    }

    fn sign(&self, key: &str, value: &[u8]) -> Value {
        let mut context = hmac::Context::with_key(&self.veil.0);
        for part in [
            self.namespace.as_bytes(),
            self.name.as_bytes(),
            key.as_bytes(),
            value,
        ] {
            // With its length, so that no part can pass for the end of the one before.
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut text = String::with_capacity(64);
        for byte in context.sign().as_ref() {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        json!({ "$hmac": text })
    }
}

/// Whether anything in there is veiled.
pub(super) fn veiled(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.contains_key("$hmac") || fields.values().any(veiled),
        Value::Array(items) => items.iter().any(veiled),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn unescaped(part: &str) -> String {
    part.replace("~1", "/").replace("~0", "~")
}

#[cfg(test)]
mod tests {
    use super::*;

    const CANARY: &str = "c4n4ry-v4lue";

    fn hides(value: &Value) {
        let text = value.to_string();
        assert!(!text.contains(CANARY), "{text}");
        assert!(!text.contains(&STANDARD.encode(CANARY)), "{text}");
    }

    #[test]
    fn no_value_is_seen_wherever_it_stands() {
        let veil = Veil::new(b"secret");
        let cover = veil.over("shop", "db");
        let encoded = STANDARD.encode(CANARY);
        let object = json!({
            "metadata": {"name": "db", "annotations": {LAST_APPLIED: format!("{{\"data\":{{\"a\":\"{encoded}\"}}}}"), "b": "c"}},
            "data": {"a": encoded, "b": encoded}, "stringData": {"c": CANARY}, "type": "Opaque",
        });
        let hidden = cover.object(&object);
        hides(&hidden);
        assert_eq!(hidden["type"], "Opaque");
        assert_eq!(hidden["metadata"]["annotations"]["b"], "c");
        assert_ne!(hidden["data"]["a"], hidden["data"]["b"]);
        let operations = json!([
            {"op": "add", "path": "/data/a", "value": encoded},
            {"op": "replace", "path": "/stringData", "value": {"x": CANARY}},
            {"op": "replace", "path": "/data", "value": CANARY},
            {"op": "replace", "path": "/data/a/b", "value": CANARY},
            {"op": "replace", "path": "", "value": object},
            {"op": "add", "path": "/metadata", "value": object["metadata"]},
            {"op": "add", "path": "/metadata/annotations", "value": object["metadata"]["annotations"]},
            {"op": "test", "path": "/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration", "value": CANARY},
            {"op": "add", "path": "/metadata/labels/a", "value": "seen"},
        ]);
        let hidden = cover.operations(&operations);
        hides(&hidden);
        assert_eq!(hidden[8]["value"], "seen");
        hides(&cover.operations(&json!({ "not": CANARY })));
        assert!(veiled(&hidden) && !veiled(&json!({"a": [1, "x"]})));
    }

    #[test]
    fn the_same_value_looks_the_same_only_at_its_own_place_and_under_its_own_key() {
        let (veil, other) = (Veil::new(b"secret"), Veil::new(b"another"));
        let plain = json!({"stringData": {"a": CANARY}});
        let encoded = json!({"data": {"a": STANDARD.encode(CANARY)}});
        let at = |veil: &Veil, name: &str, object: &Value, place: &str| {
            veil.over("shop", name)
                .object(object)
                .pointer(place)
                .cloned()
        };
        let one = at(&veil, "db", &plain, "/stringData/a");
        assert_eq!(one, at(&veil, "db", &encoded, "/data/a"));
        assert_ne!(one, at(&veil, "db2", &plain, "/stringData/a"));
        assert_ne!(one, at(&other, "db", &plain, "/stringData/a"));
        let changed = json!({"stringData": {"a": "another"}});
        assert_ne!(one, at(&veil, "db", &changed, "/stringData/a"));
    }
}
