//! Who speaks: a vote carries the name of its caller, and only an account that was trusted by name writes for others.

use std::time::Duration;

use serde_json::json;

use super::{Accepted, Denied, Expected, Invalid, Scene, Table, edit_status, merge, name, owner};
use crate::support::{bind, eventually, grant, need, ours};

fn refused(message: &str) -> Expected {
    Denied("decision-identity", message.to_owned())
}

const NOT_A_PERSON: &str = "service accounts, nodes and other system users do not decide";
const ATTESTATION: &str =
    "spec.attestation is written exactly by an account that attests for somebody else";
const FOREIGN_GROUPS: &str = "spec.groups may only name groups you are in";
const FOREIGN_OWNER: &str = "the only owner a Decision may have is its Gate";
const FINALIZERS: &str = "a Decision carries no finalizers";

#[tokio::test]
async fn a_vote_carries_its_callers_own_name() {
    let cluster = need!(Users);
    let scene = Scene::set(cluster, "own-name").await;
    let alice = scene.approver("alice", "oncall").await;
    let gate = scene.open_gate(json!({})).await;
    let own = || refused("spec.user must be your own name, alice");
    let cases = [
        ("her own name", json!({}), Accepted),
        (
            "a Withdraw",
            json!({"spec": {"verdict": "Withdraw"}}),
            Accepted,
        ),
        (
            "with reasons and a patch",
            json!({"spec": {"justification": "seen it", "patch": "{}"}}),
            Accepted,
        ),
        (
            "somebody else's name",
            json!({"spec": {"user": "bob"}}),
            own(),
        ),
        (
            "her name in other letters",
            json!({"spec": {"user": "Alice"}}),
            own(),
        ),
        (
            "her name and more",
            json!({"spec": {"user": "alice bob"}}),
            own(),
        ),
        (
            "a blank behind it",
            json!({"spec": {"user": "alice "}}),
            Invalid("spec.user"),
        ),
        (
            "no name",
            json!({"spec": {"user": null}}),
            Invalid("spec.user"),
        ),
        (
            "an unknown verdict",
            json!({"spec": {"verdict": "Maybe"}}),
            Invalid("spec.verdict"),
        ),
        (
            "a digest that is none",
            json!({"spec": {"planDigest": "sha256:0"}}),
            Invalid("spec.planDigest"),
        ),
        // Last: the operator settles the Gate by it.
        ("a Reject", json!({"spec": {"verdict": "Reject"}}), Accepted),
    ];
    let mut table = Table::of("a vote carries its caller's own name");
    for (case, change, expected) in cases {
        table.check(case, &expected, scene.vote(&alice, &gate, change).await);
    }
}

#[tokio::test]
async fn a_vote_names_only_groups_of_its_caller() {
    let cluster = need!(Users);
    let scene = Scene::set(cluster, "groups").await;
    let alice = scene.approver("alice", "oncall").await;
    let mallory = scene.approver("mallory", "oncall").await;
    let gate = scene.open_gate(json!({})).await;
    let mut table = Table::of("a vote names only groups of its caller");
    let cases = [
        ("none", json!([]), Accepted),
        ("her team", json!(["team-a"]), Accepted),
        (
            "her team and everybody",
            json!(["team-a", "system:authenticated"]),
            Accepted,
        ),
        ("another team", json!(["team-b"]), refused(FOREIGN_GROUPS)),
        (
            "her team and another",
            json!(["team-a", "team-b"]),
            refused(FOREIGN_GROUPS),
        ),
        (
            "her team in other letters",
            json!(["Team-A"]),
            refused(FOREIGN_GROUPS),
        ),
        (
            "the group that may do everything",
            json!(["system:masters"]),
            refused(FOREIGN_GROUPS),
        ),
    ];
    for (case, groups, expected) in cases {
        table.check(
            case,
            &expected,
            scene
                .vote(&alice, &gate, json!({"spec": {"groups": groups}}))
                .await,
        );
    }
    let change = json!({"spec": {"user": "mallory", "groups": ["team-a"]}});
    table.check(
        "a team of somebody without one",
        &refused(FOREIGN_GROUPS),
        scene.vote(&mallory, &gate, change).await,
    );
}

