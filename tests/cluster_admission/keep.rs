//! What is not deleted in passing: the kinds, a Freeze, the anchor (its case is with those of operator_writes).
//! The kinds themselves are only ever deleted as a dry run here.

use kube::api::{DeleteParams, ListParams};
use serde_json::{Value, json};

use super::{Accepted, Denied, Expected, Scene, Table, api, delete, edit, shipped, uid};
use crate::support::{bind_everywhere, create, grant_everywhere, need, ours, random};

fn refused() -> Expected {
    Denied(
        "keep",
        "set the annotation neuralops.io/allow-deletion to the object's uid first".to_owned(),
    )
}

fn permission(uid: &str) -> Value {
    json!({"metadata": {"annotations": {"neuralops.io/allow-deletion": uid}}})
}

fn dry() -> DeleteParams {
    DeleteParams {
        dry_run: true,
        ..DeleteParams::default()
    }
}

/// A kind that is not served, so that nobody notices it.
fn kind(scene: &Scene, group: &str) -> Value {
    let plural = random("t").replace('-', "");
    let name = format!("{plural}.{group}");
    scene.ns.also_delete("CustomResourceDefinition", &name);
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": name, "labels": {"neuralops.io/test": scene.name()}},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": plural.to_uppercase(), "plural": plural},
            "versions": [{"name": "v1", "served": false, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}}],
        },
    })
}

#[tokio::test]
async fn the_kinds_are_kept() {
    let cluster = need!(Users);
    let scene = Scene::set(cluster, "kinds").await;
    let boss_name = format!("boss of {}", scene.name());
    bind_everywhere(&scene.ns, &boss_name, "cluster-admin").await;
    let boss = cluster.user(&boss_name).await;
    let kinds = api(&boss, "CustomResourceDefinition", "");
    let mut table = Table::of("the kinds are kept");
    let ours = [
        "auditlogs",
        "decisions",
        "freezes",
        "gates",
        "orchestrations",
        "playbooks",
        "trustpolicies",
    ];
    for plural in ours {
        let name = format!("{plural}.neuralops.io");
        table.check(
            &format!("cluster-admin deletes {name}"),
            &refused(),
            kinds.delete(&name, &dry()).await.map(|_| ()),
        );
        let admins = api(scene.admin(), "CustomResourceDefinition", "");
        table.check(
            &format!("the admin deletes {name}"),
            &refused(),
            admins.delete(&name, &dry()).await.map(|_| ()),
        );
    }

    let later = create(&boss, kind(&scene, "test.neuralops.io"))
        .await
        .expect("a kind");
    let foreign = create(&boss, kind(&scene, "test.example"))
        .await
        .expect("a kind");
    let alike = create(&boss, kind(&scene, "testneuralops.io"))
        .await
        .expect("a kind");
    let these = ListParams::default().labels(&format!("neuralops.io/test={}", scene.name()));
    let all = kinds.delete_collection(&dry(), &these).await;
    table.check(
        "one of ours among others, all at once",
        &refused(),
        all.map(|_| ()),
    );
    table.check(
        "one of ours",
        &refused(),
        delete(&boss, &later, &dry()).await,
    );
    let upgrade = json!({"metadata": {"labels": {"version": "2"}}});
    table.check("its upgrade", &Accepted, edit(&boss, &later, upgrade).await);
    table.check(
        "an annotation with another uid",
        &Accepted,
        edit(&boss, &later, permission(&uid(&foreign))).await,
    );
    table.check(
        "does not let it go",
        &refused(),
        delete(&boss, &later, &dry()).await,
    );
    table.check(
        "an annotation with its uid",
        &Accepted,
        edit(&boss, &later, permission(&uid(&later))).await,
    );
    table.check("lets it go", &Accepted, delete(&boss, &later, &dry()).await);
    table.check(
        "a kind of somebody else",
        &Accepted,
        delete(&boss, &foreign, &dry()).await,
    );
    table.check(
        "a kind whose group only ends alike",
        &Accepted,
        delete(&boss, &alike, &dry()).await,
    );
}

