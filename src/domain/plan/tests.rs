//! Floor 0, tests: plans, their bytes, their changes and how they are shown. No rule of another file.

use proptest::prelude::*;
use serde_json::json;

use super::*;

pub(super) fn target(name: &str) -> Target {
    Target {
        api_version: "apps/v1".into(),
        kind: "Deployment".into(),
        resource: "deployments".into(),
        namespace: Some("shop".into()),
        name: name.into(),
        uid: Some("u".into()),
        access: Access::Writes,
        owner: None,
    }
}

fn step(name: &str, kind: &str, changes: Vec<Change>) -> PlannedStep {
    PlannedStep {
        name: name.into(),
        kind: kind.into(),
        coverage: Coverage::ServerDryRun,
        timeout: 1,
        retries: 0,
        on_failure: OnFailure::Stop,
        targets: vec![target("checkout")],
        effect: json!({}),
        changes,
        undo: Undo::Restore,
    }
}

fn change(path: &str) -> Change {
    Change {
        path: path.into(),
        from: None,
        to: Some(json!(1)),
    }
}

fn plan(steps: Vec<PlannedStep>) -> Plan {
    Plan {
        v: VERSION,
        run: RunRef {
            namespace: "shop".into(),
            name: "r".into(),
            uid: "u".into(),
        },
        playbook: PlaybookRef {
            name: "p".into(),
            digest: Digest::of(b"p"),
            revision: 3,
        },
        policy_digest: Digest::of(b"t"),
        service_account: "runbook".into(),
        parameters: Map::new(),
        timeout: 1,
        on_failure: OnFailure::Compensate,
        steps,
    }
}

#[test]
fn a_plan_reads_back_and_no_other_passes_for_it() {
    let made = plan(vec![step("a", "scale", vec![change("/spec/replicas")])]);
    let bytes = made.to_bytes().unwrap();
    let digest = Digest::of(&bytes);
    assert_eq!(Plan::parse(&bytes, &digest).unwrap(), made);
    let mut other = made;
    other.steps[0].changes[0].to = Some(json!(2));
    assert!(matches!(
        Plan::parse(&other.to_bytes().unwrap(), &digest),
        Err(NoPlan::Other { .. })
    ));
}

#[test]
fn what_the_api_server_adds_by_itself_is_no_change() {
    let live = json!({"metadata": {"name": "a", "uid": "1", "resourceVersion": "5", "generation": 2, "managedFields": []}, "spec": {"n": 1}, "status": {"x": 1}});
    let after = json!({"metadata": {"name": "a", "resourceVersion": "6", "generation": 3}, "spec": {"n": 2}, "status": {}});
    let found = changes(&comparable(&live), &comparable(&after));
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].path, "/spec/n");
    assert_eq!(stands(Some(&comparable(&live)), &found), Stands::Before);
    assert_eq!(stands(Some(&comparable(&after)), &found), Stands::After);
    let else_where = json!({"spec": {"n": 3}});
    assert_eq!(stands(Some(&else_where), &found), Stands::Elsewhere);
    assert_eq!(stands(None, &found), Stands::Elsewhere);
}

#[test]
fn what_the_api_server_counts_on_a_daemon_set_is_no_change_of_it() {
    let live = |count: &str, image: &str| {
        let annotations = json!({"deprecated.daemonset.template.generation": count});
        comparable(&json!({"metadata": {"annotations": annotations}, "spec": {"image": image}}))
    };
    let found = changes(&live("1", "a"), &live("2", "b"));
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(stands(Some(&live("3", "a")), &found), Stands::Before);
}

#[test]
fn a_number_that_json_would_not_keep_stands_there_as_text() {
    let found = exact(&json!({"a": 9_007_199_254_740_993_u64, "b": 0.1, "c": 7}));
    assert_eq!(
        found,
        json!({"a": {"$number": "9007199254740993"}, "b": {"$number": "0.1"}, "c": 7})
    );
}

