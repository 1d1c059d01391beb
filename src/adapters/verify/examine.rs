//! Floor 2: one bundle under one policy: which of the policy's keys and identities made it, over these very bytes.
//! Keys come from the policy alone; what a bundle says about its key is a hint that anybody can write.

use jiff::Timestamp;
use sigstore_types::{Bundle, HashAlgorithm, Sha256Hash, SignatureBytes};
use sigstore_verify::{
    CertificateError, Error, PublicKeyVerificationPolicy, TransparencyLogError, VerificationPolicy,
    VerificationResult, Verifier,
};

use super::{
    bundle,
    key::PublicKey,
    root::{Known, Root},
};
use crate::domain::{
    reason::Reason,
    trust::{Attempt, Claims, Examination, IdentityRule, LogRule, Signer},
};

/// A key of a policy, read.
pub(super) struct TrustedKey {
    pub name: String,
    pub key: PublicKey,
    pub not_after: Option<Timestamp>,
}

impl TrustedKey {
    /// Its holder.
    pub fn signer(&self) -> Signer {
        Signer::Key {
            fingerprint: self.key.fingerprint().clone(),
            name: self.name.clone(),
        }
    }
}

/// Whom a policy trusts, read.
pub(super) struct Trust<'a> {
    pub keys: &'a [TrustedKey],
    pub identities: &'a [IdentityRule],
    pub root: Option<&'a Root>,
    pub log: LogRule,
}

/// What was signed.
#[derive(Clone, Copy)]
pub(super) enum Target<'a> {
    /// These bytes.
    Blob(&'a [u8]),
    /// An image, by a statement about its digest.
    Image(Sha256Hash),
}

/// What the signature is directly about, and the signature.
pub(super) struct SignedBytes<'a> {
    pub bytes: &'a [u8],
    pub hash: Option<HashAlgorithm>,
    pub signature: &'a SignatureBytes,
}

