//! Storms: many runs about few incidents come to one run each, limits hold however many are approved at once, and no target
//! has two runs at a time; by the real operator, its status, its log and the API server's own record.

#![expect(
    clippy::too_many_lines,
    reason = "a scene is told from beginning to end"
)]

use std::{collections::BTreeMap, time::Duration};

use futures::{StreamExt as _, stream};
use kube::api::ListParams;
use neuralops::domain::audit::event::Event;
use serde_json::{Value, json};

use crate::support::{
    OwnCluster, Scene, api, condition, create, eventually, hold, need, scale, told, waits_for,
};

const A_WHILE: Duration = Duration::from_secs(240);

/// A Playbook that notes something at a Deployment and takes its time.
fn noting(scene: &Scene, name: &str) -> Value {
    let target =
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "$(params.deployment)"});
    let patch = json!({"metadata": {"annotations": {name: "done"}}});
    let steps = json!([
        {"name": "note", "patch": {"target": target, "type": "Merge", "patch": patch}},
        {"name": "rest", "wait": {"duration": "300ms"}},
    ]);
    let mut playbook = scene.playbook(name, steps);
    playbook["spec"]["parameters"] = json!({
        "type": "object", "required": ["deployment"],
        "properties": {"deployment": {"type": "string", "default": "$(incident.labels.deployment)"}},
    });
    playbook
}

/// Every run of the scene, once all of them are as they have to be.
async fn all(scene: &Scene, what: &str, is: impl Fn(&Value) -> bool) -> Vec<Value> {
    eventually(what, A_WHILE, async || {
        let runs = api(scene.admin(), "Orchestration", scene.ns.name());
        let runs = runs.list(&ListParams::default()).await.expect("runs");
        let runs: Vec<Value> = runs
            .items
            .into_iter()
            .map(|run| serde_json::to_value(run).expect("JSON"))
            .collect();
        let not_yet: Vec<&Value> = runs.iter().filter(|run| !is(&run["status"])).collect();
        match not_yet.first() {
            None => Ok(runs),
            Some(first) => Err(format!("{} are not, such as {first:#}", not_yet.len())),
        }
    })
    .await
}

fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    value
        .pointer(path)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_runs_for_twenty_incidents_are_twenty_runs() {
    let cluster = need!(Users, Owned);
    let scene = Scene::set(cluster, "storm").await;
    let mark = cluster.audit_mark();
    let names: Vec<String> = (0..10).map(|number| format!("d{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    scene.workloads(&names).await;
    for playbook in ["one", "two"] {
        scene.signed(noting(&scene, playbook)).await;
    }
    // Two incidents for each Deployment, so that their runs want the same lock.
    let alice = scene.alice().await;
    let asking = (0..500).map(|number: usize| {
        let (alice, ns) = (alice.clone(), scene.ns.name());
        let incident = number % 20;
        let object = json!({
            "apiVersion": "neuralops.io/v1alpha1", "kind": "Orchestration",
            "metadata": {"name": format!("r{number}"), "namespace": ns},
            "spec": {
                "incident": {"key": format!("incident-{incident}"), "summary": "again",
                             "labels": {"deployment": format!("d{}", incident % 10)}},
                "playbookRef": {"name": if incident < 10 { "one" } else { "two" }},
                "requestedBy": "alice",
            },
        });
        async move { create(&alice, object).await.expect("a run") }
    });
    let made = stream::iter(asking).buffer_unordered(16).count().await;
    assert_eq!(made, 500);
    let runs = all(&scene, "all have joined or ask", |status| {
        status["outcome"].is_string() || status["gates"][0]["uid"].is_string()
    })
    .await;
    let (owners, joined): (Vec<&Value>, Vec<&Value>) = runs
        .iter()
        .partition(|run| run["status"]["outcome"].is_null());
    assert_eq!((owners.len(), joined.len()), (20, 480));
    let owner_of: BTreeMap<&str, &str> = owners
        .iter()
        .map(|run| (text(run, "/spec/incident/key"), text(run, "/metadata/name")))
        .collect();
    assert_eq!(owner_of.len(), 20, "one for each incident");
    for run in &joined {
        let status = &run["status"];
        assert_eq!(status["outcome"], "Joined", "{status:#}");
        let owner = owner_of[text(run, "/spec/incident/key")];
        assert_eq!(status["joined"]["name"], owner, "{status:#}");
        assert!(told(status).contains(owner), "{status:#}");
        let found = ["Ready", "Succeeded"].map(|kind| condition(status, kind));
        assert_eq!(found, ["True/Joined", "False/Joined"]);
        assert!(status["plan"].is_null(), "nothing was planned for it");
    }
    // The counts come to what they have to be while people are still asked.
    all(&scene, "each owner counts 24", |status| {
        status["outcome"].is_string() || status["joined"]["count"] == 24
    })
    .await;
    for run in &owners {
        scene.approve(run).await;
    }
    let runs = all(&scene, "all have ended", |status| {
        status["outcome"].is_string()
    })
    .await;
    let mut intervals: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    for run in runs
        .iter()
        .filter(|run| run["status"]["outcome"] != "Joined")
    {
        let status = &run["status"];
        assert_eq!(status["outcome"], "Succeeded", "{status:#}");
        assert_eq!(status["joined"]["count"], 24, "{status:#}");
        let records = scene.records(text(run, "/metadata/uid")).await;
        let at = |code| {
            let mut found = records.iter().filter(|record| record.fact.code == code);
            found.next().expect("a record").time
        };
        intervals
            .entry(text(run, "/spec/incident/labels/deployment"))
            .or_default()
            .push((at(Event::RunStarted), at(Event::RunFinished)));
    }
    for (deployment, mut of_target) in intervals {
        of_target.sort();
        assert_eq!(of_target.len(), 2, "{deployment}");
        assert!(
            of_target[0].1 <= of_target[1].0,
            "{deployment}: {of_target:?}"
        );
    }
    let effects = scene.effects(mark).await;
    assert_eq!(effects.len(), 20, "{effects:?}");
    for name in names {
        let object = scene.object("Deployment", name).await;
        let notes = &object["metadata"]["annotations"];
        assert_eq!(
            (notes["one"].as_str(), notes["two"].as_str()),
            (Some("done"), Some("done"))
        );
    }
}

#[tokio::test]
async fn only_what_wants_the_same_joins_and_only_while_the_other_goes_on() {
    let cluster = need!(Users, Owned);
    let scene = Scene::set(cluster, "joins").await;
    scene.workloads(&["d"]).await;
    scene.signed(noting(&scene, "note")).await;
    let keyed = |more: Value| {
        let mut spec = json!({"incident": {"key": "k", "labels": {"deployment": "d"}}});
        spec.as_object_mut()
            .expect("a spec")
            .extend(more.as_object().expect("a spec").clone());
        spec
    };
    let ask = async |name: &str, more: Value| {
        scene.ask(name, "note", keyed(more)).await;
    };
    // One that is only planned, and one that is suspended, collect nothing.
    ask("planned", json!({"mode": "PlanOnly"})).await;
    scene.ended("planned", "Planned").await;
    ask("suspended", json!({"suspend": true})).await;
    scene
        .until("suspended", "waits", waits_for("Suspended"))
        .await;
    ask("first", json!({})).await;
    let first = scene.asked("first").await;
    assert_eq!(first["status"]["stage"], "Approve", "{:#}", first["status"]);
    ask("also", json!({"mode": "Manual"})).await;
    scene.ended("also", "Joined").await;
    ask("look", json!({"mode": "PlanOnly"})).await;
    scene.ended("look", "Planned").await;
    ask("other", json!({"parameters": {"deployment": "d"}})).await;
    let other = scene.asked("other").await;
    assert_eq!(other["status"]["stage"], "Approve", "{:#}", other["status"]);
    // What wants just that joins it, and not the one that stands for the incident.
    ask("other-too", json!({"parameters": {"deployment": "d"}})).await;
    let too = scene.ended("other-too", "Joined").await;
    assert_eq!(too["status"]["joined"]["name"], "other");
    // Who was suspended joins when it goes on, and one that asks without a Playbook too.
    scene
        .set_run("alice", "suspended", json!({"suspend": false}))
        .await
        .expect("resumed");
    scene.ended("suspended", "Joined").await;
    let unnamed = json!({
        "apiVersion": "neuralops.io/v1alpha1", "kind": "Orchestration",
        "metadata": {"name": "unnamed", "namespace": scene.ns.name()},
        "spec": {"incident": {"key": "k"}, "requestedBy": "alice"},
    });
    create(&scene.alice().await, unnamed).await.expect("a run");
    let unnamed = scene.ended("unnamed", "Joined").await;
    assert_eq!(unnamed["status"]["joined"]["name"], "first");
    let counts = |count: i64| move |status: &Value| status["joined"]["count"] == count;
    scene.until("first", "counts three", counts(3)).await;
    // One that is suspended now is joined no more; the next one stands for the incident.
    scene
        .set_run("alice", "first", json!({"suspend": true}))
        .await
        .expect("suspended");
    ask("next", json!({})).await;
    let next = scene.asked("next").await;
    assert_eq!(next["status"]["stage"], "Approve", "{:#}", next["status"]);
    ask("behind", json!({})).await;
    let behind = scene.ended("behind", "Joined").await;
    assert_eq!(behind["status"]["joined"]["name"], "next");
    // After its end the incident begins anew.
    scene.cancel("next").await;
    scene.ended("next", "Cancelled").await;
    ask("anew", json!({})).await;
    let anew = scene.asked("anew").await;
    assert_eq!(anew["status"]["stage"], "Approve", "{:#}", anew["status"]);
    let first = scene.object("Orchestration", "first").await;
    assert_eq!(first["status"]["joined"], json!({"count": 3}));
    // Whoever comes back after it was asked about begins when the one in its place has ended.
    scene
        .set_run("alice", "first", json!({"suspend": false}))
        .await
        .expect("resumed");
    scene.approve(&first).await;
    let waits = scene
        .until("first", "waits for the other", waits_for("IncidentTaken"))
        .await;
    assert!(told(&waits["status"]).contains("run anew"), "{waits:#}");
    for name in ["anew", "other"] {
        scene.cancel(name).await;
        scene.ended(name, "Cancelled").await;
    }
    scene.ended("first", "Succeeded").await;
}

#[tokio::test]
async fn over_a_limit_runs_wait_in_line_and_say_for_whom() {
    let cluster = need!(Users, Owned);
    let scene = Scene::set(cluster, "limits").await;
    let mark = cluster.audit_mark();
    let names = ["a", "b", "c"];
    scene.workloads(&names).await;
    scene.flag("f").await;
    let target =
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "$(params.deployment)"});
    let steps =
        json!([{"name": "s", "scale": {"target": target, "replicas": 3}}, hold("hold", "f")]);
    let mut playbook = scene.playbook("one-at-a-time", steps);
    playbook["spec"]["limits"] = json!({"concurrentRuns": 1});
    playbook["spec"]["parameters"] = json!({"type": "object", "required": ["deployment"],
        "properties": {"deployment": {"type": "string"}}});
    scene.signed(playbook).await;
    for name in names {
        let parameters = json!({"parameters": {"deployment": name}});
        scene.ask(name, "one-at-a-time", parameters).await;
    }
    let first = scene.asked("a").await;
    scene.approve(&first).await;
    scene.running("a", "hold").await;
    for name in ["b", "c"] {
        let run = scene.asked(name).await;
        scene.approve(&run).await;
        let waiting = scene
            .until(name, "stands in line", waits_for("LimitReached"))
            .await;
        let said = told(&waiting["status"]);
        assert!(
            said.contains("run a goes first") && said.contains("concurrentRuns"),
            "{said}"
        );
        assert_eq!(condition(&waiting["status"], "Approved"), "True/Approved");
    }
    assert_eq!(scene.effects(mark).await, ["patch deployments a"]);
    // Whoever leaves the line calls the next, also one that never began.
    scene.cancel("b").await;
    scene.ended("b", "Cancelled").await;
    scene.go("f").await;
    for name in ["a", "c"] {
        scene.ended(name, "Succeeded").await;
    }
    assert_eq!(
        scene.effects(mark).await,
        ["patch deployments a", "patch deployments c"]
    );
}

