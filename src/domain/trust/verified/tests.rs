use serde_json::json;

use super::*;
use crate::domain::trust::{
    ANNOTATION, Formats, LegacySignature, LogRule, Matches, Policy, Problem,
};

/// A policy whose bundles are the name of a signer and the digest of what was signed; no cryptography.
struct Told {
    policy: Policy,
    problems: Vec<Problem>,
}

impl Examiner for Told {
    fn policy(&self) -> &Policy {
        &self.policy
    }

    fn problems(&self) -> &[Problem] {
        &self.problems
    }

    fn ended(&self, now: Timestamp) -> Option<Problem> {
        (now > Timestamp::from_second(1_000_000).unwrap()).then(|| Problem {
            reason: Reason::TrustRootInvalid,
            message: "all authorities have ended".into(),
        })
    }

    fn examine(&self, bundle: &str, message: &[u8], _: Timestamp) -> Examination {
        let (name, digest) = bundle.split_once(' ').unwrap();
        if digest == Digest::of(message).as_str() {
            Examination {
                signers: vec![Signer::Key {
                    fingerprint: Digest::of(name.as_bytes()),
                    name: name.into(),
                }],
                ..Examination::default()
            }
        } else {
            Examination {
                attempts: vec![Attempt::new(Reason::DigestMismatch, "other bytes")],
                ..Examination::default()
            }
        }
    }

    fn examine_statement(&self, _: &str, _: &Digest, _: Timestamp) -> Examination {
        Examination::default()
    }

    fn examine_legacy(&self, _: &LegacySignature, _: &Digest, _: Timestamp) -> Examination {
        Examination::default()
    }
}

fn policy(name: &str, namespaces: &[&str], threshold: usize) -> Told {
    Told {
        policy: Policy {
            name: name.into(),
            generation: Some(3),
            matches: Matches {
                namespaces: Some(namespaces.iter().map(|name| (*name).to_owned()).collect()),
                ..Matches::default()
            },
            keys: vec![],
            identities: vec![],
            root: None,
            log: LogRule::Ignore,
            formats: Formats {
                bundle: true,
                legacy: false,
            },
            threshold,
        },
        problems: vec![],
    }
}

fn document() -> Document {
    Document {
        api_version: "neuralops.io/v1alpha1".into(),
        name: "restart".into(),
        namespace: "shop".into(),
        spec: json!({"revision": 1}),
    }
}

fn signed(by: &[&str], scope: Scope) -> BTreeMap<String, String> {
    let digest = Digest::of(&document().canonical_in(scope).unwrap());
    by.iter()
        .enumerate()
        .map(|(at, name)| {
            let ending = if at == 0 {
                String::new()
            } else {
                format!(".{}", at + 1)
            };
            (format!("{ANNOTATION}{ending}"), format!("{name} {digest}"))
        })
        .collect()
}

fn verify(annotations: &BTreeMap<String, String>, policies: &[Told]) -> Result<Verified, Refusal> {
    verify_playbook(
        &document(),
        annotations,
        policies,
        None,
        Timestamp::UNIX_EPOCH,
    )
}

fn reason(annotations: &BTreeMap<String, String>, policies: &[Told]) -> Reason {
    verify(annotations, policies).unwrap_err().reason
}

#[test]
fn no_policy_no_bundle_and_a_policy_that_is_not_ready_refuse() {
    let good = signed(&["a"], Scope::Namespaced);
    assert_eq!(
        reason(&BTreeMap::new(), &[policy("p", &["*"], 1)]),
        Reason::Unsigned
    );
    assert_eq!(reason(&good, &[]), Reason::NoPolicy);
    assert_eq!(
        reason(&good, &[policy("p", &["other"], 1)]),
        Reason::NoPolicy
    );
    let mut unready = policy("q", &["*"], 1);
    unready.problems.push(Problem {
        reason: Reason::PolicyNotReady,
        message: "a key is missing".into(),
    });
    assert_eq!(
        reason(&good, &[policy("p", &["*"], 1), unready]),
        Reason::PolicyNotReady
    );
}

#[test]
fn a_trusted_playbook_whose_revision_went_back_is_refused_for_that() {
    let policies = [policy("p", &["*"], 1)];
    let now = Timestamp::UNIX_EPOCH;
    for scope in [Scope::Namespaced, Scope::Anywhere] {
        let signed = signed(&["a"], scope);
        let told = |revision, digest| {
            let highest = HighestRevision {
                digest,
                ..HighestRevision::number(revision)
            };
            verify_playbook(&document(), &signed, &policies, Some(&highest), now)
        };
        assert_eq!(told(1, None).unwrap().revision(), 1);
        assert_eq!(told(2, None).unwrap_err().reason, Reason::RevisionTooOld);
        let other = Some(Digest::of(b"other"));
        assert_eq!(told(1, other).unwrap_err().reason, Reason::RevisionReused);
    }
    // What nobody signed is told so first.
    let highest = HighestRevision::number(2);
    let mut altered = document();
    altered.spec = json!({"revision": 1, "timeout": "1m"});
    let signed = signed(&["a"], Scope::Namespaced);
    let refusal = verify_playbook(&altered, &signed, &policies, Some(&highest), now).unwrap_err();
    assert_eq!(refusal.reason, Reason::DigestMismatch);
}

