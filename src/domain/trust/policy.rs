//! Floor 0: a TrustPolicy with everything resolved that it refers to: which objects it is about, whom it trusts, and the
//! digest that a run pins. A ConfigMap's edit changes trust without a generation, so the bytes are part of the digest.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    identity::{IdentityRule, SubjectRule},
    wildcard,
};
use crate::domain::{digest::Digest, document::NotCanonical};

/// What can be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignedKind {
    /// A Playbook.
    Playbook,
    /// An image of a step.
    Image,
}

/// The object that somebody wants to trust.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signed<'a> {
    /// What it is.
    pub kind: SignedKind,
    /// The namespace in which it is used.
    pub namespace: &'a str,
    /// Registry and repository, for images and for Playbooks with a source.
    pub repository: Option<&'a str>,
}

/// What a policy is about. All that is given must match; an empty list matches nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matches {
    /// Namespaces, with wildcards.
    pub namespaces: Option<Vec<String>>,
    /// Kinds.
    pub kinds: Option<Vec<SignedKind>>,
    /// Registries and repositories, with wildcards.
    pub registries: Option<Vec<String>>,
}

impl Matches {
    /// Whether the policy is about this object.
    pub fn cover(&self, signed: Signed<'_>) -> bool {
        let any = |patterns: &[String], text: &str| {
            patterns
                .iter()
                .any(|pattern| wildcard::matches(pattern, text))
        };
        let namespaces = self.namespaces.as_deref();
        let registries = self.registries.as_deref();
        namespaces.is_none_or(|patterns| any(patterns, signed.namespace))
            && self
                .kinds
                .as_ref()
                .is_none_or(|kinds| kinds.contains(&signed.kind))
            && registries.is_none_or(|patterns| {
                signed
                    .repository
                    .is_some_and(|repository| any(patterns, repository))
            })
    }
}

/// A key that may sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRule {
    /// Its name in the policy.
    pub name: String,
    /// Its PEM; none if the ConfigMap that should hold it does not.
    pub pem: Option<String>,
    /// Not trusted after this.
    pub not_after: Option<Timestamp>,
}

/// What is asked of signatures by keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogRule {
    /// Whatever the bundle says about a log is ignored.
    Ignore,
    /// What the trusted root knows must be right.
    IfPresent,
    /// There must be a proof, and it must be right.
    Required,
}

impl LogRule {
    fn word(self) -> &'static str {
        match self {
            Self::Ignore => "Ignore",
            Self::IfPresent => "IfPresent",
            Self::Required => "Required",
        }
    }
}

/// Accepted forms of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Formats {
    /// Bundles.
    pub bundle: bool,
    /// Legacy `.sig` tags of images.
    pub legacy: bool,
}

/// A TrustPolicy with everything resolved.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Its name.
    pub name: String,
    /// The generation of its spec, where a cluster gave it one.
    pub generation: Option<i64>,
    /// What it is about.
    pub matches: Matches,
    /// Keys.
    pub keys: Vec<KeyRule>,
    /// Identities.
    pub identities: Vec<IdentityRule>,
    /// The text of trusted_root.json; none if the policy names none or the ConfigMap does not hold it.
    pub root: Option<String>,
    /// What is asked of signatures by keys.
    pub log: LogRule,
    /// Accepted forms.
    pub formats: Formats,
    /// Distinct signers needed.
    pub threshold: usize,
}

impl Policy {
    fn facts(&self) -> Value {
        let kind = |kind: &SignedKind| match kind {
            SignedKind::Playbook => "Playbook",
            SignedKind::Image => "Image",
        };
        let keys = self.keys.iter().map(|key| {
            json!({
                "name": key.name,
                "pem": key.pem,
                "notAfter": key.not_after.map(|time| time.to_string()),
            })
        });
        let identities = self.identities.iter().map(|identity| {
            let (subject, expression) = match &identity.subject {
                SubjectRule::Exactly(subject) => (Some(subject.as_str()), None),
                SubjectRule::Expression(expression) => (None, Some(expression.text())),
            };
            json!({
                "name": identity.name,
                "issuer": identity.issuer,
                "subject": subject,
                "subjectRegex": expression,
                "repository": identity.repository,
                "ref": identity.git_ref,
            })
        });
        json!({
            "name": self.name,
            "namespaces": self.matches.namespaces,
            "kinds": self.matches.kinds.as_ref().map(|kinds| kinds.iter().map(kind).collect::<Vec<_>>()),
            "registries": self.matches.registries,
            "keys": keys.collect::<Vec<_>>(),
            "keyless": identities.collect::<Vec<_>>(),
            "root": self.root,
            "transparencyLog": self.log.word(),
            "bundle": self.formats.bundle,
            "legacySig": self.formats.legacy,
            "threshold": self.threshold,
        })
    }

    /// The digest of this policy alone.
    pub fn digest(&self) -> Result<Digest, NotCanonical> {
        policy_digest(&[self])
    }
}

/// The digest of everything that these policies trust, whatever their order.
pub fn policy_digest(policies: &[&Policy]) -> Result<Digest, NotCanonical> {
    let mut sorted = policies.to_vec();
    sorted.sort_by(|a, b| a.name.cmp(&b.name));
    let facts: Vec<Value> = sorted.into_iter().map(Policy::facts).collect();
    serde_json_canonicalizer::to_vec(&facts)
        .map(|bytes| Digest::of(&bytes))
        .map_err(NotCanonical)
}

#[cfg(test)]
mod tests;
