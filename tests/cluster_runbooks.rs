//! The playbooks of config/samples/playbooks: each workload is broken as its folder says, the playbook signed, planned and
//! approved by people, and then it has to heal; with the rights of its own rbac.yaml and no others, and with a record that
//! holds. Pods are simulated.

use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};
use neuralops::api::v1alpha1::AuditLog;
use serde_json::{Value, json};

use crate::support::{
    Scene, api, apply, create, eventually, manifests, need, random, scraped, skip,
};

const SOON: Duration = Duration::from_secs(60);

/// One of the folders, in a namespace of the test.
struct Sample {
    scene: Scene,
    folder: &'static str,
}

impl Sample {
    async fn set(cluster: &'static crate::support::Cluster, folder: &'static str) -> Self {
        let scene = Scene::set(cluster, folder).await;
        let sample = Self { scene, folder };
        for object in sample.file("rbac.yaml") {
            sample.make(object).await;
        }
        sample
    }

    /// The objects of a file, in the namespace of the test; the namespace itself is there.
    fn file(&self, name: &str) -> Vec<Value> {
        let path: PathBuf = [
            env!("CARGO_MANIFEST_DIR"),
            "config/samples/playbooks",
            self.folder,
            name,
        ]
        .iter()
        .collect();
        let text = std::fs::read_to_string(&path).expect("a file of the sample");
        let mut objects = manifests(&text);
        objects.retain(|object| object["kind"] != "Namespace");
        for object in &mut objects {
            moved(object, self.folder, self.scene.ns.name());
        }
        objects
    }

    async fn make(&self, mut object: Value) {
        let kind = object["kind"].as_str().expect("a kind").to_owned();
        if kind.starts_with("ClusterRole") {
            // Nobody else's: the name is free in no namespace.
            let name = self.scene.ns.name();
            object["metadata"]["name"] = json!(name);
            if let Some(role) = object.get_mut("roleRef") {
                role["name"] = json!(name);
            }
            self.scene.ns.also_delete(&kind, name);
        }
        create(self.scene.admin(), object).await.expect("created");
    }

    async fn workload(&self) {
        for object in self.file("workload.yaml") {
            self.make(object).await;
        }
    }

    /// What its folder calls broken happens.
    async fn breaks(&self) {
        for object in self.file("break.yaml") {
            let yaml = serde_json::to_string(&object).expect("JSON");
            apply(self.scene.admin(), &yaml).await.expect("applied");
        }
    }

    async fn until(&self, kind: &str, name: &str, what: &str, is: impl Fn(&Value) -> bool) {
        eventually(what, SOON, async || {
            let live = self.scene.object(kind, name).await;
            if is(&live) {
                Ok(())
            } else {
                Err(format!("{} {}", live["spec"], live["status"]))
            }
        })
        .await;
    }

    /// All replicas of the Deployment are there, in its newest version.
    async fn is_well(&self, name: &str) {
        self.until("Deployment", name, "all replicas are there", well)
            .await;
    }

    /// alice asks, bob looks at the plan and approves; the run ends well and the record of everything holds.
    async fn heals(&self, parameters: Value, shows: &[&str]) -> Value {
        let mut playbook = self.file("playbook.yaml");
        let playbook = playbook.pop().expect("a playbook");
        let name = playbook["metadata"]["name"]
            .as_str()
            .expect("a name")
            .to_owned();
        let scene = &self.scene;
        scene.signed(playbook).await;
        let parameters = json!({"parameters": parameters});
        scene.ask("mend", &name, parameters).await;
        let run = scene.asked("mend").await;
        assert_eq!(
            run["status"]["plan"]["verdict"], "Pass",
            "{:#}",
            run["status"]
        );
        let gate = run["status"]["gates"][0]["name"].as_str().expect("a Gate");
        let gate = scene.object("Gate", gate).await;
        let diff = gate["spec"]["subject"]["diff"].as_str().expect("a diff");
        for words in shows {
            assert!(diff.contains(words), "{words} is not in\n{diff}");
        }
        scene.approve(&run).await;
        let run = scene.ended("mend", "Succeeded").await;
        self.recorded().await;
        run
    }

