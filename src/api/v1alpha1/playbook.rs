//! Floor 1: `Playbook`, the signed document. No OpenAPI `default:`, atomic lists and a map-type atomic spec keep the
//! author's bytes as they were signed. What is runnable is decided by the linter and the planner, not here.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};

use super::{GateRule, OnTimeout, Step};
use crate::api::schema::{self, DIGEST, DURATION};

/// What to do about an incident, under which account, and who must agree.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "neuralops.io",
    version = "v1alpha1",
    kind = "Playbook",
    plural = "playbooks",
    singular = "playbook",
    shortname = "pb",
    category = "neuralops",
    namespaced,
    status = "PlaybookStatus",
    derive = "PartialEq",
    doc = "A signed incident playbook: steps with their undo, the account they run as, and who must approve.",
    validation = Rule::new("size(self.metadata.name) <= 63").message("a Playbook's name has at most 63 characters"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status", description = "Whether runs may use it"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason", description = "Why it is or is not ready"),
    printcolumn(name = "Version", type_ = "string", json_path = ".spec.version", description = "For people"),
    printcolumn(name = "Revision", type_ = "integer", json_path = ".spec.revision", description = "Never goes back"),
    printcolumn(name = "Account", type_ = "string", json_path = ".spec.serviceAccountName", description = "Runs act as this ServiceAccount"),
    printcolumn(name = "Digest", type_ = "string", json_path = ".status.digest", description = "SHA-256 of the signed document", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(
    validation = Rule::new("has(self.source) != has(self.steps)").message("a Playbook has either steps or a source"),
    validation = Rule::new("has(self.source) || has(self.approval)").message("approval is required: who must agree before it runs"),
    validation = Rule::new(
        "!has(self.source) || !(has(self.description) || has(self.version) || has(self.parameters) || has(self.safety) || \
         has(self.auto) || has(self.approval) || has(self.timeout) || has(self.onFailure) || has(self.limits) || \
         has(self.gitOps) || has(self.historyLimit) || has(self.imagePolicy))"
    ).message("with a source, only revision, serviceAccountName and match stand here; the rest is in the artifact"),
    validation = Rule::new("!has(self.safety) || self.safety != 'Auto' || has(self.auto)").message("safety Auto needs auto.expression: when may it run without a Gate"),
    validation = Rule::new("!has(self.auto) || (has(self.safety) && self.safety == 'Auto')").message("auto is only read with safety Auto")
)]
#[serde(rename_all = "camelCase")]
// A merged spec is not the author's: it is replaced whole or not at all.
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct PlaybookSpec {
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub description: Option<String>,
    /// A version for people; the operator orders by revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub version: Option<String>,
    /// Never goes back: an older one is refused, and the same one with another digest too.
    #[schemars(range(min = 1, max = 9_007_199_254_740_991_i64))]
    pub revision: i64,
    /// The ServiceAccount of this namespace that runs act as.
    #[schemars(length(min = 1, max = 253))]
    pub service_account_name: String,
    /// When to suggest it; absent: never suggested, only named.
    #[serde(default, rename = "match", skip_serializing_if = "Option::is_none")]
    pub matches: Option<PlaybookMatch>,
    /// JSON Schema 2020-12 of the parameters: type object, no remote reference, one type for each property.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::preserved_object")]
    pub parameters: Option<Value>,
    /// Manual (absent): a Gate always asks. Auto: no Gate where auto.expression holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub safety: Option<Safety>,
    /// When a run may go without a Gate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto: Option<AutoRule>,
    /// Who must approve; the second set is for Escalate of the first, and so on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4))]
    pub approval: Option<Vec<ApprovalRules>>,
    /// Time for the whole execution, waiting for people not counted; absent: 1h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), regex(pattern = DURATION))]
    pub timeout: Option<String>,
    /// What a failed step does; absent: Compensate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<OnFailure>,
    /// How often it may run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<RunLimits>,
    /// Targets that Argo CD, Flux or Helm own; absent: Warn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git_ops: Option<GitOps>,
    /// How many finished runs are kept, newest first, once the document is verified; absent: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub history_limit: Option<i32>,
    /// What the images of job steps must fulfil.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_policy: Option<ImagePolicy>,
    /// What is done, in order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(validation = Rule::new("self.all(s, self.exists_one(t, t.name == s.name))").message("step names are unique"))]
    pub steps: Option<Vec<Step>>,
    /// Take the document from a signed artifact instead; only beside revision, serviceAccountName and match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<PlaybookSource>,
}

