use serde_json::{Value, json};

use super::*;
use crate::controllers::{
    playbook::gather::Recorded,
    verification::made::{playbook, spec, verified},
};
use crate::domain::trust::HighestRevision;

fn facts(spec: Value) -> Facts {
    Facts {
        document: Ok(playbook(spec)),
        examined: Ok(Examined {
            verified: Err(Refusal::new(Reason::Unsigned, "no signature")),
            on_record: None,
            until: None,
        }),
        suspended: false,
        namespace: "n".into(),
        name: "p".into(),
        uid: "u".into(),
        generation: 1,
        version: "1".into(),
        recorded: Recorded::default(),
    }
}

/// The same, with a signature that is good under a policy with this key.
fn signed(mut facts: Facts, trusted: &str) -> Facts {
    let document = facts.document.clone().unwrap();
    let examined = facts.examined.as_mut().unwrap();
    examined.verified = Ok(verified(&document, trusted));
    facts
}

fn judgement(facts: &Facts) -> Judgement {
    decide(facts).judgement.unwrap()
}

fn codes(facts: &Facts) -> Vec<&'static str> {
    let records = decide(facts).records;
    records.iter().map(|draft| draft.fact.code.code()).collect()
}

fn ids(facts: &Facts) -> Vec<RecordId> {
    decide(facts)
        .records
        .iter()
        .map(|draft| draft.fact.id)
        .collect()
}

/// The revision that the records settle.
fn settled(facts: &Facts) -> Option<u64> {
    let records = decide(facts).records;
    let mut settling = records.iter().filter(|draft| draft.fact.playbook.is_some());
    let revision = settling.next().and_then(|draft| draft.fact.revision);
    assert!(settling.next().is_none());
    revision
}

/// What status and log say after the pass that these facts lead to.
fn settle(facts: &mut Facts) {
    let decision = decide(facts);
    let judgement = decision.judgement.unwrap();
    let trusted = judgement.signatures.as_ref().ok();
    facts.recorded = Recorded {
        digest: judgement.digest.clone(),
        outcome: Some(
            judgement
                .refusal()
                .unwrap_or(Reason::Verified)
                .as_str()
                .to_owned(),
        ),
        generation: facts.generation,
        policies: trusted.map(policies).unwrap_or_default(),
        signers: trusted.map(signers).unwrap_or_default(),
    };
    facts.version = format!("{}1", facts.version);
    let settling = decision
        .records
        .iter()
        .find(|draft| draft.fact.playbook.is_some());
    if let Some(draft) = settling {
        facts.examined.as_mut().unwrap().on_record = Some(HighestRevision {
            digest: draft.fact.playbook_digest.clone(),
            ..HighestRevision::number(draft.fact.revision.unwrap())
        });
    }
}

#[test]
fn a_good_and_signed_one_is_accepted_with_its_digest_its_revision_and_its_signers() {
    let facts = signed(facts(spec(7)), "key");
    let judgement = judgement(&facts);
    assert_eq!(judgement.refusal(), None);
    assert_eq!(judgement.rules, Ok(vec![]));
    assert_eq!(
        judgement.digest,
        facts.document.as_ref().unwrap().digest().ok()
    );
    let records = decide(&facts).records;
    let accepted = &records[0];
    assert_eq!(accepted.fact.code, Event::PlaybookAccepted);
    assert_eq!(accepted.fact.playbook, Some("n/p".into()));
    assert_eq!(accepted.fact.revision, Some(7));
    assert!(accepted.fact.policy_digest.is_some());
    let details = accepted.details.as_deref().unwrap();
    assert!(details.starts_with("signed by key \"alice\""), "{details}");
}

#[test]
fn an_unsigned_one_is_refused_and_settles_no_revision() {
    let facts = facts(spec(7));
    assert_eq!(judgement(&facts).refusal(), Some(Reason::Unsigned));
    assert_eq!(codes(&facts), ["playbook.refused"]);
    assert_eq!(settled(&facts), None);
}

#[test]
fn a_signed_one_that_breaks_a_rule_is_refused_for_that() {
    let mut bad = spec(7);
    bad["description"] = json!("$(params.x)");
    let facts = signed(facts(bad), "key");
    let judgement = judgement(&facts);
    assert_eq!(judgement.refusal(), Some(Reason::Invalid));
    let message = judgement.rules.unwrap_err().message;
    assert!(message.starts_with("spec.description: "), "{message}");
    assert!(judgement.digest.is_some());
    assert_eq!(codes(&facts), ["playbook.refused"]);
    assert_eq!(settled(&facts), None);
}

#[test]
fn many_findings_are_cut_with_their_number() {
    let mut spec = spec(1);
    let bad = json!({"name": "w", "wait": {"duration": "$(x"}});
    spec["steps"] = json!(vec![bad; 20]);
    for (n, step) in spec["steps"].as_array_mut().unwrap().iter_mut().enumerate() {
        step["name"] = json!(format!("w{n}"));
    }
    let message = judgement(&facts(spec)).rules.unwrap_err().message;
    assert!(message.contains("and 8 more"), "{message}");
}

#[test]
fn what_fits_no_kind_is_named() {
    let mut spec = spec(1);
    spec["steps"][0] = json!({"name": 7, "wait": {"duration": "1s"}});
    assert_eq!(judgement(&facts(spec)).refusal(), Some(Reason::Undecodable));
}

