//! Floor 0: the one question, and the one type that answers it. `Verified` has private fields and no other maker than
//! this file and its children; what plans or executes takes it as its input, so that no path for an unsigned Playbook can exist.

mod count;
mod image;
mod runnable;
mod sourced;

use std::collections::BTreeMap;

use jiff::Timestamp;

pub use image::{VerifiedImage, accepts_legacy, can_be_trusted, images_to_verify, verify_image};
pub use runnable::Runnable;
pub use sourced::{Artifact, ArtifactDocument, source_image, verify_sourced};

use self::count::{Candidate, satisfy_all};
use super::{
    bundles::{AnnotatedBundle, bundles},
    examiner::{Examination, Examiner},
    policy::{Signed, SignedKind},
    refusal::{Attempt, Refusal},
    revision::{HighestRevision, follows},
    signer::{Signer, distinct},
};
use crate::domain::{
    digest::Digest,
    document::{Document, NotCanonical, Scope},
    lint::uncertain_bytes,
    reason::Reason,
};

/// A policy that a Playbook satisfied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppliedPolicy {
    /// Its name.
    pub name: String,
    /// The generation of its spec.
    pub generation: Option<i64>,
    /// Its own digest.
    pub digest: Digest,
    /// Its distinct signers; at least as many as it asks for.
    pub signers: Vec<Signer>,
}

/// A Playbook that every policy about it trusts, as of a moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Verified {
    document: Document,
    scope: Scope,
    digest: Digest,
    /// The digest that the same document has in the other form.
    twin: Digest,
    revision: u64,
    artifact: Option<Digest>,
    policies: Vec<AppliedPolicy>,
    policy_digest: Digest,
    notes: Vec<String>,
}

impl Verified {
    /// The document whose bytes were verified; nothing may be read again from elsewhere.
    pub fn document(&self) -> &Document {
        &self.document
    }

    /// Whether its author signed it for this namespace or for any.
    pub fn scope(&self) -> Scope {
        self.scope
    }

    /// The digest of the canonical bytes that were signed, alone or inside an artifact.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Whether this is the digest of the document, in whichever form it was signed.
    pub fn is(&self, digest: &Digest) -> bool {
        self.digest == *digest || self.twin == *digest
    }

    /// Its revision, which is not older than any that was accepted under its name.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The digest of the signed artifact that the document came out of, if it did.
    pub fn artifact(&self) -> Option<&Digest> {
        self.artifact.as_ref()
    }

    /// Every signer under every policy.
    pub fn signers(&self) -> Vec<Signer> {
        let all = self
            .policies
            .iter()
            .flat_map(|policy| policy.signers.clone());
        distinct(all.collect())
    }

    /// The policies that it satisfies, by name.
    pub fn policies(&self) -> &[AppliedPolicy] {
        &self.policies
    }

    /// The digest of all that these policies trusted at that moment.
    pub fn policy_digest(&self) -> &Digest {
        &self.policy_digest
    }

    /// What was not checked, because a policy says so.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}

/// Whether this Playbook, as the API server holds it now, is trusted. Every policy about it must be satisfied, over the
/// same bytes; a policy that is not ready refuses, and so does the lack of any. `highest` is the highest revision that
/// was accepted under its name.
pub fn verify_playbook<E: Examiner>(
    document: &Document,
    annotations: &BTreeMap<String, String>,
    examiners: &[E],
    highest: Option<&HighestRevision>,
    now: Timestamp,
) -> Result<Verified, Refusal> {
    if let Some(finding) = uncertain_bytes(document) {
        return Err(Refusal::new(finding.reason, finding.to_string()));
    }
    // What would run is in the artifact: no signature over the object alone says anything about it.
    if document.spec.get("source").is_some() {
        let message =
            "the Playbook names a source, and what is signed is that artifact: fetch and verify it";
        return Err(Refusal::new(Reason::SourceNotFetched, message));
    }
    let (bundles, strays) = bundles(annotations)?;
    if bundles.is_empty() {
        let message = "no signature: sign the output of `neuralops playbook canonicalize` with cosign and attach the bundle with `neuralops playbook attach`";
        let mut refusal = Refusal::new(Reason::Unsigned, message);
        refusal.attempts = strays;
        return Err(refusal);
    }
    let examiners = applying(document, examiners, now)?;
    let mut refused: Option<Refusal> = None;
    for scope in [Scope::Namespaced, Scope::Anywhere] {
        match verify_in((document, scope), &bundles, &examiners, highest, now) {
            Ok(verified) => return Ok(verified),
            Err(mut refusal) => {
                refusal.attempts.extend(strays.iter().cloned());
                // The form that the author did not sign says nothing about what went wrong with the other.
                if refused
                    .as_ref()
                    .is_none_or(|other| !other.as_close_as(&refusal))
                {
                    refused = Some(refusal);
                }
            }
        }
    }
    Err(refused.unwrap_or_else(|| Refusal::new(Reason::VerifierError, "nothing was examined")))
}

/// The policies about this document, by name; each of them ready.
fn applying<'a, E: Examiner>(
    document: &Document,
    examiners: &'a [E],
    now: Timestamp,
) -> Result<Vec<&'a E>, Refusal> {
    let signed = Signed {
        kind: SignedKind::Playbook,
        namespace: &document.namespace,
        repository: None,
    };
    ready(signed, examiners, now)
}

