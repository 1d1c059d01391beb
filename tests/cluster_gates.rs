//! Gates with the real operator, real policies and people with rights of their own: who is counted, what settles a Gate, what
//! it costs, and what becomes of votes that nothing proves.

#![expect(
    clippy::too_many_lines,
    reason = "a scene is told from beginning to end"
)]

use std::time::Duration;

use kube::Client;
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use neuralops::adapters::store::{self, Mode, StoreUrl};
use neuralops::domain::audit::event::Event;
use neuralops::domain::audit::record::{Name, Record};
use neuralops::ports::Query;
use serde_json::{Value, json};

use crate::support::{
    AuditEvent, Cluster, Namespace, Operator, OwnCluster, allowed, api, bind_everywhere, create,
    eventually, grant, grant_group, need, ours,
};

const SOON: Duration = Duration::from_secs(30);
const PLAN: &str = "sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae";
const OTHER_PLAN: &str = "sha256:fcde2b2edba56bf408601fb721fe9b5c338d10ee429ea04fae5511b68fbf8fb9";
const OPERATOR: &str = "system:serviceaccount:neuralops-system:neuralops-controller";

/// A namespace with Gates, requested by rita, and people who vote on them.
struct Scene {
    cluster: &'static Cluster,
    ns: Namespace,
    rita: Client,
}

impl Scene {
    async fn set(cluster: &'static Cluster, purpose: &str) -> Self {
        let ns = Namespace::new(cluster, purpose).await;
        grant(&ns, "rita", &[ours("create", "gates decisions")]).await;
        let rita = cluster.user("rita").await;
        let scene = Self { cluster, ns, rita };
        scene.votes_are_trusted().await;
        scene
    }

    /// Votes are trusted from a few seconds after the operator first saw the guard: until one counts.
    async fn votes_are_trusted(&self) {
        let prober = self.approver("prober", "prober").await;
        let gate = self
            .gate(&json!([{"role": "prober", "min": 1}]), json!({}))
            .await;
        let mut last = String::new();
        eventually("a vote counts", SOON, async || {
            if self.state(&gate).await? == "Approved" {
                return Ok(());
            }
            let vote = self.decision(&gate, "prober", "Approve");
            let object: DynamicObject = serde_json::from_value(vote.clone()).expect("an object");
            let dry = PostParams {
                dry_run: true,
                ..PostParams::default()
            };
            let decisions = api(&prober, "Decision", self.ns.name());
            let now = decisions
                .create(&dry, &object)
                .await
                .map_err(|error| error.to_string())?;
            let now = format!("{:?}", now.metadata.creation_timestamp);
            // One a second, by the API server's clock: each may come too early.
            if now != last {
                create(&prober, vote)
                    .await
                    .map_err(|error| error.to_string())?;
                last = now;
            }
            Err(last.clone())
        })
        .await;
    }

    async fn grants(&self, person: &str, roles: &str) {
        let rules = [
            ours("create", "decisions"),
            ours("approve reject", "approverroles").named(roles),
        ];
        grant(&self.ns, person, &rules).await;
    }

    /// Somebody with the right to write votes and to hold these roles.
    async fn approver(&self, person: &str, roles: &str) -> Client {
        self.grants(person, roles).await;
        self.cluster.user(person).await
    }

    /// An open Gate with these rules.
    async fn gate(&self, rules: &Value, more: Value) -> DynamicObject {
        self.gate_as(&self.rita, rules, json!({}), more).await
    }

    async fn gate_as(
        &self,
        by: &Client,
        rules: &Value,
        labels: Value,
        more: Value,
    ) -> DynamicObject {
        let mut gate = json!({
            "apiVersion": "neuralops.io/v1alpha1", "kind": "Gate",
            "metadata": {"namespace": self.ns.name(), "generateName": "t-", "labels": labels},
            "spec": {"subject": {"uid": "5b0c7d5e-0b4a-4a53-8f3f-3f0f1b6a7c11", "planDigest": PLAN}, "rules": rules, "requestedBy": ["rita"]},
        });
        for (name, value) in more.as_object().into_iter().flatten() {
            gate["spec"][name] = value.clone();
        }
        create(by, gate).await.expect("a gate")
    }