#[tokio::test]
async fn only_people_vote() {
    let cluster = need!(Users);
    let scene = Scene::set(cluster, "people").await;
    let gate = scene.open_gate(json!({})).await;
    let mut table = Table::of("only people vote");
    let names = [
        format!("system:serviceaccount:{}:robot", scene.name()),
        "system:node:worker-1".to_owned(),
        "system:admin".to_owned(), // what some distributions call their admin
        "System:Admin".to_owned(),
        "SYSTEM:ADMIN".to_owned(),
    ];
    let rules = || {
        [
            ours("create", "decisions"),
            ours("approve reject", "approverroles").named("oncall"),
        ]
    };
    for user in names {
        grant(&scene.ns, &user, &rules()).await;
        let caller = cluster.user(&user).await;
        let got = scene
            .vote(&caller, &gate, json!({"spec": {"user": user}}))
            .await;
        table.check(&user, &refused(NOT_A_PERSON), got);
    }
    for user in [
        "systematic",
        "the-system:admin",
        "alice@example.org",
        "Jane Doe",
    ] {
        grant(&scene.ns, user, &rules()).await;
        let caller = cluster.user(user).await;
        table.check(
            user,
            &Accepted,
            scene
                .vote(&caller, &gate, json!({"spec": {"user": user}}))
                .await,
        );
    }
}

#[tokio::test]
async fn only_an_attester_writes_for_somebody_else() {
    let cluster = need!(Users);
    let scene = Scene::set(cluster, "attest").await;
    let gate = scene.open_gate(json!({})).await;
    let alice = scene.approver("alice", "oncall").await;
    let (api, api_name) = scene.account("api").await;
    grant(&scene.ns, &api_name, &[ours("create attest", "decisions")]).await;
    let attested = |user: &str| json!({"spec": {"user": user, "attestation": {"issuer": "https://id.example", "subject": user}}});
    let mut table = Table::of("only an attester writes for somebody else");

    let robot = format!("system:serviceaccount:{}:robot", scene.name());
    let cases = [
        ("for alice", attested("alice"), Accepted),
        (
            "for somebody it alone knows",
            attested("jane@example.org"),
            Accepted,
        ),
        (
            "with groups it is not in",
            json!({"spec": {"groups": ["team-a"]}}),
            Accepted,
        ),
        (
            "without saying so",
            json!({"spec": {"attestation": null}}),
            refused(ATTESTATION),
        ),
        (
            "in its own name",
            json!({"spec": {"user": api_name, "attestation": null}}),
            refused(NOT_A_PERSON),
        ),
        ("for an account", attested(&robot), refused(NOT_A_PERSON)),
        (
            "for an account in other letters",
            attested("SYSTEM:serviceaccount:a:b"),
            refused(NOT_A_PERSON),
        ),
        (
            "without an issuer",
            json!({"spec": {"attestation": {"issuer": null}}}),
            Invalid("spec.attestation.issuer"),
        ),
    ];
    for (case, change, expected) in cases {
        let mut vote = attested("alice");
        merge(&mut vote, change);
        table.check(
            &format!("the attester, {case}"),
            &expected,
            scene.vote(&api, &gate, vote).await,
        );
    }
    let own = scene.vote(&alice, &gate, attested("alice")).await;
    table.check(
        "who is no attester attests for herself",
        &refused(ATTESTATION),
        own,
    );

    // A person who was granted the verb is an attester, and remains a voter.
    let bob = scene.approver("bob", "oncall").await;
    grant(&scene.ns, "bob", &[ours("attest", "decisions")]).await;
    let cases = [
        ("for alice", attested("alice"), Accepted),
        ("for himself", json!({"spec": {"user": "bob"}}), Accepted),
        (
            "for himself, attested",
            attested("bob"),
            refused(ATTESTATION),
        ),
    ];
    for (case, change, expected) in cases {
        table.check(
            &format!("a person as attester, {case}"),
            &expected,
            scene.vote(&bob, &gate, change).await,
        );
    }
}

