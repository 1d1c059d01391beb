//! The commands of people against a real API server, each person with their own kubeconfig. Gates, plans and statuses
//! are written by hand as the operator writes them, in a control plane without an operator: what is tested here is what
//! the commands make of them, and nothing settles a Gate meanwhile.

use std::io::Write as _;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::LocalBoxFuture;
use kube::Client;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams};
use neuralops::domain::digest::Digest;
use serde_json::{Value, json};

use crate::cluster_playbook::playbook;
use crate::support::{
    Cluster, Namespace, OwnCluster, api, bind, bind_everywhere, create, eventually, grant,
    grant_group, need, ours,
};

mod decide;
mod look;
mod stop;

const SOON: Duration = Duration::from_secs(20);

/// Runs its arguments in a terminal of their own.
const TERMINAL: &str =
    "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";

/// What a command answered.
struct Answer {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Answer {
    fn of(output: std::process::Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).expect("text"),
            err: String::from_utf8(output.stderr).expect("text"),
        }
    }

    /// It did what it was to do, and said this.
    #[track_caller]
    fn says(&self, parts: &[&str]) -> &Self {
        self.ended(0, &self.out, parts)
    }

    /// It failed with this code, and said this.
    #[track_caller]
    fn fails(&self, code: i32, parts: &[&str]) -> &Self {
        self.ended(code, &self.err, parts)
    }

    #[track_caller]
    fn ended(&self, code: i32, text: &str, parts: &[&str]) -> &Self {
        let whole = format!("{:?}\n{}\n{}", self.code, self.out, self.err);
        assert_eq!(self.code, Some(code), "{whole}");
        for part in parts {
            assert!(text.contains(part), "not there: {part}\n{whole}");
        }
        self
    }
}

/// alice asks for runs; bob holds the role oncall by name, dave by his group; carol may vote and holds no role; mallory
/// has no rights at all. The operator of the namespace is an account of the test.
struct Bed {
    cluster: &'static Cluster,
    ns: Namespace,
    operator: Client,
}

impl Bed {
    async fn set(cluster: &'static Cluster, purpose: &str) -> Self {
        let ns = Namespace::new(cluster, purpose).await;
        let name = format!("system:serviceaccount:{}:operator", ns.name());
        let rules = [
            ours("operate", "gates decisions"),
            ours("get create patch delete", "gates orchestrations"),
            ours("patch", "gates/status orchestrations/status"),
        ];
        grant(&ns, &name, &rules).await;
        let operator = cluster.service_account(ns.name(), "operator").await;
        bind(&ns, "alice", "neuralops-engineer").await;
        for person in ["alice", "bob", "carol", "dave"] {
            bind(&ns, person, "neuralops-approver").await;
        }
        let role = || ours("approve reject", "approverroles").named("oncall");
        grant(&ns, "bob", &[role()]).await;
        grant(&ns, "alice", &[role()]).await;
        grant_group(&ns, "team-b", &[role()]).await;
        create(ns.admin(), playbook("restart", ns.name()))
            .await
            .expect("a playbook");
        Self {
            cluster,
            ns,
            operator,
        }
    }

    fn admin(&self) -> &Client {
        self.ns.admin()
    }

    fn kubeconfig(&self, person: &str) -> PathBuf {
        self.cluster.kubeconfig_file().with_file_name(person)
    }

    fn command(&self, person: &str, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_neuralops"));
        command
            .args(args)
            .arg("--kubeconfig")
            .arg(self.kubeconfig(person))
            .env_clear()
            .stdin(Stdio::null());
        command
    }

    /// A command of somebody in this namespace.
    fn here(&self, person: &str, args: &[&str]) -> Answer {
        self.everywhere(person, &[args, &["-n", self.ns.name()]].concat())
    }

    /// The same by somebody in front of a terminal who types this.
    fn typing(&self, person: &str, args: &[&str], typed: &str) -> Answer {
        let command = self.command(person, &[args, &["-n", self.ns.name()]].concat());
        let mut terminal = Command::new("python3");
        terminal
            .args(["-c", TERMINAL])
            .arg(command.get_program())
            .args(command.get_args())
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = terminal.spawn().expect("python3 runs");
        let mut input = child.stdin.take().expect("its input");
        input.write_all(typed.as_bytes()).expect("typed");
        let answer = Answer::of(child.wait_with_output().expect("it ends"));
        drop(input);
        answer
    }

