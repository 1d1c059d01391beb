//! What a run waits for because somebody wants it to: suspend, a release; and modes that ask differently.

use futures::join;
use serde_json::json;

use super::{Then, ends, on_release, uid};
use crate::support::{
    Scene, api, condition, grant, hold, need, ours, scale, steps, told, waits_for,
};

#[tokio::test]
async fn nothing_new_begins_while_it_is_suspended() {
    let cluster = need!(Users, Owned);
    let scene = Scene::set(cluster, "suspend").await;
    let mark = cluster.audit_mark();
    scene.workloads(&["early", "late", "between"]).await;
    scene.flag("f").await;
    let suspend = async |run: &str, suspend: bool| {
        let set = scene.set_run("alice", run, json!({"suspend": suspend}));
        set.await.expect("suspended")
    };
    let early = async {
        scene
            .signed(scene.playbook("early", json!([scale("s", "early", 3)])))
            .await;
        scene.ask("early", "early", json!({"suspend": true})).await;
        let run = scene.until("early", "waits", waits_for("Suspended")).await;
        let status = &run["status"];
        assert_eq!(
            (&status["gates"], &status["plan"]),
            (&json!(null), &json!(null)),
            "{status:#}"
        );
        suspend("early", false).await;
        scene.asked("early").await
    };
    let late = async {
        let run = scene
            .run("late", json!([scale("s", "late", 3)]), json!({}))
            .await;
        suspend("late", true).await;
        // People may decide meanwhile.
        scene.approve(&run).await;
        let run = scene.until("late", "waits", waits_for("Suspended")).await;
        assert_eq!(condition(&run["status"], "Approved"), "True/Approved");
        assert_eq!(condition(&run["status"], "Reconciling"), "True/Suspended");
        assert_eq!(condition(&run["status"], "Succeeded"), "Unknown/Suspended");
        assert_eq!(run["status"]["gates"][0]["state"], "Approved");
    };
    let between = async {
        let all = json!([hold("hold", "f"), scale("s", "between", 3)]);
        scene.approved("between", all, json!({})).await;
        scene.running("between", "hold").await;
        suspend("between", true).await;
        scene.go("f").await;
        let run = scene
            .until("between", "waits", waits_for("Suspended"))
            .await;
        assert!(told(&run["status"]).contains("step s"), "{run:#}");
        assert_eq!(steps(&run), "Succeeded Pending");
    };
    let (early, (), ()) = join!(early, late, between);
    scene.meanwhile().await;
    assert_eq!(scene.effects(mark).await, Vec::<String>::new());
    scene.approve(&early).await;
    suspend("late", false).await;
    suspend("between", false).await;
    for name in ["early", "late", "between"] {
        ends(&scene, name, "Succeeded", "Succeeded", Then::Well).await;
        assert_eq!(scene.replicas(name).await, 3);
    }
}

#[tokio::test]
async fn what_waits_for_a_release_begins_by_the_name_of_who_gives_it() {
    let cluster = need!(Users, Owned);
    let scene = Scene::set(cluster, "release").await;
    let mark = cluster.audit_mark();
    scene.workloads(&["d"]).await;
    let run = scene
        .run("r", json!([scale("s", "d", 3)]), on_release())
        .await;
    scene.approve(&run).await;
    let waiting = scene
        .until("r", "waits", waits_for("AwaitingRelease"))
        .await;
    assert_eq!(condition(&waiting["status"], "Approved"), "True/Approved");
    assert_eq!(
        condition(&waiting["status"], "Ready"),
        "Unknown/AwaitingRelease"
    );
    for (who, name) in [
        ("alice", "bob"),
        ("bob", "alice"),
        ("mallory", "mallory"),
        ("alice", "Alice"),
        ("alice", ""),
    ] {
        let refused = scene.set_run(who, "r", json!({"releasedBy": name})).await;
        assert!(refused.is_err(), "{who} as {name:?}: {refused:?}");
    }
    scene.meanwhile().await;
    assert_eq!(scene.effects(mark).await, Vec::<String>::new());
    let released = scene.set_run("alice", "r", json!({"releasedBy": "alice"}));
    released.await.expect("released");
    let run = ends(&scene, "r", "Succeeded", "Succeeded", Then::Well).await;
    let records = scene.records(uid(&run)).await;
    let started = records
        .iter()
        .find(|record| record.fact.code.code() == "run.started");
    let started = serde_json::to_value(&started.expect("it started").fact).expect("JSON");
    assert_eq!(
        started["decisions"].as_array().map(Vec::len),
        Some(1),
        "{started}"
    );
    assert_eq!(scene.effects(mark).await, ["patch deployments d"]);
}

#[tokio::test]
async fn a_run_that_is_only_planned_asks_nobody() {
    let cluster = need!(Users, Owned);
    let scene = Scene::set(cluster, "mode").await;
    let mark = cluster.audit_mark();
    scene.workloads(&["d"]).await;
    scene
        .signed(scene.playbook("p", json!([scale("s", "d", 3)])))
        .await;
    scene.ask("only", "p", json!({"mode": "PlanOnly"})).await;
    let run = ends(&scene, "only", "Planned", "Planned", Then::Nothing).await;
    let status = &run["status"];
    assert_eq!(condition(status, "Planned"), "True/Planned");
    assert_eq!(status["plan"]["verdict"], "Pass");
    let plan = status["plan"]["configMap"].as_str().expect("a ConfigMap");
    let plan = scene.object("ConfigMap", plan).await;
    assert_eq!(plan["immutable"], true);
    assert!(
        plan["data"]["diff"]
            .as_str()
            .is_some_and(|diff| diff.contains("/spec/replicas: 1 -> 3"))
    );
    let gates = api(scene.admin(), "Gate", scene.ns.name());
    let gates = gates
        .list(&kube::api::ListParams::default())
        .await
        .expect("a list");
    assert_eq!(gates.items.len(), 0);
    assert_eq!(
        scene.told_of(uid(&run)).await,
        [
            "run.requested",
            "run.planned/Planned",
            "run.finished/Planned"
        ]
    );

    // Nobody is left out because a run asks for it: the Playbook allows nothing without a Gate.
    let mode = json!({"mode": "Auto"});
    let denied = scene.try_ask("auto", "p", mode.clone()).await;
    let denied = denied.expect_err("alice may not").to_string();
    assert!(denied.contains("auto"), "{denied}");
    grant(&scene.ns, "alice", &[ours("auto", "playbooks").named("p")]).await;
    scene.try_ask("auto", "p", mode).await.expect("a run");
    let run = scene.asked("auto").await;
    assert_eq!(run["status"]["stage"], "Approve", "{run:#}");
    scene.meanwhile().await;
    assert_eq!(scene.effects(mark).await, Vec::<String>::new());
}
