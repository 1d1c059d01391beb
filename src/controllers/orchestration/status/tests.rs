//! Floor 3, tests: the conditions of each end and each wait, that a status fits into its object, and that a second pass says
//! the same.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};

use super::{
    super::{
        decide::tests::{at, begun, facts, gate, history, made, spec},
        gather::{Look, Planned},
    },
    *,
};
use crate::{
    adapters::ledger::Refusal,
    api::v1alpha1::{GateState, PlanVerdict},
    domain::{
        audit::event::Event,
        stage::Stage,
        verdict::{ErrorClass, Verdict},
    },
};

fn object(status: Option<OrchestrationStatus>) -> Orchestration {
    let object = json!({
        "apiVersion": "neuralops.io/v1alpha1", "kind": "Orchestration",
        "metadata": {"name": "r", "namespace": "shop", "uid": "u", "generation": 3},
        "spec": spec(&json!({})),
    });
    let mut object: Orchestration = serde_json::from_value(object).unwrap();
    object.status = status;
    object
}

fn done(told: Told, history: History) -> Done {
    Done {
        told,
        verdict: Verdict::Settled,
        recorded: Some((7, 9)),
        joined: None,
        said: BTreeMap::new(),
        facts: Arc::new(facts(spec(&json!({})), history, Look::Settled)),
    }
}

fn ended(outcome: Outcome, reason: Reason) -> Told {
    Told::Ended {
        outcome,
        reason,
        message: "why".to_owned(),
        verdict: None,
        planned: None,
    }
}

fn of(before: Option<OrchestrationStatus>, done: &Done) -> OrchestrationStatus {
    status(&object(before), Ok(done), at(200))
}

/// Type, status and reason of each condition, as one text.
fn said(status: &OrchestrationStatus) -> String {
    let conditions = status.conditions.iter().flatten();
    let said: Vec<String> = conditions
        .map(|one| format!("{}={} {}", one.type_, one.status, one.reason))
        .collect();
    said.join(", ")
}

fn says(status: &OrchestrationStatus, kind: &str) -> Option<String> {
    let mut conditions = status.conditions.iter().flatten();
    let found = conditions.find(|one| one.type_ == kind)?;
    Some(format!("{} {}", found.status, found.reason))
}

fn before_any_effect() -> History {
    history(&[(Event::RunRequested, None), (Event::RunPlanned, None)])
}

fn after_an_effect() -> History {
    begun(&[(Event::StepIntended, Some("s0"))])
}

#[test]
fn each_end_is_ready_or_stalled_as_the_contract_says() {
    let cases = [
        (Outcome::Succeeded, true, "True", "True"),
        (Outcome::Rejected, false, "True", "False"),
        (Outcome::Expired, false, "True", "False"),
        (Outcome::Superseded, false, "True", "False"),
        (Outcome::Planned, false, "True", "False"),
        (Outcome::Joined, false, "True", "False"),
        (Outcome::Cancelled, false, "True", "False"),
        (Outcome::Cancelled, true, "False", "False"),
        (Outcome::Failed, false, "False", "False"),
        (Outcome::Failed, true, "False", "False"),
        (Outcome::Compensated, true, "False", "False"),
        (Outcome::CompensationFailed, true, "False", "False"),
    ];
    for (outcome, effect, ready, succeeded) in cases {
        let history = if effect {
            after_an_effect()
        } else {
            before_any_effect()
        };
        let found = of(None, &done(ended(outcome, Reason::Cancelled), history));
        let expected = |status: &str| Some(format!("{status} Cancelled"));
        assert_eq!(says(&found, "Ready"), expected(ready), "{outcome:?}");
        assert_eq!(
            says(&found, "Succeeded"),
            expected(succeeded),
            "{outcome:?}"
        );
        let stalled = (ready == "False").then(|| "True Cancelled".to_owned());
        assert_eq!(says(&found, "Stalled"), stalled, "{outcome:?}");
        assert_eq!(says(&found, "Reconciling"), None, "{outcome:?}");
        let approved = if effect {
            Some("True Approved".to_owned())
        } else {
            expected("False")
        };
        assert_eq!(says(&found, "Approved"), approved, "{outcome:?}");
        assert_eq!(found.stage, Some(api::Stage::Done));
        assert_eq!(found.outcome, Some(outcome_of(outcome)));
        assert_eq!(found.observed_generation, Some(3));
    }
}

