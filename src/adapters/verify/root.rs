//! Floor 2: trusted roots: the authorities and logs that a policy trusts, in Sigstore's trusted_root.json. Read from
//! the text alone; the built-in roots and their updates over the network are not compiled in.

use jiff::Timestamp;
use sigstore_trust_root::{CertificateAuthority, TransparencyLog, TrustedRoot};
use sigstore_types::{Bundle, TimestampVerificationData};
use sigstore_verify::{Verifier, crypto::x509};

use super::strict;
use crate::domain::{
    digest::Digest,
    reason::Reason,
    trust::{Attempt, Problem},
};

/// How large the text may be; the public one has 7 KiB.
const LARGEST_ROOT: usize = 512 * 1024;

/// A root that was read.
pub(super) struct Root {
    pub verifier: Verifier,
    trusted: TrustedRoot,
    pub has_authorities: bool,
    pub has_logs: bool,
    pub facts: RootFacts,
    /// When the last of its certificate authorities ends; none if one of them has no known end.
    authorities_end: Option<Timestamp>,
    has_timestamps: bool,
}

/// What people want to know about a root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootFacts {
    /// SHA-256 of its text.
    pub digest: Digest,
    /// When its oldest certificate begins.
    pub not_before: Option<Timestamp>,
    /// When its newest certificate ends.
    pub not_after: Option<Timestamp>,
}

/// A bundle without what the root cannot judge, and what that was.
pub(super) struct Known {
    pub bundle: Bundle,
    /// Log entries that the root can judge.
    pub entries: usize,
    /// Whether each of them has an inclusion proof.
    pub proven: bool,
    /// Timestamps that the root can judge.
    pub timestamps: usize,
    /// Logs that the bundle names and the root does not hold.
    pub unknown_logs: Vec<String>,
}

fn invalid(message: impl Into<String>) -> Problem {
    Problem {
        reason: Reason::TrustRootInvalid,
        message: message.into(),
    }
}

impl Root {
    /// Reads trusted_root.json.
    pub fn read(text: &str) -> Result<Self, Problem> {
        if text.len() > LARGEST_ROOT {
            return Err(invalid(format!(
                "the trusted root has {} bytes, {LARGEST_ROOT} are allowed",
                text.len()
            )));
        }
        strict::read(text)
            .map_err(|error| invalid(format!("the trusted root is no JSON: {error}")))?;
        let root = TrustedRoot::from_json(text)
            .map_err(|error| invalid(format!("the trusted root cannot be read: {error}")))?;
        let empty = root.tlogs.is_empty()
            && root.certificate_authorities.is_empty()
            && root.timestamp_authorities.is_empty();
        if empty {
            return Err(invalid(
                "the trusted root holds no authority and no log: take trusted_root.json of your Sigstore",
            ));
        }
        let verifier = Verifier::new(&root)
            .map_err(|error| invalid(format!("the trusted root cannot be used: {error}")))?;
        Ok(Self {
            verifier,
            facts: facts(text, &root),
            authorities_end: authorities_end(&root.certificate_authorities),
            has_authorities: !root.certificate_authorities.is_empty(),
            has_logs: !root.tlogs.is_empty(),
            has_timestamps: !root.timestamp_authorities.is_empty(),
            trusted: root,
        })
    }

    /// Why no signature under a certificate can be trusted by it any more.
    pub fn ended(&self, now: Timestamp) -> Option<Problem> {
        let end = self.authorities_end.filter(|end| *end < now)?;
        Some(invalid(format!(
            "the last certificate authority of the trusted root ended at {end}: put the newer trusted_root.json of your Sigstore into the ConfigMap"
        )))
    }

    /// Until when its authorities are trusted, if that is known.
    pub fn authorities_end(&self) -> Option<Timestamp> {
        self.authorities_end
    }

    /// A verifier without the logs whose own time does not cover all of these; none if there are no such logs.
    pub fn in_force(&self, times: &[Timestamp]) -> Result<Option<Verifier>, Attempt> {
        let covers = |log: &TransparencyLog| {
            let window = log.public_key.valid_for;
            window.is_none_or(|window| times.iter().all(|time| window.contains(*time)))
        };
        if self.trusted.tlogs.iter().all(covers) {
            return Ok(None);
        }
        let mut rest = self.trusted.clone();
        rest.tlogs.retain(covers);
        Verifier::new(&rest)
            .map(Some)
            .map_err(|error| Attempt::new(Reason::TrustRootInvalid, error.to_string()))
    }

    /// The bundle with what this root can judge. What it cannot is no evidence, and must not be an error either: cosign
    /// adds the public log and timestamp to every bundle unless it is told not to.
    pub fn judgeable(&self, bundle: &Bundle) -> Known {
        let mut bundle = bundle.clone();
        let material = &mut bundle.verification_material;
        let mut unknown_logs = Vec::new();
        material.tlog_entries.retain(|entry| {
            let logs = &self.trusted.tlogs;
            let known = logs.iter().any(|log| log.log_id == entry.log_id);
            if !known {
                unknown_logs.push(entry.log_id.key_id.to_base64());
            }
            known
        });
        let entries = material.tlog_entries.len();
        let proven = material
            .tlog_entries
            .iter()
            .all(|entry| entry.inclusion_proof.is_some());
        if !self.has_timestamps {
            material.timestamp_verification_data = TimestampVerificationData::default();
        }
        let timestamps = material
            .timestamp_verification_data
            .rfc3161_timestamps
            .len();
        Known {
            bundle,
            entries,
            proven,
            timestamps,
            unknown_logs,
        }
    }
}

/// Every certificate of the root: its authorities' and its timestamp authorities'.
fn facts(text: &str, root: &TrustedRoot) -> RootFacts {
    let authorities = root.certificate_authorities.iter();
    let timestamps = root.timestamp_authorities.iter();
    let chains = authorities
        .map(|authority| &authority.cert_chain)
        .chain(timestamps.map(|authority| &authority.cert_chain));
    let certificates = chains.flat_map(|chain| &chain.certificates);
    // What cannot be read has made the verifier fail before.
    let known: Vec<_> = certificates
        .filter_map(|certificate| x509::parse_certificate_info(&certificate.raw_bytes).ok())
        .collect();
    RootFacts {
        digest: Digest::of(text.as_bytes()),
        not_before: known.iter().map(|known| known.not_before).min(),
        not_after: known.iter().map(|known| known.not_after).max(),
    }
}

fn authorities_end(authorities: &[CertificateAuthority]) -> Option<Timestamp> {
    let ends: Option<Vec<Timestamp>> = authorities.iter().map(authority_end).collect();
    ends?.into_iter().max()
}

/// The earliest of: the end of its time in the root, the end of any certificate of its chain.
fn authority_end(authority: &CertificateAuthority) -> Option<Timestamp> {
    let window = authority.valid_for.as_ref().and_then(|window| window.end);
    let chain = authority.cert_chain.certificates.iter();
    chain
        .filter_map(|certificate| x509::parse_certificate_info(&certificate.raw_bytes).ok())
        .map(|known| known.not_after)
        .chain(window)
        .min()
}