    /// A Gate that asks for the role.
    async fn unchecked_gate(&self, way: &Unchecked, min: u32) -> DynamicObject {
        let rules = json!([{"role": "oncall", "min": min}]);
        self.gate_as(&way.by, &rules, way.labels.clone(), json!({}))
            .await
    }

    fn decision(&self, gate: &DynamicObject, user: &str, verdict: &str) -> Value {
        json!({
            "apiVersion": "neuralops.io/v1alpha1", "kind": "Decision",
            "metadata": {"namespace": self.ns.name(), "generateName": "t-"},
            "spec": {"gateRef": {"name": gate.metadata.name, "uid": gate.metadata.uid}, "planDigest": PLAN, "verdict": verdict, "user": user},
        })
    }

    /// Votes; the policies know a new Gate a moment after it was made.
    async fn vote(&self, by: &Client, gate: &DynamicObject, user: &str, verdict: &str) -> String {
        self.cast(by, self.decision(gate, user, verdict)).await
    }

    async fn cast(&self, by: &Client, vote: Value) -> String {
        let stored = eventually("the vote is stored", SOON, async || {
            create(by, vote.clone())
                .await
                .map_err(|error| error.to_string())
        });
        stored.await.metadata.uid.expect("a uid")
    }

    async fn get(&self, gate: &DynamicObject) -> Result<Value, String> {
        let name = gate.metadata.name.as_deref().expect("a name");
        let found = api(self.ns.admin(), "Gate", self.ns.name()).get(name).await;
        serde_json::to_value(found.map_err(|error| error.to_string())?)
            .map_err(|error| error.to_string())
    }

    async fn state(&self, gate: &DynamicObject) -> Result<String, String> {
        let state = self.get(gate).await?["status"]["state"].clone();
        Ok(state.as_str().unwrap_or_default().to_owned())
    }

    /// The Gate, once this holds for it.
    async fn until(
        &self,
        gate: &DynamicObject,
        what: &str,
        holds: impl Fn(&Value) -> bool,
    ) -> Value {
        eventually(what, SOON, async || {
            let found = self.get(gate).await?;
            if holds(&found) {
                Ok(found)
            } else {
                Err(found["status"].to_string())
            }
        })
        .await
    }

    async fn settles(&self, gate: &DynamicObject, state: &str) -> Value {
        let found = self
            .until(gate, state, |gate| gate["status"]["state"] != "Open")
            .await;
        assert_eq!(found["status"]["state"], state, "{}", found["status"]);
        found
    }

    /// The Gate, once these votes and no others are counted.
    async fn counts(&self, gate: &DynamicObject, uids: &[&str]) -> Value {
        self.until(gate, "the vote is counted", |gate| counted(gate) == uids)
            .await
    }

    /// What the operator wrote to this Gate.
    fn writes(&self, mark: u64, gate: &DynamicObject) -> Vec<AuditEvent> {
        let events = self.cluster.audit_since(mark).into_iter();
        let ours = |event: &AuditEvent| {
            event.user == OPERATOR
                && event.resource == "gates"
                && event.namespace == self.ns.name()
                && Some(&event.name) == gate.metadata.name.as_ref()
                && !matches!(event.verb.as_str(), "get" | "list" | "watch")
        };
        events.filter(ours).collect()
    }

    async fn wrote(&self, mark: u64, gate: &DynamicObject, times: usize) {
        eventually("each write is in the audit log", SOON, async || {
            let writes = self.writes(mark, gate);
            if writes.len() >= times {
                Ok(())
            } else {
                Err(format!("{writes:?}"))
            }
        })
        .await;
        let writes = self.writes(mark, gate);
        assert_eq!(writes.len(), times, "{writes:?}");
    }
}

