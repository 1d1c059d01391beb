//! Floor 2, tests: when a write is done, to be done, or no longer what was approved; and how it is bound to what was read.

use super::{
    run::{Found, judge},
    *,
};

fn target(uid: Option<&str>) -> Target {
    Target {
        api_version: "apps/v1".into(),
        kind: "Deployment".into(),
        resource: "deployments".into(),
        namespace: Some("shop".into()),
        name: "checkout".into(),
        uid: uid.map(str::to_owned),
        access: Access::Writes,
        owner: None,
    }
}

fn live(uid: &str, replicas: i64) -> Value {
    json!({"metadata": {"uid": uid, "resourceVersion": "7"}, "spec": {"replicas": replicas}})
}

fn replicas(from: i64, to: i64) -> Vec<Change> {
    vec![Change {
        path: "/spec/replicas".into(),
        from: Some(json!(from)),
        to: Some(json!(to)),
    }]
}

fn found(target: &Target, live: Option<&Value>) -> Found {
    let seen = live.map(comparable);
    judge(
        target,
        live.zip(seen.as_ref()),
        &replicas(1, 3),
        "neuralops/p",
    )
}

#[test]
fn a_write_happens_once_and_only_to_what_was_planned() {
    let planned = target(Some("u"));
    assert_eq!(found(&planned, Some(&live("u", 1))), Found::ToDo);
    assert_eq!(found(&planned, Some(&live("u", 3))), Found::Done);
    let drifted = |live: Option<&Value>, word: &str| match found(&planned, live) {
        Found::Drifted(why) => assert!(why.contains(word), "{why}"),
        other => panic!("{other:?}"),
    };
    drifted(Some(&live("u", 2)), "/spec/replicas");
    drifted(Some(&live("other", 1)), "another object");
    drifted(Some(&live("other", 3)), "another object");
    drifted(None, "gone");
    let mut ending = live("u", 1);
    ending["metadata"]["deletionTimestamp"] = json!("now");
    drifted(Some(&ending), "being deleted");
}

#[test]
fn what_was_to_be_made_is_adopted_only_from_ourselves() {
    let planned = target(None);
    assert_eq!(found(&planned, None), Found::ToDo);
    let by = |manager: &str, operation: &str| {
        let mut live = live("u", 3);
        live["metadata"]["managedFields"] = json!([{"manager": manager, "operation": operation}]);
        found(&planned, Some(&live))
    };
    assert_eq!(by("neuralops/p", "Apply"), Found::Made);
    for (manager, operation) in [
        ("neuralops/p", "Update"),
        ("neuralops/q", "Apply"),
        ("kubectl", "Apply"),
    ] {
        assert!(
            matches!(by(manager, operation), Found::Drifted(_)),
            "{manager}"
        );
    }
}

#[test]
fn every_write_is_bound_to_the_object_that_was_read() {
    let live = live("u", 1);
    let precondition = json!({"uid": "u", "resourceVersion": "7"});
    let patch = json!({"spec": {"a": 1}});
    for body in [
        bound(&Body::Merge(patch.clone()), &live),
        bound(&Body::Strategic(patch.clone()), &live),
        bound(
            &Body::Apply {
                manifest: patch.clone(),
                force: false,
            },
            &live,
        ),
    ] {
        let (Body::Merge(sent) | Body::Strategic(sent) | Body::Apply { manifest: sent, .. }) =
            &body
        else {
            panic!("{body:?}")
        };
        assert_eq!(sent["metadata"], precondition);
        assert_eq!(sent["spec"], patch["spec"]);
    }
    let own = json!([{"op": "remove", "path": "/spec/a"}]);
    let Body::Json(sent) = bound(&Body::Json(own.clone()), &live) else {
        panic!("another kind of patch")
    };
    assert_eq!(
        sent,
        json!([
            {"op": "test", "path": "/metadata/uid", "value": "u"},
            {"op": "test", "path": "/metadata/resourceVersion", "value": "7"},
            own[0],
        ])
    );
}

#[test]
fn the_undo_says_what_it_is() {
    let step: Step = serde_json::from_value(json!({"name": "a"})).unwrap();
    let shown = replicas(1, 3);
    assert_eq!(
        undo_wanted(&step, &target(Some("u")), &shown),
        Undo::Restore
    );
    assert_eq!(undo_wanted(&step, &target(None), &shown), Undo::Delete);
    let hidden = [Change {
        path: "/data/a".into(),
        from: None,
        to: Some(json!({"$hmac": "00"})),
    }];
    assert!(matches!(
        undo_wanted(&step, &target(Some("u")), &hidden),
        Undo::Nothing { .. }
    ));
    let unwanted: Step = serde_json::from_value(json!({"name": "a", "undo": "None"})).unwrap();
    assert!(matches!(
        undo_wanted(&unwanted, &target(None), &shown),
        Undo::Nothing { .. }
    ));
}

#[test]
fn kinds_say_what_they_write_and_what_they_refuse() {
    use crate::adapters::steps::{apply::Apply, rollout_restart::RolloutRestart, scale::Scale};
    let run = RunRef {
        namespace: "shop".into(),
        name: "r".into(),
        uid: "run-uid".into(),
    };
    let step = |step: Value| -> Step { serde_json::from_value(step).unwrap() };
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "checkout"});
    let restart = step(json!({"name": "again", "rolloutRestart": {"target": deployment}}));
    let wish = RolloutRestart.wish(&restart, &run).unwrap();
    assert_eq!(wish.effect, json!({"restartedBy": "run-uid.again"}));
    let set = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "checkout"});
    let restart = step(json!({"name": "again", "rolloutRestart": {"target": set}}));
    assert_eq!(
        RolloutRestart.wish(&restart, &run).err().unwrap().reason,
        Reason::TargetNotAllowed
    );
    for replicas in [json!(-1), json!("$(params.n)")] {
        let scale =
            step(json!({"name": "s", "scale": {"target": deployment, "replicas": replicas}}));
        assert!(Scale.wish(&scale, &run).is_err());
    }
    let applied = |manifest: Value| {
        Apply.wish(
            &step(json!({"name": "a", "apply": {"manifest": manifest}})),
            &run,
        )
    };
    let good = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}});
    let wish = applied(good.clone()).ok().unwrap();
    assert_eq!(wish.effect["manifest"]["metadata"]["namespace"], "shop");
    for (pointer, value, reason) in [
        (
            "/metadata",
            json!({"name": "a", "namespace": "other"}),
            Reason::TargetNotAllowed,
        ),
        ("/metadata", json!({"generateName": "a"}), Reason::Invalid),
        (
            "/metadata",
            json!({"name": "a", "managedFields": []}),
            Reason::Invalid,
        ),
        ("/kind", json!(1), Reason::Invalid),
    ] {
        let mut bad = good.clone();
        *bad.pointer_mut(pointer).unwrap() = value;
        assert_eq!(applied(bad).err().unwrap().reason, reason);
    }
}
