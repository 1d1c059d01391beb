//! Keys, bundles, policies and documents, made for each test.

use std::{collections::BTreeMap, process::Command};

use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    rand::SystemRandom,
    rsa,
    signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair,
        EcdsaSigningAlgorithm, KeyPair as _, RSA_PKCS1_SHA256,
    },
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use neuralops::{
    adapters::verify::{ConfigMaps, PreparedPolicy, SigningKey},
    api::v1alpha1::{ConfigMapKeyRef, TrustPolicySpec},
    domain::{
        document::{Document, Scope},
        reason::Reason,
        trust::{ANNOTATION, Refusal, Verified, verify_playbook},
    },
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256, Sha384};

pub const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// The moment at which everything is asked.
pub fn now() -> Timestamp {
    "2026-11-01T00:00:00Z".parse().unwrap()
}

/// From a message to a signature.
type Sign = Box<dyn Fn(&[u8]) -> Vec<u8>>;

/// A key pair of any kind, and how it signs.
pub struct Key {
    pub public: String,
    pub private: Option<String>,
    hash: &'static str,
    sign: Sign,
}

pub fn pem(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let lines: Vec<&str> = body
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}

fn ecdsa(algorithm: &'static EcdsaSigningAlgorithm, hash: &'static str) -> Key {
    let pair = EcdsaKeyPair::generate(algorithm).unwrap();
    let der: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
    Key {
        public: pem("PUBLIC KEY", der.as_ref()),
        private: Some(pem("PRIVATE KEY", pair.to_pkcs8v1().unwrap().as_ref())),
        hash,
        sign: Box::new(move |message| {
            let signature = pair.sign(&SystemRandom::new(), message).unwrap();
            signature.as_ref().to_vec()
        }),
    }
}

pub fn p256() -> Key {
    ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING, "SHA2_256")
}

pub fn p384() -> Key {
    ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING, "SHA2_384")
}

/// P-384 with SHA-256, which older cosigns made and only openssl still makes here.
pub fn p384_sha256() -> Key {
    let folder = tempfile::tempdir().unwrap();
    let private = folder.path().join("key").display().to_string();
    let curve = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"];
    openssl(&[&["genpkey", "-out", &private], &curve[..]].concat());
    Key {
        public: String::from_utf8(openssl(&["pkey", "-in", &private, "-pubout"])).unwrap(),
        private: None,
        hash: "SHA2_256",
        sign: Box::new(move |message| {
            let text = folder.path().join("message");
            std::fs::write(&text, message).unwrap();
            openssl(&["dgst", "-sha256", "-sign", &private, text.to_str().unwrap()])
        }),
    }
}

/// What openssl answers.
pub fn openssl(args: &[&str]) -> Vec<u8> {
    let output = Command::new("openssl").args(args).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {args:?}: {said}");
    output.stdout
}

pub fn rsa2048() -> Key {
    let pair = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap();
    let der: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
    Key {
        public: pem("PUBLIC KEY", der.as_ref()),
        private: None,
        hash: "SHA2_256",
        sign: Box::new(move |message| {
            let mut signature = vec![0; pair.public_modulus_len()];
            pair.sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                message,
                &mut signature,
            )
            .unwrap();
            signature
        }),
    }
}

impl Key {
    pub fn signature(&self, message: &[u8]) -> Vec<u8> {
        (self.sign)(message)
    }

    /// A bundle over the message, by this test's own writer.
    pub fn bundle(&self, message: &[u8]) -> Value {
        let digest = match self.hash {
            "SHA2_384" => Sha384::digest(message).to_vec(),
            _ => Sha256::digest(message).to_vec(),
        };
        json!({
            "mediaType": MEDIA_TYPE,
            "verificationMaterial": {"publicKey": {"hint": "nobody"}},
            "messageSignature": {
                "messageDigest": {"algorithm": self.hash, "digest": STANDARD.encode(digest)},
                "signature": STANDARD.encode(self.signature(message)),
            },
        })
    }

    /// The bundle that the product itself writes.
    pub fn product(&self, message: &[u8]) -> String {
        SigningKey::read(self.private.as_ref().unwrap())
            .unwrap()
            .sign(message)
            .unwrap()
    }
}

pub fn document() -> Document {
    Document {
        api_version: "neuralops.io/v1alpha1".into(),
        name: "restart".into(),
        namespace: "shop".into(),
        spec: json!({
            "revision": 14,
            "serviceAccountName": "runbook-shop",
            "steps": [{"name": "tell", "notify": {"message": "Grüße"}}],
        }),
    }
}

pub fn bytes(document: &Document) -> Vec<u8> {
    document.canonical_in(Scope::Namespaced).unwrap()
}

/// ConfigMaps by `name/key`.
#[derive(Default)]
pub struct Maps(pub BTreeMap<String, String>);

impl ConfigMaps for Maps {
    fn text(&self, reference: &ConfigMapKeyRef) -> Option<String> {
        self.0
            .get(&format!("{}/{}", reference.name, reference.key))
            .cloned()
    }
}

pub fn policy(spec: Value) -> PreparedPolicy {
    policy_with(spec, &Maps::default())
}

pub fn policy_with(spec: Value, maps: &Maps) -> PreparedPolicy {
    let spec: TrustPolicySpec = serde_json::from_value(spec).unwrap();
    PreparedPolicy::new("p", Some(1), &spec, maps)
}

/// A policy that trusts these keys.
pub fn trusting(keys: &[&Key], threshold: usize) -> PreparedPolicy {
    let keys: Vec<Value> = keys
        .iter()
        .enumerate()
        .map(|(at, key)| json!({"name": format!("key-{at}"), "publicKey": key.public}))
        .collect();
    policy(json!({"keys": keys, "threshold": threshold}))
}

pub fn annotations<T: ToString>(bundles: &[T]) -> BTreeMap<String, String> {
    bundles
        .iter()
        .enumerate()
        .map(|(at, bundle)| {
            let ending = if at == 0 {
                String::new()
            } else {
                format!(".{}", at + 1)
            };
            (format!("{ANNOTATION}{ending}"), bundle.to_string())
        })
        .collect()
}

pub fn check<T: ToString>(
    document: &Document,
    bundles: &[T],
    policies: &[PreparedPolicy],
) -> Result<Verified, Refusal> {
    verify_playbook(document, &annotations(bundles), policies, None, now())
}

/// Why it is refused, after a look that somebody who reads it can act on it.
pub fn refused<T: ToString>(
    document: &Document,
    bundles: &[T],
    policies: &[PreparedPolicy],
) -> Reason {
    let refusal = match check(document, bundles, policies) {
        Err(refusal) => refusal,
        Ok(verified) => panic!("trusted: {:?}", verified.signers()),
    };
    assert!(refusal.to_string().len() > 60, "{refusal}");
    refusal.reason
}
