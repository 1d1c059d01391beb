//! Floor 3, tests: each transition has an id of its own, and the same one whoever records it again.

use std::collections::BTreeMap;

use serde_json::json;

use super::{
    super::decide::tests::{asked_about, facts, gate, made, spec},
    super::gather::Look,
    *,
};

fn of(uid: &str) -> BTreeMap<String, Draft> {
    let spec = spec(&json!({"cancelledBy": "dave", "releasedBy": "carol"}));
    let mut facts = facts(spec, asked_about(), Look::Settled);
    facts.run.uid = uid.to_owned();
    let (plan, other) = (made(2), made(3));
    let run = &facts.run;
    let mut drafts = of_steps(&facts, &plan);
    drafts.extend([
        ("requested", requested(&facts)),
        ("planned", planned(&facts, &plan)),
        ("planned otherwise", planned(&facts, &other)),
        ("started", started(&facts, &plan, &gate("Approved"))),
        ("frozen", held(&facts, Reason::Frozen, "f", "why")),
        (
            "frozen by another",
            held(&facts, Reason::Frozen, "g", "why"),
        ),
        ("cancelled", cancelled(&facts, Some("dave"))),
        (
            "finished",
            finished(
                &facts,
                Stage::Approve,
                (Outcome::Cancelled, Reason::Cancelled),
                "why",
            ),
        ),
        ("gone", gone(run)),
    ]);
    let named = drafts.into_iter();
    named
        .map(|(name, draft)| (name.to_owned(), draft))
        .collect()
}

fn of_steps(facts: &Facts, plan: &Made) -> Vec<(&'static str, Draft)> {
    let (run, step) = (&facts.run, &plan.plan.steps[0]);
    vec![
        (
            "intended",
            intended(run, &plan.digest, step, (Way::Forth, 1)),
        ),
        (
            "intended again",
            intended(run, &plan.digest, step, (Way::Forth, 2)),
        ),
        (
            "intended next",
            intended(run, &plan.digest, &plan.plan.steps[1], (Way::Forth, 1)),
        ),
        (
            "intended back",
            intended(run, &plan.digest, step, (Way::Back, 1)),
        ),
        ("underway", underway(run, "s0", 1, "made")),
        (
            "turned",
            turned(facts, &plan.digest, Reason::StepFailed, "why"),
        ),
        (
            "undone",
            step_ended(run, (Way::Back, "s0", 1), Ok(()), "done"),
        ),
        (
            "left",
            step_ended(run, (Way::Back, "s0", 1), Err(Reason::TargetDrifted), "why"),
        ),
        (
            "done",
            step_ended(run, (Way::Forth, "s0", 1), Ok(()), "done"),
        ),
        (
            "done again",
            step_ended(run, (Way::Forth, "s0", 2), Ok(()), "done"),
        ),
        (
            "failed",
            step_ended(run, (Way::Forth, "s0", 1), Err(Reason::StepFailed), "why"),
        ),
    ]
}

fn ids(drafts: &BTreeMap<String, Draft>) -> BTreeMap<String, &String> {
    let mut ids = BTreeMap::new();
    for (name, draft) in drafts {
        let before = ids.insert(draft.fact.id.to_string(), name);
        assert_eq!(before, None, "{name} has the id of another");
    }
    ids
}

#[test]
fn every_transition_has_an_id_of_its_own_and_keeps_it() {
    let (one, again, other) = (of("u"), of("u"), of("v"));
    assert_eq!(ids(&one), ids(&again));
    let others = ids(&other);
    assert!(
        ids(&one).keys().all(|id| !others.contains_key(id)),
        "another run has records of its own"
    );
}

#[test]
fn an_end_is_recorded_once_whatever_it_is() {
    let facts = facts(spec(&json!({})), asked_about(), Look::Settled);
    let end = |outcome| {
        finished(&facts, Stage::Approve, outcome, "why")
            .fact
            .id
            .to_string()
    };
    assert_eq!(
        end((Outcome::Rejected, Reason::Rejected)),
        end((Outcome::Cancelled, Reason::Cancelled))
    );
}

#[test]
fn who_asked_and_who_stopped_it_stand_in_the_records_as_themselves() {
    let drafts = of("u");
    let actor = |name: &str| serde_json::to_value(&drafts[name].fact.actor).unwrap();
    let alice = actor("requested");
    assert!(alice.to_string().contains("alice"), "{alice}");
    assert!(actor("cancelled").to_string().contains("dave"));
    assert_ne!(alice, actor("planned"));
    assert_eq!(
        drafts["started"]
            .fact
            .gate
            .as_ref()
            .map(|gate| gate.as_str()),
        Some("g-uid")
    );
    let details = drafts["started"].details.as_deref();
    assert_eq!(details, Some("released by carol"));
}
