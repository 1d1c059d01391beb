//! Approved, then altered: the Playbook, its account, its targets. Each run waits for its release while somebody alters
//! something, and is released then.

use futures::future::join_all;
use serde_json::{Value, json};

use super::{OPERATOR, SOON, account, lend, scaling, take_back};
use crate::support::{Scene, api, condition, create, eventually, need, scale, told, waits_for};

/// What becomes of a run that was released after something was altered.
#[derive(Clone, Copy)]
enum Then {
    /// It is superseded, and says this.
    Superseded(&'static str),
    /// It waits for this, in a word, and writes nothing meanwhile.
    Waits(&'static str),
    /// It runs: what was altered is none of its business.
    Runs,
}
use Then::{Runs, Superseded, Waits};

const CHANGED: &str = "not what would run now";

/// What is altered, and what becomes of it.
const ROWS: [(&str, Then); 30] = [
    ("playbook-signed-anew", Superseded(CHANGED)),
    ("playbook-described-anew", Superseded(CHANGED)),
    ("playbook-account-changed", Waits("ImpersonationForbidden")),
    ("playbook-rules-loosened", Superseded(CHANGED)),
    ("playbook-timeout-changed", Superseded(CHANGED)),
    (
        "playbook-unsigned",
        Superseded("cannot be planned any more"),
    ),
    (
        "playbook-revision-reused",
        Superseded("cannot be planned any more"),
    ),
    (
        "playbook-other-bundle",
        Superseded("cannot be planned any more"),
    ),
    (
        "playbook-no-bundle",
        Superseded("cannot be planned any more"),
    ),
    (
        "playbook-other-author",
        Superseded("cannot be planned any more"),
    ),
    ("playbook-gone", Waits("PlaybookNotFound")),
    ("playbook-suspended", Waits("Suspended")),
    ("playbook-made-again", Runs),
    ("playbook-annotated", Runs),
    ("target-scaled", Superseded(CHANGED)),
    ("target-scaled-as-planned", Superseded(CHANGED)),
    ("target-gone", Superseded("cannot be planned any more")),
    ("target-made-again", Superseded(CHANGED)),
    ("target-adopted-by-helm", Superseded(CHANGED)),
    ("target-labelled", Runs),
    ("target-there-and-back", Runs),
    ("made-by-another", Superseded(CHANGED)),
    ("made-by-nobody", Runs),
    ("parameter-edited", Runs),
    ("account-without-rights", Superseded("may not")),
    ("account-gone", Superseded("ServiceAccount")),
    ("account-made-again", Runs),
    ("runner-role-gone", Waits("ImpersonationForbidden")),
    ("gate-labelled", Runs),
    ("plan-shown-anew", Runs),
];

fn own_account(row: &str) -> bool {
    row.starts_with("account") || row.starts_with("runner")
}

async fn prepared(scene: &Scene, row: &str) {
    scene.workloads(&[row]).await;
    let mut playbook = scene.playbook(row, json!([scale("s", row, 3)]));
    let spec = &mut playbook["spec"];
    if row.starts_with("made") {
        let manifest = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("cm-{row}")}, "data": {"a": "b"}});
        spec["steps"] = json!([{"name": "s", "apply": {"manifest": manifest}}]);
    }
    let mut more = json!({"start": "OnRelease"});
    if row.starts_with("parameter") {
        spec["parameters"] = json!({"type": "object", "properties": {"replicas": {"type": "integer", "default": 2}}});
        spec["steps"][0]["scale"]["replicas"] = json!("$(params.replicas)");
        more["parameters"] = json!({"replicas": "3"});
    }
    if own_account(row) {
        spec["serviceAccountName"] = json!(row);
        make_account(scene, row).await;
        let name = account(scene.ns.name(), row);
        lend(scene, row, &name, scaling()).await;
        let runner = json!([{"apiGroups": [""], "verbs": ["impersonate"], "resources": ["serviceaccounts"], "resourceNames": [row]}]);
        lend(scene, &format!("{row}-runner"), OPERATOR, runner).await;
    }
    scene.signed(playbook).await;
    scene.ask(row, row, more).await;
    let run = scene.asked(row).await;
    assert_eq!(
        run["status"]["stage"], "Approve",
        "{row}: {:#}",
        run["status"]
    );
    scene.approve(&run).await;
    let run = scene
        .until(row, "waits", waits_for("AwaitingRelease"))
        .await;
    assert_eq!(
        condition(&run["status"], "Approved"),
        "True/Approved",
        "{row}"
    );
}

async fn make_account(scene: &Scene, name: &str) {
    let object = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": scene.ns.name()}});
    create(scene.admin(), object).await.expect("an account");
}