#[test]
fn each_transition_is_recorded_once_and_a_settled_playbook_not_at_all() {
    let mut facts = signed(facts(spec(1)), "key");
    assert_eq!(codes(&facts), ["playbook.accepted"]);
    assert_eq!(ids(&facts), ids(&facts));
    settle(&mut facts);
    assert_eq!(codes(&facts), [""; 0]);
    let first = facts.document.clone();

    facts.document = Ok(playbook(spec(2)));
    facts.generation = 2;
    let mut facts = signed(facts, "key");
    assert_eq!(codes(&facts), ["playbook.changed", "playbook.accepted"]);
    assert_eq!(settled(&facts), Some(2));
    let second = ids(&facts);
    settle(&mut facts);

    // Its policy is changed, and the signature is still good.
    let mut facts = signed(facts, "another key");
    assert_eq!(codes(&facts), ["playbook.accepted"]);
    settle(&mut facts);
    assert_eq!(codes(&facts), [""; 0]);

    facts.document.as_mut().unwrap().spec["description"] = json!("$(params.x)");
    facts.examined.as_mut().unwrap().verified =
        Err(Refusal::new(Reason::DigestMismatch, "other bytes"));
    facts.generation = 3;
    assert_eq!(codes(&facts), ["playbook.changed", "playbook.refused"]);
    settle(&mut facts);

    // Back to what it was: another transition, under other ids.
    facts.document = first;
    facts.generation = 4;
    let facts = signed(facts, "another key");
    assert_eq!(codes(&facts), ["playbook.changed", "playbook.accepted"]);
    assert!(ids(&facts).iter().all(|id| !second.contains(id)));
}

#[test]
fn a_playbook_that_is_refused_for_another_reason_is_recorded_again() {
    let mut facts = facts(spec(1));
    assert_eq!(codes(&facts), ["playbook.refused"]);
    settle(&mut facts);
    assert_eq!(codes(&facts), [""; 0]);
    facts.examined.as_mut().unwrap().verified = Err(Refusal::new(Reason::NoPolicy, "no policy"));
    assert_eq!(codes(&facts), ["playbook.refused"]);
}

#[test]
fn a_signature_for_any_namespace_is_no_other_document() {
    let mut facts = signed(facts(spec(1)), "key");
    settle(&mut facts);
    let anywhere = facts
        .document
        .as_ref()
        .unwrap()
        .canonical_in(Scope::Anywhere);
    facts.recorded.digest = Some(Digest::of(&anywhere.unwrap()));
    assert_eq!(codes(&facts), [""; 0]);
}

#[test]
fn a_revision_that_was_set_back_stands_until_another_document_comes() {
    let mut facts = signed(facts(spec(14)), "key");
    settle(&mut facts);
    let set_back = HighestRevision {
        instead_of: facts.document.as_ref().unwrap().digest().ok(),
        ..HighestRevision::number(9)
    };
    facts.examined.as_mut().unwrap().on_record = Some(set_back);
    assert_eq!(codes(&facts), [""; 0], "the one that is there is settled");
    // Accepted again because trust has changed: it must not undo the reset.
    let mut facts = signed(facts, "another key");
    assert_eq!(codes(&facts), ["playbook.accepted"]);
    assert_eq!(settled(&facts), None);
    settle(&mut facts);

    facts.document = Ok(playbook(spec(9)));
    let facts = signed(facts, "another key");
    assert_eq!(settled(&facts), Some(9));
}

#[test]
fn a_revision_that_the_log_has_lost_is_recorded_again() {
    let mut facts = signed(facts(spec(7)), "key");
    settle(&mut facts);
    facts.examined.as_mut().unwrap().on_record = None;
    assert_eq!(codes(&facts), ["playbook.accepted"]);
    assert_eq!(settled(&facts), Some(7));
}

#[test]
fn nothing_is_judged_while_the_log_is_not_there() {
    let mut facts = signed(facts(spec(7)), "key");
    facts.examined = Err(ledger::Refusal::unavailable("disk full"));
    let decision = decide(&facts);
    assert!(decision.judgement.is_err());
    assert!(decision.records.is_empty());
}

/// Refused at first, so that the status tells of it, and accepted after the reset that was made for it.
#[test]
fn a_document_that_waited_for_the_reset_settles_its_revision() {
    let mut facts = facts(spec(2));
    settle(&mut facts);
    facts.examined.as_mut().unwrap().on_record = Some(HighestRevision {
        instead_of: Some(Digest::of(b"revision 3")),
        ..HighestRevision::number(1)
    });
    let facts = signed(facts, "key");
    assert_eq!(settled(&facts), Some(2));
}

/// An id that came again would be taken for the record that stands there already.
#[test]
fn going_there_and_back_without_another_generation_is_recorded_each_time() {
    let mut seen = Vec::new();
    let mut facts = signed(facts(spec(1)), "first");
    for trusted in ["second", "first", "second", "first"] {
        settle(&mut facts);
        facts = signed(facts, trusted);
        assert_eq!(codes(&facts), ["playbook.accepted"]);
        assert!(ids(&facts).iter().all(|id| !seen.contains(id)));
        seen.extend(ids(&facts));
    }
}
