//! Who stopped everything and who let it go on: their own names. What may change in a Freeze is said by the kind.

use kube::Client;
use serde_json::{Value, json};

use super::{Accepted, Denied, Expected, Invalid, Scene, Table, edit, merge, name};
use crate::support::{bind_everywhere, create, grant_everywhere, need, ours, random};

fn refused(message: &str) -> Expected {
    Denied("freeze-by", message.to_owned())
}

/// A Freeze that covers this test's namespace only, and is gone after the test.
fn freeze(scene: &Scene, change: Value) -> Value {
    let name = random("t-freeze");
    scene.ns.also_delete("Freeze", &name);
    let mut freeze = json!({
        "apiVersion": "neuralops.io/v1alpha1",
        "kind": "Freeze",
        "metadata": {"name": name},
        "spec": {"namespaces": [scene.name()], "reason": "a test", "frozenBy": "alice"},
    });
    merge(&mut freeze, change);
    freeze
}

async fn guard(scene: &Scene, person: &str) -> Client {
    grant_everywhere(&scene.ns, person, &[ours("create patch", "freezes")]).await;
    scene.cluster.person(person).await
}

#[tokio::test]
async fn a_freeze_names_who_made_it() {
    let cluster = need!(Users);
    let scene = Scene::set(cluster, "freeze").await;
    let alice = guard(&scene, "alice").await;
    let boss_name = format!("boss of {}", scene.name());
    bind_everywhere(&scene.ns, &boss_name, "cluster-admin").await;
    let boss = cluster.user(&boss_name).await;
    let own = |user: &str| refused(&format!("spec.frozenBy must be your own name, {user}"));
    let later = || refused("a Freeze is lifted later, not when it is made");
    let cases = [
        ("herself", &alice, json!({}), Accepted),
        (
            "somebody else",
            &alice,
            json!({"spec": {"frozenBy": "bob"}}),
            own("alice"),
        ),
        (
            "herself in other letters",
            &alice,
            json!({"spec": {"frozenBy": "Alice"}}),
            own("alice"),
        ),
        (
            "already lifted",
            &alice,
            json!({"spec": {"liftedBy": "alice"}}),
            later(),
        ),
        (
            "lifted by somebody else",
            &alice,
            json!({"spec": {"liftedBy": "bob"}}),
            later(),
        ),
        (
            "no reason",
            &alice,
            json!({"spec": {"reason": null}}),
            Invalid("spec.reason"),
        ),
        ("cluster-admin for alice", &boss, json!({}), own(&boss_name)),
        (
            "cluster-admin",
            &boss,
            json!({"spec": {"frozenBy": boss_name}}),
            Accepted,
        ),
    ];
    let mut table = Table::of("a Freeze names who made it");
    for (case, caller, change, expected) in cases {
        table.check(
            case,
            &expected,
            create(caller, freeze(&scene, change)).await,
        );
    }
    // The kind may ask for the name before the policy does.
    let nameless = create(&alice, freeze(&scene, json!({"spec": {"frozenBy": null}}))).await;
    table.check_that(
        "nobody",
        nameless.is_err_and(|error| error.to_string().contains("frozenBy")),
    );
}

#[tokio::test]
async fn a_freeze_is_lifted_once_and_by_name() {
    let cluster = need!(Users);
    let scene = Scene::set(cluster, "lift").await;
    let (alice, bob) = (guard(&scene, "alice").await, guard(&scene, "bob").await);
    let made = create(&alice, freeze(&scene, json!({})))
        .await
        .expect("a freeze");
    let own = || refused("spec.liftedBy must be your own name, bob");
    const CHANGES: &str = "a Freeze only changes by being lifted";
    // In this order: each case finds what the ones before it left.
    let cases = [
        (
            "bob labels it",
            &bob,
            json!({"metadata": {"labels": {"a": "b"}}}),
            Accepted,
        ),
        (
            "bob changes the reason",
            &bob,
            json!({"spec": {"reason": "none"}}),
            Invalid(CHANGES),
        ),
        (
            "bob takes a namespace out",
            &bob,
            json!({"spec": {"namespaces": ["other"]}}),
            Invalid(CHANGES),
        ),
        (
            "bob makes it his",
            &bob,
            json!({"spec": {"frozenBy": "bob"}}),
            Invalid(CHANGES),
        ),
        (
            "bob lifts it as alice",
            &bob,
            json!({"spec": {"liftedBy": "alice"}}),
            own(),
        ),
        (
            "bob lifts it as nobody known",
            &bob,
            json!({"spec": {"liftedBy": "Bob"}}),
            own(),
        ),
        (
            "bob lifts it",
            &bob,
            json!({"spec": {"liftedBy": "bob"}}),
            Accepted,
        ),
        (
            "alice labels it",
            &alice,
            json!({"metadata": {"labels": {"a": "c"}}}),
            Accepted,
        ),
        (
            "alice lifts it again",
            &alice,
            json!({"spec": {"liftedBy": "alice"}}),
            Invalid("liftedBy is set once"),
        ),
        (
            "alice takes the lifting back",
            &alice,
            json!({"spec": {"liftedBy": null}}),
            Invalid("liftedBy is set once"),
        ),
    ];
    let mut table = Table::of("a Freeze is lifted once and by name");
    for (case, caller, change, expected) in cases {
        table.check(case, &expected, edit(caller, &made, change).await);
    }
    assert!(name(&made).starts_with("t-freeze"));
}
