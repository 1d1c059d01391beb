//! Deadlines of Gates: escalation, the policy's act, and what stands against both.

use futures::join;
use serde_json::{Value, json};

use super::{asks, gates, led, playbook, rules};
use crate::support::{Scene, condition, need, scale, told};

fn uid(object: &Value) -> &str {
    object["metadata"]["uid"].as_str().expect("a uid")
}

/// The newest Gate of a run, as it is.
async fn newest(scene: &Scene, run: &Value) -> Value {
    let gates = run["status"]["gates"].as_array().expect("gates");
    let name = gates.last().expect("a gate")["name"].as_str();
    scene.object("Gate", name.expect("a name")).await
}

#[tokio::test]
async fn the_next_people_are_asked_when_nobody_decided_in_time() {
    let cluster = need!(Users, Owned);
    let scene = Scene::set(cluster, "escalates").await;
    led(&scene).await;
    scene.workloads(&["a", "b"]).await;
    let approved = async {
        let sets = json!([
            rules("oncall", "3s", "Escalate"),
            rules("lead", "30m", "Reject")
        ]);
        playbook(&scene, "a", sets, json!([scale("s", "a", 3)])).await;
        scene.ask("a", "a", json!({})).await;
        let first = scene.asked("a").await;
        let run = asks(&scene, "a", 2).await;
        assert_eq!(gates(&run), "Expired Open");
        assert!(
            told(&run["status"]).contains("nobody decided in time"),
            "{run:#}"
        );
        assert!(told(&run["status"]).contains("waits for lead"), "{run:#}");
        let gate = newest(&scene, &run).await;
        assert_eq!(gate["spec"]["rules"][0]["role"], "lead");
        assert_eq!(
            gate["spec"]["subject"]["planDigest"],
            run["status"]["plan"]["digest"]
        );
        // Whoever was asked before has no say any more, and the Gate that expired takes no vote.
        assert!(scene.vote("bob", &run, "Approve").await.is_err());
        assert!(scene.vote("dave", &first, "Approve").await.is_err());
        assert_eq!(scene.replicas("a").await, 1);
        scene.vote("dave", &run, "Approve").await.expect("a vote");
        let run = scene.ended("a", "Succeeded").await;
        assert_eq!(gates(&run), "Expired Approved");
        assert_eq!(condition(&run["status"], "Approved"), "True/Approved");
        assert_eq!(scene.replicas("a").await, 3);
        let told = scene.told_of(uid(&run)).await;
        let began = [
            "run.requested",
            "run.planned/Planned",
            "run.escalated/Expired",
            "run.started/Approved",
        ];
        assert_eq!(told[..4], began, "{told:?}");
    };
    let nobody = async {
        // The last set says Escalate as well, and there is nobody left to ask.
        let sets = json!([
            rules("oncall", "2s", "Escalate"),
            rules("lead", "2s", "Escalate")
        ]);
        playbook(&scene, "b", sets, json!([scale("s", "b", 3)])).await;
        scene.ask("b", "b", json!({})).await;
        let run = scene.ended("b", "Expired").await;
        assert_eq!(gates(&run), "Expired Expired");
        assert!(
            told(&run["status"]).contains("no further set of rules"),
            "{run:#}"
        );
        let gate = newest(&scene, &run).await;
        assert_eq!(condition(&gate["status"], "Rejected"), "True/Expired");
        assert_eq!(scene.replicas("b").await, 1);
    };
    join!(approved, nobody);
}

