//! Whose wish a run is, and who shaped, released or stopped it: always the caller. What may change in a run at all is
//! said by the rules of the kind; the cases hold both against the same writes.

use kube::Client;
use kube::api::DynamicObject;
use serde_json::{Value, json};

use super::{Accepted, Denied, Expected, Invalid, Scene, Table, edit, merge, name};
use crate::support::{apply, bind, create, grant, need, ours};

fn refused(message: &str) -> Expected {
    Denied("orchestration-requester", message.to_owned())
}

fn own(words: &str, user: &str) -> Expected {
    refused(&format!("{words}{user}"))
}

const REQUESTED: &str = "spec.requestedBy must be your own name, ";
const SELECTED: &str = "spec.selectedBy must be your own name, ";
const RELEASED: &str = "spec.releasedBy must be your own name, ";
const CANCELLED: &str = "spec.cancelledBy must be your own name, ";

const EARLY: &str = "a run is released after it was approved, not when it is made";

/// A run as alice asks for it.
fn run(scene: &Scene, change: Value) -> Value {
    let mut run = scene.object(
        "Orchestration",
        json!({"spec": {"incident": {"summary": "checkout crash loops"}, "requestedBy": "alice"}}),
    );
    merge(&mut run, change);
    run
}

async fn engineer(scene: &Scene, person: &str) -> Client {
    grant(
        &scene.ns,
        person,
        &[ours("get create patch", "orchestrations")],
    )
    .await;
    scene.cluster.person(person).await
}

async fn made(scene: &Scene, change: Value) -> DynamicObject {
    let alice = scene.cluster.person("alice").await;
    create(&alice, run(scene, change)).await.expect("a run")
}

#[tokio::test]
async fn a_run_names_who_asked_for_it() {
    let cluster = need!(Users);
    let scene = Scene::set(cluster, "requested").await;
    let alice = engineer(&scene, "alice").await;
    let mut table = Table::of("a run names who asked for it");
    let cases = [
        ("herself", json!({}), Accepted),
        (
            "somebody else",
            json!({"spec": {"requestedBy": "bob"}}),
            own(REQUESTED, "alice"),
        ),
        (
            "herself in other letters",
            json!({"spec": {"requestedBy": "ALICE"}}),
            own(REQUESTED, "alice"),
        ),
        (
            "nobody",
            json!({"spec": {"requestedBy": null}}),
            own(REQUESTED, "alice"),
        ),
        (
            "and chose the playbook",
            json!({"spec": {"playbookRef": {"name": "restart"}, "selectedBy": "alice"}}),
            Accepted,
        ),
        (
            "and somebody else chose",
            json!({"spec": {"playbookRef": {"name": "restart"}, "selectedBy": "bob"}}),
            own(SELECTED, "alice"),
        ),
        (
            "chosen by her, but nothing",
            json!({"spec": {"selectedBy": "alice"}}),
            Invalid("selectedBy needs playbookRef"),
        ),
        (
            "and released it at once",
            json!({"spec": {"releasedBy": "alice"}}),
            refused(EARLY),
        ),
        (
            "and somebody else released it",
            json!({"spec": {"releasedBy": "bob"}}),
            own(RELEASED, "alice"),
        ),
        (
            "and cancelled it at once",
            json!({"spec": {"cancel": true, "cancelledBy": "alice"}}),
            Accepted,
        ),
        (
            "and somebody else cancelled it",
            json!({"spec": {"cancel": true, "cancelledBy": "bob"}}),
            own(CANCELLED, "alice"),
        ),
    ];
    for (case, change, expected) in cases {
        table.check(case, &expected, create(&alice, run(&scene, change)).await);
    }

    let (api, api_name) = scene.account("api").await;
    grant(
        &scene.ns,
        &api_name,
        &[ours("create attest", "orchestrations")],
    )
    .await;
    let (votes_only, votes_only_name) = scene.account("votes-only").await;
    grant(
        &scene.ns,
        &votes_only_name,
        &[
            ours("attest", "decisions"),
            ours("create", "orchestrations"),
        ],
    )
    .await;
    let (poisoned, poisoned_name) = scene.account("poisoned").await;
    grant(
        &scene.ns,
        &poisoned_name,
        &[ours("create attest wildcard", "orchestrations")],
    )
    .await;
    grant(&scene.ns, "bob", &[ours("*", "*")]).await;
    bind(&scene.ns, "dave", "cluster-admin").await;
    let nobody = json!({"spec": {"requestedBy": null}});
    let released = json!({"spec": {"releasedBy": "alice"}});
    let cases = [
        ("the attester, for alice", &api, json!({}), Accepted),
        (
            "the attester, for nobody",
            &api,
            nobody,
            own(REQUESTED, &api_name),
        ),
        (
            "the attester, already released",
            &api,
            released,
            refused(EARLY),
        ),
        (
            "an attester of votes",
            &votes_only,
            json!({}),
            own(REQUESTED, &votes_only_name),
        ),
        (
            "who holds the canary too",
            &poisoned,
            json!({}),
            own(REQUESTED, &poisoned_name),
        ),
        (
            "a team that holds neuralops.io/* *",
            &cluster.person("bob").await,
            json!({}),
            own(REQUESTED, "bob"),
        ),
        (
            "cluster-admin",
            &cluster.person("dave").await,
            json!({}),
            own(REQUESTED, "dave"),
        ),
    ];
    for (case, caller, change, expected) in cases {
        table.check(case, &expected, create(caller, run(&scene, change)).await);
    }
}

