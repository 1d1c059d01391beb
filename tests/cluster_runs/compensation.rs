//! The way back: what a failed run did is taken back in reverse order, as far as its plan says; what somebody has changed
//! since is left to them, and the run says what it left. And another attempt before that, where the author wants one.

use futures::future::join_all;
use serde_json::{Value, json};

use super::{
    Then, ends,
    freezes::{self, Frozen},
    uid,
};
use crate::support::{
    Scene, condition, create, deployment, hold, need, scale, steps, told, waits_for,
};

/// Six effects on objects of this name.
fn six(name: &str) -> Vec<Value> {
    let config = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": name});
    let made = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": format!("{name}-made")}, "data": {"a": "b"},
    });
    let image = json!([
        {"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "registry.example/shop:2"},
        {"op": "add", "path": "/metadata/labels", "value": {"healed": "yes"}},
    ]);
    let applied = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("{name}-kept")},
        "data": {"a": "changed", "new": "field"},
    });
    vec![
        json!({"name": "restart", "rolloutRestart": {"target": deployment(name)}}),
        scale("scale", name, 3),
        json!({"name": "image", "patch": {"target": deployment(name), "type": "Json", "patch": image}}),
        json!({"name": "config", "patch": {"target": config, "type": "Merge", "patch": {"data": {"k": "w", "l": "m"}}}}),
        json!({"name": "make", "apply": {"manifest": made}}),
        json!({"name": "take", "apply": {"manifest": applied, "force": true}}),
    ]
}

/// What can never hold.
pub(super) fn fails() -> Value {
    let target = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "never"});
    json!({"name": "fail", "check": {"target": target, "expression": "object.data.go == 'yes'"}})
}

/// The objects of that name, without what the API server counts and notes.
async fn state(scene: &Scene, name: &str) -> Vec<Value> {
    let mut objects = vec![
        scene.object("Deployment", name).await,
        scene.object("ConfigMap", name).await,
        scene.object("ConfigMap", &format!("{name}-kept")).await,
    ];
    for object in &mut objects {
        let fields = object.as_object_mut().expect("fields");
        fields.remove("status");
        let metadata = fields["metadata"].as_object_mut().expect("metadata");
        for noise in ["managedFields", "resourceVersion", "generation"] {
            metadata.remove(noise);
        }
        // The deployment controller's own.
        let annotations = metadata.entry("annotations").or_insert_with(|| json!({}));
        let annotations = annotations.as_object_mut().expect("annotations");
        annotations.remove("deployment.kubernetes.io/revision");
    }
    objects
}

async fn objects(scene: &Scene, name: &str) {
    scene.workloads(&[name]).await;
    for config in [name.to_owned(), format!("{name}-kept")] {
        let object = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": config, "namespace": scene.ns.name()}, "data": {"k": "v", "a": "first"},
        });
        create(scene.admin(), object).await.expect("a config map");
    }
}

#[tokio::test]
async fn a_failure_at_every_step_of_six_leaves_everything_as_it_was() {
    let cluster = need!(Users, Owned);
    let scene = Scene::set(cluster, "back").await;
    scene.flag("never").await;
    let runs = (0..=6).map(async |at: usize| {
        let name = format!("at{at}");
        objects(&scene, &name).await;
        let before = state(&scene, &name).await;
        let mut all = six(&name);
        all.insert(at, fails());
        let run = scene.compensating(&name, Value::Array(all)).await;
        if at == 0 {
            let run = ends(&scene, &name, "Failed", "StepFailed", Then::Look).await;
            assert!(!told(&run["status"]).contains("taken back"), "{run:#}");
        } else {
            let run = ends(&scene, &name, "Compensated", "StepFailed", Then::Look).await;
            let mut states = vec!["Compensated"; at];
            states.push("Failed");
            states.extend(vec!["Skipped"; 6 - at]);
            assert_eq!(steps(&run), states.join(" "));
            let message = told(&run["status"]);
            let names = ["restart", "scale", "image", "config", "make", "take"];
            let back: Vec<&str> = names[..at].iter().rev().copied().collect();
            let said = format!("taken back: {}", back.join(", "));
            assert!(message.contains(&said), "{message}");
            assert!(
                message.contains("step fail failed (CheckFailed)"),
                "{message}"
            );
        }
        assert_eq!(state(&scene, &name).await, before, "{name}");
        scene.is_gone("ConfigMap", &format!("{name}-made")).await;
        let told = scene.told_of(uid(&run)).await;
        let count = |word: &str| told.iter().filter(|one| one.starts_with(word)).count();
        assert_eq!(count("undo.intended"), at, "{told:?}");
        assert_eq!(count("undo.succeeded"), at, "{told:?}");
        assert_eq!(
            count("run.turned/StepFailed"),
            usize::from(at > 0),
            "{told:?}"
        );
    });
    join_all(runs).await;
}

