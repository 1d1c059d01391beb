//! Floor 2: TrustPolicies made ready: ConfigMaps resolved, keys and roots read once. What is missing or broken becomes
//! a problem of the policy, and a policy with a problem refuses; it never trusts with what is left of it.

use jiff::Timestamp;

use super::{
    bundle::{self, About},
    examine::{SignedBytes, Target, Trust, TrustedKey},
    guarded,
    image::examine_image,
    key::PublicKey,
    legacy,
    root::{Root, RootFacts},
};
use crate::{
    api::v1alpha1::{
        ConfigMapKeyRef, SignatureFormat, SignedKind as ApiKind, TransparencyLog, TrustMatch,
        TrustPolicySpec, TrustedIdentity, TrustedKey as ApiKey,
    },
    domain::{
        digest::Digest,
        reason::Reason,
        trust::{
            Attempt, Examination, Examiner, Expression, Formats, IdentityRule, KeyRule,
            LegacySignature, LogRule, Matches, Policy, Problem, SignedKind, SubjectRule,
        },
    },
};

/// Where the texts of ConfigMaps come from; in the cluster they lie in the operator's own namespace.
pub trait ConfigMaps {
    /// The text under this key, if there is one.
    fn text(&self, reference: &ConfigMapKeyRef) -> Option<String>;
}

/// A policy whose keys and root are read.
pub struct PreparedPolicy {
    policy: Policy,
    problems: Vec<Problem>,
    keys: Vec<TrustedKey>,
    root: Option<Root>,
}

fn unready(message: impl Into<String>) -> Problem {
    Problem {
        reason: Reason::PolicyNotReady,
        message: message.into(),
    }
}

impl PreparedPolicy {
    /// Makes a policy ready; whatever fails is among its problems.
    pub fn new(
        name: &str,
        generation: Option<i64>,
        spec: &TrustPolicySpec,
        config_maps: &dyn ConfigMaps,
    ) -> Self {
        let mut problems = Vec::new();
        let policy = resolve(name, generation, spec, config_maps, &mut problems);
        let keys = read_keys(&policy, &mut problems);
        let root = policy.root.as_deref().and_then(|text| {
            match guarded(|| Root::read(text)) {
                Ok(Ok(root)) => return Some(root),
                Ok(Err(problem)) => problems.push(problem),
                Err(attempt) => problems.push(Problem {
                    reason: attempt.reason,
                    message: attempt.message,
                }),
            }
            None
        });
        let mut prepared = Self {
            policy,
            problems,
            keys,
            root,
        };
        prepared.check();
        prepared
    }

    /// Rules that hold between the parts; the API server holds them too, for objects it admitted under the present CRD.
    fn check(&mut self) {
        let mut add = |message: &str| self.problems.push(unready(message));
        let signers = self.policy.keys.len() + self.policy.identities.len();
        if signers == 0 {
            add("it names no key and no identity");
        } else if self.policy.threshold > signers {
            add("its threshold is higher than the number of its keys and identities");
        }
        let needs_root = !self.policy.identities.is_empty() || self.policy.log != LogRule::Ignore;
        let root_problem = match &self.root {
            None if needs_root && self.problems.is_empty() => Some("it names no trustedRoot"),
            Some(root) if !self.policy.identities.is_empty() && !root.has_authorities => {
                Some("its trusted root holds no certificate authority for keyless identities")
            }
            Some(root) if self.policy.log == LogRule::Required && !root.has_logs => {
                Some("it requires a transparency log and its trusted root holds none")
            }
            _ => None,
        };
        if let Some(message) = root_problem {
            self.problems.push(Problem {
                reason: Reason::TrustRootInvalid,
                message: message.into(),
            });
        }
    }

    /// The keys as they were read, by name.
    pub fn keys(&self) -> impl Iterator<Item = (&str, &PublicKey)> {
        self.keys
            .iter()
            .map(|trusted| (trusted.name.as_str(), &trusted.key))
    }

    /// What its trusted root is, if it names one that can be read.
    pub fn root(&self) -> Option<&RootFacts> {
        self.root.as_ref().map(|root| &root.facts)
    }

