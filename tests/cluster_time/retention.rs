//! Finished runs are deleted when their time is over or their Playbook keeps fewer, with all that belongs to them; and no
//! other run is, whatever it says.

use futures::join;
use kube::api::{DeleteParams, ListParams};
use serde_json::{Value, json};

use crate::support::{Scene, api, create, eventually, need, scale};

const SOON: std::time::Duration = std::time::Duration::from_secs(60);

fn uid(object: &Value) -> &str {
    object["metadata"]["uid"].as_str().expect("a uid")
}

/// The names of the objects of this kind in the scene.
async fn names(scene: &Scene, kind: &str) -> Vec<String> {
    let objects = api(scene.admin(), kind, scene.ns.name());
    let objects = objects.list(&ListParams::default()).await.expect("a list");
    let mut names: Vec<String> = objects
        .items
        .into_iter()
        .filter_map(|object| object.metadata.name)
        .filter(|name| name != "kube-root-ca.crt")
        .collect();
    names.sort();
    names
}

/// Waits until these are the runs that are there.
async fn are_left(scene: &Scene, wanted: &[&str]) {
    eventually("the others are deleted", SOON, async || {
        let found = names(scene, "Orchestration").await;
        if found == wanted {
            Ok(())
        } else {
            Err(format!("{found:?}"))
        }
    })
    .await;
}

#[tokio::test]
async fn a_finished_run_is_deleted_with_all_of_it_when_its_time_is_over() {
    let cluster = need!(Users, Owned, Controllers);
    let scene = Scene::set(cluster, "ttl").await;
    scene.workloads(&["a", "b"]).await;
    let at_once = json!({"ttlSecondsAfterFinished": 0});
    let gone = async {
        let run = scene
            .approved("a", json!([scale("s", "a", 3)]), at_once.clone())
            .await;
        scene.is_gone("Orchestration", "a").await;
        run
    };
    // Its time is not over before its end, and that may never come.
    let open = async {
        let steps = json!([scale("s", "b", 3)]);
        scene
            .run("b", steps, json!({"ttlSecondsAfterFinished": 0}))
            .await
    };
    // The time may be set afterwards.
    let later = async {
        scene
            .signed(scene.playbook("c", json!([{"name": "w", "wait": {"duration": "1ms"}}])))
            .await;
        scene.ask("c", "c", json!({"mode": "PlanOnly"})).await;
        scene.ended("c", "Planned").await
    };
    let (run, open, later) = join!(gone, open, later);
    let told = scene.told_of(uid(&run)).await;
    assert_eq!(
        told.last().map(String::as_str),
        Some("run.finished/Succeeded"),
        "{told:?}"
    );
    let gate = open["status"]["gates"][0]["name"].as_str().expect("a name");
    eventually("what belonged to it is gone", SOON, async || {
        let found = [names(&scene, "Gate").await, names(&scene, "Decision").await];
        if found == [vec![gate.to_owned()], vec![]] {
            Ok(())
        } else {
            Err(format!("{found:?}"))
        }
    })
    .await;
    let plans = [&open, &later].map(|run| run["status"]["plan"]["configMap"].as_str());
    let mut plans: Vec<String> = plans.into_iter().flatten().map(str::to_owned).collect();
    plans.sort();
    eventually("its plan is gone", SOON, async || {
        let found = names(&scene, "ConfigMap").await;
        if found == plans {
            Ok(())
        } else {
            Err(format!("{found:?}"))
        }
    })
    .await;
    are_left(&scene, &["b", "c"]).await;
    scene.set_run("alice", "c", at_once).await.expect("a time");
    are_left(&scene, &["b"]).await;
    let told = scene.told_of(uid(&later)).await;
    assert_eq!(
        told.last().map(String::as_str),
        Some("run.finished/Planned"),
        "{told:?}"
    );
    scene.meanwhile().await;
    assert_eq!(
        scene.object("Orchestration", "b").await["status"]["stage"],
        "Approve"
    );
}