#[tokio::test]
async fn what_somebody_changed_since_is_theirs_and_the_run_says_what_it_left() {
    let cluster = need!(Users, Owned);
    let scene = Scene::set(cluster, "drift").await;
    scene.workloads(&["first", "second", "third"]).await;
    scene.flag("never").await;
    let mut waiting = hold("hold", "never");
    waiting["timeout"] = json!("6s");
    let all = json!([
        scale("one", "first", 3),
        scale("two", "second", 4),
        scale("three", "third", 5),
        waiting
    ]);
    let run = scene.compensating("r", all).await;
    scene.running("r", "hold").await;
    let patch = json!({"spec": {"replicas": 7}});
    let patched = scene
        .patch(scene.admin(), "Deployment", "second", patch)
        .await;
    patched.expect("scaled");
    let ended = ends(
        &scene,
        "r",
        "CompensationFailed",
        "TargetDrifted",
        Then::Look,
    )
    .await;
    assert_eq!(
        steps(&ended),
        "Succeeded CompensationFailed Compensated Failed"
    );
    let message = told(&ended["status"]);
    for said in [
        "step hold failed (DeadlineExceeded)",
        "step two was not taken back (TargetDrifted)",
        "nothing of it is overwritten",
        "left as they are: two, one",
    ] {
        assert!(message.contains(said), "{message}");
    }
    let replicas = [
        scene.replicas("first").await,
        scene.replicas("second").await,
        scene.replicas("third").await,
    ];
    assert_eq!(replicas, [3, 7, 1]);
    scene
        .is_told_of(uid(&run), "undo.failed/TargetDrifted")
        .await;
}

#[tokio::test]
async fn what_the_plan_leaves_is_named_before_and_after() {
    let cluster = need!(Users, Owned);
    let scene = Scene::set(cluster, "left").await;
    scene.workloads(&["d", "e"]).await;
    scene.flag("never").await;
    let mut kept = scale("kept", "e", 4);
    kept["undo"] = json!("None");
    let mut stops = fails();
    stops["onFailure"] = json!("Stop");
    let both = json!([scale("s", "d", 3), kept, fails()]);
    let run = scene.compensating("r", both).await;
    let gate = run["status"]["gates"][0]["name"].as_str().expect("a name");
    let diff = scene.object("Gate", gate).await["spec"]["subject"]["diff"].to_string();
    for said in [
        "if it fails, what was done is taken back in reverse order",
        "undo: put back as it was",
        "undo: the Playbook says that this step is not undone",
    ] {
        assert!(diff.contains(said), "{diff}");
    }
    let ended = ends(&scene, "r", "Compensated", "StepFailed", Then::Look).await;
    assert_eq!(steps(&ended), "Compensated Succeeded Failed");
    let message = told(&ended["status"]);
    assert!(
        message.contains("not taken back, as the plan says: kept ("),
        "{message}"
    );
    assert_eq!(
        (scene.replicas("d").await, scene.replicas("e").await),
        (1, 4)
    );

    // A step may say otherwise than its Playbook.
    scene
        .compensating("stops", json!([scale("s", "d", 3), stops]))
        .await;
    let ended = ends(&scene, "stops", "Failed", "StepFailed", Then::Look).await;
    assert_eq!(steps(&ended), "Succeeded Failed");
    assert_eq!(scene.replicas("d").await, 3);
}

#[tokio::test]
async fn a_freeze_holds_the_way_back_too_and_a_cancel_ends_it() {
    let cluster = need!(Users, Owned);
    let scene = freezes::scene(cluster).await;
    scene.workloads(&["d", "e"]).await;
    for flag in ["f", "g"] {
        scene.flag(flag).await;
    }
    let steps_of = |name: &str, flag: &str| {
        let mut waiting = hold("hold", flag);
        waiting["timeout"] = json!("20s");
        json!([scale("s", name, 3), waiting])
    };
    let goes_on = scene.compensating("r", steps_of("d", "f")).await;
    let cancelled = scene.compensating("c", steps_of("e", "g")).await;
    scene.running("r", "hold").await;
    scene.running("c", "hold").await;
    let namespace = scene.ns.name().to_owned();
    let freeze = Frozen::now(&scene, &[&namespace]).await;
    // The step that waits comes to the end of its time, frozen or not.
    for run in [&goes_on, &cancelled] {
        scene.is_told_of(uid(run), "run.turned/StepFailed").await;
    }
    for name in ["r", "c"] {
        scene.until(name, "is held", waits_for("Frozen")).await;
    }
    scene.cancel("c").await;
    let ended = ends(&scene, "c", "Cancelled", "Cancelled", Then::Look).await;
    assert!(
        told(&ended["status"]).contains("on the way back"),
        "{ended:#}"
    );
    assert_eq!(
        (scene.replicas("d").await, scene.replicas("e").await),
        (3, 3)
    );
    freeze.lift().await;
    ends(&scene, "r", "Compensated", "StepFailed", Then::Look).await;
    assert_eq!(
        (scene.replicas("d").await, scene.replicas("e").await),
        (1, 3)
    );
}