/// The policies about this, by name; each of them ready.
fn ready<'a, E: Examiner>(
    signed: Signed<'_>,
    examiners: &'a [E],
    now: Timestamp,
) -> Result<Vec<&'a E>, Refusal> {
    let mut applying: Vec<&E> = examiners
        .iter()
        .filter(|examiner| examiner.policy().matches.cover(signed))
        .collect();
    applying.sort_by(|a, b| a.policy().name.cmp(&b.policy().name));
    if applying.is_empty() {
        let what = match signed.kind {
            SignedKind::Playbook => "Playbooks",
            SignedKind::Image => "Images",
        };
        let from = signed
            .repository
            .map(|repository| format!(" out of {repository:?}"))
            .unwrap_or_default();
        let message = format!(
            "no TrustPolicy is about {what}{from} in namespace {:?}: create one that names who may sign here",
            signed.namespace
        );
        return Err(Refusal::new(Reason::NoPolicy, message));
    }
    for examiner in &applying {
        let problem = examiner.problems().first().cloned();
        if let Some(problem) = problem.or_else(|| examiner.ended(now)) {
            let message = format!(
                "TrustPolicy {:?} cannot be used: {}",
                examiner.policy().name,
                problem.message
            );
            return Err(Refusal::new(problem.reason, message));
        }
    }
    Ok(applying)
}

fn verify_in<E: Examiner>(
    (document, scope): (&Document, Scope),
    bundles: &[AnnotatedBundle<'_>],
    examiners: &[&E],
    highest: Option<&HighestRevision>,
    now: Timestamp,
) -> Result<Verified, Refusal> {
    let message = document.canonical_in(scope).map_err(no_bytes)?;
    let digest = Digest::of(&message);
    let examine = |examiner: &E, bundle: &AnnotatedBundle<'_>| {
        if examiner.policy().formats.bundle {
            return examiner.examine(bundle.text, &message, now);
        }
        let only =
            "the policy accepts LegacySig only, which is for images: add Bundle to its formats";
        Examination {
            attempts: vec![Attempt::new(Reason::UnsupportedBundle, only)],
            ..Examination::default()
        }
    };
    let trust = satisfy_all(examiners, bundles, examine, |attempts, policies| {
        let about = format!(
            "the canonical bytes ({digest}, {}) are not trusted by TrustPolicy {policies}",
            named(scope)
        );
        Refusal::closest(attempts, &about)
    })?;
    Ok(Verified {
        document: document.clone(),
        scope,
        digest,
        twin: twin(document, scope)?,
        // Last, because a revision says nothing before somebody vouches for it.
        revision: follows(document, highest)?,
        artifact: None,
        policies: trust.policies,
        policy_digest: trust.policy_digest,
        notes: trust.notes,
    })
}

impl Candidate for AnnotatedBundle<'_> {
    fn place(&self) -> &str {
        self.annotation
    }
}

fn named(scope: Scope) -> &'static str {
    match scope {
        Scope::Namespaced => "with the namespace",
        Scope::Anywhere => "without the namespace",
    }
}

fn twin(document: &Document, scope: Scope) -> Result<Digest, Refusal> {
    let other = match scope {
        Scope::Namespaced => Scope::Anywhere,
        Scope::Anywhere => Scope::Namespaced,
    };
    let bytes = document.canonical_in(other).map_err(no_bytes)?;
    Ok(Digest::of(&bytes))
}

fn no_bytes(error: NotCanonical) -> Refusal {
    Refusal::new(Reason::Invalid, format!("{error}: {}", error.0))
}

#[cfg(test)]
mod tests;
