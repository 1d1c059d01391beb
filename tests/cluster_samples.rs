//! The samples of the author's guide, one for each step kind: each is signed, planned, approved and run as it stands in its
//! file, in another namespace and as the account of the scene.

use std::path::Path;
use std::time::Duration;

use kube::api::ListParams;
use neuralops::domain::lint::STEP_KINDS;
use serde_json::{Value, json};

use crate::support::{
    Scene, api, core, create, eventually, grant, grant_everywhere, manifests, need, random, rule,
    scraped, skip, steps,
};

/// Those about objects of a namespace, in an order in which each finds what it needs.
const OBJECTS: [&str; 11] = [
    "apply",
    "patch",
    "scale",
    "rolloutRestart",
    "rolloutUndo",
    "delete",
    "notify",
    "job",
    "http",
    "wait",
    "check",
];
/// Those about a node.
const NODES: [&str; 3] = ["cordon", "uncordon", "drain"];
/// Those that are run where their kind is tested.
const ELSEWHERE: [&str; 1] = ["gate"];

#[test]
fn each_kind_is_run_here_or_elsewhere() {
    let here = OBJECTS.into_iter().chain(NODES);
    let mut known: Vec<&str> = here.chain(ELSEWHERE).collect();
    let mut all = STEP_KINDS.to_vec();
    known.sort_unstable();
    all.sort_unstable();
    assert_eq!(known, all);
}

fn sample(scene: &Scene, name: &str) -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("config/samples/steps")
        .join(format!("{name}.yaml"));
    let text = std::fs::read_to_string(file).expect("a sample");
    let mut sample = manifests(&text).pop().expect("a Playbook");
    sample["metadata"]["namespace"] = json!(scene.ns.name());
    sample["spec"]["serviceAccountName"] = json!("runbook");
    sample
}

/// What the samples are about, as their defaults name it.
async fn ready(scene: &Scene) {
    scene.workloads(&["checkout"]).await;
    let settings = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": scene.ns.name()},
        "data": {"batch": "100"},
    });
    create(scene.admin(), settings).await.expect("settings");
    let container = json!({"name": "report", "image": "registry.example/report"});
    let pod = json!({"restartPolicy": "Never", "containers": [container]});
    let report = json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": "nightly-report", "namespace": scene.ns.name()},
        "spec": {"suspend": true, "template": {"spec": pod}},
    });
    create(scene.admin(), report).await.expect("a report");
    // What the samples say that they need beyond the rights of the scene.
    let rights = [
        rule("apps", "list", "replicasets"),
        rule("batch", "delete", "jobs"),
        rule("events.k8s.io", "create get", "events"),
    ];
    grant(&scene.ns, &account(scene), &rights).await;
}

fn account(scene: &Scene) -> String {
    format!("system:serviceaccount:{}:runbook", scene.ns.name())
}

/// There is something to go back to once the controller has made a second revision.
async fn two_revisions(scene: &Scene) {
    let sets = api(scene.admin(), "ReplicaSet", scene.ns.name());
    eventually("two revisions", Duration::from_secs(60), async || {
        let found = sets.list(&ListParams::default()).await;
        let found = found.map_err(|error| error.to_string())?.items.len();
        if found == 2 {
            Ok(())
        } else {
            Err(format!("{found} revisions"))
        }
    })
    .await;
}

async fn run(scene: &Scene, name: &str, more: Value) {
    let sample = sample(scene, name);
    let playbook = sample["metadata"]["name"].as_str().expect("a name");
    let playbook = playbook.to_owned();
    scene.signed(sample).await;
    scene.ask(&playbook, &playbook, more).await;
    let run = scene.asked(&playbook).await;
    assert_eq!(
        run["status"]["stage"], "Approve",
        "{name}: {:#}",
        run["status"]
    );
    scene.approve(&run).await;
    let run = scene.ended(&playbook, "Succeeded").await;
    let states = steps(&run);
    assert!(
        states.split(' ').all(|state| state == "Succeeded"),
        "{name}: {states}"
    );
}

#[tokio::test]
async fn each_sample_is_planned_approved_and_run() {
    let cluster = need!(Owned, Users, Controllers);
    let scene = Scene::set(cluster, "samples").await;
    ready(&scene).await;
    for name in OBJECTS {
        if name == "rolloutUndo" {
            two_revisions(&scene).await;
        }
        run(&scene, name, json!({})).await;
    }
    scene.is_gone("Job", "nightly-report").await;
    assert_eq!(scene.replicas("checkout").await, 6);
    let settings = scene.object("ConfigMap", "settings").await;
    assert_eq!(settings["data"]["batch"], "10");
    let banner = scene.object("ConfigMap", "banner").await;
    assert_eq!(banner["data"]["until"], "the next hour");
}

#[tokio::test]
async fn each_sample_about_a_node_is_planned_approved_and_run() {
    let cluster = need!(Owned, Users);
    let scene = Scene::set(cluster, "samples-node").await;
    let rights = [
        core("get patch", "nodes"),
        core("list", "pods"),
        core("create", "pods/eviction"),
    ];
    grant_everywhere(&scene.ns, &account(&scene), &rights).await;
    let node = random("t-sample");
    // Nobody's pods come to it.
    let taint = json!({"key": "neuralops.io/test-of", "value": node, "effect": "NoSchedule"});
    let object = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}, "spec": {"taints": [taint]}});
    create(scene.admin(), object).await.expect("a node");
    scene.ns.also_delete("Node", &node);
    for (name, marked) in NODES
        .into_iter()
        .zip([json!(true), Value::Null, json!(true)])
    {
        run(&scene, name, json!({"parameters": {"node": node}})).await;
        let found = scene.object("Node", &node).await;
        assert_eq!(found["spec"]["unschedulable"], marked, "{name}");
    }
}

#[tokio::test]
async fn the_sample_that_asks_prometheus_is_run() {
    let cluster = need!(Owned, Users);
    let page = "kube_deployment_status_replicas_unavailable{deployment=\"checkout\"} 0\n";
    let Some(_page) = scraped("samples", page).await else {
        skip!("no Prometheus: make on-cluster starts one");
        return;
    };
    let scene = Scene::set(cluster, "samples-prometheus").await;
    // With stableFor it waits until Prometheus has read the page.
    run(&scene, "check-prometheus", json!({})).await;
}
