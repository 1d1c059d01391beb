//! Floor 3, tests: what a settled Gate, or nobody who need be asked, lets a run do.

use super::*;
use crate::{
    api::conditions::{self, ConditionStatus, ConditionType},
    ports::{Limit, Limited},
};

#[test]
fn a_settled_gate_ends_the_run_or_begins_it() {
    let open = format!(
        "Wait Approve AwaitingApproval: Gate {} waits for 2 of oncall and owner until 1970-01-01T00:16:40Z",
        gate_name(&made(2).digest)
    );
    for (state, expected) in [
        ("Open", open.as_str()),
        ("Rejected", "Rejected Rejected: rejected by bob"),
        ("Expired", "Expired Expired"),
        ("Superseded", "Superseded Superseded"),
        ("Cancelled", "Cancelled Cancelled"),
    ] {
        starts(&asked(state, None), expected);
    }
    starts(&asked("Approved", Some(whole())), "Begin");
    let mut gone = asked("Open", None);
    gone.look = Look::Asked {
        gate: None,
        beginning: None,
        escalation: None,
    };
    starts(&gone, "Failed GateGone");
}

#[test]
fn a_gate_that_the_run_did_not_open_is_not_believed() {
    let alter = |state: &str, alter: &dyn Fn(&mut Gate)| {
        let mut facts = asked(state, (state == "Approved").then(whole));
        if let Look::Asked {
            gate: Some(gate), ..
        } = &mut facts.look
        {
            alter(gate);
        }
        facts
    };
    let others: [&dyn Fn(&mut Gate); 5] = [
        &|gate| gate.metadata.owner_references = None,
        &|gate| gate.metadata.owner_references.as_mut().unwrap()[0].uid = "another".into(),
        &|gate| gate.spec.subject.uid = "another".into(),
        &|gate| gate.spec.subject.plan_digest = made(3).digest.to_string(),
        &|gate| gate.spec.requested_by = vec!["nobody".into()],
    ];
    for (number, other) in others.iter().enumerate() {
        for state in ["Open", "Approved", "Rejected"] {
            let facts = alter(state, other);
            assert!(
                told(&decide(&facts))
                    .starts_with("Failed GateGone: the Gate that its status names"),
                "{number} {state}: {}",
                told(&decide(&facts))
            );
        }
    }
    // Whose rules they are is known once the Playbook was read again.
    let rules: [&dyn Fn(&mut Gate); 4] = [
        &|gate| gate.spec.rules[0].min = 1,
        &|gate| gate.spec.rules.truncate(1),
        &|gate| gate.spec.on_timeout = Some(crate::api::v1alpha1::OnTimeout::Approve),
        &|gate| gate.metadata.name = Some("another".into()),
    ];
    for other in rules {
        starts(&alter("Approved", other), "Failed GateGone");
    }
    starts(&alter("Approved", &|_| {}), "Begin");
}

#[test]
fn the_gate_of_the_second_set_of_rules_asks_by_the_second_set() {
    let second = |rules: Value| {
        let mut beginning = whole();
        let mut made = made(2);
        made.approval
            .push(serde_json::from_value(json!({"rules": rules})).unwrap());
        beginning.made = Some(Ok(made));
        let mut facts = asked("Approved", Some(beginning));
        facts.history = Ok(history(&[
            (Event::RunRequested, None),
            (Event::RunPlanned, None),
            (Event::RunEscalated, None),
        ]));
        if let Look::Asked {
            gate: Some(gate), ..
        } = &mut facts.look
        {
            let run = facts.run.clone();
            let digest = Digest::try_from(gate.spec.subject.plan_digest.clone()).unwrap();
            gate.metadata.name = Some(names::child(&run, "Gate", "", 1, &digest));
        }
        facts
    };
    starts(&second(self::rules()), "Begin");
    starts(
        &second(json!([{"role": "lead", "min": 1}])),
        "Failed GateGone",
    );
}

fn other() -> crate::ports::RunKey {
    crate::ports::RunKey {
        uid: "other".into(),
        namespace: "shop".into(),
        name: "other".into(),
    }
}

