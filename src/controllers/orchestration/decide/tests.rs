//! Floor 3, tests: what follows from where a run stands and what was found.

mod anything;
mod approval;
mod back;
mod bed;
mod closing;
mod deadlines;
mod midway;
mod retiring;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use self::bed::{asked, freeze, gate_name, history_with, in_doubt, rules, starts, told, whole};
pub(in super::super) use self::bed::{
    asked_about, at, begun, facts, gate, history, made, planning, spec, working,
};
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
                again: None,
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
    // It was asked for long ago, and nobody took a Playbook or took suspend back until now.
    facts.now = at(100 + 9 * 3600);
    starts(&facts, "Wait DryRun KindUnknown");
    let facts = in_doubt(facts, 100 + 8 * 3600);
    starts(&facts, "Failed KindUnknown: not known for an hour: why");
    let mut facts = planning(Opening::NoPlaybook {
        suggestions: None,
        again: None,
    });
    facts.spec.playbook_ref = None;
    // What was not found out is asked again before its day is over.
    let later = Duration::from_secs(600);
    let suggestions = Some(Vec::new());
    facts.look = Look::Planning(Box::new(Opening::NoPlaybook {
        suggestions,
        again: Some(later),
    }));
    let Decision::Wait(wait) = decide(&facts) else {
        panic!("it waits");
    };
    assert_eq!(wait.after, Some(later));
    facts.now = at(100 + 24 * 3600);
    starts(&facts, "Expired NoPlaybook");
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
