//! Every step kind that writes, in whole runs: planned, approved, begun, failed because its right was taken away, tried again
//! once it is back, done, and taken back because a later step fails; the cluster is as it was then.

use futures::future::join_all;
use serde_json::{Value, json};

use super::compensation::fails;
use crate::support::{
    Scene, allowed, api, condition, core, create, deployment, eventually, grant, grant_everywhere,
    hold, need, random, rule,
};

const SOON: std::time::Duration = std::time::Duration::from_secs(90);
const OPERATOR: &str = "system:serviceaccount:neuralops-system:neuralops-controller";

/// A kind, and how a step of it looks here.
struct Kind {
    name: &'static str,
    step: Value,
    /// The right without which it fails: group, verbs, resources.
    right: (&'static str, &'static str, &'static str),
    /// What it acts on, if that is taken back.
    back: Option<(&'static str, String)>,
}

fn kind(
    name: &'static str,
    step: Value,
    right: (&'static str, &'static str, &'static str),
    back: Option<(&'static str, &str)>,
) -> Kind {
    Kind {
        name,
        step: json!({ name: step }),
        right,
        back: back.map(|(kind, name)| (kind, name.to_owned())),
    }
}

fn config(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "name": name})
}

fn kinds(nodes: &[String; 3]) -> Vec<Kind> {
    let made = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "apply"}, "data": {"a": "b"}});
    let opaque = |mut kind: Kind| {
        kind.step["opaque"] = json!("Accepted");
        kind
    };
    let patch = json!({"data": {"a": "2"}});
    vec![
        kind(
            "apply",
            json!({"manifest": made}),
            ("", "create patch delete", "configmaps"),
            Some(("ConfigMap", "apply")),
        ),
        kind(
            "patch",
            json!({"target": config("patch"), "type": "Merge", "patch": patch}),
            ("", "patch", "configmaps"),
            Some(("ConfigMap", "patch")),
        ),
        kind(
            "scale",
            json!({"target": deployment("scale"), "replicas": 3}),
            ("apps", "patch", "deployments/scale"),
            Some(("Deployment", "scale")),
        ),
        kind(
            "rolloutRestart",
            json!({"target": deployment("restart")}),
            ("apps", "patch", "deployments"),
            Some(("Deployment", "restart")),
        ),
        kind(
            "rolloutUndo",
            json!({"target": deployment("undo")}),
            ("apps", "patch", "deployments"),
            Some(("Deployment", "undo")),
        ),
        kind(
            "delete",
            json!({"target": config("delete")}),
            ("", "delete", "configmaps"),
            Some(("ConfigMap", "delete")),
        ),
        kind(
            "cordon",
            json!({"node": nodes[0]}),
            ("", "patch", "nodes"),
            Some(("Node", &nodes[0])),
        ),
        kind(
            "uncordon",
            json!({"node": nodes[1]}),
            ("", "patch", "nodes"),
            Some(("Node", &nodes[1])),
        ),
        kind(
            "drain",
            json!({"node": nodes[2], "ignoreDaemonSets": true}),
            ("", "patch", "nodes"),
            Some(("Node", &nodes[2])),
        ),
        opaque(kind(
            "job",
            json!({"image": "registry.example/tool:1", "command": ["true"]}),
            ("batch", "create", "jobs"),
            None,
        )),
        opaque(kind(
            "http",
            json!({"url": "https://example.com"}),
            ("batch", "create", "jobs"),
            None,
        )),
        kind(
            "notify",
            json!({"message": "so far so good"}),
            ("events.k8s.io", "create", "events"),
            None,
        ),
    ]
}

/// What all of them may do; none may write, but make again what it deletes.
async fn rights(scene: &Scene, account: &str) {
    let rules = [
        core("get list create", "configmaps"),
        rule(
            "apps",
            "get list",
            "deployments deployments/scale replicasets",
        ),
        rule("batch", "get list", "jobs"),
        rule("events.k8s.io", "get", "events"),
    ];
    let user = user(scene, account);
    grant(&scene.ns, &user, &rules).await;
    let nodes = [
        core("get", "nodes"),
        core("list", "pods"),
        core("create", "pods/eviction"),
    ];
    grant_everywhere(&scene.ns, &user, &nodes).await;
    let speak = core("impersonate", "serviceaccounts").named(account);
    grant(&scene.ns, OPERATOR, &[speak]).await;
}

fn user(scene: &Scene, account: &str) -> String {
    format!("system:serviceaccount:{}:{account}", scene.ns.name())
}

/// The right of the kind, which can be taken away: the name of its role.
async fn right(scene: &Scene, account: &str, kind: &Kind) -> String {
    let name = random("t-matrix");
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name},
        "rules": rules(kind),
    });
    create(scene.admin(), role).await.expect("a role");
    scene.ns.also_delete("ClusterRole", &name);
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": scene.ns.name()}],
    });
    create(scene.admin(), binding).await.expect("a binding");
    scene.ns.also_delete("ClusterRoleBinding", &name);
    holds(scene, account, kind, true).await;
    name
}

fn rules(kind: &Kind) -> Value {
    let (group, verbs, resources) = kind.right;
    let verbs: Vec<&str> = verbs.split(' ').collect();
    json!([{"apiGroups": [group], "verbs": verbs, "resources": [resources]}])
}