fn counted(gate: &Value) -> Vec<&str> {
    let decisions = gate.pointer("/status/decisions").and_then(Value::as_array);
    decisions
        .into_iter()
        .flatten()
        .filter_map(|decision| decision["uid"].as_str())
        .collect()
}

fn condition<'a>(gate: &'a Value, kind: &str) -> (&'a str, &'a str, &'a str) {
    let conditions = gate.pointer("/status/conditions").and_then(Value::as_array);
    let found = conditions
        .into_iter()
        .flatten()
        .find(|condition| condition["type"] == kind);
    let word = |field: &str| {
        found
            .and_then(|condition| condition[field].as_str())
            .unwrap_or_default()
    };
    (word("status"), word("reason"), word("message"))
}

#[tokio::test(flavor = "multi_thread")]
async fn two_roles_approve_and_anybody_can_wait_for_it() {
    let cluster = need!(Owned, Users);
    let scene = Scene::set(cluster, "approve").await;
    let alice = scene.approver("alice", "oncall service-owner").await;
    let bob = scene.approver("bob", "oncall").await;
    let mark = cluster.audit_mark();
    let rules = json!([{"role": "oncall", "min": 1}, {"role": "service-owner", "min": 1}]);
    let untouched = scene.gate(&rules, json!({})).await;
    let gate = scene.gate(&rules, json!({})).await;
    let name = gate.metadata.name.clone().expect("a name");
    let mut wait = cluster
        .kubectl()
        .args([
            "wait",
            "--for=condition=Approved",
            "--timeout=60s",
            "-n",
            scene.ns.name(),
        ])
        .arg(format!("gate/{name}"))
        .spawn()
        .expect("kubectl runs");

    let first = scene.vote(&alice, &gate, "alice", "Approve").await;
    let open = scene.counts(&gate, &[&first]).await;
    assert_eq!(open["status"]["state"], "Open");
    let rules = json!([{"role": "oncall", "met": 1, "missing": 0}, {"role": "service-owner", "met": 0, "missing": 1}]);
    assert_eq!(open["status"]["rules"], rules);
    assert_eq!(
        condition(&open, "Ready"),
        ("False", "AwaitingApproval", "missing: 1 of service-owner")
    );
    assert_eq!(condition(&open, "Reconciling").0, "True");
    scene.wrote(mark, &gate, 1).await;

    // Bob can only stand for oncall: alice makes room.
    let second = scene.vote(&bob, &gate, "bob", "Approve").await;
    let settled = scene.settles(&gate, "Approved").await;
    assert_eq!(counted(&settled), [first.as_str(), second.as_str()]);
    let message = "approved by alice (service-owner), bob (oncall)";
    assert_eq!(
        condition(&settled, "Approved"),
        ("True", "Approved", message)
    );
    assert_eq!(condition(&settled, "Rejected").0, "False");
    assert_eq!(condition(&settled, "Ready"), ("True", "Approved", message));
    assert_eq!(condition(&settled, "Reconciling").0, "");
    assert_eq!(
        settled["status"]["observedGeneration"],
        settled["metadata"]["generation"]
    );
    let status = eventually("kubectl has waited", SOON, async || match wait.try_wait() {
        Ok(Some(status)) => Ok(status),
        other => Err(format!("{other:?}")),
    });
    assert!(status.await.success());

    // One write a counted vote, none for a Gate that nobody voted on, none for what comes after.
    let single = scene
        .gate(&json!([{"role": "oncall", "min": 1}]), json!({}))
        .await;
    scene.vote(&bob, &single, "bob", "Approve").await;
    scene.settles(&single, "Approved").await;
    scene.wrote(mark, &single, 1).await;
    scene.wrote(mark, &gate, 2).await;
    scene.wrote(mark, &untouched, 0).await;
}