#[tokio::test]
async fn a_run_names_who_chose_its_playbook() {
    let cluster = need!(Users);
    let scene = Scene::set(cluster, "selected").await;
    engineer(&scene, "alice").await;
    let bob = engineer(&scene, "bob").await;
    let choice = |by: Value| json!({"spec": {"playbookRef": {"name": "restart"}, "parameters": {"deployment": "checkout"}, "selectedBy": by}});
    let mut table = Table::of("a run names who chose its playbook");
    for (case, by, expected) in [
        ("himself", json!("bob"), Accepted),
        (
            "who asked for the run",
            json!("alice"),
            own(SELECTED, "bob"),
        ),
        (
            "nobody",
            Value::Null,
            Invalid("whoever sets playbookRef later is named in selectedBy"),
        ),
    ] {
        let run = made(&scene, json!({})).await;
        table.check(case, &expected, edit(&bob, &run, choice(by)).await);
    }

    let chosen = made(&scene, json!({})).await;
    edit(&bob, &chosen, choice(json!("bob")))
        .await
        .expect("chosen");
    let carol = engineer(&scene, "carol").await;
    let cases = [
        (
            "suspended by a third",
            json!({"spec": {"suspend": true}}),
            Accepted,
        ),
        (
            "labelled by a third",
            json!({"metadata": {"labels": {"a": "b"}}}),
            Accepted,
        ),
        (
            "kept longer",
            json!({"spec": {"ttlSecondsAfterFinished": 60}}),
            Accepted,
        ),
        (
            "another chooser",
            json!({"spec": {"selectedBy": "carol"}}),
            Invalid("selectedBy is immutable"),
        ),
        (
            "no chooser",
            json!({"spec": {"selectedBy": null}}),
            Invalid("selectedBy is immutable"),
        ),
        (
            "another playbook",
            json!({"spec": {"playbookRef": {"name": "other"}}}),
            Invalid("playbookRef is set once"),
        ),
        (
            "no playbook",
            json!({"spec": {"playbookRef": null, "parameters": null}}),
            Invalid("playbookRef is set once"),
        ),
        (
            "other parameters",
            json!({"spec": {"parameters": {"deployment": "cart"}}}),
            Invalid("parameters are set in the write that sets playbookRef"),
        ),
    ];
    for (case, change, expected) in cases {
        table.check(case, &expected, edit(&carol, &chosen, change).await);
    }
    let (api, api_name) = scene.account("api").await;
    grant(
        &scene.ns,
        &api_name,
        &[ours("get patch attest", "orchestrations")],
    )
    .await;
    let open = made(&scene, json!({})).await;
    table.check(
        "the attester, for bob",
        &Accepted,
        edit(&api, &open, choice(json!("bob"))).await,
    );
}

