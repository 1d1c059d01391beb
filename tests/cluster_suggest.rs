//! Suggestions: which Playbooks fit an incident, told with reasons, kept up to date without a write too many, and taken by a
//! person who then has no vote.

#![expect(
    clippy::too_many_lines,
    reason = "a scene is told from beginning to end"
)]

use std::{process::Command, time::Duration};

use kube::api::DeleteParams;
use neuralops::domain::audit::event::Event;
use serde_json::{Value, json};

use crate::support::{
    OwnCluster, Scene, api, condition, create, eventually, need, random, scale, told, waits_for,
};

const SOON: Duration = Duration::from_secs(60);

/// What a person's command answered: its code, and all that it said.
pub fn command(scene: &Scene, person: &str, args: &[&str]) -> (Option<i32>, String) {
    let kubeconfig = scene.cluster.kubeconfig_file().with_file_name(person);
    let output = Command::new(env!("CARGO_BIN_EXE_neuralops"))
        .args(args)
        .args(["-n", scene.ns.name(), "--kubeconfig"])
        .arg(kubeconfig)
        .env_clear()
        .output()
        .expect("the program");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).expect("text"))
}

fn matched(scene: &Scene, name: &str, matches: Value) -> Value {
    let mut playbook = scene.playbook(name, json!([scale("s", "d", 3)]));
    playbook["spec"]["match"] = matches;
    playbook
}

