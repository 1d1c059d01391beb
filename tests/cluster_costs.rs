//! What a run costs, by the API server's own record: writes of the operator for one run, none while runs wait, and none for
//! a run that has come to its end. Contract section 8 says what is counted.

use std::collections::BTreeMap;
use std::time::Duration;

use kube::api::{ListParams, Patch, PatchParams};
use serde_json::json;

use crate::support::{AuditEvent, Scene, api, create, eventually, need};

const OPERATOR: &str = "system:serviceaccount:neuralops-system:neuralops-controller";

/// Writes of this operator in this namespace that were meant and carried out, by what was written. Reviews are questions.
fn writes(events: &[AuditEvent], namespace: &str, as_account: bool) -> BTreeMap<String, usize> {
    let mut counted = BTreeMap::new();
    for event in events {
        let written = ["create", "update", "patch", "delete"].contains(&event.verb.as_str())
            && event.code < 300
            && !event.uri.contains("dryRun=All")
            && !event.resource.ends_with("reviews")
            && event.resource != "events";
        let theirs = event.user == OPERATOR
            && event.impersonated.is_empty() != as_account
            && event.namespace == namespace;
        if written && theirs {
            let what = match event.subresource.as_str() {
                "" => event.resource.clone(),
                sub => format!("{}/{sub}", event.resource),
            };
            *counted.entry(what).or_default() += 1;
        }
    }
    counted
}

fn counts(expected: &[(&str, usize)]) -> BTreeMap<String, usize> {
    let pairs = expected.iter();
    pairs
        .map(|(what, count)| ((*what).to_owned(), *count))
        .collect()
}

/// How long the run took, rounded up.
fn seconds_of(run: &serde_json::Value) -> usize {
    let steps = run["status"]["steps"].as_array().expect("steps");
    let at = |step: &serde_json::Value, what: &str| -> jiff::Timestamp {
        let time = step[what].as_str().expect("a time");
        time.parse().expect("a time")
    };
    let began = at(steps.first().expect("a step"), "started");
    let ended = at(steps.last().expect("a step"), "finished");
    usize::try_from(ended.duration_since(began).as_secs()).expect("forward") + 1
}

fn steps(scene: &Scene, job: bool) -> serde_json::Value {
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "checkout"});
    let mut steps = vec![
        json!({"name": "scale", "scale": {"target": target, "replicas": 3}}),
        json!({"name": "holds", "check": {"target": target, "expression": "object.spec.replicas == 3"}}),
    ];
    if job {
        let image = format!("registry.example/{}/flush:1", scene.ns.name());
        steps.push(json!({"name": "flush", "job": {"image": image, "command": ["flush"]}, "opaque": "Accepted"}));
    }
    steps.into()
}

#[tokio::test]
async fn a_run_costs_five_writes_and_none_once_it_is_done() {
    let cluster = need!(Owned, Users);
    let scene = Scene::set(cluster, "costs").await;
    create(scene.admin(), scene.deployment("checkout"))
        .await
        .expect("a deployment");
    scene
        .signed(scene.playbook("heal", steps(&scene, false)))
        .await;
    let mark = cluster.audit_mark();
    scene.ask("r", "heal", json!({})).await;
    let run = scene.asked("r").await;
    scene.approve(&run).await;
    let run = scene.ended("r", "Succeeded").await;
    let expected = counts(&[("configmaps", 1), ("gates", 1), ("gates/status", 1)]);
    // Two, and progress once a second of a run that takes longer than that, as on a machine that does much besides.
    let seconds = seconds_of(&run);
    let namespace = scene.ns.name();
    eventually("five writes", Duration::from_secs(20), async || {
        let mut counted = writes(&cluster.audit_since(mark), namespace, false);
        // Of the Playbook, not of the run.
        counted.remove("playbooks/status");
        let statuses = counted.remove("orchestrations/status").unwrap_or_default();
        if counted == expected && (2..=2 + seconds).contains(&statuses) {
            Ok(())
        } else {
            Err(format!(
                "{counted:?} and {statuses} statuses in {seconds} s"
            ))
        }
    })
    .await;
    let effects = writes(&cluster.audit_since(mark), namespace, true);
    assert_eq!(effects, counts(&[("deployments/scale", 1)]));

    // Touched again, a finished run writes nothing: a label wakes it, and a second label shows that the first was seen.
    let mark = cluster.audit_mark();
    let runs = api(scene.admin(), "Orchestration", namespace);
    for value in ["1", "2"] {
        let label = json!({"metadata": {"labels": {"touched": value}}});
        runs.patch("r", &PatchParams::default(), &Patch::Merge(label))
            .await
            .expect("a label");
        eventually("it was looked at", Duration::from_secs(20), async || {
            let reads = cluster.audit_since(mark);
            let looked = reads.iter().filter(|event| {
                event.user == OPERATOR
                    && event.verb == "get"
                    && event.resource == "orchestrations"
                    && event.namespace == namespace
            });
            if looked.count() >= value.parse().expect("a number") {
                Ok(())
            } else {
                Err("not yet".to_owned())
            }
        })
        .await;
    }
    assert_eq!(
        writes(&cluster.audit_since(mark), namespace, false),
        counts(&[])
    );
}

/// How many runs wait: few in every run of the tests, a thousand in `make waiting`.
#[expect(
    clippy::disallowed_methods,
    reason = "the test bed speaks through the environment"
)]
fn waiting() -> usize {
    let said = std::env::var("NEURALOPS_WAITING_RUNS").ok();
    said.and_then(|count| count.parse().ok()).unwrap_or(30)
}

#[tokio::test]
async fn runs_that_wait_cost_nothing() {
    let cluster = need!(Owned, Users);
    let count = waiting();
    let scene = Scene::set(cluster, "waiting").await;
    create(scene.admin(), scene.deployment("checkout"))
        .await
        .expect("a deployment");
    scene
        .signed(scene.playbook("heal", steps(&scene, false)))
        .await;
    for number in 0..count {
        scene.ask(&format!("r{number}"), "heal", json!({})).await;
    }
    let namespace = scene.ns.name();
    let runs = api(scene.admin(), "Orchestration", namespace);
    eventually("all of them wait", Duration::from_secs(300), async || {
        let list = runs
            .list(&ListParams::default().fields("status.stage=Approve"))
            .await;
        let waiting = list.map_err(|error| error.to_string())?.items.len();
        if waiting == count {
            Ok(())
        } else {
            Err(format!("{waiting} wait"))
        }
    })
    .await;
    // Everything that had to be written about them was written before another run, from its beginning to its end.
    let mark = cluster.audit_mark();
    let run = scene.asked("r0").await;
    scene.approve(&run).await;
    let run = scene.ended("r0", "Succeeded").await;
    let seconds = seconds_of(&run);
    let counted = writes(&cluster.audit_since(mark), namespace, false);
    let statuses = counted.get("orchestrations/status").copied();
    assert!(
        statuses.unwrap_or_default() <= 1 + seconds,
        "{counted:?} in {seconds} s"
    );
    assert!(
        counted.get("gates/status").copied().unwrap_or_default() <= 1,
        "{counted:?}"
    );
    assert_eq!(counted.get("gates"), None, "{counted:?}");
}
