//! Floor 3, tests: what settles a Gate, what is news about an open one, and what is recorded first.

use serde_json::json;

use super::*;
use crate::{
    api::conditions::{self, ConditionStatus},
    domain::gate::{Evidence, Ignored, Progress, Vote},
};

pub(in super::super) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

pub(in super::super) fn gate() -> Gate {
    let gate = json!({
        "apiVersion": "neuralops.io/v1alpha1", "kind": "Gate",
        "metadata": {"name": "g", "namespace": "shop", "uid": "u", "generation": 1, "creationTimestamp": "1970-01-01T00:01:40Z"},
        "spec": {"subject": {"uid": "s", "planDigest": format!("sha256:{}", "0".repeat(64))}, "rules": [{"role": "oncall", "min": 2}],
                 "requestedBy": ["rita"], "deadline": "1970-01-01T00:16:40Z"},
        "status": {"state": "Open", "observedGeneration": -1},
    });
    serde_json::from_value(gate).unwrap()
}

pub(in super::super) fn approval(user: &str) -> Counted {
    let vote = Vote {
        name: format!("d-{user}"),
        uid: format!("uid-{user}"),
        gate: "u".into(),
        plan_digest: "p".into(),
        user: user.into(),
        groups: Vec::new(),
        voted: Voted::Approve,
        order: 1,
        created: at(200),
        evidence: Evidence::ApiServer,
    };
    Counted {
        vote,
        place: Some("oncall".into()),
    }
}

pub(in super::super) fn tally(outcome: Outcome, users: &[&str]) -> Tally {
    let met = users.len();
    Tally {
        outcome,
        rules: vec![Progress {
            role: "oncall".into(),
            met,
            missing: 2 - met,
        }],
        counted: users.iter().map(|user| approval(user)).collect(),
        ignored: Vec::new(),
    }
}

fn found(gate: Gate, tally: Tally, guard_missing: bool) -> Decision {
    let count = Count {
        tally,
        guard_missing,
    };
    decide(&Facts {
        gate,
        now: at(300),
        found: Found::Counted(count),
    })
}

/// What an open Gate's status says after this decision.
fn told(mut gate: Gate, decision: Decision) -> Gate {
    let Decision::Show(shown, until) = decision else {
        panic!("{decision:?}");
    };
    let done = super::super::Done::Shown(shown, until);
    gate.status = Some(super::super::status::status(&gate, Ok(&done), at(300)));
    gate
}

fn ignored(why: Why) -> Ignored {
    Ignored {
        vote: approval("mallory").vote,
        why,
    }
}

#[test]
fn each_end_has_its_state_its_word_and_its_record() {
    let cases = [
        (
            Outcome::Approved,
            GateState::Approved,
            "gate.approved",
            "approved by alice (oncall), bob (oncall)",
            2,
        ),
        (
            Outcome::Expired,
            GateState::Expired,
            "gate.expired",
            "the deadline, 1970-01-01T00:16:40Z, has passed; missing: ",
            0,
        ),
    ];
    for (outcome, state, code, message, decisions) in cases {
        let Decision::Settle(end) = found(gate(), tally(outcome, &["alice", "bob"]), false) else {
            panic!("{outcome:?} settles");
        };
        let fact = &end.record.fact;
        assert_eq!(
            (end.state, fact.code.code(), end.message.as_str()),
            (state, code, message)
        );
        assert_eq!(
            fact.outcome.as_ref().map(Name::as_str),
            Some(end.reason.as_str())
        );
        assert_eq!(fact.gate.as_ref().map(Name::as_str), Some("u"));
        assert!(fact.plan_digest.is_some());
        assert_eq!(fact.decisions.len(), decisions);
        assert_eq!(end.record.details.as_deref(), Some(message));
        assert_eq!(end.waited, Duration::from_secs(200));
    }
}

#[test]
fn a_rejection_names_who_rejected_and_nobody_else() {
    let mut all = tally(Outcome::Rejected, &["alice"]);
    let mut no = approval("carol");
    (no.vote.voted, no.place) = (Voted::Reject, None);
    all.counted.insert(0, no);
    let Decision::Settle(end) = found(gate(), all, false) else {
        panic!("it settles");
    };
    assert_eq!(end.message, "rejected by carol");
    assert_eq!(end.record.fact.decisions, ["uid-carol".into()]);
}

#[test]
fn the_same_end_by_the_same_votes_is_one_record_and_by_others_another() {
    let id = |users: &[&str]| match found(gate(), tally(Outcome::Approved, users), false) {
        Decision::Settle(end) => end.record.fact.id,
        other => panic!("{other:?}"),
    };
    assert_eq!(id(&["alice", "bob"]), id(&["alice", "bob"]));
    assert_ne!(id(&["alice", "bob"]), id(&["alice", "carol"]));
}

#[test]
fn a_deadline_that_others_are_asked_after_is_an_end_that_says_so() {
    let mut gate = gate();
    gate.spec.on_timeout = Some(OnTimeout::Escalate);
    let Decision::Settle(end) = found(gate, tally(Outcome::Expired, &[]), false) else {
        panic!("it settles");
    };
    assert_eq!(end.state, GateState::Expired);
    assert!(
        end.message
            .ends_with("whoever opened it asks the next set of rules, if there is one"),
        "{}",
        end.message
    );
}

