//! A playbook acts as its ServiceAccount, so writing its steps needs the verb `use` on that account.

use kube::api::PostParams;
use serde_json::{Value, json};

use super::{Accepted, Denied, Expected, Scene, Table, api, edit, merge, name};
use crate::support::{bind, core, create, grant, need, ours};

fn needs(account: &str) -> Expected {
    Denied(
        "playbook-account",
        format!("needs the verb use on serviceaccounts/{account}"),
    )
}

fn playbook(scene: &Scene, change: Value) -> Value {
    let mut playbook = scene.object(
        "Playbook",
        json!({"spec": {
            "revision": 1,
            "serviceAccountName": "runbook",
            "approval": [{"rules": [{"role": "oncall", "min": 1}]}],
            "steps": [{"name": "tell", "notify": {"message": "hello"}}],
        }}),
    );
    merge(&mut playbook, change);
    playbook
}

#[tokio::test]
async fn an_author_may_use_the_account() {
    let cluster = need!(Users);
    let scene = Scene::set(cluster, "author").await;
    let elsewhere = Scene::set(cluster, "author-too").await;
    let using = |names: &str| core("use", "serviceaccounts").named(names);
    let mut table = Table::of("an author may use the account");
    for (case, rules, expected) in [
        ("not at all", vec![], needs("runbook")),
        ("by name", vec![using("runbook")], Accepted),
        ("another one", vec![using("default")], needs("runbook")),
        (
            "any of them",
            vec![core("use", "serviceaccounts")],
            Accepted,
        ),
        (
            "any verb on it",
            vec![core("*", "serviceaccounts")],
            Accepted,
        ),
        (
            "read it only",
            vec![core("get list", "serviceaccounts")],
            needs("runbook"),
        ),
    ] {
        let mut rules = rules;
        rules.push(ours("create", "playbooks"));
        grant(&scene.ns, case, &rules).await;
        let author = cluster.user(case).await;
        table.check(
            case,
            &expected,
            create(&author, playbook(&scene, json!({}))).await,
        );
    }
    grant(&scene.ns, "mallory", &[ours("create", "playbooks")]).await;
    grant(&elsewhere.ns, "mallory", &[using("runbook")]).await;
    let mallory = cluster.person("mallory").await;
    table.check(
        "one of that name elsewhere",
        &needs("runbook"),
        create(&mallory, playbook(&scene, json!({}))).await,
    );
    // GitOps controllers and admins: there the review of the repository is the control.
    bind(&scene.ns, "dave", "cluster-admin").await;
    let dave = cluster.person("dave").await;
    table.check(
        "cluster-admin",
        &Accepted,
        create(&dave, playbook(&scene, json!({}))).await,
    );
}

#[tokio::test]
async fn every_change_of_the_steps_is_asked_about() {
    let cluster = need!(Users);
    let scene = Scene::set(cluster, "steps").await;
    grant(
        &scene.ns,
        "alice",
        &[
            ours("get create update patch", "playbooks"),
            core("use", "serviceaccounts").named("runbook"),
        ],
    )
    .await;
    grant(
        &scene.ns,
        "bob",
        &[
            ours("get update patch", "playbooks"),
            core("use", "serviceaccounts").named("default"),
        ],
    )
    .await;
    let (alice, bob) = (cluster.person("alice").await, cluster.person("bob").await);
    let stored = create(&alice, playbook(&scene, json!({})))
        .await
        .expect("a playbook");
    let steps = json!({"spec": {"revision": 2, "steps": [{"name": "tell", "notify": {"message": "something else"}}]}});
    // In this order: each case finds what the ones before it left.
    let cases = [
        (
            "bob labels it",
            &bob,
            json!({"metadata": {"labels": {"a": "b"}}}),
            Accepted,
        ),
        (
            "bob adds a signature",
            &bob,
            json!({"metadata": {"annotations": {"neuralops.io/cosign-bundle": "{}"}}}),
            Accepted,
        ),
        (
            "bob suspends it",
            &bob,
            json!({"metadata": {"annotations": {"neuralops.io/suspend": "true"}}}),
            Accepted,
        ),
        (
            "bob writes other steps",
            &bob,
            steps.clone(),
            needs("runbook"),
        ),
        (
            "bob writes a description",
            &bob,
            json!({"spec": {"description": "his"}}),
            needs("runbook"),
        ),
        (
            "bob turns it to his account",
            &bob,
            json!({"spec": {"serviceAccountName": "default"}}),
            Accepted,
        ),
        (
            "alice writes other steps for his",
            &alice,
            steps.clone(),
            needs("default"),
        ),
        (
            "alice turns it back to hers",
            &alice,
            json!({"spec": {"serviceAccountName": "runbook"}}),
            Accepted,
        ),
        ("alice writes other steps", &alice, steps, Accepted),
        (
            "alice turns it to what she may not use",
            &alice,
            json!({"spec": {"serviceAccountName": "default"}}),
            needs("default"),
        ),
    ];
    let mut table = Table::of("every change of the steps is asked about");
    for (case, caller, change, expected) in cases {
        table.check(case, &expected, edit(caller, &stored, change).await);
    }
    let playbooks = api(&bob, "Playbook", scene.name());
    // An operator beside the test writes the status meanwhile, and a replacement is bound to what was read.
    let replaced = loop {
        let mut same = playbooks.get(&name(&stored)).await.expect("the playbook");
        same.metadata.labels = None;
        match playbooks
            .replace(&name(&stored), &PostParams::default(), &same)
            .await
        {
            Err(kube::Error::Api(answer)) if answer.is_conflict() => {}
            answer => break answer,
        }
    };
    table.check("bob replaces it with the same spec", &Accepted, replaced);
}
