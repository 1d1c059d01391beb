//! Floor 3: what is known about a Playbook before anything is decided. Reads only.

use kube::ResourceExt;

use crate::{
    api::{API_VERSION, v1alpha1::RawPlaybook},
    domain::document::Document,
};

/// Not signed and can only restrict: no new runs.
const SUSPEND: &str = "neuralops.io/suspend";

/// What is known about a Playbook.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The document, from the raw spec; or why no reader can take it.
    pub document: Result<Document, String>,
    /// Whether its annotation forbids new runs.
    pub suspended: bool,
}

pub(super) fn gather(object: &RawPlaybook) -> Facts {
    Facts {
        document: object.spec.clone().map(|spec| Document {
            api_version: API_VERSION.to_owned(),
            name: object.name_any(),
            namespace: object.namespace().unwrap_or_default(),
            spec,
        }),
        suspended: object
            .annotations()
            .get(SUSPEND)
            .is_some_and(|value| value == "true"),
    }
}
