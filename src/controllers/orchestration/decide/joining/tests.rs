//! Floor 3, tests: who joins whom, case by case, and that a storm comes to one run for each thing that is wanted.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::controllers::orchestration::decide::tests::{begun, facts, spec};
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
fn who_shares_an_incident_has_a_key_and_has_not_begun() {
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
        (keyed(json!({})), begun(&[])),
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

#[test]
fn a_wish_is_playbook_parameters_and_mode() {
    let key = IncidentKey {
        namespace: "shop".into(),
        key: "k".into(),
        wish: String::new(),
    };
    let wish = |more: &Value| wish_of(&key, &spec(more)).wish;
    assert_eq!(wish(&json!({})), wish(&json!({"parameters": {}})));
    assert_eq!(wish(&json!({})), wish(&json!({"mode": "Manual"})));
    assert_eq!(wish(&json!({})), wish(&json!({"requestedBy": "bob"})));
    for other in [
        json!({"mode": "Auto"}),
        json!({"parameters": {"d": "a"}}),
        json!({"playbookRef": {"name": "other"}}),
        json!({"playbookRef": null}),
    ] {
        assert_ne!(wish(&json!({})), wish(&other), "{other}");
    }
}

#[test]
fn who_wants_something_else_stands_for_that_and_is_joined_by_its_equals() {
    let standin = |uid: &str, more: &Value| {
        let mut owner = owner();
        owner.uid = uid.into();
        Standin {
            found: Some(run(uid, more, &json!({}))),
            owner,
        }
    };
    let wants = json!({"parameters": {"d": "a"}});
    let mine = spec(&wants);
    let is = |key: Option<Standin>, wish: Option<Standin>| {
        among(("me", &mine), key.as_ref(), wish.as_ref())
    };
    let stands = |for_wish, instead_of: Option<&str>| Among::Stands {
        for_wish,
        instead_of: instead_of.map(Into::into),
    };
    let other = || Some(standin("other", &json!({})));
    let gone = || Some(standin("gone", &json!({"suspend": true})));
    let equal = || Some(standin("equal", &wants));
    let me = || Some(standin("me", &wants));
    let joined = |found: Among| matches!(found, Among::Joins(owner) if owner.uid == "equal");
    assert_eq!(is(None, None), stands(false, None));
    assert_eq!(is(gone(), None), stands(false, Some("gone")));
    assert_eq!(is(gone(), gone()), stands(false, Some("gone")));
    assert_eq!(is(other(), None), stands(true, None));
    assert_eq!(is(other(), gone()), stands(true, Some("gone")));
    assert_eq!(is(other(), other()), stands(true, Some("other")));
    assert_eq!(is(me(), None), Among::Goes);
    assert_eq!(is(me(), equal()), Among::Goes);
    assert_eq!(is(other(), me()), Among::Goes);
    assert_eq!(is(None, me()), Among::Goes);
    assert!(joined(is(equal(), None)) && joined(is(equal(), me())));
    assert!(joined(is(other(), equal())) && joined(is(None, equal())));

    // Whoever has been asked about begins beside nobody who has taken its place.
    let after = |key: Option<Standin>, wish: Option<Standin>| {
        successor(("me", &mine), key.as_ref(), wish.as_ref()).map(|owner| owner.uid)
    };
    assert_eq!(after(equal(), None).as_deref(), Some("equal"));
    assert_eq!(after(other(), equal()).as_deref(), Some("equal"));
    for (key, wish) in [
        (me(), equal()),
        (equal(), me()),
        (None, None),
        (gone(), gone()),
        (other(), None),
    ] {
        assert_eq!(after(key.clone(), wish.clone()), None, "{key:?} {wish:?}");
    }
}

/// A store and the objects, as far as joining looks at them.
#[derive(Default)]
struct Storm {
    rows: BTreeMap<IncidentKey, String>,
    going: BTreeMap<String, (IncidentKey, Orchestration)>,
}

impl Storm {
    fn standin(&self, incident: &IncidentKey) -> Option<Standin> {
        let uid = self.rows.get(incident)?;
        let found = self.going.get(uid).map(|(_, run)| run.clone());
        let (namespace, name) = ("shop".into(), uid.clone());
        let uid = uid.clone();
        Some(Standin {
            owner: RunKey {
                uid,
                namespace,
                name,
            },
            found,
        })
    }

    /// Passes over a run until it joins another, which is told, or goes on.
    fn arrives(&mut self, uid: &str, key: &IncidentKey, later: Orchestration) -> Option<String> {
        loop {
            let wish = wish_of(key, &later.spec);
            let (of_key, of_wish) = (self.standin(key), self.standin(&wish));
            match among((uid, &later.spec), of_key.as_ref(), of_wish.as_ref()) {
                Among::Joins(owner) => return Some(owner.uid),
                Among::Goes => {
                    self.going.insert(uid.into(), (key.clone(), later));
                    return None;
                }
                Among::Stands {
                    for_wish,
                    instead_of,
                } => {
                    let row = if for_wish { wish } else { key.clone() };
                    if self.rows.get(&row) == instead_of.as_ref() {
                        self.rows.remove(&row);
                    }
                    self.rows.retain(|_, owner| owner != uid);
                    self.rows.entry(row).or_insert_with(|| uid.into());
                }
            }
        }
    }

    fn ends(&mut self, number: usize) {
        if let Some(uid) = self.going.keys().nth(number).cloned() {
            self.going.remove(&uid);
            self.rows.retain(|_, owner| *owner != uid);
        }
    }
}

proptest! {
    /// Runs arrive in any order and wish for any of these; some of them end meanwhile. Whoever joins does so while the other
    /// goes on, wants what it wants or less, and of those who go on no two want the same.
    #[test]
    fn a_storm_comes_to_one_run_for_each_thing_that_is_wanted(
        arrivals in prop::collection::vec((0_usize..5, 0_usize..2, prop::option::weighted(0.2, 0_usize..9)), 1..60),
    ) {
        let wants = [
            json!({}),
            json!({"parameters": {"d": "a"}}),
            json!({"playbookRef": {"name": "other"}}),
            json!({"playbookRef": null}),
            json!({"mode": "Auto"}),
        ];
        let mut storm = Storm::default();
        for (number, (want, key, ends)) in arrivals.into_iter().enumerate() {
            if let Some(ends) = ends {
                storm.ends(ends);
            }
            let key = IncidentKey {
                namespace: "shop".into(),
                key: format!("key-{key}"),
                wish: String::new(),
            };
            let uid = format!("run-{number}");
            let later = run(&uid, &wants[want], &json!({}));
            let wish = later.spec.clone();
            if let Some(owner) = storm.arrives(&uid, &key, later) {
                let joined = storm.going.get(&owner);
                prop_assert!(joined.is_some_and(|(of, run)| *of == key && is_same(&wish, &run.spec)));
            }
            let wishes = storm.going.values().map(|(key, run)| wish_of(key, &run.spec));
            let different: std::collections::BTreeSet<_> = wishes.collect();
            prop_assert_eq!(different.len(), storm.going.len());
        }
    }
}
