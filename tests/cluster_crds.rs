//! The CustomResourceDefinitions on a real API server: every CEL rule by the table that the unit tests use too, the
//! limits of the schemas, and the promise that a Playbook is stored as it was written.
//! Whoever asks here holds every right that the admission policies want to see, so that the kinds answer and not they.
//! What can be tried as a dry run is one; nothing but the objects that an edit needs is ever stored.

use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{GroupVersionKind, Status};
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::support::{
    Cluster, Namespace, api, core, create, eventually, grant_everywhere, need, ours, random,
};
use table::{Case, Rule, Write, cases, merged, schema_place};

#[path = "data/crd_rules.rs"]
mod table;

const SOON: Duration = Duration::from_secs(30);

/// Whose name stands in the table where an admission policy asks for the caller's own.
const CALLER: &str = "alice";

struct Scene {
    ns: Namespace,
    caller: Client,
    caller_name: String,
    /// A kind with the schema of AuditLog, in a group of this test alone: there is one AuditLog, and it may be in use.
    anchors: ApiResource,
    /// The object that was stored last, and what it was made from.
    stored: Option<(Value, DynamicObject)>,
}

impl Scene {
    async fn set(cluster: &'static Cluster, purpose: &str) -> Self {
        let ns = Namespace::new(cluster, purpose).await;
        let caller_name = format!("author of {}", ns.name());
        let kinds = "playbooks trustpolicies orchestrations gates decisions freezes";
        let rules = [
            ours("get create patch", kinds),
            ours("patch", "gates/status"),
            ours("operate", "gates decisions"),
            ours("attest", "decisions orchestrations"),
            core("use", "serviceaccounts"),
        ];
        grant_everywhere(&ns, &caller_name, &rules).await;
        let caller = cluster.user(&caller_name).await;
        let group = format!("{}.example", ns.name());
        let kind = GroupVersionKind::gvk(&group, "v1alpha1", "AuditLog");
        Self {
            ns,
            caller,
            caller_name,
            anchors: ApiResource::from_gvk_with_plural(&kind, "auditlogs"),
            stored: None,
        }
    }

