//! Floor 3: the one way to a verified Playbook: the object as the API server holds it now, the policies as they stand, and
//! the highest revision on record. Whoever plans or executes goes through here; what is enough is decided by the domain.

use std::{collections::BTreeMap, sync::Arc};

use futures::FutureExt as _;
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;

use crate::{
    adapters::{
        clock,
        kube::{
            error::chain,
            policies::{Policies, Snapshot},
        },
        ledger::{self, Ledger},
        metrics::Metrics,
        oci::{Fetched, OciError, Shelf},
        verify::PreparedPolicy,
    },
    api::{
        API_VERSION,
        v1alpha1::{PlaybookStatus, RawPlaybook},
    },
    domain::{
        document::{DEEPEST, Document},
        reason::Reason,
        trust::{
            HighestRevision, Image, Refusal, Runnable, Signatures, SignedKind, Verified,
            VerifiedImage, accepts_legacy, can_be_trusted, images_to_verify, source_image,
            verify_image, verify_playbook, verify_sourced,
        },
        verdict::ErrorClass,
    },
};

/// How often it is looked at while policies change under our hands.
const ATTEMPTS: usize = 3;
/// What lies in a registry is looked at again after this, if it was refused: nobody tells us when somebody signs there.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_mins(5);

/// What stands behind a judgement about a Playbook's signatures.
#[derive(Clone, Debug, PartialEq)]
pub struct Examined {
    /// Whether it is trusted; if not, why not and what to do.
    pub verified: Result<Runnable, Refusal>,
    /// The highest revision that is on record under its name.
    pub on_record: Option<HighestRevision>,
    /// When it has to be looked at again, though nobody may have touched anything: somebody is trusted no longer, or may
    /// have signed in a registry.
    pub until: Option<Timestamp>,
}

/// Why it cannot be known now whether a Playbook is trusted.
#[derive(Debug, thiserror::Error)]
pub enum Unknown {
    /// The transparency log does not say which revision is the highest.
    #[error("{0}")]
    Log(ledger::Refusal),
    /// The TrustPolicies are not known, or change again and again while it is looked at.
    #[error("the TrustPolicies are not known now; it is looked at again when they are")]
    Policies,
    /// A registry did not bring what has to be looked at.
    #[error("could not fetch what is signed")]
    Registry(#[source] OciError),
}

/// What is needed to verify a Playbook.
#[derive(Clone)]
pub struct Verification {
    policies: Policies,
    ledger: Ledger,
    shelf: Arc<Shelf>,
    metrics: Arc<Metrics>,
}

/// One question: the policies, the highest revision, and the moment.
struct Question<'a> {
    examiners: Vec<&'a PreparedPolicy>,
    highest: Option<HighestRevision>,
    now: Timestamp,
}

