use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::json;

use super::*;
use crate::{
    adapters::ledger,
    controllers::verification::made::{playbook, spec, verified},
};

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

fn done(judgement: Judgement) -> Done {
    Done {
        judgement: Ok(judgement),
        until: None,
    }
}

fn good(revision: u64) -> Judgement {
    let document = playbook(spec(revision));
    Judgement {
        digest: document.digest().ok(),
        rules: Ok(vec![]),
        signatures: Ok(verified(&document, "key")),
        suspended: false,
    }
}

fn unsigned() -> Judgement {
    Judgement {
        signatures: Err(Refusal::new(Reason::Unsigned, "sign it")),
        ..good(1)
    }
}

fn condition<'a>(status: &'a PlaybookStatus, kind: &str) -> Option<(&'a str, &'a str)> {
    let mut conditions = status.conditions.iter().flatten();
    let found = conditions.find(|condition| condition.type_ == kind);
    found.map(|found| (found.status.as_str(), found.reason.as_str()))
}

fn message<'a>(status: &'a PlaybookStatus, kind: &str) -> &'a str {
    let mut conditions = status.conditions.iter().flatten();
    &conditions
        .find(|condition| condition.type_ == kind)
        .unwrap()
        .message
}

#[test]
fn a_valid_and_signed_playbook_is_ready_and_says_by_whom() {
    let status = status(&object(None), Ok(&done(good(7))), at(1));
    assert_eq!(condition(&status, "Ready"), Some(("True", "Verified")));
    assert_eq!(condition(&status, "Valid"), Some(("True", "Valid")));
    assert_eq!(
        condition(&status, "SignatureVerified"),
        Some(("True", "Verified"))
    );
    assert_eq!(condition(&status, "Stalled"), None);
    assert_eq!(status.observed_generation, Some(3));
    assert_eq!(status.revision, Some(7));
    let signers = status.signers.as_ref().unwrap();
    assert_eq!(
        (signers[0].name.as_str(), signers[0].policy.as_str()),
        ("alice", "release")
    );
    let policies = status.trust_policies.as_ref().unwrap();
    assert_eq!(
        (policies[0].name.as_str(), policies[0].generation),
        ("release", 2)
    );
    let told = message(&status, "SignatureVerified");
    assert!(told.contains("key \"alice\" (sha256:"), "{told}");
    assert!(told.contains("TrustPolicy \"release\""), "{told}");
}

#[test]
fn a_second_pass_says_the_very_same() {
    for judgement in [good(1), unsigned()] {
        let first = status(&object(None), Ok(&done(judgement.clone())), at(1));
        let second = status(&object(Some(first.clone())), Ok(&done(judgement)), at(99));
        assert_eq!(first, second);
    }
}

#[test]
fn what_is_not_signed_is_not_ready_and_keeps_its_highest_revision() {
    let known = status(&object(None), Ok(&done(good(7))), at(1));
    let told = status(&object(Some(known)), Ok(&done(unsigned())), at(2));
    assert_eq!(condition(&told, "Ready"), Some(("False", "Unsigned")));
    assert_eq!(
        condition(&told, "SignatureVerified"),
        Some(("False", "Unsigned"))
    );
    assert_eq!(condition(&told, "Valid"), Some(("True", "Valid")));
    assert_eq!(condition(&told, "Stalled"), Some(("True", "Unsigned")));
    assert_eq!(told.revision, Some(7));
    assert_eq!(told.signers, None);
    assert_eq!(told.trust_policies, None);
}

#[test]
fn a_suspended_one_is_verified_and_not_ready() {
    let suspended = Judgement {
        suspended: true,
        ..good(1)
    };
    let told = status(&object(None), Ok(&done(suspended)), at(1));
    assert_eq!(condition(&told, "Ready"), Some(("False", "Suspended")));
    assert_eq!(
        condition(&told, "SignatureVerified"),
        Some(("True", "Verified"))
    );
}

#[test]
fn a_rule_that_is_broken_comes_first_and_its_signature_is_told_all_the_same() {
    let broken = Judgement {
        rules: Err(Refusal::new(Reason::Invalid, "spec.x: no")),
        ..good(7)
    };
    let told = status(&object(None), Ok(&done(broken)), at(1));
    assert_eq!(condition(&told, "Ready"), Some(("False", "Invalid")));
    assert_eq!(condition(&told, "Stalled"), Some(("True", "Invalid")));
    assert_eq!(condition(&told, "Valid"), Some(("False", "Invalid")));
    assert_eq!(
        condition(&told, "SignatureVerified"),
        Some(("True", "Verified"))
    );
    assert_eq!(told.revision, None, "it was not accepted");
}

#[test]
fn a_failure_is_told_and_keeps_what_is_known() {
    let known = status(&object(None), Ok(&done(good(1))), at(1));
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
fn what_is_not_on_record_is_not_told() {
    let known = status(&object(None), Ok(&done(good(1))), at(1));
    let unrecorded = Done {
        judgement: Err(ledger::Refusal::unavailable("disk full")),
        until: None,
    };
    let told = status(&object(Some(known.clone())), Ok(&unrecorded), at(2));
    assert_eq!(told.digest, known.digest);
    assert_eq!(
        condition(&told, "Ready"),
        Some(("Unknown", "AuditUnavailable"))
    );
    // Of a newer version nothing is known, and nothing of the old one passes for it.
    let mut newer = object(Some(known.clone()));
    newer.metadata.generation = Some(4);
    let told = status(&newer, Ok(&unrecorded), at(2));
    assert_eq!(told.observed_generation, Some(3));
    assert_eq!(
        condition(&told, "SignatureVerified"),
        Some(("Unknown", "AuditUnavailable"))
    );
    let told = status(&object(Some(known.clone())), Ok(&unrecorded), at(2));
    assert_eq!(
        condition(&told, "SignatureVerified"),
        Some(("True", "Verified"))
    );
    assert_eq!(condition(&told, "Valid"), Some(("True", "Valid")));
}