#[tokio::test]
async fn a_target_has_so_many_runs_an_hour() {
    let cluster = need!(Users, Owned);
    let scene = Scene::set(cluster, "hourly").await;
    scene.workloads(&["d"]).await;
    for (name, target, replicas) in [("often", "d", 3), ("apart", "d", 4)] {
        let mut playbook = scene.playbook(name, json!([scale("s", target, replicas)]));
        playbook["spec"]["limits"] = json!({"runsPerTargetPerHour": 1});
        scene.signed(playbook).await;
    }
    scene.ask("first", "often", json!({})).await;
    let first = scene.asked("first").await;
    scene.approve(&first).await;
    scene.ended("first", "Succeeded").await;
    scene.ask("second", "often", json!({})).await;
    let second = scene.asked("second").await;
    scene.approve(&second).await;
    let waiting = scene
        .until("second", "waits", waits_for("LimitReached"))
        .await;
    let said = told(&waiting["status"]);
    for words in [
        "run first is an hour old at 20",
        "runsPerTargetPerHour",
        "deployments",
    ] {
        assert!(said.contains(words), "{said}");
    }
    scene.cancel("second").await;
    scene.ended("second", "Cancelled").await;
    // Another Playbook on the same target has its own count.
    scene.ask("third", "apart", json!({})).await;
    let third = scene.asked("third").await;
    scene.approve(&third).await;
    scene.ended("third", "Succeeded").await;
    assert_eq!(scene.replicas("d").await, 4);
}

