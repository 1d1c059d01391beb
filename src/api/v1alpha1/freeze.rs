//! Floor 1: `Freeze`, the one stop for everything. It has no status: a Freeze that exists and is not lifted acts.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::api::schema::USER_NAME;

/// While it is not lifted, no run that it covers begins another effect.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "neuralops.io",
    version = "v1alpha1",
    kind = "Freeze",
    plural = "freezes",
    singular = "freeze",
    category = "neuralops",
    derive = "PartialEq",
    doc = "Stops every run before its next effect, in some namespaces or everywhere; says who froze and who lifted.",
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".spec.reason",
        description = "Why"
    ),
    printcolumn(
        name = "By",
        type_ = "string",
        json_path = ".spec.frozenBy",
        description = "Who froze"
    ),
    printcolumn(
        name = "Lifted",
        type_ = "string",
        json_path = ".spec.liftedBy",
        description = "Who lifted it; empty: it acts"
    ),
    printcolumn(
        name = "Namespaces",
        type_ = "string",
        json_path = ".spec.namespaces",
        description = "Where; empty: everywhere",
        priority = 1
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[x_kube(
    validation = Rule::new(
        "has(self.namespaces) == has(oldSelf.namespaces) && (!has(self.namespaces) || self.namespaces == oldSelf.namespaces) && \
         self.reason == oldSelf.reason && \
         has(self.frozenBy) == has(oldSelf.frozenBy) && (!has(self.frozenBy) || self.frozenBy == oldSelf.frozenBy)"
    ).message("a Freeze only changes by being lifted"),
    validation = Rule::new("!has(oldSelf.liftedBy) || (has(self.liftedBy) && self.liftedBy == oldSelf.liftedBy)").message("liftedBy is set once")
)]
#[serde(rename_all = "camelCase")]
pub struct FreezeSpec {
    /// Where; absent: in every namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128), inner(length(min = 1, max = 63)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub namespaces: Option<Vec<String>>,
    /// Why everything stops.
    #[schemars(length(min = 1, max = 1024))]
    pub reason: String,
    /// Who froze: the caller's own name (the policy says which if it is missing).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), regex(pattern = USER_NAME))]
    pub frozen_by: Option<String>,
    /// Who lifted it: the caller's own name, set once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), regex(pattern = USER_NAME))]
    pub lifted_by: Option<String>,
}