#[tokio::test]
async fn a_vote_can_be_taken_back_and_one_rejection_settles() {
    let cluster = need!(Users);
    let scene = Scene::set(cluster, "reject").await;
    let alice = scene.approver("alice", "oncall").await;
    let bob = scene.approver("bob", "oncall").await;
    let rules = json!([{"role": "oncall", "min": 2}]);

    let gate = scene.gate(&rules, json!({})).await;
    let first = scene.vote(&alice, &gate, "alice", "Approve").await;
    scene.counts(&gate, &[&first]).await;
    scene.vote(&alice, &gate, "alice", "Withdraw").await;
    scene.counts(&gate, &[]).await;
    let second = scene.vote(&bob, &gate, "bob", "Approve").await;
    let open = scene.counts(&gate, &[&second]).await;
    assert_eq!(
        open["status"]["state"], "Open",
        "what was taken back still counts"
    );
    let third = scene.vote(&alice, &gate, "alice", "Approve").await;
    let settled = scene.settles(&gate, "Approved").await;
    assert_eq!(counted(&settled), [second.as_str(), third.as_str()]);

    let gate = scene.gate(&rules, json!({})).await;
    let yes = scene.vote(&alice, &gate, "alice", "Approve").await;
    scene.counts(&gate, &[&yes]).await;
    let no = scene.vote(&bob, &gate, "bob", "Reject").await;
    let settled = scene.settles(&gate, "Rejected").await;
    assert_eq!(counted(&settled), [no.as_str(), yes.as_str()]);
    assert_eq!(
        condition(&settled, "Rejected"),
        ("True", "Rejected", "rejected by bob")
    );
    assert_eq!(condition(&settled, "Approved").0, "False");
    assert_eq!(condition(&settled, "Ready").0, "True");
}

#[tokio::test]
async fn a_deadline_ends_the_question() {
    let cluster = need!(Owned, Users);
    let scene = Scene::set(cluster, "deadline").await;
    let alice = scene.approver("alice", "oncall").await;
    let mark = cluster.audit_mark();
    let past = json!({"deadline": "2020-01-01T00:00:00Z", "onTimeout": "Approve"});
    let gate = scene
        .gate(&json!([{"role": "oncall", "min": 1}]), past)
        .await;
    let settled = scene.settles(&gate, "Expired").await;
    assert_eq!(
        condition(&settled, "Rejected"),
        (
            "True",
            "Expired",
            "the deadline, 2020-01-01T00:00:00Z, has passed; missing: 1 of oncall; onTimeout Approve is taken as Reject: the Gate stands alone, and no signed Playbook says who approves"
        )
    );
    assert_eq!(condition(&settled, "Ready").0, "True");
    scene.wrote(mark, &gate, 1).await;

    let soon = jiff::Timestamp::from_second(api_time(&scene).await + 6).expect("a time");
    let soon = json!({"deadline": soon.to_string()});
    let gate = scene
        .gate(&json!([{"role": "oncall", "min": 2}]), soon)
        .await;
    let vote = scene.vote(&alice, &gate, "alice", "Approve").await;
    scene.counts(&gate, &[&vote]).await;
    let settled = scene.settles(&gate, "Expired").await;
    assert_eq!(counted(&settled), [vote.as_str()]);
    assert!(
        condition(&settled, "Ready")
            .2
            .ends_with("missing: 1 of oncall"),
        "{settled}"
    );
}

/// Now, by the API server's clock.
async fn api_time(scene: &Scene) -> i64 {
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "clock", "namespace": scene.ns.name()}});
    let object: DynamicObject = serde_json::from_value(object).expect("an object");
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let maps = api(scene.ns.admin(), "ConfigMap", scene.ns.name());
    let made = maps.create(&dry, &object).await.expect("a dry run");
    made.metadata
        .creation_timestamp
        .expect("a time")
        .0
        .as_second()
}

/// Somebody whom the policies take for the operator.
async fn operating(scene: &Scene) -> Client {
    let name = format!("system:serviceaccount:{}:operator", scene.ns.name());
    let rules = [ours("operate", "gates decisions"), ours("create", "gates")];
    grant(&scene.ns, &name, &rules).await;
    scene
        .cluster
        .service_account(scene.ns.name(), "operator")
        .await
}