#[tokio::test]
async fn a_namespace_has_so_many_runs_at_a_time_also_for_the_next_operator() {
    need!(Owned, Users);
    let own = OwnCluster::start_bare().await;
    own.install();
    let few = ["--concurrent-runs", "1"];
    let mut operator = own.operator(&few);
    operator.ready().await;
    operator.trusts().await;
    let scene = Scene::set(own.cluster(), "few").await;
    let other = Scene::set(own.cluster(), "apart").await;
    for (scene, names) in [(&scene, &["a", "b"][..]), (&other, &["c"][..])] {
        scene.workloads(names).await;
        scene.flag("f").await;
        for name in names {
            let steps = json!([hold("hold", "f"), scale("s", name, 3)]);
            scene.approved(name, steps, json!({})).await;
            if *name != "b" {
                scene.running(name, "hold").await;
            }
        }
    }
    let waiting = scene
        .until("b", "stands in line", waits_for("LimitReached"))
        .await;
    let said = told(&waiting["status"]);
    assert!(
        said.contains("1 runs of this namespace") && said.contains("run a goes first"),
        "{said}"
    );
    // Whoever comes after counts those that run already.
    operator.signal("TERM");
    operator.ended(Duration::from_secs(60)).await;
    let mut operator = own.operator(&few);
    operator.ready().await;
    other.go("f").await;
    other.ended("c", "Succeeded").await;
    assert_eq!(
        [scene.replicas("a").await, scene.replicas("b").await],
        [1, 1]
    );
    let waiting = scene.object("Orchestration", "b").await;
    assert!(waits_for("LimitReached")(&waiting["status"]), "{waiting:#}");
    scene.go("f").await;
    for name in ["a", "b"] {
        scene.ended(name, "Succeeded").await;
    }
    assert_eq!(operator.exit_code(), None, "{}", operator.log_tail());
}
