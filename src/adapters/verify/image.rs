//! Floor 2: signatures of images, as cosign 3 makes them: an in-toto statement about the digest of a manifest. Nothing
//! is fetched here. Any statement by the key about the digest would verify, an SBOM or a failed scan as well, so the
//! statement must say that it is a signature.

use jiff::Timestamp;
use sigstore_types::{Bundle, Sha256Hash, SignatureContent, Statement};

use super::{
    bundle::{self, About},
    examine::{SignedBytes, Target},
    guarded,
    policy::{PreparedPolicy, examination},
};
use crate::domain::{
    digest::Digest,
    reason::Reason,
    trust::{Attempt, Examination},
};

/// The one payload type.
const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
/// The one kind of statement that is a signature.
const PREDICATE_TYPE: &str = "https://sigstore.dev/cosign/sign/v1";
/// The one form of a statement.
const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";

/// Who of the policy's signers signed the image with this digest in this bundle.
pub fn examine_image(
    policy: &PreparedPolicy,
    bundle: &str,
    digest: &Digest,
    now: Timestamp,
) -> Examination {
    let examined = guarded(|| {
        let read = bundle::read(bundle, About::Statement)?;
        let hex = digest.as_str().strip_prefix("sha256:").unwrap_or_default();
        let hash = Sha256Hash::from_hex(hex)
            .map_err(|error| Attempt::new(Reason::VerifierError, error.to_string()))?;
        let pae = check_statement(&read, &hash, digest)?;
        let SignatureContent::DsseEnvelope(envelope) = &read.content else {
            return Err(Attempt::new(Reason::UnsupportedBundle, "not a statement"));
        };
        let signed = SignedBytes {
            bytes: &pae,
            hash: None,
            signature: &envelope.signature.sig,
        };
        Ok(policy
            .trust()
            .examine(&read, Target::Image(hash), &signed, now))
    });
    examination(examined)
}

/// The bytes that are signed, if they say that this image is signed.
fn check_statement(read: &Bundle, hash: &Sha256Hash, digest: &Digest) -> Result<Vec<u8>, Attempt> {
    let SignatureContent::DsseEnvelope(envelope) = &read.content else {
        return Err(Attempt::new(Reason::UnsupportedBundle, "not a statement"));
    };
    if envelope.payload_type != PAYLOAD_TYPE {
        return Err(Attempt::new(
            Reason::UnsupportedBundle,
            format!(
                "the payload is {:?}, a signature has {PAYLOAD_TYPE:?}",
                envelope.payload_type
            ),
        ));
    }
    let statement: Statement = std::str::from_utf8(envelope.payload.as_bytes())
        .ok()
        .and_then(|text| super::strict::read(text).ok())
        .and_then(|value| serde_json::from_value(value).ok())
        .ok_or_else(|| Attempt::new(Reason::MalformedBundle, "the payload is no statement"))?;
    if statement.type_ != STATEMENT_TYPE || statement.predicate_type != PREDICATE_TYPE {
        return Err(Attempt::new(
            Reason::WrongPredicate,
            format!(
                "the statement says {:?}, a signature says {PREDICATE_TYPE:?}: sign with `cosign sign`",
                statement.predicate_type
            ),
        ));
    }
    if statement.subject.len() != 1 || !statement.matches_sha256(hash) {
        return Err(Attempt::new(
            Reason::SubjectMismatch,
            format!(
                "the statement is about {} other subjects, not about {digest} alone",
                statement.subject.len()
            ),
        ));
    }
    Ok(envelope.pae())
}