/// How a Gate is made at which nothing is refused early.
struct Unchecked {
    by: Client,
    labels: Value,
}

/// `decision-gate` never looks at Gates with the label of settled ones.
#[tokio::test]
async fn the_controller_checks_by_itself_what_admission_let_in() {
    let cluster = need!(Users);
    let scene = Scene::set(cluster, "unchecked").await;
    let labelled = Unchecked {
        by: operating(&scene).await,
        labels: json!({"neuralops.io/settled": "true"}),
    };
    // Without any Gate to check by, the policy refuses every vote.
    scene
        .gate(&json!([{"role": "oncall", "min": 1}]), json!({}))
        .await;
    refuses_by_itself(&scene, &labelled).await;
}

/// `decision-gate` refuses early and kindly, and proves nothing: it may be left out, and the same is refused all the same.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_early_policy_the_controller_alone_refuses_the_same() {
    need!(Owned);
    let bed = Own::start("alone").await;
    bed.remove("decision-gate").await;
    let plain = Unchecked {
        by: bed.scene.rita.clone(),
        labels: json!({}),
    };
    refuses_by_itself(&bed.scene, &plain).await;
    let codes = bed.guard_records().await;
    assert_eq!(codes, ["guard.whole"], "it is no part of the guard");
}

/// Each vote here is stored, and bob's good one shows how far the Gate is.
async fn refuses_by_itself(scene: &Scene, way: &Unchecked) {
    let cluster = scene.cluster;
    let bob = scene.approver("bob", "oncall").await;
    for person in ["rita", "Rita", "Bob"] {
        scene.grants(person, "oncall").await;
    }
    scene.grants("dave", "other").await;
    grant(&scene.ns, "mallory", &[ours("create", "decisions")]).await;
    grant(
        &scene.ns,
        "attester",
        &[
            ours("create attest", "decisions"),
            ours("attest", "orchestrations"),
        ],
    )
    .await;
    let admin = crate::support::random("t-admin");
    bind_everywhere(&scene.ns, &admin, "cluster-admin").await;
    grant_group(
        &scene.ns,
        "t-sre",
        &[
            ours("create", "decisions"),
            ours("approve", "approverroles").named("oncall"),
        ],
    )
    .await;

    let mut cases: Vec<(&str, &str, Client, Value, &str)> = Vec::new();
    for (case, user, change, why) in [
        (
            "the requester",
            "rita",
            json!({}),
            "who requested this may not decide it",
        ),
        (
            "the requester in other letters",
            "Rita",
            json!({}),
            "who requested this may not decide it",
        ),
        (
            "another plan",
            "bob",
            json!({"planDigest": OTHER_PLAN}),
            "it is about another plan",
        ),
        ("no role", "mallory", json!({}), "none of the roles"),
        ("another role", "dave", json!({}), "none of the roles"),
        (
            "a wildcard",
            admin.as_str(),
            json!({}),
            "a wildcard grant makes no approver",
        ),
    ] {
        cases.push((case, user, cluster.user(user).await, change, why));
    }
    let member = cluster.impersonate("erin", &["t-sre"]).await;
    cases.push((
        "a group that the vote does not name",
        "erin",
        member.clone(),
        json!({}),
        "none of the roles",
    ));
    for (case, user, by, change, why) in cases {
        let gate = scene.unchecked_gate(way, 2).await;
        let mut vote = scene.decision(&gate, user, "Approve");
        for (name, value) in change.as_object().expect("fields") {
            vote["spec"][name] = value.clone();
        }
        scene.cast(&by, vote).await;
        if case == "another plan" {
            // Against bob's own good vote it would be the older one.
            let carol = scene.approver("carol", "oncall").await;
            let good = scene.vote(&carol, &gate, "carol", "Approve").await;
            let open = scene.counts(&gate, &[&good]).await;
            assert!(
                condition(&open, "Ready").2.contains(why),
                "{case}: {}",
                open["status"]
            );
            continue;
        }
        let good = scene.vote(&bob, &gate, "bob", "Approve").await;
        let open = scene.counts(&gate, &[&good]).await;
        assert_eq!(open["status"]["state"], "Open", "{case}");
        let (_, _, message) = condition(&open, "Ready");
        assert!(
            message.starts_with("missing: 1 of oncall; not counted: ") && message.contains(why),
            "{case}: {message}"
        );
    }

    // The same person in other letters fills one place.
    let gate = scene.unchecked_gate(way, 2).await;
    let first = scene.vote(&bob, &gate, "bob", "Approve").await;
    scene.counts(&gate, &[&first]).await;
    let shouting = cluster.user("Bob").await;
    let second = scene.vote(&shouting, &gate, "Bob", "Approve").await;
    let open = scene.counts(&gate, &[&second]).await;
    assert_eq!(
        open["status"]["state"], "Open",
        "one person filled two places"
    );

    // A role that is bound to a group counts for a vote that names the group.
    let gate = scene.unchecked_gate(way, 1).await;
    let mut vote = scene.decision(&gate, "erin", "Approve");
    vote["spec"]["groups"] = json!(["t-sre"]);
    scene.cast(&member, vote).await;
    scene.settles(&gate, "Approved").await;

    // Who may only approve does not reject.
    let gate = scene.unchecked_gate(way, 2).await;
    let mut vote = scene.decision(&gate, "erin", "Reject");
    vote["spec"]["groups"] = json!(["t-sre"]);
    scene.cast(&member, vote).await;
    let good = scene.vote(&bob, &gate, "bob", "Approve").await;
    assert_eq!(
        scene.counts(&gate, &[&good]).await["status"]["state"],
        "Open"
    );

    // An attested vote fills a place where the rule takes it, and none where it asks for more.
    let attester = cluster.user("attester").await;
    for (evidence, state) in [("ApiServer", "Open"), ("Attested", "Approved")] {
        let rules = json!([{"role": "oncall", "min": 2, "evidence": evidence}]);
        let labels = way.labels.clone();
        let gate = scene.gate_as(&way.by, &rules, labels, json!({})).await;
        let mut vote = scene.decision(&gate, "carol", "Approve");
        vote["spec"]["attestation"] = json!({"issuer": "i", "subject": "carol"});
        scene.cast(&attester, vote).await;
        let good = scene.vote(&bob, &gate, "bob", "Approve").await;
        let found = scene
            .until(&gate, "bob is counted", |gate| {
                counted(gate).contains(&good.as_str())
            })
            .await;
        if state == "Approved" {
            scene.settles(&gate, state).await;
        } else {
            assert_eq!(counted(&found), [good.as_str()], "{}", found["status"]);
            assert!(
                condition(&found, "Ready")
                    .2
                    .contains("this one was attested"),
                "{}",
                found["status"]
            );
        }
    }
}

