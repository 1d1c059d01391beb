//! What is not known opens no Gate: as long as a dry run has no answer the run waits, and goes on by itself when there is
//! one. Until then nobody is asked, no plan is kept, and nothing is written but the run's own status.

use std::time::Duration;

use kube::api::{DeleteParams, ListParams};
use serde_json::{Value, json};

use crate::support::{OwnCluster, Scene, api, core, create, eventually, grant, need, rule};

const SOON: Duration = Duration::from_secs(60);
const OPERATOR: &str = "system:serviceaccount:neuralops-system:neuralops-controller";

fn target(name: &str) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": name})
}

fn restart() -> Value {
    json!([{"name": "restart", "rolloutRestart": {"target": target("checkout")}}])
}

/// The condition, as status and reason.
fn condition(run: &Value, kind: &str) -> Option<(String, String)> {
    let conditions = run.pointer("/status/conditions")?.as_array()?;
    let found = conditions.iter().find(|one| one["type"] == kind)?;
    let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
    Some((text("status"), text("reason")))
}

/// Why it is not ready. The log is everybody's here, and a slow disk may hold it up for a while.
fn ready(status: &Value) -> &str {
    let conditions = status["conditions"].as_array().map(Vec::as_slice);
    let mut conditions = conditions.unwrap_or_default().iter();
    let ready = conditions.find(|one| one["type"] == "Ready");
    ready
        .and_then(|one| one["reason"].as_str())
        .unwrap_or_default()
}

impl Scene {
    /// The run waits with an unknown verdict, for this reason; its message.
    async fn in_doubt(&self, name: &str, reason: &str) -> String {
        let run = self
            .until(name, "is in doubt", |status| {
                status["plan"]["verdict"].is_string() && ready(status) != "AuditUnavailable"
            })
            .await;
        let status = &run["status"];
        assert_eq!(status["plan"]["verdict"], "Unknown", "{status:#}");
        assert_eq!(status["stage"], "DryRun", "{status:#}");
        assert!(
            status["outcome"].is_null() && status["gates"].is_null(),
            "{status:#}"
        );
        assert!(
            status["plan"]["digest"].is_null() && status["plan"]["configMap"].is_null(),
            "{status:#}"
        );
        let said = |status: &str| Some((status.to_owned(), reason.to_owned()));
        assert_eq!(condition(&run, "Reconciling"), said("True"));
        for kind in ["Ready", "Planned", "Approved", "Succeeded"] {
            assert_eq!(condition(&run, kind), said("Unknown"), "{kind}");
        }
        assert_eq!(condition(&run, "Stalled"), None);
        status["plan"]["summary"]
            .as_str()
            .expect("a summary")
            .replace(self.ns.name(), "shop")
    }

    /// Nobody was asked and nothing was written since the mark, by the operator or in anybody's name.
    async fn untouched(&self, mark: u64) {
        for kind in ["Gate", "ConfigMap"] {
            let all = api(self.admin(), kind, self.ns.name())
                .list(&ListParams::default())
                .await
                .expect("a list");
            let names = all
                .items
                .iter()
                .filter_map(|one| one.metadata.name.as_deref());
            let made: Vec<_> = names.filter(|name| *name != "kube-root-ca.crt").collect();
            assert!(made.is_empty(), "{kind}: {made:?}");
        }
        // The record is written a moment after the answer: the run's own status shows that it has come so far.
        let events = eventually("the status stands in the record", SOON, async || {
            let events = self.cluster.audit_since(mark);
            let ours = |resource: &str| {
                events.iter().any(|one| {
                    one.namespace == self.ns.name()
                        && one.resource == resource
                        && one.verb == "patch"
                })
            };
            if ours("orchestrations") {
                Ok(events)
            } else {
                Err("not yet".to_owned())
            }
        })
        .await;
        let written: Vec<_> = events
            .iter()
            .filter(|one| one.namespace == self.ns.name() && one.user == OPERATOR)
            .filter(|one| {
                matches!(
                    one.verb.as_str(),
                    "create" | "update" | "patch" | "delete" | "deletecollection"
                )
            })
            .filter(|one| {
                !one.uri.contains("dryRun")
                    && one.resource != "selfsubjectaccessreviews"
                    && one.resource != "events"
            })
            .filter(|one| {
                !(one.subresource == "status"
                    && matches!(one.resource.as_str(), "orchestrations" | "playbooks"))
            })
            .collect();
        assert!(written.is_empty(), "{written:#?}");
    }