/// Changes the Playbook; `sign` says how it is signed then.
async fn rewrite(
    scene: &Scene,
    row: &str,
    change: impl Fn(&mut Value),
    sign: impl Fn(Value) -> Value,
) {
    let mut playbook = scene.object("Playbook", row).await;
    change(&mut playbook["spec"]);
    let signed = sign(playbook);
    let patch = json!({"metadata": {"annotations": signed["metadata"]["annotations"]}, "spec": signed["spec"]});
    let patched = scene.patch(scene.admin(), "Playbook", row, patch).await;
    patched.expect("an altered Playbook");
}

async fn alter_playbook(scene: &Scene, row: &str) {
    let author = |playbook| scene.author.sign(playbook);
    let nobody = |playbook| playbook;
    let next = |change: fn(&mut Value)| {
        move |spec: &mut Value| {
            spec["revision"] = json!(2);
            change(spec);
        }
    };
    match row {
        "playbook-signed-anew" => {
            let change = next(|spec| spec["steps"][0]["scale"]["replicas"] = json!(9));
            rewrite(scene, row, change, author).await;
        }
        "playbook-described-anew" => {
            let change = next(|spec| spec["description"] = json!("the same"));
            rewrite(scene, row, change, author).await;
        }
        "playbook-account-changed" => {
            let change = next(|spec| spec["serviceAccountName"] = json!("default"));
            rewrite(scene, row, change, author).await;
        }
        "playbook-rules-loosened" => {
            let change = next(|spec| spec["approval"][0]["rules"][0]["role"] = json!("anybody"));
            rewrite(scene, row, change, author).await;
        }
        "playbook-timeout-changed" => {
            let change = next(|spec| spec["timeout"] = json!("2h"));
            rewrite(scene, row, change, author).await;
        }
        "playbook-unsigned" => {
            let change = next(|spec| spec["steps"][0]["scale"]["replicas"] = json!(9));
            rewrite(scene, row, change, nobody).await;
        }
        "playbook-revision-reused" => {
            let change = |spec: &mut Value| spec["steps"][0]["scale"]["replicas"] = json!(9);
            rewrite(scene, row, change, author).await;
        }
        "playbook-other-bundle" => {
            let other = scene.object("Playbook", "playbook-annotated").await;
            let taken = |mut playbook: Value| {
                playbook["metadata"]["annotations"] = other["metadata"]["annotations"].clone();
                playbook
            };
            rewrite(scene, row, |_| {}, taken).await;
        }
        "playbook-no-bundle" => {
            let none = |mut playbook: Value| {
                for (_, value) in playbook["metadata"]["annotations"]
                    .as_object_mut()
                    .expect("annotations")
                {
                    *value = json!(null);
                }
                playbook
            };
            rewrite(scene, row, |_| {}, none).await;
        }
        "playbook-other-author" => {
            let other = crate::support::Author::new();
            rewrite(scene, row, next(|_| {}), |playbook| other.sign(playbook)).await;
        }
        "playbook-gone" => scene.delete("Playbook", row).await,
        "playbook-suspended" => {
            annotate(scene, "Playbook", row, "neuralops.io/suspend", "true").await
        }
        "playbook-made-again" => {
            let old = scene.object("Playbook", row).await;
            scene.delete("Playbook", row).await;
            scene.is_gone("Playbook", row).await;
            let again = json!({
                "apiVersion": old["apiVersion"], "kind": "Playbook", "spec": old["spec"],
                "metadata": {"name": row, "namespace": scene.ns.name(), "annotations": old["metadata"]["annotations"]},
            });
            create(scene.admin(), again).await.expect("a playbook");
        }
        "playbook-annotated" => annotate(scene, "Playbook", row, "example.com/note", "seen").await,
        other => panic!("nothing is altered: {other}"),
    }
}

async fn annotate(scene: &Scene, kind: &str, name: &str, key: &str, value: &str) {
    let patch = json!({"metadata": {"annotations": {key: value}}});
    let patched = scene.patch(scene.admin(), kind, name, patch).await;
    patched.expect("an annotation");
}

async fn scaled(scene: &Scene, name: &str, replicas: u32) {
    let patch = json!({"spec": {"replicas": replicas}});
    let patched = scene.patch(scene.admin(), "Deployment", name, patch).await;
    patched.expect("scaled");
}