    /// When it trusts somebody less than now, without anybody's doing: a key's time is over, or its root's.
    pub fn next_end(&self, now: Timestamp) -> Option<Timestamp> {
        let keys = self.keys.iter().filter_map(|trusted| trusted.not_after);
        let root = self.root.as_ref().and_then(Root::authorities_end);
        keys.chain(root).filter(|end| *end >= now).min()
    }

    /// A policy of which nothing is known but its name: it is about everything, and refuses.
    pub fn unreadable(name: &str, generation: Option<i64>, why: &str) -> Self {
        let policy = Policy {
            name: name.to_owned(),
            generation,
            matches: Matches::default(),
            keys: Vec::new(),
            identities: Vec::new(),
            root: None,
            log: LogRule::Ignore,
            formats: Formats {
                bundle: true,
                legacy: false,
            },
            threshold: 1,
        };
        let problem = unready(format!(
            "it does not fit its kind: {why}; was the CRD altered?"
        ));
        Self {
            policy,
            problems: vec![problem],
            keys: Vec::new(),
            root: None,
        }
    }

    pub(super) fn trust(&self) -> Trust<'_> {
        Trust {
            keys: &self.keys,
            identities: &self.policy.identities,
            root: self.root.as_ref(),
            log: self.policy.log,
        }
    }

    fn examine_blob(
        &self,
        text: &str,
        message: &[u8],
        now: Timestamp,
    ) -> Result<Examination, Attempt> {
        let read = bundle::read(text, About::Blob)?;
        let signature = bundle::message_signature(&read)?;
        bundle::check_digest(signature, message)?;
        let signed = SignedBytes {
            bytes: message,
            hash: signature
                .message_digest
                .as_ref()
                .map(|digest| digest.algorithm),
            signature: &signature.signature,
        };
        Ok(self
            .trust()
            .examine(&read, Target::Blob(message), &signed, now))
    }
}

/// What came of reading foreign bytes.
pub(super) fn examination(read: Result<Result<Examination, Attempt>, Attempt>) -> Examination {
    match read {
        Ok(Ok(examination)) => examination,
        Ok(Err(attempt)) | Err(attempt) => Examination {
            attempts: vec![attempt],
            ..Examination::default()
        },
    }
}

impl Examiner for PreparedPolicy {
    fn policy(&self) -> &Policy {
        &self.policy
    }

    fn problems(&self) -> &[Problem] {
        &self.problems
    }

    fn ended(&self, now: Timestamp) -> Option<Problem> {
        // A key is trusted by itself; its own end is looked at with its signature.
        let root = self
            .root
            .as_ref()
            .filter(|_| !self.policy.identities.is_empty());
        root.and_then(|root| root.ended(now))
    }

    fn examine(&self, bundle: &str, message: &[u8], now: Timestamp) -> Examination {
        examination(guarded(|| self.examine_blob(bundle, message, now)))
    }

    fn examine_statement(&self, bundle: &str, digest: &Digest, now: Timestamp) -> Examination {
        examine_image(self, bundle, digest, now)
    }

    fn examine_legacy(
        &self,
        signature: &LegacySignature,
        digest: &Digest,
        now: Timestamp,
    ) -> Examination {
        examination(guarded(|| legacy::examine(self, signature, digest, now)))
    }
}

fn read_keys(policy: &Policy, problems: &mut Vec<Problem>) -> Vec<TrustedKey> {
    let mut keys = Vec::new();
    for rule in &policy.keys {
        // A key without a text is a problem already.
        let Some(pem) = &rule.pem else { continue };
        match guarded(|| PublicKey::read(pem)) {
            Ok(Ok(key)) => keys.push(TrustedKey {
                name: rule.name.clone(),
                key,
                not_after: rule.not_after,
            }),
            Ok(Err(error)) => problems.push(unready(format!("key {:?}: {error}", rule.name))),
            Err(attempt) => problems.push(unready(format!("key {:?}: {attempt:?}", rule.name))),
        }
    }
    keys
}