async fn holds(scene: &Scene, account: &str, kind: &Kind, wanted: bool) {
    let (group, verbs, resources) = kind.right;
    let verb = verbs.rsplit(' ').next().expect("a verb");
    let right = rule(group, verb, resources);
    let namespace = (resources != "nodes").then(|| scene.ns.name());
    let user = user(scene, account);
    eventually("the right is as it should be", SOON, async || {
        if allowed(scene.admin(), namespace, &user, &right).await == wanted {
            Ok(())
        } else {
            Err(format!("{user} {verb} {resources}: not {wanted}"))
        }
    })
    .await;
}

/// What is to be as it was: without what the API server and controllers count.
async fn state(scene: &Scene, kind: &Kind) -> Value {
    let Some((what, name)) = &kind.back else {
        return Value::Null;
    };
    let found = api(scene.admin(), what, scene.ns.name())
        .get_opt(name)
        .await;
    let found = found.expect("an answer");
    let mut found = serde_json::to_value(found).expect("JSON");
    if *what == "Node" {
        // Its taints follow the mark in their own time.
        return found["spec"]["unschedulable"].clone();
    }
    if let Some(fields) = found.as_object_mut() {
        fields.remove("metadata");
        fields.remove("status");
    }
    found
}

async fn goes(scene: &Scene, kind: &Kind) {
    let name = kind.name.to_lowercase();
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": scene.ns.name()}});
    create(scene.admin(), account).await.expect("an account");
    rights(scene, &name).await;
    let role = right(scene, &name, kind).await;
    let before = state(scene, kind).await;

    scene.flag(&format!("go-{name}")).await;
    let mut step = kind.step.clone();
    step["name"] = json!("it");
    step["retries"] = json!(8);
    let steps = json!([hold("hold", &format!("go-{name}")), step, fails()]);
    let mut playbook = scene.playbook(&name, steps);
    let spec = playbook["spec"].as_object_mut().expect("a spec");
    spec.remove("onFailure");
    spec.insert("serviceAccountName".to_owned(), json!(name));
    scene.signed(playbook).await;
    scene.ask(&name, &name, json!({})).await;
    let run = scene.asked(&name).await;
    assert_eq!(
        run["status"]["stage"], "Approve",
        "{name}: {:#}",
        run["status"]
    );
    scene.approve(&run).await;
    scene.running(&name, "hold").await;

    let set = async |rules: Value| {
        let patched = scene.patch(
            scene.admin(),
            "ClusterRole",
            &role,
            json!({ "rules": rules }),
        );
        patched.await.expect("patched");
    };
    set(json!([])).await;
    holds(scene, &name, kind, false).await;
    scene.go(&format!("go-{name}")).await;
    let is_tried_again = |status: &Value| {
        condition(status, "Ready").contains("Retrying") || status["outcome"].is_string()
    };
    let run = scene.until(&name, "is tried again", is_tried_again).await;
    assert!(
        run["status"]["outcome"].is_null(),
        "{name}: {:#}",
        run["status"]
    );
    assert_eq!(state(scene, kind).await, before, "{name} had an effect");
    set(rules(kind)).await;

    let outcome = if kind.back.is_some() {
        "Compensated"
    } else {
        "Failed"
    };
    let run = scene.ended(&name, outcome).await;
    let told = scene.told_of(super::uid(&run)).await;
    let count = |word: &str| told.iter().filter(|one| *one == word).count();
    assert!(count("step.failed/AccessDenied") >= 1, "{name}: {told:?}");
    // The hold, and the step.
    assert_eq!(count("step.succeeded/Succeeded"), 2, "{name}: {told:?}");
    let back = usize::from(kind.back.is_some());
    assert_eq!(count("undo.succeeded/Succeeded"), back, "{name}: {told:?}");
    assert_eq!(state(scene, kind).await, before, "{name} is as it was");
}

#[tokio::test]
async fn every_kind_fails_is_tried_again_is_done_and_taken_back() {
    let cluster = need!(Users, Owned, Controllers);
    let scene = Scene::set(cluster, "matrix").await;
    scene.flag("never").await;
    scene.workloads(&["scale", "restart", "undo"]).await;
    for name in ["patch", "delete"] {
        let object = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": scene.ns.name()}, "data": {"a": "1"},
        });
        create(scene.admin(), object).await.expect("a config map");
    }
    second_revision(&scene).await;
    let nodes = ["cordon", "uncordon", "drain"].map(random);
    for node in &nodes {
        let unschedulable = node.starts_with("uncordon");
        let taint = json!({"key": "neuralops.io/test-of", "value": node, "effect": "NoSchedule"});
        let object = json!({
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": node, "labels": {"type": "kwok"}},
            "spec": {"taints": [taint], "unschedulable": unschedulable},
        });
        create(scene.admin(), object).await.expect("a node");
        scene.ns.also_delete("Node", node);
    }
    let kinds = kinds(&nodes);
    join_all(kinds.iter().map(|kind| goes(&scene, kind))).await;
}

/// A template that can be gone back from.
async fn second_revision(scene: &Scene) {
    let containers = json!([{"name": "app", "image": "registry.example/shop:2"}]);
    for (revision, patch) in [
        ("1", json!({})),
        (
            "2",
            json!({"spec": {"template": {"spec": {"containers": containers}}}}),
        ),
    ] {
        let patched = scene.patch(scene.admin(), "Deployment", "undo", patch);
        patched.await.expect("patched");
        eventually("the revision is kept", SOON, async || {
            let live = scene.object("Deployment", "undo").await;
            let at = &live["metadata"]["annotations"]["deployment.kubernetes.io/revision"];
            if at == revision {
                Ok(())
            } else {
                Err(at.to_string())
            }
        })
        .await;
    }
}
