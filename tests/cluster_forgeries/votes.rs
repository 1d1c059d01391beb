//! Votes that must not count: the requester's own by every spelling, somebody else's name, another plan, another Gate, no
//! role, a role that was taken away. Some are refused when they are cast; those that slip past by naming no Gate that there
//! is are stored, and count nothing.

use futures::future::join_all;
use kube::Client;
use serde_json::{Value, json};

use super::{lend, take_back};
use crate::support::{
    Scene, bind, bind_everywhere, create, grant, need, ours, scale, told, waits_for,
};

struct Ballot {
    vote: Value,
}

impl Ballot {
    /// A good vote on the Gate of this run, but for its voter.
    fn of(scene: &Scene, run: &Value) -> Self {
        let gate = &run["status"]["gates"][0];
        let vote = json!({
            "apiVersion": "neuralops.io/v1alpha1", "kind": "Decision",
            "metadata": {"generateName": "forged-", "namespace": scene.ns.name()},
            "spec": {
                "gateRef": {"name": gate["name"], "uid": gate["uid"]},
                "planDigest": run["status"]["plan"]["digest"],
                "verdict": "Approve",
            },
        });
        Self { vote }
    }

    fn by(&self, user: &str, change: &Value) -> Value {
        let mut vote = self.vote.clone();
        vote["spec"]["user"] = json!(user);
        for (at, value) in change.as_object().into_iter().flatten() {
            let (parent, name) = at.rsplit_once('/').expect("a pointer");
            vote.pointer_mut(parent).expect("a parent")[name] = value.clone();
        }
        vote
    }
}

const NO_GATE: &str = "/spec/gateRef/name";

/// Who casts it, as whom, what is changed in it, and what of the refusal; nothing: it is stored.
fn rows(other: &Value) -> Vec<(&'static str, &'static str, Value, Option<&'static str>)> {
    let none = || json!({});
    let slips = || json!({NO_GATE: "nothing"});
    let other_plan = format!("sha256:{}", "a".repeat(64));
    vec![
        (
            "alice",
            "alice",
            none(),
            Some("who requested this may not decide it|your own name"),
        ),
        (
            "alice",
            "Alice",
            none(),
            Some("your own name|requested this|no approver|verb approve|do not decide"),
        ),
        (
            "alice",
            "ALICE",
            none(),
            Some("your own name|requested this|no approver|verb approve|do not decide"),
        ),
        ("alice", "alice ", none(), Some("spec.user")),
        ("alice", " alice", none(), Some("spec.user")),
        ("alice", "аlice", none(), Some("spec.user")),
        (
            "alice",
            "bob",
            none(),
            Some("your own name|requested this|no approver|verb approve|do not decide"),
        ),
        (
            "alice",
            "system:alice",
            none(),
            Some("your own name|requested this|no approver|verb approve|do not decide"),
        ),
        ("alice", "", none(), Some("spec.user")),
        (
            "Alice",
            "Alice",
            none(),
            Some("who requested this may not decide it|your own name"),
        ),
        (
            "aLICE",
            "aLICE",
            none(),
            Some("who requested this may not decide it|your own name"),
        ),
        ("alice", "alice", slips(), None),
        ("Alice", "Alice", slips(), None),
        (
            "bob",
            "bob",
            json!({"/spec/planDigest": other_plan}),
            Some("the Gate is about plan"),
        ),
        (
            "bob",
            "bob",
            json!({"/spec/planDigest": other["status"]["plan"]["digest"]}),
            Some("the Gate is about plan"),
        ),
        (
            "bob",
            "bob",
            json!({"/spec/gateRef/uid": other["status"]["gates"][0]["uid"]}),
            Some("another Gate of that name"),
        ),
        (
            "bob",
            "bob",
            json!({NO_GATE: other["status"]["gates"][0]["name"]}),
            Some("another Gate of that name"),
        ),
        (
            "bob",
            "bob",
            json!({"/spec/verdict": "approve"}),
            Some("spec.verdict"),
        ),
        (
            "bob",
            "bob",
            json!({"/spec/groups": ["system:masters"]}),
            Some("groups you are in"),
        ),
        (
            "bob",
            "bob",
            json!({"/spec/attestation": {"issuer": "i", "subject": "s"}}),
            Some("attestation"),
        ),
        (
            "bob",
            "dave",
            json!({"/spec/attestation": {"issuer": "i", "subject": "s"}}),
            Some("your own name|requested this|no approver|verb approve|do not decide"),
        ),
        (
            "bob",
            "bob",
            json!({"/metadata/finalizers": ["example.com/keep"]}),
            Some("no finalizers"),
        ),
        (
            "carol",
            "carol",
            none(),
            Some("needs the verb approve on approverroles/oncall"),
        ),
        ("carol", "carol", slips(), None),
        (
            "carol",
            "carol",
            json!({NO_GATE: "nothing", "/spec/groups": ["team-a"]}),
            None,
        ),
        (
            "boss",
            "boss",
            none(),
            Some("a wildcard grant makes no approver"),
        ),
        ("boss", "boss", slips(), None),
        ("robot", "robot", none(), Some("do not decide|verb approve")),
        (
            "robot",
            "bob",
            none(),
            Some("your own name|requested this|no approver|verb approve|do not decide"),
        ),
        ("mallory", "mallory", none(), Some("cannot create resource")),
        ("mallory", "bob", slips(), Some("cannot create resource")),
        (
            "dave",
            "dave",
            json!({"/spec/planDigest": other["status"]["plan"]["digest"], NO_GATE: "nothing"}),
            None,
        ),
    ]
}

