//! `cordon` and `uncordon` against a real API server, on a node of the test's own: planned, done once, one planned on top of
//! the other, refused in words.

use neuralops::domain::plan::conflicts;

use super::*;

/// A node that no other test's pods are let onto.
pub(super) async fn node(scene: &Scene, name: &str, unschedulable: bool) -> String {
    let ns = &scene.run.namespace;
    let name = format!("{ns}-{name}");
    let node = json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {
            "type": "kwok", "kubernetes.io/os": "linux", "kubernetes.io/hostname": name, "neuralops.io/test-of": ns,
        }},
        "spec": {
            "unschedulable": unschedulable,
            "taints": [{"key": "neuralops.io/test-of", "value": ns, "effect": "NoSchedule"}],
        },
    });
    create(scene.namespace.admin(), node).await.expect("a node");
    scene.namespace.also_delete("Node", &name);
    name
}

pub(super) async fn may_mark(scene: &Scene) {
    let rights = [core("get patch", "nodes")];
    grant_everywhere(&scene.namespace, &scene.account.user(), &rights).await;
}

fn cordon(node: &str) -> Value {
    json!({"name": "away", "cordon": {"node": node}})
}

fn uncordon(node: &str) -> Value {
    json!({"name": "back", "uncordon": {"node": node}})
}

fn mark(from: Option<bool>, to: Option<bool>) -> Vec<Change> {
    let value = |mark: Option<bool>| mark.map(|mark| json!(mark));
    change("/spec/unschedulable", value(from), value(to))
}

#[tokio::test]
#[expect(
    clippy::too_many_lines,
    reason = "one story: each part stands on what the one before has left"
)]
async fn a_node_is_marked_once_and_only_the_one_that_was_planned() {
    let cluster = need!(Owned);
    let scene = Scene::new(cluster, "nodes").await;
    let node = node(&scene, "a", false).await;
    // A Role reaches no node, whatever it says.
    let nodes = [core("get patch", "nodes")];
    grant(&scene.namespace, &scene.account.user(), &nodes).await;
    let message = scene
        .refused(&cordon(&node), Verdict::Fail, Reason::AccessDenied)
        .await;
    assert!(
        message.contains("get nodes") && message.contains("ClusterRoleBinding"),
        "{message}"
    );
    may_mark(&scene).await;
    let mark_of_audit = cluster.audit_mark();
    let planned = scene.planned(cordon(&node)).await;
    assert_eq!(planned.step().changes, mark(None, Some(true)));
    assert_eq!(planned.step().undo, Undo::Restore);
    assert_eq!(planned.step().targets[0].namespace, None);
    let deposed = scene.pass(&planned, 1, false, false).await;
    assert!(matches!(deposed, Err(AccountError::Deposed(_))));
    let marked = async || scene.read("Node", &node).await["spec"]["unschedulable"].clone();
    assert_eq!(marked().await, Value::Null);
    // Somebody else marks it before the step does, and it stays theirs.
    let theirs = json!({"spec": {"unschedulable": true}});
    scene.alter("Node", &node, theirs).await;
    let fresh = Asked {
        fresh: true,
        ..Asked::default()
    };
    let progress = scene.ask(&planned, fresh).await;
    let others = Reason::DoneByOthers;
    assert!(
        matches!(progress, Ok(Progress::Failed { reason, .. }) if reason == others),
        "{progress:?}"
    );
    let refused = Asked {
        refused: true,
        ..Asked::back()
    };
    let progress = scene.ask(&planned, refused).await;
    assert!(
        matches!(progress, Ok(Progress::Done { .. })),
        "{progress:?}"
    );
    assert_eq!(marked().await, true);
    let free = json!({"spec": {"unschedulable": null}});
    scene.alter("Node", &node, free).await;
    scene.done(&planned).await;
    scene.done(&planned).await;
    assert_eq!(marked().await, true);
    // It is so already, and must be so when it runs.
    let again = scene.planned(cordon(&node)).await;
    assert!(again.step().changes.is_empty());
    scene.done(&again).await;
    scene.taken_back(&again).await;
    assert_eq!(marked().await, true);
    scene.taken_back(&planned).await;
    scene.taken_back(&planned).await;
    assert_eq!(marked().await, Value::Null);
    scene.done(&planned).await;
    let back = scene.planned(uncordon(&node)).await;
    assert_eq!(back.step().changes, mark(Some(true), None));
    scene.done(&back).await;
    scene.taken_back(&back).await;
    assert_eq!(marked().await, true);
    scene.done(&back).await;
    scene.done(&back).await;
    assert_eq!(marked().await, Value::Null);
    let message = scene.fails(&again, Reason::TargetDrifted).await;
    assert!(
        message.contains("somebody has made it schedulable"),
        "{message}"
    );
    let done = |event: &AuditEvent| event.code < 400;
    eventually("six writes on record", SOON, async || {
        let written = scene.writes(mark_of_audit, 6).await;
        if written.iter().filter(|event| done(event)).count() == 6 {
            Ok(())
        } else {
            Err(format!("{written:?}"))
        }
    })
    .await;
    // Another node of its name.
    let planned = scene.planned(cordon(&node)).await;
    scene.delete("Node", &node).await;
    assert!(
        scene
            .fails(&planned, Reason::TargetDrifted)
            .await
            .contains("gone")
    );
    self::node(&scene, "a", false).await;
    scene.fails(&planned, Reason::TargetDrifted).await;
    assert_eq!(marked().await, Value::Null);
    for (name, reason) in [
        ("../pods/a", Reason::TargetNotAllowed),
        ("a/status", Reason::TargetNotAllowed),
        ("no-such-node", Reason::TargetNotFound),
    ] {
        scene.refused(&cordon(name), Verdict::Fail, reason).await;
    }
}

#[tokio::test]
async fn what_an_earlier_step_leaves_is_what_a_later_one_finds() {
    let cluster = need!(Owned);
    let scene = Scene::new(cluster, "nodes").await;
    may_mark(&scene).await;
    let node = node(&scene, "a", false).await;
    let first = scene.planned(cordon(&node)).await;
    let earlier = vec![first.step().clone()];
    let second = scene.planned_after(uncordon(&node), &earlier).await;
    assert_eq!(second.step().changes, mark(Some(true), None));
    let both = [first.step().clone(), second.step().clone()];
    assert_eq!(conflicts(&both), []);
    scene.done(&first).await;
    scene.done(&second).await;
    let live = scene.read("Node", &node).await;
    assert_eq!(live["spec"]["unschedulable"], Value::Null);
}
