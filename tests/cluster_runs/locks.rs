//! Two runs that write one object: one after the other, and the second looks again at what the first has left.

use futures::join;
use serde_json::{Value, json};

use super::{Then, ends, uid};
use crate::support::{Scene, deployment, hold, need, scale, told, waits_for};

/// A step that writes another field of a Deployment.
fn note(step: &str, name: &str, text: &str) -> Value {
    let patch = json!({"metadata": {"annotations": {"note": text}}});
    json!({"name": step, "patch": {"target": deployment(name), "type": "Merge", "patch": patch}})
}

#[tokio::test]
async fn the_second_waits_says_for_whom_and_looks_again() {
    let cluster = need!(Users, Owned);
    let scene = Scene::set(cluster, "locks").await;
    let mark = cluster.audit_mark();
    scene.workloads(&["d", "other"]).await;
    scene.flag("f").await;
    // All three are planned before any of them begins.
    let (first, same, field) = join!(
        scene.run(
            "first",
            json!([scale("s", "d", 3), hold("hold", "f")]),
            json!({})
        ),
        scene.run("same", json!([scale("s", "d", 5)]), json!({})),
        scene.run(
            "field",
            json!([note("n", "d", "looked at"), scale("s", "other", 2)]),
            json!({})
        ),
    );
    scene.approve(&first).await;
    scene.running("first", "hold").await;
    scene.approve(&same).await;
    scene.approve(&field).await;
    // What the first has changed is told at once; what it has not, waits for it.
    let superseded = ends(&scene, "same", "Superseded", "Superseded", Then::Nothing);
    superseded.await;
    let waiting = scene
        .until("field", "is locked out", waits_for("TargetLocked"))
        .await;
    let said = told(&waiting["status"]);
    let named = format!("{}/first", scene.ns.name());
    assert!(
        said.contains(&named) && said.contains("deployments"),
        "{said}"
    );
    assert_eq!(scene.replicas("other").await, 1, "all locks or none");
    assert_eq!(scene.effects(mark).await, ["patch deployments d"]);
    scene.go("f").await;
    ends(&scene, "first", "Succeeded", "Succeeded", Then::Well).await;
    ends(&scene, "field", "Succeeded", "Succeeded", Then::Well).await;
    assert_eq!(scene.replicas("other").await, 2);
    let object = scene.object("Deployment", "d").await;
    assert_eq!(object["metadata"]["annotations"]["note"], "looked at");
}

#[tokio::test]
async fn what_changed_while_it_waited_for_a_lock_supersedes_it() {
    let cluster = need!(Users, Owned);
    let scene = Scene::set(cluster, "locks").await;
    scene.workloads(&["d"]).await;
    scene.flag("f").await;
    let all = json!([hold("hold", "f"), scale("s", "d", 3)]);
    let (first, second) = join!(
        scene.run("first", all, json!({})),
        scene.run("second", json!([scale("s", "d", 5)]), json!({})),
    );
    scene.approve(&first).await;
    scene.running("first", "hold").await;
    scene.approve(&second).await;
    scene
        .until("second", "is locked out", waits_for("TargetLocked"))
        .await;
    let mark = cluster.audit_mark();
    scene.go("f").await;
    ends(&scene, "first", "Succeeded", "Succeeded", Then::Well).await;
    ends(&scene, "second", "Superseded", "Superseded", Then::Nothing).await;
    assert_eq!(scene.replicas("d").await, 3);
    assert_eq!(scene.effects(mark).await, ["patch deployments d"]);
}

#[tokio::test]
async fn however_the_first_ends_the_second_goes_on() {
    let cluster = need!(Users, Owned);
    let scene = Scene::set(cluster, "locks").await;
    let mark = cluster.audit_mark();
    let names = ["cancelled", "deleted", "failed"];
    scene.workloads(&names).await;
    scene.flag("never").await;
    let one = async |name: &'static str| {
        let holder = format!("{name}-first");
        // Its own time ends the one that nobody else ends.
        let mut waiting = hold("hold", "never");
        if name == "failed" {
            waiting["timeout"] = json!("5s");
        }
        let all = json!([waiting, scale("s", name, 3)]);
        scene.approved(&holder, all, json!({})).await;
        let run = scene.running(&holder, "hold").await;
        let second = format!("{name}-second");
        scene
            .approved(&second, json!([scale("s", name, 2)]), json!({}))
            .await;
        scene
            .until(&second, "is locked out", waits_for("TargetLocked"))
            .await;
        match name {
            "cancelled" => scene.cancel(&holder).await,
            "deleted" => scene.delete("Orchestration", &holder).await,
            _ => {}
        }
        ends(&scene, &second, "Succeeded", "Succeeded", Then::Well).await;
        assert_eq!(scene.replicas(name).await, 2);
        run
    };
    let (_, deleted, _) = join!(one(names[0]), one(names[1]), one(names[2]));
    scene.is_told_of(uid(&deleted), "run.gone/RunDeleted").await;
    let told = scene.told_of(uid(&deleted)).await;
    assert_eq!(
        told.last().map(String::as_str),
        Some("run.gone/RunDeleted"),
        "{told:?}"
    );
    // What it waited for comes true, and nothing of it goes on.
    scene.go("never").await;
    scene.meanwhile().await;
    let mut effects = scene.effects(mark).await;
    effects.sort();
    let wanted = names.map(|name| format!("patch deployments {name}"));
    assert_eq!(effects, wanted);
}

