//! Floor 3: what a Playbook's status says. Pure; the only place that builds its conditions.

use k8s_openapi::jiff::Timestamp;

use super::{Done, Judgement};
use crate::{
    adapters::ledger::Refusal,
    api::{
        conditions::{self, ConditionStatus, ConditionType, Draft},
        v1alpha1::{PlaybookStatus, RawPlaybook},
    },
    controllers::harness::Failure,
    domain::{reason::Reason, verdict::ErrorClass},
};

pub(super) fn status(
    object: &RawPlaybook,
    pass: Result<&Done, &Failure>,
    now: Timestamp,
) -> PlaybookStatus {
    let before = object.status.clone().unwrap_or_default();
    let generation = object.metadata.generation;
    let standing = before.conditions.as_deref().unwrap_or_default();
    let amended = |drafts| conditions::amend(standing, drafts, generation, now);
    let (digest, conditions) = match pass {
        Ok(Done {
            unrecorded: Some(refusal),
            ..
        }) => (before.digest.clone(), amended(unrecorded(refusal))),
        Ok(Done { judgement, .. }) => (
            judgement.digest().map(ToString::to_string),
            conditions::merge(standing, judged(judgement), generation, now),
        ),
        Err(failure) => (before.digest.clone(), amended(failed(failure))),
    };
    PlaybookStatus {
        observed_generation: generation,
        digest,
        conditions: Some(conditions),
        ..before
    }
}

const UNVERIFIED: &str = "this operator cannot verify signatures yet, so nobody vouches for this document and no run may use it";

const UNRECORDED: &str = "the transparency log cannot be written now, and nothing is told that is not on record; the operator's readiness says why";

fn accepted(warnings: &[String], suspended: bool) -> Vec<Draft> {
    let valid = if warnings.is_empty() {
        "the document keeps all rules".to_owned()
    } else {
        format!(
            "the document keeps all rules; look at: {}",
            warnings.join("; ")
        )
    };
    let ready = if suspended {
        Draft::new(
            ConditionType::Ready,
            ConditionStatus::False,
            Reason::Suspended,
            "the annotation neuralops.io/suspend forbids new runs",
        )
    } else {
        Draft::new(
            ConditionType::Ready,
            ConditionStatus::False,
            Reason::VerifierMissing,
            UNVERIFIED,
        )
    };
    vec![
        ready,
        Draft::new(
            ConditionType::Valid,
            ConditionStatus::True,
            Reason::Valid,
            valid,
        ),
        Draft::new(
            ConditionType::SignatureVerified,
            ConditionStatus::Unknown,
            Reason::VerifierMissing,
            UNVERIFIED,
        ),
    ]
}

fn refused(reason: Reason, message: &str) -> Vec<Draft> {
    vec![
        Draft::new(
            ConditionType::Ready,
            ConditionStatus::False,
            reason,
            message,
        ),
        Draft::new(
            ConditionType::Stalled,
            ConditionStatus::True,
            reason,
            message,
        ),
        Draft::new(
            ConditionType::Valid,
            ConditionStatus::False,
            reason,
            message,
        ),
        Draft::new(
            ConditionType::SignatureVerified,
            ConditionStatus::Unknown,
            Reason::VerifierMissing,
            UNVERIFIED,
        ),
    ]
}

fn judged(judgement: &Judgement) -> Vec<Draft> {
    match judgement {
        Judgement::Accept {
            warnings,
            suspended,
            ..
        } => accepted(warnings, *suspended),
        Judgement::Refuse {
            reason, message, ..
        } => refused(*reason, message),
    }
}

/// Nothing is told that is not on record; what was told before stands.
fn unrecorded(refusal: &Refusal) -> Vec<Draft> {
    // One sentence for whatever comes and goes: it would be written again and again otherwise.
    let message = if refusal.reason == Reason::AuditUnavailable {
        UNRECORDED
    } else {
        &refusal.message
    };
    let said = |kind, status| Draft::new(kind, status, refusal.reason, message);
    vec![
        said(ConditionType::Ready, ConditionStatus::Unknown),
        said(ConditionType::Reconciling, ConditionStatus::True),
    ]
}

