//! Floor 1: `Decision`, one vote about one Gate. Create-only; the API server proves who wrote it.
//! How votes are counted is the Gate controller's business and not known here.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::schema::{DIGEST, USER_NAME};

/// What one person decided about one plan.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "neuralops.io",
    version = "v1alpha1",
    kind = "Decision",
    plural = "decisions",
    singular = "decision",
    shortname = "dec",
    category = "neuralops",
    namespaced,
    derive = "PartialEq",
    doc = "One person's vote about exactly one plan. It is never edited; to change your mind, create another.",
    selectable = ".spec.gateRef.uid",
    selectable = ".spec.user",
    printcolumn(
        name = "Gate",
        type_ = "string",
        json_path = ".spec.gateRef.name",
        description = "The Gate voted on"
    ),
    printcolumn(
        name = "User",
        type_ = "string",
        json_path = ".spec.user",
        description = "Who decided"
    ),
    printcolumn(
        name = "Verdict",
        type_ = "string",
        json_path = ".spec.verdict",
        description = "Approve, Reject or Withdraw"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[x_kube(validation = Rule::new("self == oldSelf").message("spec is immutable"))]
#[serde(rename_all = "camelCase")]
pub struct DecisionSpec {
    /// The Gate that this is about, by name and uid: a later Gate of the same name is another one.
    pub gate_ref: GateRef,
    /// Digest of the plan that was read before deciding; it must be the Gate's.
    #[schemars(length(max = 71), regex(pattern = DIGEST))]
    pub plan_digest: String,
    /// Approve, Reject, or Withdraw (takes back your own vote while the Gate is open).
    pub verdict: Verdict,
    /// The API server's name for the caller. Printable ASCII, no blank at either end.
    #[schemars(length(min = 1, max = 256), regex(pattern = USER_NAME))]
    pub user: String,
    /// Groups of the caller under which the vote is to be judged; a subset of the API server's list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128), inner(length(min = 1, max = 256)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub groups: Option<Vec<String>>,
    /// Why, in your own words; it is recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub justification: Option<String>,
    /// A JSON Patch to the parameters that you would rather see; it never changes this plan, a new run is made from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16384))]
    pub patch: Option<String>,
    /// Present exactly when the HTTP API wrote this for somebody it authenticated: weaker evidence, shown as such.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attestation: Option<Attestation>,
}

/// A Gate by name and uid.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct GateRef {
    /// The Gate's name, in this namespace.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The Gate's uid.
    #[schemars(length(min = 1, max = 64))]
    pub uid: String,
}

/// What was decided.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Approve,
    Reject,
    Withdraw,
}

/// How the HTTP API knew who was deciding.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Attestation {
    /// Who issued the credential.
    #[schemars(length(min = 1, max = 256))]
    pub issuer: String,
    /// The subject within that issuer.
    #[schemars(length(min = 1, max = 256))]
    pub subject: String,
    /// SHA-256 of the credential's id, never the credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 71), regex(pattern = DIGEST))]
    pub token_hash: Option<String>,
    /// When the person proved who they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxLength" = 40))]
    pub authenticated_at: Option<Time>,
}