struct People {
    boss: String,
    robot: String,
}

impl People {
    async fn invited(scene: &Scene) -> Self {
        let ns = &scene.ns;
        let (boss, robot) = (
            format!("boss of {}", ns.name()),
            super::account(ns.name(), "robot"),
        );
        let roles = || ours("approve reject", "approverroles").named("oncall");
        for person in ["alice", "Alice", "aLICE", "carol", &boss, &robot] {
            bind(ns, person, "neuralops-approver").await;
        }
        for person in ["alice", "Alice", "aLICE", &robot] {
            grant(ns, person, &[roles()]).await;
        }
        bind_everywhere(ns, &boss, "cluster-admin").await;
        Self { boss, robot }
    }

    fn name<'a>(&'a self, word: &'a str) -> &'a str {
        match word {
            "boss" => &self.boss,
            "robot" => &self.robot,
            other => other,
        }
    }

    async fn client(&self, scene: &Scene, word: &str) -> Client {
        match word {
            "alice" | "bob" | "carol" | "dave" | "mallory" => scene.cluster.person(word).await,
            "robot" => {
                scene
                    .cluster
                    .service_account(scene.ns.name(), "robot")
                    .await
            }
            other => scene.cluster.user(self.name(other)).await,
        }
    }
}

#[tokio::test]
async fn no_vote_counts_that_is_not_its_voters_own() {
    let cluster = need!(Users, Owned);
    let scene = Scene::set(cluster, "votes").await;
    let people = People::invited(&scene).await;
    let mark = cluster.audit_mark();
    scene.workloads(&["d", "other"]).await;
    let run = scene.run("r", json!([scale("s", "d", 3)]), json!({})).await;
    let other = scene
        .run("other", json!([scale("s", "other", 3)]), json!({}))
        .await;
    // From now on the policies know both Gates.
    for one in [&run, &other] {
        scene.vote("bob", one, "Withdraw").await.expect("a vote");
    }
    let ballot = Ballot::of(&scene, &run);
    let mut stored = 0;
    for (who, user, change, refusal) in rows(&other) {
        let client = people.client(&scene, who).await;
        let cast = create(&client, ballot.by(people.name(user), &change)).await;
        let what = format!("{who} as {user:?} with {change}");
        match (cast, refusal) {
            (Ok(_), None) => stored += 1,
            (Err(error), Some(says)) => {
                // Of two policies that refuse, either answers.
                let error = error.to_string();
                let said = says.split('|').any(|says| error.contains(says));
                assert!(said, "{what}: {error}");
            }
            (cast, _) => panic!("{what}: {cast:?}"),
        }
    }
    assert!(stored > 5, "{stored}");
    scene.meanwhile().await;
    for name in ["r", "other"] {
        let now = scene.object("Orchestration", name).await;
        assert_eq!(now["status"]["stage"], "Approve", "{now:#}");
        let gate = now["status"]["gates"][0]["name"].as_str().expect("a name");
        let gate = scene.object("Gate", gate).await;
        assert_eq!(gate["status"]["state"], "Open", "{gate:#}");
    }
    assert_eq!(scene.effects(mark).await, Vec::<String>::new());
    // None of that stands in the way of a good vote, and none of it is named where that one is.
    let good = scene.vote("bob", &run, "Approve").await.expect("a vote");
    scene.ended("r", "Succeeded").await;
    let records = scene
        .records(run["metadata"]["uid"].as_str().expect("a uid"))
        .await;
    let started = records
        .iter()
        .find(|record| record.fact.code.code() == "run.started");
    let started = serde_json::to_value(&started.expect("it began").fact).expect("JSON");
    assert_eq!(
        started["decisions"],
        json!([good.metadata.uid]),
        "{started}"
    );
    assert_eq!(scene.effects(mark).await, ["patch deployments d"]);
    // The vote is evidence: nobody edits or deletes it.
    let name = good.metadata.name.expect("a name");
    for person in ["alice", "bob", "boss"] {
        let client = people.client(&scene, person).await;
        let edit = scene.patch(
            &client,
            "Decision",
            &name,
            json!({"metadata": {"labels": {"a": "b"}}}),
        );
        assert!(edit.await.is_err(), "{person} edits it");
        let deleted = crate::support::api(&client, "Decision", scene.ns.name())
            .delete(&name, &kube::api::DeleteParams::default())
            .await;
        assert!(deleted.is_err(), "{person} deletes it");
    }
}

