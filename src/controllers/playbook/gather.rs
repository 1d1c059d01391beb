//! Floor 3: what is known about a Playbook before anything is decided. Reads only.

use kube::ResourceExt;

use crate::{
    api::{
        API_VERSION,
        conditions::ConditionType,
        v1alpha1::{PlaybookStatus, RawPlaybook},
    },
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
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Which object this is: a name can come again.
    pub uid: String,
    /// Which version of its spec.
    pub generation: u64,
    /// What its status says, and so what was recorded.
    pub recorded: Recorded,
}

/// What was recorded about a Playbook, by its status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// The digest of its document.
    pub digest: Option<String>,
    /// Whether it keeps all rules, and if not, why.
    pub valid: Option<(bool, String)>,
    /// Since when.
    pub since: Option<String>,
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
        namespace: object.namespace().unwrap_or_default(),
        name: object.name_any(),
        uid: object.uid().unwrap_or_default(),
        generation: object
            .metadata
            .generation
            .and_then(|generation| generation.try_into().ok())
            .unwrap_or_default(),
        recorded: recorded(object.status.as_ref()),
    }
}

fn recorded(status: Option<&PlaybookStatus>) -> Recorded {
    let Some(status) = status else {
        return Recorded::default();
    };
    let mut conditions = status.conditions.iter().flatten();
    let valid = conditions.find(|condition| condition.type_ == ConditionType::Valid.as_str());
    Recorded {
        digest: status.digest.clone(),
        valid: valid.map(|valid| (valid.status == "True", valid.reason.clone())),
        since: valid.map(|valid| valid.last_transition_time.0.to_string()),
    }
}
