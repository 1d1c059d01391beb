//! Somebody who signs Playbooks with a key of their own, as `neuralops playbook sign` and `attach` do, and the TrustPolicy
//! that trusts them in one namespace.

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use neuralops::adapters::verify::SigningKey;
use neuralops::domain::document::{Document, Scope};
use neuralops::domain::trust::ANNOTATION;
use serde_json::{Value, json};

pub struct Author {
    key: SigningKey,
    /// As it stands in a TrustPolicy.
    pub public: String,
}

impl Author {
    pub fn new() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("a key pair");
        let private = pair.to_pkcs8v1().expect("PKCS#8");
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().expect("DER");
        Self {
            key: SigningKey::read(&pem("PRIVATE KEY", private.as_ref())).expect("a key"),
            public: pem("PUBLIC KEY", public.as_ref()),
        }
    }

    /// The bundle over this Playbook as it stands.
    pub fn bundle(&self, playbook: &Value, scope: Scope) -> String {
        let text = |at: &str| {
            playbook
                .pointer(at)
                .and_then(Value::as_str)
                .expect("a text")
        };
        let document = Document {
            api_version: text("/apiVersion").to_owned(),
            name: text("/metadata/name").to_owned(),
            namespace: text("/metadata/namespace").to_owned(),
            spec: playbook["spec"].clone(),
        };
        let message = document.canonical_in(scope).expect("canonical bytes");
        self.key.sign(&message).expect("a signature")
    }

    /// The Playbook with this author's bundle.
    pub fn sign(&self, mut playbook: Value) -> Value {
        let bundle = self.bundle(&playbook, Scope::Namespaced);
        playbook["metadata"]["annotations"][ANNOTATION] = json!(bundle);
        playbook
    }

    /// A TrustPolicy that trusts this author alone, for Playbooks of this namespace.
    pub fn policy(&self, name: &str, namespace: &str) -> Value {
        json!({
            "apiVersion": "neuralops.io/v1alpha1", "kind": "TrustPolicy",
            "metadata": {"name": name},
            "spec": {
                "match": {"namespaces": [namespace], "kinds": ["Playbook"]},
                "keys": [{"name": "author", "publicKey": self.public}],
            },
        })
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
}
