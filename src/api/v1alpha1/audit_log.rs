//! Floor 1: `AuditLog`, the anchor of the transparency log. Everything is in spec and required: an optional
//! field could be unset and then set smaller. Monotony is CEL, so it binds everybody, the operator included.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::api::schema::MERKLE_ROOT;

/// The state of the transparency log as last published: its size, its root, its signed checkpoint.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "neuralops.io",
    version = "v1alpha1",
    kind = "AuditLog",
    plural = "auditlogs",
    singular = "auditlog",
    shortname = "al",
    category = "neuralops",
    derive = "PartialEq",
    doc = "The anchor of the transparency log: written by the operator alone, never smaller, never rewritten.",
    validation = Rule::new("self.metadata.name == 'main'").message("there is one AuditLog and its name is main"),
    printcolumn(name = "Size", type_ = "integer", json_path = ".spec.size", description = "Leaves in the log"),
    printcolumn(name = "Root", type_ = "string", json_path = ".spec.root", description = "Root hash of the Merkle tree"),
    printcolumn(name = "Origin", type_ = "string", json_path = ".spec.origin", description = "Which log this is", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(
    validation = Rule::new("self.origin != oldSelf.origin || self.size >= oldSelf.size").message("a log never shrinks"),
    validation = Rule::new("self.origin != oldSelf.origin || self.size > oldSelf.size || self.root == oldSelf.root").message("one size has one root"),
    validation = Rule::new("self.origin != oldSelf.origin || self.keys == oldSelf.keys").message("keys change only with a new origin"),
    validation = Rule::new("self.origin != oldSelf.origin || self.previous == oldSelf.previous").message("previous grows only with a new origin"),
    validation = Rule::new(
        "self.origin == oldSelf.origin || (size(self.previous) == size(oldSelf.previous) + 1 && \
         [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15].all(i, i >= size(oldSelf.previous) || \
         self.previous[i] == oldSelf.previous[i]) && \
         self.previous[size(oldSelf.previous)].origin == oldSelf.origin && \
         self.previous[size(oldSelf.previous)].size == oldSelf.size && \
         self.previous[size(oldSelf.previous)].root == oldSelf.root)"
    ).message("a new origin appends the old origin, size and root to previous")
)]
#[serde(rename_all = "camelCase")]
pub struct AuditLogSpec {
    /// Which log this is: `neuralops.io/<uid of kube-system>/<store id>`.
    #[schemars(length(min = 1, max = 255))]
    pub origin: String,
    /// Leaves in the log.
    #[schemars(range(min = 0))]
    pub size: i64,
    /// Root hash of the Merkle tree over these leaves, 32 bytes in base64.
    #[schemars(length(min = 44, max = 44), regex(pattern = MERKLE_ROOT))]
    pub root: String,
    /// The checkpoint as a C2SP signed note.
    #[schemars(length(min = 1, max = 8192))]
    pub checkpoint: String,
    /// Who may sign checkpoints: verifier keys in note form.
    #[schemars(length(min = 1, max = 4), inner(length(min = 1, max = 512)))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub keys: Vec<String>,
    /// The logs that this one follows, oldest first; it only grows.
    #[schemars(length(max = 16))]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub previous: Vec<PreviousLog>,
}

/// Where an earlier log of this installation ended.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PreviousLog {
    /// Its origin.
    #[schemars(length(min = 1, max = 255))]
    pub origin: String,
    /// Its last anchored size.
    #[schemars(range(min = 0))]
    pub size: i64,
    /// Its root at that size.
    #[schemars(length(min = 44, max = 44), regex(pattern = MERKLE_ROOT))]
    pub root: String,
}
