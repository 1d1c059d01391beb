//! What tests of runs do again and again in a scene: targets, steps that wait for a flag, playbooks in one line, and what
//! became of a run by the log and by the API server's own record.

use std::time::Duration;

use kube::api::{DeleteParams, DynamicObject};
use neuralops::adapters::store::{self, Mode, StoreUrl};
use neuralops::domain::audit::record::Record;
use neuralops::ports::Query;
use serde_json::{Value, json};

use super::{Scene, api, create, eventually, random};

const SOON: Duration = Duration::from_secs(60);
const OPERATOR: &str = "system:serviceaccount:neuralops-system:neuralops-controller";
/// What the operator writes in its own name: its own kinds, the plan, and Events. All else would be an effect.
const OWN: [&str; 6] = [
    "orchestrations",
    "gates",
    "playbooks",
    "configmaps",
    "events",
    "trustpolicies",
];

/// A Deployment as the target of a step.
pub fn deployment(name: &str) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": name})
}

/// A step that scales a Deployment.
pub fn scale(step: &str, name: &str, replicas: u32) -> Value {
    json!({"name": step, "scale": {"target": deployment(name), "replicas": replicas}})
}

/// A step that waits until somebody lets it go on.
pub fn hold(step: &str, flag: &str) -> Value {
    let target = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": flag});
    json!({"name": step, "wait": {"target": target, "expression": "object.data.go == 'yes'"}})
}

/// The condition of a status, in a word: `True/Reason`; nothing if it is not there.
pub fn condition(status: &Value, kind: &str) -> String {
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let mut found = conditions.filter(|condition| condition["type"] == kind);
    found.next().map_or_else(String::new, |found| {
        let text = |name: &str| found[name].as_str().unwrap_or_default().to_owned();
        format!("{}/{}", text("status"), text("reason"))
    })
}

/// The message of the condition `Ready`.
pub fn told(status: &Value) -> String {
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let mut ready = conditions.filter(|condition| condition["type"] == "Ready");
    let message = ready.next().and_then(|ready| ready["message"].as_str());
    message.unwrap_or_default().to_owned()
}

/// Whether the run waits for this, in a word.
pub fn waits_for(reason: &str) -> impl Fn(&Value) -> bool {
    let wanted = format!("Unknown/{reason}");
    move |status| condition(status, "Ready") == wanted || status["outcome"].is_string()
}

/// How its steps stand: `Succeeded Running Pending`.
pub fn steps(run: &Value) -> String {
    let steps = run["status"]["steps"].as_array().into_iter().flatten();
    let states = steps.map(|step| step["state"].as_str().unwrap_or_default());
    states.collect::<Vec<_>>().join(" ")
}

impl Scene {
    /// Broken workloads of these names.
    pub async fn workloads(&self, names: &[&str]) {
        for name in names {
            create(self.admin(), self.deployment(name))
                .await
                .expect("a deployment");
        }
    }

    /// What a step waits for; nothing lets it go on yet.
    pub async fn flag(&self, name: &str) {
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": self.ns.name()}});
        create(self.admin(), object).await.expect("a flag");
    }

    /// Lets go on what waits for the flag.
    pub async fn go(&self, flag: &str) {
        let patch = json!({"data": {"go": "yes"}});
        let patched = self.patch(self.admin(), "ConfigMap", flag, patch).await;
        patched.expect("a flag");
    }

    pub async fn replicas(&self, name: &str) -> i64 {
        let object = self.object("Deployment", name).await;
        object["spec"]["replicas"].as_i64().expect("replicas")
    }

    /// Somebody changes the spec of a run.
    pub async fn set_run(
        &self,
        person: &str,
        run: &str,
        spec: Value,
    ) -> Result<DynamicObject, kube::Error> {
        let client = self.cluster.person(person).await;
        let patch = json!({ "spec": spec });
        self.patch(&client, "Orchestration", run, patch).await
    }

    /// alice asks for a run and names no Playbook.
    pub async fn ask_for_suggestions(&self, name: &str) {
        let object = json!({
            "apiVersion": "neuralops.io/v1alpha1", "kind": "Orchestration",
            "metadata": {"name": name, "namespace": self.ns.name()},
            "spec": {"incident": {"summary": "something is wrong"}, "requestedBy": "alice"},
        });
        create(&self.alice().await, object).await.expect("a run");
    }

    /// bob cancels it.
    pub async fn cancel(&self, run: &str) {
        let patch = json!({"cancel": true, "cancelledBy": "bob"});
        self.set_run("bob", run, patch).await.expect("a cancel");
    }

    pub async fn delete(&self, kind: &str, name: &str) {
        let objects = api(self.admin(), kind, self.ns.name());
        let deleted = objects.delete(name, &DeleteParams::background()).await;
        deleted.expect("deleted");
    }

