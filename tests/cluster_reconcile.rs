//! `neuralops audit reconcile` on real objects: statuses written with the operator's own credential, and records made by
//! hand. No operator runs, so that nobody puts right what is wrong.

#![expect(
    clippy::too_many_lines,
    reason = "a scene is told from beginning to end"
)]

use std::process::{Command, Output};

use jiff::Timestamp;
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::{Client, ResourceExt as _};
use neuralops::adapters::store::{self, Mode, StoreUrl};
use neuralops::domain::audit::event::Event;
use neuralops::domain::audit::record::{Actor, Fact, Object, Record, RecordId, VERSION};
use neuralops::domain::digest::Digest;
use neuralops::ports::{Claim, Claimed, Entry, Epoch, Limits, RunKey, Store};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Namespace, OwnCluster, api, create, grant, need, ours};

/// A store with a log of its own, and objects beside it.
struct Scene {
    /// Before the cluster, in which it ends.
    ns: Namespace,
    own: OwnCluster,
    alice: Client,
    operator: Client,
    folder: TempDir,
    store: std::sync::Arc<dyn Store>,
    epoch: Epoch,
}

impl Scene {
    async fn set() -> Self {
        let own = OwnCluster::start().await;
        let ns = Namespace::new(own.cluster(), "reconcile").await;
        let kinds = ["orchestrations", "gates"].map(|kind| ours("create", kind));
        grant(&ns, "alice", &kinds).await;
        let folder = TempDir::new().expect("a folder");
        let url = StoreUrl::sqlite(&folder.path().join("audit.db"));
        let store = store::open(&url, Mode::Operator).await.expect("a store");
        let epoch = store.take_over().await.expect("ours");
        let log = store
            .begin_log(epoch, "log.example/one")
            .await
            .expect("a log");
        store.promote(epoch, log.number).await.expect("it grows");
        Self {
            alice: own.cluster().person("alice").await,
            operator: own.cluster().operator().await,
            own,
            ns,
            folder,
            store,
            epoch,
        }
    }

    async fn run(&self, name: &str, status: Value) -> DynamicObject {
        let spec = json!({"requestedBy": "alice", "incident": {"summary": "checkout crash loops"}});
        self.object("Orchestration", name, spec, status).await
    }

    async fn gate(&self, name: &str, state: &str) -> DynamicObject {
        let spec = json!({
            "requestedBy": ["alice"], "rules": [{"role": "oncall", "min": 1}],
            "subject": {"uid": "uid-of-something", "planDigest": plan(name)},
        });
        self.object("Gate", name, spec, json!({"state": state}))
            .await
    }

    async fn playbook(&self, name: &str) -> DynamicObject {
        let spec = json!({
            "revision": 1, "serviceAccountName": "a", "approval": [{"rules": [{"role": "r", "min": 1}]}],
            "steps": [{"name": "w", "wait": {"duration": "1s"}}],
        });
        let ready = json!({
            "type": "Ready", "status": "True", "reason": "Verified", "message": "good",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        });
        let status = json!({"digest": plan(name), "conditions": [ready]});
        self.object("Playbook", name, spec, status).await
    }

    /// Made by whoever may, with a status as only the operator writes it.
    async fn object(&self, kind: &str, name: &str, spec: Value, status: Value) -> DynamicObject {
        let object = json!({
            "apiVersion": "neuralops.io/v1alpha1", "kind": kind,
            "metadata": {"namespace": self.ns.name(), "name": name}, "spec": spec,
        });
        let maker = match kind {
            "Playbook" => self.ns.admin(),
            _ => &self.alice,
        };
        let made = create(maker, object).await.expect("created");
        if status != Value::Null {
            self.says(kind, name, status).await;
        }
        made
    }

    async fn says(&self, kind: &str, name: &str, status: Value) {
        let patch = Patch::Merge(json!({"status": status}));
        let written = api(&self.operator, kind, self.ns.name())
            .patch_status(name, &PatchParams::default(), &patch)
            .await;
        written.expect("the operator writes statuses");
    }