    /// Copies the AuditLog, and waits until it is served and the policies on votes have a Gate to look at.
    async fn ready_for_every_kind(&self) {
        let shipped = neuralops::api::crds::all();
        let shipped = shipped
            .iter()
            .find(|crd| crd.spec.names.kind == "AuditLog")
            .expect("the AuditLog");
        let mut copy = json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("auditlogs.{}", self.anchors.group)},
            "spec": shipped.spec,
        });
        copy["spec"]["group"] = json!(self.anchors.group);
        copy["spec"]["names"]["categories"] = json!([]);
        copy["spec"]["names"]["shortNames"] = json!([]);
        let copy = create(self.ns.admin(), copy).await.expect("a kind");
        self.ns
            .also_delete("CustomResourceDefinition", &name(&copy));
        let mut gate = self.own(&base("gate"));
        gate["metadata"]["name"] = json!("for-votes");
        create(&self.caller, gate).await.expect("a gate");
        for kind in ["audit-log", "decision"] {
            let good = self.own(&base(kind));
            eventually("a good object is taken", SOON, async || {
                let answer = self.dry_create(&good).await;
                answer.map_err(|error| error.to_string())
            })
            .await;
        }
    }

    /// The object as the caller writes it here.
    fn own(&self, object: &Value) -> Value {
        fn named(value: &Value, name: &str) -> Value {
            match value {
                Value::String(text) if text == CALLER => json!(name),
                Value::Array(items) => items.iter().map(|item| named(item, name)).collect(),
                Value::Object(fields) => fields
                    .iter()
                    .map(|(key, value)| (key.clone(), named(value, name)))
                    .collect(),
                other => other.clone(),
            }
        }
        let mut own = named(object, &self.caller_name);
        if own["metadata"]["namespace"].is_string() {
            own["metadata"]["namespace"] = json!(self.ns.name());
        }
        if own["kind"] == "AuditLog" {
            own["apiVersion"] = json!(self.anchors.api_version);
        }
        own
    }

    fn api(&self, kind: &str) -> Api<DynamicObject> {
        if kind == "AuditLog" {
            Api::all_with(self.ns.admin().clone(), &self.anchors)
        } else {
            api(&self.caller, kind, self.ns.name())
        }
    }

    async fn dry_create(&self, object: &Value) -> Result<DynamicObject, kube::Error> {
        let params = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        let typed = serde_json::from_value(object.clone()).expect("an object");
        let kind = object["kind"].as_str().expect("a kind");
        self.api(kind).create(&params, &typed).await
    }

    /// What a case starts from, stored; edits of the same object follow each other in the table.
    async fn store(
        &mut self,
        created: &Value,
        changed: Option<&Value>,
    ) -> Result<DynamicObject, kube::Error> {
        let made_from = json!([created, changed]);
        if let Some((from, object)) = &self.stored
            && *from == made_from
        {
            return Ok(object.clone());
        }
        let (mut object, kind) = (self.own(created), created["kind"].as_str().expect("a kind"));
        if kind == "AuditLog" {
            let _ = self
                .api(kind)
                .delete("main", &DeleteParams::default())
                .await;
        } else {
            object["metadata"]["name"] = json!(random("t-crds"));
        }
        let typed = serde_json::from_value(object).expect("an object");
        let params = PostParams::default();
        let mut stored = self.api(kind).create(&params, &typed).await?;
        if created["metadata"]["namespace"].is_null() && kind != "AuditLog" {
            self.ns.also_delete(kind, &name(&stored));
        }
        if let Some(patch) = changed {
            let params = PatchParams::default();
            stored = self.patch(kind, &name(&stored), patch, &params).await?;
        }
        self.stored = Some((made_from, stored.clone()));
        Ok(stored)
    }

    async fn patch(
        &self,
        kind: &str,
        name: &str,
        patch: &Value,
        params: &PatchParams,
    ) -> Result<DynamicObject, kube::Error> {
        let (api, merge) = (self.api(kind), Patch::Merge(self.own(patch)));
        if patch.get("status").is_some() {
            api.patch_status(name, params, &merge).await
        } else {
            api.patch(name, params, &merge).await
        }
    }

    /// Why the case does not end as the table says.
    async fn difference(&mut self, case: &Case) -> Result<(), String> {
        let answer = match &case.write {
            Write::Creation(object) => {
                let object = self.own(object);
                let answer = self.dry_create(&object).await;
                if let Ok(taken) = &answer {
                    unchanged(&object, taken)?;
                }
                answer
            }
            Write::Edit {
                created,
                changed,
                edit,
            } => {
                let stored = self.store(created, changed.as_ref()).await;
                let stored = stored.map_err(|error| format!("not even stored: {error}"))?;
                let dry = PatchParams::default().dry_run();
                self.patch(&case.kind, &name(&stored), edit, &dry).await
            }
        };
        match (answer, &case.refused_by) {
            (Ok(_), None) => Ok(()),
            (Ok(_), Some(_)) => Err("accepted".to_owned()),
            (Err(kube::Error::Api(status)), Some(rule)) => refused_by(&status, rule),
            (Err(error), _) => Err(error.to_string()),
        }
    }
}

fn name(object: &DynamicObject) -> String {
    object.metadata.name.clone().expect("a name")
}

/// A base of the table.
fn base(name: &str) -> Value {
    let base = cases().into_iter().find(|case| case.name == name);
    base.expect("a base").write.objects().1
}

/// Nothing pruned, nothing added.
fn unchanged(sent: &Value, taken: &DynamicObject) -> Result<(), String> {
    let data = |object: &Value| [object["spec"].clone(), object["status"].clone()];
    if data(sent) == data(&taken.data) {
        Ok(())
    } else {
        Err(format!("taken as {}", taken.data))
    }
}

