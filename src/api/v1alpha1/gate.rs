//! Floor 1: `Gate`, a question about exactly one plan. Its spec never changes; an open Gate costs no status write,
//! because the CRD's default says Open. Who may answer is RBAC's business, who did is in `Decision`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::schema::{self, DIGEST, DNS_LABEL};

/// What is asked, of whom, and until when.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "neuralops.io",
    version = "v1alpha1",
    kind = "Gate",
    plural = "gates",
    singular = "gate",
    category = "neuralops",
    namespaced,
    status = "GateStatus",
    derive = "PartialEq",
    doc = "Asks the right people about exactly one plan. Any tool may make one and wait for its condition Approved.",
    selectable = ".spec.subject.uid",
    validation = Rule::new(
        "!has(oldSelf.status) || !has(oldSelf.status.state) || \
         (has(self.status) && has(self.status.state) && (oldSelf.status.state == 'Open' || self.status.state == oldSelf.status.state))"
    ).message("a settled gate stays settled"),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state", description = "Open, or how it was settled"),
    printcolumn(name = "Subject", type_ = "string", json_path = ".spec.subject.name", description = "What it is about"),
    printcolumn(name = "Roles", type_ = "string", json_path = ".spec.rules[*].role", description = "Who must approve"),
    printcolumn(name = "Deadline", type_ = "string", json_path = ".spec.deadline", description = "Until when"),
    printcolumn(name = "Plan", type_ = "string", json_path = ".spec.subject.planDigest", description = "Digest of the plan", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(validation = Rule::new("self == oldSelf").message("spec is immutable"))]
#[serde(rename_all = "camelCase")]
pub struct GateSpec {
    /// What is asked about.
    pub subject: GateSubject,
    /// Who must approve; all rules must be met, and a person fills one place of one rule.
    #[schemars(length(min = 1, max = 8))]
    #[x_kube(
        merge_strategy = ListMerge::Map(vec!["role".into()]),
        validation = Rule::new("self.map(r, r.min).sum() <= 64").message("at most 64 approvals in a set of rules")
    )]
    pub rules: Vec<GateRule>,
    /// Everyone whose input shaped the plan; none of them may decide.
    #[schemars(length(min = 1, max = 8), inner(length(min = 1, max = 256)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub requested_by: Vec<String>,
    /// Until when votes count; absent: no end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxLength" = 40))]
    pub deadline: Option<Time>,
    /// What happens at the deadline; absent: Reject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_timeout: Option<OnTimeout>,
}

/// The object and the plan that a Gate is about.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct GateSubject {
    /// apiVersion of the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub api_version: Option<String>,
    /// Kind of the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub kind: Option<String>,
    /// Name of the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub name: Option<String>,
    /// Uid of the object.
    #[schemars(length(min = 1, max = 64))]
    pub uid: String,
    /// The stage that waits for this Gate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub stage: Option<String>,
    /// Digest of the plan; a decision must name it.
    #[schemars(length(max = 71), regex(pattern = DIGEST))]
    pub plan_digest: String,
    /// What would change, for reading; the whole plan is in its ConfigMap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16384))]
    pub diff: Option<String>,
}

/// One role that must approve, and how many of its holders.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct GateRule {
    /// The role: who holds the verb `approve` on `approverroles/<role>`, granted by name.
    #[schemars(length(min = 1, max = 63), regex(pattern = DNS_LABEL))]
    pub role: String,
    /// How many different people.
    #[schemars(range(min = 1, max = 16))]
    pub min: i32,
    /// How strong the proof of identity must be; absent: Attested is enough where the installation allows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
}

/// How an approver's identity was proven.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    Attested,
    ApiServer,
}

/// What a deadline does.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnTimeout {
    Reject,
    Escalate,
    Approve,
}

/// Where the question stands.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
// An open Gate costs no write: this default is what everybody sees until the first counted vote.
#[schemars(extend("default" = serde_json::json!({ "state": "Open", "observedGeneration": -1 })))]
pub struct GateStatus {
    /// The generation that this status speaks about; -1 until the operator has written one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Open, or how it was settled; it leaves Open once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<GateState>,
    /// How far each rule is filled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["role".into()]))]
    pub rules: Option<Vec<RuleProgress>>,
    /// The votes that count now, newest of each person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["user".into()]))]
    pub decisions: Option<Vec<CountedDecision>>,
    /// Ready, Approved, Rejected; Reconciling and Stalled only while true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Option<Vec<Condition>>,
}

/// The states of a Gate.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum GateState {
    Open,
    Approved,
    Rejected,
    Expired,
    Superseded,
    Cancelled,
}

/// How far a rule is filled.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RuleProgress {
    /// The rule's role.
    #[schemars(length(min = 1, max = 63), regex(pattern = DNS_LABEL))]
    pub role: String,
    /// Approvals that count.
    #[schemars(range(min = 0, max = 16))]
    pub met: i32,
    /// Approvals still needed.
    #[schemars(range(min = 0, max = 16))]
    pub missing: i32,
}

/// A vote that counts.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct CountedDecision {
    /// Who voted.
    #[schemars(length(max = 256))]
    pub user: String,
    /// What.
    pub verdict: CountedVerdict,
    /// Name of the Decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub name: Option<String>,
    /// Uid of the Decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub uid: Option<String>,
}

/// The verdicts that can count; a withdrawn vote does not.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum CountedVerdict {
    Approve,
    Reject,
}
