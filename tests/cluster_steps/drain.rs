//! `drain` against a real API server and real controllers, on nodes of the test's own that KWOK plays: what is seen and what
//! is planned, what is refused, disruption budgets that say not now, and pods that go elsewhere.

use kube::api::ListParams;

use super::nodes::{may_mark, node};
use super::*;

fn drain(node: &str, more: Value) -> Value {
    let mut drain = json!({"node": node});
    for (name, value) in more.as_object().expect("fields") {
        drain[name] = value.clone();
    }
    json!({"name": "empty", "drain": drain})
}

/// Where pods of this test may run, and no others.
fn here(scene: &Scene, labels: &Value) -> Value {
    json!({"metadata": {"labels": labels}, "spec": {
        "nodeSelector": {"neuralops.io/test-of": scene.run.namespace},
        "tolerations": [{"key": "neuralops.io/test-of", "operator": "Exists"}],
        "containers": [{"name": "a", "image": "registry.example/a"}],
        "terminationGracePeriodSeconds": 1,
    }})
}

async fn workload(scene: &Scene, kind: &str, name: &str, more: Value) {
    let labels = json!({"app": name});
    let mut spec = json!({"selector": {"matchLabels": labels}, "template": here(scene, &labels)});
    for (field, value) in more.as_object().expect("fields") {
        spec[field] = value.clone();
    }
    let spec = json!({"spec": spec});
    scene.make("apps/v1", kind, name, spec).await;
}

/// The names of the running pods on the node.
async fn on(scene: &Scene, node: &str) -> Vec<String> {
    let pods = api(scene.namespace.admin(), "Pod", &scene.run.namespace);
    let fields = ListParams::default().fields(&format!("spec.nodeName={node}"));
    let all = pods.list(&fields).await.expect("listed").items;
    let running = all.into_iter().filter(|pod| {
        pod.data["status"]["phase"] == "Running" && pod.metadata.deletion_timestamp.is_none()
    });
    running.filter_map(|pod| pod.metadata.name).collect()
}

async fn until_on(scene: &Scene, node: &str, count: usize) -> Vec<String> {
    eventually("pods on the node", SOON, async || {
        let found = on(scene, node).await;
        if found.len() == count {
            Ok(found)
        } else {
            Err(format!("{found:?}"))
        }
    })
    .await
}

async fn budget(scene: &Scene, at_least: u32) {
    let selector = json!({"matchLabels": {"app": "web"}});
    let spec = json!({"spec": {"minAvailable": at_least, "selector": selector}});
    scene
        .make("policy/v1", "PodDisruptionBudget", "web", spec)
        .await;
    eventually("the budget is counted", SOON, async || {
        let live = scene.read("PodDisruptionBudget", "web").await;
        if live["status"]["observedGeneration"] == live["metadata"]["generation"]
            && live["status"]["currentHealthy"] == 2
        {
            Ok(())
        } else {
            Err(live["status"].to_string())
        }
    })
    .await;
}