#[test]
fn since_when_its_plan_is_unknown_stays_told_until_something_else_is() {
    let waits = |doubt, reason, now, before: Option<OrchestrationStatus>| {
        let wait = Wait {
            doubt,
            ..Wait::approved(Stage::Approve, reason, "why")
        };
        let told = done(Told::Waiting(Box::new(wait)), before_any_effect());
        status(&object(before), Ok(&told), at(now))
    };
    let since = |status: &OrchestrationStatus| {
        let mut conditions = status.conditions.iter().flatten();
        let doubt = conditions.find(|one| one.type_ == "PlanUnknown");
        doubt.map(|doubt| doubt.last_transition_time.0.as_second())
    };
    let first = waits(true, Reason::DryRunUnavailable, 200, None);
    assert_eq!(since(&first), Some(200));
    let other = waits(true, Reason::KindUnknown, 900, Some(first));
    assert_eq!(since(&other), Some(200));
    let failed = Failure {
        class: ErrorClass::Transient,
        reason: Reason::TimedOut,
        message: "why".to_owned(),
    };
    let unheard = status(&object(Some(other)), Err(&failed), at(950));
    assert_eq!(since(&unheard), Some(200), "nothing new is known");
    let over = waits(false, Reason::Frozen, 1000, Some(unheard));
    assert_eq!(since(&over), None);
    let anew = waits(true, Reason::KindUnknown, 5000, Some(over));
    assert_eq!(since(&anew), Some(5000));
}

#[test]
fn a_run_that_is_under_way_is_reconciling_and_nothing_of_it_is_true_too_early() {
    let mut unknown = Wait::approved(Stage::DryRun, Reason::KindUnknown, "why");
    unknown.approved = false;
    unknown.verdict = Some(PlanVerdict::Unknown);
    unknown.doubt = true;
    let found = of(
        None,
        &done(Told::Waiting(Box::new(unknown)), History::default()),
    );
    assert_eq!(
        said(&found),
        "Ready=Unknown KindUnknown, Reconciling=True KindUnknown, Planned=Unknown KindUnknown, Approved=Unknown KindUnknown, Succeeded=Unknown KindUnknown, PlanUnknown=True KindUnknown"
    );
    let plan = found.plan.unwrap();
    assert_eq!(
        (plan.verdict, plan.digest, plan.config_map),
        (PlanVerdict::Unknown, None, None)
    );
    assert_eq!((found.gates, found.outcome), (None, None));

    let asked = of(None, &done(asked(), before_any_effect()));
    assert_eq!(
        said(&asked),
        "Ready=Unknown AwaitingApproval, Reconciling=True AwaitingApproval, Planned=True Planned, Approved=Unknown AwaitingApproval, Succeeded=Unknown AwaitingApproval"
    );
    assert_eq!(asked.gates.as_ref().map(Vec::len), Some(1));

    let frozen = Wait::approved(Stage::Execute, Reason::Frozen, "why");
    let found = of(
        Some(asked),
        &done(Told::Waiting(Box::new(frozen)), after_an_effect()),
    );
    assert_eq!(
        said(&found),
        "Ready=Unknown Frozen, Reconciling=True Frozen, Planned=True Planned, Approved=True Approved, Succeeded=Unknown Frozen"
    );
}

fn asked() -> Told {
    Told::Asked {
        made: Box::new(made(2)),
        config_map: "plan".to_owned(),
        gate: Box::new(gate("Open")),
        refused: None,
    }
}

#[test]
fn what_cannot_be_recorded_is_not_told_as_if_it_were() {
    let before = of(None, &done(asked(), before_any_effect()));
    let held = done(
        Told::Held(Refusal::unavailable("a disk is full")),
        before_any_effect(),
    );
    let found = of(Some(before.clone()), &held);
    assert_eq!(
        says(&found, "Ready"),
        Some("Unknown AuditUnavailable".to_owned())
    );
    assert_eq!(
        (found.stage, found.gates, found.plan),
        (before.stage, before.gates, before.plan)
    );
}

#[test]
fn steps_are_told_by_their_records() {
    let before = of(None, &done(asked(), before_any_effect()));
    let states = |status: &OrchestrationStatus| -> Vec<api::StepState> {
        status
            .steps
            .iter()
            .flatten()
            .map(|step| step.state)
            .collect()
    };
    assert_eq!(states(&before), [api::StepState::Pending; 2]);
    let going = Told::Going {
        message: "step s0".to_owned(),
    };
    let going = of(Some(before), &done(going, after_an_effect()));
    assert_eq!(
        states(&going),
        [api::StepState::Running, api::StepState::Pending]
    );
    assert_eq!(going.gates.as_ref().unwrap()[0].state, GateState::Approved);
    let steps = [
        (Event::StepIntended, Some("s0")),
        (Event::StepSucceeded, Some("s0")),
    ];
    let over = of(
        Some(going),
        &done(ended(Outcome::Cancelled, Reason::Cancelled), begun(&steps)),
    );
    assert_eq!(
        states(&over),
        [api::StepState::Succeeded, api::StepState::Skipped]
    );
}

#[test]
fn a_gate_that_was_answered_before_the_run_was_stopped_is_told_as_it_is() {
    let before = of(None, &done(asked(), before_any_effect()));
    for (state, expected) in [
        ("Approved", GateState::Approved),
        ("Open", GateState::Cancelled),
    ] {
        let mut facts = facts(spec(&json!({})), before_any_effect(), Look::Cancelled);
        facts.gates = vec![gate(state)];
        let mut done = done(
            ended(Outcome::Cancelled, Reason::Cancelled),
            before_any_effect(),
        );
        done.facts = Arc::new(facts);
        let over = of(Some(before.clone()), &done);
        assert_eq!(over.gates.unwrap()[0].state, expected);
    }
}

