//! Floor 2: bundles as they are accepted: cosign's v0.3 alone, about a blob alone. Nothing signs a bundle's media type,
//! so an older one would be a way around the proofs that v0.3 asks for.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};
use sigstore_types::{
    Bundle, HashAlgorithm, MessageSignature, SignatureContent, VerificationMaterialContent,
};
use sigstore_verify::crypto;

use super::strict;
use crate::domain::{
    reason::Reason,
    trust::{Attempt, LARGEST_BUNDLES},
};

/// The one media type.
pub(super) const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// What a bundle is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    /// Bytes.
    Blob,
    /// A statement about an image.
    Statement,
}

fn malformed(message: impl Into<String>) -> Attempt {
    Attempt::new(Reason::MalformedBundle, message)
}

fn unsupported(message: impl Into<String>) -> Attempt {
    Attempt::new(Reason::UnsupportedBundle, message)
}

/// How large a bundle in a registry may be: nothing there shares the space of annotations.
const LARGEST_STATEMENT: usize = 256 * 1024;

/// Reads a bundle about this.
pub(super) fn read(text: &str, about: About) -> Result<Bundle, Attempt> {
    let largest = match about {
        About::Blob => LARGEST_BUNDLES,
        About::Statement => LARGEST_STATEMENT,
    };
    if text.len() > largest {
        return Err(malformed(format!(
            "the bundle has {} bytes, {largest} are allowed",
            text.len()
        )));
    }
    if is_detached(text) {
        return Err(unsupported(
            "this is a signature alone, as `cosign sign-blob` of cosign 2 prints it: sign with `cosign sign-blob --bundle` of cosign 3",
        ));
    }
    let value =
        strict::read(text).map_err(|error| malformed(format!("the bundle is no JSON: {error}")))?;
    let Value::Object(object) = &value else {
        return Err(malformed("the bundle is no JSON object"));
    };
    check_form(object, about)?;
    let bundle: Bundle = serde_json::from_value(value)
        .map_err(|error| malformed(format!("the bundle is incomplete: {error}")))?;
    Ok(bundle)
}

/// Whether this is a signature in base64 and nothing else.
fn is_detached(text: &str) -> bool {
    let text = text.trim();
    let longest = 2048;
    (64..longest).contains(&text.len()) && STANDARD.decode(text).is_ok()
}

/// Everything that must be right before the reader of sigstore sees it: it takes the first of two contents, and skips
/// what it does not know.
fn check_form(object: &Map<String, Value>, about: About) -> Result<(), Attempt> {
    check_media_type(object)?;
    check_content(object, about)?;
    let known = [
        "mediaType",
        "verificationMaterial",
        "messageSignature",
        "dsseEnvelope",
    ];
    only("the bundle", object, &known)?;
    check_material(object)?;
    // What is misspelt is left out by a reader that does not mind, and a declared digest would be no longer declared.
    let Some(Value::Object(signature)) = object.get("messageSignature") else {
        return Ok(());
    };
    only(
        "messageSignature",
        signature,
        &["messageDigest", "signature"],
    )?;
    match signature.get("messageDigest") {
        Some(Value::Object(digest)) => only("messageDigest", digest, &["algorithm", "digest"]),
        _ => Ok(()),
    }
}

fn check_media_type(object: &Map<String, Value>) -> Result<(), Attempt> {
    let legacy = [
        "base64Signature",
        "rekorBundle",
        "cert",
        "SignedEntryTimestamp",
    ];
    if legacy.iter().any(|field| object.contains_key(*field)) {
        return Err(unsupported(format!(
            "this is cosign's legacy bundle, which could bring its own key: sign with cosign 3, which writes {MEDIA_TYPE}"
        )));
    }
    match object.get("mediaType").and_then(Value::as_str) {
        Some(MEDIA_TYPE) => Ok(()),
        Some(other) => Err(unsupported(format!(
            "the media type is {other:?}, accepted is {MEDIA_TYPE:?} alone: sign with cosign 3"
        ))),
        None => Err(unsupported(format!(
            "the bundle has no media type, accepted is {MEDIA_TYPE:?} alone: sign with cosign 3"
        ))),
    }
}

fn check_content(object: &Map<String, Value>, about: About) -> Result<(), Attempt> {
    let content = match (
        object.contains_key("messageSignature"),
        object.contains_key("dsseEnvelope"),
    ) {
        (true, true) => return Err(malformed("the bundle has two contents")),
        (false, false) => return Err(malformed("the bundle has no content")),
        (true, false) => About::Blob,
        (false, true) => About::Statement,
    };
    match (about, content) {
        (About::Blob, About::Statement) => Err(unsupported(
            "the bundle holds an attestation (DSSE), which says something else than that these bytes may run: sign with `cosign sign-blob`",
        )),
        (About::Statement, About::Blob) => Err(unsupported(
            "the bundle signs plain bytes, not an image: sign with `cosign sign`",
        )),
        _ => Ok(()),
    }
}

fn check_material(object: &Map<String, Value>) -> Result<(), Attempt> {
    let Some(Value::Object(material)) = object.get("verificationMaterial") else {
        return Err(malformed("the bundle has no verificationMaterial"));
    };
    if material.contains_key("x509CertificateChain") {
        return Err(unsupported(
            "the bundle brings a chain of certificates, which v0.3 does not: sign with cosign 3",
        ));
    }
    if material.contains_key("publicKey") == material.contains_key("certificate") {
        return Err(malformed(
            "the bundle names not exactly one of publicKey and certificate",
        ));
    }
    let known = [
        "publicKey",
        "certificate",
        "tlogEntries",
        "timestampVerificationData",
    ];
    only("verificationMaterial", material, &known)
}

fn only(what: &str, object: &Map<String, Value>, known: &[&str]) -> Result<(), Attempt> {
    match object.keys().find(|name| !known.contains(&name.as_str())) {
        Some(name) => Err(malformed(format!("{what} has an unknown field {name:?}"))),
        None => Ok(()),
    }
}

/// The signature of a bundle about a blob.
pub(super) fn message_signature(bundle: &Bundle) -> Result<&MessageSignature, Attempt> {
    match &bundle.content {
        SignatureContent::MessageSignature(signature) => Ok(signature),
        _ => Err(unsupported("the bundle is not about a blob")),
    }
}

/// Whether it was made with a key, not under a certificate.
pub(super) fn by_key(bundle: &Bundle) -> bool {
    matches!(
        bundle.verification_material.content,
        VerificationMaterialContent::PublicKey(_)
    )
}

/// The digest that the bundle declares must be the message's.
pub(super) fn check_digest(signature: &MessageSignature, message: &[u8]) -> Result<(), Attempt> {
    let Some(declared) = &signature.message_digest else {
        return Ok(());
    };
    let actual = match declared.algorithm {
        HashAlgorithm::Sha2256 => crypto::sha256(message).as_slice().to_vec(),
        HashAlgorithm::Sha2384 => crypto::sha384(message).as_slice().to_vec(),
        HashAlgorithm::Sha2512 => crypto::sha512(message).as_slice().to_vec(),
        other => {
            return Err(unsupported(format!(
                "the bundle declares the hash {other}, which is unknown here"
            )));
        }
    };
    if declared.digest.as_bytes() == actual {
        return Ok(());
    }
    let name = declared.algorithm.as_rekor_str();
    Err(Attempt::new(
        Reason::DigestMismatch,
        format!(
            "the bundle is about bytes with the digest {name}:{}, these have {name}:{}",
            hex(declared.digest.as_bytes()),
            hex(&actual)
        ),
    ))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes.iter().take(64) {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