#[tokio::test]
async fn what_becomes_of_votes_and_voters_after_the_count() {
    let cluster = need!(Users, Owned);
    let scene = Scene::set(cluster, "votes").await;
    let mark = cluster.audit_mark();
    let rows = [
        "role-gone",
        "role-gone-and-back",
        "changed-mind",
        "binding-gone",
    ];
    scene.workloads(&rows).await;
    bind(&scene.ns, "carol", "neuralops-approver").await;
    let role = |row: &str| json!([{"apiGroups": ["neuralops.io"], "verbs": ["approve", "reject"], "resources": ["approverroles"], "resourceNames": [format!("role-{row}")]}]);
    let scene = &scene;
    let runs = join_all(rows.map(async |row| {
        lend(scene, row, "carol", role(row)).await;
        let mut playbook = scene.playbook(row, json!([scale("s", row, 3)]));
        playbook["spec"]["approval"][0]["rules"][0]["role"] = json!(format!("role-{row}"));
        scene.signed(playbook).await;
        scene.ask(row, row, json!({"start": "OnRelease"})).await;
        let run = scene.asked(row).await;
        scene.vote("carol", &run, "Approve").await.expect("a vote");
        scene
            .until(row, "waits", waits_for("AwaitingRelease"))
            .await
    }))
    .await;
    for row in ["role-gone", "role-gone-and-back", "binding-gone"] {
        take_back(scene, row, "carol").await;
    }
    // The role may vote for bob now; it was carol who did.
    let bobs = json!([{"apiGroups": ["neuralops.io"], "verbs": ["approve"], "resources": ["approverroles"], "resourceNames": ["role-binding-gone"]}]);
    lend(scene, "bobs", "bob", bobs).await;
    scene.delete("Role", "role-gone-and-back").await;
    lend(
        scene,
        "role-gone-and-back",
        "carol",
        role("role-gone-and-back"),
    )
    .await;
    // Too late for everybody: refused by the policy, or stored and not counted.
    let late = &runs[2];
    for verdict in ["Withdraw", "Reject"] {
        assert!(scene.vote("carol", late, verdict).await.is_err());
    }
    let vote = Ballot::of(scene, late).by(
        "carol",
        &json!({NO_GATE: "nothing", "/spec/verdict": "Reject"}),
    );
    create(&cluster.person("carol").await, vote)
        .await
        .expect("it is stored");
    for row in rows {
        let released = scene.set_run("alice", row, json!({"releasedBy": "alice"}));
        released.await.expect("released");
    }
    for row in ["role-gone", "binding-gone"] {
        let run = scene.ended(row, "Superseded").await;
        assert!(
            told(&run["status"]).contains("votes do not approve"),
            "{run:#}"
        );
    }
    for row in ["role-gone-and-back", "changed-mind"] {
        scene.ended(row, "Succeeded").await;
    }
    let mut effects = scene.effects(mark).await;
    effects.sort();
    assert_eq!(
        effects,
        [
            "patch deployments changed-mind",
            "patch deployments role-gone-and-back"
        ]
    );
}
