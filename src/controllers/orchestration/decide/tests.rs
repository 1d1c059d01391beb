//! Floor 3, tests: what follows from where a run stands and what was found.

mod anything;
mod deadlines;
mod midway;
mod retiring;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    super::gather::{Beginning, Opening, Working},
    *,
};
use crate::domain::{
    audit::{
        event::Event,
        record::{Actor, Fact, Record, RecordId, VERSION},
    },
    digest::Digest,
    names,
    plan::RunRef,
};

pub(in super::super) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

pub(in super::super) fn spec(more: &Value) -> OrchestrationSpec {
    let mut spec = json!({
        "incident": {"summary": "checkout crash loops"}, "playbookRef": {"name": "heal"}, "requestedBy": "alice",
    });
    for (name, value) in more.as_object().unwrap() {
        spec[name] = value.clone();
    }
    serde_json::from_value(spec).unwrap()
}

pub(in super::super) fn made(steps: usize) -> Made {
    let steps: Vec<Value> = (0..steps)
        .map(|number| {
            let target = json!({
                "apiVersion": "apps/v1", "kind": "Deployment", "resource": "deployments", "namespace": "shop",
                "name": format!("{}{number}", "n".repeat(200)), "uid": "t", "access": "Writes",
            });
            json!({
                "name": format!("s{number}"), "kind": "scale", "coverage": "ServerDryRun", "timeout": 1000, "retries": 0,
                "targets": [target], "effect": {}, "changes": [], "undo": {"by": "restore"},
            })
        })
        .collect();
    let digest = Digest::of(b"of something");
    let plan: Plan = serde_json::from_value(json!({
        "v": 1, "run": {"namespace": "shop", "name": "r", "uid": "u"},
        "playbook": {"name": "heal", "digest": digest, "revision": 1}, "policyDigest": digest,
        "serviceAccount": "runbook", "parameters": {}, "timeout": 60_000, "steps": steps,
    }))
    .unwrap();
    let bytes = plan.to_bytes().unwrap();
    let rules = json!({"rules": rules()});
    Made {
        digest: Digest::of(&bytes),
        plan,
        bytes,
        steps: Vec::new(),
        approval: vec![serde_json::from_value(rules).unwrap()],
        limits: crate::ports::Limits::default(),
        auto: None,
        seen: Vec::new(),
    }
}

fn rules() -> Value {
    json!([{"role": "oncall", "min": 2}, {"role": "owner", "min": 1}])
}

fn gate_name(digest: &Digest) -> String {
    names::child(&made(2).plan.run, "Gate", "", 0, digest)
}

pub(in super::super) fn gate(state: &str) -> Gate {
    let digest = made(2).digest;
    let owner = json!({
        "apiVersion": "neuralops.io/v1alpha1", "kind": "Orchestration", "name": "r", "uid": "u", "controller": true,
    });
    let counted =
        json!([{"user": "bob", "verdict": if state == "Rejected" { "Reject" } else { "Approve" }}]);
    let gate = json!({
        "apiVersion": "neuralops.io/v1alpha1", "kind": "Gate",
        "metadata": {"name": gate_name(&digest), "namespace": "shop", "uid": "g-uid", "ownerReferences": [owner]},
        "spec": {"subject": {"uid": "u", "planDigest": digest}, "rules": rules(),
                 "requestedBy": ["alice"], "deadline": "1970-01-01T00:16:40Z", "onTimeout": "Reject"},
        "status": {"state": state, "observedGeneration": 1, "decisions": counted},
    });
    serde_json::from_value(gate).unwrap()
}

/// The records of a run, a second after another from 100 on.
pub(in super::super) fn history(records: &[(Event, Option<&str>)]) -> History {
    let records: Vec<Record> = records
        .iter()
        .zip(100..)
        .map(|((event, step), second)| {
            let id = RecordId::of(&["a", event.code()]);
            let mut fact = Fact::new(id, *event, Actor::operator("c")).outcome(Reason::Succeeded);
            fact.plan_digest = Some(made(2).digest);
            fact.step = step.map(Into::into);
            fact.attempt = step.map(|_| 1);
            Record {
                v: VERSION,
                time: at(second),
                epoch: 1,
                late: None,
                fact,
            }
        })
        .collect();
    History::of((7..).zip(&records))
}

