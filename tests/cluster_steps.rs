//! Each step kind against a real API server, through the library: planned, done, done once more, refused, drifted; always in
//! the playbook's own name, and with the operator's own credential behind it.

mod delete;
mod drain;
mod nodes;
mod notify;
mod rollout_undo;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams};
use neuralops::{
    adapters::{
        cel::Cel,
        kube::account::{Account, AccountError},
        steps::{Forecast, Installation, Planning, Progress, Running, Veil, kind_of},
    },
    api::v1alpha1::Step,
    domain::{
        digest::Digest,
        plan::{
            Change, Coverage, Obstacle, OnFailure, Plan, PlannedStep, PlaybookRef, RunRef, Undo,
            VERSION, Verdict,
        },
        reason::Reason,
    },
    ports::{Leadership, NotLeader},
};
use serde_json::{Map, Value, json};

use crate::support::{
    AuditEvent, Cluster, Namespace, allowed, api, bind, core, create, eventually, grant,
    grant_everywhere, need, rule,
};

const SOON: Duration = Duration::from_secs(30);
const OPERATOR: &str = "system:serviceaccount:neuralops-system:neuralops-controller";
const CANARY: &str = "c4n4ry-v4lue";

struct Fence(bool);

impl Leadership for Fence {
    fn holds(&self) -> Result<(), NotLeader> {
        if self.0 { Ok(()) } else { Err(NotLeader) }
    }
}

/// A namespace with a playbook's account, and all that a step is planned and run with.
struct Scene {
    cluster: &'static Cluster,
    namespace: Namespace,
    account: Account,
    run: RunRef,
    veil: Veil,
    cel: Cel,
    installation: Installation,
    parameters: Map<String, Value>,
}

impl Scene {
    async fn new(cluster: &'static Cluster, purpose: &str) -> Self {
        let scene = Self::bare(cluster, purpose).await;
        let impersonate = core("impersonate", "serviceaccounts").named("runbook");
        grant(&scene.namespace, OPERATOR, &[impersonate]).await;
        let rights = [
            rule("batch", "get create", "jobs"),
            rule(
                "apps",
                "get patch",
                "deployments deployments/scale statefulsets",
            ),
            core("get patch create delete", "configmaps secrets"),
        ];
        grant(&scene.namespace, &scene.account.user(), &rights).await;
        scene
    }

    /// Makes the run an object, which nobody plans because it is suspended: what nobody owns is collected.
    async fn own(&mut self) {
        bind(&self.namespace, "alice", "neuralops-engineer").await;
        let run = json!({
            "apiVersion": "neuralops.io/v1alpha1", "kind": "Orchestration",
            "metadata": {"name": self.run.name, "namespace": self.run.namespace},
            "spec": {"incident": {}, "requestedBy": "alice", "suspend": true},
        });
        let alice = self.cluster.person("alice").await;
        let run = create(&alice, run).await.expect("a run");
        self.run.uid = run.metadata.uid.expect("a uid");
    }

