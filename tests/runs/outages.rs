//! Many runs while API server and etcd are killed, paused and starved: all come to their right end, and nothing is done
//! twice.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use kube::api::ListParams;
use serde_json::{Value, json};

use super::bed::{Bed, LONG, api_server_anew, append, basket, target};
use crate::support::{Operator, OwnCluster, Scene, api, create, eventually, need};

/// Watches end after 3 to 6 seconds, what is older than a few seconds is compacted, and few may ask at the same time.
const FLAGS: &str = "--min-request-timeout=3 --etcd-compaction-interval=5s --enable-priority-and-fairness=false \
                     --max-requests-inflight=8 --max-mutating-requests-inflight=4";
/// For all runs together.
const VERY_LONG: Duration = Duration::from_secs(420);

struct Scale {
    runs: usize,
    pause: Duration,
}

/// `NEURALOPS_RUNS` says how many; `make long` says 200.
fn scale() -> Scale {
    #[expect(
        clippy::disallowed_methods,
        reason = "the test bed speaks through the environment"
    )]
    let told = std::env::var("NEURALOPS_RUNS").ok();
    match told.map(|text| text.parse().expect("a number")) {
        Some(runs) => Scale {
            runs,
            pause: Duration::from_secs(30),
        },
        None => Scale {
            runs: 20,
            pause: Duration::from_secs(10),
        },
    }
}

async fn scene(bed: &Bed, runs: usize) -> Scene {
    let scene = Scene::set(bed.own.cluster(), "outages").await;
    let name = "$(params.deployment)";
    let steps = json!([
        {"name": "restart", "rolloutRestart": {"target": target(name)}},
        {"name": "scale", "scale": {"target": target(name), "replicas": 0}},
        {"name": "append", "patch": append(name)},
    ]);
    let mut playbook = scene.playbook("heal", steps);
    playbook["spec"]["parameters"] = json!({
        "type": "object", "required": ["deployment"],
        "properties": {"deployment": {"type": "string", "maxLength": 63}},
    });
    scene.signed(playbook).await;
    let made = (0..runs).map(|number| {
        let mut object = basket(&scene, &format!("d{number}"));
        // Its pods are nobody's business here.
        object["spec"]["template"]["spec"]["schedulerName"] = json!("nobody");
        create(scene.admin(), object)
    });
    let made: Vec<_> = futures::stream::iter(made)
        .buffer_unordered(4)
        .collect()
        .await;
    for object in made {
        object.expect("a deployment");
    }
    scene
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_come_to_their_end_through_outages_of_the_control_plane() {
    need!(Owned, Users);
    let Scale { runs, pause } = scale();
    let bed = Bed {
        own: OwnCluster::start_with(&[("E2E_PODS", "none"), ("E2E_APISERVER_FLAGS", FLAGS)]).await,
    };
    bed.own.install();
    let mut operator = bed.own.operator(&[]);
    operator.ready().await;
    operator.trusts().await;
    let scene = scene(&bed, runs).await;
    for number in 0..runs {
        let more = json!({"parameters": {"deployment": format!("d{number}")}});
        scene.ask(&format!("r{number}"), "heal", more).await;
    }

    let began = Instant::now();
    let (trouble, ()) = tokio::join!(
        async {
            trouble(&bed, pause).await;
            began.elapsed()
        },
        attended(&bed, &scene, &mut operator, runs)
    );
    eprintln!(
        "{runs} runs: {:?}, of which trouble {trouble:?}",
        began.elapsed()
    );
    for number in 0..runs {
        let found = scene.object("Deployment", &format!("d{number}")).await;
        // Made, and three times written.
        assert_eq!(found["metadata"]["generation"], 4, "{found:#}");
        let arguments = &found["spec"]["template"]["spec"]["containers"][0]["args"];
        assert_eq!(*arguments, json!(["a", "b"]));
        assert_eq!(found["spec"]["replicas"], 0);
    }
    bed.verifies().await;
}

/// One after another, with a time to breathe between them.
async fn trouble(bed: &Bed, pause: Duration) {
    let breath = Duration::from_secs(4);
    lasts(breath).await;
    api_server_anew(bed).await;
    lasts(breath).await;
    bed.own.ctl("pause", "etcd");
    lasts(pause).await;
    bed.own.ctl("resume", "etcd");
    lasts(breath).await;
    bed.own.ctl("kill", "etcd");
    bed.own.ctl("start", "etcd");
    lasts(breath).await;
    api_server_anew(bed).await;
}

/// A fault lasts for this time: that is the condition.
async fn lasts(time: Duration) {
    let began = Instant::now();
    eventually("a fault lasts", LONG, async || {
        if began.elapsed() >= time {
            Ok(())
        } else {
            Err("not yet".to_owned())
        }
    })
    .await;
}

/// Approves whoever asks, and starts the operator again where it ended, as a kubelet does, until all have come to an end.
async fn attended(bed: &Bed, scene: &Scene, operator: &mut Operator, runs: usize) {
    let mut voted = BTreeSet::new();
    eventually("all runs come to their end", VERY_LONG, async || {
        if operator.exit_code().is_some() {
            *operator = bed.own.operator(&[]);
        }
        let all = api(scene.admin(), "Orchestration", scene.ns.name());
        let all = all.list(&ListParams::default()).await;
        let all = all.map_err(|error| error.to_string())?.items;
        assert_eq!(all.len(), runs, "a run is lost");
        let mut open = 0;
        for run in all {
            let name = run.metadata.name.clone().unwrap_or_default();
            let run = serde_json::to_value(run).expect("JSON");
            let status = &run["status"];
            match &status["outcome"] {
                Value::String(outcome) => assert_eq!(outcome, "Succeeded", "{name}: {status:#}"),
                _ => open += 1,
            }
            let asks = status["stage"] == "Approve" && status["gates"][0]["uid"].is_string();
            if asks && !voted.contains(&name) && scene.vote("bob", &run, "Approve").await.is_ok() {
                voted.insert(name);
            }
        }
        if open == 0 {
            Ok(())
        } else {
            Err(format!("{open} are open; {}", operator.log_tail()))
        }
    })
    .await;
}
