//! People are asked in the middle of a run, with the real operator: it waits for them and holds what it has, goes on only if
//! they approve and what is left is still the same, and else takes back what it did.

#![expect(
    clippy::too_many_lines,
    reason = "a scene is told from beginning to end"
)]

use futures::join;
use serde_json::{Value, json};

use crate::support::{Cluster, Scene, api, condition, grant, need, ours, scale, steps, told};

/// A step that asks whoever leads.
fn gate(more: Value) -> Value {
    let mut asks = json!({"rules": [{"role": "lead", "min": 1}]});
    if let (Some(asks), Value::Object(more)) = (asks.as_object_mut(), more) {
        asks.extend(more);
    }
    json!({"name": "ask", "gate": asks})
}

/// Two effects with a question between them.
fn plan(name: &str, more: Value) -> Value {
    let (one, two) = (format!("{name}-1"), format!("{name}-2"));
    json!([scale("one", &one, 3), gate(more), scale("two", &two, 3)])
}

async fn set(cluster: &'static Cluster, purpose: &str, names: &[&str]) -> Scene {
    let scene = Scene::set(cluster, purpose).await;
    let lead = ours("approve reject", "approverroles").named("lead");
    grant(&scene.ns, "dave", &[lead]).await;
    for name in names {
        let both = [format!("{name}-1"), format!("{name}-2")];
        scene.workloads(&both.each_ref().map(String::as_str)).await;
    }
    scene
}

fn gates(run: &Value) -> String {
    let gates = run["status"]["gates"].as_array().into_iter().flatten();
    let states = gates.map(|gate| gate["state"].as_str().unwrap_or_default());
    states.collect::<Vec<_>>().join(" ")
}

/// The run, once it asks in its middle.
async fn midway(scene: &Scene, name: &str) -> Value {
    let run = scene
        .until(name, "asks in its middle", |status| {
            let gates = status["gates"].as_array().map_or(0, Vec::len);
            gates == 2 && status["stage"] == "Approve" || status["outcome"].is_string()
        })
        .await;
    assert_eq!(run["status"]["outcome"], json!(null), "{:#}", run["status"]);
    assert_eq!(gates(&run), "Approved Open", "{:#}", run["status"]);
    run
}

/// What the two steps have left.
async fn replicas(scene: &Scene, name: &str) -> [i64; 2] {
    [
        scene.replicas(&format!("{name}-1")).await,
        scene.replicas(&format!("{name}-2")).await,
    ]
}

#[tokio::test]
async fn a_run_goes_on_when_those_who_are_asked_midway_approve() {
    let cluster = need!(Users, Owned);
    let scene = set(cluster, "midgate", &["yes", "lapses", "held"]).await;
    let yes = async {
        scene
            .approved("yes", plan("yes", json!({})), json!({}))
            .await;
        let run = midway(&scene, "yes").await;
        assert_eq!(replicas(&scene, "yes").await, [3, 1]);
        assert_eq!(
            condition(&run["status"], "Ready"),
            "Unknown/AwaitingApproval"
        );
        assert_eq!(condition(&run["status"], "Approved"), "True/Approved");
        assert!(told(&run["status"]).contains("waits for lead"), "{run:#}");
        let name = run["status"]["gates"][1]["name"].as_str().expect("a name");
        let asked = scene.object("Gate", name).await;
        let diff = asked["spec"]["subject"]["diff"].as_str().expect("a diff");
        assert!(diff.contains("yes-2") && !diff.contains("yes-1"), "{diff}");
        assert_eq!(asked["spec"]["requestedBy"], json!(["alice"]));
        // Its Playbook takes no new runs any more; this one has begun.
        let suspend = json!({"metadata": {"annotations": {"neuralops.io/suspend": "true"}}});
        let suspended = scene.patch(scene.admin(), "Playbook", "yes", suspend);
        suspended.await.expect("suspended");
        // Whoever approved the beginning is not asked now.
        assert!(scene.vote("bob", &run, "Approve").await.is_err());
        scene.vote("dave", &run, "Approve").await.expect("a vote");
        let run = scene.ended("yes", "Succeeded").await;
        assert_eq!(gates(&run), "Approved Approved");
        assert_eq!(steps(&run), "Succeeded Succeeded Succeeded");
        assert_eq!(replicas(&scene, "yes").await, [3, 3]);
        let uid = run["metadata"]["uid"].as_str().expect("a uid");
        let told = scene.told_of(uid).await;
        assert!(
            told.contains(&"step.succeeded/Approved".to_owned()),
            "{told:?}"
        );
    };
    let lapses = async {
        // Nobody has to answer, and the time of the run does not pass meanwhile.
        let more = json!({"deadline": "4s", "onTimeout": "Approve"});
        let mut playbook = scene.playbook("lapses", plan("lapses", more));
        playbook["spec"]["timeout"] = json!("4s");
        scene.signed(playbook).await;
        scene.ask("lapses", "lapses", json!({})).await;
        let run = scene.asked("lapses").await;
        scene.approve(&run).await;
        let run = scene.ended("lapses", "Succeeded").await;
        assert_eq!(gates(&run), "Approved Approved");
        let uid = run["metadata"]["uid"].as_str().expect("a uid");
        let told = scene.told_of(uid).await;
        assert!(
            told.contains(&"step.succeeded/ApprovedByPolicy".to_owned()),
            "{told:?}"
        );
        assert!(
            told.contains(&"run.started/Approved".to_owned()),
            "{told:?}"
        );
    };
    let held = async {
        scene
            .approved("held", plan("held", json!({})), json!({}))
            .await;
        let run = midway(&scene, "held").await;
        let set = |suspend: bool| scene.set_run("alice", "held", json!({ "suspend": suspend }));
        set(true).await.expect("suspended");
        scene.vote("dave", &run, "Approve").await.expect("a vote");
        let run = scene
            .until("held", "is held", |status| {
                condition(status, "Ready") == "Unknown/Suspended" || status["outcome"].is_string()
            })
            .await;
        assert_eq!(gates(&run), "Approved Approved");
        assert_eq!(replicas(&scene, "held").await, [3, 1]);
        set(false).await.expect("goes on");
        scene.ended("held", "Succeeded").await;
    };
    join!(yes, lapses, held);
}