impl Trust<'_> {
    /// Who of these signed.
    pub fn examine(
        &self,
        read: &Bundle,
        target: Target<'_>,
        signed: &SignedBytes<'_>,
        now: Timestamp,
    ) -> Examination {
        let mut examination = Examination::default();
        let result = if bundle::by_key(read) {
            self.by_key(read, target, signed, now, &mut examination.notes)
        } else {
            self.by_identity(read, target)
        };
        match result {
            Ok(signer) => examination.signers.push(signer),
            Err(attempts) => examination.attempts = attempts,
        }
        examination
    }

    fn by_key(
        &self,
        read: &Bundle,
        target: Target<'_>,
        signed: &SignedBytes<'_>,
        now: Timestamp,
        notes: &mut Vec<String>,
    ) -> Result<Signer, Vec<Attempt>> {
        let trusted = self
            .key_that(now, |key| {
                key.verifies(signed.bytes, signed.hash, signed.signature)
            })
            .map_err(|attempt| vec![attempt])?;
        self.check_log(read, target, &trusted.key, now, notes)
            .map_err(|attempt| vec![attempt.about(&format!("key {:?}", trusted.name))])?;
        Ok(trusted.signer())
    }

    /// The key of the policy that made a signature, if it is still trusted.
    pub fn key_that(
        &self,
        now: Timestamp,
        made: impl Fn(&PublicKey) -> bool,
    ) -> Result<&TrustedKey, Attempt> {
        let by: Vec<&TrustedKey> = self
            .keys
            .iter()
            .filter(|trusted| made(&trusted.key))
            .collect();
        // The same key may be listed again, to be trusted for longer.
        let standing = |trusted: &&&TrustedKey| trusted.not_after.is_none_or(|end| now <= end);
        let Some(trusted) = by.iter().find(standing).or(by.first()) else {
            return Err(self.untrusted());
        };
        if let Some(not_after) = trusted.not_after
            && now > not_after
        {
            let message = format!(
                "key {:?} ({}) made this signature, but is not trusted after {not_after}",
                trusted.name,
                trusted.key.fingerprint()
            );
            return Err(Attempt::new(Reason::UntrustedKey, message));
        }
        Ok(trusted)
    }

    fn untrusted(&self) -> Attempt {
        if self.keys.is_empty() {
            return Attempt::new(
                Reason::UntrustedKey,
                "the bundle was signed with a key, and the policy trusts identities alone",
            );
        }
        let tried: Vec<String> = self
            .keys
            .iter()
            .map(|trusted| format!("{:?} ({})", trusted.name, trusted.key.fingerprint()))
            .collect();
        Attempt::new(
            Reason::UntrustedKey,
            format!(
                "no key of the policy made this signature over these bytes; tried: {}",
                tried.join(", ")
            ),
        )
    }

    /// What the policy asks of a log besides the key.
    fn check_log(
        &self,
        read: &Bundle,
        target: Target<'_>,
        key: &PublicKey,
        now: Timestamp,
        notes: &mut Vec<String>,
    ) -> Result<(), Attempt> {
        if self.log == LogRule::Ignore {
            return Ok(());
        }
        let Some(root) = self.root else {
            return Err(Attempt::new(
                Reason::TrustRootInvalid,
                "the policy asks for a log and names no trustedRoot",
            ));
        };
        let mut known = root.judgeable(read);
        if self.log == LogRule::IfPresent && known.entries == 0 {
            notes.push("no entry of a transparency log that the trusted root knows".to_owned());
            return Ok(());
        }
        require_entry(&known)?;
        let policy = PublicKeyVerificationPolicy::new(key.der().clone());
        // When it was signed, by whatever witness the root knows; without one it may have been just now.
        let witnessed = verify(&root.verifier, target, &known.bundle, &policy);
        let mut times = witnessed.map_or_else(
            |_| Vec::new(),
            |result| result.verified_timestamps().to_vec(),
        );
        // A key has no lifetime that a timestamp could prove; one of a foreign authority must not be in the way.
        known
            .bundle
            .verification_material
            .timestamp_verification_data = Default::default();
        match verify(&root.verifier, target, &known.bundle, &policy) {
            Ok(result) => {
                times.extend(result.verified_timestamps());
                if times.is_empty() {
                    times.push(now);
                }
                in_force(root, &times, target, &known.bundle, &policy)
            }
            // Signature and digest are good without the log: what does not fit is the entry.
            Err(attempt)
                if matches!(
                    attempt.reason,
                    Reason::UntrustedKey | Reason::DigestMismatch
                ) =>
            {
                Err(Attempt::new(Reason::LogInvalid, attempt.message))
            }
            Err(attempt) => Err(attempt),
        }
    }

    fn by_identity(&self, read: &Bundle, target: Target<'_>) -> Result<Signer, Vec<Attempt>> {
        let one = |reason, message: &str| Err(vec![Attempt::new(reason, message)]);
        if self.identities.is_empty() {
            let message = "the bundle was signed under a certificate, and the policy trusts keys alone; sign with --key";
            return one(Reason::UntrustedKey, message);
        }
        let Some(root) = self.root else {
            return one(Reason::TrustRootInvalid, "the policy names no trustedRoot");
        };
        let known = root.judgeable(read);
        // A certificate lives for minutes: without a witness of the time, its key could have signed at any time since.
        if known.timestamps == 0 || self.log == LogRule::Required || known.entries > 0 {
            require_entry(&known).map_err(|attempt| vec![attempt])?;
        }
        let policy = VerificationPolicy::any_identity();
        let logged = known.entries > 0;
        let policy = if logged {
            policy
        } else {
            policy.skip_tlog_unsafe()
        };
        let result = verify(&root.verifier, target, &known.bundle, &policy)
            .map_err(|attempt| vec![attempt])?;
        if !(result.certificate_verified() && result.sct_verified())
            || result.tlog_verified() != logged
        {
            return one(
                Reason::VerifierError,
                "the verifier left out a check that was asked for",
            );
        }
        if logged {
            let times = result.verified_timestamps();
            in_force(root, times, target, &known.bundle, &policy)
                .map_err(|attempt| vec![attempt])?;
        }
        self.identify(&claims(&result))
    }

    /// The first identity of the policy whose claims these are.
    fn identify(&self, claims: &Claims) -> Result<Signer, Vec<Attempt>> {
        let mut attempts = Vec::new();
        for rule in self.identities {
            match rule.check(claims) {
                Ok(()) => {
                    return Ok(Signer::Identity {
                        issuer: claims.issuer.clone(),
                        subject: claims.subject.clone(),
                        name: rule.name.clone(),
                    });
                }
                Err(attempt) => attempts.push(attempt),
            }
        }
        Err(attempts)
    }
}

