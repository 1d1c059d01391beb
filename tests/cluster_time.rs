//! What follows when nobody decides in time, with the real operator: the next people are asked, the signed Playbook's own
//! word suffices, or the run ends; and when what has ended is deleted.

#![expect(
    clippy::too_many_lines,
    reason = "a scene is told from beginning to end"
)]

mod deadlines;
mod retention;

use serde_json::{Value, json};

use crate::support::{Scene, grant, ours};

/// One set of rules: one holder of the role, so long, and what its deadline does.
fn rules(role: &str, deadline: &str, then: &str) -> Value {
    json!({"rules": [{"role": role, "min": 1}], "deadline": deadline, "onTimeout": then})
}

/// A Playbook of these steps that asks these sets of rules.
async fn playbook(scene: &Scene, name: &str, sets: Value, steps: Value) {
    let mut playbook = scene.playbook(name, steps);
    playbook["spec"]["approval"] = sets;
    scene.signed(playbook).await;
}

/// dave leads, and is not on call alone.
async fn led(scene: &Scene) {
    let lead = ours("approve reject", "approverroles").named("lead");
    grant(&scene.ns, "dave", &[lead]).await;
}

/// The states of a run's Gates, as its status tells them.
fn gates(run: &Value) -> String {
    let gates = run["status"]["gates"].as_array().into_iter().flatten();
    let states = gates.map(|gate| gate["state"].as_str().unwrap_or_default());
    states.collect::<Vec<_>>().join(" ")
}

/// The run, once so many Gates of it stand in its status and people are asked.
async fn asks(scene: &Scene, name: &str, count: usize) -> Value {
    let run = scene
        .until(name, "asks", |status| {
            let gates = status["gates"].as_array().map_or(0, Vec::len);
            gates == count && status["stage"] == "Approve" || status["outcome"].is_string()
        })
        .await;
    assert_eq!(run["status"]["outcome"], json!(null), "{:#}", run["status"]);
    run
}