    /// Waits until it is not there any more.
    pub async fn is_gone(&self, kind: &str, name: &str) {
        eventually("it is gone", SOON, async || {
            let found = api(self.admin(), kind, self.ns.name()).get_opt(name).await;
            match found {
                Ok(None) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    }

    /// A run of these steps, named as its playbook, once people are asked about it.
    pub async fn run(&self, name: &str, steps: Value, more: Value) -> Value {
        self.signed(self.playbook(name, steps)).await;
        self.ask(name, name, more).await;
        let run = self.asked(name).await;
        assert_eq!(run["status"]["stage"], "Approve", "{:#}", run["status"]);
        run
    }

    /// The same, once bob has approved it.
    pub async fn approved(&self, name: &str, steps: Value, more: Value) -> Value {
        let run = self.run(name, steps, more).await;
        self.approve(&run).await;
        run
    }

    /// The same of a Playbook that says nothing about failures: what was done is taken back.
    pub async fn compensating(&self, name: &str, steps: Value) -> Value {
        let mut playbook = self.playbook(name, steps);
        let spec = playbook["spec"].as_object_mut().expect("a spec");
        spec.remove("onFailure");
        self.signed(playbook).await;
        self.ask(name, name, json!({})).await;
        let run = self.asked(name).await;
        assert_eq!(run["status"]["stage"], "Approve", "{:#}", run["status"]);
        self.approve(&run).await;
        run
    }

    /// The run, once this step of it is begun.
    pub async fn running(&self, name: &str, step: &str) -> Value {
        self.until(name, "is in that step", |status| {
            let steps = status["steps"].as_array().into_iter().flatten();
            let mut found = steps.filter(|one| one["name"] == step);
            found.next().is_some_and(|one| one["state"] == "Running")
                || status["outcome"].is_string()
        })
        .await
    }

    /// What is on record about the object with this uid, oldest first.
    pub async fn records(&self, uid: &str) -> Vec<Record> {
        let url = StoreUrl::sqlite(&self.cluster.operator_data().join("audit.db"));
        let store = store::open(&url, Mode::Reader).await.expect("the store");
        let query = Query {
            object: Some(uid.to_owned()),
            limit: 1000,
            ..Query::default()
        };
        let leaves = store.query(query).await.expect("leaves");
        let parse = |body: &[u8]| Record::parse(body).expect("a record");
        leaves.iter().map(|leaf| parse(&leaf.body)).collect()
    }

    /// The same in words: `run.held/Frozen`.
    pub async fn told_of(&self, uid: &str) -> Vec<String> {
        let records = self.records(uid).await;
        let words = records.iter().map(|record| {
            let outcome = record.fact.outcome.as_ref();
            let outcome = outcome.map_or_else(String::new, |word| format!("/{}", word.as_str()));
            format!("{}{outcome}", record.fact.code.code())
        });
        words.collect()
    }

    /// Waits until this is on record.
    pub async fn is_told_of(&self, uid: &str, word: &str) {
        eventually(&format!("{word} is on record"), SOON, async || {
            let told = self.told_of(uid).await;
            if told.iter().any(|one| one == word) {
                Ok(())
            } else {
                Err(told.join(" "))
            }
        })
        .await;
    }

    /// Everything since the mark that was no dry run and wrote, or was to write, anything of this namespace but what the
    /// operator writes for itself: each as `verb resource name`. It is asked when all of it is in the audit log.
    pub async fn effects(&self, mark: u64) -> Vec<String> {
        self.all_is_written(mark).await;
        let namespace = self.ns.name();
        let events = self.cluster.audit_since(mark).into_iter();
        let effects = events.filter(|event| {
            let ours = event.user == OPERATOR;
            let own = event.impersonated.is_empty() && OWN.contains(&event.resource.as_str());
            let writes = ["create", "update", "patch", "delete", "deletecollection"]
                .contains(&event.verb.as_str());
            ours && writes
                && !own
                && event.namespace == namespace
                && !event.uri.contains("dryRun=All")
        });
        let told = effects.map(|event| format!("{} {} {}", event.verb, event.resource, event.name));
        told.collect()
    }

    /// An event is written a moment after its answer: what came before a request that stands there stands there too.
    pub async fn all_is_written(&self, mark: u64) {
        let name = random("sentinel");
        let sentinel = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": self.ns.name()}});
        create(self.admin(), sentinel).await.expect("a sentinel");
        eventually("the audit log tells of it", SOON, async || {
            let events = self.cluster.audit_since(mark);
            if events
                .iter()
                .any(|event| event.uri.contains(self.ns.name()) && event.name == name)
            {
                Ok(())
            } else {
                // The name of what is created stands in no path; a read of it tells it.
                let _ = api(self.admin(), "ConfigMap", self.ns.name())
                    .get(&name)
                    .await;
                Err("not yet".to_owned())
            }
        })
        .await;
    }

    /// Whether it is still so after the operator has certainly looked: a later run in the same namespace has gone from its
    /// beginning to its end.
    pub async fn meanwhile(&self) {
        let name = random("meanwhile");
        self.signed(self.playbook(&name, json!([{"name": "w", "wait": {"duration": "1ms"}}])))
            .await;
        self.ask(&name, &name, json!({"mode": "PlanOnly"})).await;
        self.ended(&name, "Planned").await;
    }
}