    async fn recorded(&self) {
        let cluster = self.scene.cluster;
        let store = format!("sqlite://{}", cluster.store().display());
        let logs: Api<AuditLog> = Api::all(self.scene.admin().clone());
        eventually("the record holds", SOON, async || {
            let anchor = logs.get("main").await.expect("the AuditLog").spec;
            let key = anchor.keys.first().expect("a key").clone();
            let verify = ["audit", "verify", &store, "--semantic", "--key", &key];
            let answer = std::process::Command::new(env!("CARGO_BIN_EXE_neuralops"))
                .args(verify)
                .output()
                .expect("neuralops runs");
            let said = String::from_utf8_lossy(&answer.stdout).into_owned();
            if answer.status.success() && said.contains("nothing began unplanned or unapproved") {
                Ok(())
            } else {
                let said = said + &String::from_utf8_lossy(&answer.stderr);
                Err(said)
            }
        })
        .await;
        // The last step has told so.
        let events = api(self.scene.admin(), "Event", self.scene.ns.name());
        let all = events.list(&ListParams::default()).await.expect("listed");
        let told = |event: &&kube::api::DynamicObject| {
            event.data["reportingController"] == "neuralops.io/playbook"
        };
        assert_eq!(all.items.iter().filter(told).count(), 1);
    }
}

/// Puts what lies in the sample's namespace into another one.
fn moved(value: &mut Value, from: &str, to: &str) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                if name == "namespace" && field.as_str() == Some(from) {
                    *field = json!(to);
                } else {
                    moved(field, from, to);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| moved(item, from, to)),
        _ => {}
    }
}

fn well(live: &Value) -> bool {
    let status = &live["status"];
    let wanted = &live["spec"]["replicas"];
    status["observedGeneration"] == live["metadata"]["generation"]
        && status["updatedReplicas"] == *wanted
        && status["availableReplicas"] == *wanted
}

fn image(live: &Value) -> &Value {
    &live["spec"]["template"]["spec"]["containers"][0]["image"]
}

#[tokio::test]
async fn a_crash_loop_after_a_bad_rollout() {
    let cluster = need!(Owned, Users, Controllers, Pods);
    let sample = Sample::set(cluster, "crash-loop").await;
    sample.workload().await;
    sample.is_well("checkout").await;
    sample.breaks().await;
    let pods: Api<Pod> = Api::namespaced(sample.scene.admin().clone(), sample.scene.ns.name());
    eventually("a pod has crashed", SOON, async || {
        let all = pods.list(&ListParams::default()).await.expect("listed");
        let mut phases = all.items.iter().filter_map(|pod| pod.status.as_ref());
        if phases.any(|status| status.phase.as_deref() == Some("Failed")) {
            Ok(())
        } else {
            Err("none".to_owned())
        }
    })
    .await;
    let shows = [
        "checkout:2.8.1",
        "checkout:2.8.0",
        "goes back to its revision 1",
    ];
    sample
        .heals(json!({"deployment": "checkout"}), &shows)
        .await;
    let live = sample.scene.object("Deployment", "checkout").await;
    assert_eq!(image(&live), "registry.example/shop/checkout:2.8.0");
    sample.is_well("checkout").await;
}

#[tokio::test]
async fn a_rollout_that_is_stuck() {
    let cluster = need!(Owned, Users, Controllers, Pods);
    let sample = Sample::set(cluster, "stuck-rollout").await;
    sample.workload().await;
    sample.is_well("catalog").await;
    sample.breaks().await;
    sample
        .until("Deployment", "catalog", "the rollout is stuck", |live| {
            live["status"]["unavailableReplicas"].as_i64() > Some(0)
                && live["status"]["observedGeneration"] == live["metadata"]["generation"]
        })
        .await;
    let shows = ["- /spec/template/spec/nodeSelector"];
    sample.heals(json!({"deployment": "catalog"}), &shows).await;
    let live = sample.scene.object("Deployment", "catalog").await;
    // The new version stays.
    assert_eq!(image(&live), "registry.example/shop/catalog:4.2.0");
    assert!(well(&live), "{:#}", live["status"]);
}

#[tokio::test]
async fn more_replicas_under_load() {
    let cluster = need!(Owned, Users, Controllers, Pods);
    let page = "queue_depth{deployment=\"worker\"} 900\n";
    let Some(_page) = scraped("runbooks", page).await else {
        skip!("no Prometheus: make on-cluster starts one");
        return;
    };
    let sample = Sample::set(cluster, "scale-under-load").await;
    sample.workload().await;
    sample.is_well("worker").await;
    let parameters = json!({"deployment": "worker", "replicas": "6"});
    sample.heals(parameters, &["/spec/replicas: 2 -> 6"]).await;
    let live = sample.scene.object("Deployment", "worker").await;
    assert_eq!(live["status"]["availableReplicas"], 6);
}