#[test]
fn a_run_that_was_only_to_be_planned_tells_its_plan_also_after_an_interruption() {
    let planned = |kept| {
        let mut told = ended(Outcome::Planned, Reason::Planned);
        if let Told::Ended { planned, .. } = &mut told {
            let digest = made(2).digest;
            *planned = Some(Box::new(Planned { digest, kept }));
        }
        of(None, &done(told, before_any_effect()))
    };
    let digest = Some(made(2).digest.to_string());
    let whole = planned(Some((made(2).plan, "r-1".to_owned())));
    assert_eq!(says(&whole, "Planned"), Some("True Planned".to_owned()));
    assert_eq!(whole.steps.map(|steps| steps.len()), Some(2));
    let plan = whole.plan.unwrap();
    assert_eq!(
        (plan.digest, plan.config_map.as_deref()),
        (digest.clone(), Some("r-1"))
    );
    // Somebody deleted the ConfigMap: what was planned is on record all the same.
    let gone = planned(None);
    assert_eq!(says(&gone, "Planned"), Some("True Planned".to_owned()));
    let plan = gone.plan.unwrap();
    assert_eq!((plan.digest, plan.config_map), (digest, None));
    assert!(plan.summary.unwrap().contains("not there any more"));
}

/// The longest words that anybody may say, in letters of several bytes.
fn largest() -> (OrchestrationStatus, Done) {
    let long = "𝒳é".repeat(3000);
    let told = Told::Asked {
        made: Box::new(made(64)),
        config_map: "c".repeat(253),
        gate: Box::new(gate("Open")),
        refused: None,
    };
    let before = of(None, &done(told, before_any_effect()));
    let names: Vec<String> = (0..64).map(|number| format!("s{number}")).collect();
    let intended = |name| (Event::StepIntended, Some(name));
    let steps: Vec<_> = names.iter().map(|name| intended(name.as_str())).collect();
    let told = Told::Ended {
        outcome: Outcome::Failed,
        reason: Reason::StepFailed,
        message: long.clone(),
        verdict: None,
        planned: None,
    };
    let mut done = done(told, begun(&steps));
    done.said = names.into_iter().map(|name| (name, long.clone())).collect();
    (before, done)
}

#[test]
fn sixty_four_steps_with_the_longest_words_fit() {
    let (before, mut done) = largest();
    let under_way = Told::Waiting(Box::new(Wait {
        verdict: Some(PlanVerdict::Unknown),
        ..Wait::approved(Stage::Execute, Reason::Frozen, "é".repeat(9000))
    }));
    let end = of(Some(before.clone()), &done);
    done.told = under_way;
    let wait = of(Some(before), &done);
    for status in [&end, &wait] {
        let bytes = serde_json::to_vec(status).unwrap();
        assert!(bytes.len() < 100 * 1024, "{} bytes", bytes.len());
        let steps = status.steps.as_ref().unwrap();
        assert_eq!(steps.len(), 64);
        let messages = steps.iter().filter_map(|step| step.message.as_ref());
        assert!(
            messages
                .map(|message| message.chars().count())
                .all(|length| length <= 512)
        );
        let plan = status.plan.as_ref().unwrap();
        assert!(plan.summary.as_ref().unwrap().chars().count() <= 1024);
        let targets = plan.targets.iter().flatten();
        assert!(
            targets.clone().count() <= 64 && targets.map(String::len).all(|length| length <= 320)
        );
        let conditions = status.conditions.as_ref().unwrap();
        assert!(conditions.iter().all(|one| one.message.len() <= 32 * 1024));
    }
}

#[test]
fn a_second_pass_over_the_same_facts_says_the_same() {
    let waits = Wait::approved(Stage::Approve, Reason::TargetLocked, "why");
    let tellings: Vec<(Told, History)> = vec![
        (asked(), before_any_effect()),
        (Told::Waiting(Box::new(waits)), before_any_effect()),
        (
            Told::Going {
                message: "step s0".to_owned(),
            },
            after_an_effect(),
        ),
        (
            ended(Outcome::Failed, Reason::StepFailed),
            after_an_effect(),
        ),
        (
            ended(Outcome::Rejected, Reason::Rejected),
            before_any_effect(),
        ),
        (Told::Held(Refusal::unavailable("why")), before_any_effect()),
    ];
    for (told, history) in tellings {
        let done = done(told, history);
        let once = of(None, &done);
        let again = status(&object(Some(once.clone())), Ok(&done), at(900));
        let plain =
            |status: &OrchestrationStatus| -> Value { serde_json::to_value(status).unwrap() };
        assert_eq!(plain(&once), plain(&again));
    }
}
