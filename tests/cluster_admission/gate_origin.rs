//! A Gate made by hand names its maker, does not pretend to belong to a run, and is not taken out of the checks.

use serde_json::{Value, json};

use super::{Accepted, Denied, Expected, Scene, Table, edit, merge, owner};
use crate::support::{bind, create, grant, need, ours};

fn refused(message: &str) -> Expected {
    Denied("gate-origin", message.to_owned())
}

const RUN: &str = "only the operator makes a Gate belong to a run";
const SETTLED: &str = "only the operator labels a Gate as settled";

#[tokio::test]
async fn a_gate_made_by_hand_names_its_maker() {
    let cluster = need!(Users);
    let scene = Scene::set(cluster, "maker").await;
    grant(&scene.ns, "alice", &[ours("create", "gates")]).await;
    grant(&scene.ns, "bob", &[ours("*", "*")]).await;
    bind(&scene.ns, "dave", "cluster-admin").await;
    let (poisoned, poisoned_name) = scene.account("poisoned").await;
    grant(
        &scene.ns,
        &poisoned_name,
        &[ours("create operate wildcard", "gates")],
    )
    .await;
    let (votes_only, votes_only_name) = scene.account("votes-only").await;
    grant(
        &scene.ns,
        &votes_only_name,
        &[ours("create", "gates"), ours("operate", "decisions")],
    )
    .await;
    let (alice, bob, dave) = (
        cluster.person("alice").await,
        cluster.person("bob").await,
        cluster.person("dave").await,
    );
    let own = |user: &str| {
        refused(&format!(
            "spec.requestedBy must contain your own name, {user}"
        ))
    };
    let cases = [
        ("alice for herself", &alice, json!(["alice"]), Accepted),
        (
            "alice for herself and others",
            &alice,
            json!(["bob", "carol", "alice"]),
            Accepted,
        ),
        (
            "alice for somebody else",
            &alice,
            json!(["bob"]),
            own("alice"),
        ),
        (
            "alice in other letters",
            &alice,
            json!(["Alice"]),
            own("alice"),
        ),
        (
            "a team that holds neuralops.io/* *",
            &bob,
            json!(["alice"]),
            own("bob"),
        ),
        ("cluster-admin", &dave, json!(["alice"]), own("dave")),
        (
            "who holds the canary too",
            &poisoned,
            json!(["alice"]),
            own(&poisoned_name),
        ),
        (
            "who operates Decisions only",
            &votes_only,
            json!(["alice"]),
            own(&votes_only_name),
        ),
        ("the operator", &scene.operator, json!(["alice"]), Accepted),
    ];
    let mut table = Table::of("a Gate made by hand names its maker");
    for (case, caller, requesters, expected) in cases {
        let gate = scene.gate(json!({"spec": {"requestedBy": requesters}}));
        table.check(case, &expected, create(caller, gate).await);
    }
}

