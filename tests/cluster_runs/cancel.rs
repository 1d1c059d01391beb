//! A cancel, in every stage: nothing new begins after it, nothing is undone, and it says who.

use futures::join;
use serde_json::json;

use super::{Then, ends, on_release, uid};
use crate::support::{Scene, api, condition, hold, need, scale, steps, waits_for};

#[tokio::test]
async fn before_anybody_is_asked_nothing_was_planned() {
    let cluster = need!(Users, Owned);
    let scene = Scene::set(cluster, "cancel").await;
    let mark = cluster.audit_mark();
    scene.workloads(&["d"]).await;
    scene
        .signed(scene.playbook("p", json!([scale("s", "d", 3)])))
        .await;
    let suspended = async {
        scene.ask("suspended", "p", json!({"suspend": true})).await;
        scene
            .until("suspended", "waits", waits_for("Suspended"))
            .await;
        scene.cancel("suspended").await;
        ends(&scene, "suspended", "Cancelled", "Cancelled", Then::Nothing).await
    };
    let at_once = async {
        let more = json!({"cancel": true, "cancelledBy": "alice"});
        scene.ask("at-once", "p", more).await;
        ends(&scene, "at-once", "Cancelled", "Cancelled", Then::Nothing).await
    };
    let unknown = async {
        scene.ask("unknown", "nothing", json!({})).await;
        scene
            .until("unknown", "waits", waits_for("PlaybookNotFound"))
            .await;
        scene.cancel("unknown").await;
        ends(&scene, "unknown", "Cancelled", "Cancelled", Then::Nothing).await
    };
    let unnamed = async {
        scene.ask_for_suggestions("unnamed").await;
        scene
            .until("unnamed", "waits", waits_for("NoPlaybook"))
            .await;
        // Nobody has to say who stops it.
        let patch = json!({"cancel": true});
        scene
            .set_run("bob", "unnamed", patch)
            .await
            .expect("a cancel");
        ends(&scene, "unnamed", "Cancelled", "Cancelled", Then::Nothing).await
    };
    let (suspended, at_once, unknown, unnamed) = join!(suspended, at_once, unknown, unnamed);
    for (run, by) in [
        (&suspended, "bob"),
        (&at_once, "alice"),
        (&unknown, "bob"),
        (&unnamed, "neuralops-controller"),
    ] {
        assert_eq!(run["status"]["gates"], json!(null), "{run:#}");
        assert_eq!(run["status"]["plan"]["configMap"], json!(null), "{run:#}");
        let records = scene.records(uid(run)).await;
        let codes: Vec<_> = records
            .iter()
            .map(|record| record.fact.code.code())
            .collect();
        assert!(
            codes.ends_with(&["run.cancelled", "run.finished"]),
            "{codes:?}"
        );
        let cancelled = &records[records.len() - 2].fact.actor;
        let cancelled = serde_json::to_value(cancelled).expect("JSON");
        assert!(cancelled.to_string().contains(by), "{cancelled}");
    }
    assert_eq!(scene.effects(mark).await, Vec::<String>::new());
}

