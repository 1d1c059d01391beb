//! Objects that somebody forges, foresees or edits: statuses, Gates, plans, and what a run says of itself.

use kube::Client;
use kube::api::{Patch, PatchParams};
use neuralops::domain::digest::Digest;
use neuralops::domain::names;
use neuralops::domain::plan::{Plan, RunRef};
use serde_json::{Value, json};

use crate::support::{
    Scene, api, bind, condition, create, eventually, grant, need, ours, scale, told, waits_for,
};

/// A team's account that holds everything of ours by a wildcard, as is granted often.
const TEAM: &str = "mallory";

/// What nobody but the operator writes, and what nobody changes: kind, whether it is the status, the change.
fn edits(run: &Value) -> Vec<(&'static str, bool, Value)> {
    let other = format!("sha256:{}", "b".repeat(64));
    let run_status = |status: Value| ("Orchestration", true, json!({ "status": status }));
    let run_spec = |spec: Value| ("Orchestration", false, json!({ "spec": spec }));
    let gate_spec = |spec: Value| ("Gate", false, json!({ "spec": spec }));
    let uid = &run["metadata"]["uid"];
    vec![
        run_status(json!({"stage": "Done", "outcome": "Succeeded"})),
        run_status(json!({"stage": "Execute"})),
        run_status(json!({"outcome": null, "stage": "DryRun"})),
        run_status(json!({"gates": [{"name": "g", "uid": "u", "state": "Approved"}]})),
        run_status(json!({"gates": null})),
        run_status(json!({"plan": {"digest": other}})),
        run_status(json!({"steps": []})),
        run_status(json!({"conditions": []})),
        run_status(json!({"audit": {"first": 0, "last": 0}})),
        run_spec(json!({"requestedBy": "bob"})),
        run_spec(json!({"requestedBy": null})),
        run_spec(json!({"mode": "Auto"})),
        run_spec(json!({"mode": "PlanOnly"})),
        run_spec(json!({"start": null})),
        run_spec(json!({"start": "OnApproval"})),
        run_spec(json!({"parameters": {"replicas": "9"}})),
        run_spec(json!({"parameters": null})),
        run_spec(json!({"playbookRef": {"name": "other"}})),
        run_spec(json!({"playbookRef": null, "parameters": null})),
        run_spec(json!({"selectedBy": "bob"})),
        run_spec(json!({"releasedBy": "bob"})),
        run_spec(json!({"cancelledBy": "bob"})),
        run_spec(json!({"incident": {"summary": "another"}})),
        run_spec(json!({"from": {"orchestration": "r", "decisionUID": "u"}})),
        gate_spec(json!({"subject": {"planDigest": other}})),
        gate_spec(json!({"subject": {"uid": "another"}})),
        gate_spec(json!({"subject": {"diff": "nothing"}})),
        gate_spec(json!({"rules": [{"role": "anybody", "min": 1}]})),
        gate_spec(json!({"requestedBy": ["nobody"]})),
        gate_spec(json!({"deadline": "2099-01-01T00:00:00Z"})),
        gate_spec(json!({"onTimeout": "Approve"})),
        ("Gate", true, json!({"status": {"state": "Approved"}})),
        ("Gate", true, json!({"status": {"state": "Rejected"}})),
        (
            "Gate",
            true,
            json!({"status": {"decisions": [{"user": "bob", "verdict": "Approve"}]}}),
        ),
        (
            "Gate",
            false,
            json!({"metadata": {"labels": {"neuralops.io/settled": "true"}}}),
        ),
        (
            "Gate",
            false,
            json!({"metadata": {"ownerReferences": [{"apiVersion": "neuralops.io/v1alpha1", "kind": "Orchestration", "name": "other", "uid": uid}]}}),
        ),
    ]
}