    /// The same without any right.
    async fn bare(cluster: &'static Cluster, purpose: &str) -> Self {
        let namespace = Namespace::new(cluster, purpose).await;
        let (admin, ns) = (namespace.admin(), namespace.name());
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "runbook", "namespace": ns}});
        create(admin, account).await.expect("created");
        Self {
            cluster,
            account: Account::new(cluster.operator_once().await, ns, "runbook").expect("names"),
            run: RunRef {
                namespace: ns.to_owned(),
                name: "run".to_owned(),
                uid: "6f1c3b0e-0000-4000-8000-000000000001".to_owned(),
            },
            veil: Veil::new(b"of this installation"),
            cel: Cel::default(),
            installation: Installation::default(),
            parameters: Map::new(),
            namespace,
        }
    }

    async fn make(&self, api_version: &str, kind: &str, name: &str, rest: Value) -> DynamicObject {
        let mut object = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "namespace": self.run.namespace}});
        for (field, value) in rest.as_object().expect("fields") {
            object[field] = value.clone();
        }
        create(self.namespace.admin(), object)
            .await
            .expect("created")
    }

    async fn deployment(&self) -> DynamicObject {
        let labels = json!({"app": "checkout"});
        let template = json!({"metadata": {"labels": labels}, "spec": {"containers": [{"name": "a", "image": "registry.example/a"}]}});
        let spec =
            json!({"replicas": 1, "selector": {"matchLabels": labels}, "template": template});
        self.make("apps/v1", "Deployment", "checkout", json!({"spec": spec}))
            .await
    }

    async fn read(&self, kind: &str, name: &str) -> Value {
        let object = api(self.namespace.admin(), kind, &self.run.namespace)
            .get(name)
            .await;
        serde_json::to_value(object.expect("there")).expect("JSON")
    }

    async fn alter(&self, kind: &str, name: &str, patch: Value) {
        let objects = api(self.namespace.admin(), kind, &self.run.namespace);
        let patch = Patch::Merge(patch);
        objects
            .patch(name, &PatchParams::default(), &patch)
            .await
            .expect("patched");
    }

    async fn delete(&self, kind: &str, name: &str) {
        let objects = api(self.namespace.admin(), kind, &self.run.namespace);
        objects
            .delete(name, &DeleteParams::background())
            .await
            .expect("deleted");
    }

    async fn forecast(&self, step: &Value) -> Result<Forecast, Obstacle> {
        self.forecast_after(step, &[]).await
    }

    /// The same for a step that comes after these.
    async fn forecast_after(
        &self,
        step: &Value,
        earlier: &[PlannedStep],
    ) -> Result<Forecast, Obstacle> {
        let step: Step = serde_json::from_value(step.clone()).expect("a step");
        let planning = Planning {
            account: &self.account,
            run: &self.run,
            playbook: "mend",
            parameters: &self.parameters,
            veil: &self.veil,
            cel: &self.cel,
            installation: &self.installation,
            earlier,
        };
        kind_of(&step).expect("a kind").plan(&step, &planning).await
    }

    async fn refused(&self, step: &Value, verdict: Verdict, reason: Reason) -> String {
        let obstacle = self.forecast(step).await.expect_err("refused");
        assert_eq!(
            (obstacle.verdict, obstacle.reason),
            (verdict, reason),
            "{}",
            obstacle.message
        );
        obstacle.message
    }

    async fn planned(&self, step: Value) -> Planned {
        self.planned_after(step, &[]).await
    }

    async fn planned_after(&self, step: Value, earlier: &[PlannedStep]) -> Planned {
        let forecast = self.forecast_after(&step, earlier).await.expect("planned");
        let rendered: Step = serde_json::from_value(step).expect("a step");
        let planned = PlannedStep {
            name: rendered.name.clone(),
            kind: kind_of(&rendered).expect("a kind").name().to_owned(),
            coverage: forecast.coverage,
            timeout: 300_000,
            retries: 0,
            on_failure: OnFailure::Stop,
            targets: forecast.targets,
            effect: forecast.effect,
            changes: forecast.changes,
            undo: forecast.undo,
        };
        let plan = Plan {
            v: VERSION,
            run: self.run.clone(),
            playbook: PlaybookRef {
                name: "mend".to_owned(),
                digest: Digest::of(b"playbook"),
                revision: 1,
            },
            policy_digest: Digest::of(b"policy"),
            service_account: "runbook".to_owned(),
            parameters: self.parameters.clone(),
            timeout: 300_000,
            on_failure: OnFailure::Stop,
            steps: vec![planned],
        };
        Planned {
            digest: Digest::of(&plan.to_bytes().expect("canonical")),
            plan,
            rendered,
        }
    }

    async fn pass(
        &self,
        planned: &Planned,
        attempt: u32,
        underway: bool,
        fence: bool,
    ) -> Result<Progress, AccountError> {
        let asked = Asked {
            attempt,
            underway,
            fence,
            ..Asked::default()
        };
        self.ask(planned, asked).await
    }

    async fn ask(&self, planned: &Planned, asked: Asked) -> Result<Progress, AccountError> {
        let began = Timestamp::from_second(1_000).expect("a time");
        let running = Running {
            account: &self.account,
            plan: &planned.plan,
            digest: &planned.digest,
            step: &planned.plan.steps[0],
            attempt: asked.attempt,
            underway: asked.underway,
            ever: asked.underway || asked.ever,
            refused: asked.refused,
            fresh: asked.fresh,
            began,
            now: began,
            memory: None,
            looked: None,
            rendered: Some(&planned.rendered),
            veil: &self.veil,
            cel: &self.cel,
            installation: &self.installation,
            fence: &Fence(asked.fence),
        };
        let kind = kind_of(&planned.rendered).expect("a kind");
        if asked.back {
            kind.undo(&running).await
        } else {
            kind.run(&running).await
        }
    }

    /// The step is taken back.
    async fn taken_back(&self, planned: &Planned) {
        let progress = self.ask(planned, Asked::back()).await;
        let progress = progress.expect("an answer");
        assert!(matches!(progress, Progress::Done { .. }), "{progress:?}");
    }

    /// The step is not taken back, since somebody has changed something.
    async fn left_as_it_is(&self, planned: &Planned) -> String {
        match self.ask(planned, Asked::back()).await.expect("an answer") {
            Progress::Failed { reason, message } => {
                assert_eq!(reason, Reason::TargetDrifted, "{message}");
                message
            }
            other => panic!("{other:?}"),
        }
    }

    async fn done(&self, planned: &Planned) {
        let progress = self.pass(planned, 1, false, true).await.expect("an answer");
        assert!(matches!(progress, Progress::Done { .. }), "{progress:?}");
    }

    async fn fails(&self, planned: &Planned, expected: Reason) -> String {
        match self.pass(planned, 1, false, true).await.expect("an answer") {
            Progress::Failed { reason, message } => {
                assert_eq!(reason, expected, "{message}");
                message
            }
            other => panic!("{other:?}"),
        }
    }

    /// What the step waits for.
    async fn waits(&self, planned: &Planned) -> String {
        match self.pass(planned, 1, false, true).await.expect("an answer") {
            Progress::Pending { message, .. } => message,
            other => panic!("{other:?}"),
        }
    }

    /// Looks at the step again until it has come to its end.
    async fn until_done(&self, planned: &Planned) {
        let underway = std::cell::Cell::new(false);
        eventually("the step is done", SOON, async || {
            match self.pass(planned, 1, underway.get(), true).await {
                Ok(Progress::Done { .. }) => Ok(()),
                Ok(Progress::Begun { message }) => {
                    underway.set(true);
                    Err(message)
                }
                Ok(Progress::Failed { reason, message }) => panic!("{reason:?}: {message}"),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    }

    async fn is_there(&self, kind: &str, name: &str) -> bool {
        let objects = api(self.namespace.admin(), kind, &self.run.namespace);
        objects.get_opt(name).await.expect("an answer").is_some()
    }

    /// What was asked in the account's name since then, and was no dry run.
    async fn writes(&self, mark: u64, at_least: usize) -> Vec<AuditEvent> {
        let user = self.account.user();
        eventually("the API server's record", SOON, async || {
            let events = self.cluster.audit_since(mark);
            let written: Vec<AuditEvent> = events
                .into_iter()
                .filter(|event| {
                    event.impersonated == user
                        && matches!(
                            event.verb.as_str(),
                            "create" | "patch" | "update" | "delete"
                        )
                })
                .filter(|event| {
                    event.resource != "selfsubjectaccessreviews" && !event.uri.contains("dryRun")
                })
                .collect();
            if written.len() < at_least {
                Err(format!("{written:?}"))
            } else {
                Ok(written)
            }
        })
        .await
    }
}

/// How a step is asked.
struct Asked {
    attempt: u32,
    underway: bool,
    ever: bool,
    refused: bool,
    fresh: bool,
    fence: bool,
    back: bool,
}

impl Default for Asked {
    fn default() -> Self {
        Self {
            attempt: 1,
            underway: false,
            ever: false,
            refused: false,
            fresh: false,
            fence: true,
            back: false,
        }
    }
}

impl Asked {
    fn back() -> Self {
        Self {
            back: true,
            ..Self::default()
        }
    }
}

struct Planned {
    plan: Plan,
    digest: Digest,
    rendered: Step,
}

impl Planned {
    fn step(&self) -> &PlannedStep {
        &self.plan.steps[0]
    }
}

fn change(path: &str, from: Option<Value>, to: Option<Value>) -> Vec<Change> {
    vec![Change {
        path: path.to_owned(),
        from,
        to,
    }]
}

fn checkout() -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "checkout"})
}

