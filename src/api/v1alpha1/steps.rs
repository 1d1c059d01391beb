//! Floor 1: the step kinds of a Playbook as they stand on the wire. A field takes `$(params.NAME)` only where its
//! comment says so; the linter holds that. How a step is planned and run lives in `adapters/steps`.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{GateRule, OnFailure, OnTimeout};
use crate::api::schema::{self, DNS_LABEL, DURATION, DURATION_OR_PARAMETER};

/// One step: a name, exactly one kind, and how it is tried and undone.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[x_kube(
    validation = Rule::new(
        "[has(self.apply), has(self.patch), has(self.scale), has(self.rolloutRestart), has(self.rolloutUndo), has(self.delete), \
         has(self.cordon), has(self.uncordon), has(self.drain), has(self.job), has(self.http), has(self.wait), has(self.check), \
         has(self.gate), has(self.notify)].filter(k, k).size() == 1"
    ).message("a step has exactly one kind: apply, patch, scale, rolloutRestart, rolloutUndo, delete, cordon, uncordon, drain, job, http, wait, check, gate or notify"),
    validation = Rule::new("!(has(self.job) || has(self.http)) || has(self.opaque)").message("job and http cannot be planned inside: say opaque: Accepted"),
    validation = Rule::new("!has(self.opaque) || has(self.job) || has(self.http)").message("opaque is only for job and http")
)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// Names the step; unique in the Playbook.
    #[schemars(length(min = 1, max = 63), regex(pattern = DNS_LABEL))]
    pub name: String,
    /// Server-side apply of one object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apply: Option<Apply>,
    /// Patch one object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patch: Option<PatchStep>,
    /// Set the number of replicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<Scale>,
    /// Restart the pods of a workload, as `kubectl rollout restart` does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout_restart: Option<RolloutRestart>,
    /// Go back to an earlier revision of a workload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout_undo: Option<RolloutUndo>,
    /// Delete one object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delete: Option<Delete>,
    /// Mark a node unschedulable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cordon: Option<NodeStep>,
    /// Mark a node schedulable again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uncordon: Option<NodeStep>,
    /// Evict the pods of a node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain: Option<Drain>,
    /// Run a container to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobStep>,
    /// One HTTP request, made by a Job as the playbook's account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpStep>,
    /// Wait for a time, or for a condition of an object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<WaitStep>,
    /// Decide whether it worked: by an object, or by a Prometheus query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<CheckStep>,
    /// Ask people again in the middle of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<GateStep>,
    /// Tell somebody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify: Option<NotifyStep>,
    /// Time for one attempt; absent: 5m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), regex(pattern = DURATION))]
    pub timeout: Option<String>,
    /// Further attempts after a failure, with backoff; absent: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10))]
    pub retries: Option<i32>,
    /// Overrides the Playbook's onFailure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<OnFailure>,
    /// Auto (absent): the undo is computed at planning. None: this step is never undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<Undo>,
    /// Needed on job and http: their inside cannot be planned, and the Gate says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opaque: Option<Opaque>,
}

/// Whether a step is undone.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undo {
    Auto,
    None,
}

/// The author's word that the inside of a step cannot be planned.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opaque {
    Accepted,
}

/// An object of the Playbook's own namespace. Each field takes a parameter.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// Its apiVersion.
    #[schemars(length(min = 1, max = 128))]
    pub api_version: String,
    /// Its kind.
    #[schemars(length(min = 1, max = 128))]
    pub kind: String,
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// Server-side apply, with the field manager `neuralops/<playbook>`.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Apply {
    /// The object; its string leaves take parameters.
    #[schemars(schema_with = "schema::preserved_object")]
    pub manifest: Value,
    /// Take fields over that others own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub force: Option<bool>,
}

/// A patch of one object.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PatchStep {
    /// What is patched.
    pub target: Target,
    /// How `patch` is read.
    #[serde(rename = "type")]
    pub patch_type: PatchType,
    /// The patch; its string leaves take parameters. No null: delete fields with Json.
    #[schemars(schema_with = "schema::preserved_value")]
    pub patch: Value,
}

/// The patch types of the API server.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchType {
    Merge,
    Json,
    Strategic,
}

/// A new number of replicas.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Scale {
    /// What is scaled.
    pub target: Target,
    /// How many; takes a parameter of type integer.
    #[schemars(schema_with = "schema::int_or_parameter")]
    pub replicas: IntOrString,
}

/// A restart of a workload's pods.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RolloutRestart {
    /// A Deployment, StatefulSet or DaemonSet.
    pub target: Target,
}

/// A way back to an earlier revision.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RolloutUndo {
    /// A Deployment, StatefulSet or DaemonSet.
    pub target: Target,
    /// Which; absent: the one before. Takes a parameter of type integer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::int_or_parameter")]
    pub to_revision: Option<IntOrString>,
}

/// The end of one object.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Delete {
    /// What is deleted.
    pub target: Target,
    /// What becomes of its dependents; absent: Background.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub propagation: Option<Propagation>,
}

/// What becomes of the dependents of a deleted object.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    Background,
    Foreground,
    Orphan,
}

/// A node.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct NodeStep {
    /// Its name; takes a parameter.
    #[schemars(length(min = 1, max = 253))]
    pub node: String,
}