/// One reason and no other, at its place and in its words.
fn refused_by(status: &Status, rule: &Rule) -> Result<(), String> {
    let causes = status.details.as_ref().map(|details| &details.causes[..]);
    let as_expected = match causes {
        Some([cause]) => {
            let place = if cause.field == "<nil>" {
                String::new()
            } else {
                schema_place(&cause.field)
            };
            place == rule.at
                && cause.message.ends_with(&format!(": {}", rule.message))
                && status.message.ends_with(&cause.message)
        }
        _ => false,
    };
    if as_expected && status.code == 422 {
        Ok(())
    } else {
        Err(format!("refused in other words: {}", status.message))
    }
}

#[track_caller]
fn none(what: &str, wrong: &[String]) {
    assert!(wrong.is_empty(), "{what}:\n{}", wrong.join("\n"));
}

#[tokio::test]
async fn every_rule_accepts_and_refuses_as_the_table_says() {
    let cluster = need!(Users);
    let mut scene = Scene::set(cluster, "rules").await;
    scene.ready_for_every_kind().await;
    let mut wrong = Vec::new();
    for case in cases().iter().filter(|case| case.offline.is_none()) {
        if let Err(difference) = scene.difference(case).await {
            wrong.push(format!("  {}: {difference}", case.name));
        }
    }
    none("cases that end otherwise", &wrong);
}

/// The operator compares what it finds with what was shipped: the API server adds nothing but what cannot be otherwise.
/// It also makes what is tried on a copy of AuditLog hold for AuditLog.
#[tokio::test]
async fn kinds_read_back_as_they_are_generated() {
    let cluster = need!();
    let stored: Api<CustomResourceDefinition> = Api::all(cluster.admin().await);
    for crd in neuralops::api::crds::all() {
        let name = crd.metadata.name.as_deref().expect("a name");
        let mut found = stored.get(name).await.expect("an installed kind").spec;
        let conversion = found.conversion.take().map(|found| found.strategy);
        assert_eq!(conversion.as_deref(), Some("None"), "{name}");
        let same = found == crd.spec;
        assert!(same, "{name} is not stored as the code generates it");
    }
}

/// Fields that the schemas refuse, as JSON, and what a person reads then.
const LIMITS: [(&str, &str, &str, &str); 11] = [
    (
        "playbook",
        "/spec/steps/0/name",
        r#""Restart""#,
        "spec.steps[0].name in body should match '^[a-z0-9]([-a-z0-9]*[a-z0-9])?$'",
    ),
    (
        "playbook",
        "/spec/revision",
        "0",
        "spec.revision in body should be greater than or equal to 1",
    ),
    (
        "playbook",
        "/spec/revision",
        "1.5",
        // 1.36 goes on with int64: "float64", 1.34 with integer: "number".
        "spec.revision in body must be of type int",
    ),
    (
        "playbook",
        "/spec/safety",
        r#""Always""#,
        r#"spec.safety: Unsupported value: "Always": supported values: "Manual", "Auto""#,
    ),
    (
        "playbook",
        "/spec/timeout",
        r#""an hour""#,
        "spec.timeout in body should match '^([0-9]{1,5}(h|m|s|ms)){1,4}$'",
    ),
    (
        "playbook",
        "/spec/steps/2/scale/replicas",
        r#""three""#,
        r"spec.steps[2].scale.replicas in body should match '^\$\(params\.",
    ),
    (
        "playbook-of-an-artifact",
        "/spec/source/image",
        r#""registry.example/playbooks:latest""#,
        "spec.source.image in body should match '^[^@ ]+@sha256:[0-9a-f]{64}$'",
    ),
    (
        "gate",
        "/spec/rules",
        r#"[{"role": "a", "min": 1}, {"role": "a", "min": 2}]"#,
        r#"spec.rules[1]: Duplicate value: {"role":"a"}"#,
    ),
    (
        "gate",
        "/spec/deadline",
        r#""tomorrow""#,
        "spec.deadline in body must be of type date-time",
    ),
    (
        "decision",
        "/spec/planDigest",
        r#""latest""#,
        "spec.planDigest in body should match '^sha256:[0-9a-f]{64}$'",
    ),
    (
        "trust-policy",
        "/spec/threshold",
        "0",
        "spec.threshold in body should be greater than or equal to 1",
    ),
];