fn settings() -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "settings"})
}

fn scale(replicas: i64) -> Value {
    json!({"name": "more", "scale": {"target": checkout(), "replicas": replicas}})
}

fn patch(kind: &str, patch: Value) -> Value {
    json!({"name": "set", "patch": {"target": settings(), "type": kind, "patch": patch}})
}

#[tokio::test]
#[expect(
    clippy::too_many_lines,
    reason = "one story: each part stands on what the one before has left"
)]
async fn a_scale_and_a_restart_are_planned_done_and_done_once() {
    let cluster = need!(Owned);
    let scene = Scene::new(cluster, "steps").await;
    scene.deployment().await;
    let mark = cluster.audit_mark();
    let planned = scene.planned(scale(3)).await;
    assert_eq!(
        planned.step().changes,
        change("/spec/replicas", Some(json!(1)), Some(json!(3)))
    );
    assert_eq!(
        (planned.step().coverage, &planned.step().undo),
        (Coverage::ServerDryRun, &Undo::Restore)
    );
    assert!(matches!(
        scene.pass(&planned, 1, false, false).await,
        Err(AccountError::Deposed(_))
    ));
    assert_eq!(
        scene.read("Deployment", "checkout").await["spec"]["replicas"],
        1
    );
    scene.done(&planned).await;
    scene.done(&planned).await;
    assert_eq!(
        scene.read("Deployment", "checkout").await["spec"]["replicas"],
        3
    );
    // To nothing and back: the API server leaves a zero out.
    let planned = scene.planned(scale(0)).await;
    assert_eq!(
        planned.step().changes,
        change("/spec/replicas", Some(json!(3)), Some(json!(0)))
    );
    scene.done(&planned).await;
    scene.done(&planned).await;

    let restart = json!({"name": "again", "rolloutRestart": {"target": checkout()}});
    let planned = scene.planned(restart.clone()).await;
    let by = format!("{}.again", scene.run.uid);
    let annotations = json!({"neuralops.io/restarted-by": by});
    assert_eq!(
        planned.step().changes,
        change(
            "/spec/template/metadata/annotations",
            None,
            Some(annotations)
        )
    );
    scene.done(&planned).await;
    scene.done(&planned).await;
    assert!(
        scene
            .planned(restart.clone())
            .await
            .step()
            .changes
            .iter()
            .all(|change| !change.alters())
    );
    scene
        .alter("Deployment", "checkout", json!({"spec": {"paused": true}}))
        .await;
    scene
        .refused(&restart, Verdict::Fail, Reason::TargetNotAllowed)
        .await;

    // What crossed a controller's status was refused, and asked again.
    let done = |event: &AuditEvent| event.code < 400;
    let written = eventually("three writes", SOON, async || {
        let mut written = scene.writes(mark, 3).await;
        written.retain(done);
        if written.len() < 3 {
            Err(format!("{written:?}"))
        } else {
            Ok(written)
        }
    })
    .await;
    let written: Vec<_> = written
        .iter()
        .map(|event| (event.verb.as_str(), event.subresource.as_str(), event.code))
        .collect();
    assert_eq!(
        written,
        [
            ("patch", "scale", 200),
            ("patch", "scale", 200),
            ("patch", "", 200)
        ]
    );
    // Nothing was asked by the operator in its own name.
    let namespace = &scene.run.namespace;
    for event in cluster.audit_since(mark) {
        let ours = event.user == OPERATOR && event.namespace == *namespace && event.verb != "watch";
        assert!(
            !ours || event.impersonated == scene.account.user(),
            "{event:?}"
        );
    }
}