/// At least one entry in a log that the root knows, each with its proof: a promise alone says that the log once meant to.
fn require_entry(known: &Known) -> Result<(), Attempt> {
    match (known.entries, known.unknown_logs.as_slice()) {
        (0, []) => Err(Attempt::new(
            Reason::LogMissing,
            "the bundle has no transparency log entry and no timestamp of an authority that the trusted root names",
        )),
        (0, unknown) => Err(Attempt::new(
            Reason::LogUnknown,
            format!(
                "the trusted root does not hold the log that the bundle names: {}",
                unknown.join(", ")
            ),
        )),
        _ if !known.proven => Err(Attempt::new(
            Reason::LogMissing,
            "a log entry of the bundle has no inclusion proof",
        )),
        _ => Ok(()),
    }
}

/// Whether a log that was in force when this was signed proves the entry. sigstore-verify holds the window of a log only
/// against the log's own clock, which Rekor v2 does not have, and nobody signs which log an entry says to be from: so the
/// question is asked again without the logs whose window does not cover the proven times.
fn in_force<P: sigstore_verify::Policy>(
    root: &Root,
    times: &[Timestamp],
    target: Target<'_>,
    bundle: &Bundle,
    policy: &P,
) -> Result<(), Attempt> {
    let Some(verifier) = root.in_force(times)? else {
        return Ok(());
    };
    verify(&verifier, target, bundle, policy)
        .map(drop)
        .map_err(|attempt| {
            let what = "no log of the trusted root whose time covers that of the signature";
            Attempt::new(Reason::LogInvalid, attempt.about(what).message)
        })
}

fn verify<P: sigstore_verify::Policy>(
    verifier: &Verifier,
    target: Target<'_>,
    bundle: &Bundle,
    policy: &P,
) -> Result<VerificationResult, Attempt> {
    let result = match target {
        Target::Blob(bytes) => verifier.verify(bytes, bundle, policy),
        Target::Image(digest) => verifier.verify(digest, bundle, policy),
    };
    result.map_err(|error| Attempt::new(reason(&error), error.to_string()))
}

fn claims(result: &VerificationResult) -> Claims {
    let ci = result
        .certificate()
        .map(|certificate| &certificate.ci_claims);
    Claims {
        issuer: result.issuer().unwrap_or_default().to_owned(),
        subject: result
            .identity()
            .map(|subject| subject.as_str().to_owned())
            .unwrap_or_default(),
        repositories: ci
            .into_iter()
            .flat_map(|claims| {
                let short = claims.deprecated_github.workflow_repository.clone();
                claims
                    .source_repository_uri
                    .clone()
                    .into_iter()
                    .chain(short)
            })
            .collect(),
        git_ref: ci.and_then(|claims| claims.source_repository_ref.clone()),
    }
}

/// Our word for what sigstore-verify says.
fn reason(error: &Error) -> Reason {
    match error {
        Error::IdentityMismatch { .. } => Reason::IdentityMismatch,
        Error::IssuerMismatch { .. } => Reason::IssuerMismatch,
        Error::SignatureInvalid(_) => Reason::UntrustedKey,
        Error::ArtifactMismatch(_) => Reason::DigestMismatch,
        Error::Certificate(CertificateError::Malformed(_)) | Error::InvalidBundle(_) => {
            Reason::MalformedBundle
        }
        Error::Certificate(_) => Reason::CertificateInvalid,
        Error::TransparencyLog(TransparencyLogError::UnknownLog { .. }) => Reason::LogUnknown,
        Error::TransparencyLog(_) => Reason::LogInvalid,
        Error::Timestamp(_) => Reason::TimestampInvalid,
        Error::UnsupportedBundle(_) | Error::UnsupportedArtifact(_) => Reason::UnsupportedBundle,
        Error::InvalidTrustRoot(_) | Error::TrustRoot(_) | Error::TrustedCertificate(_) => {
            Reason::TrustRootInvalid
        }
        // Form and content were looked at before: what is left of its rules is about proofs, a place outside of its tree.
        Error::Bundle(_) => Reason::LogInvalid,
        Error::Types(_) => Reason::MalformedBundle,
        // Whatever comes with a newer version is not taken for a fault of the signer.
        _ => Reason::VerifierError,
    }
}
