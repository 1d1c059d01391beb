//! Floor 2: what is known before a log is opened, put together from anchor, Secret and store for the domain to decide.

use std::sync::Arc;

use super::{
    Refusal,
    inspection::{Inspected, inspect},
    opening::NotOpened,
};
use crate::{
    adapters::kube::{anchor::Anchored, keys::Keyring},
    api::v1alpha1::AuditLogSpec,
    domain::{
        audit::{
            checkpoint::Checkpoint,
            note::{SigningKey, VerifierKey},
            opening::{Facts, Key, Standing},
            request::Request,
        },
        reason::Reason,
    },
    ports::{Log, Store, StoreError},
};

/// Requests that are looked through; more than anybody asks while a log is closed.
const REQUESTS: u32 = 10_000;

/// The log that the anchor names; if there is none, the one that grows, or one with leaves.
pub(super) fn named<'a>(logs: &'a [Log], anchored: Option<&Anchored>) -> Option<&'a Log> {
    let anchor = anchored.map(|anchored| anchored.spec().origin.as_str());
    logs.iter()
        .find(|log| Some(log.origin.as_str()) == anchor)
        .or_else(|| logs.iter().find(|log| log.current))
        .or_else(|| logs.iter().rev().find(|log| log.size > 0))
}

/// What was found before anything is decided.
pub(super) struct Found<'a> {
    pub(super) anchored: Option<&'a Anchored>,
    pub(super) log: Option<&'a Log>,
    /// What an earlier opening of this process has acknowledged.
    pub(super) acknowledged: Option<&'a Log>,
    /// The database is to read all of itself.
    pub(super) thorough: bool,
    /// Somebody asks for a new origin.
    pub(super) asked: bool,
}

/// Everything that the decision needs.
pub(super) async fn facts(
    store: &Arc<dyn Store>,
    keyring: &Keyring,
    found: Found<'_>,
) -> Result<Facts, NotOpened> {
    let spec = found.anchored.map(Anchored::spec);
    let anchor = spec.map(standing).transpose()?;
    let inspected = match (&anchor, found.log) {
        (Some(anchor), Some(log)) if anchor.origin == log.origin => {
            inspect(store.as_ref(), log, anchor.size, found.thorough).await?
        }
        _ => Inspected {
            root_at_anchor: None,
            damage: Vec::new(),
        },
    };
    let published = match found.log {
        Some(log) => store.checkpoint(log.number).await?.map(|saved| saved.size),
        None => None,
    };
    let acknowledged = found
        .acknowledged
        .filter(|known| found.log.is_some_and(|log| log.origin == known.origin))
        .map_or(0, |known| known.size);
    let signing = spec.and_then(|spec| keyring.signing(&spec.origin));
    let verifier = signing.map(SigningKey::verifier);
    let key = match (spec, &verifier) {
        (Some(spec), Some(key)) if spec.keys.first() == Some(&key.to_string()) => Key::Known,
        (_, Some(_)) => Key::Unknown,
        (_, None) => Key::Missing,
    };
    let sealed = spec.is_some_and(|spec| sealed(spec, verifier.as_slice()));
    let followed = spec.map(|spec| spec.previous.iter().map(|log| log.origin.clone()).collect());
    Ok(Facts {
        anchor,
        followed: followed.unwrap_or_default(),
        sealed,
        log: found.log.map(Into::into),
        grows: found.log.is_some_and(|log| log.current),
        published,
        acknowledged,
        root_at_anchor: inspected.root_at_anchor,
        damage: inspected.damage,
        asked: found.asked,
        key,
    })
}

/// Whether an anchor's checkpoint is signed by one of these keys and says what the anchor says.
pub(super) fn sealed(spec: &AuditLogSpec, keys: &[VerifierKey]) -> bool {
    Checkpoint::open(&spec.checkpoint, keys).is_ok_and(|said| {
        said.origin == spec.origin
            && i64::try_from(said.size) == Ok(spec.size)
            && said.root.to_string() == spec.root
    })
}

impl From<&Log> for Standing {
    fn from(log: &Log) -> Self {
        Self {
            origin: log.origin.clone(),
            size: log.size,
            root: log.root,
        }
    }
}

fn standing(spec: &AuditLogSpec) -> Result<Standing, NotOpened> {
    let altered = |message: &str| {
        let refusal = Refusal {
            reason: Reason::AnchorAltered,
            message: format!("the AuditLog main does not read: {message}"),
        };
        NotOpened::Refused(refusal, None)
    };
    Ok(Standing {
        origin: spec.origin.clone(),
        size: u64::try_from(spec.size).map_err(|_| altered("its size is negative"))?,
        root: spec
            .root
            .parse()
            .map_err(|_| altered("its root is no hash"))?,
    })
}

/// The requests that ask for a new origin.
pub(super) async fn follow(store: &dyn Store) -> Result<Vec<u64>, StoreError> {
    let requests = store.requests(REQUESTS).await?;
    let asks = |body: &[u8]| matches!(Request::parse(body), Ok(Request::Follow { .. }));
    Ok(requests
        .iter()
        .filter(|request| asks(&request.body))
        .map(|request| request.number)
        .collect())
}
