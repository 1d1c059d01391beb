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

const PATIENCE: Duration = Duration::from_secs(60);

/// Those that are run here; what they find is what [`ready`] makes.
const RUN: [&str; 8] = [
    "apply",
    "patch",
    "scale",
    "rolloutRestart",
    "job",
    "http",
    "wait",
    "check",
];
/// Those that need rights and a past of their own.
const BACK: [&str; 3] = ["rolloutUndo", "delete", "notify"];
/// Those that need a node, in this order.
const NODES: [&str; 3] = ["cordon", "drain", "uncordon"];
/// Those that are run where their kind is tested: they need people of their own.
const ELSEWHERE: [&str; 1] = ["gate"];

#[test]
fn each_kind_is_run_here_or_elsewhere() {
    let mut known: Vec<&str> = RUN.into_iter().chain(BACK).collect();
    known.extend(NODES.into_iter().chain(ELSEWHERE));
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
}

async fn run(scene: &Scene, name: &str) {
    run_with(scene, name, json!({})).await;
}

async fn run_with(scene: &Scene, name: &str, parameters: Value) {
    let sample = sample(scene, name);
    let playbook = sample["metadata"]["name"].as_str().expect("a name");
    let playbook = playbook.to_owned();
    scene.signed(sample).await;
    let parameters = json!({"parameters": parameters});
    scene.ask(&playbook, &playbook, parameters).await;
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
    for name in RUN {
        run(&scene, name).await;
    }
    assert_eq!(scene.replicas("checkout").await, 6);
    let settings = scene.object("ConfigMap", "settings").await;
    assert_eq!(settings["data"]["batch"], "10");
    let banner = scene.object("ConfigMap", "banner").await;
    assert_eq!(banner["data"]["until"], "the next hour");
}

#[tokio::test]
async fn the_samples_that_go_back_delete_and_tell_are_run() {
    let cluster = need!(Owned, Users, Controllers);
    let scene = Scene::set(cluster, "samples").await;
    let account = format!("system:serviceaccount:{}:runbook", scene.ns.name());
    let rights = [
        rule("apps", "list", "replicasets"),
        rule("batch", "delete", "jobs"),
        rule("events.k8s.io", "create get", "events"),
    ];
    grant(&scene.ns, &account, &rights).await;
    scene.workloads(&["checkout"]).await;
    let kept = async |count: usize| {
        let sets = api(scene.admin(), "ReplicaSet", scene.ns.name());
        eventually("the revision is kept", PATIENCE, async || {
            let all = sets.list(&ListParams::default()).await.expect("listed");
            if all.items.len() == count {
                Ok(())
            } else {
                Err(format!("{} kept", all.items.len()))
            }
        })
        .await;
    };
    kept(1).await;
    let containers = json!([{"name": "app", "image": "registry.example/shop:bad"}]);
    let bad = json!({"spec": {"template": {"spec": {"containers": containers}}}});
    let patched = scene.patch(scene.admin(), "Deployment", "checkout", bad);
    patched.await.expect("patched");
    kept(2).await;
    let container = json!({"name": "a", "image": "registry.example/report"});
    let pod = json!({"restartPolicy": "Never", "containers": [container]});
    let job = json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": "nightly-report", "namespace": scene.ns.name()}, "spec": {"template": {"spec": pod}},
    });
    create(scene.admin(), job).await.expect("a job");
    for name in BACK {
        run(&scene, name).await;
    }
    let live = scene.object("Deployment", "checkout").await;
    let image = &live["spec"]["template"]["spec"]["containers"][0]["image"];
    assert_eq!(image, "registry.example/shop:1");
    scene.is_gone("Job", "nightly-report").await;
}

#[tokio::test]
async fn the_samples_on_nodes_are_run() {
    let cluster = need!(Owned, Users);
    let scene = Scene::set(cluster, "samples").await;
    let account = format!("system:serviceaccount:{}:runbook", scene.ns.name());
    let rights = [
        core("get patch", "nodes"),
        core("list", "pods"),
        core("create", "pods/eviction"),
    ];
    grant_everywhere(&scene.ns, &account, &rights).await;
    let name = random("t-node");
    // No other test's pods are let onto it.
    let taint = json!({"key": "neuralops.io/test-of", "value": name, "effect": "NoSchedule"});
    let node = json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": {"taints": [taint]},
    });
    create(scene.admin(), node).await.expect("a node");
    scene.ns.also_delete("Node", &name);
    let marked = async || scene.object("Node", &name).await["spec"]["unschedulable"].clone();
    for sample in NODES {
        run_with(&scene, sample, json!({"node": name})).await;
        let wanted = if sample == "uncordon" {
            Value::Null
        } else {
            json!(true)
        };
        assert_eq!(marked().await, wanted, "{sample}");
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
    run(&scene, "check-prometheus").await;
}