#[tokio::test]
#[expect(
    clippy::too_many_lines,
    reason = "one story: each part stands on what the one before has left"
)]
async fn each_type_of_patch_is_planned_and_bound_to_what_was_read() {
    let cluster = need!(Owned);
    let scene = Scene::new(cluster, "steps").await;
    scene
        .make("v1", "ConfigMap", "settings", json!({"data": {"a": "0"}}))
        .await;
    let mut number = 0;
    for kind in ["Merge", "Json", "Strategic"] {
        let was = number.to_string();
        number += 1;
        let wanted = number.to_string();
        let body = match kind {
            "Json" => json!([{"op": "replace", "path": "/data/a", "value": wanted}]),
            _ => json!({"data": {"a": wanted}}),
        };
        let planned = scene.planned(patch(kind, body)).await;
        assert_eq!(
            planned.step().changes,
            change("/data/a", Some(json!(was)), Some(json!(wanted))),
            "{kind}"
        );
        scene.done(&planned).await;
        let version =
            scene.read("ConfigMap", "settings").await["metadata"]["resourceVersion"].clone();
        scene.done(&planned).await;
        let after = scene.read("ConfigMap", "settings").await;
        assert_eq!(
            (&after["metadata"]["resourceVersion"], &after["data"]["a"]),
            (&version, &json!(wanted)),
            "{kind}"
        );
        // What somebody else writes elsewhere is in nobody's way, what they write there is.
        let next = json!((number + 100).to_string());
        let body = match kind {
            "Json" => json!([{"op": "replace", "path": "/data/a", "value": next}]),
            _ => json!({"data": {"a": next}}),
        };
        let planned = scene.planned(patch(kind, body)).await;
        scene
            .alter("ConfigMap", "settings", json!({"data": {"b": wanted}}))
            .await;
        scene
            .alter("ConfigMap", "settings", json!({"data": {"a": "drifted"}}))
            .await;
        let message = scene.fails(&planned, Reason::TargetDrifted).await;
        assert!(message.contains("/data/a"), "{message}");
        scene
            .alter("ConfigMap", "settings", json!({"data": {"a": wanted}}))
            .await;
    }
    // Another object of the same name, and none at all.
    let planned = scene
        .planned(patch("Merge", json!({"data": {"a": "x"}})))
        .await;
    scene.delete("ConfigMap", "settings").await;
    assert!(
        scene
            .fails(&planned, Reason::TargetDrifted)
            .await
            .contains("gone")
    );
    scene
        .make("v1", "ConfigMap", "settings", json!({"data": {"a": "3"}}))
        .await;
    assert!(
        scene
            .fails(&planned, Reason::TargetDrifted)
            .await
            .contains("another object")
    );
    assert_eq!(scene.read("ConfigMap", "settings").await["data"]["a"], "3");
    // What the API server refuses, in its words.
    let wrong = patch("Merge", json!({"data": {"a": {"b": "c"}}}));
    scene
        .refused(&wrong, Verdict::Fail, Reason::DryRunRefused)
        .await;
    let unknown = patch("Merge", json!({"dta": {"a": "b"}}));
    assert!(
        scene
            .refused(&unknown, Verdict::Fail, Reason::DryRunRefused)
            .await
            .contains("dta")
    );
    let wrong = patch(
        "Json",
        json!([{"op": "test", "path": "/data/a", "value": "other"}]),
    );
    scene
        .refused(&wrong, Verdict::Fail, Reason::DryRunRefused)
        .await;
}