#[test]
fn nothing_begins_that_is_not_exactly_what_was_approved() {
    let not = |alter: &dyn Fn(&mut Beginning), expected: &str| {
        let mut beginning = whole();
        alter(&mut beginning);
        starts(&asked("Approved", Some(beginning)), expected);
    };
    not(
        &|b| b.made = Some(Ok(made(3))),
        "Superseded Superseded: what was approved is not what would run now",
    );
    not(
        &|b| b.recount = Some(Err("votes".into())),
        "Superseded Superseded: the approval does not hold any more: votes",
    );
    not(
        &|b| b.release_distrusted = Some("who".into()),
        "Wait Approve RequesterUnknown: who",
    );
    not(
        &|b| b.frozen = vec![freeze()],
        "Wait Approve Frozen: Freeze f by carol stops it",
    );
    not(
        &|b| {
            b.successor = Some(other());
        },
        "Wait Approve IncidentTaken: approved; run other has taken its place",
    );
    // Nobody calls it when that one is suspended in its turn.
    let mut taken = whole();
    taken.successor = Some(other());
    match decide(&asked("Approved", Some(taken))) {
        Decision::Wait(wait) => assert!(wait.after.is_some()),
        other => panic!("{other:?}"),
    }
    not(&|b| b.made = None, "Wait Approve Running");
    let fail = || Obstacle::fail(Reason::AccessDenied, "why");
    not(
        &|b| b.made = Some(Err(vec![fail()])),
        "Superseded Superseded: it cannot be planned any more",
    );
    let unknown = || Obstacle::unknown(Reason::KindUnknown, "why");
    not(
        &|b| b.made = Some(Err(vec![unknown()])),
        "Wait Approve KindUnknown: approved; planned again",
    );
}

#[test]
fn who_stands_in_line_hears_of_another_limit_and_not_of_another_run() {
    let behind = |limit: Limit, allowed, name: &str, until: Option<i64>| Limited {
        limit,
        allowed,
        by: crate::ports::RunKey {
            uid: name.into(),
            namespace: "shop".into(),
            name: name.into(),
        },
        until: until.map(at),
    };
    let mut facts = asked("Approved", None);
    let mut tells = |found: &Limited| {
        let message = limited(&facts, found).message;
        let (kind, status) = (ConditionType::Reconciling, ConditionStatus::True);
        let draft = conditions::Draft::new(kind, status, Reason::LimitReached, &message);
        facts.status.conditions = Some(conditions::merge(&[], vec![draft], Some(1), at(1)));
        message
    };
    let first = tells(&behind(Limit::Playbook, 2, "one", None));
    assert!(first.contains("run one goes first"), "{first}");
    assert_eq!(tells(&behind(Limit::Playbook, 2, "two", None)), first);
    let raised = tells(&behind(Limit::Playbook, 3, "two", None));
    assert!(raised.contains("run two goes first"), "{raised}");
    let other = tells(&behind(Limit::Namespace, 3, "three", None));
    assert!(other.contains("run three goes first"), "{other}");
    let hourly = || Limit::TargetHour("d".into());
    let until = tells(&behind(hourly(), 1, "four", Some(60)));
    assert!(until.contains("run four is an hour old at"), "{until}");
    assert_eq!(tells(&behind(hourly(), 1, "five", None)), until);
    let later = tells(&behind(hourly(), 1, "five", Some(90)));
    assert!(later.contains("run five is an hour old at"), "{later}");
}

#[test]
fn what_was_approved_long_ago_has_an_hour_from_the_first_doubt() {
    let doubt = || Obstacle::unknown(Reason::DryRunUnavailable, "a webhook is away");
    let long_ago = || {
        let beginning = Beginning {
            made: Some(Err(vec![doubt()])),
            ..whole()
        };
        let mut facts = asked("Approved", Some(beginning));
        facts.status = serde_json::from_value(json!({"stage": "Approve", "conditions": [
            {"type": "Approved", "status": "True", "reason": "Approved", "message": "", "lastTransitionTime": "1970-01-01T00:01:40Z"},
        ]}))
        .unwrap();
        facts.now = at(100 + 9 * 3600);
        facts
    };
    let Decision::Wait(wait) = decide(&long_ago()) else {
        panic!("it waits");
    };
    let soon = Some(Duration::from_secs(2));
    assert_eq!((wait.doubt, wait.approved, wait.after), (true, true, soon));
    let since = |second| in_doubt(long_ago(), second);
    starts(
        &since(101 + 8 * 3600),
        "Wait Approve DryRunUnavailable: approved; planned again",
    );
    starts(
        &since(100 + 8 * 3600),
        "Superseded Superseded: it cannot be planned any more",
    );
}