#[tokio::test]
async fn a_right_that_is_gone_counts_no_more() {
    let cluster = need!(Users);
    let scene = Scene::set(cluster, "revoked").await;
    let alice = scene.approver("alice", "oncall").await;
    let bob = scene.approver("bob", "oncall").await;
    let gate = scene
        .gate(&json!([{"role": "oncall", "min": 2}]), json!({}))
        .await;
    let first = scene.vote(&alice, &gate, "alice", "Approve").await;
    scene.counts(&gate, &[&first]).await;

    let bindings = api(scene.ns.admin(), "RoleBinding", scene.ns.name());
    for binding in bindings
        .list(&ListParams::default())
        .await
        .expect("bindings")
    {
        if binding.data["subjects"][0]["name"] == "alice" {
            let name = binding.metadata.name.expect("a name");
            bindings
                .delete(&name, &DeleteParams::default())
                .await
                .expect("deleted");
        }
    }
    let role = ours("approve", "approverroles").named("oncall");
    eventually("alice holds no role", SOON, async || {
        if allowed(scene.ns.admin(), Some(scene.ns.name()), "alice", &role).await {
            Err("she does".to_owned())
        } else {
            Ok(())
        }
    })
    .await;
    let second = scene.vote(&bob, &gate, "bob", "Approve").await;
    let open = scene.counts(&gate, &[&second]).await;
    assert_eq!(open["status"]["state"], "Open");
    assert!(
        condition(&open, "Ready")
            .2
            .contains("alice: the voter holds none of the roles"),
        "{}",
        open["status"]
    );
}

