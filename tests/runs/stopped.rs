//! The operator dies while a run comes to its end without having begun: nobody is asked any more about what will not happen,
//! and whoever was asked about an older plan is not asked any more either.

use serde_json::{Value, json};

use super::bed::{Bed, LONG, Went, drive};
use crate::failpoints::VARIABLE;
use crate::support::{Operator, Scene, api, condition, eventually, hold, need, scale};
use neuralops::domain::{audit::event::Event, digest::Digest};

/// Where it dies while it records and tells a cancel.
const CANCELS: [&str; 4] = [
    "finish.before",
    "finish.after",
    "release.before",
    "release.after",
];

async fn scene(bed: &Bed) -> Scene {
    let scene = Scene::set(bed.own.cluster(), "stopped").await;
    scene.workloads(&["d"]).await;
    let steps = json!([scale("s", "d", 3)]);
    scene.signed(scene.playbook("p", steps)).await;
    scene
}

async fn dies(operator: &mut Operator, place: &str) {
    eventually(
        &format!("it dies at {place}"),
        LONG,
        async || match operator.exit_code() {
            Some(128) => Ok(()),
            other => Err(format!("{other:?}: {}", operator.log_tail())),
        },
    )
    .await;
}

/// How the next operator ends it; nobody votes, unless the run goes on.
async fn ends(bed: &Bed, scene: &Scene, goes_on: bool) -> Value {
    let mut operator = bed.operator(&[]).await;
    match drive(scene, "r", &mut operator, &mut !goes_on).await {
        Went::Ended(run) => run,
        Went::Died => panic!("{}", operator.log_tail()),
    }
}