#[tokio::test]
async fn a_run_takes_back_what_it_did_when_it_may_not_go_on() {
    let names = ["no", "late", "other", "gone", "stops"];
    let cluster = need!(Users, Owned);
    let scene = set(cluster, "midgate-no", &names).await;
    let back = async |name: &str, reason: &str, state: &str| {
        let run = scene.ended(name, "Compensated").await;
        let uid = run["metadata"]["uid"].as_str().expect("a uid");
        scene
            .is_told_of(uid, &format!("step.failed/{reason}"))
            .await;
        assert_eq!(
            gates(&run),
            format!("Approved {state}"),
            "{name}: {:#}",
            run["status"]
        );
        assert!(
            told(&run["status"]).contains(reason),
            "{name}: {}",
            told(&run["status"])
        );
        assert_eq!(scene.replicas(&format!("{name}-1")).await, 1);
    };
    let no = async {
        scene.compensating("no", plan("no", json!({}))).await;
        let run = midway(&scene, "no").await;
        scene.vote("dave", &run, "Reject").await.expect("a vote");
        back("no", "Rejected", "Rejected").await;
    };
    let late = async {
        scene
            .compensating("late", plan("late", json!({"deadline": "3s"})))
            .await;
        back("late", "Expired", "Expired").await;
    };
    let other = async {
        scene.compensating("other", plan("other", json!({}))).await;
        let run = midway(&scene, "other").await;
        let patch = json!({"spec": {"replicas": 2}});
        let patched = scene.patch(scene.admin(), "Deployment", "other-2", patch);
        patched.await.expect("patched");
        scene.vote("dave", &run, "Approve").await.expect("a vote");
        back("other", "Superseded", "Approved").await;
        assert_eq!(scene.replicas("other-2").await, 2);
    };
    let gone = async {
        scene.compensating("gone", plan("gone", json!({}))).await;
        let run = midway(&scene, "gone").await;
        let name = run["status"]["gates"][1]["name"].as_str().expect("a name");
        scene.delete("Gate", name).await;
        let run = scene.ended("gone", "Compensated").await;
        assert!(told(&run["status"]).contains("GateGone"), "{run:#}");
        assert_eq!(scene.replicas("gone-1").await, 1);
    };
    let stops = async {
        scene.compensating("stops", plan("stops", json!({}))).await;
        let run = midway(&scene, "stops").await;
        scene.cancel("stops").await;
        let ended = scene.ended("stops", "Cancelled").await;
        assert_eq!(gates(&ended), "Approved Cancelled");
        let name = run["status"]["gates"][1]["name"].as_str().expect("a name");
        let gate = api(scene.admin(), "Gate", scene.ns.name()).get(name).await;
        assert_eq!(gate.expect("a gate").data["status"]["state"], "Cancelled");
        assert_eq!(replicas(&scene, "stops").await, [3, 1]);
    };
    join!(no, late, other, gone, stops);
}
