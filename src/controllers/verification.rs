//! Floor 3: the one way to a verified Playbook: the object as the API server holds it now, the policies as they stand, and
//! the highest revision on record. Whoever plans or executes goes through here; what is enough is decided by the domain.

use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt as _;

use crate::{
    adapters::{
        clock,
        kube::policies::Policies,
        ledger::{self, Ledger},
        metrics::Metrics,
        verify::PreparedPolicy,
    },
    api::{API_VERSION, v1alpha1::RawPlaybook},
    domain::{
        document::{DEEPEST, Document},
        reason::Reason,
        trust::{HighestRevision, Refusal, Verified, verify_playbook},
    },
};

/// What stands behind a judgement about a Playbook's signatures.
#[derive(Clone, Debug, PartialEq)]
pub struct Examined {
    /// Whether it is trusted; if not, why not and what to do.
    pub verified: Result<Verified, Refusal>,
    /// The highest revision that is on record under its name.
    pub on_record: Option<HighestRevision>,
    /// When somebody is trusted less than now, without anybody's doing.
    pub next_end: Option<Timestamp>,
}

/// What is needed to verify a Playbook.
#[derive(Clone)]
pub struct Verification {
    policies: Policies,
    ledger: Ledger,
    metrics: Arc<Metrics>,
}

impl Verification {
    /// Under these policies, with the revisions of this log.
    pub fn new(policies: Policies, ledger: Ledger, metrics: Arc<Metrics>) -> Self {
        Self {
            policies,
            ledger,
            metrics,
        }
    }

    /// Whether this Playbook is trusted now. An error means that it cannot be known, because the log does not answer.
    pub async fn of(&self, object: &RawPlaybook) -> Result<Examined, ledger::Refusal> {
        let name = format!(
            "{}/{}",
            object.namespace().unwrap_or_default(),
            object.name_any()
        );
        let on_record = self.ledger.highest_revision(&name).await?;
        let told = object.status.as_ref().and_then(|status| status.revision);
        let highest = highest(on_record.as_ref(), told);
        let now = clock::now();
        let Some(policies) = self.policies.current() else {
            let message =
                "the TrustPolicies have not been listed yet; it is looked at again when they have";
            return Ok(Examined {
                verified: Err(Refusal::new(Reason::CacheNotFilled, message)),
                on_record,
                next_end: None,
            });
        };
        let examiners: Vec<&PreparedPolicy> =
            policies.iter().map(|standing| &standing.prepared).collect();
        let verified = document(object).and_then(|document| {
            let annotations = object.annotations();
            verify_playbook(&document, annotations, &examiners, highest.as_ref(), now)
        });
        let came_of_it = verified
            .as_ref()
            .map_or_else(|refusal| refusal.reason, |_| Reason::Verified);
        self.metrics.verification(came_of_it);
        let ends = examiners.iter().filter_map(|policy| policy.next_end(now));
        Ok(Examined {
            verified,
            on_record,
            next_end: ends.min(),
        })
    }
}

/// The document of a Playbook, from its raw spec.
pub fn document(object: &RawPlaybook) -> Result<Document, Refusal> {
    let spec = object.spec.clone().map_err(|error| {
        let message =
            format!("spec: {error}: nested deeper than {DEEPEST} levels? make it flatter");
        Refusal::new(Reason::Invalid, message)
    })?;
    Ok(Document {
        api_version: API_VERSION.to_owned(),
        name: object.name_any(),
        namespace: object.namespace().unwrap_or_default(),
        spec,
    })
}

/// The log's word counts, unless it knows of less than the status tells: then the store was put back to an earlier state.
/// A revision that was set back is known by its number alone, and is meant to be lower.
fn highest(on_record: Option<&HighestRevision>, told: Option<i64>) -> Option<HighestRevision> {
    let told = told.and_then(|revision| u64::try_from(revision).ok());
    let by_number = |revision| HighestRevision {
        revision,
        digest: None,
    };
    match (on_record, told) {
        (Some(on_record), Some(told))
            if on_record.digest.is_some() && on_record.revision < told =>
        {
            Some(by_number(told))
        }
        (Some(on_record), _) => Some(on_record.clone()),
        (None, told) => told.map(by_number),
    }
}

