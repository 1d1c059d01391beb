//! How long a vote takes beside many open Gates, and how long an approved run takes to its first effect, each beside what
//! a bare client needs on the same API server in the same minute. `make bench` runs it on a control plane of its own;
//! `--quick` takes a few seconds. It asserts that the work was done, and nothing about time.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a measurement that cannot be made ends; what was measured is printed"
)]

#[expect(dead_code, reason = "the log's benchmark needs more of it")]
#[path = "report/spread.rs"]
mod spread;
#[expect(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "the tests need more of it"
)]
#[path = "../tests/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use futures::{StreamExt as _, stream};
use kube::{
    Client,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use spread::{Spread, line};
use support::{Cluster, Need, Scene, api, create};

const DIGEST: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let cluster = match support::cluster(&[Need::Owned, Need::Users]) {
        Ok(cluster) => cluster,
        Err(reason) => {
            println!("nothing measured: {reason}");
            return;
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(async {
        votes(
            cluster,
            if quick { &[1, 10] } else { &[1, 100, 1000] },
            if quick { 5 } else { 100 },
        )
        .await;
        runs(cluster, if quick { 2 } else { 30 }).await;
    });
}

/// A Gate that alice made and nobody settles.
fn gate(namespace: &str, number: usize) -> Value {
    json!({
        "apiVersion": "neuralops.io/v1alpha1", "kind": "Gate",
        "metadata": {"name": format!("g{number}"), "namespace": namespace},
        "spec": {
            "subject": {"uid": format!("{number}"), "planDigest": DIGEST, "diff": "x".repeat(1500)},
            "rules": [{"role": "oncall", "min": 1}], "requestedBy": ["alice"],
        },
    })
}

async fn votes(cluster: &'static Cluster, counts: &[usize], samples: usize) {
    let scene = Scene::set(cluster, "bench-votes").await;
    let namespace = scene.ns.name();
    support::grant(&scene.ns, "alice", &[support::ours("create", "gates")]).await;
    support::grant(&scene.ns, "bob", &[support::core("create", "configmaps")]).await;
    let (alice, bob) = (scene.alice().await, cluster.person("bob").await);
    let mut uid = String::new();
    let mut made = 0;
    for count in counts {
        let missing =
            stream::iter(made..*count).map(|number| create(&alice, gate(namespace, number)));
        let new: Vec<_> = missing.buffer_unordered(16).collect().await;
        for gate in new {
            let gate = gate.expect("a gate");
            if gate.metadata.name.as_deref() == Some("g0") {
                uid = gate.metadata.uid.expect("a uid");
            }
        }
        made = *count;
        let vote = json!({
            "apiVersion": "neuralops.io/v1alpha1", "kind": "Decision",
            "metadata": {"generateName": "v-", "namespace": namespace},
            "spec": {"gateRef": {"name": "g0", "uid": uid}, "planDigest": DIGEST, "verdict": "Approve", "user": "bob"},
        });
        let config_map = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "v-", "namespace": namespace},
        });
        let bare = asked(&bob, "ConfigMap", namespace, &config_map, samples).await;
        let took = asked(&bob, "Decision", namespace, &vote, samples).await;
        let ratio = took.percentile(50) / bare.percentile(50);
        line(
            &format!("a vote beside {count} open Gates, ms"),
            &took.percentiles(1e3),
            &format!("{ratio:.1}x bare"),
            &format!("bare create {}", bare.percentiles(1e3)),
        );
    }
}

/// Creations that nothing comes of, one after the other.
async fn asked(
    client: &Client,
    kind: &str,
    namespace: &str,
    object: &Value,
    samples: usize,
) -> Spread {
    let objects = api(client, kind, namespace);
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let object = serde_json::from_value(object.clone()).expect("an object");
    let mut took = Vec::new();
    let mut refused = 0;
    while took.len() < samples {
        let began = Instant::now();
        match objects.create(&dry, &object).await {
            Ok(_) => took.push(began.elapsed()),
            // The policy has not seen the newest Gates yet.
            Err(error) => {
                refused += 1;
                assert!(refused < 1000, "{error}");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
    Spread::of(took)
}

/// From the vote's answer to the effect, beside an echo: a bare client that sees a change and writes another object.
async fn runs(cluster: &'static Cluster, samples: usize) {
    let scene = Scene::set(cluster, "bench-runs").await;
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "$(params.name)"});
    let mut playbook = scene.playbook(
        "scale",
        json!([{"name": "scale", "scale": {"target": target, "replicas": 0}}]),
    );
    playbook["spec"]["parameters"] =
        json!({"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}});
    scene.signed(playbook).await;
    let mut took = Vec::new();
    let mut echoed = Vec::new();
    for number in 0..samples {
        let name = format!("d{number}");
        create(scene.admin(), scene.deployment(&name))
            .await
            .expect("a deployment");
        scene
            .ask(&name, "scale", json!({"parameters": {"name": name}}))
            .await;
        let run = scene.asked(&name).await;
        scene.approve(&run).await;
        let began = Instant::now();
        until(&scene, "Deployment", &name, |object| {
            object["spec"]["replicas"] == 0
        })
        .await;
        took.push(began.elapsed());
        scene.ended(&name, "Succeeded").await;
        echoed.push(echo(&scene, &name).await);
    }
    let (took, echoed) = (Spread::of(took), Spread::of(echoed));
    let ratio = took.percentile(50) / echoed.percentile(50);
    line(
        "from the vote to the effect, ms",
        &took.percentiles(1e3),
        &format!("{ratio:.1}x an echo"),
        &format!("echo {}; now 3x, goal 1.5x", echoed.percentiles(1e3)),
    );
}

async fn until(scene: &Scene, kind: &str, name: &str, is: impl Fn(&Value) -> bool) {
    let began = Instant::now();
    while !is(&scene.object(kind, name).await) {
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "{kind} {name} does not change"
        );
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// A watch sees one ConfigMap change and writes another; how long until that is there.
async fn echo(scene: &Scene, name: &str) -> Duration {
    let namespace = scene.ns.name();
    for which in ["asks", "answers"] {
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("{name}-{which}"), "namespace": namespace}});
        create(scene.admin(), object).await.expect("a ConfigMap");
    }
    let maps = api(scene.admin(), "ConfigMap", namespace);
    let data = |value: &str| Patch::Merge(json!({"data": {"x": value}}));
    let asks = format!("{name}-asks");
    let config = kube::runtime::watcher::Config::default().fields(&format!("metadata.name={asks}"));
    let mut seen = Box::pin(kube::runtime::watcher(maps.clone(), config));
    let answering = async {
        while let Some(event) = seen.next().await {
            if let Ok(kube::runtime::watcher::Event::Apply(object)) = event
                && object.data["data"]["x"] == "asked"
            {
                let answers = format!("{name}-answers");
                maps.patch(&answers, &PatchParams::default(), &data("answered"))
                    .await
                    .expect("patched");
                return;
            }
        }
    };
    let asking = async {
        // The watch has to be there first.
        tokio::time::sleep(Duration::from_millis(100)).await;
        maps.patch(&asks, &PatchParams::default(), &data("asked"))
            .await
            .expect("patched");
        let began = Instant::now();
        until(scene, "ConfigMap", &format!("{name}-answers"), |object| {
            object["data"]["x"] == "answered"
        })
        .await;
        began.elapsed()
    };
    futures::future::join(answering, asking).await.1
}
