//! Mode Auto: without a Gate runs only what the signed Playbook allows for the incident, after that is on record, and only for
//! whom the verb is granted by name; all else stops it as it stops what people approved.

#![expect(
    clippy::too_many_lines,
    reason = "a scene is told from beginning to end"
)]

use std::process::Command;

use kube::{Api, api::ListParams};
use neuralops::api::v1alpha1::AuditLog;
use serde_json::{Value, json};

use crate::support::{
    Scene, api, condition, create, grant, grant_everywhere, hold, need, ours, random, scale, told,
    waits_for,
};

/// A Playbook that may run by itself where this holds.
fn auto(scene: &Scene, name: &str, expression: &str, steps: Value) -> Value {
    let mut playbook = scene.playbook(name, steps);
    playbook["spec"]["safety"] = json!("Auto");
    playbook["spec"]["auto"] = json!({"expression": expression});
    playbook
}

fn incident(severity: &str) -> Value {
    json!({"mode": "Auto", "incident": {"summary": "checkout crash loops", "severity": severity}})
}

/// alice may start runs of these Playbooks without a Gate.
async fn trusted(scene: &Scene, names: &[&str]) {
    let rules: Vec<_> = names
        .iter()
        .map(|name| ours("auto", "playbooks").named(name))
        .collect();
    grant(&scene.ns, "alice", &rules).await;
}