/// The state of each Gate of the run, in the order of the words; with that of those that its status names.
async fn gates(scene: &Scene, run: &Value) -> (Vec<Value>, Vec<Value>) {
    let all = api(scene.admin(), "Gate", scene.ns.name());
    let all = all.list(&kube::api::ListParams::default()).await;
    let mut all: Vec<Value> = all
        .expect("a list")
        .items
        .iter()
        .map(|gate| serde_json::to_value(gate).expect("JSON"))
        .collect();
    // Two may be made in one second, and the time tells no more.
    all.sort_by_key(|gate| gate["status"]["state"].to_string());
    let found = all.iter().map(|gate| gate["status"]["state"].clone());
    let told = run["status"]["gates"].as_array().into_iter().flatten();
    (
        found.collect(),
        told.map(|gate| gate["state"].clone()).collect(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_asked_any_more_whenever_the_operator_dies() {
    need!(Owned, Users);
    let bed = Bed::set().await;
    for place in CANCELS {
        cancelled(&bed, place).await;
    }
    untold(&bed).await;
    planned(&bed).await;
    // What was recorded last is anchored by whoever leads then.
    let _operator = bed.operator(&[]).await;
    bed.verifies().await;
}

/// It is cancelled while people are asked, and the operator dies there.
async fn cancelled(bed: &Bed, place: &str) {
    let mut operator = bed.operator(&[(VARIABLE, place)]).await;
    let scene = scene(bed).await;
    scene.ask("r", "p", json!({})).await;
    let run = eventually("people are asked", LONG, async || {
        let run = scene.object("Orchestration", "r").await;
        if run["status"]["gates"][0]["uid"].is_string() {
            Ok(run)
        } else {
            Err(format!("at {place}: {}", operator.log_tail()))
        }
    })
    .await;
    scene.cancel("r").await;
    dies(&mut operator, place).await;

    let ended = ends(bed, &scene, false).await;
    assert_eq!(ended["status"]["outcome"], "Cancelled", "at {place}");
    let wanted = (vec![json!("Cancelled")], vec![json!("Cancelled")]);
    assert_eq!(gates(&scene, &ended).await, wanted, "at {place}");
    let uid = run["metadata"]["uid"].as_str().expect("a uid");
    let records = bed.records(uid).await;
    for code in [Event::RunCancelled, Event::RunFinished] {
        let count = records.iter().filter(|record| record.fact.code == code);
        assert_eq!(count.count(), 1, "{} at {place}", code.code());
    }
}

/// The operator dies between the Gate and the status that would have told of it, and then something happens.
async fn untold(bed: &Bed) {
    for (what, outcome, found, told) in [
        ("cancelled", "Cancelled", &["Cancelled"][..], &[][..]),
        ("target gone", "Failed", &["Superseded"], &[]),
        (
            "target changed",
            "Succeeded",
            &["Approved", "Superseded"],
            &["Approved"],
        ),
    ] {
        let place = "gate.after";
        let mut operator = bed.operator(&[(VARIABLE, place)]).await;
        let scene = scene(bed).await;
        scene.ask("r", "p", json!({})).await;
        dies(&mut operator, place).await;
        match what {
            "cancelled" => scene.cancel("r").await,
            "target gone" => scene.delete("Deployment", "d").await,
            _ => {
                let replicas = json!({"spec": {"replicas": 2}});
                let changed = scene.patch(scene.admin(), "Deployment", "d", replicas);
                changed.await.expect("the admin may");
            }
        }
        let ended = ends(bed, &scene, outcome == "Succeeded").await;
        assert_eq!(ended["status"]["outcome"], outcome, "{what}: {ended:#}");
        let wanted = [found, told].map(|states| {
            let states = states.iter().map(|state| json!(state));
            states.collect::<Vec<_>>()
        });
        assert_eq!(
            <[_; 2]>::from(gates(&scene, &ended).await),
            wanted,
            "{what}"
        );
    }
}

/// The operator dies when a run that was only to be planned has its end on record and no status tells of it.
async fn planned(bed: &Bed) {
    let place = "finish.after";
    let mut operator = bed.operator(&[(VARIABLE, place)]).await;
    let scene = scene(bed).await;
    scene.ask("r", "p", json!({"mode": "PlanOnly"})).await;
    dies(&mut operator, place).await;
    let ended = ends(bed, &scene, false).await;
    let status = &ended["status"];
    assert_eq!(status["outcome"], "Planned", "{status:#}");
    assert_eq!(condition(status, "Planned"), "True/Planned", "{status:#}");
    let name = status["plan"]["configMap"].as_str().expect("a name");
    let map = scene.object("ConfigMap", name).await;
    let text = map["data"]["plan.json"].as_str().expect("a plan");
    let digest = Digest::of(text.as_bytes());
    assert_eq!(status["plan"]["digest"], digest.as_str(), "{status:#}");
    assert_eq!(status["steps"][0]["name"], "s", "{status:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_deleted_while_nobody_watched_is_told_and_holds_nothing() {
    need!(Owned, Users);
    let bed = Bed::set().await;
    let mut operator = bed.operator(&[]).await;
    let scene = Scene::set(bed.own.cluster(), "unseen").await;
    scene.workloads(&["d", "e"]).await;
    scene.flag("f").await;
    // One holds its target, the other only stands for its incident.
    let incident = json!({"incident": {"key": "k"}});
    let steps = json!([hold("hold", "f"), scale("s", "d", 3)]);
    let begun = scene.approved("begun", steps, json!({})).await;
    let steps = json!([scale("s", "e", 3)]);
    let waits = scene.run("waits", steps, incident.clone()).await;
    scene.running("begun", "hold").await;
    operator.signal("KILL");
    operator.ended(LONG).await;
    for run in ["begun", "waits"] {
        scene.delete("Orchestration", run).await;
        scene.is_gone("Orchestration", run).await;
    }

    let mut operator = bed.operator(&[]).await;
    for run in [begun, waits] {
        let uid = run["metadata"]["uid"].as_str().expect("a uid");
        eventually("its end is on record", LONG, async || {
            assert_eq!(operator.exit_code(), None, "{}", operator.log_tail());
            let records = bed.records(uid).await;
            let last = records.last().map(|record| record.fact.code);
            if last == Some(Event::RunGone) {
                Ok(())
            } else {
                Err(format!("{}: {last:?}", run["metadata"]["name"]))
            }
        })
        .await;
    }
    // What they held is free.
    let steps = json!([scale("s", "d", 2)]);
    scene.approved("next", steps, json!({})).await;
    scene.ended("next", "Succeeded").await;
    scene.ask("again", "waits", incident).await;
    let again = scene.asked("again").await;
    assert_eq!(again["status"]["outcome"], Value::Null, "{again:#}");
    bed.verifies().await;
}
