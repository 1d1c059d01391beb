//! Floor 3: what is known about a Playbook before anything is decided. Reads only.

use kube::ResourceExt;

use super::{
    super::verification::{Examined, Unknown, Verification, document},
    PlaybookError,
};
use crate::{
    adapters::ledger,
    api::{
        conditions::ConditionType,
        v1alpha1::{PlaybookStatus, RawPlaybook},
    },
    domain::{digest::Digest, document::Document, reason::Reason, trust::Refusal},
};

/// Not signed and can only restrict: no new runs.
const SUSPEND: &str = "neuralops.io/suspend";

/// What is known about a Playbook.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The document, from the raw spec; or why no reader can take it.
    pub document: Result<Document, Refusal>,
    /// What its signatures came to; or why that cannot be known now.
    pub examined: Result<Examined, ledger::Refusal>,
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
    /// Which version of all of it: each status of ours makes another one.
    pub version: String,
    /// What its status says, and so what was recorded.
    pub recorded: Recorded,
}

/// What was recorded about a Playbook, by its status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// The digest of its document.
    pub digest: Option<Digest>,
    /// Of which version of its spec all this is.
    pub generation: u64,
    /// What became of it: `Verified`, or why it was refused.
    pub outcome: Option<String>,
    /// The digests of the policies that it satisfied.
    pub policies: Vec<String>,
    /// Who signed, each with the policy.
    pub signers: Vec<(String, String)>,
}

pub(super) async fn gather(
    object: &RawPlaybook,
    verification: &Verification,
) -> Result<Facts, PlaybookError> {
    let examined = match verification.of(object).await {
        Ok(examined) => Ok(examined),
        Err(Unknown::Log(refusal)) => Err(refusal),
        Err(unknown @ Unknown::Policies) => Err(ledger::Refusal {
            reason: Reason::CacheNotFilled,
            message: unknown.to_string(),
        }),
        Err(Unknown::Registry(error)) => return Err(PlaybookError::Fetch(error)),
    };
    Ok(Facts {
        document: document(object),
        examined,
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
        version: object.resource_version().unwrap_or_default(),
        recorded: recorded(object.status.as_ref()),
    })
}

fn recorded(status: Option<&PlaybookStatus>) -> Recorded {
    let Some(status) = status else {
        return Recorded::default();
    };
    let find = |kind: ConditionType| {
        let mut conditions = status.conditions.iter().flatten();
        conditions.find(|condition| condition.type_ == kind.as_str())
    };
    let valid = find(ConditionType::Valid);
    let signature = find(ConditionType::SignatureVerified);
    let outcome = match (valid, signature) {
        (Some(valid), _) if valid.status != "True" => Some(valid.reason.clone()),
        (Some(_), Some(signature)) if signature.status == "True" => {
            Some(Reason::Verified.as_str().to_owned())
        }
        (Some(_), Some(signature)) => Some(signature.reason.clone()),
        _ => None,
    };
    let signers = status.signers.iter().flatten();
    let policies = status.trust_policies.iter().flatten();
    Recorded {
        digest: status
            .digest
            .clone()
            .and_then(|digest| digest.try_into().ok()),
        generation: status
            .observed_generation
            .and_then(|generation| generation.try_into().ok())
            .unwrap_or_default(),
        outcome,
        policies: policies.map(|policy| policy.digest.clone()).collect(),
        signers: signers
            .map(|signer| (signer.name.clone(), signer.policy.clone()))
            .collect(),
    }
}
