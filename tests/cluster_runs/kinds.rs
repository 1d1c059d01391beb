//! Whole runs of the kinds that go back, delete, act on nodes and tell: what they did is taken back when a later step fails,
//! what cannot be is said before anybody approves, and an attempt that ran out of time is followed by another.

use serde_json::{Value, json};

use super::{Then, compensation::fails, ends};
use crate::support::{
    Scene, condition, core, create, deployment, eventually, grant, grant_everywhere, need, random,
    rule, steps, told,
};

const SOON: std::time::Duration = std::time::Duration::from_secs(60);

fn account(scene: &Scene) -> String {
    format!("system:serviceaccount:{}:runbook", scene.ns.name())
}

async fn config(scene: &Scene, name: &str, more: Value) {
    let mut object = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": scene.ns.name(), "labels": {"of": "theirs"}}, "data": {"a": "1"},
    });
    if let Some(fields) = more.as_object() {
        for (field, value) in fields {
            object["metadata"][field] = value.clone();
        }
    }
    create(scene.admin(), object).await.expect("a config map");
}

fn away(name: &str) -> Value {
    let target = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": name});
    json!({"name": "away", "delete": {"target": target}})
}

async fn image(scene: &Scene) -> Value {
    let live = scene.object("Deployment", "shop").await;
    live["spec"]["template"]["spec"]["containers"][0]["image"].clone()
}

#[tokio::test]
async fn a_template_and_a_deletion_are_taken_back_and_what_was_told_is_told() {
    let cluster = need!(Users, Owned, Controllers);
    let scene = Scene::set(cluster, "kinds").await;
    let rights = [
        rule("apps", "list", "replicasets"),
        rule("events.k8s.io", "create get", "events"),
    ];
    grant(&scene.ns, &account(&scene), &rights).await;
    scene.flag("never").await;
    scene.workloads(&["shop"]).await;
    config(&scene, "old", json!({})).await;
    let revision = async |number: &str| {
        eventually("the revision is kept", SOON, async || {
            let live = scene.object("Deployment", "shop").await;
            let at = &live["metadata"]["annotations"]["deployment.kubernetes.io/revision"];
            if at == number {
                Ok(())
            } else {
                Err(at.to_string())
            }
        })
        .await;
    };
    revision("1").await;
    let containers = json!([{"name": "app", "image": "registry.example/shop:2"}]);
    let patch = json!({"spec": {"template": {"spec": {"containers": containers}}}});
    scene
        .patch(scene.admin(), "Deployment", "shop", patch)
        .await
        .expect("patched");
    revision("2").await;
    let was = scene.object("ConfigMap", "old").await;
    let all = json!([
        {"name": "back", "rolloutUndo": {"target": deployment("shop")}},
        away("old"),
        {"name": "tell", "notify": {"message": "so far so good"}},
        fails(),
    ]);
    let run = scene.compensating("mend", all).await;
    let map = run["status"]["plan"]["configMap"].as_str().expect("a name");
    let plan = scene.object("ConfigMap", map).await;
    let diff = plan["data"]["diff"].as_str().expect("a diff");
    for words in ["shop:2", "shop:1", "undo: make it again as it was"] {
        assert!(diff.contains(words), "{words} is not in\n{diff}");
    }
    assert!(!diff.contains("Seen when"), "{diff}");
    let seen = plan["data"]["seen"].as_str().expect("what was seen");
    assert!(
        seen.contains("step back: Deployment/shop goes back to its revision 1; it has 2, 1"),
        "{seen}"
    );
    let run = ends(&scene, "mend", "Compensated", "StepFailed", Then::Look).await;
    assert!(
        told(&run["status"]).contains("taken back: away, back"),
        "{:#}",
        run["status"]
    );
    assert_eq!(image(&scene).await, "registry.example/shop:2");
    let now = scene.object("ConfigMap", "old").await;
    assert_eq!(
        (&now["data"], &now["metadata"]["labels"]),
        (&was["data"], &was["metadata"]["labels"])
    );
    assert_ne!(now["metadata"]["uid"], was["metadata"]["uid"]);
}

#[tokio::test]
async fn a_node_is_given_back_when_a_later_step_fails() {
    let cluster = need!(Users, Owned, Controllers);
    let scene = Scene::set(cluster, "kinds").await;
    let rights = [
        core("get patch", "nodes"),
        core("list", "pods"),
        core("create", "pods/eviction"),
    ];
    grant_everywhere(&scene.ns, &account(&scene), &rights).await;
    scene.flag("never").await;
    let node = random("t-node");
    let taint = json!({"key": "neuralops.io/test-of", "value": node, "effect": "NoSchedule"});
    let object = json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": node, "labels": {"type": "kwok"}},
        "spec": {"taints": [taint]},
    });
    create(scene.admin(), object).await.expect("a node");
    scene.ns.also_delete("Node", &node);
    let cordon = json!({"name": "keep", "cordon": {"node": node}});
    let drain = json!({"name": "empty", "drain": {"node": node, "ignoreDaemonSets": true}});
    let back = json!({"name": "back", "uncordon": {"node": node}});
    let all = json!([cordon, drain, fails()]);
    scene.compensating("fails", all).await;
    let run = ends(&scene, "fails", "Compensated", "StepFailed", Then::Look).await;
    assert!(
        told(&run["status"]).contains("taken back: keep"),
        "{:#}",
        run["status"]
    );
    let marked = async || scene.object("Node", &node).await["spec"]["unschedulable"].clone();
    assert_eq!(marked().await, Value::Null);
    // All the way through: the last step finds what the first one leaves.
    scene
        .compensating("through", json!([cordon, drain, back]))
        .await;
    let run = ends(&scene, "through", "Succeeded", "Succeeded", Then::Well).await;
    assert_eq!(steps(&run), "Succeeded Succeeded Succeeded");
    assert_eq!(marked().await, Value::Null);
}

#[tokio::test]
async fn a_deletion_that_is_held_up_is_tried_again() {
    let cluster = need!(Users, Owned, Controllers);
    let scene = Scene::set(cluster, "kinds").await;
    config(&scene, "held", json!({"finalizers": ["example.com/held"]})).await;
    let mut step = away("held");
    step["timeout"] = json!("1s");
    step["retries"] = json!(5);
    scene.compensating("mend", json!([step])).await;
    scene
        .until("mend", "waits for another attempt", |status| {
            condition(status, "Ready").contains("Retrying") || status["outcome"].is_string()
        })
        .await;
    let free = json!({"metadata": {"finalizers": null}});
    scene
        .patch(scene.admin(), "ConfigMap", "held", free)
        .await
        .expect("patched");
    let run = ends(&scene, "mend", "Succeeded", "Succeeded", Then::Well).await;
    let told = scene.told_of(super::uid(&run)).await;
    let count = |word: &str| told.iter().filter(|one| one.starts_with(word)).count();
    // How often its time was over is the machine's business.
    assert!(count("step.failed/DeadlineExceeded") >= 1, "{told:?}");
    assert_eq!(count("step.succeeded"), 1, "{told:?}");
    scene.is_gone("ConfigMap", "held").await;
}
