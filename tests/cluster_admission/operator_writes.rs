//! What only the operator writes: every status, and the anchor of the audit log. Rights by wildcard do not help.

use std::time::Duration;

use kube::Client;
use kube::api::{DeleteParams, DynamicObject, PostParams};
use serde_json::{Value, json};

use super::{
    Accepted, Denied, Expected, Invalid, Scene, Table, delete, edit, edit_status, merge, of,
    shipped, uid,
};
use crate::support::{
    OwnCluster, api, bind_everywhere, create, eventually, grant, grant_everywhere, need, ours,
    random,
};

const SOON: Duration = Duration::from_secs(30);

fn refused() -> Expected {
    Denied(
        "operator-writes",
        "only the operator writes this".to_owned(),
    )
}

/// One object of each kind that has a status; the TrustPolicy lies outside of the namespace.
async fn objects(scene: &Scene) -> [DynamicObject; 4] {
    let run = scene.object(
        "Orchestration",
        json!({"spec": {"incident": {"summary": "test"}, "requestedBy": scene.operator_name}}),
    );
    let playbook = scene.object(
        "Playbook",
        json!({"spec": {
            "revision": 1,
            "serviceAccountName": "runbook",
            "approval": [{"rules": [{"role": "oncall", "min": 1}]}],
            "steps": [{"name": "tell", "notify": {"message": "hello"}}],
        }}),
    );
    let trust_name = random("t-trust");
    scene.ns.also_delete("TrustPolicy", &trust_name);
    let mut trust = shipped("config/samples")
        .into_iter()
        .find(|object| object["kind"] == "TrustPolicy")
        .expect("a sample");
    merge(&mut trust, json!({"metadata": {"name": trust_name}}));
    [
        scene.open_gate(json!({})).await,
        create(&scene.operator, run).await.expect("a run"),
        create(scene.admin(), playbook).await.expect("a playbook"),
        create(scene.admin(), trust).await.expect("a trust policy"),
    ]
}

const STATUSES: &str = "gates/status orchestrations/status playbooks/status trustpolicies/status";

#[tokio::test]
async fn only_the_operator_writes_a_status() {
    let cluster = need!(Users);
    let scene = Scene::set(cluster, "status").await;
    let objects = objects(&scene).await;
    let status = || json!({"status": {"observedGeneration": 7}});
    let writes = || ours("get patch update", STATUSES);
    let named = |who: &str| format!("{who} of {}", scene.name());
    let mut table = Table::of("only the operator writes a status");

    bind_everywhere(&scene.ns, &named("boss"), "cluster-admin").await;
    grant_everywhere(&scene.ns, &named("team"), &[ours("*", "*")]).await;
    grant_everywhere(&scene.ns, &named("writer"), &[writes()]).await;
    grant_everywhere(
        &scene.ns,
        &named("poisoned"),
        &[writes(), ours("operate wildcard", "gates decisions")],
    )
    .await;
    grant_everywhere(
        &scene.ns,
        &named("other"),
        &[writes(), ours("operate", "decisions")],
    )
    .await;
    let mut refusals: Vec<(String, Client)> = Vec::new();
    for who in ["boss", "team", "writer", "poisoned", "other"] {
        refusals.push((who.to_owned(), cluster.user(&named(who)).await));
    }
    refusals.push(("the admin".to_owned(), scene.admin().clone()));
    for (who, caller) in &refusals {
        for object in &objects {
            let kind = &object.types.as_ref().expect("a kind").kind;
            table.check(
                &format!("{who} patches {kind}"),
                &refused(),
                edit_status(caller, object, status()).await,
            );
            let replaced = eventually("it is not written by two at once", SOON, async || {
                let current = of(scene.admin(), object).get(&super::name(object)).await;
                let current = current.expect("the object");
                let replaced = of(caller, object)
                    .replace_status(&super::name(object), &PostParams::default(), &current)
                    .await;
                match replaced {
                    // The operator wrote between the two requests.
                    Err(kube::Error::Api(answer)) if answer.code == 409 => Err(answer.message),
                    answered => Ok(answered),
                }
            })
            .await;
            table.check(&format!("{who} replaces {kind}"), &refused(), replaced);
        }
    }

    // By name here, in this namespace: enough for what lies in it, not for what lies in none.
    grant_everywhere(&scene.ns, &named("local"), &[writes()]).await;
    grant(&scene.ns, &named("local"), &[ours("operate", "gates")]).await;
    let local = cluster.user(&named("local")).await;
    grant_everywhere(
        &scene.ns,
        &named("everywhere"),
        &[writes(), ours("operate", "gates")],
    )
    .await;
    let everywhere = cluster.user(&named("everywhere")).await;
    for object in &objects {
        let kind = &object.types.as_ref().expect("a kind").kind;
        let expected = if object.metadata.namespace.is_some() {
            Accepted
        } else {
            refused()
        };
        table.check(
            &format!("an operator of this namespace: {kind}"),
            &expected,
            edit_status(&local, object, status()).await,
        );
        let got = edit_status(&everywhere, object, status()).await;
        table.check(
            &format!("an operator of the cluster: {kind}"),
            &Accepted,
            got,
        );
    }
    let [_, _, playbook, _] = &objects;
    let shipped = edit_status(&cluster.operator().await, playbook, status()).await;
    table.check(
        "the operator as it is shipped: Playbook",
        &Accepted,
        shipped,
    );
}