#[tokio::test]
async fn limits_are_named_with_their_place() {
    let cluster = need!(Users);
    let scene = Scene::set(cluster, "limits").await;
    let steps: Value = (0..1000)
        .map(|number| json!({"name": format!("step-{number}"), "wait": {"duration": "1s"}}))
        .collect();
    let long = json!("x".repeat(257));
    let too_long = [
        (
            "playbook",
            "/spec/steps",
            steps,
            "spec.steps: Too many: 1000: must have at most 64 items",
        ),
        (
            "playbook",
            "/spec/match/labels/alertname",
            long.clone(),
            "spec.match.labels.alertname: Too long: may not be more than 256 bytes",
        ),
        (
            "playbook",
            "/metadata/labels",
            json!({"team": long}),
            "metadata.labels: Invalid value: ",
        ),
    ];
    let written = LIMITS.map(|(kind, field, json, words)| {
        (
            kind,
            field,
            serde_json::from_str(json).expect("JSON"),
            words,
        )
    });
    let mut wrong = Vec::new();
    for (kind, field, value, words) in written.into_iter().chain(too_long) {
        let mut object = scene.own(&base(kind));
        let (parent, name) = field.rsplit_once('/').expect("a pointer");
        object.pointer_mut(parent).expect("a place")[name] = value;
        match scene.dry_create(&object).await {
            Err(kube::Error::Api(told)) if told.code == 422 && told.message.contains(words) => {}
            answer => wrong.push(format!("  {kind} {field}: {answer:?}")),
        }
    }
    none("limits in other words", &wrong);
}

/// A good Playbook of which three fields are whatever their authors want, as hard to keep as JSON can be.
fn odd() -> Value {
    let odd: Value = serde_json::from_str(
        r##"{
            "integers": [0, -1, 9007199254740991, 9007199254740993, 9223372036854775807, -9223372036854775808],
            "empty": {"object": {}, "list": [], "string": "", "nested": [[], [{}], {"a": {"b": {}}}]},
            "booleans": [true, false],
            "text": "<&> \"\\ \u0001 \u2028 Ünïcode 🧯 $(params.x) $$(y) \r\n\t end ",
            "": "no name",
            " ": "a blank",
            "a/b": 1, "a~1b": 2, "a.b": 3, "[0]": 4, "$ref": "#/x", "__proto__": {}, "ключ": "key",
            "x-kubernetes-preserve-unknown-fields": true,
            "apiVersion": "v1", "kind": "List",
            "metadata": {"name": "Not A Name", "creationTimestamp": "never", "labels": {"a": [1]}, "managedFields": {}},
            "status": {"spec": {"status": []}}
        }"##,
    )
    .expect("JSON");
    merged(
        &base("playbook"),
        &json!({"spec": {
            "parameters": odd,
            "steps": [
                {"name": "apply", "apply": {"manifest": odd}},
                {"name": "patch", "patch": {
                    "target": {"apiVersion": "v1", "kind": "ConfigMap", "name": "a"}, "type": "Merge", "patch": odd,
                }},
                {"name": "list", "patch": {
                    "target": {"apiVersion": "v1", "kind": "ConfigMap", "name": "a"}, "type": "Json", "patch": [odd, [], 7],
                }},
                {"name": "scale", "scale": {
                    "target": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "a"}, "replicas": "$(params.n)",
                }},
            ],
        }}),
    )
}

