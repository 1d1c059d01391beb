//! What a vote is about: exactly this Gate, open, this plan, in time, by somebody who holds a role and did not ask.

use kube::api::DeleteParams;
use serde_json::{Value, json};

use super::{
    Accepted, Denied, Expected, OTHER_PLAN, PLAN, Scene, Table, delete, edit, first_refusals,
    merge, name, soon, uid,
};
use crate::support::{OwnCluster, bind, create, grant, grant_group, need, ours};

fn refused(message: &str) -> Expected {
    Denied("decision-gate", message.to_owned())
}

const REQUESTER: &str = "who requested this may not decide it";
const WILDCARD: &str = "a wildcard grant makes no approver; approver roles are granted by name";
const NO_GATE: &str = "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction";

#[tokio::test]
async fn a_vote_is_about_one_gate_and_one_plan() {
    let cluster = need!(Users);
    let scene = Scene::set(cluster, "one-gate").await;
    let alice = scene.approver("alice", "oncall").await;
    let (gate, other) = (
        scene.open_gate(json!({})).await,
        scene.open_gate(json!({})).await,
    );
    let another = || refused("this is another Gate of that name");
    let cases = [
        ("its uid and its plan", json!({}), Accepted),
        (
            "another Gate's uid",
            json!({"spec": {"gateRef": {"uid": uid(&other)}}}),
            another(),
        ),
        (
            "another Gate's name",
            json!({"spec": {"gateRef": {"name": name(&other)}}}),
            another(),
        ),
        (
            "a uid that does not exist",
            json!({"spec": {"gateRef": {"uid": "none"}}}),
            another(),
        ),
        (
            "another plan",
            json!({"spec": {"planDigest": OTHER_PLAN}}),
            refused(&format!("the Gate is about plan {PLAN}")),
        ),
        // Nobody counts such a vote; to refuse it would mean to wait for the newest Gates.
        (
            "a Gate that does not exist",
            json!({"spec": {"gateRef": {"name": "none"}}}),
            Accepted,
        ),
    ];
    let mut table = Table::of("a vote is about one Gate and one plan");
    for (case, change, expected) in cases {
        table.check(case, &expected, scene.vote(&alice, &gate, change).await);
    }

    let first = scene
        .open_gate(json!({"metadata": {"name": "remade"}}))
        .await;
    delete(&scene.operator, &first, &DeleteParams::default())
        .await
        .expect("deleted");
    let second = scene
        .open_gate(json!({"metadata": {"name": "remade"}}))
        .await;
    let stale = async || scene.vote(&alice, &first, json!({})).await;
    soon(
        &mut table,
        "a Gate that was deleted and made again",
        another(),
        stale,
    )
    .await;
    table.check(
        "the one made again",
        &Accepted,
        scene.vote(&alice, &second, json!({})).await,
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vote_comes_before_the_deadline() {
    need!(Owned);
    // Without an operator: it would settle a Gate whose deadline is over, and the policy would speak of that.
    let own = OwnCluster::start().await;
    first_refusals(own.cluster()).await;
    let scene = Scene::set(own.cluster(), "deadline").await;
    let alice = scene.approver("alice", "oncall").await;
    let gate = async |deadline: Value| {
        scene
            .open_gate(json!({"spec": {"deadline": deadline}}))
            .await
    };
    let (open_ended, ahead, past) = (
        gate(Value::Null).await,
        gate(json!("2099-01-01T00:00:00Z")).await,
        gate(json!("2020-01-01T00:00:00Z")).await,
    );
    let late = || refused("the deadline was 2020-01-01T00:00:00Z");
    let cases = [
        ("no deadline", &open_ended, json!({}), Accepted),
        ("before it", &ahead, json!({}), Accepted),
        ("after it", &past, json!({}), late()),
        (
            "after it, by a forged clock",
            &past,
            json!({"metadata": {"creationTimestamp": "2019-01-01T00:00:00Z"}}),
            late(),
        ),
        (
            "a Withdraw after it",
            &past,
            json!({"spec": {"verdict": "Withdraw"}}),
            late(),
        ),
    ];
    let mut table = Table::of("a vote comes before the deadline");
    for (case, gate, change, expected) in cases {
        table.check(case, &expected, scene.vote(&alice, gate, change).await);
    }
}

#[tokio::test]
async fn a_vote_needs_an_open_gate() {
    let cluster = need!(Users);
    let scene = Scene::set(cluster, "open").await;
    let alice = scene.approver("alice", "oncall").await;
    let mut table = Table::of("a vote needs an open Gate");
    for state in ["Approved", "Rejected", "Expired", "Superseded", "Cancelled"] {
        let gate = scene.open_gate(json!({})).await;
        scene.settle(&gate, state).await;
        let late = async || scene.vote(&alice, &gate, json!({})).await;
        soon(
            &mut table,
            state,
            refused(&format!("the Gate is not open but {state}")),
            late,
        )
        .await;
    }

    let leaving = scene
        .open_gate(json!({"metadata": {"finalizers": ["neuralops.io/test"]}}))
        .await;
    table.check(
        "open, and held by a finalizer",
        &Accepted,
        scene.vote(&alice, &leaving, json!({})).await,
    );
    delete(&scene.operator, &leaving, &DeleteParams::default())
        .await
        .expect("marked");
    let late = async || scene.vote(&alice, &leaving, json!({})).await;
    soon(
        &mut table,
        "being deleted",
        refused("the Gate is being deleted"),
        late,
    )
    .await;
    edit(
        &scene.operator,
        &leaving,
        json!({"metadata": {"finalizers": null}}),
    )
    .await
    .expect("let go");
}

#[tokio::test]
async fn a_namespace_without_open_gates_takes_no_vote() {
    let cluster = need!(Users);
    let scene = Scene::set(cluster, "without").await;
    let alice = scene.approver("alice", "oncall").await;
    let mut table = Table::of("a namespace without open Gates takes no vote");
    let mut vote = scene.object("Decision", json!({}));
    let spec = json!({"gateRef": {"name": "none", "uid": "none"}, "planDigest": PLAN, "verdict": "Approve", "user": "alice"});
    merge(&mut vote, json!({"spec": spec}));
    table.check(
        "no Gate at all",
        &refused(NO_GATE),
        create(&alice, vote).await,
    );

    let settled = scene
        .open_gate(json!({"metadata": {"labels": {"neuralops.io/settled": "true"}}}))
        .await;
    let late = async || create(&alice, scene.decision(&settled, json!({}))).await;
    soon(
        &mut table,
        "only one labelled settled",
        refused(NO_GATE),
        late,
    )
    .await;

    // Beside an open Gate a labelled one is not looked at: the vote is stored, and nobody counts it.
    let open = scene.open_gate(json!({})).await;
    table.check(
        "the open one beside it",
        &Accepted,
        scene.vote(&alice, &open, json!({})).await,
    );
    table.check(
        "the labelled one",
        &Accepted,
        scene.vote(&alice, &settled, json!({})).await,
    );
}

#[tokio::test]
async fn who_requested_it_does_not_decide_it() {
    let cluster = need!(Users);
    let scene = Scene::set(cluster, "requester").await;
    let alice = scene.approver("alice", "oncall").await;
    let (api, api_name) = scene.account("api").await;
    grant(&scene.ns, &api_name, &[ours("create attest", "decisions")]).await;
    let mut table = Table::of("who requested it does not decide it");
    for (requesters, by_her_hand, by_the_attester) in [
        (json!(["bob"]), Accepted, Accepted),
        (json!(["bob", "alice-2", "xalice"]), Accepted, Accepted),
        (json!(["alice"]), refused(REQUESTER), refused(REQUESTER)),
        (
            json!(["bob", "alice"]),
            refused(REQUESTER),
            refused(REQUESTER),
        ),
        (json!(["ALICE"]), refused(REQUESTER), refused(REQUESTER)),
    ] {
        let gate = scene
            .open_gate(json!({"spec": {"requestedBy": requesters}}))
            .await;
        let by_hand = scene.vote(&alice, &gate, json!({})).await;
        table.check(
            &format!("requested by {requesters}, decided by alice"),
            &by_her_hand,
            by_hand,
        );
        let attested = json!({"spec": {"user": "aLiCe", "attestation": {"issuer": "https://id.example", "subject": "1"}}});
        let by_attester = scene.vote(&api, &gate, attested).await;
        table.check(
            &format!("requested by {requesters}, attested for aLiCe"),
            &by_the_attester,
            by_attester,
        );
    }
    let gate = scene
        .open_gate(json!({"spec": {"requestedBy": ["alice"]}}))
        .await;
    for verdict in ["Reject", "Withdraw"] {
        let got = scene
            .vote(&alice, &gate, json!({"spec": {"verdict": verdict}}))
            .await;
        table.check(
            &format!("a {verdict} of the requester"),
            &refused(REQUESTER),
            got,
        );
    }
}

#[tokio::test]
async fn each_of_eight_roles_is_enough() {
    let cluster = need!(Users);
    let scene = Scene::set(cluster, "eight").await;
    let roles: Vec<String> = (1..=8).map(|number| format!("role-{number}")).collect();
    let rules: Vec<Value> = roles
        .iter()
        .map(|role| json!({"role": role, "min": 1}))
        .collect();
    let gate = scene.open_gate(json!({"spec": {"rules": rules}})).await;
    let mut table = Table::of("each of eight roles is enough");
    for role in &roles {
        let user = format!("holder of {role}");
        let rules = [
            ours("create", "decisions"),
            ours("approve", "approverroles").named(role),
        ];
        grant(&scene.ns, &user, &rules).await;
        let holder = cluster.user(&user).await;
        table.check(
            &user,
            &Accepted,
            scene
                .vote(&holder, &gate, json!({"spec": {"user": user}}))
                .await,
        );
    }
    let mallory = scene.approver("mallory", "role-9").await;
    let all = roles.join(" or ");
    for (verdict, verb) in [
        ("Approve", "approve"),
        ("Reject", "reject"),
        ("Withdraw", "approve"),
    ] {
        let got = scene
            .vote(
                &mallory,
                &gate,
                json!({"spec": {"user": "mallory", "verdict": verdict}}),
            )
            .await;
        table.check(
            verdict,
            &refused(&format!("needs the verb {verb} on approverroles/{all}")),
            got,
        );
    }
}

#[tokio::test]
async fn each_verdict_needs_its_verb() {
    let cluster = need!(Users);
    let scene = Scene::set(cluster, "verbs").await;
    let gate = scene.open_gate(json!({})).await;
    let rules = |verb: &str| {
        [
            ours("create", "decisions"),
            ours(verb, "approverroles").named("oncall"),
        ]
    };
    grant(&scene.ns, "alice", &rules("approve")).await;
    grant(&scene.ns, "bob", &rules("reject")).await;
    let (alice, bob) = (cluster.person("alice").await, cluster.person("bob").await);
    let needs = |verb: &str| refused(&format!("needs the verb {verb} on approverroles/oncall"));
    let cases = [
        ("alice", &alice, "Approve", Accepted),
        ("alice", &alice, "Withdraw", Accepted),
        ("alice", &alice, "Reject", needs("reject")),
        ("bob", &bob, "Approve", needs("approve")),
        ("bob", &bob, "Withdraw", needs("approve")),
        // Last: the operator settles the Gate by it.
        ("bob", &bob, "Reject", Accepted),
    ];
    let mut table = Table::of("each verdict needs its verb");
    for (user, caller, verdict, expected) in cases {
        let got = scene
            .vote(
                caller,
                &gate,
                json!({"spec": {"user": user, "verdict": verdict}}),
            )
            .await;
        table.check(&format!("{user}: {verdict}"), &expected, got);
    }
}

#[tokio::test]
async fn roles_are_granted_by_name() {
    let cluster = need!(Users);
    let scene = Scene::set(cluster, "by-name").await;
    let elsewhere = Scene::set(cluster, "by-name-too").await;
    let gate = scene.open_gate(json!({})).await;
    let needs = || refused("needs the verb approve on approverroles/oncall");
    let roles = |verbs: &str| ours(verbs, "approverroles");
    let cases = [
        ("no role", vec![], needs()),
        ("the role", vec![roles("approve").named("oncall")], Accepted),
        (
            "one of the roles",
            vec![roles("approve").named("owner oncall")],
            Accepted,
        ),
        (
            "another role",
            vec![roles("approve").named("owner")],
            needs(),
        ),
        ("another verb", vec![roles("get").named("oncall")], needs()),
        ("the verb on any role", vec![roles("approve")], Accepted),
        ("the verb on any kind", vec![ours("approve", "*")], Accepted),
        (
            "every verb on the role",
            vec![roles("*").named("oncall")],
            Accepted,
        ),
        (
            "every verb on any role",
            vec![roles("*")],
            refused(WILDCARD),
        ),
        (
            "every verb on any role, and the role by name",
            vec![roles("*"), roles("approve").named("oncall")],
            refused(WILDCARD),
        ),
        (
            "the canary",
            vec![roles("approve wildcard")],
            refused(WILDCARD),
        ),
    ];
    let mut table = Table::of("roles are granted by name");
    for (case, rules, expected) in cases {
        let mut rules = rules;
        rules.push(ours("create", "decisions"));
        grant(&scene.ns, case, &rules).await;
        let caller = cluster.user(case).await;
        table.check(
            case,
            &expected,
            scene
                .vote(&caller, &gate, json!({"spec": {"user": case}}))
                .await,
        );
    }

    // A team that was given everything of ours, and the two ways to hold everything there is.
    grant(&scene.ns, "bob", &[ours("*", "*")]).await;
    bind(&scene.ns, "dave", "cluster-admin").await;
    grant(&scene.ns, "dave", &[roles("approve").named("oncall")]).await;
    let (bob, dave) = (cluster.person("bob").await, cluster.person("dave").await);
    for (case, caller, user) in [
        ("neuralops.io/* *", &bob, "bob"),
        ("cluster-admin who holds the role", &dave, "dave"),
    ] {
        table.check(
            case,
            &refused(WILDCARD),
            scene
                .vote(caller, &gate, json!({"spec": {"user": user}}))
                .await,
        );
    }

    grant_group(
        &scene.ns,
        "team-a",
        &[
            roles("approve").named("oncall"),
            ours("create", "decisions"),
        ],
    )
    .await;
    let carol = cluster.person("carol").await;
    let change = json!({"spec": {"user": "carol", "groups": ["team-a"]}});
    table.check(
        "the role by a group",
        &Accepted,
        scene.vote(&carol, &gate, change).await,
    );

    grant(
        &elsewhere.ns,
        "mallory",
        &[roles("approve").named("oncall")],
    )
    .await;
    grant(&scene.ns, "mallory", &[ours("create", "decisions")]).await;
    let mallory = cluster.person("mallory").await;
    let got = scene
        .vote(&mallory, &gate, json!({"spec": {"user": "mallory"}}))
        .await;
    table.check("the role in another namespace", &needs(), got);

    // The authorizer knows only the caller: the roles of an attested voter are the operator's to check.
    let (api, api_name) = scene.account("api").await;
    grant(&scene.ns, &api_name, &[ours("create attest", "decisions")]).await;
    let attested =
        json!({"spec": {"attestation": {"issuer": "https://id.example", "subject": "1"}}});
    table.check(
        "an attested vote",
        &Accepted,
        scene.vote(&api, &gate, attested).await,
    );
}