#[test]
fn an_approved_run_waits_for_its_own_people() {
    let mut facts = asked("Approved", None);
    facts.spec = spec(&json!({"suspend": true, "start": "OnRelease"}));
    starts(&facts, "Wait Approve Suspended");
    facts.spec = spec(&json!({"start": "OnRelease"}));
    starts(&facts, "Wait Approve AwaitingRelease");
    facts.status = serde_json::from_value(json!({"stage": "Approve", "conditions": [
        {"type": "Approved", "status": "True", "reason": "Approved", "message": "", "lastTransitionTime": "1970-01-01T00:01:40Z"},
    ]}))
    .unwrap();
    facts.now = at(100 + 24 * 3600);
    starts(&facts, "Expired AwaitingRelease");
    assert_eq!(
        waits_for_people(&spec(&json!({"start": "OnRelease", "releasedBy": "carol"}))),
        None
    );
}

#[test]
fn what_somebody_suggested_now_or_on_record_is_asked_about() {
    let mut suggested = planning(Opening::Planned(Ok(Box::new(made(2)))));
    suggested.spec = spec(&json!({"mode": "Auto"}));
    suggested.auto = Some(Ok("true".to_owned()));
    let mut recorded = planning(Opening::Planned(Ok(Box::new(made(2)))));
    recorded.spec = suggested.spec.clone();
    recorded.auto = suggested.auto.clone();
    suggested.author = Some("bob".to_owned());
    let mut told = asked_about();
    told.author = Some("bob".to_owned());
    recorded.history = Ok(told);
    for found in [suggested, recorded] {
        let Decision::Ask(ask) = decide(&found) else {
            panic!("people are asked");
        };
        let mut codes = ask.records.iter().map(|record| record.fact.code);
        assert!(codes.all(|code| code != Event::RunAllowed));
        let why = ask.auto.unwrap().unwrap_err();
        assert!(why.contains("what bob suggested"), "{why}");
    }
}

#[test]
fn mode_auto_begins_by_what_is_on_record_and_else_people_are_asked() {
    let codes = |records: &[Draft]| -> Vec<Event> {
        records.iter().map(|record| record.fact.code).collect()
    };
    let mut found = planning(Opening::Planned(Ok(Box::new(made(2)))));
    found.spec = spec(&json!({"mode": "Auto"}));
    found.auto = Some(Ok("incident.severity == 'warning'".to_owned()));
    let Decision::Ask(ask) = decide(&found) else {
        panic!("it is planned");
    };
    let wanted = [Event::RunRequested, Event::RunPlanned, Event::RunAllowed];
    assert_eq!(codes(&ask.records), wanted);
    found.auto = Some(Err("why".to_owned()));
    let Decision::Ask(ask) = decide(&found) else {
        panic!("people are asked");
    };
    assert_eq!(codes(&ask.records), wanted[..2]);

    let on_record = || history(&wanted.map(|code| (code, None)));
    let allowed = |beginning| {
        let spec = spec(&json!({"mode": "Auto"}));
        decide(&facts(spec, on_record(), Look::Allowed { beginning }))
    };
    let Decision::Begin(begin) = allowed(Some(Box::new(whole()))) else {
        panic!("it begins");
    };
    let fact = &begin.record.fact;
    assert_eq!(
        fact.outcome.as_ref().map(|word| word.as_str()),
        Some("Auto")
    );
    assert!(fact.gate.is_none() && fact.cause.is_some() && fact.playbook_digest.is_some());
    let other = Beginning {
        made: Some(Ok(made(1))),
        ..whole()
    };
    let Decision::Finish(end) = allowed(Some(Box::new(other))) else {
        panic!("it is superseded");
    };
    assert_eq!(end.outcome, Outcome::Superseded);
    let freeze = Beginning {
        frozen: vec![Frozen::of("f", "carol", "why", "uid")],
        ..whole()
    };
    assert!(matches!(allowed(Some(Box::new(freeze))), Decision::Wait(_)));
}