#[tokio::test]
async fn a_wildcard_makes_no_attester() {
    let cluster = need!(Users);
    let scene = Scene::set(cluster, "wildcard").await;
    let elsewhere = Scene::set(cluster, "elsewhere").await;
    let gate = scene.open_gate(json!({})).await;
    let decisions = || ours("*", "decisions");
    // The Gate's own policy finds no wildcard on approver roles with these, so only the identity is in question.
    let role = || ours("approve reject", "approverroles").named("oncall");
    let mut table = Table::of("a wildcard makes no attester");

    let (starred, starred_name) = scene.account("starred").await;
    grant(&scene.ns, &starred_name, &[decisions(), role()]).await;
    let (poisoned, poisoned_name) = scene.account("poisoned").await;
    grant(
        &scene.ns,
        &poisoned_name,
        &[ours("attest create wildcard", "decisions"), role()],
    )
    .await;
    let (runs_only, runs_only_name) = scene.account("runs-only").await;
    grant(
        &scene.ns,
        &runs_only_name,
        &[
            ours("attest", "orchestrations"),
            ours("create", "decisions"),
            role(),
        ],
    )
    .await;
    let (away, away_name) = scene.account("away").await;
    grant(
        &scene.ns,
        &away_name,
        &[ours("create", "decisions"), role()],
    )
    .await;
    grant(&elsewhere.ns, &away_name, &[ours("attest", "decisions")]).await;
    let change =
        json!({"spec": {"attestation": {"issuer": "https://id.example", "subject": "alice"}}});
    for (case, caller, caller_name) in [
        ("every verb on decisions", starred, starred_name),
        (
            "the verb by name, and the canary too",
            poisoned,
            poisoned_name,
        ),
        ("the verb on another kind", runs_only, runs_only_name),
        ("the verb in another namespace", away, away_name),
    ] {
        let expected = refused(&format!("spec.user must be your own name, {caller_name}"));
        table.check(
            case,
            &expected,
            scene.vote(&caller, &gate, change.clone()).await,
        );
    }

    // Who holds everything is refused by both policies, and either may answer.
    bind(&scene.ns, "dave", "cluster-admin").await;
    let dave = cluster.person("dave").await;
    for (case, caller) in [("cluster-admin", &dave), ("the admin", scene.admin())] {
        let got = scene.vote(caller, &gate, change.clone()).await;
        table.check_that(
            case,
            got.is_err_and(|error| error.to_string().contains("decision-")),
        );
    }
}

#[tokio::test]
async fn a_vote_has_no_finalizers_and_no_owner_but_its_gate() {
    let cluster = need!(Users);
    let scene = Scene::set(cluster, "metadata").await;
    let alice = scene.approver("alice", "oncall").await;
    let (gate, other) = (
        scene.open_gate(json!({})).await,
        scene.open_gate(json!({})).await,
    );
    let gates = |change| {
        let mut reference = owner(&gate);
        merge(&mut reference, change);
        json!({"metadata": {"ownerReferences": [reference]}})
    };
    let cases = [
        (
            "no finalizers",
            json!({"metadata": {"finalizers": []}}),
            Accepted,
        ),
        (
            "a finalizer",
            json!({"metadata": {"finalizers": ["example.org/hold"]}}),
            refused(FINALIZERS),
        ),
        (
            "a finalizer of the API server",
            json!({"metadata": {"finalizers": ["foregroundDeletion"]}}),
            refused(FINALIZERS),
        ),
        (
            "no owners",
            json!({"metadata": {"ownerReferences": []}}),
            Accepted,
        ),
        ("its Gate", gates(json!({})), Accepted),
        (
            "its Gate, blocking",
            gates(json!({"blockOwnerDeletion": true, "controller": true})),
            Accepted,
        ),
        (
            "another Gate",
            json!({"metadata": {"ownerReferences": [owner(&other)]}}),
            refused(FOREIGN_OWNER),
        ),
        (
            "its Gate and another",
            json!({"metadata": {"ownerReferences": [owner(&gate), owner(&other)]}}),
            refused(FOREIGN_OWNER),
        ),
        (
            "a uid that does not exist",
            gates(json!({"uid": "00000000-0000-4000-8000-000000000000"})),
            refused(FOREIGN_OWNER),
        ),
        (
            "another name",
            gates(json!({"name": name(&other)})),
            refused(FOREIGN_OWNER),
        ),
        (
            "another kind",
            gates(json!({"kind": "Orchestration"})),
            refused(FOREIGN_OWNER),
        ),
        (
            "another group",
            gates(json!({"apiVersion": "neuralops.io.example/v1"})),
            refused(FOREIGN_OWNER),
        ),
        (
            "a ConfigMap",
            gates(json!({"apiVersion": "v1", "kind": "ConfigMap"})),
            refused(FOREIGN_OWNER),
        ),
    ];
    let mut table = Table::of("a vote has no finalizers and no owner but its Gate");
    for (case, change, expected) in cases {
        table.check(case, &expected, scene.vote(&alice, &gate, change).await);
    }
}