#[tokio::test]
async fn nobody_else_is_asked_about_what_would_not_run_any_more() {
    let cluster = need!(Users, Owned);
    let scene = Scene::set(cluster, "escalates-not").await;
    led(&scene).await;
    scene.workloads(&["a", "b", "c"]).await;
    let sets = || {
        json!([
            rules("oncall", "4s", "Escalate"),
            rules("lead", "30m", "Reject")
        ])
    };
    let drifted = async {
        playbook(&scene, "a", sets(), json!([scale("s", "a", 3)])).await;
        scene.ask("a", "a", json!({})).await;
        scene.asked("a").await;
        let patch = json!({"spec": {"replicas": 2}});
        let patched = scene.patch(scene.admin(), "Deployment", "a", patch);
        patched.await.expect("patched");
        let run = scene.ended("a", "Superseded").await;
        assert_eq!(gates(&run), "Expired");
    };
    let suspended = async {
        playbook(&scene, "b", sets(), json!([scale("s", "b", 3)])).await;
        scene.ask("b", "b", json!({})).await;
        scene.asked("b").await;
        let set = |suspend: bool| scene.set_run("alice", "b", json!({ "suspend": suspend }));
        set(true).await.expect("suspended");
        let run = scene
            .until("b", "waits", |status| {
                condition(status, "Ready") == "Unknown/Suspended" || status["outcome"].is_string()
            })
            .await;
        assert_eq!(run["status"]["gates"].as_array().map(Vec::len), Some(1));
        set(false).await.expect("goes on");
        let run = asks(&scene, "b", 2).await;
        scene.vote("dave", &run, "Approve").await.expect("a vote");
        scene.ended("b", "Succeeded").await;
    };
    let cancelled = async {
        playbook(&scene, "c", sets(), json!([scale("s", "c", 3)])).await;
        scene.ask("c", "c", json!({})).await;
        asks(&scene, "c", 2).await;
        scene.cancel("c").await;
        let run = scene.ended("c", "Cancelled").await;
        assert_eq!(gates(&run), "Expired Cancelled");
        assert_eq!(newest(&scene, &run).await["status"]["state"], "Cancelled");
    };
    join!(drifted, suspended, cancelled);
}

#[tokio::test]
async fn the_signed_playbook_approves_at_the_deadline_if_it_says_so_and_nobody_is_against_it() {
    let cluster = need!(Users, Owned);
    let scene = Scene::set(cluster, "lapses").await;
    led(&scene).await;
    scene.workloads(&["a", "b", "c", "d"]).await;
    let allowed = async {
        playbook(
            &scene,
            "a",
            json!([rules("oncall", "3s", "Approve")]),
            json!([scale("s", "a", 3)]),
        )
        .await;
        scene.ask("a", "a", json!({})).await;
        let run = scene.ended("a", "Succeeded").await;
        assert_eq!(gates(&run), "Approved");
        assert_eq!(
            condition(&run["status"], "Approved"),
            "True/ApprovedByPolicy"
        );
        assert_eq!(scene.replicas("a").await, 3);
        let gate = newest(&scene, &run).await;
        assert_eq!(
            condition(&gate["status"], "Approved"),
            "True/ApprovedByPolicy"
        );
        let records = scene.records(uid(&gate)).await;
        let fact = &records[0].fact;
        let playbook = scene.object("Playbook", "a").await;
        let digest = playbook["status"]["digest"].as_str().expect("a digest");
        assert_eq!(fact.code.code(), "gate.allowed");
        assert_eq!(fact.actor.subject.as_str(), digest);
        assert_eq!(
            fact.playbook_digest.as_ref().map(|known| known.as_str()),
            Some(digest)
        );
        let told = scene.told_of(uid(&run)).await;
        assert!(
            told.contains(&"run.started/ApprovedByPolicy".to_owned()),
            "{told:?}"
        );
    };
    let rejected = async {
        playbook(
            &scene,
            "b",
            json!([rules("oncall", "6s", "Approve")]),
            json!([scale("s", "b", 3)]),
        )
        .await;
        scene.ask("b", "b", json!({})).await;
        let run = scene.asked("b").await;
        scene.vote("bob", &run, "Reject").await.expect("a vote");
        scene.ended("b", "Rejected").await;
        assert_eq!(scene.replicas("b").await, 1);
    };
    let taken_back = async {
        let mut sets = json!([rules("oncall", "8s", "Approve")]);
        sets[0]["rules"][0]["min"] = json!(2);
        playbook(&scene, "c", sets, json!([scale("s", "c", 3)])).await;
        scene.ask("c", "c", json!({})).await;
        let run = scene.asked("c").await;
        scene.vote("bob", &run, "Approve").await.expect("a vote");
        scene.vote("bob", &run, "Withdraw").await.expect("a vote");
        let run = scene.ended("c", "Succeeded").await;
        let gate = newest(&scene, &run).await;
        assert_eq!(
            condition(&gate["status"], "Approved"),
            "True/ApprovedByPolicy"
        );
        assert_eq!(gate["status"]["decisions"], json!([]), "{gate:#}");
    };
    let after_others = async {
        let sets = json!([
            rules("oncall", "2s", "Escalate"),
            rules("lead", "2s", "Approve")
        ]);
        playbook(&scene, "d", sets, json!([scale("s", "d", 3)])).await;
        scene.ask("d", "d", json!({})).await;
        let run = scene.ended("d", "Succeeded").await;
        assert_eq!(gates(&run), "Expired Approved");
    };
    join!(allowed, rejected, taken_back, after_others);
}