/// Guarded by its own operator, which nobody else disturbs. Dropped in this order.
struct Own {
    scene: Scene,
    operator: Operator,
    own: OwnCluster,
}

impl Own {
    async fn start(purpose: &str) -> Self {
        let own = OwnCluster::start().await;
        // Altered once and put back: only the operator's record tells since when it is whole.
        let weaker = Patch::Merge(json!({"spec": {"failurePolicy": "Ignore"}}));
        let policies = api(
            &own.cluster().admin().await,
            "ValidatingAdmissionPolicy",
            "",
        );
        let params = PatchParams::default();
        policies
            .patch("keep.neuralops.io", &params, &weaker)
            .await
            .expect("patched");
        own.install();
        let operator = own.operator(&[]);
        operator.ready().await;
        let scene = Scene::set(own.cluster(), purpose).await;
        Self {
            own,
            operator,
            scene,
        }
    }

    async fn remove(&self, policy: &str) {
        for kind in [
            "ValidatingAdmissionPolicyBinding",
            "ValidatingAdmissionPolicy",
        ] {
            let name = format!("{policy}.neuralops.io");
            let objects = api(self.scene.ns.admin(), kind, "");
            objects
                .delete(&name, &DeleteParams::default())
                .await
                .expect("deleted");
        }
    }

    async fn stop(&mut self) {
        self.operator.signal("TERM");
        let status = self.operator.ended(SOON).await;
        assert!(status.success(), "{status}: {}", self.operator.log_tail());
    }

    fn again(&mut self) {
        self.operator = self.own.operator(&[]);
    }

    /// What is on record, oldest first.
    async fn records(&self) -> Vec<Record> {
        let url = StoreUrl::sqlite(&self.own.data().join("audit.db"));
        let store = store::open(&url, Mode::Reader).await.expect("the store");
        let query = Query {
            limit: 1000,
            ..Query::default()
        };
        let leaves = store.query(query).await.expect("leaves");
        let parse = |body: &[u8]| Record::parse(body).expect("a record");
        leaves.iter().map(|leaf| parse(&leaf.body)).collect()
    }

    /// What is on record about the guard, oldest first.
    async fn guard_records(&self) -> Vec<&'static str> {
        let records = self.records().await;
        let codes = records.iter().map(|record| record.fact.code.code());
        codes.filter(|code| code.starts_with("guard.")).collect()
    }
}