/// A Playbook as the API server holds it. The operator watches this and not the typed one, because digests and
/// findings are about the raw spec, and because no spec, however broken, may stop the watch.
#[derive(kube::Resource, Clone, Debug)]
#[resource(inherit = Playbook)]
pub struct RawPlaybook {
    /// Standard metadata.
    pub metadata: ObjectMeta,
    /// The spec, untouched; or why no reader can take it.
    pub spec: Result<Value, String>,
    /// The last status, as it was written.
    pub status: Option<PlaybookStatus>,
}

impl RawPlaybook {
    /// Reads the object from its text. The spec is read by itself: what nests too deep is told, not failed on.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Parts<'a> {
            metadata: ObjectMeta,
            #[serde(borrow)]
            spec: Option<&'a RawValue>,
            status: Option<PlaybookStatus>,
        }
        let Parts {
            metadata,
            spec,
            status,
        } = serde_json::from_str(text)?;
        let spec = spec.map_or(Ok(Value::Null), |spec| {
            serde_json::from_str(spec.get()).map_err(|error| error.to_string())
        });
        Ok(Self {
            metadata,
            spec,
            status,
        })
    }
}

/// Which incidents a Playbook is for.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PlaybookMatch {
    /// Labels of the incident; all must be equal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::string_map::<16, 256>")]
    pub labels: Option<BTreeMap<String, String>>,
    /// CEL over `incident`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub expression: Option<String>,
    /// The higher, the earlier in the suggestions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1000, max = 1000))]
    pub priority: Option<i32>,
}

/// Whether a Gate always asks.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Safety {
    Manual,
    Auto,
}

/// When a run may go without a Gate.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AutoRule {
    /// CEL over `incident`; where it does not hold or errs, a Gate opens.
    #[schemars(length(min = 1, max = 1024))]
    pub expression: String,
}

/// One set of rules for a Gate.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalRules {
    /// All of them must be met.
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

/// What a failed step does.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    Compensate,
    Stop,
}

/// How often a Playbook may run.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RunLimits {
    /// Runs on one target within an hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub runs_per_target_per_hour: Option<i32>,
    /// Runs at the same time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub concurrent_runs: Option<i32>,
}

/// What is done about targets that a GitOps tool owns.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum GitOps {
    Warn,
    Refuse,
    Ignore,
}

/// What the images of job steps must fulfil.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ImagePolicy {
    /// By digest, and signed under a TrustPolicy.
    pub require_signed: bool,
}

/// A signed artifact that holds the Playbook.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PlaybookSource {
    /// `registry/repository@sha256:…`: always by digest.
    #[schemars(
        length(min = 1, max = 512),
        regex(pattern = "^[^@ ]+@sha256:[0-9a-f]{64}$")
    )]
    pub image: String,
}

/// What the operator knows about a Playbook.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PlaybookStatus {
    /// The generation that this status speaks about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// SHA-256 of the canonical document: what a signature is about and what a plan names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 71), regex(pattern = DIGEST))]
    pub digest: Option<String>,
    /// The highest revision that was accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub revision: Option<i64>,
    /// Whose signatures were found good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub signers: Option<Vec<Signer>>,
    /// Under which policies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub trust_policies: Option<Vec<TrustPolicyRef>>,
    /// Ready, SignatureVerified, Valid; Reconciling and Stalled only while true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Option<Vec<Condition>>,
}

/// One good signature.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Signer {
    /// A key, or an identity proven by a certificate.
    pub kind: SignerKind,
    /// Its name in the policy.
    #[schemars(length(max = 253))]
    pub name: String,
    /// The policy.
    #[schemars(length(max = 253))]
    pub policy: String,
}

/// What signed.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignerKind {
    Key,
    Identity,
}

/// A TrustPolicy as it was when it was used.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TrustPolicyRef {
    /// Its name.
    #[schemars(length(max = 253))]
    pub name: String,
    /// Its generation.
    pub generation: i64,
    /// Digest over the policy with the bytes of its keys and roots.
    #[schemars(length(max = 71), regex(pattern = DIGEST))]
    pub digest: String,
}