#[tokio::test]
async fn a_step_is_tried_as_often_as_its_author_says() {
    let cluster = need!(Users, Owned);
    let scene = Scene::set(cluster, "again").await;
    scene.workloads(&["d"]).await;
    for flag in ["soon", "never"] {
        scene.flag(flag).await;
    }
    let check = |flag: &str, retries: u32| {
        let mut step = fails();
        step["check"]["target"]["name"] = json!(flag);
        step["retries"] = json!(retries);
        step
    };
    let good = scene.compensating("good", json!([check("soon", 10)])).await;
    scene
        .is_told_of(uid(&good), "step.failed/CheckFailed")
        .await;
    scene
        .until("good", "tries again", waits_for("Retrying"))
        .await;
    scene.go("soon").await;
    let run = ends(&scene, "good", "Succeeded", "Succeeded", Then::Well).await;
    assert_eq!(steps(&run), "Succeeded");
    let records = scene.records(uid(&good)).await;
    let attempts: Vec<u32> = records
        .iter()
        .filter(|record| record.fact.code.code() == "step.intended")
        .filter_map(|record| record.fact.attempt)
        .collect();
    let expected: Vec<u32> = (1..).take(attempts.len()).collect();
    assert!(attempts.len() > 1 && attempts == expected, "{attempts:?}");

    let bad = scene
        .compensating("bad", json!([scale("s", "d", 3), check("never", 2)]))
        .await;
    ends(&scene, "bad", "Compensated", "StepFailed", Then::Look).await;
    let told = scene.told_of(uid(&bad)).await;
    let failed = told.iter().filter(|one| one.starts_with("step.failed"));
    assert_eq!(failed.count(), 3, "{told:?}");
    assert_eq!(scene.replicas("d").await, 1);
    assert_eq!(condition(&run["status"], "Succeeded"), "True/Succeeded");
}

/// Two steps that name one field were each planned against the object as it is: the second would find it so already, and
/// leave what the first one did.
#[tokio::test]
async fn a_field_that_is_so_already_is_a_part_of_the_plan() {
    let cluster = need!(Users, Owned);
    let scene = Scene::set(cluster, "already").await;
    scene.workloads(&["d", "e"]).await;
    scene.flag("f").await;
    let there_and_back = json!([scale("down", "d", 0), scale("up", "d", 1)]);
    scene.signed(scene.playbook("twice", there_and_back)).await;
    scene.ask("twice", "twice", json!({})).await;
    ends(&scene, "twice", "Failed", "TargetTwice", Then::Look).await;

    // It was so when people approved, and is not any more: nobody approved that it is changed.
    let all = json!([hold("hold", "f"), scale("same", "e", 1)]);
    scene.approved("same", all, json!({})).await;
    scene.running("same", "hold").await;
    let patch = json!({"spec": {"replicas": 2}});
    let patched = scene.patch(scene.admin(), "Deployment", "e", patch).await;
    patched.expect("scaled");
    scene.go("f").await;
    let run = ends(&scene, "same", "Failed", "StepFailed", Then::Look).await;
    assert!(told(&run["status"]).contains("TargetDrifted"), "{run:#}");
    assert_eq!(scene.replicas("e").await, 2);
}

/// A copy takes what stands somewhere else at that moment, and that is not what was approved.
#[tokio::test]
async fn a_write_that_would_do_something_else_now_is_not_sent() {
    let cluster = need!(Users, Owned);
    let scene = Scene::set(cluster, "copy").await;
    scene.workloads(&["d"]).await;
    scene.flag("f").await;
    let mark = |value: &str| json!({"metadata": {"annotations": {"image": value}}});
    let set = scene.patch(
        scene.admin(),
        "Deployment",
        "d",
        mark("registry.example/shop:2"),
    );
    set.await.expect("a mark");
    let copy = json!([{
        "op": "copy", "from": "/metadata/annotations/image", "path": "/spec/template/spec/containers/0/image",
    }]);
    let all = json!([
        hold("hold", "f"),
        {"name": "copy", "patch": {"target": deployment("d"), "type": "Json", "patch": copy}},
    ]);
    scene.approved("r", all, json!({})).await;
    scene.running("r", "hold").await;
    let set = scene.patch(
        scene.admin(),
        "Deployment",
        "d",
        mark("registry.example/evil:1"),
    );
    set.await.expect("a mark");
    scene.go("f").await;
    let run = ends(&scene, "r", "Failed", "StepFailed", Then::Look).await;
    assert!(
        told(&run["status"]).contains("than was approved"),
        "{run:#}"
    );
    let image =
        |object: &Value| object["spec"]["template"]["spec"]["containers"][0]["image"].clone();
    assert_eq!(
        image(&scene.object("Deployment", "d").await),
        "registry.example/shop:1"
    );
}
