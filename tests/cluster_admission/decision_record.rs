//! A vote is evidence: nobody edits or deletes it but the operator, the garbage collector, and the end of the namespace.

use std::time::Duration;

use kube::api::{DeleteParams, DynamicObject, ListParams, PostParams, PropagationPolicy};
use serde_json::json;

use super::{
    Accepted, Denied, Expected, Invalid, Scene, Table, api, delete, edit, merge, name, owner, soon,
};
use crate::support::{bind, create, eventually, grant, grant_everywhere, need, ours};

fn refused(operation: &str) -> Expected {
    Denied(
        "decision-record",
        format!("a Decision is evidence: {operation} is refused"),
    )
}

#[tokio::test]
async fn nobody_edits_or_deletes_a_vote() {
    let cluster = need!(Users);
    let scene = Scene::set(cluster, "evidence").await;
    let alice = scene.approver("alice", "oncall").await;
    let gate = scene.open_gate(json!({})).await;
    let vote = scene.vote(&alice, &gate, json!({})).await.expect("a vote");
    let everything = || ours("get list update patch delete deletecollection", "decisions");
    grant(&scene.ns, "alice", &[everything()]).await;
    grant(&scene.ns, "bob", &[ours("*", "*")]).await;
    bind(&scene.ns, "dave", "cluster-admin").await;
    let (gates_only, gates_only_name) = scene.account("gates-only").await;
    grant(
        &scene.ns,
        &gates_only_name,
        &[ours("operate", "gates"), everything()],
    )
    .await;
    let (poisoned, poisoned_name) = scene.account("poisoned").await;
    grant(
        &scene.ns,
        &poisoned_name,
        &[ours("operate wildcard", "decisions"), everything()],
    )
    .await;

    let mut table = Table::of("nobody edits or deletes a vote");
    for (who, caller) in [
        ("its voter", &alice),
        (
            "a team that holds neuralops.io/* *",
            &cluster.person("bob").await,
        ),
        ("cluster-admin", &cluster.person("dave").await),
        ("the admin", scene.admin()),
        ("who operates Gates only", &gates_only),
        ("who holds the canary too", &poisoned),
    ] {
        for (what, change) in [
            ("a label", json!({"metadata": {"labels": {"a": "b"}}})),
            (
                "an owner that does not exist",
                json!({"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "none", "uid": "none"}]}}),
            ),
            (
                "a finalizer",
                json!({"metadata": {"finalizers": ["example.org/hold"]}}),
            ),
        ] {
            table.check(
                &format!("{who} adds {what}"),
                &refused("UPDATE"),
                edit(caller, &vote, change).await,
            );
        }
        let mut replaced = api(scene.admin(), "Decision", scene.name())
            .get(&name(&vote))
            .await
            .expect("the vote");
        replaced.metadata.labels = Some([("a".to_owned(), "b".to_owned())].into());
        let got = api(caller, "Decision", scene.name())
            .replace(&name(&vote), &PostParams::default(), &replaced)
            .await;
        table.check(&format!("{who} replaces it"), &refused("UPDATE"), got);
        table.check(
            &format!("{who} deletes it"),
            &refused("DELETE"),
            delete(caller, &vote, &DeleteParams::default()).await,
        );
        let all = api(caller, "Decision", scene.name())
            .delete_collection(&DeleteParams::default(), &ListParams::default())
            .await;
        table.check(
            &format!("{who} deletes all"),
            &refused("DELETE"),
            all.map(|_| ()),
        );
    }

    let change = json!({"spec": {"verdict": "Reject"}});
    table.check(
        "not even the operator changes what it says",
        &Invalid("spec is immutable"),
        edit(&scene.operator, &vote, change).await,
    );
    let labelled = edit(
        &scene.operator,
        &vote,
        json!({"metadata": {"labels": {"counted": "yes"}}}),
    )
    .await;
    table.check("the operator labels it", &Accepted, labelled);
    table.check(
        "the operator deletes it",
        &Accepted,
        delete(&scene.operator, &vote, &DeleteParams::default()).await,
    );
}

/// By their names alone, since a cluster need not run them as accounts of their own.
#[tokio::test]
async fn the_controllers_of_the_cluster_are_known_by_name() {
    let cluster = need!(Users);
    let scene = Scene::set(cluster, "controllers").await;
    let alice = scene.approver("alice", "oncall").await;
    let gate = scene.open_gate(json!({})).await;
    let mut table = Table::of("the controllers of the cluster are known by name");
    for (name, known) in [
        (
            "system:serviceaccount:kube-system:generic-garbage-collector",
            true,
        ),
        (
            "system:serviceaccount:kube-system:namespace-controller",
            true,
        ),
        ("system:kube-controller-manager", true),
        (
            "system:serviceaccount:default:generic-garbage-collector",
            false,
        ),
        ("system:serviceaccount:kube-system:job-controller", false),
        ("generic-garbage-collector", false),
    ] {
        let vote = scene.vote(&alice, &gate, json!({})).await.expect("a vote");
        grant(&scene.ns, name, &[ours("patch delete", "decisions")]).await;
        let caller = cluster.user(name).await;
        let expected = |operation: &str| if known { Accepted } else { refused(operation) };
        let orphaned = edit(&caller, &vote, json!({"metadata": {"labels": {"a": "b"}}})).await;
        table.check(
            &format!("{name} edits a vote"),
            &expected("UPDATE"),
            orphaned,
        );
        let deleted = delete(&caller, &vote, &DeleteParams::default()).await;
        table.check(
            &format!("{name} deletes a vote"),
            &expected("DELETE"),
            deleted,
        );
    }
}

/// A vote that belongs to its Gate goes with it, however the Gate is deleted, and stays where its owner is orphaned.
#[tokio::test]
async fn the_garbage_collector_is_not_stopped() {
    let cluster = need!(Controllers, Users);
    let scene = Scene::set(cluster, "collector").await;
    let alice = scene.approver("alice", "oncall").await;
    let decisions = api(scene.admin(), "Decision", scene.name());
    let gone = async |what: &str, vote: &DynamicObject| {
        eventually(what, Duration::from_secs(120), async || {
            match decisions.get_opt(&name(vote)).await {
                Ok(None) => Ok(()),
                answer => Err(format!("{answer:?}")),
            }
        })
        .await;
    };
    for policy in [
        PropagationPolicy::Background,
        PropagationPolicy::Foreground,
        PropagationPolicy::Orphan,
    ] {
        let gate = scene.open_gate(json!({})).await;
        let mut reference = owner(&gate);
        merge(&mut reference, json!({"blockOwnerDeletion": true}));
        let vote = scene
            .vote(
                &alice,
                &gate,
                json!({"metadata": {"ownerReferences": [reference]}}),
            )
            .await
            .expect("a vote");
        let params = DeleteParams {
            propagation_policy: Some(policy.clone()),
            ..DeleteParams::default()
        };
        delete(&scene.operator, &gate, &params)
            .await
            .expect("deleted");
        if matches!(policy, PropagationPolicy::Orphan) {
            eventually(
                "the owner is taken off the vote",
                Duration::from_secs(120),
                async || {
                    let vote = decisions
                        .get(&name(&vote))
                        .await
                        .map_err(|error| error.to_string())?;
                    let owners = vote.metadata.owner_references.unwrap_or_default();
                    if owners.is_empty() {
                        Ok(())
                    } else {
                        Err(format!("{owners:?}"))
                    }
                },
            )
            .await;
        } else {
            gone("the vote goes with its Gate", &vote).await;
        }
    }

    // The whole chain of a run.
    let run = scene.object(
        "Orchestration",
        json!({"spec": {"incident": {"summary": "test"}, "requestedBy": scene.operator_name}}),
    );
    let run = create(&scene.operator, run).await.expect("a run");
    let mut reference = owner(&run);
    merge(
        &mut reference,
        json!({"controller": true, "blockOwnerDeletion": true}),
    );
    let gate = scene
        .open_gate(json!({"metadata": {"ownerReferences": [reference]}}))
        .await;
    let vote = scene
        .vote(
            &alice,
            &gate,
            json!({"metadata": {"ownerReferences": [owner(&gate)]}}),
        )
        .await
        .expect("a vote");
    delete(&scene.operator, &run, &DeleteParams::foreground())
        .await
        .expect("deleted");
    gone("the vote goes with its run", &vote).await;
}

#[tokio::test]
async fn a_namespace_with_votes_ends() {
    let cluster = need!(Controllers, Users);
    let scene = Scene::set(cluster, "ending").await;
    let alice = scene.approver("alice", "oncall").await;
    // The Roles of a namespace go early when it ends, so these rights come from outside of it.
    let user = format!("somebody of {}", scene.name());
    grant_everywhere(&scene.ns, &user, &[ours("patch delete", "decisions")]).await;
    grant_everywhere(
        &scene.ns,
        &scene.operator_name,
        &[ours("patch operate", "decisions")],
    )
    .await;
    let somebody = cluster.user(&user).await;
    let gate = scene.open_gate(json!({})).await;
    let vote = scene.vote(&alice, &gate, json!({})).await.expect("a vote");
    let held = scene.vote(&alice, &gate, json!({})).await.expect("a vote");
    // Only the operator can do this, and it holds up the end of the namespace; here that is wanted.
    edit(
        &scene.operator,
        &held,
        json!({"metadata": {"finalizers": ["neuralops.io/test"]}}),
    )
    .await
    .expect("held");
    let mut table = Table::of("a namespace with votes ends");
    let before = delete(&somebody, &held, &DeleteParams::default()).await;
    table.check(
        "before that, somebody with the right deletes a vote",
        &refused("DELETE"),
        before,
    );
    let namespaces = api(scene.admin(), "Namespace", "");
    namespaces
        .delete(scene.name(), &DeleteParams::default())
        .await
        .expect("asked to end");
    let by_a_person = async || delete(&somebody, &held, &DeleteParams::default()).await;
    soon(&mut table, "after that", Accepted, by_a_person).await;
    let edited = edit(
        &somebody,
        &held,
        json!({"metadata": {"labels": {"a": "b"}}}),
    )
    .await;
    table.check("it is still not edited", &refused("UPDATE"), edited);
    let decisions = api(scene.admin(), "Decision", scene.name());
    eventually(
        "the other vote is gone",
        Duration::from_secs(120),
        async || match decisions.get_opt(&name(&vote)).await {
            Ok(None) => Ok(()),
            answer => Err(format!("{answer:?}")),
        },
    )
    .await;
    edit(
        &scene.operator,
        &held,
        json!({"metadata": {"finalizers": null}}),
    )
    .await
    .expect("let go");
    eventually(
        "the namespace is gone",
        Duration::from_secs(120),
        async || match namespaces.get_opt(scene.name()).await {
            Ok(None) => Ok(()),
            answer => Err(format!("{answer:?}")),
        },
    )
    .await;
}