pub(in super::super) fn asked_about() -> History {
    history(&[(Event::RunRequested, None), (Event::RunPlanned, None)])
}

pub(in super::super) fn begun(steps: &[(Event, Option<&str>)]) -> History {
    let first = [
        (Event::RunRequested, None),
        (Event::RunPlanned, None),
        (Event::RunStarted, None),
    ];
    history(&[&first[..], steps].concat())
}

pub(in super::super) fn facts(spec: OrchestrationSpec, history: History, look: Look) -> Facts {
    Facts {
        now: at(110),
        run: RunRef {
            namespace: "shop".into(),
            name: "r".into(),
            uid: "u".into(),
        },
        generation: 1,
        version: "7".to_owned(),
        too_many: false,
        created: at(100),
        spec,
        status: OrchestrationStatus::default(),
        history: Ok(history),
        joins: None,
        author: None,
        auto: None,
        gates: Vec::new(),
        look,
    }
}

pub(in super::super) fn planning(opening: Opening) -> Facts {
    facts(
        spec(&json!({})),
        History::default(),
        Look::Planning(Box::new(opening)),
    )
}

fn asked(state: &str, beginning: Option<Beginning>) -> Facts {
    let look = Look::Asked {
        gate: Some(Box::new(gate(state))),
        beginning: beginning.map(Box::new),
        escalation: None,
    };
    let mut facts = facts(spec(&json!({})), asked_about(), look);
    facts.status.stage = Some(crate::api::v1alpha1::Stage::Approve);
    facts
}

pub(in super::super) fn working(steps: &[(Event, Option<&str>)], frozen: Vec<Frozen>) -> Facts {
    let look = Look::Working(Working {
        plan: Ok(Arc::new(made(2).plan)),
        frozen,
        said: BTreeMap::from([("s0".to_owned(), "said".to_owned())]),
        midway: None,
    });
    facts(spec(&json!({})), begun(steps), look)
}

fn whole() -> Beginning {
    Beginning {
        recount: Some(Ok(())),
        made: Some(Ok(made(2))),
        ..Beginning::default()
    }
}

/// In a line: what it does, and its words.
fn told(decision: &Decision) -> String {
    match decision {
        Decision::Settled => "Settled".to_owned(),
        Decision::Retire(_) => "Retire".to_owned(),
        Decision::Midway(asks) => match &asks.next {
            Turned::Opens { intended } => format!("Opens {} {intended}", asks.index),
            Turned::Answered { ended, message, .. } => match ended {
                Ok(()) => format!("Agreed {}: {message}", asks.index),
                Err(reason) => format!("Answered {reason}: {message}"),
            },
        },
        Decision::Hold(refusal) => format!("Hold {}", refusal.reason),
        Decision::Wait(wait) => {
            format!(
                "Wait {} {}: {}",
                wait.stage.as_str(),
                wait.reason,
                wait.message
            )
        }
        Decision::Own(own) => format!("Own {:?}", own.instead_of),
        Decision::Join(join) => format!("Join {}: {}", join.owner.name, join.end.message),
        Decision::Ask(ask) => format!("Ask {}", if ask.plan_only { "nobody" } else { "people" }),
        Decision::Escalate(escalate) => match &escalate.next {
            Next::Opened(gate) => format!("Tells of {}", gate.metadata.name.as_deref().unwrap()),
            Next::Asks { ordinal, .. } => format!("Asks set {ordinal}"),
        },
        Decision::Begin(begin) => {
            let by = begin.record.fact.outcome.as_ref().unwrap().as_str();
            format!("Begin {by}")
        }
        Decision::Step(step) => {
            format!(
                "Step {} {} {}",
                step.index,
                step.attempt,
                step.stopped.is_some()
            )
        }
        Decision::Turn(turn) => format!(
            "Turn {}",
            turn.record.details.as_deref().unwrap_or_default()
        ),
        Decision::Finish(end) => {
            format!("{} {}: {}", end.outcome.as_str(), end.reason, end.message)
        }
    }
}

fn starts(facts: &Facts, expected: &str) {
    let found = told(&decide(facts));
    assert!(
        found.starts_with(expected),
        "{found:?} does not start with {expected:?}"
    );
}

