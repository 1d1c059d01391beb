//! The story of the product on a real control plane: a broken workload, a signed Playbook, a plan, an approval by somebody
//! who may, an effect with the playbook's own rights, and the record of it.

use std::time::Duration;

use serde_json::json;

use crate::support::{Scene, create, eventually, need};

fn target(name: &str) -> serde_json::Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": name})
}

#[tokio::test]
async fn a_run_is_planned_approved_done_and_recorded() {
    let cluster = need!(Users);
    let scene = Scene::set(cluster, "story").await;
    create(scene.admin(), scene.deployment("checkout"))
        .await
        .expect("a deployment");
    let steps = json!([
        {"name": "restart", "rolloutRestart": {"target": target("checkout")}},
        {"name": "scale", "scale": {"target": target("checkout"), "replicas": 3}},
        {"name": "is-scaled", "check": {"target": target("checkout"), "expression": "object.spec.replicas == 3"}},
    ]);
    scene.signed(scene.playbook("heal", steps)).await;
    scene.ask("r", "heal", json!({})).await;
    let run = scene.asked("r").await;
    let status = &run["status"];
    assert_eq!(status["plan"]["verdict"], "Pass", "{status:#}");
    assert_eq!(status["stage"], "Approve", "{status:#}");
    let config_map = status["plan"]["configMap"].as_str().expect("a name");
    let plan = scene.object("ConfigMap", config_map).await;
    let diff = plan["data"]["diff"].as_str().expect("a diff");
    assert!(diff.contains("/spec/replicas: 1 -> 3"), "{diff}");
    let before = scene.object("Deployment", "checkout").await;
    assert_eq!(
        before["spec"]["replicas"], 1,
        "nothing is done before it is approved"
    );

    scene.approve(&run).await;
    let run = scene.ended("r", "Succeeded").await;
    let after = scene.object("Deployment", "checkout").await;
    assert_eq!(after["spec"]["replicas"], 3);
    let uid = run["metadata"]["uid"].as_str().expect("a uid");
    let annotations = &after["spec"]["template"]["metadata"]["annotations"];
    assert_eq!(
        annotations["neuralops.io/restarted-by"],
        json!(format!("{uid}.restart"))
    );
    let steps = run["status"]["steps"].as_array().expect("steps");
    assert!(
        steps.iter().all(|step| step["state"] == "Succeeded"),
        "{steps:#?}"
    );
    assert!(run["status"]["audit"]["last"].as_i64() > run["status"]["audit"]["first"].as_i64());
    eventually("the Gate is settled", Duration::from_secs(10), async || {
        let gate = run["status"]["gates"][0]["name"].as_str().expect("a name");
        let gate = scene.object("Gate", gate).await;
        if gate["status"]["state"] == "Approved" {
            Ok(())
        } else {
            Err(gate["status"].to_string())
        }
    })
    .await;
}
