//! A Freeze is obeyed before the next effect, wherever a run is, and what it held goes on by itself when it is lifted.

use futures::join;
use kube::Client;
use serde_json::{Value, json};

use super::{Then, ends, uid};
use crate::support::{
    Scene, create, grant_everywhere, hold, need, ours, random, scale, steps, told, waits_for,
};

pub(super) struct Frozen<'a> {
    scene: &'a Scene,
    carol: Client,
    name: String,
}

impl<'a> Frozen<'a> {
    /// carol freezes these namespaces.
    pub(super) async fn now(scene: &'a Scene, namespaces: &[&str]) -> Self {
        let carol = scene.cluster.person("carol").await;
        let name = random("t-freeze");
        scene.ns.also_delete("Freeze", &name);
        create(&carol, freeze(&name, namespaces, "carol"))
            .await
            .expect("a Freeze");
        Self { scene, carol, name }
    }

    async fn uid(&self) -> String {
        let object = self.scene.object("Freeze", &self.name).await;
        uid(&object).to_owned()
    }

    pub(super) async fn lift(&self) {
        let patch = json!({"spec": {"liftedBy": "carol"}});
        let lifted = self.scene.patch(&self.carol, "Freeze", &self.name, patch);
        lifted.await.expect("lifted");
    }
}

fn freeze(name: &str, namespaces: &[&str], by: &str) -> Value {
    json!({
        "apiVersion": "neuralops.io/v1alpha1", "kind": "Freeze", "metadata": {"name": name},
        "spec": {"namespaces": namespaces, "reason": "the sale", "frozenBy": by},
    })
}

pub(super) async fn scene(cluster: &'static crate::support::Cluster) -> Scene {
    let scene = Scene::set(cluster, "freeze").await;
    let rights = [ours("create get patch", "freezes")];
    grant_everywhere(&scene.ns, "carol", &rights).await;
    scene
}

#[tokio::test]
async fn nothing_begins_while_it_is_frozen_and_goes_on_when_it_is_lifted() {
    let cluster = need!(Users, Owned);
    let scene = scene(cluster).await;
    let mark = cluster.audit_mark();
    scene.workloads(&["start", "between"]).await;
    scene.flag("f").await;
    let held = async {
        let run = scene.run("start", json!([scale("s", "start", 3)]), json!({}));
        let all = json!([hold("hold", "f"), scale("s", "between", 3)]);
        let between = scene.approved("between", all, json!({}));
        let (run, _) = join!(run, between);
        scene.running("between", "hold").await;
        run
    };
    let run = held.await;
    let frozen = Frozen::now(&scene, &["elsewhere", scene.ns.name()]).await;
    scene.approve(&run).await;
    scene.go("f").await;
    let start = scene.until("start", "is frozen", waits_for("Frozen")).await;
    let between = scene
        .until("between", "is frozen", waits_for("Frozen"))
        .await;
    let said = told(&start["status"]);
    for word in [frozen.name.as_str(), "carol", "the sale"] {
        assert!(said.contains(word), "{said}");
    }
    assert_eq!(steps(&between), "Succeeded Pending");
    scene.meanwhile().await;
    assert_eq!(scene.effects(mark).await, Vec::<String>::new());
    let freeze = frozen.uid().await;
    scene.is_told_of(&freeze, "freeze.placed/Frozen").await;
    for run in [&start, &between] {
        scene.is_told_of(uid(run), "run.held/Frozen").await;
    }
    frozen.lift().await;
    for name in ["start", "between"] {
        let run = ends(&scene, name, "Succeeded", "Succeeded", Then::Well).await;
        let told = scene.told_of(uid(&run)).await;
        let held = told.iter().filter(|word| *word == "run.held/Frozen");
        assert_eq!(held.count(), 1, "{told:?}");
    }
    scene.is_told_of(&freeze, "freeze.lifted/Running").await;
}

#[tokio::test]
async fn one_freeze_of_two_still_holds_and_a_frozen_run_can_be_cancelled() {
    let cluster = need!(Users, Owned);
    let scene = scene(cluster).await;
    let mark = cluster.audit_mark();
    scene.workloads(&["held", "stopped", "free"]).await;
    let first = Frozen::now(&scene, &[scene.ns.name()]).await;
    let second = Frozen::now(&scene, &[scene.ns.name()]).await;
    // Planning and asking go on: they change nothing.
    let (_, _) = join!(
        scene.approved("held", json!([scale("s", "held", 3)]), json!({})),
        scene.approved("stopped", json!([scale("s", "stopped", 3)]), json!({})),
    );
    for name in ["held", "stopped"] {
        scene.until(name, "is frozen", waits_for("Frozen")).await;
    }
    scene.cancel("stopped").await;
    ends(&scene, "stopped", "Cancelled", "Cancelled", Then::Nothing).await;
    first.lift().await;
    let freeze = first.uid().await;
    scene.is_told_of(&freeze, "freeze.lifted/Running").await;
    scene
        .until("held", "is held by the other", |status| {
            told(status).contains(&second.name) || status["outcome"].is_string()
        })
        .await;
    scene.meanwhile().await;
    assert_eq!(scene.effects(mark).await, Vec::<String>::new());
    second.lift().await;
    ends(&scene, "held", "Succeeded", "Succeeded", Then::Well).await;

    // Another namespace's Freeze is not this one's.
    let elsewhere = Frozen::now(&scene, &["elsewhere"]).await;
    scene
        .approved("free", json!([scale("s", "free", 3)]), json!({}))
        .await;
    ends(&scene, "free", "Succeeded", "Succeeded", Then::Well).await;
    elsewhere.lift().await;
}

#[tokio::test]
async fn nobody_freezes_or_lifts_in_somebody_elses_name() {
    let cluster = need!(Users);
    let scene = scene(cluster).await;
    let carol = cluster.person("carol").await;
    let here = [scene.ns.name()];
    for by in ["alice", "Carol", "carol ", "system:admin", ""] {
        let name = random("t-freeze");
        scene.ns.also_delete("Freeze", &name);
        let made = create(&carol, freeze(&name, &here, by)).await;
        assert!(made.is_err(), "{by:?}: {made:?}");
    }
    let mallory = cluster.person("mallory").await;
    let made = create(&mallory, freeze("t-mallory", &here, "mallory")).await;
    assert!(made.is_err(), "{made:?}");

    let frozen = Frozen::now(&scene, &here).await;
    grant_everywhere(&scene.ns, "dave", &[ours("get patch", "freezes")]).await;
    let dave = cluster.person("dave").await;
    for spec in [
        json!({"liftedBy": "carol"}),
        json!({"liftedBy": "Dave"}),
        json!({"namespaces": ["elsewhere"]}),
        json!({"frozenBy": "dave"}),
        json!({"reason": "none"}),
        json!({"namespaces": ["elsewhere"], "liftedBy": "dave"}),
    ] {
        let patch = json!({ "spec": spec });
        let changed = scene.patch(&dave, "Freeze", &frozen.name, patch).await;
        assert!(changed.is_err(), "{spec}: {changed:?}");
    }
    frozen.lift().await;
    let again = scene.patch(
        &dave,
        "Freeze",
        &frozen.name,
        json!({"spec": {"liftedBy": "dave"}}),
    );
    assert!(again.await.is_err(), "it is lifted once");
}
