//! Floor 3, tests: who joins whom, case by case, and that a storm comes to one run for each thing that is wanted.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::controllers::orchestration::decide::tests::{asked_about, facts, spec};
use crate::controllers::orchestration::gather::{Look, Opening};
use crate::domain::audit::{event::Event, record::RecordId};
use crate::domain::run::History;

fn owner() -> RunKey {
    RunKey {
        uid: "first".into(),
        namespace: "shop".into(),
        name: "first".into(),
    }
}

fn run(uid: &str, more: &Value, status: &Value) -> Orchestration {
    let object = json!({
        "apiVersion": "neuralops.io/v1alpha1", "kind": "Orchestration",
        "metadata": {"name": "first", "namespace": "shop", "uid": uid},
        "spec": spec(more), "status": status,
    });
    serde_json::from_value(object).unwrap()
}

#[test]
fn only_who_wants_the_same_or_less_joins_and_only_who_goes_on_is_joined() {
    let wants = json!({"parameters": {"deployment": "a"}});
    let going = |more: &Value| run("first", more, &json!({"stage": "Approve"}));
    for (later, earlier, stands) in [
        (json!({}), json!({}), Beside::Same),
        (wants.clone(), wants.clone(), Beside::Same),
        (json!({"playbookRef": null}), wants.clone(), Beside::Same),
        (json!({}), wants.clone(), Beside::Same),
        (json!({}), json!({"mode": "Auto"}), Beside::Same),
        (json!({"mode": "Manual"}), json!({}), Beside::Same),
        (json!({"parameters": {}}), json!({}), Beside::Same),
        (
            json!({"mode": "Manual"}),
            json!({"mode": "Auto"}),
            Beside::Other,
        ),
        (json!({"mode": "Auto"}), json!({}), Beside::Other),
        (wants.clone(), json!({}), Beside::Other),
        (json!({"parameters": {}}), wants.clone(), Beside::Other),
        (
            json!({"playbookRef": {"name": "other"}}),
            json!({}),
            Beside::Other,
        ),
        (json!({}), json!({"playbookRef": null}), Beside::Other),
        (json!({}), json!({"mode": "PlanOnly"}), Beside::Nobody),
        (json!({}), json!({"suspend": true}), Beside::Nobody),
        (json!({}), json!({"cancel": true}), Beside::Nobody),
    ] {
        let found = beside(&spec(&later), &owner(), Some(&going(&earlier)));
        assert_eq!(found, stands, "{later} beside {earlier}");
    }
    let later = spec(&json!({}));
    assert_eq!(beside(&later, &owner(), None), Beside::Nobody);
    let again = run("second", &json!({}), &json!({}));
    assert_eq!(beside(&later, &owner(), Some(&again)), Beside::Nobody);
    let ended = json!({"stage": "Done", "outcome": "Failed"});
    let ended = run("first", &json!({}), &ended);
    assert_eq!(beside(&later, &owner(), Some(&ended)), Beside::Nobody);
}

#[test]
fn who_shares_an_incident_has_a_key_and_was_not_asked_about() {
    let shares = |more: &Value, history: History| {
        incident_of(&facts(spec(more), history, Look::Settled)).map(|incident| incident.key)
    };
    let keyed = |more: Value| {
        let mut spec = json!({"incident": {"key": "shop/checkout"}});
        spec.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        spec
    };
    let key = Some("shop/checkout".to_owned());
    assert_eq!(shares(&keyed(json!({})), History::default()), key);
    assert_eq!(
        shares(&keyed(json!({"mode": "Auto"})), History::default()),
        key
    );
    for (more, history) in [
        (json!({}), History::default()),
        (json!({"incident": {"key": ""}}), History::default()),
        (keyed(json!({"mode": "PlanOnly"})), History::default()),
        (keyed(json!({"suspend": true})), History::default()),
        (keyed(json!({})), asked_about()),
    ] {
        assert_eq!(shares(&more, history), None, "{more}");
    }
}

#[test]
fn the_end_of_one_that_joins_names_the_other() {
    let opening = Opening::SameAs(owner());
    let found = facts(
        spec(&json!({"incident": {"key": "k"}})),
        History::default(),
        Look::Planning(Box::new(opening)),
    );
    let Decision::Join(join) = super::super::decide(&found) else {
        panic!("it joins");
    };
    assert_eq!(
        (join.end.outcome, join.end.reason),
        (Outcome::Joined, Reason::Joined)
    );
    assert!(
        join.end.message.contains("run first"),
        "{}",
        join.end.message
    );
    let records: Vec<_> = join.end.records.iter().map(|one| one.fact.code).collect();
    assert_eq!(records, [Event::RunRequested, Event::RunFinished]);
    let cause = join.end.records[1].fact.cause;
    assert_eq!(cause, Some(RecordId::of(&["first", "run.requested"])));
}

proptest! {
    /// Runs arrive in any order and wish for any of these; some of them end meanwhile. Whoever joins does so while its owner
    /// goes on, whoever goes on beside an owner wants something else, and no key that has an owner gets another.
    #[test]
    fn a_storm_comes_to_one_run_for_each_thing_that_is_wanted(
        arrivals in prop::collection::vec((0_usize..3, 0_usize..2, prop::option::weighted(0.2, 0_usize..9)), 1..40),
    ) {
        let wants = [json!({}), json!({"parameters": {"d": "a"}}), json!({"playbookRef": {"name": "other"}})];
        let mut owners: BTreeMap<usize, RunKey> = BTreeMap::new();
        let mut going: Vec<(usize, Orchestration)> = Vec::new();
        for (number, (want, key, ends)) in arrivals.into_iter().enumerate() {
            if let Some(ends) = ends && ends < going.len() {
                let (key, ended) = going.remove(ends);
                if owners.get(&key).is_some_and(|owner| Some(&owner.uid) == ended.uid().as_ref()) {
                    owners.remove(&key);
                }
            }
            let uid = format!("run-{number}");
            let later = run(&uid, &wants[want], &json!({}));
            let mine = RunKey { uid: uid.clone(), namespace: "shop".into(), name: uid.clone() };
            let owner = owners.get(&key).cloned();
            let found = owner.as_ref().and_then(|owner| {
                going.iter().find(|(_, run)| run.uid().as_ref() == Some(&owner.uid))
            });
            match owner.as_ref().map(|owner| beside(&later.spec, owner, found.map(|(_, run)| run))) {
                None | Some(Beside::Nobody) => {
                    owners.insert(key, mine);
                    going.push((key, later));
                }
                Some(Beside::Same) => prop_assert!(found.is_some()),
                Some(Beside::Other) => {
                    let other = found.map(|(_, run)| &run.spec);
                    prop_assert!(other.is_some_and(|other| !is_same(&later.spec, other)));
                    going.push((key, later));
                }
            }
        }
    }
}
