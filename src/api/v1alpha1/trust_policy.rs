//! Floor 1: `TrustPolicy`, who may sign. No mode that only warns, no `insecure` switch, no Secret reference:
//! what is trusted is public and stands in the open.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::schema::{self, DIGEST};

/// Which keys and identities may sign which objects.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "neuralops.io",
    version = "v1alpha1",
    kind = "TrustPolicy",
    plural = "trustpolicies",
    singular = "trustpolicy",
    shortname = "tp",
    category = "neuralops",
    status = "TrustPolicyStatus",
    derive = "PartialEq",
    doc = "Who may sign playbooks and images. Several policies that match must all be satisfied; none that matches refuses.",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status",
        description = "Whether it can be used; a policy that is not ready refuses"
    ),
    printcolumn(
        name = "Threshold",
        type_ = "integer",
        json_path = ".spec.threshold",
        description = "Distinct signers needed; empty: 1"
    ),
    printcolumn(
        name = "Log",
        type_ = "string",
        json_path = ".spec.transparencyLog",
        description = "What is asked of keys; empty: Ignore"
    ),
    printcolumn(
        name = "Root Expires",
        type_ = "string",
        json_path = ".status.root.notAfter",
        description = "End of the trusted root's newest certificate"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[x_kube(
    validation = Rule::new("(has(self.keys) && size(self.keys) > 0) || (has(self.keyless) && size(self.keyless) > 0)").message("a TrustPolicy names at least one key or keyless identity"),
    validation = Rule::new("!has(self.keyless) || size(self.keyless) == 0 || has(self.trustedRoot)").message("keyless identities need a trustedRoot"),
    validation = Rule::new("!has(self.transparencyLog) || self.transparencyLog == 'Ignore' || has(self.trustedRoot)").message("a transparency log is checked against a trustedRoot: name one"),
    validation = Rule::new("!has(self.formats) || !self.formats.exists(f, f == 'LegacySig') || (has(self.keys) && size(self.keys) > 0)").message("LegacySig is only accepted with keys"),
    validation = Rule::new("!has(self.threshold) || self.threshold <= (has(self.keys) ? size(self.keys) : 0) + (has(self.keyless) ? size(self.keyless) : 0)").message("the threshold is higher than the number of keys and identities")
)]
#[serde(rename_all = "camelCase")]
pub struct TrustPolicySpec {
    /// What it is about; absent: everything.
    #[serde(default, rename = "match", skip_serializing_if = "Option::is_none")]
    pub matches: Option<TrustMatch>,
    /// Public keys that may sign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub keys: Option<Vec<TrustedKey>>,
    /// Identities that may sign, proven by a short-lived certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub keyless: Option<Vec<TrustedIdentity>>,
    /// Certificate authorities and logs, in the form of Sigstore's trusted_root.json.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trusted_root: Option<TrustedRootSource>,
    /// What is asked of signatures by keys: Ignore (absent), IfPresent or Required. Keyless always needs a log or a timestamp.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transparency_log: Option<TransparencyLog>,
    /// Accepted forms; absent: Bundle. LegacySig is for images signed by keys only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub formats: Option<Vec<SignatureFormat>>,
    /// How many distinct keys and identities must have signed; absent: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 32))]
    pub threshold: Option<i32>,
    /// Lowers the highest revision seen of a Playbook, once; recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["playbook".into()]))]
    pub reset_revisions: Option<Vec<RevisionReset>>,
}

/// What a policy is about. All that is given must match.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TrustMatch {
    /// Namespaces; a `*` stands for any run of characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 64),
        inner(length(min = 1, max = 63), regex(pattern = "^[-a-z0-9*]+$"))
    )]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub namespaces: Option<Vec<String>>,
    /// Playbook, Image, or both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub kinds: Option<Vec<SignedKind>>,
    /// Registries and repositories of images and of Playbooks with a source; a `*` stands for any run of characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 255)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub registries: Option<Vec<String>>,
}

/// What can be signed.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignedKind {
    Playbook,
    Image,
}

/// A public key.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[x_kube(validation = Rule::new("has(self.publicKey) != has(self.configMapRef)").message("a key has either a publicKey or a configMapRef"))]
#[serde(rename_all = "camelCase")]
pub struct TrustedKey {
    /// Names it in statuses and records.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// PEM; ECDSA P-256 is what cosign makes, P-384 and RSA are accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub public_key: Option<String>,
    /// Or a ConfigMap of the operator's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_ref: Option<ConfigMapKeyRef>,
    /// Not trusted after this, by the operator's clock now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxLength" = 40))]
    pub not_after: Option<Time>,
}

/// A key of a ConfigMap in the operator's own namespace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapKeyRef {
    /// The ConfigMap.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// An identity proven by a certificate.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[x_kube(validation = Rule::new("has(self.subject) != has(self.subjectRegex)").message("an identity has either a subject or a subjectRegex"))]
#[serde(rename_all = "camelCase")]
pub struct TrustedIdentity {
    /// Names it in statuses and records.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// The issuer of the identity token, exactly.
    #[schemars(length(min = 1, max = 512))]
    pub issuer: String,
    /// The subject, exactly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub subject: Option<String>,
    /// The subject as an expression over the whole of it: we anchor it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub subject_regex: Option<String>,
    /// Further claims of the certificate that must be equal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims: Option<IdentityClaims>,
}

/// Claims of a CI identity.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct IdentityClaims {
    /// The source repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub repository: Option<String>,
    /// The source ref.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    #[serde(rename = "ref")]
    pub git_ref: Option<String>,
}

/// Where the trusted root lies.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TrustedRootSource {
    /// A ConfigMap of the operator's namespace.
    pub config_map_ref: ConfigMapKeyRef,
}

/// What is asked of signatures by keys.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransparencyLog {
    Ignore,
    IfPresent,
    Required,
}

/// The forms of a signature.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureFormat {
    Bundle,
    LegacySig,
}

/// One revision that is set back.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RevisionReset {
    /// `namespace/name` of the Playbook.
    #[schemars(
        length(min = 3, max = 127),
        regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?/[a-z0-9]([-.a-z0-9]*[a-z0-9])?$")
    )]
    pub playbook: String,
    /// The highest revision seen becomes this one.
    #[schemars(range(min = 1, max = 9_007_199_254_740_991_i64))]
    pub revision: i64,
}

/// What the operator knows about a policy.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TrustPolicyStatus {
    /// The generation that this status speaks about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The keys as they were read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub keys: Option<Vec<KeyStatus>>,
    /// The trusted root as it was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<RootStatus>,
    /// Ready; Reconciling and Stalled only while true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Option<Vec<Condition>>,
}

/// A key as it was read.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct KeyStatus {
    /// Its name in the spec.
    #[schemars(length(max = 63))]
    pub name: String,
    /// SHA-256 of its SubjectPublicKeyInfo.
    #[schemars(length(max = 71), regex(pattern = DIGEST))]
    pub fingerprint: String,
    /// Its algorithm.
    #[schemars(length(max = 32))]
    pub algorithm: String,
}

/// A trusted root as it was read.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RootStatus {
    /// SHA-256 of its bytes.
    #[schemars(length(max = 71), regex(pattern = DIGEST))]
    pub digest: String,
    /// Start of its oldest certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxLength" = 40))]
    pub not_before: Option<Time>,
    /// End of its newest certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxLength" = 40))]
    pub not_after: Option<Time>,
}