#[tokio::test]
async fn nobody_else_writes_what_a_run_goes_by() {
    let cluster = need!(Users, Owned);
    let scene = Scene::set(cluster, "edits").await;
    let mark = cluster.audit_mark();
    grant(&scene.ns, TEAM, &[ours("*", "*")]).await;
    scene.workloads(&["d"]).await;
    let mut playbook = scene.playbook("r", json!([scale("s", "d", 3)]));
    playbook["spec"]["parameters"] =
        json!({"type": "object", "properties": {"replicas": {"type": "integer"}}});
    playbook["spec"]["steps"][0]["scale"]["replicas"] = json!("$(params.replicas)");
    scene.signed(playbook).await;
    let more = json!({"start": "OnRelease", "parameters": {"replicas": "3"}});
    scene.ask("r", "r", more).await;
    let run = scene.asked("r").await;
    let gate = run["status"]["gates"][0]["name"].as_str().expect("a name");
    let team = cluster.person(TEAM).await;
    let admin = scene.admin().clone();
    let editors: [(&str, &Client); 2] = [("the team", &team), ("the admin", &admin)];
    for (who, client) in editors {
        for (kind, status, change) in edits(&run) {
            let name = if kind == "Gate" { gate } else { "r" };
            let objects = api(client, kind, scene.ns.name());
            let (params, patch) = (PatchParams::default(), Patch::Merge(&change));
            let edited = match status {
                true => objects.patch_status(name, &params, &patch).await,
                false => objects.patch(name, &params, &patch).await,
            };
            let error = edited.expect_err(&format!("{who} edits {kind}: {change}"));
            assert!(
                matches!(error, kube::Error::Api(_)),
                "{who}: {change}: {error}"
            );
        }
        // Through the object itself a status is not written, whoever does it.
        let change = json!({"status": {"outcome": "Succeeded", "stage": "Done"}});
        scene
            .patch(client, "Orchestration", "r", change)
            .await
            .expect("ignored");
    }
    let owned = json!({
        "apiVersion": "neuralops.io/v1alpha1", "kind": "Gate",
        "metadata": {"generateName": "forged-", "namespace": scene.ns.name(), "ownerReferences": [{
            "apiVersion": "neuralops.io/v1alpha1", "kind": "Orchestration", "name": "r", "uid": run["metadata"]["uid"], "controller": true,
        }]},
        "spec": {"subject": {"uid": run["metadata"]["uid"], "planDigest": run["status"]["plan"]["digest"]}, "rules": [{"role": "anybody", "min": 1}], "requestedBy": [TEAM]},
    });
    assert!(
        create(&team, owned.clone()).await.is_err(),
        "a Gate of a run is the operator's"
    );
    let mut nobodys = owned;
    nobodys["metadata"]["ownerReferences"] = json!(null);
    nobodys["spec"]["requestedBy"] = json!(["somebody"]);
    assert!(
        create(&team, nobodys).await.is_err(),
        "whoever makes a Gate is named in it"
    );
    scene.meanwhile().await;
    assert_eq!(scene.effects(mark).await, Vec::<String>::new());
    let now = scene.object("Orchestration", "r").await;
    assert_eq!(now["status"], run["status"]);
    scene.approve(&run).await;
    scene
        .until("r", "waits", waits_for("AwaitingRelease"))
        .await;
    let released = scene.set_run("alice", "r", json!({"releasedBy": "alice"}));
    released.await.expect("released");
    scene.ended("r", "Succeeded").await;
    assert_eq!(scene.replicas("d").await, 3);
}

/// The plan of a run that is not planned yet, foreseen from that of a twin.
async fn foreseen(scene: &Scene, name: &str, twin: &Value) -> (RunRef, Digest, Vec<u8>) {
    let plan = twin["status"]["plan"]["configMap"]
        .as_str()
        .expect("a name");
    let plan = scene.object("ConfigMap", plan).await;
    let text = plan["data"]["plan.json"].as_str().expect("a plan");
    let mut plan = Plan::parse(text.as_bytes(), &Digest::of(text.as_bytes())).expect("a plan");
    let object = scene.object("Orchestration", name).await;
    plan.run = RunRef {
        namespace: scene.ns.name().to_owned(),
        name: name.to_owned(),
        uid: object["metadata"]["uid"]
            .as_str()
            .expect("a uid")
            .to_owned(),
    };
    let bytes = plan.to_bytes().expect("bytes");
    (plan.run, Digest::of(&bytes), bytes)
}