/// An eviction of a node's pods, disruption budgets respected.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Drain {
    /// The node; takes a parameter.
    #[schemars(length(min = 1, max = 253))]
    pub node: String,
    /// Time that a pod has to end; absent: its own. Takes a parameter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 73), regex(pattern = DURATION_OR_PARAMETER))]
    pub grace_period: Option<String>,
    /// Leave DaemonSet pods alone instead of refusing; absent: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ignore_daemon_sets: Option<bool>,
    /// Evict pods whose emptyDir data is lost then; absent: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delete_empty_dir_data: Option<bool>,
}

/// A container that runs to its end. Never a PodSpec: what is not here cannot be asked for.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct JobStep {
    /// The image; by digest where imagePolicy asks for it.
    #[schemars(length(min = 1, max = 512))]
    pub image: String,
    /// The program; takes no parameter: values come as environment variables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), inner(length(max = 4096)))]
    pub command: Option<Vec<String>>,
    /// Its arguments; take no parameter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), inner(length(max = 4096)))]
    pub args: Option<Vec<String>>,
    /// Environment variables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub env: Option<Vec<EnvVar>>,
    /// What the container needs and may use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
}

/// An environment variable: a value, or a key of a Secret of this namespace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[x_kube(validation = Rule::new("has(self.value) != has(self.secretKeyRef)").message("a variable has either a value or a secretKeyRef"))]
#[serde(rename_all = "camelCase")]
pub struct EnvVar {
    /// Its name.
    #[schemars(
        length(min = 1, max = 128),
        regex(pattern = "^[A-Za-z_][A-Za-z0-9_]*$")
    )]
    pub name: String,
    /// Its value; takes a parameter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub value: Option<String>,
    /// Where its value lies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<SecretKeyRef>,
}

/// A key of a Secret of this namespace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// The Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// What a container needs and may use.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// What it is promised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::string_map::<8, 32>")]
    pub requests: Option<BTreeMap<String, String>>,
    /// What it may use at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::string_map::<8, 32>")]
    pub limits: Option<BTreeMap<String, String>>,
}

/// One HTTP request.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct HttpStep {
    /// Where to; takes a parameter.
    #[schemars(length(min = 1, max = 2048))]
    pub url: String,
    /// How; absent: GET.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<HttpMethod>,
    /// Headers; their values take parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::string_map::<32, 1024>")]
    pub headers: Option<BTreeMap<String, String>>,
    /// The body; takes a parameter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16384))]
    pub body: Option<String>,
    /// A Secret key with the value of the Authorization header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretKeyRef>,
    /// Which answers are good; absent: 200 to 299.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16), inner(range(min = 100, max = 599)))]
    pub expect_status: Option<Vec<i32>>,
}

/// The methods of an http step.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "UPPERCASE")]
pub enum HttpMethod {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
}

/// Wait for a time, or until an expression holds.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[x_kube(
    validation = Rule::new("has(self.duration) != has(self.expression)").message("wait has either a duration or a target with an expression"),
    validation = Rule::new("has(self.target) == has(self.expression)").message("target and expression come together")
)]
#[serde(rename_all = "camelCase")]
pub struct WaitStep {
    /// How long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), regex(pattern = DURATION))]
    pub duration: Option<String>,
    /// Which object to look at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// CEL over `object` and `params`; waited for until it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub expression: Option<String>,
}

/// Decide whether it worked.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[x_kube(
    validation = Rule::new("has(self.prometheus) != has(self.expression)").message("check has either a prometheus query or a target with an expression"),
    validation = Rule::new("has(self.target) == has(self.expression)").message("target and expression come together")
)]
#[serde(rename_all = "camelCase")]
pub struct CheckStep {
    /// Which object to look at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// CEL over `object` and `params`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub expression: Option<String>,
    /// Or a query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prometheus: Option<PrometheusCheck>,
    /// How long it must hold without a break; absent: one look is enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), regex(pattern = DURATION))]
    pub stable_for: Option<String>,
}

/// A Prometheus query and what its answer must be.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PrometheusCheck {
    /// PromQL; `$name` stands for a label value of `vars`.
    #[schemars(length(min = 1, max = 2048))]
    pub query: String,
    /// Label values, put in quoted; they take parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::string_map::<16, 256>")]
    pub vars: Option<BTreeMap<String, String>>,
    /// CEL over `result` and `params`.
    #[schemars(length(min = 1, max = 1024))]
    pub expression: String,
}

/// Ask people again in the middle of a run.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct GateStep {
    /// Who must approve; all rules must be met.
    #[schemars(length(min = 1, max = 8))]
    #[x_kube(
        validation = Rule::new("self.all(r, self.exists_one(o, o.role == r.role))").message("a role stands once in a set of rules"),
        validation = Rule::new("self.map(r, r.min).sum() <= 64").message("at most 64 approvals in a set of rules")
    )]
    pub rules: Vec<GateRule>,
    /// How long to wait; absent: 1h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), regex(pattern = DURATION))]
    pub deadline: Option<String>,
    /// What the deadline does; absent: Reject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_timeout: Option<OnTimeout>,
}

/// Tell somebody.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct NotifyStep {
    /// What to say.
    #[schemars(length(min = 1, max = 1024))]
    pub message: String,
    /// Facts beside it; their values take parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::string_map::<16, 1024>")]
    pub fields: Option<BTreeMap<String, String>>,
}