async fn alter(scene: &Scene, row: &str) {
    let ns = scene.ns.name();
    match row {
        "target-scaled" => scaled(scene, row, 2).await,
        "target-scaled-as-planned" => scaled(scene, row, 3).await,
        "target-there-and-back" => {
            scaled(scene, row, 2).await;
            scaled(scene, row, 1).await;
        }
        "target-gone" => {
            scene.delete("Deployment", row).await;
            scene.is_gone("Deployment", row).await;
        }
        "target-made-again" => {
            scene.delete("Deployment", row).await;
            scene.is_gone("Deployment", row).await;
            scene.workloads(&[row]).await;
        }
        "target-adopted-by-helm" => {
            let patch = json!({"metadata": {
                "labels": {"app.kubernetes.io/managed-by": "Helm"},
                "annotations": {"meta.helm.sh/release-name": "shop", "meta.helm.sh/release-namespace": ns},
            }});
            let patched = scene.patch(scene.admin(), "Deployment", row, patch);
            patched.await.expect("adopted");
        }
        "target-labelled" => annotate(scene, "Deployment", row, "example.com/note", "seen").await,
        "made-by-another" => scene.flag(&format!("cm-{row}")).await,
        "made-by-nobody" => {}
        "parameter-edited" => {
            let edited = scene.set_run("alice", row, json!({"parameters": {"replicas": "9"}}));
            let refused = edited.await.expect_err("parameters stay").to_string();
            assert!(
                refused.contains("parameters are set in the write"),
                "{refused}"
            );
        }
        "account-without-rights" => take_back(scene, row, &account(ns, row)).await,
        "account-gone" => scene.delete("ServiceAccount", row).await,
        "account-made-again" => {
            scene.delete("ServiceAccount", row).await;
            scene.is_gone("ServiceAccount", row).await;
            make_account(scene, row).await;
        }
        "runner-role-gone" => take_back(scene, &format!("{row}-runner"), OPERATOR).await,
        "gate-labelled" => {
            let run = scene.object("Orchestration", row).await;
            let gate = run["status"]["gates"][0]["name"].as_str().expect("a name");
            annotate(scene, "Gate", gate, "example.com/note", "seen").await;
        }
        "plan-shown-anew" => {
            // What people are shown is a copy: who replaces it changes nothing of what runs.
            let run = scene.object("Orchestration", row).await;
            let plan = run["status"]["plan"]["configMap"].as_str().expect("a name");
            let old = scene.object("ConfigMap", plan).await;
            let text = old["data"]["plan.json"].as_str().expect("a plan");
            let edited = scene.patch(
                scene.admin(),
                "ConfigMap",
                plan,
                json!({"data": {"plan.json": "{}"}}),
            );
            assert!(edited.await.is_err(), "it is immutable");
            scene.delete("ConfigMap", plan).await;
            scene.is_gone("ConfigMap", plan).await;
            let forged = json!({
                "apiVersion": "v1", "kind": "ConfigMap", "immutable": true,
                "metadata": {"name": plan, "namespace": ns, "annotations": old["metadata"]["annotations"], "ownerReferences": old["metadata"]["ownerReferences"]},
                "data": {"plan.json": text.replace("\"replicas\":3", "\"replicas\":9"), "diff": "nothing"},
            });
            create(scene.admin(), forged).await.expect("a forged plan");
        }
        playbook => alter_playbook(scene, playbook).await,
    }
}

async fn becomes(scene: &Scene, row: &str, then: Then) {
    match then {
        Superseded(says) => {
            let run = scene.ended(row, "Superseded").await;
            let said = told(&run["status"]);
            let reasons = format!("{said} {}", run["status"]);
            assert!(reasons.contains(says), "{row}: {said}");
            assert_eq!(
                condition(&run["status"], "Ready"),
                "True/Superseded",
                "{row}"
            );
            assert_eq!(
                condition(&run["status"], "Succeeded"),
                "False/Superseded",
                "{row}"
            );
        }
        Waits(reason) => {
            let run = scene.until(row, "waits", waits_for(reason)).await;
            assert_eq!(
                condition(&run["status"], "Ready"),
                format!("Unknown/{reason}"),
                "{row}: {run:#}"
            );
            assert_eq!(
                condition(&run["status"], "Reconciling"),
                format!("True/{reason}"),
                "{row}"
            );
        }
        Runs => {
            scene.ended(row, "Succeeded").await;
        }
    }
}