fn root(letter: char) -> String {
    format!("{}=", letter.to_string().repeat(43))
}

/// The whole life of the one AuditLog that a cluster has, in a cluster without an operator that has one already. Its
/// rules bind the operator too.
#[tokio::test]
async fn the_anchor_is_written_by_the_operator_and_only_grows() {
    need!(Owned);
    let own = OwnCluster::start().await;
    let cluster = own.cluster();
    let scene = Scene::set(cluster, "anchor").await;
    let rights = || ours("get create patch update delete", "auditlogs");
    let (boss_name, keeper_name) = (
        format!("boss of {}", scene.name()),
        format!("keeper of {}", scene.name()),
    );
    bind_everywhere(&scene.ns, &boss_name, "cluster-admin").await;
    grant_everywhere(
        &scene.ns,
        &keeper_name,
        &[rights(), ours("operate", "gates")],
    )
    .await;
    let boss = cluster.user(&boss_name).await;
    let keeper = cluster.user(&keeper_name).await;
    let mut table = Table::of("the anchor is written by the operator and only grows");

    let sample = shipped("config/samples")
        .into_iter()
        .find(|object| object["kind"] == "AuditLog")
        .expect("a sample");
    let with = |change: Value| {
        let mut log = sample.clone();
        merge(&mut log, change);
        log
    };
    for (who, caller) in [("cluster-admin", &boss), ("the admin", scene.admin())] {
        table.check(
            &format!("{who} makes it"),
            &refused(),
            create(caller, with(json!({}))).await,
        );
    }
    let named = with(json!({"metadata": {"name": "other"}}));
    table.check(
        "under another name",
        &Invalid("its name is main"),
        create(&keeper, named).await,
    );
    table.check(
        "the operator makes it",
        &Accepted,
        create(&keeper, with(json!({}))).await,
    );
    // Whoever made it: nothing below ends the test before it is gone again, and an admin alone could not remove it.
    let log = api(&keeper, "AuditLog", "")
        .get("main")
        .await
        .expect("the AuditLog");
    for (who, caller) in [("cluster-admin", &boss), ("the admin", scene.admin())] {
        for (what, change) in [
            ("lets it grow", json!({"spec": {"size": 5000}})),
            ("labels it", json!({"metadata": {"labels": {"a": "b"}}})),
            (
                "lets it go",
                json!({"metadata": {"annotations": {"neuralops.io/allow-deletion": uid(&log)}}}),
            ),
        ] {
            table.check(
                &format!("{who} {what}"),
                &refused(),
                edit(caller, &log, change).await,
            );
        }
    }

    // In this order: each case finds what the ones before it left. `old` is the end of the first log.
    let origin = sample["spec"]["origin"].clone();
    let old = json!({"origin": origin, "size": 9, "root": root('B')});
    let forged = json!({"origin": origin, "size": 1, "root": root('B')});
    let cases = [
        ("it grows", json!({"size": 9, "root": root('B')}), Accepted),
        (
            "it stays",
            json!({"checkpoint": "the same, signed again"}),
            Accepted,
        ),
        (
            "it shrinks",
            json!({"size": 8}),
            Invalid("a log never shrinks"),
        ),
        (
            "one size, two roots",
            json!({"root": root('C')}),
            Invalid("one size has one root"),
        ),
        (
            "a past is added",
            json!({"previous": [old.clone()]}),
            Invalid("previous grows only with a new origin"),
        ),
        (
            "a new origin without its past",
            json!({"origin": "new", "size": 1}),
            Invalid("a new origin appends"),
        ),
        (
            "a new origin with another past",
            json!({"origin": "new", "size": 1, "previous": [forged]}),
            Invalid("a new origin appends"),
        ),
        (
            "a new origin",
            json!({"origin": "new", "size": 1, "root": root('D'), "previous": [old]}),
            Accepted,
        ),
        (
            "the past is forgotten",
            json!({"previous": []}),
            Invalid("previous grows only with a new origin"),
        ),
        ("no size", json!({"size": null}), Invalid("spec.size")),
    ];
    for (case, change, expected) in cases {
        table.check(
            case,
            &expected,
            edit(&keeper, &log, json!({"spec": change})).await,
        );
    }

    // Two parties let it go: the operator says so, an admin deletes.
    let keep = || {
        Denied(
            "keep",
            "set the annotation neuralops.io/allow-deletion to the object's uid first".to_owned(),
        )
    };
    for (who, caller) in [
        ("the operator", &keeper),
        ("cluster-admin", &boss),
        ("the admin", scene.admin()),
    ] {
        table.check(
            &format!("{who} deletes it"),
            &keep(),
            delete(caller, &log, &DeleteParams::default()).await,
        );
    }
    let permission =
        json!({"metadata": {"annotations": {"neuralops.io/allow-deletion": uid(&log)}}});
    table.check(
        "the operator lets it go",
        &Accepted,
        edit(&keeper, &log, permission).await,
    );
    table.check(
        "then an admin deletes it",
        &Accepted,
        delete(&boss, &log, &DeleteParams::default()).await,
    );
}
