//! A control plane with one operator at a time and a Playbook with every kind of effect, and what has to hold of a run of it
//! whatever happened: each effect once, each record once, and a log that makes sense.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::api::{DeleteParams, ListParams};
use neuralops::adapters::store::{self, Mode, StoreUrl};
use neuralops::api::v1alpha1::AuditLog;
use neuralops::domain::audit::{event::Event, record::Record};
use neuralops::ports::Query;
use serde_json::{Value, json};

use crate::support::{AuditEvent, Operator, OwnCluster, Scene, api, create, eventually};

/// For whatever a run does.
pub const LONG: Duration = Duration::from_secs(120);
const OPERATOR: &str = "system:serviceaccount:neuralops-system:neuralops-controller";
/// The steps of the Playbook, in order; each but the last has one effect, and so has the last.
pub const STEPS: [&str; 5] = ["restart", "scale", "append", "note", "job"];

pub struct Bed {
    pub own: OwnCluster,
}

impl Bed {
    /// With an operator that has been there once, so that log and guard are settled.
    pub async fn set() -> Self {
        let own = OwnCluster::start_with_pods("kwok").await;
        own.install();
        let bed = Self { own };
        let mut first = bed.operator(&[]).await;
        first.ready().await;
        first.trusts().await;
        first.signal("TERM");
        first.ended(LONG).await;
        bed
    }

    /// An operator that need not wait for the lease of the one before, which is gone.
    pub async fn operator(&self, environment: &[(&str, &str)]) -> Operator {
        let admin = self.own.cluster().admin().await;
        let leases: Api<Lease> = Api::namespaced(admin, "neuralops-system");
        let now = DeleteParams::default();
        match leases.delete("neuralops-controller", &now).await {
            Ok(_) => {}
            Err(kube::Error::Api(answer)) if answer.is_not_found() => {}
            Err(error) => panic!("the lease stays: {error}"),
        }
        self.own.operator_in(environment, &[])
    }

    /// `neuralops audit verify --semantic` on the store, once all of it is under the anchor.
    pub async fn verifies(&self) {
        let logs: Api<AuditLog> = Api::all(self.own.cluster().admin().await);
        let url = StoreUrl::sqlite(&self.own.data().join("audit.db"));
        let key = eventually("all leaves are anchored", LONG, async || {
            let spec = logs.get("main").await.map_err(|error| error.to_string())?;
            let spec = spec.spec;
            let store = store::open(&url, Mode::Reader).await;
            let held = store.map_err(|error| error.to_string())?.logs().await;
            let held = held.map_err(|error| error.to_string())?;
            let log = held.into_iter().find(|log| log.current).ok_or("no log")?;
            if u64::try_from(spec.size) == Ok(log.size) {
                Ok(spec.keys[0].clone())
            } else {
                Err(format!("{} of {}", spec.size, log.size))
            }
        })
        .await;
        let output = Command::new(env!("CARGO_BIN_EXE_neuralops"))
            .args(["audit", "verify", "--semantic", "--key", &key])
            .arg(self.own.data().join("audit.db"))
            .output()
            .expect("it runs");
        assert!(output.status.success(), "{output:?}");
    }

    /// What is recorded of one run.
    pub async fn records(&self, uid: &str) -> Vec<Record> {
        let url = StoreUrl::sqlite(&self.own.data().join("audit.db"));
        let store = store::open(&url, Mode::Reader).await.expect("the store");
        let query = Query {
            object: Some(uid.to_owned()),
            limit: 1000,
            ..Query::default()
        };
        let leaves = store.query(query).await.expect("leaves");
        let record = |body: &[u8]| Record::parse(body).expect("a record");
        leaves.iter().map(|leaf| record(&leaf.body)).collect()
    }
}

/// Kills the API server and starts it until it answers: right after its end its port may not be free yet.
pub async fn api_server_anew(bed: &Bed) {
    let admin = bed.own.cluster().admin().await;
    bed.own.ctl("kill", "kube-apiserver");
    eventually("the API server answers", LONG, async || {
        // One that runs is left alone.
        bed.own.ctl("start", "kube-apiserver");
        let answer = admin.apiserver_version().await;
        answer.map(|_| ()).map_err(|error| error.to_string())
    })
    .await;
}

/// A Deployment as a step names it.
pub fn target(name: &str) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": name})
}

/// A Deployment of the scene whose container has one argument.
pub fn basket(scene: &Scene, name: &str) -> Value {
    let mut basket = scene.deployment(name);
    basket["spec"]["template"]["spec"]["containers"][0]["args"] = json!(["a"]);
    basket
}

/// Done twice, it would show.
pub fn append(name: &str) -> Value {
    let add =
        json!([{"op": "add", "path": "/spec/template/spec/containers/0/args/-", "value": "b"}]);
    json!({"target": target(name), "type": "Json", "patch": add})
}

