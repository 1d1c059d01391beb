//! An operator that works in some namespaces only, with the rights of config/rbac/namespaced.yaml and no others: runs there
//! come to their end, what lies elsewhere is left alone, and by the API server's own record nobody ever asked for it.

use std::time::Duration;

use kube::api::DeleteParams;
use serde_json::{Value, json};

use crate::support::{
    AuditEvent, OwnCluster, Scene, allowed, api, create, eventually, manifests, need, ours, scale,
};

const SOON: Duration = Duration::from_secs(60);
const OPERATOR: &str = "system:serviceaccount:neuralops-system:neuralops-controller";
const RIGHTS: &str = include_str!("../config/rbac/namespaced.yaml");
/// What has no namespace, and is asked for all the same.
const CLUSTER: [&str; 8] = [
    "auditlogs",
    "customresourcedefinitions",
    "freezes",
    "selfsubjectaccessreviews",
    "subjectaccessreviews",
    "trustpolicies",
    "validatingadmissionpolicies",
    "validatingadmissionpolicybindings",
];

/// The rights that go with a namespace, or those that go with none.
fn rights(namespaced: bool) -> impl Iterator<Item = Value> {
    let all = manifests(RIGHTS).into_iter();
    all.filter(move |object| object["metadata"]["namespace"].is_string() == namespaced)
}

/// The operator may work in this namespace.
async fn admit(scene: &Scene) {
    let namespace = scene.ns.name();
    for mut object in rights(true) {
        object["metadata"]["namespace"] = json!(namespace);
        create(scene.admin(), object).await.expect("a right");
    }
    stands(scene, Some(namespace), true).await;
}

/// The operator may work nowhere but where it is admitted.
async fn narrow(scene: &Scene) {
    for kind in ["ClusterRoleBinding", "ClusterRole"] {
        let deleted = api(scene.admin(), kind, "")
            .delete("neuralops-controller", &DeleteParams::default())
            .await;
        deleted.expect("deleted");
    }
    for object in rights(false) {
        create(scene.admin(), object).await.expect("a right");
    }
    stands(scene, None, false).await;
}

async fn stands(scene: &Scene, namespace: Option<&str>, expected: bool) {
    eventually("the rights are in force", SOON, async || {
        let rule = ours("list", "gates");
        let may = allowed(scene.admin(), namespace, OPERATOR, &rule).await;
        if may == expected {
            Ok(())
        } else {
            Err("not yet".to_owned())
        }
    })
    .await;
}

/// Whether the operator asked for what is none of its business, in its own name or as somebody's account.
fn outside(event: &AuditEvent, namespaces: &[&str]) -> bool {
    let cluster = event.namespace.is_empty()
        && (event.resource.is_empty() || CLUSTER.contains(&event.resource.as_str()));
    let uid = event.resource == "namespaces" && event.name == "kube-system";
    let there = namespaces.contains(&event.namespace.as_str());
    event.user == OPERATOR && !cluster && !uid && !there
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_of_two_namespaces_works_there_and_asks_for_nothing_elsewhere() {
    need!(Owned, Users);
    let own = OwnCluster::start().await;
    let cluster = own.cluster();
    let first = Scene::set(cluster, "first").await;
    let second = Scene::set(cluster, "second").await;
    let other = Scene::set(cluster, "other").await;
    narrow(&first).await;
    admit(&first).await;
    let mark = cluster.audit_mark();
    let namespaces = [first.ns.name(), second.ns.name(), "neuralops-system"];
    let watched = format!("{},{}", namespaces[0], namespaces[1]);
    let operator = own.operator(&["--watch-namespaces", &watched]);
    eventually("readiness names the namespace", SOON, async || {
        let (_, complaints) = operator.probe("/readyz").await?;
        let named =
            |line: &str| line.starts_with("CacheNotFilled: ") && line.contains(namespaces[1]);
        if complaints.lines().any(named) {
            Ok(())
        } else {
            Err(complaints)
        }
    })
    .await;
    admit(&second).await;
    operator.ready().await;
    operator.trusts().await;
    let admitted = cluster.audit_mark();

    let more = || json!([scale("more", "checkout", 3)]);
    other.workloads(&["checkout"]).await;
    other.signed(other.playbook("heal", more())).await;
    other.ask("heal", "heal", json!({})).await;
    for scene in [&first, &second] {
        scene.workloads(&["checkout"]).await;
        scene.approved("heal", more(), json!({})).await;
        scene.ended("heal", "Succeeded").await;
        assert_eq!(scene.replicas("checkout").await, 3);
    }
    // Asked for before the others.
    for kind in ["Playbook", "Orchestration"] {
        let object = other.object(kind, "heal").await;
        assert_eq!(object["status"], Value::Null, "{kind}");
    }
    assert_eq!(other.replicas("checkout").await, 1);

    first.all_is_written(mark).await;
    let events = cluster.audit_since(mark);
    assert!(events.iter().any(|event| event.user == OPERATOR));
    let asked: Vec<_> = events
        .iter()
        .filter(|event| outside(event, &namespaces))
        .map(|event| (&event.verb, &event.uri, event.code))
        .collect();
    assert_eq!(asked, []);
    let refused: Vec<_> = cluster
        .audit_since(admitted)
        .into_iter()
        .filter(|event| event.user == OPERATOR && event.code == 403)
        .map(|event| (event.verb, event.uri))
        .collect();
    assert_eq!(refused, []);
}