#[tokio::test]
async fn a_freeze_is_kept() {
    let cluster = need!(Users);
    let scene = Scene::set(cluster, "keep-freeze").await;
    let user = format!("guard of {}", scene.name());
    grant_everywhere(
        &scene.ns,
        &user,
        &[ours("create patch delete deletecollection", "freezes")],
    )
    .await;
    let guard = cluster.user(&user).await;
    let mut made = Vec::new();
    for _ in 0..2 {
        let name = random("t-freeze");
        scene.ns.also_delete("Freeze", &name);
        let freeze = json!({
            "apiVersion": "neuralops.io/v1alpha1",
            "kind": "Freeze",
            "metadata": {"name": name, "labels": {"neuralops.io/test": scene.name()}},
            "spec": {"namespaces": [scene.name()], "reason": "a test", "frozenBy": user},
        });
        made.push(create(&guard, freeze).await.expect("a freeze"));
    }
    let [freeze, other] = &made[..] else {
        panic!("two")
    };
    let none = DeleteParams::default();
    let these = ListParams::default().labels(&format!("neuralops.io/test={}", scene.name()));
    let mut table = Table::of("a Freeze is kept");
    table.check(
        "whoever made it deletes it",
        &refused(),
        delete(&guard, freeze, &none).await,
    );
    table.check(
        "the admin deletes it",
        &refused(),
        delete(scene.admin(), freeze, &none).await,
    );
    let all = api(&guard, "Freeze", "")
        .delete_collection(&none, &these)
        .await;
    table.check("all at once", &refused(), all.map(|_| ()));
    table.check(
        "an annotation with another uid",
        &Accepted,
        edit(&guard, freeze, permission(&uid(other))).await,
    );
    table.check(
        "does not let it go",
        &refused(),
        delete(&guard, freeze, &none).await,
    );
    table.check(
        "lifted",
        &Accepted,
        edit(&guard, freeze, json!({"spec": {"liftedBy": user}})).await,
    );
    table.check(
        "does not let it go either",
        &refused(),
        delete(&guard, freeze, &none).await,
    );
    table.check(
        "an annotation with its uid",
        &Accepted,
        edit(&guard, freeze, permission(&uid(freeze))).await,
    );
    table.check("lets it go", &Accepted, delete(&guard, freeze, &none).await);
}

/// The kinds that are kept are the kinds that there are.
#[test]
fn the_operators_guard_may_read_every_kind_and_policy() {
    let roles = shipped("config/rbac");
    let role = roles.iter().find(|object| {
        object["kind"] == "ClusterRole" && object["metadata"]["name"] == "neuralops-controller"
    });
    let rules = role.expect("the operator's role")["rules"]
        .as_array()
        .expect("rules")
        .clone();
    let readable = |resource: &str| {
        let of = rules.iter().find(|rule| {
            rule["resources"]
                .as_array()
                .is_some_and(|all| all.contains(&json!(resource)))
        });
        let mut names: Vec<String> =
            serde_json::from_value(of.expect("a rule")["resourceNames"].clone()).expect("names");
        names.sort();
        names
    };
    let named = |kind: &str| {
        let all = shipped("config/admission")
            .into_iter()
            .chain(shipped("crds"))
            // What only refuses early is no part of the guard.
            .filter(|object| {
                let name = object["metadata"]["name"].as_str().expect("a name");
                !["decision-gate", "orchestration-secrets", "playbook-secrets"]
                    .iter()
                    .any(|early| name == format!("{early}.neuralops.io"))
            })
            .filter(|object| object["kind"] == kind);
        let mut names: Vec<String> = all
            .map(|object| {
                object["metadata"]["name"]
                    .as_str()
                    .expect("a name")
                    .to_owned()
            })
            .collect();
        names.sort();
        names
    };
    assert_eq!(
        readable("validatingadmissionpolicies"),
        named("ValidatingAdmissionPolicy")
    );
    assert_eq!(
        readable("validatingadmissionpolicybindings"),
        named("ValidatingAdmissionPolicyBinding")
    );
    assert_eq!(
        readable("customresourcedefinitions"),
        named("CustomResourceDefinition")
    );
}
