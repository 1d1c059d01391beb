//! A leader that sleeps past its lease in the middle of a run: another one goes on, and whoever wakes up has no further
//! effect, wherever it fell asleep.

use std::time::Duration;

use serde_json::{Value, json};

use super::bed::{
    Bed, LONG, Went, append, basket, done_once, drive, scene, target, wanted_writes, writes,
};
use crate::failpoints::VARIABLE;
use crate::support::{Operator, Scene, create, eventually, need};

const FLAGS: [&str; 2] = ["--lease-duration", "6s"];
/// The steps before whose effect it falls asleep, after it has asked whether it leads: `append`, `note`, `job`.
const EFFECTS: [u32; 3] = [3, 4, 5];

async fn sleeps(operator: &Operator) {
    eventually("the leader sleeps", LONG, async || {
        if operator.is_stopped() {
            Ok(())
        } else {
            Err(operator.log_tail())
        }
    })
    .await;
}

/// It wakes up, finds that it leads no longer, and goes.
async fn wakes(mut operator: Operator) {
    operator.signal("CONT");
    let status = operator.ended(LONG).await;
    assert!(!status.success(), "losing the lease is no success");
    let said = "stopping because leadership ended";
    assert!(operator.log().contains(said), "{}", operator.log_tail());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_slept_in_a_step_writes_nothing_when_it_wakes_up() {
    need!(Owned, Users);
    let bed = Bed::set().await;
    let first = bed.own.operator(&FLAGS);
    first.leads(LONG).await;
    let scene = Scene::set(bed.own.cluster(), "slept").await;
    create(scene.admin(), basket(&scene, "basket"))
        .await
        .expect("a deployment");
    let steps = json!([
        {"name": "scale", "scale": {"target": target("basket"), "replicas": 2}},
        {"name": "wait", "wait": {"duration": "3s"}},
        {"name": "append", "patch": append("basket")},
    ]);
    scene.signed(scene.playbook("heal", steps)).await;
    scene.ask("r", "heal", json!({})).await;
    let run = scene.asked("r").await;
    scene.approve(&run).await;
    let uid = run["metadata"]["uid"].as_str().expect("a uid");
    eventually("it waits in its second step", LONG, async || {
        let records = bed.records(uid).await;
        let waits = records.iter().any(|record| {
            record
                .fact
                .step
                .as_ref()
                .is_some_and(|step| step.as_str() == "wait")
        });
        if waits { Ok(()) } else { Err(first.log_tail()) }
    })
    .await;
    first.signal("STOP");
    sleeps(&first).await;

    let mut second = bed.own.operator(&FLAGS);
    let Went::Ended(run) = drive(&scene, "r", &mut second, &mut true).await else {
        panic!("{}", second.log_tail());
    };
    assert_eq!(run["status"]["outcome"], "Succeeded", "{:#}", run["status"]);
    bed.verifies().await;
    let mark = bed.own.cluster().audit_mark();
    wakes(first).await;
    let after = bed.own.cluster().audit_since(mark);
    assert_eq!(writes(&after, scene.ns.name()), [] as [String; 0]);
    let found = scene.object("Deployment", "basket").await;
    assert_eq!(found["metadata"]["generation"], 3, "{found:#}");
    let epochs: Vec<_> = bed
        .records(uid)
        .await
        .iter()
        .map(|record| record.epoch)
        .collect();
    assert!(
        epochs.is_sorted() && epochs.first() < epochs.last(),
        "{epochs:?}"
    );
    bed.verifies().await;
}

/// It has asked whether it leads, and falls asleep before the request: nothing but the request itself can tell then.
#[tokio::test(flavor = "multi_thread")]
async fn an_effect_that_was_slept_over_is_had_once() {
    need!(Owned, Users);
    let bed = Bed::set().await;
    for number in EFFECTS {
        let place = format!("pause@effect.before:{number}");
        slept_over(&bed, &place).await;
    }
    bed.verifies().await;
}

async fn slept_over(bed: &Bed, place: &str) {
    let mut first = bed.own.operator_in(&[(VARIABLE, place)], &FLAGS);
    first.leads(LONG).await;
    let scene = scene(bed, "effect").await;
    scene.ask("r", "heal", json!({})).await;
    let run = scene.asked("r").await;
    scene.approve(&run).await;
    sleeps(&first).await;

    let mut second = bed.own.operator(&FLAGS);
    let Went::Ended(run) = drive(&scene, "r", &mut second, &mut true).await else {
        panic!("{}", second.log_tail());
    };
    done_once(bed, &scene, &run).await;
    let before = objects(&scene).await;
    assert_eq!(first.exit_code(), None, "it sleeps");
    wakes(first).await;
    assert_eq!(
        objects(&scene).await,
        before,
        "{place} has changed something"
    );
    done_once(bed, &scene, &run).await;
    let mut found = writes(&bed.own.cluster().audit_since(0), scene.ns.name());
    // To apply what was applied already changes nothing, and is no error.
    let apply = "account patch configmaps/";
    if found.iter().filter(|write| *write == apply).count() == 2 {
        let at = found.iter().position(|write| write == apply);
        found.remove(at.expect("it is there"));
    }
    assert_eq!(found, wanted_writes(), "at {place}");
    second.signal("TERM");
    second.ended(Duration::from_secs(30)).await;
}

/// What tells whether anything was written to what the run wrote, but for what other controllers write there.
async fn objects(scene: &Scene) -> Vec<Value> {
    let mut found = Vec::new();
    for (kind, name, field) in [
        ("Deployment", "checkout", "generation"),
        ("Deployment", "basket", "generation"),
        ("ConfigMap", "note", "resourceVersion"),
    ] {
        found.push(scene.object(kind, name).await["metadata"][field].clone());
    }
    found
}