#[tokio::test]
async fn a_playbook_keeps_the_newest_of_its_finished_runs() {
    let cluster = need!(Users, Owned, Controllers);
    let scene = Scene::set(cluster, "history").await;
    scene.workloads(&["d"]).await;
    let only = json!({"mode": "PlanOnly"});
    let mut playbook = scene.playbook("p", json!([scale("s", "d", 3)]));
    playbook["spec"]["historyLimit"] = json!(2);
    scene.signed(playbook.clone()).await;
    scene
        .signed(scene.playbook("other", json!([scale("s", "d", 3)])))
        .await;
    scene.ask("o", "other", only.clone()).await;
    let incident = json!({"incident": {"key": "k"}});
    scene.ask("asked", "p", incident.clone()).await;
    scene.asked("asked").await;
    // It names no Playbook, and has joined a run of this one.
    let nameless = json!({
        "apiVersion": "neuralops.io/v1alpha1", "kind": "Orchestration",
        "metadata": {"name": "joined", "namespace": scene.ns.name()},
        "spec": {"requestedBy": "alice", "incident": {"key": "k"}},
    });
    let alice = scene.alice().await;
    create(&alice, nameless).await.expect("a run");
    scene.ended("joined", "Joined").await;
    scene.ended("o", "Planned").await;
    for name in ["a", "b", "c"] {
        scene.ask(name, "p", only.clone()).await;
        eventually("it ends", SOON, async || {
            let run = api(scene.admin(), "Orchestration", scene.ns.name())
                .get_opt(name)
                .await;
            match run.map_err(|error| error.to_string())? {
                Some(run) if run.data["status"]["outcome"].is_null() => Err("not yet".to_owned()),
                _ => Ok(()),
            }
        })
        .await;
    }
    eventually("two are left", SOON, async || {
        let found = names(&scene, "Orchestration").await;
        let finished = found
            .iter()
            .filter(|name| ["a", "b", "c"].contains(&name.as_str()));
        if finished.count() == 2 {
            Ok(())
        } else {
            Err(format!("{found:?}"))
        }
    })
    .await;
    // Fewer are kept from now on, as soon as the document that says so is verified.
    playbook["spec"]["historyLimit"] = json!(0);
    playbook["spec"]["revision"] = json!(2);
    let signed = scene.author.sign(playbook);
    let patch = json!({"spec": signed["spec"], "metadata": {"annotations": signed["metadata"]["annotations"]}});
    let patched = scene.patch(scene.admin(), "Playbook", "p", patch).await;
    patched.expect("patched");
    are_left(&scene, &["asked", "joined", "o"]).await;
    scene.cancel("asked").await;
    are_left(&scene, &["o"]).await;
}

/// Somebody's own policy: runs of this namespace with the label `keep` are not deleted.
async fn keeps(scene: &Scene) -> String {
    let name = format!("keep.{}.test", scene.ns.name());
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name},
        "spec": {
            "matchConstraints": {"resourceRules": [{
                "apiGroups": ["neuralops.io"], "apiVersions": ["*"], "resources": ["orchestrations"], "operations": ["DELETE"],
            }]},
            "validations": [{"expression": "!('keep' in oldObject.metadata.?labels.orValue({}))", "message": "it is kept"}],
        },
    });
    let here = json!({"matchLabels": {"kubernetes.io/metadata.name": scene.ns.name()}});
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": name},
        "spec": {"policyName": name, "validationActions": ["Deny"], "matchResources": {"namespaceSelector": here}},
    });
    for object in [policy, binding] {
        create(scene.admin(), object).await.expect("made");
    }
    name
}

#[tokio::test]
async fn a_run_that_may_not_be_deleted_keeps_its_votes() {
    let cluster = need!(Users, Owned, Controllers);
    let scene = Scene::set(cluster, "kept").await;
    scene.workloads(&["d"]).await;
    let policy = keeps(&scene).await;
    scene
        .approved("a", json!([scale("s", "d", 3)]), json!({}))
        .await;
    scene.ended("a", "Succeeded").await;
    let labels = json!({"metadata": {"labels": {"keep": ""}}});
    let labelled = scene.patch(scene.admin(), "Orchestration", "a", labels);
    labelled.await.expect("a label");
    let deletion = api(scene.admin(), "Orchestration", scene.ns.name());
    let is_kept = async |wanted: bool| {
        let rehearsed = DeleteParams::default().dry_run();
        match deletion.delete("a", &rehearsed).await {
            Err(error) if !error.to_string().contains("it is kept") => Err(error.to_string()),
            answer if answer.is_err() == wanted => Ok(()),
            _ => Err("not yet".to_owned()),
        }
    };
    eventually("the policy holds", SOON, async || is_kept(true).await).await;

    let mark = cluster.audit_mark();
    let at_once = json!({"ttlSecondsAfterFinished": 0});
    scene.set_run("alice", "a", at_once).await.expect("a time");
    eventually("the operator has tried", SOON, async || {
        let asked = cluster.audit_since(mark);
        let tried = asked.iter().any(|asked| {
            let here = asked.namespace == scene.ns.name() && asked.resource == "orchestrations";
            here && asked.verb == "delete"
                && asked.user.ends_with(":neuralops-controller")
                && asked.code >= 400
        });
        if tried {
            Ok(())
        } else {
            Err("not yet".to_owned())
        }
    })
    .await;
    assert_eq!(names(&scene, "Decision").await.len(), 1);

    for kind in [
        "ValidatingAdmissionPolicyBinding",
        "ValidatingAdmissionPolicy",
    ] {
        let objects = api(scene.admin(), kind, "");
        let deleted = objects.delete(&policy, &DeleteParams::default()).await;
        deleted.expect("deleted");
    }
    eventually("the policy is gone", SOON, async || is_kept(false).await).await;
    // It is looked at again when somebody touches it.
    let soon = json!({"ttlSecondsAfterFinished": 1});
    scene.set_run("alice", "a", soon).await.expect("a time");
    scene.is_gone("Orchestration", "a").await;
    eventually("the vote went before it", SOON, async || {
        match names(&scene, "Decision").await.len() {
            0 => Ok(()),
            left => Err(format!("{left} left")),
        }
    })
    .await;
}