    /// A command of somebody, without a namespace.
    fn everywhere(&self, person: &str, args: &[&str]) -> Answer {
        Answer::of(self.command(person, args).output().expect("neuralops runs"))
    }

    /// The same, not waited for.
    fn begin(&self, person: &str, args: &[&str]) -> Child {
        let mut command = self.command(person, &[args, &["-n", self.ns.name()]].concat());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("neuralops runs")
    }

    /// Applies what a command printed, strictly.
    fn apply(&self, printed: &Answer) {
        printed.says(&[]);
        let mut kubectl = self.cluster.kubectl();
        let kubectl = kubectl.args(["apply", "--validate=strict", "-f", "-"]);
        let kubectl = kubectl.stdin(Stdio::piped()).stdout(Stdio::null());
        let mut kubectl = kubectl.spawn().expect("kubectl runs");
        let mut input = kubectl.stdin.take().expect("its input");
        input.write_all(printed.out.as_bytes()).expect("written");
        drop(input);
        let ended = kubectl.wait().expect("it ends");
        assert!(ended.success(), "{}", printed.out);
    }

    /// A run of alice's, by her command.
    fn ask(&self, more: &[&str]) -> String {
        let args = [&["run", "restart", "-o", "json"], more].concat();
        let answer = self.here("alice", &args);
        answer.says(&[]);
        let run: Value = serde_json::from_str(&answer.out).expect("JSON");
        run["metadata"]["name"].as_str().expect("a name").to_owned()
    }

    async fn get(&self, kind: &str, name: &str) -> DynamicObject {
        api(self.admin(), kind, self.ns.name())
            .get(name)
            .await
            .expect("the object")
    }

    /// Writes the status as the operator does.
    async fn status(&self, kind: &str, name: &str, status: Value) {
        let patch = Patch::Merge(json!({ "status": status }));
        api(&self.operator, kind, self.ns.name())
            .patch_status(name, &PatchParams::default(), &patch)
            .await
            .expect("a status");
    }

    /// A run that has a plan and waits for its Gate.
    async fn waiting(&self) -> Waiting {
        let run = self.ask(&["--summary", "checkout crash loops"]);
        let (map, gate) = (format!("{run}-plan"), format!("{run}-gate"));
        let subject = self.get("Orchestration", &run).await.metadata;
        let plan = plan(&run, subject.uid.as_deref(), self.ns.name());
        let digest = Digest::of(plan.as_bytes()).to_string();
        let object = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": map, "namespace": self.ns.name()},
            "data": {"plan.json": plan, "diff": "what stands beside a plan is not shown"},
        });
        create(self.admin(), object).await.expect("a plan");
        let object = json!({
            "apiVersion": "neuralops.io/v1alpha1", "kind": "Gate",
            "metadata": {"name": gate, "namespace": self.ns.name()},
            "spec": {
                "subject": {
                    "apiVersion": "neuralops.io/v1alpha1", "kind": "Orchestration", "name": run,
                    "uid": subject.uid, "planDigest": digest, "diff": "in short",
                },
                "rules": [{"role": "oncall", "min": 2}],
                "requestedBy": ["alice"],
                "deadline": "2099-01-01T00:00:00Z",
            },
        });
        let made = create(&self.operator, object).await.expect("a gate");
        let uid = made.metadata.uid.expect("a uid");
        let status = json!({
            "stage": "Approve",
            "plan": {"digest": digest, "configMap": map, "verdict": "Pass", "targets": ["Deployment/checkout"], "summary": "restarts one Deployment"},
            "gates": [{"name": gate, "uid": uid, "state": "Open"}],
            "conditions": [condition("Planned", "True"), condition("Ready", "False")],
        });
        self.status("Orchestration", &run, status).await;
        Waiting {
            run,
            gate,
            uid,
            map,
            digest,
        }
    }

    /// A Gate that no run waits for.
    async fn alone(&self, name: &str, by: &str, subject: Value) -> DynamicObject {
        self.alone_until(name, by, subject, "2099-01-01T00:00:00Z")
            .await
    }

    async fn alone_until(
        &self,
        name: &str,
        by: &str,
        subject: Value,
        deadline: &str,
    ) -> DynamicObject {
        let object = json!({
            "apiVersion": "neuralops.io/v1alpha1", "kind": "Gate",
            "metadata": {"name": name, "namespace": self.ns.name()},
            "spec": {"subject": subject, "rules": [{"role": "oncall", "min": 2}], "requestedBy": [by], "deadline": deadline},
        });
        create(&self.operator, object).await.expect("a gate")
    }

    /// Every Decision about the Gate.
    async fn votes(&self, uid: &str) -> Vec<Value> {
        let all = api(self.admin(), "Decision", self.ns.name())
            .list(&kube::api::ListParams::default())
            .await
            .expect("a list");
        let all = all.items.into_iter().map(|vote| vote.data["spec"].clone());
        all.filter(|spec| spec["gateRef"]["uid"] == uid).collect()
    }

    async fn delete(&self, kind: &str, name: &str) {
        api(self.admin(), kind, self.ns.name())
            .delete(name, &DeleteParams::default())
            .await
            .map(|_| ())
            .expect("deleted");
    }
}