/// The other policy speaks only about the Gate that a vote names; this one needs none.
#[tokio::test]
async fn the_identity_holds_without_its_gate() {
    let cluster = need!(Users);
    let scene = Scene::set(cluster, "no-gate").await;
    let alice = scene.approver("alice", "oncall").await;
    let gate = scene.open_gate(json!({})).await;
    let nowhere = |change| {
        let mut vote = json!({"spec": {"gateRef": {"name": "no-such-gate", "uid": "none"}}});
        merge(&mut vote, change);
        vote
    };
    let mut table = Table::of("the identity holds without its Gate");
    table.check(
        "her own name",
        &Accepted,
        scene.vote(&alice, &gate, nowhere(json!({}))).await,
    );
    let forged = scene
        .vote(&alice, &gate, nowhere(json!({"spec": {"user": "bob"}})))
        .await;
    table.check(
        "somebody else's",
        &refused("spec.user must be your own name, alice"),
        forged,
    );
}

/// Nobody can tell a vote that an admin wrote as somebody else: only the API server's own log names both.
#[tokio::test]
async fn impersonation_shows_in_the_audit_log() {
    let cluster = need!(Owned, Users);
    let scene = Scene::set(cluster, "impersonation").await;
    scene.approver("alice", "oncall").await;
    let gate = scene.open_gate(json!({})).await;
    let mark = cluster.audit_mark();
    let as_alice = cluster.impersonate("alice", &["team-a"]).await;
    scene
        .vote(&as_alice, &gate, json!({}))
        .await
        .expect("nothing in the request gives it away");
    edit_status(
        scene.admin(),
        &gate,
        json!({"status": {"state": "Approved"}}),
    )
    .await
    .expect_err("not the operator");
    let (vote, refusal) = eventually(
        "both requests are recorded",
        Duration::from_secs(10),
        async || {
            let (mut vote, mut refusal) = (None, None);
            for event in cluster
                .audit_since(mark)
                .into_iter()
                .filter(|event| event.namespace == scene.name())
            {
                match (event.verb.as_str(), event.resource.as_str(), event.code) {
                    ("create", "decisions", 201) => vote = Some(event),
                    ("patch", "gates", 403) => refusal = Some(event),
                    _ => {}
                }
            }
            vote.zip(refusal).ok_or_else(|| "one is missing".to_owned())
        },
    )
    .await;
    assert_eq!(vote.impersonated, "alice");
    assert_ne!(vote.user, "alice");
    assert!(
        vote.uri.starts_with(&format!(
            "/apis/neuralops.io/v1alpha1/namespaces/{}/decisions",
            scene.name()
        )),
        "{}",
        vote.uri
    );
    assert_eq!(
        (refusal.user, refusal.impersonated),
        (vote.user, String::new())
    );
    assert_eq!(
        (refusal.name, refusal.subresource.as_str()),
        (name(&gate), "status")
    );
}