#[tokio::test]
async fn what_was_altered_after_the_vote_does_not_run() {
    let cluster = need!(Users, Owned);
    let scene = Scene::set(cluster, "altered").await;
    let mark = cluster.audit_mark();
    join_all(ROWS.iter().map(|(row, _)| prepared(&scene, row))).await;
    assert_eq!(scene.effects(mark).await, Vec::<String>::new());
    join_all(ROWS.iter().map(|(row, _)| alter(&scene, row))).await;
    join_all(ROWS.iter().map(async |(row, _)| {
        let released = scene.set_run("alice", row, json!({"releasedBy": "alice"}));
        released
            .await
            .unwrap_or_else(|error| panic!("{row}: {error}"))
    }))
    .await;
    join_all(ROWS.iter().map(|(row, then)| becomes(&scene, row, *then))).await;
    scene.meanwhile().await;
    let mut effects = scene.effects(mark).await;
    effects.sort();
    let mut wanted: Vec<_> = ROWS
        .iter()
        .filter(|(_, then)| matches!(then, Runs))
        .map(|(row, _)| match row.starts_with("made") {
            true => format!("patch configmaps cm-{row}"),
            false => format!("patch deployments {row}"),
        })
        .collect();
    wanted.sort();
    assert_eq!(effects, wanted);
    for (row, then) in ROWS {
        if matches!(then, Runs) && !row.starts_with("made") {
            assert_eq!(scene.replicas(row).await, 3, "{row}");
        }
    }
    // What was only missing comes back, and the run goes on with what was approved.
    let back = json!({"metadata": {"annotations": {"neuralops.io/suspend": null}}});
    let patched = scene.patch(scene.admin(), "Playbook", "playbook-suspended", back);
    patched.await.expect("not suspended");
    scene.ended("playbook-suspended", "Succeeded").await;
    // And what waits can be stopped.
    for row in ["playbook-gone", "runner-role-gone"] {
        scene.cancel(row).await;
        scene.ended(row, "Cancelled").await;
    }
}

#[tokio::test]
async fn what_is_altered_while_it_runs_is_not_what_was_approved() {
    let cluster = need!(Users, Owned);
    let scene = Scene::set(cluster, "altered").await;
    let mark = cluster.audit_mark();
    let rows = ["playbook", "target", "rights", "account"];
    scene.workloads(&rows).await;
    scene.flag("f").await;
    for row in ["rights", "account"] {
        make_account(&scene, row).await;
        let name = account(scene.ns.name(), row);
        let mut rules = scaling();
        let reading = json!({"apiGroups": [""], "verbs": ["get"], "resources": ["configmaps"]});
        rules.as_array_mut().expect("rules").push(reading);
        lend(&scene, row, &name, rules).await;
        let runner = json!([{"apiGroups": [""], "verbs": ["impersonate"], "resources": ["serviceaccounts"], "resourceNames": [row]}]);
        lend(&scene, &format!("{row}-runner"), OPERATOR, runner).await;
    }
    join_all(rows.map(async |row| {
        let all = json!([crate::support::hold("hold", "f"), scale("s", row, 3)]);
        let mut playbook = scene.playbook(row, all);
        if ["rights", "account"].contains(&row) {
            playbook["spec"]["serviceAccountName"] = json!(row);
        }
        scene.signed(playbook).await;
        scene.ask(row, row, json!({})).await;
        let run = scene.asked(row).await;
        scene.approve(&run).await;
        scene.running(row, "hold").await;
    }))
    .await;
    let change = |spec: &mut Value| {
        spec["revision"] = json!(2);
        spec["steps"][1]["scale"]["replicas"] = json!(9);
    };
    rewrite(&scene, "playbook", change, |playbook| {
        scene.author.sign(playbook)
    })
    .await;
    scene.delete("Deployment", "target").await;
    scene.is_gone("Deployment", "target").await;
    scene.workloads(&["target"]).await;
    take_back(&scene, "rights", &account(scene.ns.name(), "rights")).await;
    take_back(&scene, "account-runner", OPERATOR).await;
    scene.go("f").await;
    // What was approved runs to its end, whatever became of the Playbook meanwhile.
    scene.ended("playbook", "Succeeded").await;
    assert_eq!(scene.replicas("playbook").await, 3);
    for (row, reason) in [
        ("target", "TargetDrifted"),
        ("rights", "AccessDenied"),
        ("account", "ImpersonationForbidden"),
    ] {
        let run = scene.ended(row, "Failed").await;
        assert!(
            told(&run["status"]).contains(reason),
            "{row}: {:#}",
            run["status"]
        );
    }
    assert_eq!(scene.effects(mark).await, ["patch deployments playbook"]);
    eventually("nobody else wrote", SOON, async || {
        let deployments = api(scene.admin(), "Deployment", scene.ns.name());
        let found = deployments
            .get("target")
            .await
            .map_err(|error| error.to_string())?;
        (found.data["spec"]["replicas"] == 1)
            .then_some(())
            .ok_or_else(|| found.data["spec"].to_string())
    })
    .await;
}
