//! Every way in which a run waits, is stopped or comes to its end, with the real operator: what its status says then, what is
//! on record, and that nothing happens which must not.

#![expect(
    clippy::too_many_lines,
    reason = "a scene is told from beginning to end"
)]

mod cancel;
mod compensation;
mod ends;
mod freezes;
mod kinds;
mod locks;
mod matrix;
mod waits;

use serde_json::{Value, json};

use crate::support::{Scene, condition, told};

/// What the conditions of a run come to at its end: those of section 7 of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// It is ready, and it succeeded.
    Well,
    /// It is ready: it did nothing, and nobody has to look.
    Nothing,
    /// It is not ready, and somebody has to look.
    Look,
}

/// Waits for the end of a run and holds its status against the contract.
async fn ends(scene: &Scene, name: &str, outcome: &str, reason: &str, then: Then) -> Value {
    let run = scene.ended(name, outcome).await;
    let status = &run["status"];
    let (ready, succeeded, stalled) = match then {
        Then::Well => ("True", "True", String::new()),
        Then::Nothing => ("True", "False", String::new()),
        Then::Look => ("False", "False", format!("True/{reason}")),
    };
    let found =
        ["Ready", "Succeeded", "Stalled", "Reconciling"].map(|kind| condition(status, kind));
    let wanted = [
        format!("{ready}/{reason}"),
        format!("{succeeded}/{reason}"),
        stalled,
        String::new(),
    ];
    assert_eq!(found, wanted, "{name}: {status:#}");
    assert_eq!(status["stage"], "Done", "{name}");
    assert_eq!(
        status["observedGeneration"], run["metadata"]["generation"],
        "{name}"
    );
    assert!(!told(status).is_empty(), "{name}: {status:#}");
    // What the status says of a Gate is what the Gate says of itself.
    for gate in status["gates"].as_array().into_iter().flatten() {
        let name_of = gate["name"].as_str().expect("a name");
        let found = crate::support::api(scene.admin(), "Gate", scene.ns.name())
            .get_opt(name_of)
            .await;
        if let Some(found) = found.expect("an answer") {
            assert_eq!(
                gate["state"], found.data["status"]["state"],
                "{name}: {gate}"
            );
        }
    }
    run
}

fn uid(run: &Value) -> &str {
    run["metadata"]["uid"].as_str().expect("a uid")
}

/// A run that needs a release.
fn on_release() -> Value {
    json!({"start": "OnRelease"})
}