#[tokio::test]
async fn a_setting_that_was_rolled_back() {
    let cluster = need!(Owned, Users, Controllers, Pods);
    let sample = Sample::set(cluster, "config-rollback").await;
    sample.workload().await;
    sample.is_well("gateway").await;
    sample.breaks().await;
    let shows = [r#"/data/timeout: "0s" -> "30s""#, "restarted-by"];
    let run = sample.heals(json!({"timeout": "30s"}), &shows).await;
    let settings = sample.scene.object("ConfigMap", "gateway").await;
    assert_eq!(settings["data"]["timeout"], "30s");
    let live = sample.scene.object("Deployment", "gateway").await;
    let uid = run["metadata"]["uid"].as_str().expect("a uid");
    let marks = &live["spec"]["template"]["metadata"]["annotations"];
    assert_eq!(
        marks["neuralops.io/restarted-by"],
        json!(format!("{uid}.read-anew"))
    );
    assert!(well(&live), "{:#}", live["status"]);
}

#[tokio::test]
async fn a_cache_that_is_emptied_by_a_job() {
    let cluster = need!(Owned, Users, Controllers, Pods);
    let sample = Sample::set(cluster, "cache-flush").await;
    sample.workload().await;
    sample.is_well("cache").await;
    let shows = ["what it does inside is NOT known", "FLUSHALL"];
    sample.heals(json!({}), &shows).await;
    let jobs = api(sample.scene.admin(), "Job", sample.scene.ns.name());
    let all = jobs.list(&ListParams::default()).await.expect("listed");
    assert_eq!(all.items.len(), 1);
    assert_eq!(all.items[0].data["status"]["succeeded"], 1);
}

#[tokio::test]
async fn a_node_that_is_drained() {
    let cluster = need!(Owned, Users, Controllers, Pods);
    let sample = Sample::set(cluster, "node-drain").await;
    let scene = &sample.scene;
    let (old, new) = (random("t-old"), random("t-new"));
    let mine = json!({"neuralops.io/test-of": scene.ns.name()});
    for (name, unschedulable) in [(&old, false), (&new, true)] {
        let mut labels =
            json!({"type": "kwok", "kubernetes.io/os": "linux", "kubernetes.io/hostname": name});
        labels["neuralops.io/test-of"] = mine["neuralops.io/test-of"].clone();
        // No other test's pods are let onto it.
        let taint = json!({"key": "neuralops.io/test-of", "value": scene.ns.name(), "effect": "NoSchedule"});
        let node = json!({
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels},
            "spec": {"unschedulable": unschedulable, "taints": [taint]},
        });
        sample.make(node).await;
        scene.ns.also_delete("Node", name);
    }
    for mut object in sample.file("workload.yaml") {
        if object["kind"] == "Deployment" {
            let pod = &mut object["spec"]["template"]["spec"];
            pod["nodeSelector"] = mine.clone();
            pod["tolerations"] = json!([{"key": "neuralops.io/test-of", "operator": "Exists"}]);
        }
        sample.make(object).await;
    }
    sample.is_well("web").await;
    let allows = |live: &Value| live["status"]["disruptionsAllowed"] == 1;
    sample
        .until("PodDisruptionBudget", "web", "one may go", allows)
        .await;
    let free = json!({"spec": {"unschedulable": null}});
    scene
        .patch(scene.admin(), "Node", &new, free)
        .await
        .expect("patched");
    let shows = [
        "2 pods to evict",
        "of ReplicaSet/web-",
        "nothing brings them back",
    ];
    sample.heals(json!({"node": old}), &shows).await;
    let node = scene.object("Node", &old).await;
    assert_eq!(node["spec"]["unschedulable"], true);
    let pods: Api<Pod> = Api::namespaced(scene.admin().clone(), scene.ns.name());
    for pod in pods.list(&ListParams::default()).await.expect("listed") {
        let at = pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
        assert_eq!(at, Some(new.clone()), "{}", pod.name_any());
    }
}