/// A namespace in which alice may ask for a run of every kind of effect.
pub async fn scene(bed: &Bed, purpose: &str) -> Scene {
    let scene = Scene::set(bed.own.cluster(), purpose).await;
    for object in [scene.deployment("checkout"), basket(&scene, "basket")] {
        create(scene.admin(), object).await.expect("a deployment");
    }
    let note = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "note", "namespace": scene.ns.name()}, "data": {"k": "v"},
    });
    let steps = json!([
        {"name": "restart", "rolloutRestart": {"target": target("checkout")}},
        {"name": "scale", "scale": {"target": target("checkout"), "replicas": 2}},
        {"name": "append", "patch": append("basket")},
        {"name": "note", "apply": {"manifest": note}},
        {"name": "job", "job": {"image": "registry.example/tool:1", "command": ["true"]}, "opaque": "Accepted"},
    ]);
    scene.signed(scene.playbook("heal", steps)).await;
    scene
}

/// How it went on.
pub enum Went {
    Ended(Value),
    Died,
}

/// Has bob approve when he is asked, and no second time, until the run or the operator comes to its end.
pub async fn drive(scene: &Scene, name: &str, operator: &mut Operator, voted: &mut bool) -> Went {
    eventually(&format!("{name} comes to its end"), LONG, async || {
        let run = scene.object("Orchestration", name).await;
        let status = &run["status"];
        if status["outcome"].is_string() {
            return Ok(Went::Ended(run));
        }
        if operator.exit_code().is_some() {
            return Ok(Went::Died);
        }
        if !*voted && status["stage"] == "Approve" && status["gates"][0]["uid"].is_string() {
            scene.approve(&run).await;
            *voted = true;
        }
        Err(format!("{status:#}\n{}", operator.log_tail()))
    })
    .await
}

/// Everything that was to be done is done once, by the API server's own word and by that of the objects.
pub async fn done_once(bed: &Bed, scene: &Scene, run: &Value) {
    assert_eq!(run["status"]["outcome"], "Succeeded", "{:#}", run["status"]);
    let steps = run["status"]["steps"].as_array().expect("steps");
    let good = steps.iter().filter(|step| step["state"] == "Succeeded");
    assert_eq!(good.count(), STEPS.len(), "{steps:#?}");

    let uid = run["metadata"]["uid"].as_str().expect("a uid");
    let checkout = scene.object("Deployment", "checkout").await;
    assert_eq!(checkout["spec"]["replicas"], 2);
    assert_eq!(checkout["metadata"]["generation"], 3, "{checkout:#}");
    let annotations = &checkout["spec"]["template"]["metadata"]["annotations"];
    assert_eq!(
        annotations["neuralops.io/restarted-by"],
        json!(format!("{uid}.restart"))
    );
    let basket = scene.object("Deployment", "basket").await;
    let arguments = &basket["spec"]["template"]["spec"]["containers"][0]["args"];
    assert_eq!(*arguments, json!(["a", "b"]));
    assert_eq!(basket["metadata"]["generation"], 2, "{basket:#}");
    assert_eq!(scene.object("ConfigMap", "note").await["data"]["k"], "v");
    for kind in ["ConfigMap", "Gate", "Job"] {
        let all = api(scene.admin(), kind, scene.ns.name());
        let all = all.list(&ListParams::default()).await.expect("a list");
        let owners = all.items.iter().filter(|object| {
            let mut owners = object.metadata.owner_references.iter().flatten();
            owners.any(|owner| owner.uid == uid)
        });
        assert_eq!(owners.count(), 1, "{kind} of the run");
    }
    recorded_once(bed, uid).await;
}

async fn recorded_once(bed: &Bed, uid: &str) {
    let mut counts: BTreeMap<(&str, String), u32> = BTreeMap::new();
    for record in bed.records(uid).await {
        let step = record.fact.step.as_ref();
        let step = step.map(|step| step.as_str().to_owned());
        *counts
            .entry((record.fact.code.code(), step.unwrap_or_default()))
            .or_default() += 1;
    }
    let mut wanted = BTreeMap::new();
    for code in [
        Event::RunRequested,
        Event::RunPlanned,
        Event::RunStarted,
        Event::RunFinished,
    ] {
        wanted.insert((code.code(), String::new()), 1);
    }
    for code in [Event::StepIntended, Event::StepSucceeded] {
        for step in STEPS {
            wanted.insert((code.code(), step.to_owned()), 1);
        }
    }
    wanted.insert((Event::StepUnderway.code(), "job".to_owned()), 1);
    assert_eq!(counts, wanted);
}

/// What was written in this namespace by the operator or as its playbook's account, and came through.
pub fn writes(events: &[AuditEvent], namespace: &str) -> Vec<String> {
    let write = |event: &&AuditEvent| {
        ["create", "update", "patch", "delete"].contains(&event.verb.as_str())
            && event.namespace == namespace
            && event.user == OPERATOR
            && event.code < 300
            && !event.uri.contains("dryRun")
            && !["events", "orchestrations"].contains(&event.resource.as_str())
            && event.subresource != "status"
    };
    let told = events.iter().filter(write).map(|event| {
        let by = if event.impersonated.is_empty() {
            "operator"
        } else {
            "account"
        };
        format!(
            "{by} {} {}/{}",
            event.verb, event.resource, event.subresource
        )
    });
    let mut told: Vec<String> = told.collect();
    told.sort();
    told
}

/// Those of one run of the scene's Playbook.
pub fn wanted_writes() -> Vec<String> {
    [
        "account create jobs/",
        "account patch configmaps/",
        "account patch deployments/",
        "account patch deployments/",
        "account patch deployments/scale",
        "operator create configmaps/",
        "operator create gates/",
    ]
    .map(str::to_owned)
    .to_vec()
}
