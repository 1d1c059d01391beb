//! A scene for runs: a namespace with an author whom its policy trusts, a ServiceAccount that playbooks act as, alice who
//! asks, bob who may approve as oncall, and a broken Deployment. What happens in it is each test's own.

use std::time::Duration;

use kube::Client;
use kube::api::{DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};

use super::grants::rule;
use super::{Author, Cluster, Namespace, api, bind, core, create, eventually, grant, ours};

const SOON: Duration = Duration::from_secs(60);

pub struct Scene {
    pub cluster: &'static Cluster,
    pub ns: Namespace,
    pub author: Author,
}

impl Scene {
    pub async fn set(cluster: &'static Cluster, purpose: &str) -> Self {
        let ns = Namespace::new(cluster, purpose).await;
        let author = Author::new();
        ns.also_delete("TrustPolicy", ns.name());
        create(ns.admin(), author.policy(ns.name(), ns.name()))
            .await
            .expect("a policy");
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "runbook", "namespace": ns.name()}});
        create(ns.admin(), account).await.expect("an account");
        let scene = Self {
            cluster,
            ns,
            author,
        };
        scene.rights().await;
        scene
    }

    /// Who may do what: the playbook's account in its namespace, the operator as that account, and the people.
    async fn rights(&self) {
        let ns = &self.ns;
        let account = format!("system:serviceaccount:{}:runbook", ns.name());
        let rules = [
            rule(
                "apps",
                "get list watch patch update create delete",
                "deployments statefulsets daemonsets",
            ),
            rule(
                "apps",
                "get patch update",
                "deployments/scale statefulsets/scale",
            ),
            core(
                "get list create patch delete",
                "configmaps secrets services",
            ),
            rule("batch", "get list create", "jobs"),
        ];
        grant(ns, &account, &rules).await;
        let operator = "system:serviceaccount:neuralops-system:neuralops-controller";
        grant(
            ns,
            operator,
            &[core("impersonate", "serviceaccounts").named("runbook")],
        )
        .await;
        bind(ns, "alice", "neuralops-engineer").await;
        for person in ["bob", "dave"] {
            bind(ns, person, "neuralops-approver").await;
        }
        let oncall = || ours("approve reject", "approverroles").named("oncall");
        grant(ns, "bob", &[oncall()]).await;
        grant(ns, "dave", &[oncall()]).await;
    }

    pub fn admin(&self) -> &Client {
        self.ns.admin()
    }

    pub async fn alice(&self) -> Client {
        self.cluster.person("alice").await
    }

    /// A Deployment that nobody runs pods of by intent: its image does not exist.
    pub fn deployment(&self, name: &str) -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": name, "namespace": self.ns.name()},
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": {"app": name}},
                "template": {
                    "metadata": {"labels": {"app": name}},
                    "spec": {"containers": [{"name": "app", "image": "registry.example/shop:1"}]},
                },
            },
        })
    }

    /// A Playbook of these steps, with one place to fill; if it fails, everything stays as it is.
    pub fn playbook(&self, name: &str, steps: Value) -> Value {
        json!({
            "apiVersion": "neuralops.io/v1alpha1", "kind": "Playbook",
            "metadata": {"name": name, "namespace": self.ns.name()},
            "spec": {
                "revision": 1,
                "serviceAccountName": "runbook",
                "onFailure": "Stop",
                "approval": [{"rules": [{"role": "oncall", "min": 1}], "deadline": "30m"}],
                "steps": steps,
            },
        })
    }

    /// The same, signed, and there.
    pub async fn signed(&self, playbook: Value) {
        create(self.admin(), self.author.sign(playbook))
            .await
            .expect("a playbook");
    }

    /// alice asks for a run.
    pub async fn ask(&self, name: &str, playbook: &str, more: Value) -> DynamicObject {
        let asked = self.try_ask(name, playbook, more).await;
        asked.expect("a run")
    }

    /// The same, if she may.
    pub async fn try_ask(
        &self,
        name: &str,
        playbook: &str,
        more: Value,
    ) -> Result<DynamicObject, kube::Error> {
        let mut object = json!({
            "apiVersion": "neuralops.io/v1alpha1", "kind": "Orchestration",
            "metadata": {"name": name, "namespace": self.ns.name()},
            "spec": {
                "incident": {"summary": "checkout crash loops", "severity": "critical"},
                "playbookRef": {"name": playbook},
                "requestedBy": "alice",
            },
        });
        if let (Some(spec), Value::Object(more)) = (object["spec"].as_object_mut(), more) {
            spec.extend(more);
        }
        create(&self.alice().await, object).await
    }

    pub async fn object(&self, kind: &str, name: &str) -> Value {
        let object = api(self.admin(), kind, self.ns.name()).get(name).await;
        serde_json::to_value(object.expect("it is there")).expect("JSON")
    }

    /// The run, once its status is as it has to be.
    pub async fn until(&self, name: &str, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        eventually(&format!("{name} {what}"), SOON, async || {
            let run = self.object("Orchestration", name).await;
            let status = run.get("status").cloned().unwrap_or_default();
            if is(&status) {
                Ok(run)
            } else {
                Err(serde_json::to_string_pretty(&status).unwrap_or_default())
            }
        })
        .await
    }

    /// The run, once people are asked about it.
    pub async fn asked(&self, name: &str) -> Value {
        self.until(name, "asks", |status| {
            status["stage"] == "Approve" && status["gates"][0]["uid"].is_string()
                || status["outcome"].is_string()
        })
        .await
    }

    /// The run, once it has come to this end.
    pub async fn ended(&self, name: &str, outcome: &str) -> Value {
        let run = self
            .until(name, "comes to its end", |status| {
                status["outcome"].is_string()
            })
            .await;
        assert_eq!(
            run["status"]["outcome"],
            outcome,
            "{name}: {}",
            serde_json::to_string_pretty(&run["status"]).unwrap_or_default()
        );
        run
    }

    /// Somebody votes about the newest Gate of the run, as its status names it.
    pub async fn vote(
        &self,
        person: &str,
        run: &Value,
        verdict: &str,
    ) -> Result<DynamicObject, kube::Error> {
        let status = &run["status"];
        let gates = status["gates"].as_array().expect("gates");
        let gate = gates.last().expect("a gate");
        let decision = json!({
            "apiVersion": "neuralops.io/v1alpha1", "kind": "Decision",
            "metadata": {"generateName": "vote-", "namespace": self.ns.name()},
            "spec": {
                "gateRef": {"name": gate["name"], "uid": gate["uid"]},
                "planDigest": status["plan"]["digest"],
                "verdict": verdict,
                "user": person,
            },
        });
        let client = self.cluster.person(person).await;
        let gates = api(self.ns.admin(), "Gate", self.ns.name());
        let name = gate["name"].as_str().expect("a name");
        // A Gate that was made a moment ago may not be known to the policy yet; one that is gone never will be.
        eventually("the policy knows the Gate", SOON, async || {
            match create(&client, decision.clone()).await {
                Err(kube::Error::Api(answer)) if unseen(&answer.message) => {
                    match gates.get_opt(name).await {
                        Ok(None) => Ok(Err(kube::Error::Api(answer))),
                        _ => Err(answer.message),
                    }
                }
                other => Ok(other),
            }
        })
        .await
    }

    /// bob approves the run.
    pub async fn approve(&self, run: &Value) {
        self.vote("bob", run, "Approve").await.expect("a vote");
    }

    pub async fn patch(
        &self,
        client: &Client,
        kind: &str,
        name: &str,
        patch: Value,
    ) -> Result<DynamicObject, kube::Error> {
        let namespace = if kind == "Freeze" { "" } else { self.ns.name() };
        api(client, kind, namespace)
            .patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await
    }
}

fn unseen(message: &str) -> bool {
    ["no params found", "not yet synced", "no Gate"]
        .iter()
        .any(|words| message.contains(words))
}