#[tokio::test]
async fn what_is_applied_is_made_adopted_or_left_to_its_owner() {
    let cluster = need!(Owned);
    let scene = Scene::new(cluster, "steps").await;
    let apply = |value: &str, force: bool| {
        let manifest = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"a": value}});
        json!({"name": "put", "apply": {"manifest": manifest, "force": force}})
    };
    let planned = scene.planned(apply("1", false)).await;
    assert_eq!(
        (planned.step().changes.len(), &planned.step().undo),
        (1, &Undo::Delete)
    );
    assert_eq!(
        (
            planned.step().changes[0].path.as_str(),
            &planned.step().targets[0].uid
        ),
        ("", &None)
    );
    scene.done(&planned).await;
    let version = scene.read("ConfigMap", "settings").await["metadata"]["resourceVersion"].clone();
    scene.done(&planned).await;
    assert_eq!(
        scene.read("ConfigMap", "settings").await["metadata"]["resourceVersion"],
        version
    );
    let changed = scene.planned(apply("2", false)).await;
    assert_eq!(
        changed.step().changes,
        change("/data/a", Some(json!("1")), Some(json!("2")))
    );
    scene.done(&changed).await;
    // Others own the field now.
    scene
        .alter("ConfigMap", "settings", json!({"data": {"a": "theirs"}}))
        .await;
    let message = scene
        .refused(&apply("3", false), Verdict::Fail, Reason::DryRunRefused)
        .await;
    assert!(message.contains("conflict"), "{message}");
    let forced = scene.planned(apply("3", true)).await;
    scene.done(&forced).await;
    assert_eq!(scene.read("ConfigMap", "settings").await["data"]["a"], "3");
    // Somebody else makes what was to be made.
    scene.delete("ConfigMap", "settings").await;
    let planned = scene.planned(apply("1", false)).await;
    scene
        .make("v1", "ConfigMap", "settings", json!({"data": {"a": "1"}}))
        .await;
    assert!(
        scene
            .fails(&planned, Reason::TargetDrifted)
            .await
            .contains("somebody else")
    );
}

#[tokio::test]
async fn no_value_of_a_secret_is_in_a_plan() {
    let cluster = need!(Owned);
    let scene = Scene::new(cluster, "steps").await;
    let old = format!("old-{CANARY}");
    scene
        .make(
            "v1",
            "Secret",
            "db",
            json!({"stringData": {"password": old, "other": CANARY}}),
        )
        .await;
    let target = json!({"apiVersion": "v1", "kind": "Secret", "name": "db"});
    let step = |value: &str| json!({"name": "set", "patch": {"target": target, "type": "Merge", "patch": {"stringData": {"password": value}}}});
    let planned = scene.planned(step(CANARY)).await;
    let made = json!({"name": "put", "apply": {"manifest": {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "new"}, "stringData": {"a": CANARY}}}});
    let made = scene.planned(made).await;
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    for text in
        [&planned, &made].map(|planned| format!("{:?} {}", planned.plan, json!(planned.plan)))
    {
        for hidden in [
            CANARY.to_owned(),
            STANDARD.encode(CANARY),
            STANDARD.encode(&old),
        ] {
            assert!(!text.contains(&hidden), "{text}");
        }
    }
    assert!(matches!(planned.step().undo, Undo::Nothing { .. }));
    assert_eq!(planned.step().changes.len(), 1);
    assert_eq!(planned.step().changes[0].path, "/data/password");
    // Other values than those that were approved are not written, nor none.
    let mut other = scene.planned(step(CANARY)).await;
    other.rendered = serde_json::from_value(step("another")).expect("a step");
    scene.fails(&other, Reason::TargetDrifted).await;
    scene.done(&planned).await;
    scene.done(&planned).await;
    scene.done(&made).await;
    let written = scene.read("Secret", "db").await["data"]["password"].clone();
    assert_eq!(written, STANDARD.encode(CANARY));
    let bad = json!({"name": "set", "patch": {"target": target, "type": "Merge", "patch": {"data": {"password": format!("?{CANARY}")}}}});
    assert!(
        !scene
            .refused(&bad, Verdict::Fail, Reason::DryRunRefused)
            .await
            .contains(CANARY)
    );
}

#[tokio::test]
async fn what_may_not_be_done_is_said_and_not_done() {
    let cluster = need!(Owned);
    let scene = Scene::bare(cluster, "steps").await;
    scene.deployment().await;
    let message = scene
        .refused(&scale(2), Verdict::Unknown, Reason::ImpersonationForbidden)
        .await;
    let command = format!("neuralops role runner runbook -n {}", scene.run.namespace);
    assert!(message.contains(&command), "{message}");
    let impersonate = core("impersonate", "serviceaccounts").named("runbook");
    grant(&scene.namespace, OPERATOR, &[impersonate]).await;
    let message = scene
        .refused(&scale(2), Verdict::Fail, Reason::AccessDenied)
        .await;
    assert!(
        message.contains("get deployments checkout") && message.contains("runbook"),
        "{message}"
    );
    grant(
        &scene.namespace,
        &scene.account.user(),
        &[rule("apps", "get", "deployments deployments/scale")],
    )
    .await;
    let message = scene
        .refused(&scale(2), Verdict::Fail, Reason::AccessDenied)
        .await;
    assert!(message.contains("patch deployments/scale"), "{message}");
    grant(
        &scene.namespace,
        &scene.account.user(),
        &[rule("apps", "patch", "deployments/scale")],
    )
    .await;
    let planned = scene.planned(scale(2)).await;
    // A right that is gone when it runs; and the same for another namespace's account.
    let roles = api(scene.namespace.admin(), "RoleBinding", &scene.run.namespace);
    roles
        .delete_collection(&DeleteParams::default(), &Default::default())
        .await
        .expect("deleted");
    let impersonate = core("impersonate", "serviceaccounts").named("runbook");
    eventually("the right is gone", SOON, async || {
        let namespace = Some(scene.run.namespace.as_str());
        if allowed(scene.namespace.admin(), namespace, OPERATOR, &impersonate).await {
            return Err("not yet".to_owned());
        }
        Ok(())
    })
    .await;
    let message = scene.fails(&planned, Reason::ImpersonationForbidden).await;
    assert!(message.contains(&command), "{message}");
    assert_eq!(
        scene.read("Deployment", "checkout").await["spec"]["replicas"],
        1
    );
}

