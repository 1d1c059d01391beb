use serde_json::json;

use super::*;
use crate::{adapters::ledger, domain::trust::Problem};

fn object(status: Option<TrustPolicyStatus>) -> TrustPolicy {
    let mut object: TrustPolicy =
        serde_json::from_value(json!({"metadata": {"generation": 3}, "spec": {}})).unwrap();
    object.status = status;
    object
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn done(judgement: Result<Judgement, ledger::Refusal>) -> Done {
    Done {
        judgement,
        until: None,
    }
}

fn read(problems: Vec<Problem>) -> Judgement {
    Judgement::Read {
        problems,
        keys: vec![],
        root: None,
        identities: 2,
        threshold: 1,
    }
}

fn missing() -> Problem {
    Problem {
        reason: Reason::PolicyNotReady,
        message: "a key is missing".into(),
    }
}

fn ready(status: &TrustPolicyStatus) -> (&str, &str) {
    let mut conditions = status.conditions.iter().flatten();
    let ready = conditions
        .find(|condition| condition.type_ == "Ready")
        .unwrap();
    (&ready.status, &ready.reason)
}

#[test]
fn it_is_ready_or_says_what_it_lacks() {
    let good = status(&object(None), Ok(&done(Ok(read(vec![])))), at(1));
    assert_eq!(ready(&good), ("True", "Valid"));
    let bad = status(
        &object(Some(good)),
        Ok(&done(Ok(read(vec![missing()])))),
        at(2),
    );
    assert_eq!(ready(&bad), ("False", "PolicyNotReady"));
    let again = status(
        &object(Some(bad.clone())),
        Ok(&done(Ok(read(vec![missing()])))),
        at(9),
    );
    assert_eq!(bad, again);
}

#[test]
fn what_is_not_seen_yet_changes_nothing_that_was_told() {
    let first = status(&object(None), Ok(&done(Ok(Judgement::Unseen))), at(1));
    assert_eq!(ready(&first), ("Unknown", "CacheNotFilled"));
    assert_eq!(first.observed_generation, None);
    let good = status(&object(None), Ok(&done(Ok(read(vec![])))), at(1));
    let later = status(
        &object(Some(good.clone())),
        Ok(&done(Ok(Judgement::Unseen))),
        at(2),
    );
    assert_eq!(good, later);
}

#[test]
fn what_is_not_on_record_is_not_told() {
    let refusal = ledger::Refusal::unavailable("disk full");
    let told = status(&object(None), Ok(&done(Err(refusal))), at(1));
    assert_eq!(ready(&told), ("Unknown", "AuditUnavailable"));
}
