use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::{
    adapters::{kube::policies::StandingPolicy, verify::ConfigMaps},
    api::v1alpha1::{ConfigMapKeyRef, RevisionReset, TrustPolicyStatus},
    domain::{digest::Digest, trust::HighestRevision},
};

const KEY: &str = include_str!("../../../../tests/signing/data/managed-key.pub");
const ROOT: &str = include_str!("../../../../tests/signing/data/public-good-root.json");

struct Root(bool);

impl ConfigMaps for Root {
    fn text(&self, _: &ConfigMapKeyRef) -> Option<String> {
        self.0.then(|| ROOT.to_owned())
    }
}

fn facts(spec: Value, root: bool) -> Facts {
    let spec = serde_json::from_value(spec).unwrap();
    let prepared = PreparedPolicy::new("release", Some(3), &spec, &Root(root));
    let uid = String::from("u");
    Facts {
        standing: Some(Arc::new(StandingPolicy {
            uid: uid.clone(),
            prepared,
        })),
        resets: Ok(vec![]),
        name: "release".into(),
        uid,
        generation: 3,
        recorded: TrustPolicyStatus::default(),
        version: "1".into(),
        now: Timestamp::from_second(1_790_000_000).unwrap(),
    }
}

fn by_key() -> Value {
    json!({"keys": [{"name": "a", "publicKey": KEY}]})
}

fn keyless() -> Value {
    let root = json!({"configMapRef": {"name": "root", "key": "trusted_root.json"}});
    let identity = json!({"name": "ci", "issuer": "https://issuer.example", "subject": "a"});
    json!({"keyless": [identity], "trustedRoot": root})
}

fn codes(facts: &Facts) -> Vec<&'static str> {
    let records = decide(facts).records;
    records.iter().map(|draft| draft.fact.code.code()).collect()
}

fn reset(revision: i64, highest: Option<u64>) -> PendingReset {
    PendingReset {
        id: RecordId::of(&["reset"]),
        reset: RevisionReset {
            playbook: "shop/restart".into(),
            revision,
        },
        highest: highest.map(|revision| HighestRevision {
            digest: Some(Digest::of(b"standing")),
            ..HighestRevision::number(revision)
        }),
    }
}

#[test]
fn a_policy_shows_its_keys_and_its_root() {
    let Ok(Judgement::Read { problems, keys, .. }) = decide(&facts(by_key(), true)).judgement
    else {
        panic!("not read")
    };
    assert_eq!(problems, vec![]);
    assert_eq!(keys[0].algorithm, "ECDSA P-256");
    assert!(keys[0].fingerprint.starts_with("sha256:"));
    let Ok(Judgement::Read { problems, root, .. }) = decide(&facts(keyless(), true)).judgement
    else {
        panic!("not read")
    };
    assert_eq!(problems, vec![]);
    let root = root.unwrap();
    assert!(root.not_before.unwrap().0 < root.not_after.unwrap().0);
}

#[test]
fn what_it_lacks_and_what_has_ended_is_a_problem() {
    let missing = decide(&facts(keyless(), false)).judgement.unwrap();
    assert_eq!(missing.refusal(), Some(Reason::PolicyNotReady));
    let mut late = facts(keyless(), true);
    late.now = Timestamp::from_second(4_000_000_000).unwrap();
    let ended = decide(&late).judgement.unwrap();
    assert_eq!(ended.refusal(), Some(Reason::TrustRootInvalid));
    assert_eq!(codes(&late), ["policy.refused"]);
    // Before that it is looked at again when its time is over.
    let until = decide(&facts(keyless(), true)).until.unwrap();
    assert!(until > facts(keyless(), true).now && until < late.now);
}

#[test]
fn its_transitions_are_recorded_once() {
    let mut facts = facts(by_key(), true);
    assert_eq!(codes(&facts), ["policy.ready"]);
    let done = crate::controllers::trust_policy::Done {
        judgement: decide(&facts).judgement,
        until: None,
    };
    let object = serde_json::from_value(json!({
        "metadata": {"generation": 3}, "spec": by_key(),
    }));
    let object = object.unwrap();
    facts.recorded =
        crate::controllers::trust_policy::status::status(&object, Ok(&done), facts.now);
    assert_eq!(codes(&facts), [""; 0]);
    facts.recorded.keys.as_mut().unwrap()[0].fingerprint = "sha256:other".into();
    assert_eq!(codes(&facts), ["policy.ready"]);
}

#[test]
fn a_revision_is_set_back_only_from_above() {
    let mut facts = facts(by_key(), true);
    facts.resets = Ok(vec![reset(9, Some(14))]);
    let decision = decide(&facts);
    assert_eq!(decision.set_back, 1);
    let fact = &decision.records[1].fact;
    assert_eq!(fact.code, Event::PlaybookReset);
    assert_eq!(
        (fact.playbook.clone(), fact.revision),
        (Some("shop/restart".into()), Some(9))
    );
    assert_eq!(fact.playbook_digest, Some(Digest::of(b"standing")));
    for highest in [None, Some(9), Some(8)] {
        facts.resets = Ok(vec![reset(9, highest)]);
        let decision = decide(&facts);
        assert_eq!(decision.set_back, 0);
        let fact = &decision.records[1].fact;
        assert_eq!(fact.code, Event::PlaybookReset, "it is used up");
        assert_eq!((&fact.playbook, fact.revision), (&None, None));
    }
}

#[test]
fn nothing_is_done_before_it_was_read_and_while_the_log_does_not_answer() {
    let mut facts = facts(by_key(), true);
    facts.resets = Err(ledger::Refusal::unavailable("disk full"));
    assert!(decide(&facts).judgement.is_err());
    facts.resets = Ok(vec![reset(9, Some(14))]);
    facts.standing = None;
    let decision = decide(&facts);
    assert_eq!(decision.judgement.unwrap(), Judgement::Unseen);
    assert!(decision.records.is_empty());
}