#[tokio::test]
async fn what_is_no_target_is_refused_before_anything_is_asked_of_it() {
    let cluster = need!(Owned);
    let scene = Scene::new(cluster, "steps").await;
    let patch = |api_version: &str, kind: &str, name: &str| {
        let target = json!({"apiVersion": api_version, "kind": kind, "name": name});
        json!({"name": "set", "patch": {"target": target, "type": "Merge", "patch": {"metadata": {"labels": {"a": "b"}}}}})
    };
    let mark = cluster.audit_mark();
    for (api_version, kind, name) in [
        ("rbac.authorization.k8s.io/v1", "Role", "a"),
        ("neuralops.io/v1alpha1", "Orchestration", "a"),
        ("apiextensions.k8s.io/v1", "CustomResourceDefinition", "a.b"),
        ("v1", "Namespace", "default"),
        ("v1", "Node", "a"),
        ("storage.k8s.io/v1", "StorageClass", "a"),
        ("v1", "ConfigMap", "../../default/configmaps/a"),
        ("v1", "ConfigMap", "a/b"),
    ] {
        scene
            .refused(
                &patch(api_version, kind, name),
                Verdict::Fail,
                Reason::TargetNotAllowed,
            )
            .await;
    }
    for (api_version, kind) in [
        ("nowhere.example.com/v1", "Thing"),
        ("v1", "Thing"),
        ("apps/v1/../v1", "Deployment"),
        ("v1?a=b", "Pod"),
    ] {
        scene
            .refused(
                &patch(api_version, kind, "a"),
                Verdict::Unknown,
                Reason::KindUnknown,
            )
            .await;
    }
    scene
        .refused(
            &patch("v1", "ConfigMap", "nothing"),
            Verdict::Fail,
            Reason::TargetNotFound,
        )
        .await;
    let manifest = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "default"}});
    let elsewhere = json!({"name": "put", "apply": {"manifest": manifest}});
    scene
        .refused(&elsewhere, Verdict::Fail, Reason::TargetNotAllowed)
        .await;
    assert!(scene.writes(mark, 0).await.is_empty());
}