#[tokio::test]
async fn a_run_names_who_released_and_who_stopped_it() {
    let cluster = need!(Users);
    let scene = Scene::set(cluster, "released").await;
    let alice = engineer(&scene, "alice").await;
    let bob = engineer(&scene, "bob").await;
    let (api, api_name) = scene.account("api").await;
    grant(
        &scene.ns,
        &api_name,
        &[ours("get patch attest", "orchestrations")],
    )
    .await;
    let run = made(&scene, json!({"spec": {"start": "OnRelease"}})).await;
    let attested = made(&scene, json!({})).await;
    // In this order: each case finds what the ones before it left.
    let cases = [
        (
            "bob releases as alice",
            &bob,
            &run,
            json!({"spec": {"releasedBy": "alice"}}),
            own(RELEASED, "bob"),
        ),
        (
            "bob releases",
            &bob,
            &run,
            json!({"spec": {"releasedBy": "bob"}}),
            Accepted,
        ),
        (
            "alice releases again",
            &alice,
            &run,
            json!({"spec": {"releasedBy": "alice"}}),
            Invalid("releasedBy is set once"),
        ),
        (
            "alice takes the release back",
            &alice,
            &run,
            json!({"spec": {"releasedBy": null}}),
            Invalid("releasedBy is set once"),
        ),
        (
            "alice edits what bob released",
            &alice,
            &run,
            json!({"spec": {"suspend": true}}),
            Accepted,
        ),
        (
            "bob cancels as alice",
            &bob,
            &run,
            json!({"spec": {"cancel": true, "cancelledBy": "alice"}}),
            own(CANCELLED, "bob"),
        ),
        (
            "bob cancels",
            &bob,
            &run,
            json!({"spec": {"cancel": true, "cancelledBy": "bob"}}),
            Accepted,
        ),
        (
            "alice cancels as well",
            &alice,
            &run,
            json!({"spec": {"cancelledBy": "alice"}}),
            Invalid("cancelledBy is set once"),
        ),
        (
            "alice takes the cancel back",
            &alice,
            &run,
            json!({"spec": {"cancel": false}}),
            Invalid("a cancel is not taken back"),
        ),
        (
            "alice edits what bob cancelled",
            &alice,
            &run,
            json!({"metadata": {"labels": {"a": "b"}}}),
            Accepted,
        ),
        (
            "the attester releases for alice",
            &api,
            &attested,
            json!({"spec": {"releasedBy": "alice"}}),
            Accepted,
        ),
        (
            "the attester cancels for alice",
            &api,
            &attested,
            json!({"spec": {"cancel": true, "cancelledBy": "alice"}}),
            Accepted,
        ),
    ];
    let mut table = Table::of("a run names who released and who stopped it");
    for (case, caller, run, change, expected) in cases {
        table.check(case, &expected, edit(caller, run, change).await);
    }
    let quiet = made(&scene, json!({})).await;
    table.check(
        "a cancel needs no name",
        &Accepted,
        edit(&bob, &quiet, json!({"spec": {"cancel": true}})).await,
    );
}

#[tokio::test]
async fn what_was_asked_for_does_not_change() {
    let cluster = need!(Users);
    let scene = Scene::set(cluster, "immutable").await;
    engineer(&scene, "alice").await;
    let bob = engineer(&scene, "bob").await;
    let run = made(
        &scene,
        json!({"spec": {"mode": "Manual", "start": "OnRelease"}}),
    )
    .await;
    let plain = made(&scene, json!({})).await;
    let cases = [
        (
            "another requester",
            &run,
            json!({"spec": {"requestedBy": "bob"}}),
            "requestedBy is immutable",
        ),
        (
            "no requester",
            &run,
            json!({"spec": {"requestedBy": null}}),
            "requestedBy is immutable",
        ),
        (
            "another incident",
            &run,
            json!({"spec": {"incident": {"summary": "nothing"}}}),
            "incident is immutable",
        ),
        (
            "another mode",
            &run,
            json!({"spec": {"mode": "Auto"}}),
            "mode is immutable",
        ),
        (
            "a mode",
            &plain,
            json!({"spec": {"mode": "Auto"}}),
            "mode is immutable",
        ),
        (
            "another start",
            &run,
            json!({"spec": {"start": "OnApproval"}}),
            "start is immutable",
        ),
        (
            "made from somebody's patch",
            &plain,
            json!({"spec": {"from": {"orchestration": "x", "decisionUID": "y"}}}),
            "from is immutable",
        ),
        (
            "parameters without a playbook",
            &plain,
            json!({"spec": {"parameters": {"a": "b"}}}),
            "parameters need playbookRef",
        ),
    ];
    let mut table = Table::of("what was asked for does not change");
    for (case, run, change, message) in cases {
        table.check(case, &Invalid(message), edit(&bob, run, change).await);
    }
    let mine = format!(
        "{{apiVersion: neuralops.io/v1alpha1, kind: Orchestration, metadata: {{namespace: {}, name: {}}}, \
         spec: {{incident: {{summary: checkout crash loops}}, requestedBy: bob}}}}",
        scene.name(),
        name(&run)
    );
    table.check(
        "taken over by server-side apply",
        &Invalid("requestedBy is immutable"),
        apply(&bob, &mine).await,
    );
}

