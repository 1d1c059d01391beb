//! Floor 2: signing with a local key, for authors and tests: the bundle that `cosign sign-blob` writes offline, byte for
//! byte in meaning. The operator itself never signs a Playbook.

use std::fmt;

use aws_lc_rs::{
    encoding::{AsDer as _, PublicKeyX509Der},
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::bundle::MEDIA_TYPE;
use crate::domain::digest::Digest;

/// A key cannot sign. Never quotes the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// A key of cosign, encrypted with a password.
    #[error(
        "the key is encrypted by cosign: let cosign sign (--cosign), or import an unencrypted one with `cosign import-key-pair`"
    )]
    Encrypted,
    /// No private key.
    #[error("not a PEM block named PRIVATE KEY or EC PRIVATE KEY")]
    NotPem,
    /// Another kind of key.
    #[error(
        "not a usable ECDSA P-256 key; make one with `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256`, or sign with --cosign"
    )]
    Unusable,
    /// The cryptography library failed.
    #[error("the cryptography library failed to sign")]
    Failed,
}

/// A local P-256 key.
pub struct SigningKey {
    pair: EcdsaKeyPair,
    public: Vec<u8>,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.fingerprint())
    }
}

impl SigningKey {
    /// Reads PKCS#8 or SEC 1 PEM.
    pub fn read(pem: &str) -> Result<Self, SignError> {
        if pem.contains("BEGIN ENCRYPTED") {
            return Err(SignError::Encrypted);
        }
        let der = block(pem, "PRIVATE KEY")
            .or_else(|| block(pem, "EC PRIVATE KEY"))
            .ok_or(SignError::NotPem)?;
        let pair = EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_ASN1_SIGNING, &der)
            .map_err(|_| SignError::Unusable)?;
        let public: PublicKeyX509Der<'_> =
            pair.public_key().as_der().map_err(|_| SignError::Failed)?;
        let public = public.as_ref().to_vec();
        Ok(Self { pair, public })
    }

    /// SHA-256 of the public key's SubjectPublicKeyInfo, as a TrustPolicy's status shows it.
    pub fn fingerprint(&self) -> Digest {
        Digest::of(&self.public)
    }

    /// Signs the message; returns the bundle.
    pub fn sign(&self, message: &[u8]) -> Result<String, SignError> {
        let signature = self
            .pair
            .sign(&SystemRandom::new(), message)
            .map_err(|_| SignError::Failed)?;
        let bundle = json!({
            "mediaType": MEDIA_TYPE,
            // A hint for people: nobody may choose a key by it.
            "verificationMaterial": {
                "publicKey": { "hint": STANDARD.encode(Sha256::digest(&self.public)) },
            },
            "messageSignature": {
                "messageDigest": {
                    "algorithm": "SHA2_256",
                    "digest": STANDARD.encode(Sha256::digest(message)),
                },
                "signature": STANDARD.encode(signature.as_ref()),
            },
        });
        Ok(bundle.to_string())
    }
}

/// The bytes of the first PEM block with this label.
fn block(pem: &str, label: &str) -> Option<Vec<u8>> {
    let (_, rest) = pem.split_once(&format!("-----BEGIN {label}-----"))?;
    let (body, _) = rest.split_once(&format!("-----END {label}-----"))?;
    let body: String = body.split_whitespace().collect();
    STANDARD.decode(body).ok()
}