impl Verification {
    /// Under these policies, with the revisions of this log and the artifacts of this shelf.
    pub fn new(
        policies: Policies,
        ledger: Ledger,
        shelf: Arc<Shelf>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            policies,
            ledger,
            shelf,
            metrics,
        }
    }

    /// Whether this Playbook is trusted now. An error means that it cannot be known, and nothing may be done with it.
    pub async fn of(&self, object: &RawPlaybook) -> Result<Examined, Unknown> {
        for _ in 0..ATTEMPTS {
            let policies = self.policies.current().ok_or(Unknown::Policies)?;
            let examined = self.under(object, &policies).await?;
            // A registry may have taken its time, and somebody may not be trusted any more.
            let now = self.policies.current();
            if now.is_some_and(|now| Arc::ptr_eq(&now, &policies)) {
                return Ok(examined);
            }
        }
        Err(Unknown::Policies)
    }

    async fn under(&self, object: &RawPlaybook, policies: &Snapshot) -> Result<Examined, Unknown> {
        let name = format!(
            "{}/{}",
            object.namespace().unwrap_or_default(),
            object.name_any()
        );
        let revisions = revisions(&self.ledger, &name, object.status.as_ref()).await;
        let Revisions { on_record, highest } = revisions.map_err(Unknown::Log)?;
        let question = Question {
            examiners: policies.iter().map(|standing| &standing.prepared).collect(),
            highest,
            now: clock::now(),
        };
        let verified = match document(object) {
            Ok(document) => {
                // Without its type: that of an HTTP client is too deep for whoever spawns the controllers.
                let asked = self.document(&document, object.annotations(), &question);
                asked.boxed().await
            }
            Err(refusal) => Ok(Err(refusal)),
        };
        self.metrics.verification(match &verified {
            Ok(Ok(_)) => Reason::Verified,
            Ok(Err(refusal)) => refusal.reason,
            Err(error) => error.reason(),
        });
        let verified = verified.map_err(Unknown::Registry)?;
        Ok(Examined {
            until: until(&verified, object, &question),
            verified,
            on_record,
        })
    }

    async fn document(
        &self,
        document: &Document,
        annotations: &BTreeMap<String, String>,
        question: &Question<'_>,
    ) -> Result<Result<Runnable, Refusal>, OciError> {
        let Question {
            examiners,
            highest,
            now,
        } = question;
        let verified = match source_image(document) {
            Some(Ok(image)) => self.sourced(document, &image, question).await?,
            Some(Err(refusal)) => Err(refusal),
            None => verify_playbook(document, annotations, examiners, highest.as_ref(), *now),
        };
        let verified = match verified {
            Ok(verified) => verified,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let images = match images_to_verify(verified.document()) {
            Ok(images) => images,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let mut trusted = Vec::with_capacity(images.len());
        for (place, image) in images {
            match self.image(&image, &document.namespace, question).await? {
                Ok(image) => trusted.push(image),
                Err(mut refusal) => {
                    refusal.message = format!("{place}: {}", refusal.message);
                    return Ok(Err(refusal));
                }
            }
        }
        Ok(Runnable::new(verified, trusted))
    }

    /// By what was good before, if it still is; a registry is only asked where a policy that can be used is about it.
    async fn sourced(
        &self,
        document: &Document,
        image: &Image,
        question: &Question<'_>,
    ) -> Result<Result<Verified, Refusal>, OciError> {
        let Question {
            examiners,
            highest,
            now,
        } = question;
        let verify = |fetched: &Fetched| {
            verify_sourced(document, fetched, examiners, highest.as_ref(), *now)
        };
        let kind = SignedKind::Playbook;
        if let Err(refusal) = can_be_trusted(kind, image, &document.namespace, examiners, *now) {
            return Ok(Err(refusal));
        }
        let legacy = accepts_legacy(kind, image, &document.namespace, examiners);
        let kept = self.shelf.kept(image, legacy);
        let before = match kept.as_ref().map(verify) {
            Some(Ok(verified)) => return Ok(Ok(verified)),
            Some(Err(refusal)) => Some(refusal),
            None => None,
        };
        let fetched = self.shelf.fetch(image, legacy).await;
        settled(fetched, before, |fetched| {
            let verified = verify(&fetched)?;
            self.shelf.keep(image, &fetched);
            Ok(verified)
        })
    }

    /// The same for the image of a step.
    async fn image(
        &self,
        image: &Image,
        namespace: &str,
        question: &Question<'_>,
    ) -> Result<Result<VerifiedImage, Refusal>, OciError> {
        let Question { examiners, now, .. } = question;
        let verify =
            |signatures: &Signatures| verify_image(image, namespace, signatures, examiners, *now);
        let kind = SignedKind::Image;
        if let Err(refusal) = can_be_trusted(kind, image, namespace, examiners, *now) {
            return Ok(Err(refusal));
        }
        let kept = self.shelf.kept_signatures(image);
        let before = match kept.as_ref().map(verify) {
            Some(Ok(verified)) => return Ok(Ok(verified)),
            Some(Err(refusal)) => Some(refusal),
            None => None,
        };
        let legacy = accepts_legacy(kind, image, namespace, examiners);
        let found = self.shelf.signatures(image, legacy).await;
        settled(found, before, |found| {
            let verified = verify(&found)?;
            self.shelf.keep_signatures(image, &found);
            Ok(verified)
        })
    }
}

/// What a registry's answer comes to: its fault is not the Playbook's, unless that was refused by what is here already.
fn settled<F, T>(
    fetched: Result<F, OciError>,
    before: Option<Refusal>,
    verify: impl FnOnce(F) -> Result<T, Refusal>,
) -> Result<Result<T, Refusal>, OciError> {
    match (fetched, before) {
        (Ok(fetched), _) => Ok(verify(fetched)),
        (Err(error), Some(mut refusal)) => {
            // The words of the transport would be others each time.
            let note = format!(
                "; its registry could not be asked again: {}",
                error.reason()
            );
            refusal.message.push_str(&note);
            tracing::warn!(error = %chain(&error), "a registry could not be asked again");
            Ok(Err(refusal))
        }
        (Err(error), None) if error.class() == ErrorClass::Permanent => Ok(Err(error.into())),
        (Err(error), None) => Err(error),
    }
}

fn until(
    verified: &Result<Runnable, Refusal>,
    object: &RawPlaybook,
    question: &Question<'_>,
) -> Option<Timestamp> {
    let now = question.now;
    if verified.is_ok() {
        let examiners = question.examiners.iter();
        return examiners.filter_map(|policy| policy.next_end(now)).min();
    }
    let spec = object.spec.as_ref().ok()?;
    let remote = spec.get("source").is_some() || spec.get("imagePolicy").is_some();
    remote.then(|| now.saturating_add(LOOK_AGAIN).unwrap_or(Timestamp::MAX))
}

/// What is known about the revisions of a Playbook.
pub struct Revisions {
    /// The highest one that is on record.
    pub on_record: Option<HighestRevision>,
    /// The highest one that counts.
    pub highest: Option<HighestRevision>,
}

/// Asks the log, and once more where the Playbook's own status tells of more.
pub async fn revisions(
    ledger: &Ledger,
    playbook: &str,
    status: Option<&PlaybookStatus>,
) -> Result<Revisions, ledger::Refusal> {
    let on_record = ledger.highest_revision(playbook).await?;
    let told = status.and_then(|status| status.revision?.try_into().ok());
    let known = match (told, &on_record) {
        (None, _) => true,
        (Some(told), Some(on_record)) if told <= on_record.revision => true,
        (Some(told), _) => ledger.has_known(playbook, told).await?,
    };
    Ok(Revisions {
        highest: HighestRevision::counts(on_record.clone(), told, known),
        on_record,
    })
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
    pub fn verified(document: &Document, trusted: &str) -> Runnable {
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
        let now = Timestamp::UNIX_EPOCH;
        let verified = verify_playbook(document, &annotations, &policies, None, now);
        Runnable::new(verified.unwrap(), vec![]).unwrap()
    }
}