#[tokio::test]
async fn what_a_run_would_make_is_foreseen_and_made_before_it() {
    let cluster = need!(Users, Owned);
    let scene = Scene::set(cluster, "foreseen").await;
    let mark = cluster.audit_mark();
    let ns = scene.ns.name();
    scene.workloads(&["d"]).await;
    bind(&scene.ns, TEAM, "neuralops-viewer").await;
    grant(&scene.ns, TEAM, &[ours("create", "gates")]).await;
    scene
        .signed(scene.playbook("p", json!([scale("s", "d", 3)])))
        .await;
    scene.ask("twin", "p", json!({"mode": "PlanOnly"})).await;
    let twin = scene.ended("twin", "Planned").await;
    for name in ["gate", "plan"] {
        scene.ask(name, "p", json!({"suspend": true})).await;
        scene.until(name, "waits", waits_for("Suspended")).await;
    }
    let (run, digest, _) = foreseen(&scene, "gate", &twin).await;
    let gate = names::child(&run, "Gate", "", 0, &digest);
    let forged = json!({
        "apiVersion": "neuralops.io/v1alpha1", "kind": "Gate",
        "metadata": {"name": gate, "namespace": ns, "annotations": {"neuralops.io/plan-digest": digest.as_str()}},
        "spec": {
            "subject": {"apiVersion": "neuralops.io/v1alpha1", "kind": "Orchestration", "name": "gate", "uid": run.uid, "stage": "Approve", "planDigest": digest.as_str()},
            "rules": [{"role": "oncall", "min": 1}], "requestedBy": [TEAM],
        },
    });
    let made = create(&cluster.person(TEAM).await, forged)
        .await
        .expect("a forged Gate");
    // Somebody is talked into approving it.
    let as_run = json!({"status": {"gates": [{"name": gate, "uid": made.metadata.uid}], "plan": {"digest": digest.as_str()}}});
    scene.vote("bob", &as_run, "Approve").await.expect("a vote");
    let approved = async || match scene.object("Gate", &gate).await["status"]["state"].as_str() {
        Some("Approved") => Ok(()),
        other => Err(format!("{other:?}")),
    };
    eventually("it is approved", super::SOON, approved).await;

    let (run, digest, bytes) = foreseen(&scene, "plan", &twin).await;
    let plan = names::child(&run, "Plan", "", 0, &digest);
    let lie = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "immutable": true,
        "metadata": {
            "name": plan, "namespace": ns, "annotations": {"neuralops.io/plan-digest": digest.as_str()},
            "ownerReferences": [{"apiVersion": "neuralops.io/v1alpha1", "kind": "Orchestration", "name": "plan", "uid": run.uid, "controller": true, "blockOwnerDeletion": false}],
        },
        "data": {"plan.json": String::from_utf8(bytes).expect("text"), "diff": "nothing happens"},
    });
    create(scene.admin(), lie).await.expect("a forged plan");
    for (name, kind, child) in [("gate", "Gate", &gate), ("plan", "ConfigMap", &plan)] {
        scene
            .set_run("alice", name, json!({"suspend": false}))
            .await
            .expect("taken back");
        let is = |status: &Value| {
            condition(status, "Ready").ends_with("/NameTaken") || status["outcome"].is_string()
        };
        let run = scene.until(name, "says what is in its way", is).await;
        let said = told(&run["status"]);
        assert!(
            said.contains(child.as_str()) && said.contains(kind),
            "{said}"
        );
        assert_eq!(run["status"]["gates"], json!(null), "{run:#}");
    }
    scene.meanwhile().await;
    assert_eq!(scene.effects(mark).await, Vec::<String>::new());
    // It goes on by itself when that is gone, and asks with a Gate of its own.
    scene.delete("Gate", &gate).await;
    scene.delete("ConfigMap", &plan).await;
    for name in ["gate", "plan"] {
        let run = scene.asked(name).await;
        assert_eq!(run["status"]["stage"], "Approve", "{run:#}");
        assert_ne!(run["status"]["gates"][0]["uid"], json!(made.metadata.uid));
    }
    assert_eq!(scene.effects(mark).await, Vec::<String>::new());
    let run = scene.object("Orchestration", "gate").await;
    assert_eq!(
        run["status"]["gates"][0]["name"], gate,
        "it was foreseen well"
    );
    scene.approve(&run).await;
    scene.ended("gate", "Succeeded").await;
}

#[tokio::test]
async fn a_gate_that_takes_the_place_of_another_is_not_the_runs() {
    let cluster = need!(Users, Owned);
    let scene = Scene::set(cluster, "foreseen").await;
    let mark = cluster.audit_mark();
    scene.workloads(&["d"]).await;
    grant(&scene.ns, TEAM, &[ours("*", "*")]).await;
    let more = json!({"start": "OnRelease"});
    let run = scene.run("r", json!([scale("s", "d", 3)]), more).await;
    let name = run["status"]["gates"][0]["name"].as_str().expect("a name");
    let gate = scene.object("Gate", name).await;
    // Suspended, so that it looks only when the other Gate is there.
    scene
        .set_run("alice", "r", json!({"suspend": true}))
        .await
        .expect("suspended");
    let team = cluster.person(TEAM).await;
    let gates = api(&team, "Gate", scene.ns.name());
    let deleted = gates
        .delete(name, &kube::api::DeleteParams::default())
        .await;
    deleted.expect("deleted");
    let mut spec = gate["spec"].clone();
    spec["requestedBy"] = json!([TEAM]);
    let forged = json!({
        "apiVersion": "neuralops.io/v1alpha1", "kind": "Gate", "spec": spec,
        "metadata": {"name": name, "namespace": scene.ns.name(), "annotations": gate["metadata"]["annotations"]},
    });
    let made = create(&team, forged).await.expect("a forged Gate");
    let vote = json!({"status": {"gates": [{"name": name, "uid": made.metadata.uid}], "plan": run["status"]["plan"]}});
    scene.vote("bob", &vote, "Approve").await.expect("a vote");
    let run = scene.ended("r", "Failed").await;
    assert_eq!(condition(&run["status"], "Ready"), "False/GateGone");
    scene.meanwhile().await;
    assert_eq!(scene.effects(mark).await, Vec::<String>::new());
    assert_eq!(scene.replicas("d").await, 1);
}

