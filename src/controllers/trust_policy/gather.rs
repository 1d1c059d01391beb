//! Floor 3: what is known about a TrustPolicy before anything is decided. Reads only.

use std::sync::Arc;

use jiff::Timestamp;
use kube::{Client, ResourceExt as _};

use crate::{
    adapters::{
        clock,
        kube::{
            policies::{Policies, StandingPolicy},
            raw,
        },
        ledger::{self, Ledger},
    },
    api::v1alpha1::{PlaybookStatus, RawPlaybook, RevisionReset, TrustPolicy, TrustPolicyStatus},
    controllers::verification::revisions,
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
    /// Which version of all of it: each status of ours makes another one.
    pub version: String,
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

pub(super) async fn gather(
    object: &TrustPolicy,
    policies: &Policies,
    ledger: &Ledger,
    client: &Client,
) -> Facts {
    let (name, uid) = (object.name_any(), object.uid().unwrap_or_default());
    let current = policies.current();
    let standing = current.as_deref().unwrap_or_default().iter();
    let recorded = object.status.clone().unwrap_or_default();
    Facts {
        standing: standing
            .filter(|standing| standing.is(&name, &uid, object.metadata.generation))
            .map(Arc::clone)
            .next(),
        resets: resets(object, &uid, ledger, client).await,
        generation: object
            .metadata
            .generation
            .and_then(|generation| generation.try_into().ok())
            .unwrap_or_default(),
        version: object.resource_version().unwrap_or_default(),
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
    client: &Client,
) -> Result<Vec<PendingReset>, ledger::Refusal> {
    let mut pending = Vec::new();
    for reset in object.spec.reset_revisions.iter().flatten() {
        let revision = reset.revision.to_string();
        let id = RecordId::of(&["revision set back", uid, &reset.playbook, &revision]);
        if !ledger.has(id).await? {
            pending.push(PendingReset {
                id,
                reset: reset.clone(),
                highest: highest(&reset.playbook, ledger, client).await?,
            });
        }
    }
    Ok(pending)
}

/// The highest one that counts for the Playbook with this name, whether it is there or not.
async fn highest(
    playbook: &str,
    ledger: &Ledger,
    client: &Client,
) -> Result<Option<HighestRevision>, ledger::Refusal> {
    let status = status(playbook, client).await.map_err(|error| {
        ledger::Refusal::unavailable(format!("the Playbook {playbook} cannot be read: {error}"))
    })?;
    let revisions = revisions(ledger, playbook, status.as_ref()).await?;
    Ok(revisions.highest)
}

async fn status(playbook: &str, client: &Client) -> Result<Option<PlaybookStatus>, kube::Error> {
    let Some((namespace, name)) = playbook.split_once('/') else {
        return Ok(None);
    };
    let text = raw::get::<RawPlaybook>(client, Some(namespace), name).await?;
    let object = text.and_then(|text| RawPlaybook::parse(&text).ok());
    Ok(object.and_then(|object| object.status))
}