#[tokio::test]
async fn auto_is_granted_by_name() {
    let cluster = need!(Users);
    let scene = Scene::set(cluster, "auto").await;
    let needs = |playbook: &str| {
        refused(&format!(
            "mode Auto needs the verb auto on playbooks/{playbook}, granted by name"
        ))
    };
    let auto =
        |playbook: &str| json!({"spec": {"mode": "Auto", "playbookRef": {"name": playbook}}});
    let mut table = Table::of("auto is granted by name");
    for (case, rules, expected) in [
        ("no right", vec![], needs("restart")),
        (
            "the right on this playbook",
            vec![ours("auto", "playbooks").named("restart")],
            Accepted,
        ),
        (
            "the right on another playbook",
            vec![ours("auto", "playbooks").named("drain")],
            needs("restart"),
        ),
        (
            "the right on any playbook",
            vec![ours("auto", "playbooks")],
            Accepted,
        ),
        (
            "every verb on playbooks",
            vec![ours("*", "playbooks")],
            needs("restart"),
        ),
        (
            "every verb on this playbook",
            vec![ours("*", "playbooks").named("restart")],
            needs("restart"),
        ),
        (
            "the right, and the canary",
            vec![ours("auto wildcard", "playbooks")],
            needs("restart"),
        ),
    ] {
        let mut rules = rules;
        rules.push(ours("create", "orchestrations"));
        grant(&scene.ns, case, &rules).await;
        let caller = cluster.user(case).await;
        let mut wish = run(&scene, auto("restart"));
        merge(&mut wish, json!({"spec": {"requestedBy": case}}));
        table.check(case, &expected, create(&caller, wish).await);
    }

    let alice = engineer(&scene, "alice").await;
    let bob = engineer(&scene, "bob").await;
    grant(
        &scene.ns,
        "bob",
        &[ours("auto", "playbooks").named("restart")],
    )
    .await;
    for (case, change, expected) in [
        (
            "Manual needs nothing",
            json!({"spec": {"mode": "Manual", "playbookRef": {"name": "restart"}}}),
            Accepted,
        ),
        (
            "PlanOnly needs nothing",
            json!({"spec": {"mode": "PlanOnly", "playbookRef": {"name": "restart"}}}),
            Accepted,
        ),
        (
            "Auto without a playbook yet",
            json!({"spec": {"mode": "Auto"}}),
            Accepted,
        ),
    ] {
        table.check(case, &expected, create(&alice, run(&scene, change)).await);
    }
    let choice = |by: &str| json!({"spec": {"playbookRef": {"name": "restart"}, "selectedBy": by}});
    let waiting = made(&scene, json!({"spec": {"mode": "Auto"}})).await;
    table.check(
        "chosen later without the right",
        &needs("restart"),
        edit(&alice, &waiting, choice("alice")).await,
    );
    table.check(
        "chosen later with the right",
        &Accepted,
        edit(&bob, &waiting, choice("bob")).await,
    );
    let later = edit(&alice, &waiting, json!({"spec": {"suspend": true}})).await;
    table.check("edited after that without the right", &Accepted, later);

    // Who writes for others is not thereby trusted to start something without a Gate.
    let (api, api_name) = scene.account("api").await;
    grant(
        &scene.ns,
        &api_name,
        &[ours("create attest", "orchestrations")],
    )
    .await;
    table.check(
        "the attester",
        &needs("restart"),
        create(&api, run(&scene, auto("restart"))).await,
    );
}