fn uid(run: &Value) -> &str {
    run["metadata"]["uid"].as_str().expect("a uid")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_playbook_allows_runs_without_a_gate_and_is_on_record_before_it_does() {
    let cluster = need!(Users, Owned, Controllers);
    let scene = Scene::set(cluster, "auto").await;
    let mark = cluster.audit_mark();
    scene.workloads(&["d"]).await;
    let steps = json!([scale("s", "d", 3)]);
    let expression = "incident.severity == 'warning'";
    scene.signed(auto(&scene, "heal", expression, steps)).await;
    // Whom it is not granted by name does not get that far.
    let refused = scene.try_ask("early", "heal", incident("warning")).await;
    assert!(refused.is_err(), "{refused:?}");
    trusted(&scene, &["heal"]).await;
    scene.ask("r", "heal", incident("warning")).await;
    let run = scene.ended("r", "Succeeded").await;
    let status = &run["status"];
    assert_eq!(
        condition(status, "Approved"),
        "True/AutoAllowed",
        "{status:#}"
    );
    assert_eq!(condition(status, "Succeeded"), "True/Succeeded");
    assert!(status["gates"].is_null(), "{status:#}");
    assert_eq!(status["plan"]["verdict"], "Pass");
    assert!(status["plan"]["configMap"].is_string());
    assert_eq!(scene.replicas("d").await, 3);
    assert_eq!(scene.effects(mark).await, ["patch deployments d"]);
    let gates = api(scene.admin(), "Gate", scene.ns.name());
    let gates = gates.list(&ListParams::default()).await.expect("gates");
    assert!(gates.items.is_empty(), "{:?}", gates.items);
    let told_of = scene.told_of(uid(&run)).await;
    assert_eq!(
        told_of,
        [
            "run.requested",
            "run.planned/Planned",
            "run.allowed/AutoAllowed",
            "run.started/Auto",
            "step.intended",
            "step.succeeded/Succeeded",
            "run.finished/Succeeded",
        ]
    );
    let records = scene.records(uid(&run)).await;
    let allowed = &records[2].fact;
    let playbook = scene.object("Playbook", "heal").await;
    let digest = allowed.playbook_digest.as_ref().map(ToString::to_string);
    assert_eq!(digest.as_deref(), playbook["status"]["digest"].as_str());
    let named = allowed.expression.as_ref().map(|name| name.as_str());
    assert_eq!(named, Some(expression));
    assert_eq!(allowed.plan_digest, records[3].fact.plan_digest);
    assert_eq!(records[3].fact.cause, Some(allowed.id));

    // Who verifies the log takes it for allowed.
    let store = format!("sqlite://{}", cluster.store().display());
    let logs: Api<AuditLog> = Api::all(scene.admin().clone());
    let anchor = logs.get("main").await.expect("the AuditLog").spec;
    let key = anchor.keys.first().expect("a key");
    let output = Command::new(env!("CARGO_BIN_EXE_neuralops"))
        .args(["audit", "verify", &store, "--semantic", "--key", key])
        .output()
        .expect("the program");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(
        said.contains("nothing began unplanned or unapproved"),
        "{said}"
    );
}

#[tokio::test]
async fn where_it_is_not_allowed_people_are_asked_and_told_why() {
    let cluster = need!(Users, Owned, Controllers);
    let scene = Scene::set(cluster, "auto").await;
    let mark = cluster.audit_mark();
    scene.workloads(&["d"]).await;
    let steps = || json!([scale("s", "d", 3)]);
    let calm = "incident.severity == 'warning'";
    let unsaid = "incident.labels.team == 'shop'";
    scene.signed(auto(&scene, "calm", calm, steps())).await;
    scene.signed(auto(&scene, "unsaid", unsaid, steps())).await;
    scene.signed(scene.playbook("manual", steps())).await;
    trusted(&scene, &["calm", "unsaid", "manual"]).await;
    for (name, words) in [
        ("calm", "auto.expression does not hold over this incident"),
        ("unsaid", "of the Playbook's auto.expression"),
        ("manual", "the Playbook does not say safety: Auto"),
    ] {
        scene.ask(name, name, incident("critical")).await;
        let run = scene.asked(name).await;
        let status = &run["status"];
        assert_eq!(
            condition(status, "Ready"),
            "Unknown/AutoNotAllowed",
            "{status:#}"
        );
        let said = told(status);
        assert!(
            said.contains(words) && said.contains("waits for oncall"),
            "{said}"
        );
        assert_eq!(condition(status, "Approved"), "Unknown/AutoNotAllowed");
    }
    // A later look writes nothing, and an approval is an approval.
    let before = scene.object("Orchestration", "calm").await;
    let touch = json!({"metadata": {"annotations": {"touched": "yes"}}});
    let touched = scene
        .patch(scene.admin(), "Orchestration", "calm", touch)
        .await;
    let touched = touched.expect("touched").metadata.resource_version;
    scene.meanwhile().await;
    let after = scene.object("Orchestration", "calm").await;
    assert_eq!(after["status"], before["status"]);
    assert_eq!(
        after["metadata"]["resourceVersion"].as_str(),
        touched.as_deref()
    );
    assert_eq!(scene.effects(mark).await, Vec::<String>::new());
    scene.approve(&before).await;
    let run = scene.ended("calm", "Succeeded").await;
    assert_eq!(condition(&run["status"], "Approved"), "True/Approved");
    let told_of = scene.told_of(uid(&run)).await;
    assert!(
        !told_of.iter().any(|word| word.contains("Auto")),
        "{told_of:?}"
    );
}

#[tokio::test]
async fn what_stops_others_stops_it_too() {
    let cluster = need!(Users, Owned, Controllers);
    let scene = Scene::set(cluster, "auto").await;
    let mark = cluster.audit_mark();
    scene.workloads(&["d", "e"]).await;
    scene.flag("f").await;
    let always = |name: &str, steps| auto(&scene, name, "true", steps);
    scene
        .signed(always(
            "first",
            json!([scale("s", "d", 3), hold("hold", "f")]),
        ))
        .await;
    scene
        .signed(always("second", json!([scale("s", "d", 5)])))
        .await;
    scene
        .signed(always("other", json!([scale("s", "e", 2)])))
        .await;
    trusted(&scene, &["first", "second", "other"]).await;
    let more = |more: Value| {
        let mut spec = incident("critical");
        spec.as_object_mut()
            .expect("a spec")
            .extend(more.as_object().expect("a spec").clone());
        spec
    };
    // A Freeze; nothing has begun when it is there first.
    let name = random("freeze");
    let freeze = json!({
        "apiVersion": "neuralops.io/v1alpha1", "kind": "Freeze", "metadata": {"name": name},
        "spec": {"namespaces": [scene.ns.name()], "reason": "a test", "frozenBy": "carol"},
    });
    scene.ns.also_delete("Freeze", &name);
    let rights = [ours("create get patch", "freezes")];
    grant_everywhere(&scene.ns, "carol", &rights).await;
    let carol = cluster.person("carol").await;
    create(&carol, freeze).await.expect("a freeze");
    scene.ask("frozen", "other", more(json!({}))).await;
    scene
        .until("frozen", "is frozen", waits_for("Frozen"))
        .await;
    // Its release and its suspension.
    scene
        .ask("held", "other", more(json!({"start": "OnRelease"})))
        .await;
    let held = scene
        .until("held", "waits", waits_for("AwaitingRelease"))
        .await;
    assert_eq!(condition(&held["status"], "Approved"), "True/AutoAllowed");
    scene
        .ask("paused", "other", more(json!({"suspend": true})))
        .await;
    scene.until("paused", "waits", waits_for("Suspended")).await;
    assert_eq!(scene.effects(mark).await, Vec::<String>::new());
    for name in ["frozen", "held", "paused"] {
        scene.cancel(name).await;
        scene.ended(name, "Cancelled").await;
    }
    let lift = json!({"spec": {"liftedBy": "carol"}});
    scene
        .patch(&carol, "Freeze", &name, lift)
        .await
        .expect("lifted");
    // Locks, and what changed while it waited for them.
    scene.ask("first", "first", more(json!({}))).await;
    scene.running("first", "hold").await;
    scene.ask("second", "second", more(json!({}))).await;
    scene
        .until("second", "is locked out", waits_for("TargetLocked"))
        .await;
    let note = json!({"spec": {"replicas": 7}});
    scene
        .patch(scene.admin(), "Deployment", "d", note)
        .await
        .expect("changed");
    scene.go("f").await;
    scene.ended("first", "Succeeded").await;
    scene.ended("second", "Superseded").await;
    assert_eq!(scene.effects(mark).await, ["patch deployments d"]);
}
