//! Floor 2: the old form of image signatures (simple signing, under the tag `.sig`): a payload that names the image, and a
//! signature over these very bytes. With keys alone: what an old signature says about certificates and logs is bound to
//! nothing that is signed.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde_json::Value;
use sigstore_types::{HashAlgorithm, SignatureBytes};

use super::{policy::PreparedPolicy, strict};
use crate::domain::{
    digest::Digest,
    reason::Reason,
    trust::{Attempt, Examination, LegacySignature, LogRule},
};

/// What a payload says that it is.
const TYPE: &str = "cosign container image signature";

/// Who of the policy's keys signed the image with this digest.
pub(super) fn examine(
    policy: &PreparedPolicy,
    legacy: &LegacySignature,
    digest: &Digest,
    now: Timestamp,
) -> Result<Examination, Attempt> {
    if legacy.certified {
        return Err(Attempt::new(
            Reason::UnsupportedBundle,
            "an identity made this signature in the old form, in which its proof of time is not bound to it: sign with `cosign sign` of cosign 3, which writes a bundle",
        ));
    }
    check_payload(&legacy.payload, digest)?;
    let signature = STANDARD.decode(legacy.signature.trim()).map_err(|error| {
        let message = format!("the signature is no base64: {error}");
        Attempt::new(Reason::MalformedBundle, message)
    })?;
    let signature = SignatureBytes::new(signature);
    let payload = legacy.payload.as_bytes();
    let trust = policy.trust();
    // cosign signed with SHA-256 whatever the key; other tools take the hash of the curve.
    let trusted = trust.key_that(now, |key| {
        let with = |hash| key.verifies(payload, hash, &signature);
        with(Some(HashAlgorithm::Sha2256)) || with(None)
    })?;
    let mut examination = Examination::default();
    match trust.log {
        LogRule::Ignore => {}
        LogRule::IfPresent => examination
            .notes
            .push("an old signature proves no entry of a transparency log".to_owned()),
        LogRule::Required => {
            return Err(Attempt::new(
                Reason::LogMissing,
                "an old signature proves no entry of a transparency log, and the policy requires one: sign with `cosign sign` of cosign 3",
            ));
        }
    }
    examination.signers.push(trusted.signer());
    Ok(examination)
}

/// That the payload is a signature, and about this image.
fn check_payload(payload: &str, digest: &Digest) -> Result<(), Attempt> {
    let value = strict::read(payload).map_err(|error| {
        let message = format!("the payload is no JSON: {error}");
        Attempt::new(Reason::MalformedBundle, message)
    })?;
    let field = |pointer: &str| value.pointer(pointer).and_then(Value::as_str);
    if field("/critical/type") != Some(TYPE) {
        let said = field("/critical/type").unwrap_or("nothing");
        let message = format!("the payload says {said:?}, a signature says {TYPE:?}");
        return Err(Attempt::new(Reason::WrongPredicate, message));
    }
    let about = field("/critical/image/docker-manifest-digest").unwrap_or("no image");
    if about != digest.as_str() {
        let message = format!("the signature is about {about}, not about {digest}");
        return Err(Attempt::new(Reason::SubjectMismatch, message));
    }
    Ok(())
}
