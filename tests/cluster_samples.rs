//! The samples of the author's guide, one for each step kind: each is signed, planned, approved and run as it stands in its
//! file, in another namespace and as the account of the scene.

use std::path::Path;

use neuralops::domain::lint::STEP_KINDS;
use serde_json::{Value, json};

use crate::support::{Scene, create, manifests, need, scraped, skip, steps};

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
/// Those that are run where their kind is tested: they need nodes, revisions or people of their own.
const ELSEWHERE: [&str; 7] = [
    "rolloutUndo",
    "delete",
    "cordon",
    "uncordon",
    "drain",
    "gate",
    "notify",
];

#[test]
fn each_kind_is_run_here_or_elsewhere() {
    let mut known: Vec<&str> = RUN.into_iter().chain(ELSEWHERE).collect();
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
    let sample = sample(scene, name);
    let playbook = sample["metadata"]["name"].as_str().expect("a name");
    let playbook = playbook.to_owned();
    scene.signed(sample).await;
    scene.ask(&playbook, &playbook, json!({})).await;
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