    /// Records this of the object: `event`, or `event=Outcome`.
    async fn records(&self, object: &DynamicObject, events: &[&str]) {
        let (name, uid) = (object.name_any(), object.uid().expect("a uid"));
        self.records_of(&name, &uid, events).await;
    }

    async fn records_of(&self, name: &str, uid: &str, events: &[&str]) {
        let facts = events.iter().map(|line| {
            let (code, outcome) = line.split_once('=').unwrap_or((line, ""));
            let event = Event::parse(code).expect("an event");
            let id = RecordId::of(&[uid, code]);
            let mut fact = Fact::new(id, event, Actor::operator("neuralops-0"));
            fact.object = Some(Object {
                generation: None,
                kind: "Orchestration".into(),
                namespace: Some(self.ns.name().into()),
                name: name.into(),
                uid: uid.into(),
            });
            fact.outcome = (!outcome.is_empty()).then(|| outcome.into());
            fact.plan_digest = Some(plan(name));
            fact.playbook_digest = Some(plan(name));
            let record = Record {
                v: VERSION,
                time: Timestamp::UNIX_EPOCH,
                epoch: 1,
                late: None,
                fact,
            };
            Entry::of(&record, record.to_bytes().expect("a record"))
        });
        let appended = self.store.append(self.epoch, facts.collect()).await;
        appended.expect("appended");
    }

    /// The command, as the admin.
    fn reconcile(&self) -> (Option<i32>, String, String) {
        let store = format!("sqlite://{}", self.folder.path().join("audit.db").display());
        let Output {
            status,
            stdout,
            stderr,
        } = Command::new(env!("CARGO_BIN_EXE_neuralops"))
            .args(["audit", "reconcile", "--store", &store, "--kubeconfig"])
            .arg(self.own.cluster().kubeconfig_file())
            .env_clear()
            .output()
            .expect("the command runs");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        (status.code(), text(stdout), text(stderr))
    }
}