/// What the deadline comes to of a Gate that says Approve.
fn lapsed(policy: Result<Digest, String>) -> Box<Settlement> {
    let mut gate = gate();
    gate.spec.on_timeout = Some(OnTimeout::Approve);
    let count = Count {
        tally: tally(Outcome::Expired, &["alice"]),
        guard_missing: false,
    };
    let decision = decide(&Facts {
        gate,
        now: at(1300),
        found: Found::Lapsed { count, policy },
    });
    let Decision::Settle(end) = decision else {
        panic!("{decision:?}");
    };
    end
}

#[test]
fn what_a_policy_approves_is_its_own_act_on_record() {
    let playbook = Digest::of(b"playbook");
    let end = lapsed(Ok(playbook.clone()));
    assert_eq!(
        (end.state, end.reason),
        (GateState::Approved, Reason::ApprovedByPolicy)
    );
    let fact = &end.record.fact;
    assert_eq!(fact.code, Event::GateAllowed);
    assert_eq!(fact.actor, Actor::policy(&playbook));
    assert_eq!(fact.playbook_digest, Some(playbook));
    assert_eq!(fact.decisions, ["uid-alice".into()]);
    assert!(
        end.message.contains("nobody was against it"),
        "{}",
        end.message
    );
}

#[test]
fn a_deadline_that_no_policy_approves_is_an_end() {
    let end = lapsed(Err("the Gate stands alone".to_owned()));
    assert_eq!(
        (end.state, end.reason),
        (GateState::Expired, Reason::Expired)
    );
    assert_eq!(end.record.fact.code, Event::GateExpired);
    assert!(end.record.fact.decisions.is_empty());
    assert!(
        end.message
            .ends_with("onTimeout Approve is taken as Reject: the Gate stands alone"),
        "{}",
        end.message
    );
}

#[test]
fn a_settled_gate_and_one_without_votes_are_left_alone() {
    let settled = decide(&Facts {
        gate: gate(),
        now: at(1),
        found: Found::Settled,
    });
    assert!(matches!(settled, Decision::Settled), "{settled:?}");
    let unvoted = decide(&Facts {
        gate: gate(),
        now: at(1),
        found: Found::Unvoted,
    });
    assert!(
        matches!(unvoted, Decision::Open(Some(until)) if until == at(1000)),
        "{unvoted:?}"
    );
}

#[test]
fn only_a_vote_that_counts_is_news() {
    let mut refused = tally(Outcome::Open, &[]);
    refused.ignored.push(ignored(Why::NoRole));
    let nothing = found(gate(), refused.clone(), false);
    assert!(matches!(nothing, Decision::Open(_)), "{nothing:?}");

    let mut first = tally(Outcome::Open, &["alice"]);
    let shown = told(gate(), found(gate(), first.clone(), false));
    let conditions = shown.status.as_ref().unwrap().conditions.as_ref().unwrap();
    assert_eq!(conditions[0].message, "missing: 1 of oncall");
    let again = found(shown.clone(), first.clone(), false);
    assert!(matches!(again, Decision::Open(_)), "{again:?}");
    first.ignored.push(ignored(Why::NoRole));
    let refused = found(shown.clone(), first, false);
    assert!(matches!(refused, Decision::Open(_)), "{refused:?}");
    let taken_back = found(shown, tally(Outcome::Open, &[]), false);
    assert!(matches!(taken_back, Decision::Show(..)), "{taken_back:?}");
}

#[test]
fn a_guard_in_the_way_of_a_vote_is_news_and_so_is_its_return() {
    let mut distrusted = tally(Outcome::Open, &[]);
    distrusted.ignored.push(ignored(Why::Distrusted));
    let missing = told(gate(), found(gate(), distrusted.clone(), true));
    assert_eq!(said(&missing), Some("AdmissionGuardMissing"));
    let again = found(missing.clone(), distrusted.clone(), true);
    assert!(matches!(again, Decision::Open(_)), "{again:?}");
    let back = told(missing.clone(), found(missing, distrusted.clone(), false));
    assert_eq!(said(&back), Some("AwaitingApproval"));
    let message = &back.status.as_ref().unwrap().conditions.as_ref().unwrap()[0].message;
    assert!(
        message.contains(
            "not counted: the approval of mallory: the admission guard was not known to be whole"
        ),
        "{message}"
    );
    let first = found(gate(), distrusted, false);
    assert!(matches!(first, Decision::Show(..)), "{first:?}");
}

#[test]
fn what_was_said_of_a_failure_is_taken_back() {
    let mut gate = gate();
    let failed = conditions::Draft::new(
        ConditionType::Ready,
        ConditionStatus::Unknown,
        Reason::TimedOut,
        "",
    );
    let conditions = conditions::merge(&[], vec![failed], Some(1), at(1));
    gate.status.as_mut().unwrap().conditions = Some(conditions);
    let decision = found(gate, tally(Outcome::Open, &[]), false);
    assert!(matches!(decision, Decision::Show(..)), "{decision:?}");
}

#[test]
fn a_message_tells_of_few_votes_that_do_not_count() {
    let mut tally = tally(Outcome::Open, &["alice"]);
    tally.ignored = vec![ignored(Why::NoRole); 20];
    tally.ignored.push(ignored(Why::Older));
    let text = others(&tally);
    assert_eq!(text.matches("mallory").count(), TOLD);
    assert!(text.ends_with("; and 12 more"), "{text}");
}