#[test]
fn two_steps_that_write_the_same_stand_in_each_others_way() {
    let same = [
        step("a", "scale", vec![change("/spec/replicas")]),
        step("b", "patch", vec![change("/spec/replicas")]),
    ];
    let found = conflicts(&same);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].reason, Reason::TargetTwice);
    assert!(found[0].message.contains("/spec/replicas"), "{found:?}");
    let inside = [
        step("a", "patch", vec![change("/spec")]),
        step("b", "patch", vec![change("/spec/replicas")]),
    ];
    assert_eq!(conflicts(&inside).len(), 1);
    let beside = [
        step("a", "patch", vec![change("/spec/replicas")]),
        step("b", "patch", vec![change("/spec/replicasMax")]),
    ];
    assert_eq!(conflicts(&beside), []);
    let from = |from: Option<Value>, to: Option<Value>| {
        let path = "/spec/unschedulable".into();
        vec![Change { path, from, to }]
    };
    let on = from(None, Some(json!(true)));
    let back = from(Some(json!(true)), None);
    let goes_on = [step("a", "cordon", on.clone()), step("b", "uncordon", back)];
    assert_eq!(conflicts(&goes_on), []);
    let again = [step("a", "cordon", on.clone()), step("b", "patch", on)];
    assert_eq!(conflicts(&again).len(), 1);
    let twice = [step("a", "apply", vec![]), step("b", "apply", vec![])];
    assert_eq!(conflicts(&twice).len(), 1);
}

#[test]
fn locks_are_of_what_is_written_each_once() {
    let mut looks = step("c", "check", vec![]);
    looks.targets[0].access = Access::Reads;
    looks.targets[0].name = "other".into();
    let made = plan(vec![
        step("a", "scale", vec![]),
        step("b", "patch", vec![]),
        looks,
    ]);
    assert_eq!(made.locks(), ["apps/deployments/shop/checkout"]);
}

#[test]
fn a_gate_shows_a_long_plan_in_short_and_says_where_the_rest_is() {
    let many = (0..100).map(|index| change(&format!("/spec/field{index}")));
    let made = plan(vec![step("a", "patch", many.collect())]);
    let short = short_diff(&made, &[]);
    assert!(short.len() <= 2048 && short.contains("the rest is in the plan"));
    assert!(diff(&made).contains("+ /spec/field99: 1"));
    let mut secret = plan(vec![step("a", "patch", vec![change("/data/password")])]);
    secret.steps[0].changes[0].to = Some(json!({"$hmac": "abc"}));
    assert!(diff(&secret).contains("+ /data/password: (secret)"));
}

#[test]
fn what_was_seen_stands_beside_the_plan_and_says_what_it_is_worth() {
    let made = plan(vec![step("a", "drain", vec![])]);
    let beside = ["step a: evicts shop/web-1".to_owned()];
    let short = short_diff(&made, &beside);
    let (plan, told) = short.split_once("Seen when").unwrap();
    assert!(diff(&made).starts_with(plan.trim_end()), "{short}");
    assert!(
        told.contains("no part of the plan:\n   . step a: evicts shop/web-1"),
        "{short}"
    );
    assert!(!short_diff(&made, &[]).contains("Seen when"));
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i8>().prop_map(Value::from),
        "[a-c/~]{0,3}".prop_map(Value::from),
    ];
    let inner = leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-d/~]{1,2}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    });
    prop::collection::btree_map("[a-d]", inner, 0..4)
        .prop_map(|map| Value::Object(map.into_iter().collect()))
}

proptest! {
    /// Every difference is told, at a place where it can be found again; and nothing else is.
    #[test]
    fn changes_tell_before_from_after(before in values(), after in values()) {
        let found = changes(&before, &after);
        prop_assert_eq!(found.is_empty(), before == after);
        prop_assert_eq!(stands(Some(&after), &found), Stands::After);
        if before != after {
            prop_assert_eq!(stands(Some(&before), &found), Stands::Before);
        }
    }
}

#[test]
fn a_hidden_value_changes_as_one() {
    let hidden = |text: &str| json!({"data": {"a": {"$hmac": text}}});
    let expected = vec![Change {
        path: "/data/a".into(),
        from: Some(json!({"$hmac": "1"})),
        to: Some(json!({"$hmac": "2"})),
    }];
    assert_eq!(changes(&hidden("1"), &hidden("2")), expected);
    assert_eq!(left(Some(&hidden("3")), &expected), Some("/data/a"));
    assert_eq!(left(Some(&hidden("1")), &expected), None);
}
