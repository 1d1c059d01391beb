//! Floor 3: what is known about a TrustPolicy before anything is decided. Reads only.

use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt as _;

use crate::{
    adapters::{
        clock,
        kube::policies::{Policies, StandingPolicy},
        ledger::{self, Ledger},
    },
    api::{
        conditions::ConditionType,
        v1alpha1::{RevisionReset, TrustPolicy, TrustPolicyStatus},
    },
    domain::{audit::record::RecordId, trust::HighestRevision},
};

/// What is known about a TrustPolicy.
pub struct Facts {
    /// Made ready; none while the watch has not brought this generation yet.
    pub standing: Option<Arc<StandingPolicy>>,
    /// Revisions that it asks to be set back, and that were not yet; or why that cannot be known now.
    pub resets: Result<Vec<PendingReset>, ledger::Refusal>,
    /// Its name.
    pub name: String,
    /// Which object this is: a name can come again.
    pub uid: String,
    /// Which version of its spec.
    pub generation: u64,
    /// What its status says, and so what was recorded.
    pub recorded: TrustPolicyStatus,
    /// Since when, by its Ready condition.
    pub since: String,
    /// The moment of this pass.
    pub now: Timestamp,
}

/// A revision that was not set back yet.
#[derive(Clone, Debug, PartialEq)]
pub struct PendingReset {
    /// Under which it is on record once it was.
    pub id: RecordId,
    /// What is asked for.
    pub reset: RevisionReset,
    /// The highest revision as it stands.
    pub highest: Option<HighestRevision>,
}

pub(super) async fn gather(object: &TrustPolicy, policies: &Policies, ledger: &Ledger) -> Facts {
    let (name, uid) = (object.name_any(), object.uid().unwrap_or_default());
    let current = policies.current();
    let standing = current.as_deref().unwrap_or_default().iter();
    let recorded = object.status.clone().unwrap_or_default();
    Facts {
        standing: standing
            .filter(|standing| standing.is(&name, &uid, object.metadata.generation))
            .map(Arc::clone)
            .next(),
        resets: resets(object, &uid, ledger).await,
        generation: object
            .metadata
            .generation
            .and_then(|generation| generation.try_into().ok())
            .unwrap_or_default(),
        since: since(&recorded),
        recorded,
        name,
        uid,
        now: clock::now(),
    }
}

async fn resets(
    object: &TrustPolicy,
    uid: &str,
    ledger: &Ledger,
) -> Result<Vec<PendingReset>, ledger::Refusal> {
    let mut pending = Vec::new();
    for reset in object.spec.reset_revisions.iter().flatten() {
        let revision = reset.revision.to_string();
        let id = RecordId::of(&["revision set back", uid, &reset.playbook, &revision]);
        if !ledger.has(id).await? {
            pending.push(PendingReset {
                id,
                reset: reset.clone(),
                highest: ledger.highest_revision(&reset.playbook).await?,
            });
        }
    }
    Ok(pending)
}

fn since(status: &TrustPolicyStatus) -> String {
    let mut conditions = status.conditions.iter().flatten();
    let ready = conditions.find(|condition| condition.type_ == ConditionType::Ready.as_str());
    ready.map_or_else(String::new, |ready| {
        ready.last_transition_time.0.to_string()
    })
}