#[tokio::test]
async fn a_gate_made_by_hand_belongs_to_no_run() {
    let cluster = need!(Users);
    let scene = Scene::set(cluster, "owner").await;
    let rules = || [ours("get create update patch", "gates")];
    grant(&scene.ns, "alice", &rules()).await;
    bind(&scene.ns, "dave", "cluster-admin").await;
    let (alice, dave) = (cluster.person("alice").await, cluster.person("dave").await);
    let run = scene.object(
        "Orchestration",
        json!({"spec": {"incident": {"summary": "test"}, "requestedBy": scene.operator_name}}),
    );
    let run = create(&scene.operator, run).await.expect("a run");
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": scene.name(), "name": "plan"}});
    let map = create(scene.admin(), map).await.expect("a map");
    let owners = |owners: &[Value]| json!({"metadata": {"ownerReferences": owners}});
    let other_version = {
        let mut reference = owner(&run);
        merge(&mut reference, json!({"apiVersion": "neuralops.io/v9"}));
        reference
    };
    let mut table = Table::of("a Gate made by hand belongs to no run");
    let cases = [
        ("alice: none", &alice, owners(&[]), Accepted),
        (
            "alice: a ConfigMap",
            &alice,
            owners(&[owner(&map)]),
            Accepted,
        ),
        ("alice: a run", &alice, owners(&[owner(&run)]), refused(RUN)),
        (
            "alice: a run of another version",
            &alice,
            owners(&[other_version]),
            refused(RUN),
        ),
        (
            "alice: a ConfigMap and a run",
            &alice,
            owners(&[owner(&map), owner(&run)]),
            refused(RUN),
        ),
        (
            "cluster-admin: a run",
            &dave,
            owners(&[owner(&run)]),
            refused(RUN),
        ),
        (
            "the operator: a run",
            &scene.operator,
            owners(&[owner(&run)]),
            Accepted,
        ),
    ];
    for (case, caller, change, expected) in cases {
        let mut gate = scene.gate(json!({"spec": {"requestedBy": ["alice", "dave"]}}));
        merge(&mut gate, change);
        table.check(case, &expected, create(caller, gate).await);
    }

    let (by_hand, of_a_run) = (
        scene.open_gate(json!({})).await,
        scene.open_gate(owners(&[owner(&run)])).await,
    );
    let label = json!({"metadata": {"labels": {"a": "b"}}});
    let cases = [
        ("alice labels it", &alice, &by_hand, label.clone(), Accepted),
        (
            "alice gives it to a ConfigMap",
            &alice,
            &by_hand,
            owners(&[owner(&map)]),
            Accepted,
        ),
        (
            "alice gives it to a run",
            &alice,
            &by_hand,
            owners(&[owner(&run)]),
            refused(RUN),
        ),
        (
            "cluster-admin gives it to a run",
            &dave,
            &by_hand,
            owners(&[owner(&run)]),
            refused(RUN),
        ),
        (
            "alice labels one of a run",
            &alice,
            &of_a_run,
            label,
            Accepted,
        ),
        (
            "alice adds to the owners of one of a run",
            &alice,
            &of_a_run,
            owners(&[owner(&run), owner(&map)]),
            refused(RUN),
        ),
        (
            "the operator gives it to a run",
            &scene.operator,
            &by_hand,
            owners(&[owner(&run)]),
            Accepted,
        ),
    ];
    for (case, caller, gate, change, expected) in cases {
        table.check(case, &expected, edit(caller, gate, change).await);
    }

    // The garbage collector lets an owner go without waiting for the Gate: the same owners, written differently.
    for (name, known) in [
        ("alice", false),
        (
            "system:serviceaccount:kube-system:generic-garbage-collector",
            true,
        ),
        ("system:kube-controller-manager", true),
        (
            "system:serviceaccount:default:generic-garbage-collector",
            false,
        ),
    ] {
        let mut reference = owner(&run);
        merge(&mut reference, json!({"blockOwnerDeletion": true}));
        let blocking = scene.open_gate(owners(&[reference])).await;
        grant(&scene.ns, name, &[ours("patch", "gates")]).await;
        let expected = if known { Accepted } else { refused(RUN) };
        let unblocked = edit(&cluster.user(name).await, &blocking, owners(&[owner(&run)])).await;
        table.check(&format!("{name} unblocks its owner"), &expected, unblocked);
    }
}

#[tokio::test]
async fn only_the_operator_labels_a_gate_as_settled() {
    let cluster = need!(Users);
    let scene = Scene::set(cluster, "settled").await;
    grant(&scene.ns, "alice", &[ours("create patch", "gates")]).await;
    bind(&scene.ns, "dave", "cluster-admin").await;
    let (alice, dave) = (cluster.person("alice").await, cluster.person("dave").await);
    let label = |value: Value| json!({"metadata": {"labels": {"neuralops.io/settled": value}}});
    let mut table = Table::of("only the operator labels a Gate as settled");
    for (case, caller, expected) in [
        ("alice", &alice, refused(SETTLED)),
        ("cluster-admin", &dave, refused(SETTLED)),
        ("the operator", &scene.operator, Accepted),
    ] {
        let mut gate = scene.gate(json!({"spec": {"requestedBy": ["alice", "dave"]}}));
        merge(&mut gate, label(json!("true")));
        table.check(
            &format!("{case}, at once"),
            &expected,
            create(caller, gate).await,
        );
    }
    let gate = scene.open_gate(json!({})).await;
    // In this order: each case finds what the ones before it left.
    let cases = [
        (
            "alice adds another label",
            &alice,
            json!({"metadata": {"labels": {"team": "a"}}}),
            Accepted,
        ),
        (
            "alice adds it",
            &alice,
            label(json!("true")),
            refused(SETTLED),
        ),
        (
            "cluster-admin adds it",
            &dave,
            label(json!("true")),
            refused(SETTLED),
        ),
        (
            "the operator adds it",
            &scene.operator,
            label(json!("true")),
            Accepted,
        ),
        (
            "alice changes it",
            &alice,
            label(json!("false")),
            refused(SETTLED),
        ),
        (
            "alice takes it away",
            &alice,
            label(Value::Null),
            refused(SETTLED),
        ),
        (
            "alice changes another label",
            &alice,
            json!({"metadata": {"labels": {"team": "b"}}}),
            Accepted,
        ),
        (
            "the operator takes it away",
            &scene.operator,
            label(Value::Null),
            Accepted,
        ),
    ];
    for (case, caller, change, expected) in cases {
        table.check(case, &expected, edit(caller, &gate, change).await);
    }
}
