//! Floor 0: the signed document of a Playbook and its canonical bytes (RFC 8785), always made from the raw JSON.
//! A typed round trip would drop or add fields; a lossy number would give one digest to two documents.

use serde_json::{Map, Value, json};

use super::digest::Digest;

/// Integers beyond this are not exact in JSON numbers as RFC 8785 writes them.
pub const LARGEST_INTEGER: u64 = (1 << 53) - 1;
/// How deep a document may nest.
pub const DEEPEST: usize = 64;
/// How large the canonical spec may be.
pub const LARGEST_SPEC: usize = 128 * 1024;
/// The same for a spec that comes out of an artifact.
pub const LARGEST_SOURCED_SPEC: usize = 1024 * 1024;

/// A Playbook as its author signs it.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// `neuralops.io/v1alpha1`.
    pub api_version: String,
    /// The Playbook's name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its spec, as the API server holds it.
    pub spec: Value,
}

/// A document that has no canonical bytes.
#[derive(Debug, thiserror::Error)]
#[error("no canonical form of the document")]
pub struct NotCanonical(#[source] pub serde_json::Error);

/// Where a signed document may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// In the namespace that its author wrote into it.
    Namespaced,
    /// In any namespace: its author left the namespace out.
    Anywhere,
}

impl Document {
    /// The bytes that a signature is about. Check the values first (`lint::values`): the form alone is lossy.
    pub fn canonical(&self) -> Result<Vec<u8>, NotCanonical> {
        self.canonical_in(Scope::Namespaced)
    }

    /// The same, with or without the namespace.
    pub fn canonical_in(&self, scope: Scope) -> Result<Vec<u8>, NotCanonical> {
        let metadata = match scope {
            Scope::Namespaced => json!({ "name": self.name, "namespace": self.namespace }),
            Scope::Anywhere => json!({ "name": self.name }),
        };
        let mut document = Map::new();
        document.insert("apiVersion".into(), Value::from(self.api_version.as_str()));
        document.insert("kind".into(), Value::from("Playbook"));
        document.insert("metadata".into(), metadata);
        document.insert("spec".into(), self.spec.clone());
        serde_json_canonicalizer::to_vec(&Value::Object(document)).map_err(NotCanonical)
    }

    /// Size of the canonical spec.
    pub fn spec_size(&self) -> Result<usize, NotCanonical> {
        serde_json_canonicalizer::to_vec(&self.spec)
            .map(|bytes| bytes.len())
            .map_err(NotCanonical)
    }

    /// What a signature is about and a plan names.
    pub fn digest(&self) -> Result<Digest, NotCanonical> {
        self.canonical().map(|bytes| Digest::of(&bytes))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn document(spec: Value) -> Document {
        Document {
            api_version: "neuralops.io/v1alpha1".into(),
            name: "restart".into(),
            namespace: "shop".into(),
            spec,
        }
    }

    #[test]
    fn canonical_bytes_are_sorted_and_without_blanks() {
        let bytes = document(json!({"revision": 1, "description": "ä"}))
            .canonical()
            .unwrap();
        assert_eq!(
            String::from_utf8(bytes).unwrap(),
            r#"{"apiVersion":"neuralops.io/v1alpha1","kind":"Playbook","metadata":{"name":"restart","namespace":"shop"},"spec":{"description":"ä","revision":1}}"#
        );
    }

    #[test]
    fn name_and_namespace_are_part_of_it() {
        let here = document(json!({"revision": 1}));
        let there = Document {
            namespace: "other".into(),
            ..here.clone()
        };
        let renamed = Document {
            name: "drain".into(),
            ..here.clone()
        };
        assert_ne!(here.digest().unwrap(), there.digest().unwrap());
        assert_ne!(here.digest().unwrap(), renamed.digest().unwrap());
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(".{0,6}", inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// The bytes read back to the same document, and their canonical form is themselves.
        #[test]
        fn canonical_form_is_a_fixed_point(spec in values()) {
            let bytes = document(spec.clone()).canonical().unwrap();
            let back: Value = serde_json::from_slice(&bytes).unwrap();
            prop_assert_eq!(back.get("spec"), Some(&spec));
            prop_assert_eq!(serde_json_canonicalizer::to_vec(&back).unwrap(), bytes);
        }
    }
}
