//! The operator dies at every named place between a request and its end, once for each, and for each step where a place is
//! passed once a step; the next one goes on.

use std::time::Instant;

use serde_json::json;

use super::bed::{Bed, STEPS, Went, done_once, drive, scene, wanted_writes, writes};
use crate::failpoints::{VARIABLE, names};
use crate::support::{Scene, need};

/// Where the places of a run are.
const RUN: [&str; 3] = [
    "src/controllers/orchestration",
    "src/adapters/kube/account",
    "src/adapters/ledger/claims.rs",
];
/// Places that a run passes only when it fails (`backwards`), and when a deadline has passed, when people are asked in its
/// middle, when it is deleted, or when it is about the incident of another one (`timely`).
const OTHERS: [&str; 6] = ["turn.", "escalate.", "midway.", "retire.", "own.", "join."];
/// Passed once a step.
const STEP: [&str; 3] = ["intent.", "effect.", "outcome."];

/// Every place, and how often it is passed before the operator dies there. `NEURALOPS_RUNS_ALL` takes every step at every
/// place; else those at the effect itself are taken for every step, the others for the first.
fn places() -> Vec<String> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the test bed speaks through the environment"
    )]
    let all = std::env::var_os("NEURALOPS_RUNS_ALL").is_some();
    let names = RUN.iter().flat_map(|place| names(place));
    let names = names.filter(|name| !OTHERS.iter().any(|other| name.starts_with(other)));
    let times = |name: String| {
        let stepwise = STEP.iter().any(|step| name.starts_with(step));
        let last = if stepwise && (all || name == "effect.after") {
            STEPS.len()
        } else {
            1
        };
        (1..=last).map(move |time| format!("{name}:{time}"))
    };
    names.flat_map(times).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_done_once_whenever_the_operator_dies() {
    need!(Owned, Users);
    let bed = Bed::set().await;
    let places = places();
    for name in [
        "plan.before",
        "gate.after",
        "start.claimed",
        "effect.after",
        "finish.after",
        "claim.before",
        "release.after",
    ] {
        let place = format!("{name}:1");
        assert!(places.contains(&place), "{place} is not in {places:?}");
    }
    let mut scenes = Vec::new();
    for place in &places {
        let began = Instant::now();
        scenes.push((place, crash(&bed, place).await));
        eprintln!("{place}: {} ms", began.elapsed().as_millis());
    }
    // A last run, so that what the API server tells of the others is written by now.
    let mut operator = bed.operator(&[]).await;
    let last = scene(&bed, "last").await;
    last.ask("r", "heal", json!({})).await;
    let went = drive(&last, "r", &mut operator, &mut false).await;
    assert!(matches!(went, Went::Ended(_)), "{}", operator.log_tail());
    let events = bed.own.cluster().audit_since(0);
    for (place, scene) in &scenes {
        let found = writes(&events, scene.ns.name());
        assert_eq!(found, wanted_writes(), "at {place}");
    }
    bed.verifies().await;
}

/// A run during which the operator dies there.
async fn crash(bed: &Bed, place: &str) -> Scene {
    let mut operator = bed.operator(&[(VARIABLE, place)]).await;
    let scene = scene(bed, "crash").await;
    scene.ask("r", "heal", json!({})).await;
    let mut voted = false;
    let went = drive(&scene, "r", &mut operator, &mut voted).await;
    assert!(matches!(went, Went::Died), "{place} was never reached");
    assert!(
        operator.exit_code() == Some(128),
        "at {place}: {}",
        operator.log_tail()
    );
    let mut operator = bed.operator(&[]).await;
    match drive(&scene, "r", &mut operator, &mut voted).await {
        Went::Ended(run) => done_once(bed, &scene, &run).await,
        Went::Died => panic!("after {place}: {}", operator.log_tail()),
    }
    scene
}