    /// An account of this name that nobody may act as yet.
    async fn account(&self, name: &str) -> String {
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": self.ns.name()}});
        create(self.admin(), account).await.expect("an account");
        format!("system:serviceaccount:{}:{name}", self.ns.name())
    }

    async fn may_act_as(&self, account: &str) {
        let right = core("impersonate", "serviceaccounts").named(account);
        grant(&self.ns, OPERATOR, &[right]).await;
    }

    async fn signed_as(&self, name: &str, account: &str, steps: Value) {
        let mut playbook = self.playbook(name, steps);
        playbook["spec"]["serviceAccountName"] = json!(account);
        self.signed(playbook).await;
    }
}

#[tokio::test]
async fn without_the_right_to_act_as_the_account_nobody_is_asked_until_it_is_granted() {
    let cluster = need!(Owned, Users);
    let scene = Scene::set(cluster, "unlent").await;
    create(scene.admin(), scene.deployment("checkout"))
        .await
        .expect("a deployment");
    let user = scene.account("lent-later").await;
    grant(
        &scene.ns,
        &user,
        &[rule("apps", "get patch", "deployments")],
    )
    .await;
    scene.signed_as("p", "lent-later", restart()).await;
    let mark = cluster.audit_mark();
    scene.ask("r", "p", json!({})).await;
    assert_eq!(
        scene.in_doubt("r", "ImpersonationForbidden").await,
        "step restart: the operator may not act as ServiceAccount shop/lent-later: `neuralops role runner lent-later -n shop` prints the Role that allows it"
    );
    scene.untouched(mark).await;
    scene.may_act_as("lent-later").await;
    let run = scene.asked("r").await;
    assert_eq!(run["status"]["plan"]["verdict"], "Pass");
}

#[tokio::test]
async fn an_account_without_the_right_that_a_step_needs_is_a_no_and_not_a_doubt() {
    let cluster = need!(Owned, Users);
    let scene = Scene::set(cluster, "poor").await;
    create(scene.admin(), scene.deployment("checkout"))
        .await
        .expect("a deployment");
    let user = scene.account("poor").await;
    grant(&scene.ns, &user, &[rule("apps", "get", "deployments")]).await;
    scene.may_act_as("poor").await;
    scene.signed_as("p", "poor", restart()).await;
    let mark = cluster.audit_mark();
    scene.ask("r", "p", json!({})).await;
    let run = scene.ended("r", "Failed").await;
    assert_eq!(run["status"]["plan"]["verdict"], "Fail");
    let no = Some(("False".to_owned(), "AccessDenied".to_owned()));
    assert_eq!(condition(&run, "Ready"), no);
    assert_eq!(condition(&run, "Planned"), no);
    assert_eq!(
        condition(&run, "Stalled").map(|stalled| stalled.0),
        Some("True".to_owned())
    );
    scene.untouched(mark).await;
}

