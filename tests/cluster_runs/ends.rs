//! The ends of a run: each with its outcome, its reason and its conditions, and nothing after it.

use std::process::Stdio;
use std::time::Duration;

use futures::join;
use serde_json::{Value, json};

use super::{Then, ends, uid};
use crate::support::{Scene, condition, deployment, eventually, hold, need, scale, steps, told};

/// One check that holds or does not.
fn check(step: &str, name: &str, replicas: u32) -> Value {
    let expression = format!("object.spec.replicas == {replicas}");
    json!({"name": step, "check": {"target": deployment(name), "expression": expression}})
}

#[tokio::test]
async fn people_say_no_or_nothing_or_are_not_asked_any_more() {
    let cluster = need!(Users, Owned);
    let scene = Scene::set(cluster, "ends").await;
    let mark = cluster.audit_mark();
    scene.workloads(&["d"]).await;
    let plan = || json!([scale("s", "d", 3)]);
    let rejected = async {
        let run = scene.run("rejected", plan(), json!({})).await;
        scene.vote("bob", &run, "Reject").await.expect("a vote");
        let run = ends(&scene, "rejected", "Rejected", "Rejected", Then::Nothing).await;
        assert!(told(&run["status"]).contains("bob"), "{run:#}");
        assert_eq!(condition(&run["status"], "Approved"), "False/Rejected");
        assert_eq!(steps(&run), "Skipped");
    };
    let expired = async {
        let mut playbook = scene.playbook("expired", plan());
        playbook["spec"]["approval"][0]["deadline"] = json!("2s");
        scene.signed(playbook).await;
        scene.ask("expired", "expired", json!({})).await;
        let run = ends(&scene, "expired", "Expired", "Expired", Then::Nothing).await;
        assert_eq!(condition(&run["status"], "Approved"), "False/Expired");
        assert!(scene.vote("bob", &run, "Approve").await.is_err());
    };
    let gone = async {
        let run = scene.run("gone", plan(), json!({})).await;
        let gate = run["status"]["gates"][0]["name"].as_str().expect("a name");
        scene.delete("Gate", gate).await;
        let run = ends(&scene, "gone", "Failed", "GateGone", Then::Look).await;
        assert_eq!(steps(&run), "Skipped");
    };
    let refused = async {
        // What nobody may plan is not asked about.
        let target = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "none"});
        let patch = json!({"data": {"a": "b"}});
        let step =
            json!([{"name": "s", "patch": {"target": target, "type": "Merge", "patch": patch}}]);
        scene.signed(scene.playbook("refused", step)).await;
        scene.ask("refused", "refused", json!({})).await;
        let run = ends(&scene, "refused", "Failed", "TargetNotFound", Then::Look).await;
        assert_eq!(run["status"]["plan"]["verdict"], "Fail");
        assert_eq!(run["status"]["gates"], json!(null));
    };
    join!(rejected, expired, gone, refused);
    scene.meanwhile().await;
    assert_eq!(scene.effects(mark).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_step_that_fails_ends_it_and_what_comes_later_is_left_out() {
    let cluster = need!(Users, Owned);
    let scene = Scene::set(cluster, "fails").await;
    let mark = cluster.audit_mark();
    let names = ["late", "checked", "first", "drifted", "denied"];
    scene.workloads(&names).await;
    scene.flag("never").await;
    scene.flag("f").await;
    let late = async {
        let mut waiting = hold("hold", "never");
        waiting["timeout"] = json!("2s");
        let all = json!([scale("s", "late", 3), waiting, scale("t", "denied", 4)]);
        scene.approved("late", all, json!({})).await;
        let run = ends(&scene, "late", "Failed", "StepFailed", Then::Look).await;
        assert_eq!(steps(&run), "Succeeded Failed Skipped");
        assert!(told(&run["status"]).contains("DeadlineExceeded"), "{run:#}");
        scene
            .is_told_of(uid(&run), "step.failed/DeadlineExceeded")
            .await;
    };
    let checked = async {
        let all = json!([
            scale("s", "checked", 3),
            check("c", "checked", 4),
            check("d", "checked", 3)
        ]);
        scene.approved("checked", all, json!({})).await;
        let run = ends(&scene, "checked", "Failed", "StepFailed", Then::Look).await;
        assert_eq!(steps(&run), "Succeeded Failed Skipped");
        assert!(told(&run["status"]).contains("CheckFailed"), "{run:#}");
    };
    let first = async {
        let all = json!([check("c", "first", 4), scale("s", "first", 3)]);
        scene.approved("first", all, json!({})).await;
        let run = ends(&scene, "first", "Failed", "StepFailed", Then::Look).await;
        assert_eq!(steps(&run), "Failed Skipped");
        assert!(!told(&run["status"]).contains("stays as it is"), "{run:#}");
    };
    let drifted = async {
        let all = json!([hold("hold", "f"), scale("s", "drifted", 3)]);
        scene.approved("drifted", all, json!({})).await;
        scene.running("drifted", "hold").await;
        // Somebody else changes between two steps what the next one starts from.
        let patch = json!({"spec": {"replicas": 7}});
        let patched = scene.patch(scene.admin(), "Deployment", "drifted", patch);
        patched.await.expect("patched");
        scene.go("f").await;
        let run = ends(&scene, "drifted", "Failed", "StepFailed", Then::Look).await;
        assert_eq!(steps(&run), "Succeeded Failed");
        assert!(told(&run["status"]).contains("TargetDrifted"), "{run:#}");
        assert_eq!(scene.replicas("drifted").await, 7);
    };
    let whole = async {
        let mut playbook = scene.playbook(
            "whole",
            json!([hold("hold", "never"), scale("s", "denied", 3)]),
        );
        playbook["spec"]["timeout"] = json!("2s");
        playbook["spec"]["steps"][0]["timeout"] = json!("3s");
        scene.signed(playbook).await;
        scene.ask("whole", "whole", json!({})).await;
        let run = scene.asked("whole").await;
        scene.approve(&run).await;
        let run = scene.ended("whole", "Failed").await;
        assert_eq!(steps(&run), "Failed Skipped");
    };
    join!(late, checked, first, drifted, whole);
    scene.meanwhile().await;
    let mut effects = scene.effects(mark).await;
    effects.sort();
    assert_eq!(
        effects,
        ["patch deployments checked", "patch deployments late"]
    );
}

#[tokio::test]
async fn kubectl_shows_it_and_waits_for_it() {
    let cluster = need!(Users, Owned);
    let scene = Scene::set(cluster, "kubectl").await;
    scene.workloads(&["d"]).await;
    let kubectl = |args: &[&str]| {
        let mut command = cluster.kubectl();
        command.args(["-n", scene.ns.name()]).args(args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("kubectl")
    };
    let run = scene.run("r", json!([scale("s", "d", 3)]), json!({})).await;
    let columns = |line: &str| {
        let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        words[..words.len() - 1].join(" ")
    };
    let got = |wide: &[&str]| {
        let mut args = vec!["get", "orch", "r", "--no-headers"];
        args.extend(wide);
        let output = kubectl(&args).wait_with_output().expect("it ends");
        columns(&String::from_utf8(output.stdout).expect("text"))
    };
    assert_eq!(got(&[]), "r Approve r AwaitingApproval");
    let waiting = ["Planned", "Approved", "Succeeded", "Ready"].map(|kind| {
        let goal = format!("--for=condition={kind}");
        (kind, kubectl(&["wait", &goal, "--timeout=60s", "orch/r"]))
    });
    scene.approve(&run).await;
    for (kind, child) in waiting {
        let output = child.wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{kind}: {said} {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    assert_eq!(got(&[]), "r Done Succeeded r Succeeded");
    let run = scene.ended("r", "Succeeded").await;
    let wide = got(&["-o", "wide"]);
    let digest = run["status"]["plan"]["digest"].as_str().expect("a digest");
    assert!(wide.contains(digest) && wide.contains("alice"), "{wide}");

    let rejected = scene
        .run("no", json!([scale("s", "d", 4)]), json!({}))
        .await;
    let ready = kubectl(&["wait", "--for=condition=Ready", "--timeout=60s", "orch/no"]);
    scene
        .vote("bob", &rejected, "Reject")
        .await
        .expect("a vote");
    assert!(ready.wait_with_output().expect("it ends").status.success());
    let never = kubectl(&[
        "wait",
        "--for=condition=Succeeded",
        "--timeout=1s",
        "orch/no",
    ]);
    assert!(!never.wait_with_output().expect("it ends").status.success());
}

#[tokio::test]
async fn what_has_ended_is_looked_at_again_and_nothing_is_written() {
    let cluster = need!(Users, Owned);
    let scene = Scene::set(cluster, "settled").await;
    scene.workloads(&["d"]).await;
    let done = async {
        scene
            .approved("done", json!([scale("s", "d", 3)]), json!({}))
            .await;
        ends(&scene, "done", "Succeeded", "Succeeded", Then::Well).await
    };
    let rejected = async {
        let run = scene
            .run("no", json!([hold("hold", "none")]), json!({}))
            .await;
        scene.vote("bob", &run, "Reject").await.expect("a vote");
        ends(&scene, "no", "Rejected", "Rejected", Then::Nothing).await
    };
    let failed = async {
        scene
            .approved("failed", json!([check("c", "d", 99)]), json!({}))
            .await;
        ends(&scene, "failed", "Failed", "StepFailed", Then::Look).await
    };
    let runs: [Value; 3] = join!(done, rejected, failed).into();
    for run in &runs {
        let gate = run["status"]["gates"][0]["uid"].as_str().expect("a uid");
        eventually(
            "its Gate is on record",
            Duration::from_secs(20),
            async || {
                let told = scene.told_of(gate).await;
                if told.is_empty() {
                    Err("not yet")
                } else {
                    Ok(())
                }
                .map_err(str::to_owned)
            },
        )
        .await;
    }
    let mark = cluster.audit_mark();
    let mut versions = Vec::new();
    for run in &runs {
        let name = run["metadata"]["name"].as_str().expect("a name");
        let before = scene.told_of(uid(run)).await;
        for (kind, name) in [
            ("Orchestration", name),
            (
                "Gate",
                run["status"]["gates"][0]["name"].as_str().expect("a name"),
            ),
        ] {
            let label = json!({"metadata": {"labels": {"touched": "yes"}}});
            let touched = scene.patch(scene.admin(), kind, name, label).await;
            let touched = touched.expect("a label");
            versions.push((kind, name.to_owned(), touched.metadata.resource_version));
        }
        versions.push(("", uid(run).to_owned(), Some(before.join(" "))));
    }
    scene.meanwhile().await;
    for (kind, name, version) in versions {
        if kind.is_empty() {
            assert_eq!(Some(scene.told_of(&name).await.join(" ")), version);
            continue;
        }
        let now = scene.object(kind, &name).await;
        assert_eq!(
            now["metadata"]["resourceVersion"].as_str(),
            version.as_deref(),
            "{now:#}"
        );
    }
    scene.all_is_written(mark).await;
    let written: Vec<_> = cluster
        .audit_since(mark)
        .into_iter()
        .filter(|event| {
            event.namespace == scene.ns.name()
                && event.user.ends_with(":neuralops-controller")
                && event.impersonated.is_empty()
                && ["orchestrations", "gates"].contains(&event.resource.as_str())
                && event.verb != "get"
                && runs
                    .iter()
                    .any(|run| run["metadata"]["name"] == event.name.as_str())
        })
        .collect();
    assert!(written.is_empty(), "{written:?}");
}