#[test]
fn where_a_run_stands_is_read_from_its_records_first() {
    let none = OrchestrationStatus::default();
    let told = OrchestrationStatus {
        outcome: Some(crate::api::v1alpha1::Outcome::Failed),
        ..none.clone()
    };
    let gates: OrchestrationStatus =
        serde_json::from_value(json!({"gates": [{"name": "g", "uid": "u", "state": "Open"}]}))
            .unwrap();
    let cancel = spec(&json!({"cancel": true}));
    let plain = spec(&json!({}));
    let ended = history(&[(Event::RunRequested, None), (Event::RunFinished, None)]);
    for (spec, status, history, expected) in [
        (&plain, &none, History::default(), Standing::Planning),
        (&plain, &none, asked_about(), Standing::Planning),
        (&plain, &gates, History::default(), Standing::Planning),
        (&plain, &gates, asked_about(), Standing::Asked),
        (&plain, &gates, begun(&[]), Standing::Executing),
        (&cancel, &gates, begun(&[]), Standing::Cancelled),
        (&cancel, &none, History::default(), Standing::Cancelled),
        (&cancel, &none, ended.clone(), Standing::Ended),
        (&plain, &told, ended, Standing::Settled),
    ] {
        assert_eq!(standing(spec, status, &history), expected, "{history:?}");
    }
}

#[test]
fn what_cannot_be_known_or_is_over_is_left_alone() {
    let mut facts = planning(Opening::Suspended);
    facts.history = Err(ledger::Refusal::unavailable("closed"));
    starts(&facts, "Hold AuditUnavailable");
    facts.history = Ok(History::default());
    facts.look = Look::Settled;
    starts(&facts, "Settled");
    facts.look = Look::Ended { planned: None };
    facts.history = Ok(history(&[(Event::RunFinished, None)]));
    starts(
        &facts,
        "Succeeded Succeeded: Succeeded; the operator was interrupted",
    );
}

#[test]
fn a_run_that_is_not_planned_waits_or_ends_in_words() {
    let obstacle = |verdict: Verdict| {
        let mut one = Obstacle::fail(Reason::TargetNotFound, "why");
        one.verdict = verdict;
        one
    };
    let distrusted = |lasting| Opening::Distrusted {
        message: "why".to_owned(),
        lasting,
    };
    for (opening, expected) in [
        (
            Opening::Suspended,
            "Wait DryRun Suspended: the run is suspended: it is planned",
        ),
        (
            Opening::NoPlaybook {
                suggestions: Some(Vec::new()),
            },
            "Wait Suggest NoPlaybook: the run names no Playbook, and none",
        ),
        (
            Opening::NoRequester,
            "Failed RequesterUnknown: spec.requestedBy",
        ),
        (distrusted(true), "Failed RequesterUnknown: why"),
        (distrusted(false), "Wait DryRun AdmissionGuardMissing: why"),
        (Opening::Planned(Err(vec![])), "Wait DryRun InternalError"),
        (
            Opening::Planned(Err(vec![obstacle(Verdict::Unknown)])),
            "Wait DryRun TargetNotFound: why",
        ),
        (
            Opening::Planned(Err(vec![
                obstacle(Verdict::Unknown),
                obstacle(Verdict::Fail),
            ])),
            "Failed TargetNotFound: why",
        ),
        (Opening::Planned(Ok(Box::new(made(1)))), "Ask people"),
    ] {
        starts(&planning(opening), expected);
    }
    let mut nobody = made(1);
    nobody.approval.clear();
    starts(
        &planning(Opening::Planned(Ok(Box::new(nobody)))),
        "Failed Invalid",
    );
    let mut only = planning(Opening::Planned(Ok(Box::new(made(1)))));
    only.spec = spec(&json!({"mode": "PlanOnly"}));
    starts(&only, "Ask nobody");
    // A run that has no Playbook has not come as far as a dry run.
    let mut without = planning(Opening::Suspended);
    without.spec.playbook_ref = None;
    starts(&without, "Wait Suggest Suspended");
}