fn failed(failure: &Failure) -> Vec<Draft> {
    let again = match failure.class {
        ErrorClass::Transient | ErrorClass::Bug => ConditionType::Reconciling,
        ErrorClass::Permanent => ConditionType::Stalled,
    };
    vec![
        Draft::new(
            ConditionType::Ready,
            ConditionStatus::Unknown,
            failure.reason,
            failure.message.as_str(),
        ),
        Draft::new(
            again,
            ConditionStatus::True,
            failure.reason,
            failure.message.as_str(),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
    use serde_json::json;

    use super::*;
    use crate::domain::digest::Digest;

    fn object(status: Option<PlaybookStatus>) -> RawPlaybook {
        RawPlaybook {
            metadata: ObjectMeta {
                generation: Some(3),
                ..ObjectMeta::default()
            },
            spec: Ok(json!({})),
            status,
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn accept() -> Done {
        Done {
            judgement: Judgement::Accept {
                digest: Digest::of(b"x"),
                warnings: vec![],
                suspended: false,
            },
            unrecorded: None,
        }
    }

    fn condition<'a>(status: &'a PlaybookStatus, kind: &str) -> Option<(&'a str, &'a str)> {
        status
            .conditions
            .iter()
            .flatten()
            .find(|c| c.type_ == kind)
            .map(|c| (c.status.as_str(), c.reason.as_str()))
    }

    #[test]
    fn a_valid_playbook_is_not_ready_while_nobody_can_verify_it() {
        let status = status(&object(None), Ok(&accept()), at(1));
        assert_eq!(
            condition(&status, "Ready"),
            Some(("False", "VerifierMissing"))
        );
        assert_eq!(condition(&status, "Valid"), Some(("True", "Valid")));
        assert_eq!(
            condition(&status, "SignatureVerified"),
            Some(("Unknown", "VerifierMissing"))
        );
        assert_eq!(condition(&status, "Stalled"), None);
        assert_eq!(status.observed_generation, Some(3));
    }

    #[test]
    fn a_second_pass_says_the_very_same() {
        let first = status(&object(None), Ok(&accept()), at(1));
        let second = status(&object(Some(first.clone())), Ok(&accept()), at(99));
        assert_eq!(first, second);
    }

    #[test]
    fn a_failure_is_told_and_keeps_what_is_known() {
        let known = status(&object(None), Ok(&accept()), at(1));
        let failure = Failure {
            class: ErrorClass::Transient,
            reason: Reason::ApiServerUnavailable,
            message: "no answer".into(),
        };
        let told = status(&object(Some(known.clone())), Err(&failure), at(2));
        assert_eq!(
            condition(&told, "Ready"),
            Some(("Unknown", "ApiServerUnavailable"))
        );
        assert_eq!(
            condition(&told, "Reconciling"),
            Some(("True", "ApiServerUnavailable"))
        );
        assert_eq!(told.digest, known.digest);
    }

    #[test]
    fn a_refusal_is_stalled() {
        let done = Done {
            judgement: Judgement::Refuse {
                reason: Reason::Invalid,
                message: "spec.x: no".into(),
                digest: None,
            },
            unrecorded: None,
        };
        let status = status(&object(None), Ok(&done), at(1));
        assert_eq!(condition(&status, "Stalled"), Some(("True", "Invalid")));
        assert_eq!(condition(&status, "Valid"), Some(("False", "Invalid")));
    }

    #[test]
    fn what_is_not_on_record_is_not_told() {
        let known = status(&object(None), Ok(&accept()), at(1));
        let mut done = accept();
        done.judgement = Judgement::Accept {
            digest: Digest::of(b"y"),
            warnings: vec![],
            suspended: false,
        };
        done.unrecorded = Some(Refusal::unavailable("disk full"));
        let told = status(&object(Some(known.clone())), Ok(&done), at(2));
        assert_eq!(told.digest, known.digest);
        assert_eq!(
            condition(&told, "Ready"),
            Some(("Unknown", "AuditUnavailable"))
        );
        assert_eq!(condition(&told, "Valid"), Some(("True", "Valid")));
    }
}