#[tokio::test]
async fn a_webhook_that_does_not_answer_leaves_it_unknown() {
    let cluster = need!(Owned);
    let scene = Scene::new(cluster, "steps").await;
    scene
        .make("v1", "ConfigMap", "settings", json!({"data": {"a": "0"}}))
        .await;
    let ns = scene.run.namespace.as_str();
    scene
        .namespace
        .also_delete("MutatingWebhookConfiguration", ns);
    let webhook = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration", "metadata": {"name": ns},
        "webhooks": [{
            "name": "away.example.com", "clientConfig": {"url": "https://127.0.0.1:1/"}, "failurePolicy": "Fail", "timeoutSeconds": 2,
            "rules": [{"apiGroups": [""], "apiVersions": ["*"], "operations": ["UPDATE"], "resources": ["configmaps"]}],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": ns}},
            "sideEffects": "None", "admissionReviewVersions": ["v1"],
        }],
    });
    create(scene.namespace.admin(), webhook)
        .await
        .expect("created");
    let step = patch("Merge", json!({"data": {"a": "1"}}));
    eventually("the webhook is asked", SOON, async || {
        match scene.forecast(&step).await {
            Err(obstacle)
                if obstacle.reason == Reason::DryRunUnavailable
                    && obstacle.message.contains("away.example.com") =>
            {
                assert_eq!(obstacle.verdict, Verdict::Unknown);
                Ok(())
            }
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}

#[tokio::test]
async fn waiting_and_checking_look_and_change_nothing() {
    let cluster = need!(Owned);
    let mut scene = Scene::new(cluster, "steps").await;
    scene.parameters.insert("wanted".to_owned(), json!("1"));
    let mark = cluster.audit_mark();
    let expression = "object.data.a == params.wanted";
    let wait = json!({"name": "w", "wait": {"target": settings(), "expression": expression}});
    let check = json!({"name": "c", "check": {"target": settings(), "expression": expression}});
    let (wait, check) = (scene.planned(wait).await, scene.planned(check).await);
    assert_eq!(
        (wait.step().coverage, wait.step().writes()),
        (Coverage::SchemaOnly, false)
    );
    let pending =
        async |planned: &Planned, word: &str| match scene.pass(planned, 1, false, true).await {
            Ok(Progress::Pending { after, message, .. }) => assert!(
                after >= Duration::from_secs(1) && message.contains(word),
                "{message}"
            ),
            other => panic!("{other:?}"),
        };
    pending(&wait, "there is no ConfigMap/settings").await;
    scene.fails(&check, Reason::CheckFailed).await;
    scene.make("v1", "ConfigMap", "settings", json!({})).await;
    pending(&wait, "there is no data").await;
    scene
        .alter("ConfigMap", "settings", json!({"data": {"a": "0"}}))
        .await;
    pending(&wait, "does not hold").await;
    assert!(
        scene
            .fails(&check, Reason::CheckFailed)
            .await
            .contains(expression)
    );
    scene
        .alter("ConfigMap", "settings", json!({"data": {"a": "1"}}))
        .await;
    scene.done(&wait).await;
    scene.done(&check).await;
    let stable = json!({"name": "s", "check": {"target": settings(), "expression": expression, "stableFor": "5s"}});
    let stable = scene.planned(stable).await;
    match scene.pass(&stable, 1, false, true).await {
        Ok(Progress::Pending {
            memory: Some(_), ..
        }) => {}
        other => panic!("{other:?}"),
    }
    for bad in [
        "object.data.a ==",
        "object.l.all(a, object.l.all(b, a == b))",
        "secret.a == 1",
    ] {
        let step = json!({"name": "c", "check": {"target": settings(), "expression": bad}});
        scene
            .refused(&step, Verdict::Fail, Reason::ExpressionInvalid)
            .await;
    }
    assert!(scene.writes(mark, 0).await.is_empty());
}

#[tokio::test]
#[expect(
    clippy::too_many_lines,
    reason = "one story: each part stands on what the one before has left"
)]
async fn each_attempt_of_a_job_is_one_job_and_no_other_is_taken_for_it() {
    let cluster = need!(Owned);
    let mut scene = Scene::new(cluster, "steps").await;
    scene.own().await;
    let job = json!({"image": "registry.example/say@sha256:00", "command": ["say"], "env": [{"name": "A", "value": "$(B)"}]});
    let step = json!({"name": "say", "job": job, "opaque": "Accepted"});
    let planned = scene.planned(step).await;
    assert_eq!(
        (planned.step().coverage, planned.step().targets.len()),
        (Coverage::Opaque, 0)
    );
    let jobs = api(scene.namespace.admin(), "Job", &scene.run.namespace);
    let names = async || -> Vec<String> {
        let all = jobs.list(&Default::default()).await.expect("listed");
        all.items
            .into_iter()
            .filter_map(|job| job.metadata.name)
            .collect()
    };
    assert!(names().await.is_empty());
    for (attempt, count) in [(1, 1), (1, 1), (2, 2), (2, 2), (1, 2)] {
        let progress = scene
            .pass(&planned, attempt, false, true)
            .await
            .expect("an answer");
        assert!(matches!(progress, Progress::Begun { .. }), "{progress:?}");
        let on_record = scene.pass(&planned, attempt, true, true).await;
        assert!(
            matches!(on_record, Ok(Progress::Busy { .. })),
            "{on_record:?}"
        );
        assert_eq!(names().await.len(), count);
    }
    let made: BTreeMap<String, Value> = {
        let all = jobs.list(&Default::default()).await.expect("listed");
        all.items
            .into_iter()
            .map(|job| (job.metadata.name.clone().unwrap_or_default(), json!(job)))
            .collect()
    };
    let (first, found) = made
        .iter()
        .find(|(_, job)| job.to_string().contains("\"OPS_ATTEMPT\",\"value\":\"1\""))
        .expect("the first attempt");
    assert_eq!(
        found["metadata"]["annotations"]["neuralops.io/plan-digest"],
        planned.digest.as_str()
    );
    // Its end is told; the condition stands in for a kubelet.
    let now = "2026-01-01T00:00:00Z";
    let condition = |kind: &str| json!({"type": kind, "status": "True", "reason": "Told", "message": "by the test", "lastTransitionTime": now});
    let conditions = [condition("FailureTarget"), condition("Failed")];
    let status =
        json!({"status": {"active": 0, "ready": 0, "failed": 1, "conditions": conditions}});
    eventually("the Job has ended", SOON, async || {
        let (params, patch) = (PatchParams::default(), Patch::Merge(&status));
        let patched = jobs.patch_status(first, &params, &patch);
        patched.await.map(drop).map_err(|error| error.to_string())
    })
    .await;
    let message = scene.fails(&planned, Reason::JobFailed).await;
    assert!(message.contains("by the test"), "{message}");
    // It is gone: nobody makes it a second time after it is on record; nor is another's taken for it.
    scene.delete("Job", first).await;
    eventually("the Job is gone", SOON, async || {
        match jobs.get_opt(first).await {
            Ok(None) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let progress = scene
        .pass(&planned, 1, true, true)
        .await
        .expect("an answer");
    assert!(
        matches!(
            progress,
            Progress::Failed {
                reason: Reason::TargetDrifted,
                ..
            }
        ),
        "{progress:?}"
    );
    let container = json!({"name": "a", "image": "registry.example/evil"});
    let pod = json!({"restartPolicy": "Never", "containers": [container]});
    scene
        .make(
            "batch/v1",
            "Job",
            first,
            json!({"spec": {"template": {"spec": pod}}}),
        )
        .await;
    let message = scene.fails(&planned, Reason::TargetDrifted).await;
    assert!(message.contains(first.as_str()), "{message}");
}

fn request(more: Value) -> Value {
    let mut http = json!({"url": "https://tickets.example/api?a=$(B)", "method": "POST", "body": "$5 $(HOME)"});
    let fields = http.as_object_mut().expect("fields");
    fields.extend(more.as_object().expect("fields").clone());
    json!({"name": "tell", "http": http, "opaque": "Accepted", "timeout": "90s"})
}

/// What is refused of a request, before anybody is asked.
#[tokio::test]
async fn an_http_step_without_an_image_or_with_no_request_is_not_planned() {
    let cluster = need!(Owned);
    let mut scene = Scene::new(cluster, "steps").await;
    let message = scene
        .refused(
            &request(json!({})),
            Verdict::Unknown,
            Reason::StepImageMissing,
        )
        .await;
    assert!(message.contains("--step-image"), "{message}");
    scene.installation.image = Some(OUR_IMAGE.to_owned());
    for (more, said) in [
        (json!({"url": "tickets.example"}), "is no address"),
        (json!({"url": "file:///etc/passwd"}), "no http or https"),
        (json!({"url": "https://c4n4ry:pw@b/"}), "holds credentials"),
        (json!({"headers": {"X-A": "b\r\nX-C: d"}}), "X-A"),
        (
            json!({"headers": {"host": "other.example"}}),
            "not the author's",
        ),
        (json!({"body": "\u{1}".repeat(16_384)}), "shorten its body"),
    ] {
        let step = request(more);
        let message = scene.refused(&step, Verdict::Fail, Reason::Invalid).await;
        assert!(message.contains(said), "{message}");
        assert!(!message.contains("c4n4ry"), "{message}");
    }
    let mut silent = request(json!({}));
    silent.as_object_mut().expect("fields").remove("opaque");
    scene.refused(&silent, Verdict::Fail, Reason::Invalid).await;
    let bare = Scene::bare(cluster, "steps").await;
    let impersonate = core("impersonate", "serviceaccounts").named("runbook");
    grant(&bare.namespace, OPERATOR, &[impersonate]).await;
    let bare = Scene {
        installation: Installation {
            image: Some(OUR_IMAGE.to_owned()),
            ..Installation::default()
        },
        ..bare
    };
    let step = request(json!({}));
    let message = bare.refused(&step, Verdict::Fail, Reason::AccessDenied);
    assert!(message.await.contains("create jobs"));
}

const OUR_IMAGE: &str = "registry.example/neuralops@sha256:0000000000000000000000000000000000000000000000000000000000000000";

#[tokio::test]
async fn a_request_is_sent_from_a_job_of_our_own_image() {
    let cluster = need!(Owned);
    let mut scene = Scene::new(cluster, "steps").await;
    scene.own().await;
    scene.installation.image = Some(OUR_IMAGE.to_owned());
    let more = json!({"headers": {"X-Why": "$(A)"}, "secretRef": {"name": "t", "key": "k"}, "expectStatus": [201]});
    let planned = scene.planned(request(more)).await;
    let step = planned.step();
    assert_eq!((step.coverage, step.targets.len()), (Coverage::Opaque, 0));
    assert!(matches!(step.undo, Undo::Nothing { .. }));
    // Whoever approves reads the request as it is sent.
    let sent = json!({
        "method": "POST", "url": "https://tickets.example/api?a=$(B)", "headers": {"X-Why": "$(A)"}, "body": "$5 $(HOME)",
        "expectStatus": [201], "timeout": 90_000,
    });
    assert_eq!(step.effect["request"], sent);
    let mark = cluster.audit_mark();
    for (underway, begun) in [(false, true), (false, true), (true, false)] {
        let progress = scene.pass(&planned, 1, underway, true).await;
        let progress = progress.expect("an answer");
        let is_begun = matches!(progress, Progress::Begun { .. });
        assert_eq!(is_begun, begun, "{progress:?}");
    }
    assert_eq!(scene.writes(mark, 1).await.len(), 1);
    let jobs = api(scene.namespace.admin(), "Job", &scene.run.namespace);
    let jobs = jobs.list(&Default::default()).await.expect("listed").items;
    let [job] = jobs.as_slice() else {
        panic!("{} Jobs", jobs.len());
    };
    let pod = &json!(job)["spec"]["template"]["spec"];
    assert_eq!(pod["automountServiceAccountToken"], false);
    assert_eq!(pod["serviceAccountName"], "runbook");
    let container = &pod["containers"][0];
    assert_eq!(
        (&container["image"], &container["args"]),
        (&json!(OUR_IMAGE), &json!(["http-request"]))
    );
    assert!(container.get("command").is_none());
    let rules = &container["securityContext"];
    assert_eq!(rules["readOnlyRootFilesystem"], true);
    // The kubelet reads two of them as one, and so puts nothing in.
    let handed = container["env"][0]["value"].as_str().expect("a request");
    let handed: Value = serde_json::from_str(&handed.replace("$$", "$")).expect("JSON");
    assert_eq!(handed, sent);
    let secret = json!({"name": "NEURALOPS_HTTP_AUTHORIZATION", "valueFrom": {"secretKeyRef": {"name": "t", "key": "k"}}});
    assert_eq!(container["env"][1], secret);
}