#[tokio::test]
async fn while_people_are_asked_and_after_they_approved_it_changes_nothing() {
    let cluster = need!(Users, Owned);
    let scene = Scene::set(cluster, "cancel").await;
    let mark = cluster.audit_mark();
    scene.workloads(&["asked", "approved"]).await;
    let asked = async {
        let run = scene
            .run("asked", json!([scale("s", "asked", 3)]), json!({}))
            .await;
        scene.cancel("asked").await;
        let ended = ends(&scene, "asked", "Cancelled", "Cancelled", Then::Nothing).await;
        assert_eq!(ended["status"]["gates"][0]["state"], "Cancelled");
        assert_eq!(steps(&ended), "Skipped");
        // Too late: nobody decides any more.
        let late = scene.vote("bob", &run, "Approve").await;
        assert!(late.is_err(), "{late:?}");
        let gate = run["status"]["gates"][0]["uid"].as_str().expect("a uid");
        scene.is_told_of(gate, "gate.cancelled/Cancelled").await;
        // And nobody takes it back.
        let patch = json!({"cancel": false});
        let back = scene.set_run("bob", "asked", patch).await;
        let back = back.expect_err("a cancel is not taken back").to_string();
        assert!(back.contains("a cancel is not taken back"), "{back}");
        let named = scene
            .set_run("dave", "asked", json!({"cancelledBy": "dave"}))
            .await;
        assert!(named.is_err(), "cancelledBy is set once: {named:?}");
    };
    let approved = async {
        scene
            .approved("approved", json!([scale("s", "approved", 3)]), on_release())
            .await;
        let run = scene
            .until("approved", "waits", waits_for("AwaitingRelease"))
            .await;
        assert_eq!(condition(&run["status"], "Approved"), "True/Approved");
        scene.cancel("approved").await;
        let ended = ends(&scene, "approved", "Cancelled", "Cancelled", Then::Nothing).await;
        assert_eq!(ended["status"]["gates"][0]["state"], "Approved");
        // A release comes too late.
        let released = scene
            .set_run("alice", "approved", json!({"releasedBy": "alice"}))
            .await;
        released.expect("it is written, and does nothing");
        scene.meanwhile().await;
        scene.ended("approved", "Cancelled").await;
    };
    join!(asked, approved);
    assert_eq!(scene.effects(mark).await, Vec::<String>::new());
    for name in ["asked", "approved"] {
        assert_eq!(scene.replicas(name).await, 1);
    }
}

#[tokio::test]
async fn while_it_runs_nothing_new_begins_and_nothing_is_undone() {
    let cluster = need!(Users, Owned);
    let scene = Scene::set(cluster, "cancel").await;
    let mark = cluster.audit_mark();
    scene.workloads(&["first", "second", "none"]).await;
    scene.flag("f").await;
    let after = async {
        let all = json!([
            scale("a", "first", 3),
            hold("hold", "f"),
            scale("b", "second", 3)
        ]);
        scene.approved("after", all, json!({})).await;
        scene.running("after", "hold").await;
        scene.cancel("after").await;
        let run = ends(&scene, "after", "Cancelled", "Cancelled", Then::Look).await;
        assert_eq!(steps(&run), "Succeeded Failed Skipped");
        run
    };
    let before = async {
        let all = json!([hold("hold", "f"), scale("a", "none", 3)]);
        scene.approved("before", all, json!({})).await;
        scene.running("before", "hold").await;
        scene.cancel("before").await;
        let run = ends(&scene, "before", "Cancelled", "Cancelled", Then::Nothing).await;
        assert_eq!(steps(&run), "Failed Skipped");
    };
    let (after, ()) = join!(after, before);
    // What it waited for comes true, and nothing goes on.
    scene.go("f").await;
    scene.meanwhile().await;
    assert_eq!(
        scene.effects(mark).await,
        ["patch deployments first"],
        "the effect before the cancel, and it is not undone"
    );
    let told = scene.told_of(uid(&after)).await;
    let last = &told[told.len() - 3..];
    assert_eq!(
        last,
        [
            "run.cancelled/Cancelled",
            "step.failed/Cancelled",
            "run.finished/Cancelled"
        ]
    );
}

#[tokio::test]
async fn what_has_come_to_its_end_is_not_cancelled_any_more() {
    let cluster = need!(Users);
    let scene = Scene::set(cluster, "cancel").await;
    scene.workloads(&["d"]).await;
    scene
        .approved("r", json!([scale("s", "d", 3)]), json!({}))
        .await;
    let run = ends(&scene, "r", "Succeeded", "Succeeded", Then::Well).await;
    let before = scene.told_of(uid(&run)).await;
    scene.cancel("r").await;
    scene
        .until("r", "is observed", |status| {
            status["observedGeneration"].as_i64() > run["metadata"]["generation"].as_i64()
        })
        .await;
    ends(&scene, "r", "Succeeded", "Succeeded", Then::Well).await;
    assert_eq!(scene.told_of(uid(&run)).await, before);
    // mallory may not stop anything, not even by somebody else's name.
    let objects = api(
        &cluster.person("mallory").await,
        "Orchestration",
        scene.ns.name(),
    );
    assert!(objects.get("r").await.is_err());
    for by in ["mallory", "bob"] {
        let patch = json!({"cancel": true, "cancelledBy": by});
        assert!(scene.set_run("mallory", "r", patch).await.is_err());
    }
}