#[tokio::test]
#[expect(
    clippy::too_many_lines,
    reason = "one story: each part stands on what the one before has left"
)]
async fn a_node_is_drained_as_far_as_budgets_allow_and_pods_go_elsewhere() {
    let cluster = need!(Owned, Controllers, Pods);
    let scene = Scene::new(cluster, "drain").await;
    let (old, new) = (
        node(&scene, "old", false).await,
        node(&scene, "new", true).await,
    );
    workload(&scene, "Deployment", "web", json!({"replicas": 2})).await;
    until_on(&scene, &old, 2).await;
    may_mark(&scene).await;
    let message = scene
        .refused(&drain(&old, json!({})), Verdict::Fail, Reason::AccessDenied)
        .await;
    assert!(
        message.contains("list pods") && message.contains("ClusterRole"),
        "{message}"
    );
    let rights = [core("list", "pods"), core("create", "pods/eviction")];
    grant_everywhere(&scene.namespace, &scene.account.user(), &rights).await;

    let mut bare = here(&scene, &json!({}));
    bare["spec"]["nodeName"] = json!(old);
    scene
        .make("v1", "Pod", "bare", json!({"spec": bare["spec"]}))
        .await;
    let message = scene
        .refused(
            &drain(&old, json!({})),
            Verdict::Fail,
            Reason::TargetNotAllowed,
        )
        .await;
    assert!(
        message.contains(&format!("{}/bare has no controller", scene.run.namespace)),
        "{message}"
    );
    scene.delete("Pod", "bare").await;
    eventually("the pod is gone", SOON, async || {
        if scene.is_there("Pod", "bare").await {
            return Err("it is there".to_owned());
        }
        Ok(())
    })
    .await;
    workload(&scene, "DaemonSet", "agent", json!({})).await;
    until_on(&scene, &old, 3).await;
    let message = scene
        .refused(
            &drain(&old, json!({})),
            Verdict::Fail,
            Reason::TargetNotAllowed,
        )
        .await;
    assert!(message.contains("ignoreDaemonSets"), "{message}");

    budget(&scene, 2).await;
    let step = drain(&old, json!({"ignoreDaemonSets": true, "gracePeriod": "1s"}));
    let seen = scene.forecast(&step).await.expect("a forecast").seen;
    let text = seen.join("\n");
    assert!(
        text.contains("2 pods to evict; left on it: 1 of DaemonSets"),
        "{text}"
    );
    assert!(
        text.contains("of ReplicaSet/web-") && text.contains("not now: The disruption budget web"),
        "{text}"
    );
    let planned = scene.planned(step.clone()).await;
    assert_eq!(planned.step().undo, Undo::Restore);
    assert!(!format!("{:?}", planned.plan).contains("web-"));
    let mark = cluster.audit_mark();
    // Who goes is on record before anybody goes.
    match scene.pass(&planned, 1, false, true).await {
        Ok(Progress::Begun { message }) => {
            assert!(
                message.contains("2 pods") && message.contains("/web-"),
                "{message}"
            );
        }
        other => panic!("{other:?}"),
    }
    let message = match scene.pass(&planned, 1, true, true).await {
        Ok(Progress::Pending { message, .. }) => message,
        other => panic!("{other:?}"),
    };
    assert!(
        message.contains("waits for 2 pods") && message.contains("disruption budget web"),
        "{message}"
    );
    // Whoever may not write any more still says what holds it up.
    match scene.pass(&planned, 1, true, false).await {
        Ok(Progress::Pending { message, .. }) => {
            assert!(message.contains("disruption budget web"), "{message}");
        }
        other => panic!("{other:?}"),
    }
    let live = scene.read("Node", &old).await;
    assert_eq!(live["spec"]["unschedulable"], true);
    assert_eq!(on(&scene, &old).await.len(), 3, "nobody was evicted");
    // Somebody ends it by hand, while it goes on.
    let free = json!({"spec": {"unschedulable": null}});
    scene.alter("Node", &old, free.clone()).await;
    // Nor does another attempt mark it again.
    let goes_on = Asked {
        underway: true,
        ..Asked::default()
    };
    let again = Asked {
        attempt: 2,
        ever: true,
        ..Asked::default()
    };
    for asked in [goes_on, again] {
        let progress = scene.ask(&planned, asked).await;
        assert!(
            matches!(
                progress,
                Ok(Progress::Failed {
                    reason: Reason::TargetDrifted,
                    ..
                })
            ),
            "{progress:?}"
        );
    }
    // Pods that are replaced make no other plan of it.
    let pods = until_on(&scene, &old, 3).await;
    let web = pods.iter().find(|name| name.starts_with("web-"));
    scene.delete("Pod", web.expect("a pod")).await;
    until_on(&scene, &old, 3).await;
    let once_more = scene.planned(step).await;
    assert_eq!(once_more.digest, planned.digest);

    scene.delete("PodDisruptionBudget", "web").await;
    scene.alter("Node", &new, free).await;
    scene.until_done(&planned).await;
    // The agent is on both.
    until_on(&scene, &new, 3).await;
    assert_eq!(on(&scene, &old).await.len(), 1);
    // Taken back, the node takes pods again; those that went do not come back by themselves.
    scene.taken_back(&planned).await;
    let live = scene.read("Node", &old).await;
    assert_eq!(live["spec"]["unschedulable"], Value::Null);
    assert_eq!(on(&scene, &new).await.len(), 3);
    eventually("the record of two evictions", SOON, async || {
        let mut written = scene.writes(mark, 4).await;
        written.retain(|event| event.subresource == "eviction");
        let count = |code| written.iter().filter(|event| event.code == code).count();
        if count(429) >= 2 && count(201) == 2 {
            Ok(())
        } else {
            Err(format!("{written:?}"))
        }
    })
    .await;
}
