//! The operator dies on the way back of a run that failed, at its beginning and at each effect; the next one goes on, and
//! everything stands as before, each step taken back once.

use std::collections::BTreeMap;

use kube::api::ListParams;
use serde_json::{Value, json};

use super::bed::{Bed, Went, append, basket, drive, target, writes};
use crate::failpoints::VARIABLE;
use crate::support::{Scene, api, create, need};

/// What is done before the step that fails.
const STEPS: [&str; 6] = ["restart", "scale", "append", "note", "settings", "more"];

/// Where it dies: the first places of the way back, and each of its effects, which come after as many of the way there.
fn places() -> Vec<String> {
    let done = STEPS.len();
    let intended = done + 2;
    let mut places = vec!["turn.before:1".to_owned(), "turn.after:1".to_owned()];
    for name in [
        "intent.before",
        "intent.after",
        "outcome.before",
        "outcome.after",
    ] {
        places.push(format!("{name}:{intended}"));
    }
    places.push(format!("effect.before:{}", done + 1));
    places.extend((1..=done).map(|undo| format!("effect.after:{}", done + undo)));
    places
}

/// A namespace with a Playbook of six effects, whose last step fails.
async fn scene(bed: &Bed) -> Scene {
    let scene = Scene::set(bed.own.cluster(), "back").await;
    let config = |name: &str| {
        json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": scene.ns.name()}, "data": {"k": "v"},
        })
    };
    let objects = [
        scene.deployment("checkout"),
        basket(&scene, "basket"),
        config("settings"),
        config("more"),
        config("never"),
    ];
    for object in objects {
        create(scene.admin(), object).await.expect("an object");
    }
    let named = |name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "name": name});
    let mut more = config("more");
    more["data"] = json!({"k": "w", "l": "m"});
    let steps = json!([
        {"name": "restart", "rolloutRestart": {"target": target("checkout")}},
        {"name": "scale", "scale": {"target": target("checkout"), "replicas": 2}},
        {"name": "append", "patch": append("basket")},
        {"name": "note", "apply": {"manifest": config("note")}},
        {"name": "settings", "patch": {"target": named("settings"), "type": "Merge", "patch": {"data": {"k": "w"}}}},
        {"name": "more", "apply": {"manifest": more, "force": true}},
        {"name": "fail", "check": {"target": named("never"), "expression": "object.data.k == 'w'"}},
    ]);
    let mut playbook = scene.playbook("heal", steps);
    playbook["spec"]["onFailure"] = json!("Compensate");
    scene.signed(playbook).await;
    scene
}

/// What the steps change.
async fn state(scene: &Scene) -> Vec<Value> {
    let (checkout, basket) = (
        scene.object("Deployment", "checkout").await,
        scene.object("Deployment", "basket").await,
    );
    let configs = api(scene.admin(), "ConfigMap", scene.ns.name());
    let configs = configs.list(&ListParams::default()).await.expect("a list");
    let data = configs.items.iter().filter(|config| {
        // The plan of the run is the run's.
        config.metadata.owner_references.is_none()
    });
    let mut state = vec![checkout["spec"].clone(), basket["spec"].clone()];
    state.extend(
        data.map(|config| json!({"of": config.metadata.name, "data": config.data["data"]})),
    );
    state
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_run_is_taken_back_once_whenever_the_operator_dies() {
    need!(Owned, Users);
    let bed = Bed::set().await;
    let mut scenes = Vec::new();
    for place in places() {
        let scene = scene(&bed).await;
        let before = state(&scene).await;
        let mut operator = bed.operator(&[(VARIABLE, &place)]).await;
        scene.ask("r", "heal", json!({})).await;
        let mut voted = false;
        let went = drive(&scene, "r", &mut operator, &mut voted).await;
        if let Went::Ended(run) = went {
            panic!("{place} was never reached: {:#}", run["status"]);
        }
        let mut operator = bed.operator(&[]).await;
        let Went::Ended(run) = drive(&scene, "r", &mut operator, &mut voted).await else {
            panic!("after {place}: {}", operator.log_tail());
        };
        assert_eq!(
            run["status"]["outcome"], "Compensated",
            "{place}: {:#}",
            run["status"]
        );
        assert_eq!(state(&scene).await, before, "{place}");
        told_once(&bed, &run, &place).await;
        scenes.push((place, scene));
    }
    // Somebody has to be there who has the last leaves anchored.
    let _last = bed.operator(&[]).await;
    let events = bed.own.cluster().audit_since(0);
    for (place, scene) in &scenes {
        let found = writes(&events, scene.ns.name());
        let account = found.iter().filter(|write| write.starts_with("account"));
        assert_eq!(account.count(), 2 * STEPS.len(), "at {place}: {found:?}");
    }
    bed.verifies().await;
}

/// Each step is begun once and taken back once, and so the run is.
async fn told_once(bed: &Bed, run: &Value, place: &str) {
    let uid = run["metadata"]["uid"].as_str().expect("a uid");
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for record in bed.records(uid).await {
        *counts.entry(record.fact.code.code()).or_default() += 1;
    }
    let steps = STEPS.len();
    let wanted = BTreeMap::from([
        ("run.requested", 1),
        ("run.planned", 1),
        ("run.started", 1),
        ("step.intended", steps + 1),
        ("step.succeeded", steps),
        ("step.failed", 1),
        ("run.turned", 1),
        ("undo.intended", steps),
        ("undo.succeeded", steps),
        ("run.finished", 1),
    ]);
    assert_eq!(counts, wanted, "at {place}");
}
