//! Floor 3, tests: what follows when nobody decided in time: the next set of rules, the signed Playbook's own word, or the end.

use super::*;
use crate::{
    api::{
        conditions::{self, ConditionStatus, ConditionType},
        v1alpha1::OnTimeout,
    },
    controllers::orchestration::{children::Place, gather::Escalation},
};

/// The Gate of this set of rules, as the run would have opened it.
fn of_set(set: u32, state: &str) -> Gate {
    let mut gate = gate(state);
    let run = facts(spec(&json!({})), asked_about(), Look::Settled).run;
    gate.metadata.name = Some(Place::rule_set(set).name(&run, &made(2).digest));
    gate.spec.on_timeout = Some(OnTimeout::Escalate);
    gate
}

fn expired(escalation: Escalation) -> Facts {
    let mut facts = asked("Expired", None);
    facts.look = Look::Asked {
        gate: Some(Box::new(of_set(0, "Expired"))),
        beginning: None,
        escalation: Some(escalation),
    };
    facts.now = at(1010);
    facts
}

/// A plan whose Playbook has so many sets of rules.
fn with_sets(mut made: Made, sets: usize) -> Made {
    made.approval = vec![made.approval[0].clone(); sets];
    for rules in &mut made.approval {
        rules.on_timeout = Some(OnTimeout::Escalate);
    }
    made
}

fn planned(made: Result<Made, Vec<Obstacle>>) -> Facts {
    expired(Escalation::Planned {
        ordinal: 1,
        made: made.map(Box::new),
    })
}

#[test]
fn the_next_set_is_asked_if_there_is_one_and_the_plan_is_the_same() {
    starts(&planned(Ok(with_sets(made(2), 2))), "Asks set 1");
    starts(
        &planned(Ok(with_sets(made(2), 1))),
        "Expired Expired: not enough people approved before the deadline; there is no further set",
    );
    starts(
        &planned(Ok(with_sets(made(3), 2))),
        "Superseded Superseded: nobody decided in time",
    );
    let doubt = Obstacle::unknown(Reason::DryRunUnavailable, "a webhook is away");
    let mut doubtful = planned(Err(vec![doubt]));
    // However long ago the deadline was.
    doubtful.now = at(1000 + 9 * 3600);
    starts(
        &doubtful,
        "Wait Approve DryRunUnavailable: the deadline has passed",
    );
    doubtful = in_doubt(doubtful, 1000 + 8 * 3600 + 1);
    starts(&doubtful, "Wait Approve DryRunUnavailable");
    doubtful.now = at(1000 + 9 * 3600 + 1);
    starts(
        &doubtful,
        "Superseded Superseded: it cannot be planned any more",
    );
    let refused = Obstacle::fail(Reason::AccessDenied, "no");
    starts(&planned(Err(vec![refused])), "Superseded Superseded");
    starts(
        &expired(Escalation::Suspended),
        "Wait Approve Suspended: the deadline has passed",
    );
    let next = of_set(1, "Open");
    let told = format!("Tells of {}", next.metadata.name.clone().unwrap());
    starts(&expired(Escalation::Opened(Box::new(next))), &told);
}

#[test]
fn nobody_else_is_asked_where_the_playbook_or_the_record_does_not_say_so() {
    // The Gate says Escalate, the verified Playbook does not.
    for said in [None, Some(OnTimeout::Reject), Some(OnTimeout::Approve)] {
        let mut made = with_sets(made(2), 2);
        made.approval[0].on_timeout = said;
        starts(
            &planned(Ok(made)),
            "Expired Expired: not enough people approved before the deadline; the signed Playbook",
        );
    }
    // Whoever made it, it is not the run's own.
    let mut foreign = planned(Ok(with_sets(made(2), 2)));
    if let Look::Asked {
        gate: Some(gate), ..
    } = &mut foreign.look
    {
        gate.spec.requested_by = vec!["nobody".into()];
    }
    starts(&foreign, "Failed GateGone");
    let second = |records: &[(Event, Option<&str>)], state| {
        let mut facts = asked(state, None);
        facts.history = Ok(history(records));
        facts.look = Look::Asked {
            gate: Some(Box::new(of_set(1, state))),
            beginning: None,
            escalation: None,
        };
        facts
    };
    let asked = [(Event::RunRequested, None), (Event::RunPlanned, None)];
    let next = [&asked[..], &[(Event::RunEscalated, None)]].concat();
    for state in ["Open", "Rejected", "Expired"] {
        starts(&second(&asked, state), "Failed GateGone");
    }
    starts(&second(&next, "Open"), "Wait Approve AwaitingApproval");
}

#[test]
fn that_others_are_asked_is_on_record_with_the_gate_that_expired() {
    let facts = planned(Ok(with_sets(made(2), 2)));
    let Decision::Escalate(escalate) = decide(&facts) else {
        panic!("it escalates");
    };
    let Next::Asks {
        record,
        requested_by,
        ..
    } = escalate.next
    else {
        panic!("it asks");
    };
    assert_eq!(record.fact.code, Event::RunEscalated);
    assert_eq!(record.fact.gate, Some("g-uid".into()));
    assert_eq!(record.fact.plan_digest, Some(made(2).digest));
    assert_eq!(requested_by, ["alice"]);
}

/// Approved by a policy, as its status says.
fn lapsed() -> Gate {
    let mut gate = of_set(0, "Approved");
    gate.spec.on_timeout = Some(OnTimeout::Approve);
    let (kind, status) = (ConditionType::Approved, ConditionStatus::True);
    let draft = conditions::Draft::new(kind, status, Reason::ApprovedByPolicy, "");
    let conditions = conditions::merge(&[], vec![draft], Some(1), at(1000));
    gate.status.as_mut().unwrap().conditions = Some(conditions);
    gate
}

#[test]
fn what_a_policy_approved_begins_only_if_the_verified_playbook_says_so() {
    let begins = |on_timeout| {
        let mut beginning = whole();
        let mut made = made(2);
        made.approval[0].on_timeout = on_timeout;
        beginning.made = Some(Ok(made));
        let mut facts = asked("Approved", None);
        // It says what the Playbook says; that the deadline approved it, somebody else has written.
        let mut gate = lapsed();
        gate.spec.on_timeout = Some(on_timeout.unwrap_or(OnTimeout::Reject));
        facts.look = Look::Asked {
            gate: Some(Box::new(gate)),
            beginning: Some(Box::new(beginning)),
            escalation: None,
        };
        facts
    };
    starts(&begins(Some(OnTimeout::Approve)), "Begin ApprovedByPolicy");
    for other in [None, Some(OnTimeout::Reject), Some(OnTimeout::Escalate)] {
        starts(&begins(other), "Superseded Superseded: the signed Playbook");
    }
    let mut voted = begins(Some(OnTimeout::Approve));
    let mut gate = of_set(0, "Approved");
    gate.spec.on_timeout = Some(OnTimeout::Reject);
    voted.look = Look::Asked {
        gate: Some(Box::new(gate)),
        beginning: Some(Box::new(whole())),
        escalation: None,
    };
    starts(&voted, "Begin Approved");
}
