//! What the records of real runs are good for: they make sense, they agree with the objects, and one file proves a run
//! where there is neither store nor cluster.

#![expect(
    clippy::too_many_lines,
    reason = "a scene is told from beginning to end"
)]

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use kube::Api;
use kube::api::DeleteParams;
use neuralops::api::v1alpha1::AuditLog;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Scene, api, create, eventually, need};

const PATIENCE: Duration = Duration::from_secs(30);

/// A command as a user runs it: its exit code, and what it says.
fn neuralops(args: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_neuralops"))
        .args(args)
        .env_clear()
        .output()
        .expect("the command runs");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).expect("text"))
}

#[track_caller]
fn good(args: &[&str]) -> String {
    let (code, said) = neuralops(args);
    assert_eq!(code, Some(0), "{args:?}: {said}");
    said
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_recorded_of_runs_makes_sense_agrees_and_proves_them() {
    let cluster = need!(Owned, Users);
    let scene = Scene::set(cluster, "records").await;
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "checkout"});
    create(scene.admin(), scene.deployment("checkout"))
        .await
        .expect("a deployment");
    let steps = json!([
        {"name": "restart", "rolloutRestart": {"target": target}},
        {"name": "scale", "scale": {"target": target, "replicas": 3}},
    ]);
    scene.signed(scene.playbook("heal", steps)).await;
    let never = json!([
        {"name": "restart", "rolloutRestart": {"target": target}},
        {"name": "never", "check": {"target": target, "expression": "object.spec.replicas == 99"}, "timeout": "1s"},
    ]);
    scene.signed(scene.playbook("hopeless", never)).await;

    // One of each end.
    scene.ask("healed", "heal", json!({})).await;
    scene.ask("cancelled", "heal", json!({})).await;
    scene.ask("rejected", "heal", json!({})).await;
    scene
        .ask("planned", "heal", json!({"mode": "PlanOnly"}))
        .await;
    scene.ended("planned", "Planned").await;
    let run = scene.asked("healed").await;
    scene.approve(&run).await;
    let healed = scene.ended("healed", "Succeeded").await;
    let run = scene.asked("rejected").await;
    scene.vote("bob", &run, "Reject").await.expect("a vote");
    scene.ended("rejected", "Rejected").await;
    scene.asked("cancelled").await;
    let cancel = json!({"spec": {"cancel": true, "cancelledBy": "alice"}});
    let cancelled = scene
        .patch(&scene.alice().await, "Orchestration", "cancelled", cancel)
        .await;
    cancelled.expect("cancelled");
    scene.ended("cancelled", "Cancelled").await;
    scene.ask("failed", "hopeless", json!({})).await;
    let run = scene.asked("failed").await;
    scene.approve(&run).await;
    scene.ended("failed", "Failed").await;

    let store = format!("sqlite://{}", cluster.store().display());
    let logs: Api<AuditLog> = Api::all(scene.admin().clone());
    let anchor = logs.get("main").await.expect("the AuditLog").spec;
    let key = anchor.keys.first().expect("a key");
    let said = good(&["audit", "verify", &store, "--semantic", "--key", key]);
    assert!(
        said.contains("nothing began unplanned or unapproved"),
        "{said}"
    );

    // Others forge statuses beside this test; nothing is said of what lies here.
    let kubeconfig = text(cluster.kubeconfig_file());
    eventually("objects and records agree", PATIENCE, async || {
        let (_, said) = neuralops(&[
            "audit",
            "reconcile",
            "--store",
            &store,
            "--kubeconfig",
            kubeconfig,
        ]);
        let ours = said.lines().find(|line| line.contains(scene.ns.name()));
        ours.map_or(Ok(()), |line| Err(line.to_owned()))
    })
    .await;

    let folder = TempDir::new().expect("a folder");
    let uid = healed["metadata"]["uid"]
        .as_str()
        .expect("a uid")
        .to_owned();
    let prove = async |name: &str, more: &[&str]| {
        let path = folder.path().join(format!("{name}-{}.json", more.len()));
        let at = [
            "evidence",
            name,
            "-n",
            scene.ns.name(),
            "--kubeconfig",
            kubeconfig,
        ];
        let with = ["--store", store.as_str(), "--key", key, "--to", text(&path)];
        let args = [&at[..], &with[..], more].concat();
        eventually("the run is proven", PATIENCE, async || {
            match neuralops(&args) {
                (Some(0), said) => Ok(said),
                // A checkpoint covers its last record within a second.
                (_, said) => Err(said),
            }
        })
        .await;
        // On another machine: neither cluster nor store.
        (good(&["audit", "verify", text(&path), "--key", key]), path)
    };
    let (said, path) = prove("healed", &[]).await;
    for line in [
        "records of the run",
        "  approved by bob\n",
        "  it ended as Succeeded\n",
        healed["status"]["plan"]["digest"]
            .as_str()
            .expect("a digest"),
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert!(!said.contains("not in the file"), "{said}");
    let file = std::fs::read_to_string(&path).expect("a file");
    let evidence: Value = serde_json::from_str(&file).expect("JSON");
    assert!(
        evidence["playbook"]["metadata"]["annotations"]["neuralops.io/cosign-bundle"].is_string(),
        "{evidence:#}"
    );
    let altered = folder.path().join("altered.json");
    std::fs::write(
        &altered,
        file.replace("\"user\": \"bob\"", "\"user\": \"eve\""),
    )
    .expect("written");
    // Who cast a Decision is the cluster's word; that it was another one is not.
    good(&["audit", "verify", text(&altered), "--key", key]);
    let vote = evidence["decisions"][0]["metadata"]["uid"]
        .as_str()
        .expect("a uid");
    std::fs::write(&altered, file.replace(vote, &uid)).expect("written");
    let (code, said) = neuralops(&["audit", "verify", text(&altered), "--key", key]);
    assert_eq!(code, Some(3), "{said}");

    for (name, outcome) in [
        ("planned", "Planned"),
        ("rejected", "Rejected"),
        ("cancelled", "Cancelled"),
        ("failed", "Failed"),
    ] {
        let (said, _) = prove(name, &[]).await;
        assert!(said.contains(&format!("it ended as {outcome}")), "{said}");
    }

    // Deleted, its records stay.
    let runs = api(scene.admin(), "Orchestration", scene.ns.name());
    runs.delete("healed", &DeleteParams::default())
        .await
        .expect("deleted");
    eventually("the run is gone", PATIENCE, async || {
        match runs.get_opt("healed").await {
            Ok(None) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let (said, _) = prove("healed", &["--uid", &uid]).await;
    assert!(
        said.contains("it ended as Succeeded") && said.contains("(not in the file)"),
        "{said}"
    );
    let (_, said) = neuralops(&[
        "audit",
        "reconcile",
        "--store",
        &store,
        "--kubeconfig",
        kubeconfig,
    ]);
    let row = said
        .lines()
        .find(|line| line.contains(&uid))
        .expect("a row");
    assert!(
        row.starts_with("gone") && row.ends_with("it ended as Succeeded"),
        "{row}"
    );
}
