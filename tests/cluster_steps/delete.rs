//! `delete` against a real API server: planned with what it takes away, bound to what was planned, once, and refused in words.

#![expect(
    clippy::too_many_lines,
    reason = "a scene is told from beginning to end"
)]

use super::*;

fn gone(kind: &str, api_version: &str, name: &str) -> Value {
    let target = json!({"apiVersion": api_version, "kind": kind, "name": name});
    json!({"name": "away", "delete": {"target": target}})
}

async fn may_delete(scene: &Scene) {
    let rights = [
        core("delete", "configmaps secrets pods"),
        core("get", "pods"),
        rule("apps", "delete create", "deployments"),
    ];
    grant(&scene.namespace, &scene.account.user(), &rights).await;
}

#[tokio::test]
async fn what_is_deleted_is_what_was_planned_and_goes_once() {
    let cluster = need!(Owned);
    let scene = Scene::new(cluster, "delete").await;
    let step = gone("ConfigMap", "v1", "settings");
    let settings = async || {
        let data = json!({"data": {"a": "0"}});
        scene.make("v1", "ConfigMap", "settings", data).await
    };
    settings().await;
    let deployment = gone("Deployment", "apps/v1", "checkout");
    let message = scene
        .refused(&deployment, Verdict::Fail, Reason::AccessDenied)
        .await;
    assert!(message.contains("delete deployments checkout"), "{message}");
    may_delete(&scene).await;
    let mark = cluster.audit_mark();
    let planned = scene.planned(step.clone()).await;
    let named = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "settings"});
    assert_eq!(planned.step().changes, change("", Some(named), None));
    assert_eq!(planned.step().coverage, Coverage::ServerDryRun);
    let metadata = json!({"name": "settings", "namespace": scene.run.namespace});
    let manifest =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "0"}});
    assert_eq!(planned.step().undo, Undo::Recreate { manifest });
    let deposed = scene.pass(&planned, 1, false, false).await;
    assert!(matches!(deposed, Err(AccountError::Deposed(_))));
    // Somebody wrote since: that is not what was approved to go.
    let alter = async |value: &str| {
        let patch = json!({"data": {"a": value}});
        scene.alter("ConfigMap", "settings", patch).await;
    };
    alter("1").await;
    scene.fails(&planned, Reason::TargetDrifted).await;
    assert!(scene.is_there("ConfigMap", "settings").await);
    alter("0").await;
    scene.done(&planned).await;
    assert!(!scene.is_there("ConfigMap", "settings").await);
    scene.done(&planned).await;
    // It is made again as it was, once; and nothing of what others made meanwhile is overwritten.
    scene.taken_back(&planned).await;
    let again = scene.read("ConfigMap", "settings").await;
    assert_eq!(again["data"], json!({"a": "0"}));
    scene.taken_back(&planned).await;
    alter("theirs").await;
    let message = scene.left_as_it_is(&planned).await;
    assert!(message.contains("left as it is"), "{message}");
    assert_eq!(
        scene.read("ConfigMap", "settings").await["data"]["a"],
        "theirs"
    );
    // Another one of its name is nobody's to delete. Whoever has asked for nothing yet finds that others have deleted it.
    let first = Asked {
        fresh: true,
        ..Asked::default()
    };
    match scene.ask(&planned, first).await.expect("an answer") {
        Progress::Failed { reason, .. } => assert_eq!(reason, Reason::DoneByOthers),
        other => panic!("{other:?}"),
    }
    scene.done(&planned).await;
    assert!(scene.is_there("ConfigMap", "settings").await);
    let never = scene.planned(step).await;
    scene.taken_back(&never).await;
    // A deletion says in its body that it is a dry run, which the record does not hold: one for each plan.
    let written = scene.writes(mark, 4).await;
    let written: Vec<_> = written
        .iter()
        .map(|event| (event.verb.as_str(), event.code))
        .collect();
    assert_eq!(
        written,
        [
            ("delete", 200),
            ("delete", 200),
            ("create", 201),
            ("delete", 200)
        ]
    );
    let absent = gone("ConfigMap", "v1", "nothing");
    scene
        .refused(&absent, Verdict::Fail, Reason::TargetNotFound)
        .await;
}

#[tokio::test]
async fn what_cannot_be_made_again_says_so_and_a_finalizer_is_waited_for() {
    let cluster = need!(Owned);
    let scene = Scene::new(cluster, "delete").await;
    may_delete(&scene).await;
    let why = |planned: &Planned| match &planned.step().undo {
        Undo::Nothing { why } => why.clone(),
        other => panic!("{other:?}"),
    };
    let secret = json!({"stringData": {"password": CANARY}});
    scene.make("v1", "Secret", "db", secret).await;
    let planned = scene.planned(gone("Secret", "v1", "db")).await;
    assert!(why(&planned).contains("kept nowhere"));
    assert!(!format!("{:?}", planned.plan).contains(CANARY));
    // There is no way back from it, so it goes only as it was approved to go.
    let alter = async |password: &str| {
        let patch = json!({"stringData": {"password": password}});
        scene.alter("Secret", "db", patch).await;
    };
    alter("another").await;
    let message = scene.fails(&planned, Reason::TargetDrifted).await;
    assert!(message.contains("changed since the plan"), "{message}");
    alter(CANARY).await;
    scene.done(&planned).await;
    let held =
        json!({"metadata": {"name": "held", "finalizers": ["example.com/held"]}, "data": {}});
    let namespaced = {
        let mut held = held;
        held["metadata"]["namespace"] = json!(scene.run.namespace);
        held
    };
    scene.make("v1", "ConfigMap", "held", namespaced).await;
    let planned = scene.planned(gone("ConfigMap", "v1", "held")).await;
    assert!(why(&planned).contains("example.com/held"));
    assert!(scene.waits(&planned).await.contains("example.com/held"));
    assert!(scene.waits(&planned).await.contains("being deleted"));
    let free = json!({"metadata": {"finalizers": null}});
    scene.alter("ConfigMap", "held", free).await;
    scene.until_done(&planned).await;
}

#[tokio::test]
async fn a_deployment_goes_with_or_without_what_it_owns() {
    let cluster = need!(Owned, Controllers);
    let scene = Scene::new(cluster, "delete").await;
    scene.deployment().await;
    let mut step = gone("Deployment", "apps/v1", "checkout");
    let rights = [rule("apps", "delete", "deployments")];
    grant(&scene.namespace, &scene.account.user(), &rights).await;
    match scene.forecast(&step).await.expect("a forecast").undo {
        Undo::Nothing { why } => assert!(why.contains("may not create deployments"), "{why}"),
        other => panic!("{other:?}"),
    }
    may_delete(&scene).await;
    let seen = scene.forecast(&step).await.expect("a forecast").seen;
    assert!(seen[0].contains("goes with it"), "{seen:?}");
    step["delete"]["propagation"] = json!("Orphan");
    let sets = api(scene.namespace.admin(), "ReplicaSet", &scene.run.namespace);
    let owners = async || {
        let all = sets.list(&Default::default()).await.expect("listed").items;
        all.first().map(|one| one.metadata.owner_references.clone())
    };
    eventually("a ReplicaSet", SOON, async || {
        owners().await.map(drop).ok_or_else(|| "none".to_owned())
    })
    .await;
    let seen = scene.forecast(&step).await.expect("a forecast").seen;
    assert!(seen[0].contains("stays"), "{seen:?}");
    let planned = scene.planned(step).await;
    assert!(matches!(planned.step().undo, Undo::Recreate { .. }));
    scene.until_done(&planned).await;
    assert_eq!(owners().await, Some(None));
}