#[tokio::test]
async fn a_run_that_is_deleted_before_it_begins_leaves_nothing_and_its_name_is_free() {
    let cluster = need!(Users, Owned, Controllers);
    let scene = Scene::set(cluster, "deleted").await;
    let mark = cluster.audit_mark();
    scene.workloads(&["d"]).await;
    let run = scene.run("r", json!([scale("s", "d", 3)]), json!({})).await;
    let gate = run["status"]["gates"][0]["name"].as_str().expect("a name");
    let plan = run["status"]["plan"]["configMap"].as_str().expect("a name");
    scene.delete("Orchestration", "r").await;
    scene.is_told_of(uid(&run), "run.gone/RunDeleted").await;
    // The approval comes too late, whether its Gate is still there or not.
    let _ = scene.vote("bob", &run, "Approve").await;
    scene.is_gone("Gate", gate).await;
    scene.is_gone("ConfigMap", plan).await;
    // The same name again is another run, with another plan and another Gate.
    scene.ask("r", "r", json!({})).await;
    let again = scene.asked("r").await;
    assert_ne!(uid(&again), uid(&run));
    assert_ne!(
        again["status"]["plan"]["digest"],
        run["status"]["plan"]["digest"]
    );
    assert_ne!(again["status"]["gates"][0]["name"], gate);
    // A vote on the old Gate is none on the new one, and none that names both is taken.
    let _ = scene.vote("bob", &run, "Approve").await;
    let mixed = json!({"status": {
        "gates": [{"name": again["status"]["gates"][0]["name"], "uid": run["status"]["gates"][0]["uid"]}],
        "plan": again["status"]["plan"],
    }});
    assert!(scene.vote("bob", &mixed, "Approve").await.is_err());
    scene.meanwhile().await;
    assert_eq!(scene.effects(mark).await, Vec::<String>::new());
    let told = scene.told_of(uid(&run)).await;
    assert_eq!(
        told.last().map(String::as_str),
        Some("run.gone/RunDeleted"),
        "{told:?}"
    );
}

#[tokio::test]
async fn a_run_that_is_being_deleted_and_kept_by_a_finalizer_goes_no_further() {
    let cluster = need!(Users, Owned);
    let scene = Scene::set(cluster, "deleted").await;
    let mark = cluster.audit_mark();
    scene.workloads(&["d"]).await;
    scene.flag("f").await;
    let all = json!([hold("hold", "f"), scale("s", "d", 3)]);
    scene.approved("r", all, json!({})).await;
    let run = scene.running("r", "hold").await;
    let keep = json!({"metadata": {"finalizers": ["example.com/keep"]}});
    let kept = scene.patch(scene.admin(), "Orchestration", "r", keep).await;
    kept.expect("a finalizer");
    scene
        .approved("next", json!([scale("s", "d", 2)]), json!({}))
        .await;
    scene
        .until("next", "is locked out", waits_for("TargetLocked"))
        .await;
    scene.delete("Orchestration", "r").await;
    // Whoever keeps the object keeps nobody else from the target.
    scene.is_told_of(uid(&run), "run.gone/RunDeleted").await;
    ends(&scene, "next", "Succeeded", "Succeeded", Then::Well).await;
    scene.go("f").await;
    scene.meanwhile().await;
    assert_eq!(scene.effects(mark).await, ["patch deployments d"]);
    let free = json!({"metadata": {"finalizers": null}});
    let freed = scene.patch(scene.admin(), "Orchestration", "r", free).await;
    freed.expect("no finalizer");
    scene.is_gone("Orchestration", "r").await;
    let told = scene.told_of(uid(&run)).await;
    let gone = told.iter().filter(|word| *word == "run.gone/RunDeleted");
    assert_eq!(gone.count(), 1, "{told:?}");
}