fn resolve(
    name: &str,
    generation: Option<i64>,
    spec: &TrustPolicySpec,
    config_maps: &dyn ConfigMaps,
    problems: &mut Vec<Problem>,
) -> Policy {
    let keys = spec.keys.iter().flatten();
    let keys = keys
        .map(|key| resolve_key(key, config_maps, problems))
        .collect();
    let identities = spec.keyless.iter().flatten();
    let identities = identities
        .filter_map(|identity| resolve_identity(identity, problems))
        .collect();
    let root = spec.trusted_root.as_ref().and_then(|source| {
        let reference = &source.config_map_ref;
        let text = config_maps.text(reference);
        if text.is_none() {
            problems.push(missing("the trustedRoot", reference));
        }
        text
    });
    let formats = spec.formats.as_deref();
    Policy {
        name: name.to_owned(),
        generation,
        matches: spec.matches.as_ref().map(matches).unwrap_or_default(),
        keys,
        identities,
        root,
        log: match spec.transparency_log {
            None | Some(TransparencyLog::Ignore) => LogRule::Ignore,
            Some(TransparencyLog::IfPresent) => LogRule::IfPresent,
            Some(TransparencyLog::Required) => LogRule::Required,
        },
        formats: Formats {
            bundle: formats.is_none_or(|formats| formats.contains(&SignatureFormat::Bundle)),
            legacy: formats.is_some_and(|formats| formats.contains(&SignatureFormat::LegacySig)),
        },
        threshold: spec
            .threshold
            .and_then(|threshold| usize::try_from(threshold).ok())
            .map_or(1, |threshold| threshold.max(1)),
    }
}

fn matches(given: &TrustMatch) -> Matches {
    Matches {
        namespaces: given.namespaces.clone(),
        kinds: given.kinds.as_ref().map(|kinds| {
            let kinds = kinds.iter().map(|kind| match kind {
                ApiKind::Playbook => SignedKind::Playbook,
                ApiKind::Image => SignedKind::Image,
            });
            kinds.collect()
        }),
        registries: given.registries.clone(),
    }
}

fn missing(what: &str, reference: &ConfigMapKeyRef) -> Problem {
    unready(format!(
        "{what} should lie in ConfigMap {:?} under {:?}, and there is nothing",
        reference.name, reference.key
    ))
}

fn resolve_key(key: &ApiKey, config_maps: &dyn ConfigMaps, problems: &mut Vec<Problem>) -> KeyRule {
    let what = format!("key {:?}", key.name);
    let pem = match (&key.public_key, &key.config_map_ref) {
        (Some(pem), None) => Some(pem.clone()),
        (None, Some(reference)) => {
            let text = config_maps.text(reference);
            if text.is_none() {
                problems.push(missing(&what, reference));
            }
            text
        }
        _ => {
            problems.push(unready(format!(
                "{what} has not exactly one of publicKey and configMapRef"
            )));
            None
        }
    };
    KeyRule {
        name: key.name.clone(),
        pem,
        not_after: key.not_after.as_ref().map(|time| time.0),
    }
}

fn resolve_identity(
    identity: &TrustedIdentity,
    problems: &mut Vec<Problem>,
) -> Option<IdentityRule> {
    let subject = match (&identity.subject, &identity.subject_regex) {
        (Some(subject), None) if !subject.is_empty() => SubjectRule::Exactly(subject.clone()),
        (None, Some(text)) => match Expression::new(text) {
            Ok(expression) => SubjectRule::Expression(expression),
            Err(error) => {
                problems.push(unready(format!("identity {:?}: {error}", identity.name)));
                return None;
            }
        },
        _ => {
            problems.push(unready(format!(
                "identity {:?} has not exactly one of subject and subjectRegex",
                identity.name
            )));
            return None;
        }
    };
    let claims = identity.claims.as_ref();
    Some(IdentityRule {
        name: identity.name.clone(),
        issuer: identity.issuer.clone(),
        subject,
        repository: claims.and_then(|claims| claims.repository.clone()),
        git_ref: claims.and_then(|claims| claims.git_ref.clone()),
    })
}
