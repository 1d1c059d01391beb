//! Approved, then the trust in who signed is gone or another: what was approved was approved under policies, and those are
//! part of the plan.

use futures::future::join_all;
use serde_json::{Value, json};

use crate::support::{Author, Cluster, Scene, condition, create, need, scale, told, waits_for};

const ROWS: [(&str, &str, &str); 8] = [
    ("policy-gone", "Superseded", "no TrustPolicy is about"),
    ("policy-of-others", "Superseded", "no TrustPolicy is about"),
    ("key-replaced", "Superseded", "cannot be planned any more"),
    ("key-expired", "Superseded", "cannot be planned any more"),
    ("key-added", "Superseded", "not what would run now"),
    ("second-policy", "Superseded", "cannot be planned any more"),
    (
        "threshold-raised",
        "Superseded",
        "cannot be planned any more",
    ),
    ("nothing", "Succeeded", ""),
];

/// Changes the policy of the scene.
async fn spec(scene: &Scene, spec: Value) {
    let policies = crate::support::api(scene.admin(), "TrustPolicy", "");
    let patch = kube::api::Patch::Merge(json!({ "spec": spec }));
    let params = kube::api::PatchParams::default();
    let patched = policies.patch(scene.ns.name(), &params, &patch).await;
    patched.expect("an altered policy");
}

async fn alter(scene: &Scene, row: &str) {
    let other = Author::new();
    let key = |name: &str, author: &Author| json!({"name": name, "publicKey": author.public});
    match row {
        "policy-gone" => {
            let policies = crate::support::api(scene.admin(), "TrustPolicy", "");
            let params = kube::api::DeleteParams::default();
            let deleted = policies.delete(scene.ns.name(), &params).await;
            deleted.expect("deleted");
        }
        "policy-of-others" => spec(scene, json!({"match": {"namespaces": ["elsewhere"]}})).await,
        "key-replaced" => spec(scene, json!({"keys": [key("author", &other)]})).await,
        "key-expired" => {
            let mut old = key("author", &scene.author);
            old["notAfter"] = json!("2020-01-01T00:00:00Z");
            spec(scene, json!({"keys": [old]})).await;
        }
        "key-added" => {
            let keys = [key("author", &scene.author), key("other", &other)];
            spec(scene, json!({ "keys": keys })).await;
        }
        "threshold-raised" => {
            let keys = [key("author", &scene.author), key("other", &other)];
            spec(scene, json!({"keys": keys, "threshold": 2})).await;
        }
        "second-policy" => {
            let name = crate::support::random("t-second");
            scene.ns.also_delete("TrustPolicy", &name);
            create(scene.admin(), other.policy(&name, scene.ns.name()))
                .await
                .expect("a second policy");
        }
        _ => {}
    }
}

async fn row(cluster: &'static Cluster, (row, outcome, says): (&str, &str, &str)) {
    let scene = Scene::set(cluster, "trust").await;
    let mark = cluster.audit_mark();
    scene.workloads(&["d"]).await;
    scene
        .approved(
            "r",
            json!([scale("s", "d", 3)]),
            json!({"start": "OnRelease"}),
        )
        .await;
    let run = scene
        .until("r", "waits", waits_for("AwaitingRelease"))
        .await;
    assert_eq!(
        condition(&run["status"], "Approved"),
        "True/Approved",
        "{row}"
    );
    alter(&scene, row).await;
    let released = scene.set_run("alice", "r", json!({"releasedBy": "alice"}));
    released.await.expect("released");
    let run = scene.ended("r", outcome).await;
    let said = format!("{} {}", told(&run["status"]), run["status"]);
    assert!(said.contains(says), "{row}: {said}");
    let effects = scene.effects(mark).await;
    if outcome == "Succeeded" {
        assert_eq!(
            effects,
            ["patch deployments d"],
            "{row}: what is counted is seen"
        );
    } else {
        assert_eq!(effects, Vec::<String>::new(), "{row}");
        assert_eq!(scene.replicas("d").await, 1, "{row}");
    }
}

#[tokio::test]
async fn what_is_not_trusted_any_more_does_not_run() {
    let cluster = need!(Users, Owned);
    join_all(ROWS.map(|one| row(cluster, one))).await;
}