#[test]
fn a_policy_whose_root_has_ended_refuses() {
    let good = signed(&["a"], Scope::Namespaced);
    let policies = [policy("p", &["*"], 1)];
    let late = Timestamp::from_second(1_000_001).unwrap();
    let refusal = verify_playbook(&document(), &good, &policies, None, late).unwrap_err();
    assert_eq!(refusal.reason, Reason::TrustRootInvalid);
}

#[test]
fn every_policy_about_the_object_must_be_satisfied() {
    let two = signed(&["a", "b"], Scope::Namespaced);
    let policies = || [policy("one", &["*"], 1), policy("two", &["shop"], 2)];
    let verified = verify(&two, &policies()).unwrap();
    let names: Vec<_> = verified
        .policies()
        .iter()
        .map(|p| p.name.as_str())
        .collect();
    assert_eq!(names, ["one", "two"]);
    assert_eq!(verified.signers().len(), 2);
    assert_eq!(verified.digest(), &document().digest().unwrap());
    let one = signed(&["a"], Scope::Namespaced);
    let refusal = verify(&one, &policies()).unwrap_err();
    assert_eq!(refusal.reason, Reason::TooFewSigners);
    assert!(
        refusal.message.contains("\"two\"") && !refusal.message.contains("\"one\""),
        "{refusal}"
    );
}

#[test]
fn the_same_signer_twice_is_one() {
    let twice = signed(&["a", "a"], Scope::Namespaced);
    assert_eq!(
        reason(&twice, &[policy("p", &["*"], 2)]),
        Reason::TooFewSigners
    );
}

#[test]
fn a_document_without_its_namespace_is_good_anywhere_and_says_so() {
    let anywhere = signed(&["a"], Scope::Anywhere);
    let verified = verify(&anywhere, &[policy("p", &["*"], 1)]).unwrap();
    assert_eq!(verified.scope(), Scope::Anywhere);
    let elsewhere = Document {
        namespace: "other".into(),
        ..document()
    };
    let policies = [policy("p", &["*"], 1)];
    let now = Timestamp::UNIX_EPOCH;
    assert!(verify_playbook(&elsewhere, &anywhere, &policies, None, now).is_ok());
    let here = signed(&["a"], Scope::Namespaced);
    let refusal = verify_playbook(&elsewhere, &here, &policies, None, now).unwrap_err();
    assert_eq!(refusal.reason, Reason::DigestMismatch);
}

#[test]
fn signers_of_different_bytes_do_not_add_up() {
    let mut mixed = signed(&["a"], Scope::Namespaced);
    let (_, other) = signed(&["b"], Scope::Anywhere).pop_first().unwrap();
    mixed.insert(format!("{ANNOTATION}.2"), other);
    assert_eq!(
        reason(&mixed, &[policy("p", &["*"], 2)]),
        Reason::TooFewSigners
    );
}

#[test]
fn bytes_with_two_meanings_are_never_verified() {
    for spec in [
        json!({"revision": 1.5}),
        json!({"a": null}),
        json!({"a": 9_007_199_254_740_993_u64}),
    ] {
        let document = Document { spec, ..document() };
        let digest = document.digest().unwrap();
        let annotations = BTreeMap::from([(ANNOTATION.to_owned(), format!("a {digest}"))]);
        let policies = [policy("p", &["*"], 1)];
        let refusal = verify_playbook(
            &document,
            &annotations,
            &policies,
            None,
            Timestamp::UNIX_EPOCH,
        )
        .unwrap_err();
        assert_eq!(refusal.reason, Reason::Invalid, "{refusal}");
    }
}

#[test]
fn a_policy_without_bundles_accepts_none() {
    let mut legacy = policy("p", &["*"], 1);
    legacy.policy.formats.bundle = false;
    let good = signed(&["a"], Scope::Namespaced);
    assert_eq!(reason(&good, &[legacy]), Reason::UnsupportedBundle);
}

#[test]
fn a_signature_over_an_object_with_a_source_says_nothing_about_what_runs() {
    let document = Document {
        spec: json!({"revision": 1, "source": {"image": "registry.example/a@sha256:0"}}),
        ..document()
    };
    let digest = document.digest().unwrap();
    let annotations = BTreeMap::from([(ANNOTATION.to_owned(), format!("a {digest}"))]);
    let policies = [policy("p", &["*"], 1)];
    let refusal = verify_playbook(
        &document,
        &annotations,
        &policies,
        None,
        Timestamp::UNIX_EPOCH,
    )
    .unwrap_err();
    assert_eq!(refusal.reason, Reason::SourceNotFetched);
}