/// Verified Playbooks for the tests of the controllers: signed by whoever the bundle names.
#[cfg(test)]
pub mod made {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::*;
    use crate::domain::{
        digest::Digest,
        trust::{
            ANNOTATION, Examination, Examiner, Formats, KeyRule, LegacySignature, LogRule, Matches,
            Policy, Problem, Signer,
        },
    };

    /// Believes every bundle; no cryptography.
    struct Credulous(Policy);

    impl Examiner for Credulous {
        fn policy(&self) -> &Policy {
            &self.0
        }

        fn problems(&self) -> &[Problem] {
            &[]
        }

        fn ended(&self, _: Timestamp) -> Option<Problem> {
            None
        }

        fn examine(&self, bundle: &str, _: &[u8], _: Timestamp) -> Examination {
            Examination {
                signers: vec![Signer::Key {
                    fingerprint: Digest::of(bundle.as_bytes()),
                    name: bundle.to_owned(),
                }],
                ..Examination::default()
            }
        }

        fn examine_statement(&self, bundle: &str, _: &Digest, now: Timestamp) -> Examination {
            self.examine(bundle, &[], now)
        }

        fn examine_legacy(&self, _: &LegacySignature, _: &Digest, _: Timestamp) -> Examination {
            Examination::default()
        }
    }

    pub fn spec(revision: u64) -> Value {
        json!({
            "revision": revision, "serviceAccountName": "s",
            "approval": [{"rules": [{"role": "oncall", "min": 1}]}],
            "steps": [{"name": "w", "wait": {"duration": "1s"}}],
        })
    }

    pub fn playbook(spec: Value) -> Document {
        Document {
            api_version: API_VERSION.into(),
            name: "p".into(),
            namespace: "n".into(),
            spec,
        }
    }

    /// Under a policy that trusts this key.
    pub fn verified(document: &Document, trusted: &str) -> Verified {
        let policy = Policy {
            name: "release".into(),
            generation: Some(2),
            matches: Matches::default(),
            keys: vec![KeyRule {
                name: "a".into(),
                pem: Some(trusted.into()),
                not_after: None,
            }],
            identities: vec![],
            root: None,
            log: LogRule::Ignore,
            formats: Formats {
                bundle: true,
                legacy: false,
            },
            threshold: 1,
        };
        let annotations = BTreeMap::from([(ANNOTATION.to_owned(), "alice".to_owned())]);
        let policies = [Credulous(policy)];
        verify_playbook(
            document,
            &annotations,
            &policies,
            None,
            Timestamp::UNIX_EPOCH,
        )
        .unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::digest::Digest;

    #[test]
    fn the_status_remembers_what_the_log_has_lost_and_a_reset_lowers_it() {
        let accepted = |revision| HighestRevision {
            revision,
            digest: Some(Digest::of(b"x")),
        };
        let by_number = |revision| HighestRevision {
            revision,
            digest: None,
        };
        assert_eq!(highest(None, None), None);
        assert_eq!(highest(None, Some(7)), Some(by_number(7)));
        assert_eq!(highest(Some(&accepted(7)), None), Some(accepted(7)));
        assert_eq!(highest(Some(&accepted(7)), Some(7)), Some(accepted(7)));
        assert_eq!(highest(Some(&accepted(8)), Some(7)), Some(accepted(8)));
        assert_eq!(highest(Some(&accepted(3)), Some(7)), Some(by_number(7)));
        assert_eq!(highest(Some(&by_number(3)), Some(7)), Some(by_number(3)));
    }
}