#[test]
fn doubt_and_indecision_end_with_their_time() {
    let unknown = || Opening::Planned(Err(vec![Obstacle::unknown(Reason::KindUnknown, "why")]));
    let mut facts = planning(unknown());
    let Decision::Wait(wait) = decide(&facts) else {
        panic!("it waits");
    };
    assert_eq!(
        (wait.verdict, wait.after),
        (Some(PlanVerdict::Unknown), Some(Duration::from_secs(2)))
    );
    facts.now = at(100 + 3600);
    starts(&facts, "Failed KindUnknown: not known for an hour: why");
    let mut facts = planning(Opening::NoPlaybook { suggestions: None });
    facts.spec.playbook_ref = None;
    facts.now = at(100 + 24 * 3600);
    starts(&facts, "Expired NoPlaybook");
}

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
    // The Gate of the second set of rules asks by the second set.
    let second = |rules: Value| {
        let mut beginning = whole();
        let mut made = made(2);
        made.approval
            .push(serde_json::from_value(json!({"rules": rules})).unwrap());
        beginning.made = Some(Ok(made));
        let mut facts = asked("Approved", Some(beginning));
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
fn a_run_that_has_begun_goes_step_by_step() {
    let (intended, good, bad) = (Event::StepIntended, Event::StepSucceeded, Event::StepFailed);
    let first = Some("s0");
    let second = Some("s1");
    for (steps, expected) in [
        (vec![], "Step 0 1 false"),
        (vec![(intended, first)], "Step 0 1 false"),
        (vec![(intended, first), (good, first)], "Step 1 1 false"),
        (
            vec![(intended, first), (bad, first)],
            "Failed StepFailed: step s0 failed (Succeeded): said; what was done before stays as it is",
        ),
        (
            vec![
                (intended, first),
                (good, first),
                (intended, second),
                (good, second),
            ],
            "Succeeded Succeeded: all 2 steps were done",
        ),
    ] {
        starts(&working(&steps, vec![]), expected);
    }
    // What has begun is gone on with, and nothing new begins.
    starts(
        &working(&[(intended, first)], vec![freeze()]),
        "Step 0 1 true",
    );
    starts(&working(&[], vec![freeze()]), "Wait Execute Frozen");
    let mut facts = working(&[], vec![]);
    facts.spec = spec(&json!({"suspend": true}));
    starts(&facts, "Wait Execute Suspended: suspended before step s0");
    // Its time is what its steps have worked; what it waited for between them is not counted.
    let mut facts = working(&[], vec![]);
    facts.now = at(102 + 60);
    starts(&facts, "Step 0 1 false");
    let mut facts = working(&[(intended, first), (good, first)], vec![]);
    if let Look::Working(Working { plan: Ok(plan), .. }) = &mut facts.look {
        Arc::make_mut(plan).timeout = 0;
    }
    starts(
        &facts,
        "Failed DeadlineExceeded: its time was over before step s1",
    );
    let mut facts = working(&[(intended, first)], vec![]);
    facts.now = at(102 + 60);
    starts(&facts, "Step 0 1 false");
    if let Look::Working(working) = &mut facts.look {
        working.plan = Err("gone".to_owned());
    }
    starts(
        &facts,
        "Failed InternalError: gone; what was done before stays as it is",
    );
}

#[test]
fn a_cancelled_run_records_what_it_leaves_open() {
    let mut facts = facts(
        spec(&json!({"cancel": true, "cancelledBy": "dave"})),
        begun(&[(Event::StepIntended, Some("s0"))]),
        Look::Cancelled,
    );
    starts(
        &facts,
        "Cancelled Cancelled: cancelled by dave after it had begun: nothing new begins, and nothing is undone",
    );
    let Decision::Finish(end) = decide(&facts) else {
        panic!("it ends");
    };
    let events: Vec<Event> = end.records.iter().map(|draft| draft.fact.code).collect();
    assert_eq!(
        events,
        [Event::RunCancelled, Event::StepFailed, Event::RunFinished]
    );
    assert!(end.stop);
    facts.history = Ok(asked_about());
    facts.gates = vec![gate("Open")];
    starts(
        &facts,
        "Cancelled Cancelled: cancelled by dave before anything was changed",
    );
    let Decision::Finish(end) = decide(&facts) else {
        panic!("it ends");
    };
    assert!(matches!(&end.gates[..], [(_, Closing::Cancelled)]));
}

fn closed(decision: &Decision) -> Vec<Closing> {
    let Decision::Finish(end) = decision else {
        panic!("it ends: {decision:?}");
    };
    end.gates.iter().map(|(_, closing)| *closing).collect()
}

#[test]
fn no_end_leaves_anybody_asked() {
    // The process ended between the run's end and that of its Gate.
    let mut facts = facts(
        spec(&json!({"cancel": true})),
        asked_about(),
        Look::Ended { planned: None },
    );
    facts.gates = vec![gate("Open"), gate("Superseded")];
    let ends = |outcome: Outcome| {
        let mut history = history(&[(Event::RunPlanned, None), (Event::RunFinished, None)]);
        history.finished.as_mut().unwrap().outcome = Some(outcome);
        history
    };
    for (outcome, expected) in [
        (Outcome::Cancelled, Closing::Cancelled),
        (Outcome::Failed, Closing::Superseded),
    ] {
        facts.history = Ok(ends(outcome));
        assert_eq!(closed(&decide(&facts)), [expected], "{outcome:?}");
    }
    // It ended between its Gate and the status that would have told of it, and what was planned is not possible any more.
    let fail = Obstacle::fail(Reason::AccessDenied, "why");
    facts.spec = spec(&json!({}));
    facts.history = Ok(asked_about());
    facts.look = Look::Planning(Box::new(Opening::Planned(Err(vec![fail]))));
    assert_eq!(closed(&decide(&facts)), [Closing::Superseded]);
}

#[test]
fn a_plan_that_nobody_was_to_be_asked_about_is_told_after_an_interruption() {
    let ended = history(&[(Event::RunPlanned, None), (Event::RunFinished, None)]);
    let planned = Planned {
        digest: made(2).digest,
        kept: None,
    };
    let look = Look::Ended {
        planned: Some(Box::new(planned)),
    };
    let Decision::Finish(end) = decide(&facts(spec(&json!({})), ended, look)) else {
        panic!("it ends");
    };
    assert_eq!(
        end.planned.map(|planned| planned.digest),
        Some(made(2).digest)
    );
}

#[test]
fn who_asks_anew_takes_the_old_question_back() {
    let opening = |steps| Opening::Planned(Ok(Box::new(made(steps))));
    let mut facts = planning(opening(2));
    facts.gates = vec![gate("Open"), gate("Cancelled")];
    let outdated = |facts: &Facts| match decide(facts) {
        Decision::Ask(ask) => ask.outdated.len(),
        other => panic!("it asks: {other:?}"),
    };
    assert_eq!(outdated(&facts), 0, "it asks about the same plan");
    facts.look = Look::Planning(Box::new(opening(3)));
    assert_eq!(outdated(&facts), 1);
}

pub(in super::super) fn freeze() -> Frozen {
    Frozen::of("f", "carol", "a fair", "f-uid")
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

#[test]
fn where_it_stands_is_told_by_records_and_by_the_plan_that_is_shown() {
    let on_record = |allowed: bool| {
        let mut records = vec![(Event::RunRequested, None), (Event::RunPlanned, None)];
        records.extend(allowed.then_some((Event::RunAllowed, None)));
        history(&records)
    };
    let shown = |digest: String, gates: Value| -> OrchestrationStatus {
        let plan = json!({"digest": digest, "verdict": "Pass"});
        serde_json::from_value(json!({"stage": "Approve", "plan": plan, "gates": gates})).unwrap()
    };
    let spec = spec(&json!({"mode": "Auto"}));
    let digest = made(2).digest.to_string();
    let gates = json!([{"name": "g", "uid": "g-uid", "state": "Open"}]);
    for (status, allowed, stands) in [
        (shown(digest.clone(), Value::Null), true, Standing::Allowed),
        (
            shown(digest.clone(), Value::Null),
            false,
            Standing::Planning,
        ),
        (
            shown(Digest::of(b"x").to_string(), Value::Null),
            true,
            Standing::Planning,
        ),
        (OrchestrationStatus::default(), true, Standing::Planning),
        (shown(digest, gates), true, Standing::Asked),
    ] {
        assert_eq!(standing(&spec, &status, &on_record(allowed)), stands);
    }
}