/// While nothing keeps others from statuses and from Gates of runs, somebody writes both; the operator's account stands for
/// them here, whom no policy keeps from it.
#[tokio::test]
async fn a_gate_that_a_status_was_pointed_to_is_not_the_runs() {
    let cluster = need!(Users, Owned);
    let scene = Scene::set(cluster, "pointed").await;
    let mark = cluster.audit_mark();
    let ns = scene.ns.name();
    let somebody = cluster.operator().await;
    bind(&scene.ns, "alice", "neuralops-approver").await;
    for (person, role) in [("alice", "oncall"), ("dave", "anybody")] {
        let votes = ours("approve reject", "approverroles").named(role);
        grant(&scene.ns, person, &[votes]).await;
    }
    // Nobody's; of a role that the Playbook does not name; without her who asked.
    let rows = [
        ("unowned", false, "oncall", "nobody", "alice"),
        ("lax", true, "anybody", "alice", "dave"),
        ("unasked", true, "oncall", "nobody", "alice"),
    ];
    for (name, owned, role, requester, voter) in rows {
        scene.workloads(&[name]).await;
        let more = json!({"start": "OnRelease"});
        let run = scene.run(name, json!([scale("s", name, 3)]), more).await;
        let uid = &run["metadata"]["uid"];
        let digest = &run["status"]["plan"]["digest"];
        let owner = json!([{
            "apiVersion": "neuralops.io/v1alpha1", "kind": "Orchestration", "name": name, "uid": uid, "controller": true, "blockOwnerDeletion": false,
        }]);
        let forged = json!({
            "apiVersion": "neuralops.io/v1alpha1", "kind": "Gate",
            "metadata": {
                "name": format!("forged-{name}"), "namespace": ns, "annotations": {"neuralops.io/plan-digest": digest},
                "ownerReferences": if owned { owner } else { json!(null) },
            },
            "spec": {
                "subject": {"apiVersion": "neuralops.io/v1alpha1", "kind": "Orchestration", "name": name, "uid": uid, "stage": "Approve", "planDigest": digest},
                "rules": [{"role": role, "min": 1}], "requestedBy": [requester], "onTimeout": "Reject",
            },
        });
        let made = create(&somebody, forged).await.expect("a forged Gate");
        let gates =
            json!([{"name": format!("forged-{name}"), "uid": made.metadata.uid, "state": "Open"}]);
        let as_run = json!({"status": {"gates": gates, "plan": {"digest": digest}}});
        let voted = scene.vote(voter, &as_run, "Approve").await;
        voted.expect("a vote");
        let approved = async || {
            let gate = scene.object("Gate", &format!("forged-{name}")).await;
            match gate["status"]["state"].as_str() {
                Some("Approved") => Ok(()),
                other => Err(format!("{other:?}")),
            }
        };
        eventually("it is approved", super::SOON, approved).await;
        let change = Patch::Merge(json!({"status": {"gates": gates}}));
        let (runs, params) = (api(&somebody, "Orchestration", ns), PatchParams::default());
        let pointed = runs.patch_status(name, &params, &change).await;
        pointed.expect("a status that points elsewhere");
        let released = scene.set_run("alice", name, json!({"releasedBy": "alice"}));
        released.await.expect("released");
        let ended = scene.ended(name, "Failed").await;
        let ready = condition(&ended["status"], "Ready");
        assert_eq!(ready, "False/GateGone", "{name}");
        // Whoever was asked by the run is not asked for nothing.
        let own = run["status"]["gates"][0]["name"].as_str().expect("a name");
        let own = scene.object("Gate", own).await;
        assert_eq!(own["status"]["state"], "Superseded", "{name}");
        assert_eq!(scene.replicas(name).await, 1, "{name}");
    }
    assert_eq!(scene.effects(mark).await, Vec::<String>::new());
}
