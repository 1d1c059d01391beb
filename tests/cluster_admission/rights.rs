//! The rights of config/rbac as the API server understands them: what each shipped role may do, and that none of them
//! holds a verb that must be granted by name.

use serde_json::json;

use super::{Accepted, Scene, Table, shipped};
use crate::support::{allowed, apply, bind, core, need, ours};

/// Verb, resource, and which of viewer, engineer, approver, auditor, admin may do it in a namespace.
const RIGHTS: [(&str, &str, [bool; 5]); 20] = [
    ("get", "orchestrations", [true, true, true, true, true]),
    ("watch", "playbooks", [true, true, true, true, true]),
    ("list", "gates", [true, true, true, true, true]),
    ("get", "decisions", [true, true, true, true, true]),
    ("get", "trustpolicies", [true, true, true, true, true]),
    ("get", "freezes", [true, true, true, true, true]),
    ("get", "auditlogs", [false, false, false, true, false]),
    (
        "create",
        "orchestrations",
        [false, true, false, false, false],
    ),
    ("patch", "orchestrations", [false, true, true, false, false]),
    (
        "delete",
        "orchestrations",
        [false, false, false, false, false],
    ),
    ("create", "decisions", [false, false, true, false, false]),
    ("patch", "decisions", [false, false, false, false, false]),
    ("delete", "decisions", [false, false, false, false, false]),
    ("create", "gates", [false, false, false, false, false]),
    ("create", "playbooks", [false, false, false, false, true]),
    ("patch", "trustpolicies", [false, false, false, false, true]),
    ("create", "freezes", [false, false, false, false, true]),
    ("patch", "gates/status", [false, false, false, false, false]),
    (
        "patch",
        "playbooks/status",
        [false, false, false, false, false],
    ),
    ("create", "auditlogs", [false, false, false, false, false]),
];

#[tokio::test]
async fn each_role_may_do_its_work_and_no_more() {
    let cluster = need!();
    let scene = Scene::set(cluster, "roles").await;
    let mut table = Table::of("each role may do its work and no more");
    for (column, role) in ["viewer", "engineer", "approver", "auditor", "admin"]
        .into_iter()
        .enumerate()
    {
        let user = format!("{role} of {}", scene.name());
        bind(&scene.ns, &user, &format!("neuralops-{role}")).await;
        let may = async |rule| allowed(scene.admin(), Some(scene.name()), &user, &rule).await;
        for (verb, resource, expected) in RIGHTS {
            let expected = expected.get(column) == Some(&true);
            table.check_that(
                &format!("{role}: {verb} {resource}: {expected}"),
                may(ours(verb, resource)).await == expected,
            );
        }
        for (verbs, resource) in [
            ("attest", "decisions"),
            ("attest", "orchestrations"),
            ("operate", "gates"),
            ("operate", "decisions"),
            ("auto", "playbooks"),
            ("wildcard", "decisions"),
            ("wildcard", "orchestrations"),
            ("wildcard", "gates"),
            ("wildcard", "playbooks"),
            ("approve", "approverroles"),
            ("reject", "approverroles"),
            ("wildcard", "approverroles"),
        ] {
            table.check_that(
                &format!("{role} has not {verbs} on {resource}"),
                !may(ours(verbs, resource)).await,
            );
        }
        table.check_that(
            &format!("{role}: get configmaps"),
            may(core("get", "configmaps")).await == [1, 2].contains(&column),
        );
        table.check_that(
            &format!("{role} lists no configmaps"),
            !may(core("list", "configmaps")).await,
        );
        table.check_that(
            &format!("{role} uses no account"),
            !may(core("use", "serviceaccounts")).await,
        );
        table.check_that(
            &format!("{role} impersonates nobody"),
            !may(core("impersonate", "users")).await,
        );
    }
}

#[tokio::test]
async fn the_operator_operates_by_name_and_reaches_nothing_else() {
    let cluster = need!();
    let admin = cluster.admin().await;
    let user = "system:serviceaccount:neuralops-system:neuralops-controller";
    let mut table = Table::of("the operator operates by name and reaches nothing else");
    for (rule, expected) in [
        (ours("operate", "gates"), true),
        (ours("operate", "decisions"), true),
        (ours("patch", "playbooks/status"), true),
        (ours("wildcard", "gates"), false),
        (ours("wildcard", "decisions"), false),
        (ours("attest", "decisions"), false),
        (ours("attest", "orchestrations"), false),
        (ours("approve", "approverroles"), false),
        (ours("patch", "playbooks"), false),
        (ours("create", "decisions"), false),
        (core("get", "secrets"), false),
        (core("create", "pods"), false),
        (core("impersonate", "serviceaccounts"), false),
        (core("impersonate", "users"), false),
        (core("use", "serviceaccounts"), false),
    ] {
        for namespace in [None, Some("default")] {
            table.check_that(
                &format!("{rule:?} in {namespace:?}: {expected}"),
                allowed(&admin, namespace, user, &rule).await == expected,
            );
        }
    }
    let anything = core("get", "secrets");
    let own = allowed(&admin, Some("neuralops-system"), user, &anything).await;
    table.check_that("no Secrets in its own namespace either", !own);
}

/// Nobody is bound to the roles for people, and no binding names a broad group.
#[test]
fn the_roles_for_people_are_bound_to_nobody() {
    let bound: Vec<_> = shipped("config/rbac")
        .into_iter()
        .filter(|object| {
            object["kind"]
                .as_str()
                .is_some_and(|kind| kind.ends_with("Binding"))
        })
        .flat_map(|binding| binding["subjects"].as_array().cloned().unwrap_or_default())
        .collect();
    assert!(!bound.is_empty(), "the operator is bound");
    for subject in bound {
        assert_eq!(
            (&subject["kind"], &subject["name"]),
            (&json!("ServiceAccount"), &json!("neuralops-controller"))
        );
    }
}

/// Server-side apply with strict field validation, since a misspelt field of a Role would only be dropped otherwise.
#[tokio::test]
async fn the_sample_grants_are_in_force() {
    let cluster = need!();
    let scene = Scene::set(cluster, "sample-grants").await;
    let mut table = Table::of("the sample grants are in force");
    for mut object in shipped("config/samples")
        .into_iter()
        .filter(|object| object["apiVersion"] == "rbac.authorization.k8s.io/v1")
    {
        object["metadata"]["namespace"] = json!(scene.name());
        let text = object.to_string();
        table.check(&text, &Accepted, apply(scene.admin(), &text).await);
    }
    let may = async |user: &str, rule| {
        super::eventually(
            "the sample grants are in force",
            std::time::Duration::from_secs(20),
            async || {
                if allowed(scene.admin(), Some(scene.name()), user, &rule).await {
                    Ok(true)
                } else {
                    Err("not yet".to_owned())
                }
            },
        )
        .await
    };
    table.check_that(
        "bob holds the role oncall",
        may("bob", ours("approve", "approverroles").named("oncall")).await,
    );
    table.check_that(
        "carol may use the account",
        may(
            "carol",
            core("use", "serviceaccounts").named("runbook-shop"),
        )
        .await,
    );
    let other = allowed(
        scene.admin(),
        Some(scene.name()),
        "bob",
        &ours("approve", "approverroles").named("owner"),
    )
    .await;
    table.check_that("bob holds no other role", !other);
}