/// Nothing proves who votes while a policy of the guard is missing, whichever: nothing is counted, the Gate says so, and what was
/// written meanwhile is never believed.
#[tokio::test(flavor = "multi_thread")]
async fn votes_of_a_gap_in_the_guard_are_never_counted() {
    need!(Owned);
    let bed = Own::start("gap").await;
    let scene = &bed.scene;
    let alice = scene.approver("alice", "oncall").await;
    let bob = scene.approver("bob", "oncall").await;
    let mallory = scene.approver("mallory", "oncall").await;
    // Without the first, mallory writes as bob; without the second, bob's own vote cannot be told from any other.
    for (policy, forger) in [("decision-identity", &mallory), ("gate-origin", &bob)] {
        let gate = scene
            .gate(&json!([{"role": "oncall", "min": 2}]), json!({}))
            .await;
        let before = scene.vote(&alice, &gate, "alice", "Approve").await;
        scene.counts(&gate, &[&before]).await;
        bed.remove(policy).await;
        scene.vote(forger, &gate, "bob", "Approve").await;
        let says = |reason: &'static str| {
            move |gate: &Value| condition(gate, "Ready").1 == reason && counted(gate).is_empty()
        };
        let missing = scene
            .until(&gate, "nothing is counted", says("AdmissionGuardMissing"))
            .await;
        assert_eq!(missing["status"]["state"], "Open");

        bed.own.install();
        let back = scene
            .until(&gate, "the guard is back", says("AwaitingApproval"))
            .await;
        let (_, _, message) = condition(&back, "Ready");
        assert!(
            message.starts_with("missing: 2 of oncall; not counted: "),
            "{message}"
        );
        assert!(
            message.contains("the approval of bob: the admission guard was not known to be whole"),
            "{message}"
        );
        scene.votes_are_trusted().await;
        let first = scene.vote(&alice, &gate, "alice", "Approve").await;
        let open = scene.counts(&gate, &[&first]).await;
        assert_eq!(open["status"]["state"], "Open", "a vote of the gap counts");
        let second = scene.vote(&bob, &gate, "bob", "Approve").await;
        let settled = scene.settles(&gate, "Approved").await;
        assert_eq!(counted(&settled), [first.as_str(), second.as_str()]);
    }
    let codes = bed.guard_records().await;
    let whole = Some(&"guard.whole");
    assert_eq!((codes.first(), codes.last()), (whole, whole), "{codes:?}");
    assert!(
        codes.iter().filter(|code| **code == "guard.broken").count() >= 2,
        "{codes:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_distrusts_votes_only_if_the_guard_changed_meanwhile() {
    need!(Owned);
    let mut bed = Own::start("restart").await;
    let alice = bed.scene.approver("alice", "oncall").await;
    let bob = bed.scene.approver("bob", "oncall").await;
    let rules = json!([{"role": "oncall", "min": 2}]);
    let gate = bed.scene.gate(&rules, json!({})).await;
    let first = bed.scene.vote(&alice, &gate, "alice", "Approve").await;
    bed.scene.counts(&gate, &[&first]).await;
    bed.stop().await;
    let second = bed.scene.vote(&bob, &gate, "bob", "Approve").await;
    bed.again();
    let settled = bed.scene.settles(&gate, "Approved").await;
    assert_eq!(counted(&settled), [first.as_str(), second.as_str()]);
    assert_eq!(
        bed.guard_records().await,
        ["guard.whole"],
        "the same guard is recorded once"
    );

    // The leaf says who approved what.
    let records = bed.records().await;
    let approved = |record: &&Record| record.fact.code == Event::GateApproved;
    let leaf = &records
        .iter()
        .rfind(approved)
        .expect("the approval is on record")
        .fact;
    let names = |uids: [&String; 2]| uids.map(|uid| Name::from(uid.as_str())).to_vec();
    assert_eq!(leaf.decisions, names([&first, &second]));
    assert_eq!(leaf.gate, gate.metadata.uid.as_deref().map(Name::from));
    assert_eq!(
        leaf.plan_digest
            .as_ref()
            .map(ToString::to_string)
            .as_deref(),
        Some(PLAN)
    );

    // The same policies, but others than those that were seen: what came in between is anybody's.
    let gate = bed.scene.gate(&rules, json!({})).await;
    let first = bed.scene.vote(&alice, &gate, "alice", "Approve").await;
    bed.scene.counts(&gate, &[&first]).await;
    bed.stop().await;
    bed.remove("decision-identity").await;
    bed.scene.vote(&bob, &gate, "bob", "Approve").await;
    bed.own.install();
    bed.again();
    let open = bed.scene.counts(&gate, &[]).await;
    assert_eq!(open["status"]["state"], "Open");
    assert!(
        condition(&open, "Ready")
            .2
            .contains("was not known to be whole"),
        "{}",
        open["status"]
    );
    assert_eq!(bed.guard_records().await, ["guard.whole", "guard.whole"]);
}