#[tokio::test]
async fn a_playbook_keeps_every_byte_that_was_signed() {
    let cluster = need!(Users);
    let scene = Scene::set(cluster, "bytes").await;
    let (playbook, playbooks) = (scene.own(&odd()), scene.api("Playbook"));
    let name = playbook["metadata"]["name"].as_str().expect("a name");
    create(&scene.caller, playbook.clone())
        .await
        .expect("a Playbook");
    let kept = async |after: &str| {
        let stored = playbooks.get(name).await.expect("the Playbook");
        assert_eq!(stored.data["spec"], playbook["spec"], "{after}");
    };
    kept("creation").await;
    // Writes that are not about the spec decode and encode it all the same.
    let label = Patch::Merge(json!({"metadata": {"labels": {"a": "b"}}}));
    let written = playbooks.patch(name, &PatchParams::default(), &label).await;
    written.expect("a label");
    kept("an edit of metadata").await;
    let label = Patch::Apply(json!({
        "apiVersion": "neuralops.io/v1alpha1", "kind": "Playbook", "metadata": {"name": name, "labels": {"c": "d"}},
    }));
    let written = playbooks
        .patch(name, &PatchParams::apply("labels"), &label)
        .await;
    written.expect("a label");
    kept("a server-side apply of metadata").await;
    let status = Patch::Merge(json!({"status": {"observedGeneration": 1}}));
    let operator = api(&cluster.operator().await, "Playbook", scene.ns.name());
    let written = operator
        .patch_status(name, &PatchParams::default(), &status)
        .await;
    written.expect("a status");
    kept("a status").await;
}

/// Only a field of the schema loses a null; inside of what is kept, the linter has to find it.
#[tokio::test]
async fn a_null_is_left_out_where_the_schema_knows_the_field() {
    let cluster = need!(Users);
    let scene = Scene::set(cluster, "null").await;
    let good = scene.own(&base("playbook"));
    let mut nulls = good.clone();
    nulls["spec"]["description"] = Value::Null;
    nulls["spec"]["steps"][0]["timeout"] = Value::Null;
    nulls["spec"]["steps"][0]["apply"]["manifest"]["data"] = Value::Null;
    let taken = scene.dry_create(&nulls).await.expect("a Playbook");
    let left_out = json!({"spec": {"description": null}});
    let mut expected = merged(&good, &left_out);
    let steps = expected["spec"]["steps"].as_array_mut().expect("steps");
    steps[0] = merged(&steps[0], &json!({"timeout": null}));
    steps[0]["apply"]["manifest"]["data"] = Value::Null;
    assert_eq!(taken.data["spec"], expected["spec"]);
}

/// Two authors do not make a third document: whoever applies a spec owns it whole, or is refused.
#[tokio::test]
async fn a_playbook_is_applied_whole_or_not_at_all() {
    let cluster = need!(Users);
    let scene = Scene::set(cluster, "apply").await;
    let playbooks = scene.api("Playbook");
    let first = scene.own(&base("playbook"));
    let name = first["metadata"]["name"].as_str().expect("a name");
    let apply = async |manager: &str, force: bool, object: &Value| {
        let mut params = PatchParams::apply(manager);
        params.force = force;
        let answer = playbooks.patch(name, &params, &Patch::Apply(object)).await;
        match answer {
            Ok(stored) => Ok(stored.data["spec"].clone()),
            Err(kube::Error::Api(status)) => Err((status.code, status.message)),
            Err(error) => panic!("not an answer of the API server: {error}"),
        }
    };
    let stored = apply("first", false, &first).await;
    assert_eq!(stored.as_ref(), Ok(&first["spec"]));

    let mut second = first.clone();
    second["spec"] = json!({
        "revision": 2,
        "serviceAccountName": "another",
        "approval": [{"rules": [{"role": "lead", "min": 1}]}],
        "steps": [{"name": "restart", "wait": {"duration": "1s"}}, {"name": "new", "wait": {"duration": "1s"}}],
    });
    let (code, told) = apply("second", false, &second)
        .await
        .expect_err("a conflict");
    assert_eq!(code, 409);
    assert!(told.contains("conflict with \"first\": .spec"), "{told}");
    let stored = apply("second", true, &second).await;
    assert_eq!(stored.as_ref(), Ok(&second["spec"]));

    // One more step is not added to the steps of the other.
    let mut part = first.clone();
    part["spec"] = json!({"steps": [{"name": "more", "wait": {"duration": "1s"}}]});
    let (code, told) = apply("third", true, &part)
        .await
        .expect_err("half a document");
    assert_eq!(code, 422);
    assert!(told.contains("spec.revision: Required value"), "{told}");
}