/// A run that waits for people.
struct Waiting {
    run: String,
    gate: String,
    uid: String,
    map: String,
    digest: String,
}

/// A plan that changes one field of one Deployment.
fn plan(run: &str, uid: Option<&str>, namespace: &str) -> String {
    let digest = Digest::of(b"test");
    let plan = json!({
        "v": 1,
        "run": {"namespace": namespace, "name": run, "uid": uid},
        "playbook": {"name": "restart", "digest": digest, "revision": 1},
        "policyDigest": digest,
        "serviceAccount": "runbook",
        "parameters": {"deployment": "check\u{202e}out"},
        "timeout": 60000,
        "steps": [{
            "name": "restart", "kind": "rolloutRestart", "coverage": "ServerDryRun", "timeout": 60000, "retries": 0,
            "targets": [{"apiVersion": "apps/v1", "kind": "Deployment", "resource": "deployments", "namespace": namespace, "name": "checkout", "uid": "d", "access": "Writes"}],
            "effect": {},
            "changes": [{"path": "/spec/replicas", "from": 1, "to": 2}],
            "undo": {"by": "restore"},
        }],
    });
    plan.to_string()
}

fn condition(kind: &str, status: &str) -> Value {
    json!({"type": kind, "status": status, "reason": "WaitingForApproval", "message": "two people of oncall", "lastTransitionTime": "2026-01-01T00:00:00Z"})
}

/// One control plane for all of it: each of these would start its own otherwise.
#[tokio::test]
async fn people_ask_look_decide_and_stop_with_their_own_rights() {
    need!(Owned);
    let own = OwnCluster::start().await;
    let cluster = own.cluster();
    let bed = &Bed::set(cluster, "commands").await;
    let parts: [LocalBoxFuture<'_, ()>; 16] = [
        look::a_run_is_asked_for_in_ones_own_name(bed).boxed_local(),
        look::what_cannot_be_asked_for_is_said(bed).boxed_local(),
        look::an_inbox_holds_what_waits_for_me_and_says_why_it_is_empty(cluster).boxed_local(),
        look::a_plan_is_shown_only_with_its_digest(bed).boxed_local(),
        look::a_tree_shows_what_belongs_to_a_run(bed).boxed_local(),
        look::no_way_to_a_cluster_is_said(bed).boxed_local(),
        decide::a_vote_names_the_plan_that_was_shown(bed).boxed_local(),
        decide::nobody_votes_unasked_or_without_a_role(bed).boxed_local(),
        decide::another_gate_or_a_settled_one_takes_no_vote(bed).boxed_local(),
        decide::a_person_at_a_terminal_is_asked(bed).boxed_local(),
        decide::a_gate_that_the_policies_do_not_see_is_told_from_a_new_one(cluster).boxed_local(),
        decide::a_run_is_released_once(bed).boxed_local(),
        stop::a_cancel_works_in_every_stage_but_the_last(bed).boxed_local(),
        stop::waiting_ends_when_the_run_is_that_far(bed).boxed_local(),
        stop::a_freeze_is_made_and_lifted_by_name(bed).boxed_local(),
        stop::what_role_prints_grants_it(bed).boxed_local(),
    ];
    let mut failed = 0;
    for part in parts {
        failed += usize::from(AssertUnwindSafe(part).catch_unwind().await.is_err());
    }
    assert_eq!(failed, 0, "parts that failed; what and where stands above");
}