fn plan(name: &str) -> Digest {
    Digest::of(name.as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_objects_say_is_held_against_what_is_on_record() {
    need!(Owned);
    let scene = Scene::set().await;
    let healed = [
        "run.requested",
        "run.planned",
        "run.started",
        "run.finished=Succeeded",
    ];
    let done = json!({"stage": "Done", "outcome": "Succeeded"});

    // What is as it should be: also what has no status yet, and what is gone.
    let good = scene.run("good", done.clone()).await;
    scene.records(&good, &healed).await;
    scene.run("fresh", Value::Null).await;
    let asked = scene.run("asked", json!({"stage": "Approve"})).await;
    scene
        .records(&asked, &["run.requested", "run.planned"])
        .await;
    let approved = scene.gate("approved", "Approved").await;
    scene.records(&approved, &["gate.approved"]).await;
    scene.gate("open", "Open").await;
    let playbook = scene.playbook("signed").await;
    scene.records(&playbook, &["playbook.accepted"]).await;
    scene.records_of("ttl", "uid-of-ttl", &healed).await;
    let claim = |name: &str, uid: String| Claim {
        run: RunKey {
            uid,
            namespace: scene.ns.name().to_owned(),
            name: name.to_owned(),
        },
        plan: Vec::new(),
        keys: vec![name.to_owned()],
        since: Timestamp::UNIX_EPOCH,
        playbook: "heal".to_owned(),
        limits: Limits::default(),
    };
    let live = claim("asked", asked.uid().expect("a uid"));
    let held = scene.store.claim(scene.epoch, live).await.expect("claimed");
    assert_eq!(held, Claimed::Held);

    let (code, out, err) = scene.reconcile();
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(
        out.contains("6 objects say what is on record; 1 runs on record are gone"),
        "{out}"
    );
    let gone = out
        .lines()
        .find(|line| line.starts_with("gone"))
        .expect("a row");
    assert!(
        gone.contains("/ttl ") && gone.ends_with("it ended as Succeeded"),
        "{gone}"
    );

    // What somebody with the operator's credential has made up, and what was lost.
    scene.run("forged", done.clone()).await;
    let other = scene
        .run("other", json!({"stage": "Done", "outcome": "Failed"}))
        .await;
    scene.records(&other, &healed).await;
    let behind = scene.run("behind", json!({"stage": "Execute"})).await;
    scene.records(&behind, &healed).await;
    scene.run("eager", json!({"stage": "Execute"})).await;
    scene.gate("sly", "Approved").await;
    let shut = scene.gate("shut", "Open").await;
    scene.records(&shut, &["gate.expired"]).await;
    scene.playbook("unsigned").await;
    let left = claim("left", "uid-of-left".to_owned());
    scene.store.claim(scene.epoch, left).await.expect("claimed");

    let (code, out, err) = scene.reconcile();
    assert_eq!((code, out.as_str()), (Some(3), ""), "{err}");
    assert!(
        err.contains("8 objects do not say what is on record"),
        "{err}"
    );
    let namespace = scene.ns.name();
    for (difference, object, what) in [
        (
            "not on record",
            "Orchestration",
            [
                "forged",
                "it says Done, Succeeded, and there is no run.finished",
            ],
        ),
        (
            "not on record",
            "Orchestration",
            [
                "other",
                "it says Done, Failed, and ended as Succeeded by its record",
            ],
        ),
        (
            "not on record",
            "Orchestration",
            ["eager", "it says Execute, and there is no run.started"],
        ),
        (
            "not on record",
            "Gate",
            ["sly", "it says Approved, and there is no gate.approved"],
        ),
        (
            "not on record",
            "Playbook",
            ["unsigned", "it is Ready with the document"],
        ),
        (
            "not in its status",
            "Orchestration",
            [
                "behind",
                "it ended as Succeeded by its record, and says Execute",
            ],
        ),
        (
            "not in its status",
            "Gate",
            ["shut", "gate.expired is on record, and it says Open"],
        ),
        (
            "holds locks",
            "Orchestration",
            ["left", "there is no such object"],
        ),
        ("gone", "Orchestration", ["ttl", "it ended as Succeeded"]),
    ] {
        let [name, what] = what;
        let named = format!("{object} {namespace}/{name} ");
        let row = err.lines().find(|line| line.contains(&named));
        let row = row.unwrap_or_else(|| panic!("{named} is not in {err}"));
        assert!(row.starts_with(difference) && row.contains(what), "{row}");
    }
    assert_eq!(err.lines().count(), 2 + 9, "{err}");

    // Put right, nothing is said of it.
    scene.says("Orchestration", "other", done.clone()).await;
    scene.says("Orchestration", "behind", done).await;
    let (_, _, err) = scene.reconcile();
    assert!(err.contains("6 objects do not say"), "{err}");
}

/// What the caller may not see is not taken for missing.
#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_list_is_told_so() {
    need!(Owned);
    let scene = Scene::set().await;
    let folder = scene.folder.path().join("kubeconfig");
    // Nobody in particular: no credential at all.
    let mut kubeconfig = kube::config::Kubeconfig::read_from(scene.own.cluster().kubeconfig_file())
        .expect("the admin's");
    for named in &mut kubeconfig.auth_infos {
        named.auth_info = Some(kube::config::AuthInfo::default());
    }
    std::fs::write(&folder, serde_json::to_vec(&kubeconfig).expect("JSON")).expect("written");
    let store = format!(
        "sqlite://{}",
        scene.folder.path().join("audit.db").display()
    );
    let output = Command::new(env!("CARGO_BIN_EXE_neuralops"))
        .args(["audit", "reconcile", "--store", &store, "--kubeconfig"])
        .arg(&folder)
        .env_clear()
        .output()
        .expect("the command runs");
    let err = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(
        err.contains("could not read objects from the cluster"),
        "{err}"
    );
}
