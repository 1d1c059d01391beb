//! Floor 3, tests: the conditions of each end, and that nothing is written where there is nothing to say.

use super::{
    super::{
        Decision, Facts, Found,
        decide::{
            decide,
            tests::{at, gate, tally},
        },
    },
    *,
};
use crate::{
    adapters::ledger::Refusal,
    controllers::{counting::Count, settling},
    domain::{gate::Outcome, reason::Reason, verdict::ErrorClass},
};

fn said(status: &GateStatus) -> Vec<(&str, &str, &str)> {
    let conditions = status.conditions.iter().flatten();
    conditions
        .map(|c| (c.type_.as_str(), c.status.as_str(), c.reason.as_str()))
        .collect()
}

fn ended(outcome: Outcome) -> GateStatus {
    let count = Count {
        tally: tally(outcome, &["alice", "bob"]),
        guard_missing: false,
    };
    let facts = Facts {
        gate: gate(),
        now: at(300),
        found: Found::Counted(count),
    };
    let Decision::Settle(end) = decide(&facts) else {
        panic!("{outcome:?} settles");
    };
    status(&gate(), Ok(&Done::Ended(end)), at(300))
}

#[test]
fn a_settled_gate_is_ready_and_says_how() {
    let cases = [
        (
            Outcome::Approved,
            "True",
            "False",
            "Approved",
            GateState::Approved,
        ),
        (
            Outcome::Rejected,
            "False",
            "True",
            "Rejected",
            GateState::Rejected,
        ),
        (
            Outcome::Expired,
            "False",
            "True",
            "Expired",
            GateState::Expired,
        ),
    ];
    for (outcome, approved, rejected, reason, state) in cases {
        let status = ended(outcome);
        assert_eq!(
            said(&status),
            [
                ("Ready", "True", reason),
                ("Approved", approved, reason),
                ("Rejected", rejected, reason)
            ]
        );
        assert_eq!(
            (status.state, status.observed_generation),
            (Some(state), Some(1))
        );
    }
    for state in [GateState::Superseded, GateState::Cancelled] {
        let status = settling::settled(&gate(), state, Reason::Superseded, "", at(1));
        assert_eq!(
            said(&status),
            [
                ("Ready", "True", "Superseded"),
                ("Approved", "False", "Superseded"),
                ("Rejected", "False", "Superseded")
            ]
        );
        assert_eq!(status.state, Some(state));
    }
}

#[test]
fn rules_and_votes_stand_in_it() {
    let status = ended(Outcome::Approved);
    let rules = status.rules.unwrap();
    assert_eq!(
        (rules[0].role.as_str(), rules[0].met, rules[0].missing),
        ("oncall", 2, 0)
    );
    let votes = status.decisions.unwrap();
    let votes: Vec<_> = votes
        .iter()
        .map(|v| (v.user.as_str(), v.verdict, v.uid.as_deref()))
        .collect();
    assert_eq!(
        votes,
        [
            ("alice", CountedVerdict::Approve, Some("uid-alice")),
            ("bob", CountedVerdict::Approve, Some("uid-bob"))
        ]
    );
}

#[test]
fn where_there_is_nothing_to_say_the_status_stays() {
    let gate = gate();
    for done in [Done::Settled, Done::Open(None)] {
        assert_eq!(Some(status(&gate, Ok(&done), at(300))), gate.status);
    }
    let mut settled = gate.clone();
    settled.status = Some(ended(Outcome::Approved));
    let failure = Failure {
        class: ErrorClass::Transient,
        reason: Reason::TimedOut,
        message: String::new(),
    };
    let untold = Done::Untold(Refusal::unavailable("no disk"));
    assert_eq!(
        Some(status(&settled, Err(&failure), at(400))),
        settled.status
    );
    assert_eq!(Some(status(&settled, Ok(&untold), at(400))), settled.status);
}

#[test]
fn what_cannot_be_told_leaves_what_was_said_and_never_settles() {
    let untold = Done::Untold(Refusal::unavailable("no disk"));
    let status = status(&gate(), Ok(&untold), at(400));
    assert_eq!(
        said(&status),
        [
            ("Ready", "Unknown", "AuditUnavailable"),
            ("Reconciling", "True", "AuditUnavailable")
        ]
    );
    assert_eq!(
        (status.state, status.observed_generation),
        (Some(GateState::Open), Some(-1))
    );
}