fn names(status: &Value) -> Vec<&str> {
    let suggested = status["suggestions"].as_array().into_iter().flatten();
    suggested
        .map(|one| one["playbook"].as_str().expect("a name"))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fits_is_suggested_with_reasons_and_whoever_takes_it_has_no_vote() {
    let cluster = need!(Users, Owned, Controllers);
    let scene = Scene::set(cluster, "suggest").await;
    scene.workloads(&["d"]).await;
    let crash = json!({"alertname": "KubePodCrashLooping"});
    for (name, matches) in [
        ("wide", json!({"labels": crash})),
        (
            "closer",
            json!({"labels": crash, "expression": "incident.severity == 'critical'"}),
        ),
        (
            "urgent",
            json!({"expression": "incident.labels.team == 'shop'", "priority": 10}),
        ),
        (
            "calm",
            json!({"labels": crash, "expression": "incident.severity == 'warning'"}),
        ),
        (
            "other",
            json!({"labels": {"alertname": "KubeNodeNotReady"}}),
        ),
        // What the incident does not say does not hold, and what cannot be evaluated suggests nothing.
        (
            "unsaid",
            json!({"expression": "incident.annotations.runbook == 'x'"}),
        ),
        ("no-truth", json!({"expression": "incident.severity"})),
    ] {
        scene.signed(matched(&scene, name, matches)).await;
    }
    scene
        .signed(scene.playbook("unmatched", json!([scale("s", "d", 3)])))
        .await;
    let unsigned = matched(&scene, "unsigned", json!({"labels": crash}));
    create(scene.admin(), unsigned).await.expect("a playbook");
    let mut paused = scene
        .author
        .sign(matched(&scene, "paused", json!({"labels": crash})));
    paused["metadata"]["annotations"]["neuralops.io/suspend"] = json!("true");
    create(scene.admin(), paused).await.expect("a playbook");

    let object = json!({
        "apiVersion": "neuralops.io/v1alpha1", "kind": "Orchestration",
        "metadata": {"name": "r", "namespace": scene.ns.name()},
        "spec": {"requestedBy": "alice", "incident": {
            "summary": "checkout crash loops", "severity": "critical",
            "labels": {"alertname": "KubePodCrashLooping", "team": "shop"},
        }},
    });
    create(&scene.alice().await, object).await.expect("a run");
    let run = scene
        .until("r", "has its suggestions", |status| {
            names(status) == ["urgent", "closer", "wide"]
        })
        .await;
    let status = &run["status"];
    assert_eq!(condition(status, "Ready"), "Unknown/NoPlaybook");
    assert!(told(status).contains("3 fit the incident"), "{status:#}");
    assert_eq!(
        status["suggestions"][1]["reasons"],
        json!([
            "the incident has alertname=KubePodCrashLooping",
            "it holds that incident.severity == 'critical'",
        ])
    );
    assert_eq!(status["suggestions"][0]["score"], 501_003);
    let urgent = scene.object("Playbook", "urgent").await;
    assert_eq!(
        status["suggestions"][0]["digest"],
        urgent["status"]["digest"]
    );

    // What comes and goes is told; what changes nothing is no write.
    let better = json!({"labels": crash, "priority": 100});
    scene.signed(matched(&scene, "better", better)).await;
    let four = ["better", "urgent", "closer", "wide"];
    scene
        .until("r", "tells of a new one", |status| names(status) == four)
        .await;
    let pause = json!({"metadata": {"annotations": {"neuralops.io/suspend": "true"}}});
    scene
        .patch(scene.admin(), "Playbook", "better", pause)
        .await
        .expect("suspended");
    let before = scene
        .until("r", "tells of it no more", |status| {
            names(status) == ["urgent", "closer", "wide"]
        })
        .await;
    scene
        .signed(scene.playbook("meaningless", json!([scale("s", "d", 2)])))
        .await;
    scene.meanwhile().await;
    let after = scene.object("Orchestration", "r").await;
    assert_eq!(
        after["metadata"]["resourceVersion"],
        before["metadata"]["resourceVersion"]
    );

    let (code, said) = command(&scene, "bob", &["suggest", "r"]);
    assert_eq!(code, Some(0), "{said}");
    for words in [
        "urgent",
        "501003",
        "its author gives it priority 10",
        "neuralops take",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let (code, said) = command(&scene, "bob", &["take", "r", "nowhere"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("no Playbook nowhere"), "{said}");
    let (code, said) = command(&scene, "bob", &["take", "r", "closer"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("taken by bob"), "{said}");
    let (code, said) = command(&scene, "alice", &["take", "r", "wide"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("closer already"), "{said}");
    let run = scene.asked("r").await;
    let gate = run["status"]["gates"][0]["name"].as_str().expect("a gate");
    let gate = scene.object("Gate", gate).await;
    assert_eq!(gate["spec"]["requestedBy"], json!(["alice", "bob"]));
    // bob holds the role, and has shaped the run.
    let refused = scene.vote("bob", &run, "Approve").await;
    assert!(refused.is_err(), "{refused:?}");
    scene.vote("dave", &run, "Approve").await.expect("a vote");
    scene.ended("r", "Succeeded").await;
    assert_eq!(scene.replicas("d").await, 3);
}

#[tokio::test]
async fn parameters_are_set_with_the_choice_or_come_from_the_incident() {
    let cluster = need!(Users, Owned, Controllers);
    let scene = Scene::set(cluster, "suggest").await;
    scene.workloads(&["d"]).await;
    let target =
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "$(params.deployment)"});
    let steps =
        json!([{"name": "s", "scale": {"target": target, "replicas": "$(params.replicas)"}}]);
    let mut playbook = scene.playbook("typed", steps);
    playbook["spec"]["match"] = json!({"expression": "true"});
    playbook["spec"]["parameters"] = json!({
        "type": "object", "required": ["deployment", "replicas"],
        "properties": {
            "deployment": {"type": "string", "maxLength": 63, "default": "$(incident.labels.deployment)"},
            "replicas": {"type": "integer", "minimum": 1, "maximum": 9, "default": "$(incident.annotations.wanted-replicas)"},
        },
    });
    scene.signed(playbook).await;
    let ask = async |name: &str, wanted: &str| {
        let object = json!({
            "apiVersion": "neuralops.io/v1alpha1", "kind": "Orchestration",
            "metadata": {"name": name, "namespace": scene.ns.name()},
            "spec": {"requestedBy": "alice", "incident": {
                "labels": {"deployment": "d"}, "annotations": {"wanted-replicas": wanted},
            }},
        });
        create(&scene.alice().await, object).await.expect("a run");
        scene.until(name, "waits", waits_for("NoPlaybook")).await;
    };
    ask("given", "many").await;
    let (code, said) = command(
        &scene,
        "alice",
        &["take", "given", "typed", "--set", "replicas=4"],
    );
    assert_eq!(code, Some(0), "{said}");
    let given = scene.asked("given").await;
    let plan = given["status"]["plan"]["configMap"]
        .as_str()
        .expect("a plan");
    let plan = scene.object("ConfigMap", plan).await;
    let plan = plan["data"]["plan.json"].as_str().expect("a plan");
    assert!(
        plan.contains(r#""parameters":{"deployment":"d","replicas":4}"#),
        "{plan}"
    );
    scene.cancel("given").await;

    ask("taken", "5").await;
    let (code, said) = command(&scene, "alice", &["take", "taken", "typed"]);
    assert_eq!(code, Some(0), "{said}");
    let taken = scene.asked("taken").await;
    scene.approve(&taken).await;
    scene.ended("taken", "Succeeded").await;
    assert_eq!(scene.replicas("d").await, 5);

    // What the incident says has to be of the type and within the bounds.
    for (name, wanted, words) in [
        (
            "words",
            "many",
            "parameters.replicas from incident.annotations.wanted-replicas: \"many\" is no integer",
        ),
        ("much", "12", "12 is greater than the maximum of 9"),
    ] {
        ask(name, wanted).await;
        let (code, said) = command(&scene, "alice", &["take", name, "typed"]);
        assert_eq!(code, Some(0), "{said}");
        let failed = scene.ended(name, "Failed").await;
        let said = told(&failed["status"]);
        assert!(said.contains(words), "{said}");
        assert_eq!(
            condition(&failed["status"], "Ready"),
            "False/ParametersInvalid"
        );
    }
}

/// Somebody votes about the run in bob's name, and says what he would rather see.
async fn suggests(scene: &Scene, run: &Value, (writer, patch): (&str, Option<&str>)) -> String {
    let gate = &run["status"]["gates"][0];
    let mut decision = json!({
        "apiVersion": "neuralops.io/v1alpha1", "kind": "Decision",
        "metadata": {"name": random("vote"), "namespace": scene.ns.name()},
        "spec": {
            "gateRef": {"name": gate["name"], "uid": gate["uid"]},
            "planDigest": run["status"]["plan"]["digest"], "verdict": "Withdraw", "user": "bob",
        },
    });
    if let Some(patch) = patch {
        decision["spec"]["patch"] = json!(patch);
    }
    let writer = scene.cluster.person(writer).await;
    eventually("the policy knows the Gate", SOON, async || {
        match create(&writer, decision.clone()).await {
            Ok(made) => Ok(made.metadata.name.unwrap_or_default()),
            Err(error) => Err(error.to_string()),
        }
    })
    .await
}

/// A Playbook whose parameter says how many.
async fn sized(scene: &Scene, steps: Value) {
    let mut playbook = scene.playbook("sized", steps);
    playbook["spec"]["parameters"] = json!({"type": "object", "required": ["replicas"],
        "properties": {"replicas": {"type": "integer", "minimum": 1}}});
    scene.signed(playbook).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suggested_patch_makes_another_run_and_its_author_has_no_vote() {
    let cluster = need!(Users, Owned, Controllers);
    let scene = Scene::set(cluster, "suggested").await;
    scene.workloads(&["d"]).await;
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"});
    let steps =
        json!([{"name": "s", "scale": {"target": target, "replicas": "$(params.replicas)"}}]);
    sized(&scene, steps).await;
    let asked = json!({"parameters": {"replicas": "9"}});
    scene.ask("first", "sized", asked).await;
    let first = scene.asked("first").await;
    // Whoever rejects may say what they would rather see, and it is shown with the name by which it is taken.
    scene
        .ask(
            "rejected",
            "sized",
            json!({"parameters": {"replicas": "8"}}),
        )
        .await;
    scene.asked("rejected").await;
    let rejects = ["reject", "rejected", "--yes", "-m", "too many", "--suggest"];
    let rejects = [&rejects[..], &["replicas=2", "-o", "json"]].concat();
    let (code, said) = command(&scene, "bob", &rejects);
    assert_eq!(code, Some(0), "{said}");
    scene.ended("rejected", "Rejected").await;
    let (code, said) = command(&scene, "alice", &["tree", "rejected"]);
    assert_eq!(code, Some(0), "{said}");
    let shown = said.lines().find(|line| line.contains("suggests"));
    let shown = shown.expect("it is shown").trim();
    let vote = shown.strip_prefix("suggests replicas=\"2\": Decision ");
    let vote = vote.unwrap_or_else(|| panic!("{shown}")).to_owned();
    let (code, said) = command(&scene, "dave", &["diff", "rejected"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(&format!("bob {shown}")), "{said}");
    let (code, said) = command(&scene, "alice", &["take", "--decision", &vote]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("made from run rejected"), "{said}");

    // What touches anything else, or is nothing at all, is refused in words.
    let elsewhere = r#"[{"op":"replace","path":"/playbookRef/name","value":"other"}]"#;
    for (patch, words) in [
        (None, "suggests nothing"),
        (
            Some(elsewhere),
            "(replace /playbookRef/name) touches more than one parameter",
        ),
        (
            Some(r#"[{"op":"replace","path":"/parameters/replicas","value":4}]"#),
            "something else than text",
        ),
    ] {
        let name = suggests(&scene, &first, ("bob", patch)).await;
        let (code, said) = command(&scene, "alice", &["take", "--decision", &name]);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(words), "{words}: {said}");
    }
    let patch = r#"[{"op":"replace","path":"/parameters/replicas","value":"4"}]"#;
    let name = suggests(&scene, &first, ("bob", Some(patch))).await;
    let (code, said) = command(
        &scene,
        "alice",
        &["take", "--decision", &name, "-o", "json"],
    );
    assert_eq!(code, Some(0), "{said}");
    let made: Value = serde_json::from_str(&said).expect("a run");
    let made = made["metadata"]["name"]
        .as_str()
        .expect("a name")
        .to_owned();
    let run = scene.asked(&made).await;
    assert_eq!(run["spec"]["parameters"], json!({"replicas": "4"}));
    assert_eq!(run["spec"]["from"]["orchestration"], "first");
    assert_ne!(
        run["status"]["plan"]["digest"],
        first["status"]["plan"]["digest"]
    );
    let gate = run["status"]["gates"][0]["name"].as_str().expect("a gate");
    let gate = scene.object("Gate", gate).await;
    assert_eq!(gate["spec"]["requestedBy"], json!(["alice", "bob"]));
    assert!(scene.vote("bob", &run, "Approve").await.is_err());
    scene.vote("dave", &run, "Approve").await.expect("a vote");
    scene.ended(&made, "Succeeded").await;
    assert_eq!(scene.replicas("d").await, 4);
    let records = scene
        .records(run["metadata"]["uid"].as_str().expect("a uid"))
        .await;
    let suggested = records
        .iter()
        .find(|record| record.fact.code == Event::RunSuggested);
    let suggested = &suggested.expect("it is on record").fact;
    assert_eq!(suggested.actor.subject.as_str(), "bob");
    // The plan that was voted on is as it was.
    let kept = scene.object("Orchestration", "first").await;
    assert_eq!(kept["status"]["plan"], first["status"]["plan"]);
    assert_eq!(kept["spec"], first["spec"]);

    // Who says that it was suggested has to say by whom.
    let suggestion = scene.object("Decision", &name).await;
    let uid = &suggestion["metadata"]["uid"];
    let vote = suggests(&scene, &first, ("bob", None)).await;
    let vote = scene.object("Decision", &vote).await;
    let vote = &vote["metadata"]["uid"];
    for (name, replicas, run, decision, words) in [
        ("made-up", "4", "first", &json!("nobody"), "is not there"),
        ("a-vote", "4", "first", vote, "has no patch"),
        ("wider", "5", "first", uid, "are others"),
        ("elsewhere", "4", &made, uid, "is not about run"),
        ("a-path", "4", "first/status", uid, "names no run"),
    ] {
        let from = json!({"orchestration": run, "decisionUID": decision});
        let more = json!({"parameters": {"replicas": replicas}, "from": from});
        scene.ask(name, "sized", more).await;
        let failed = scene.ended(name, "Failed").await;
        let status = &failed["status"];
        assert_eq!(condition(status, "Ready"), "False/RequesterUnknown");
        assert!(told(status).contains(words), "{words}: {status:#}");
        assert!(status["gates"].is_null(), "{status:#}");
        let uid = failed["metadata"]["uid"].as_str().expect("a uid");
        let records = scene.records(uid).await;
        let mut codes = records.iter().map(|record| record.fact.code);
        assert!(codes.all(|code| code != Event::RunSuggested), "{records:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_suggested_while_nobody_proved_by_whom_is_not_run() {
    need!(Owned, Users);
    let own = OwnCluster::start().await;
    let operator = own.operator(&[]);
    operator.trusts().await;
    let scene = Scene::set(own.cluster(), "gap").await;
    scene.workloads(&["d"]).await;
    sized(&scene, json!([scale("s", "d", 3)])).await;
    let asked = json!({"parameters": {"replicas": "9"}});
    scene.ask("first", "sized", asked).await;
    let first = scene.asked("first").await;

    // Without that policy dave writes in bob's name.
    for kind in [
        "ValidatingAdmissionPolicyBinding",
        "ValidatingAdmissionPolicy",
    ] {
        let guard = api(scene.admin(), kind, "");
        let (name, params) = ("decision-identity.neuralops.io", DeleteParams::default());
        guard.delete(name, &params).await.expect("deleted");
    }
    let patch = r#"[{"op": "replace", "path": "/parameters/replicas", "value": "4"}]"#;
    let name = suggests(&scene, &first, ("dave", Some(patch))).await;
    let forged = scene.object("Decision", &name).await;
    assert_eq!(forged["spec"]["user"], "bob");
    eventually("the operator sees the gap", SOON, async || {
        let (_, said) = operator.probe("/readyz").await?;
        if said.contains("decision-identity") {
            Ok(())
        } else {
            Err(said)
        }
    })
    .await;
    own.install();
    operator.trusts().await;

    let from = json!({"orchestration": "first", "decisionUID": forged["metadata"]["uid"]});
    let more = json!({"parameters": {"replicas": "4"}, "from": from});
    scene.ask("second", "sized", more).await;
    let failed = scene.ended("second", "Failed").await;
    let status = &failed["status"];
    assert_eq!(condition(status, "Ready"), "False/RequesterUnknown");
    assert!(
        told(status).contains("nobody proved whose it is"),
        "{status:#}"
    );
    assert!(status["gates"].is_null(), "{status:#}");
}