#[tokio::test]
async fn a_webhook_that_cannot_be_asked_leaves_the_verdict_open_until_it_can() {
    let cluster = need!(Owned, Users);
    let scene = Scene::set(cluster, "unasked").await;
    create(scene.admin(), scene.deployment("checkout"))
        .await
        .expect("a deployment");
    let name = scene.ns.name();
    let webhook = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": name},
        "webhooks": [{
            "name": "nobody-listens.example.com", "failurePolicy": "Fail", "timeoutSeconds": 1,
            "clientConfig": {"url": "https://127.0.0.1:1/"},
            "rules": [{"apiGroups": ["apps"], "apiVersions": ["*"], "operations": ["UPDATE"], "resources": ["deployments"]}],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}},
            "sideEffects": "None", "admissionReviewVersions": ["v1"],
        }],
    });
    scene.ns.also_delete("MutatingWebhookConfiguration", name);
    create(scene.admin(), webhook).await.expect("a webhook");
    let deployment = json!({"metadata": {"labels": {"touched": "yes"}}});
    eventually("the webhook is asked", SOON, async || {
        match scene
            .patch(scene.admin(), "Deployment", "checkout", deployment.clone())
            .await
        {
            Err(_) => Ok(()),
            Ok(_) => Err("not yet".to_owned()),
        }
    })
    .await;
    scene.signed(scene.playbook("p", restart())).await;
    let mark = cluster.audit_mark();
    scene.ask("r", "p", json!({})).await;
    let message = scene.in_doubt("r", "DryRunUnavailable").await;
    let begins = "step restart: could not patch deployments checkout: Internal error occurred: failed calling webhook \"nobody-listens.example.com\"";
    assert!(message.starts_with(begins), "{message}");
    scene.untouched(mark).await;
    let webhooks = api(scene.admin(), "MutatingWebhookConfiguration", "");
    webhooks
        .delete(name, &DeleteParams::default())
        .await
        .expect("deleted");
    let run = scene.asked("r").await;
    assert_eq!(run["status"]["plan"]["verdict"], "Pass");
}

#[tokio::test]
async fn a_kind_that_is_not_installed_is_waited_for() {
    let cluster = need!(Owned, Users);
    let scene = Scene::set(cluster, "uninstalled").await;
    let group = format!("{}.example", scene.ns.name());
    let account = format!("system:serviceaccount:{}:runbook", scene.ns.name());
    grant(&scene.ns, &account, &[rule(&group, "get", "gadgets")]).await;
    let target = json!({"apiVersion": format!("{group}/v1"), "kind": "Gadget", "name": "g"});
    let steps =
        json!([{"name": "look", "check": {"target": target, "expression": "object.spec.ready"}}]);
    scene.signed(scene.playbook("p", steps)).await;
    let mark = cluster.audit_mark();
    scene.ask("r", "p", json!({})).await;
    assert_eq!(
        scene.in_doubt("r", "KindUnknown").await,
        "step look: the API server knows no kind Gadget in shop.example/v1; is its CRD installed, and the apiVersion right?"
    );
    scene.untouched(mark).await;
    let name = format!("gadgets.{group}");
    let schema = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
    let crd = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": name},
        "spec": {
            "group": group, "scope": "Namespaced",
            "names": {"plural": "gadgets", "singular": "gadget", "kind": "Gadget", "listKind": "GadgetList"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": schema}],
        },
    });
    create(scene.admin(), crd).await.expect("a kind");
    scene.ns.also_delete("CustomResourceDefinition", &name);
    let run = scene.asked("r").await;
    assert_eq!(run["status"]["plan"]["verdict"], "Pass");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_log_is_closed_nobody_is_asked_and_nothing_is_planned() {
    need!(Owned, Users);
    let own = OwnCluster::start().await;
    let mut operator = own.operator(&[]);
    operator.ready().await;
    let scene = Scene::set(own.cluster(), "closed").await;
    create(scene.admin(), scene.deployment("checkout"))
        .await
        .expect("a deployment");
    scene.signed(scene.playbook("p", restart())).await;
    operator.signal("TERM");
    assert!(operator.ended(SOON).await.success());
    let keys = api(scene.admin(), "Secret", "neuralops-system");
    keys.delete("neuralops-audit-keys", &DeleteParams::default())
        .await
        .expect("deleted");
    let mark = own.cluster().audit_mark();
    let _refused = own.operator(&[]);
    scene.ask("r", "p", json!({})).await;
    let run = scene
        .until("r", "is held", |status| {
            ready(status) == "SigningKeyMissing"
        })
        .await;
    let status = &run["status"];
    assert_eq!(
        condition(&run, "Ready").map(|ready| ready.0),
        Some("Unknown".to_owned())
    );
    assert_eq!(
        condition(&run, "Reconciling").map(|held| held.0),
        Some("True".to_owned())
    );
    assert!(
        status["plan"].is_null() && status["gates"].is_null() && status["outcome"].is_null(),
        "{status:#}"
    );
    scene.untouched(mark).await;
}
