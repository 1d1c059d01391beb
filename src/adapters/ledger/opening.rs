//! Floor 2: from "this replica leads" to "the log may be written": takes the store over, reads the anchor and the key,
//! proves that the store extends the anchor, and does what the domain decides. It signs nothing before that.

use std::sync::Arc;

use super::{
    Refusal,
    inspection::{Inspected, inspect},
    own::Replica,
    writer,
};
use crate::{
    adapters::{
        failpoint::failpoint,
        kube::{
            anchor::{Anchor, AnchorError, Anchored},
            error::{Classified as _, chain},
            keys::{Keyring, Keys, KeysError},
        },
        random,
    },
    api::v1alpha1::{AuditLogSpec, PreviousLog},
    domain::{
        audit::{
            checkpoint::Checkpoint,
            note::SigningKey,
            opening::{self, Facts, Key, Opening, Standing},
            request::Request,
        },
        reason::Reason,
        verdict::ErrorClass,
    },
    ports::{Epoch, Log, Store, StoreError},
};

/// Keys that an anchor names at most: the one that signs, and those of the logs before.
const KEYS: usize = 4;

/// What the opening needs.
pub(super) struct Opener {
    pub(super) anchor: Anchor,
    pub(super) keys: Keys,
    pub(super) replica: Arc<Replica>,
    pub(super) retention: jiff::SignedDuration,
}

/// An open log.
pub(super) struct Opened {
    pub(super) epoch: Epoch,
    pub(super) log: Log,
    pub(super) anchored: Anchored,
    pub(super) key: SigningKey,
}

/// Why the log is not open.
#[derive(Debug)]
pub(super) enum NotOpened {
    /// It is tried again.
    Unavailable(String),
    /// A person has to look into it.
    Refused(Refusal, Option<Box<Anchored>>),
    /// Another replica has taken the store over.
    Deposed(String),
}

impl From<StoreError> for NotOpened {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable { .. } => Self::Unavailable(chain(&error)),
            StoreError::Fenced { .. } => Self::Deposed(chain(&error)),
            StoreError::Damaged(_) | StoreError::Unusable(_) => {
                let message = chain(&error);
                let reason = Reason::StoreAltered;
                Self::Refused(Refusal { reason, message }, None)
            }
        }
    }
}

impl From<AnchorError> for NotOpened {
    fn from(error: AnchorError) -> Self {
        Self::Unavailable(chain(&error))
    }
}

impl From<KeysError> for NotOpened {
    fn from(error: KeysError) -> Self {
        match error.class() {
            ErrorClass::Transient => Self::Unavailable(chain(&error)),
            ErrorClass::Permanent | ErrorClass::Bug => {
                let reason = error.reason();
                let message = chain(&error);
                Self::Refused(Refusal { reason, message }, None)
            }
        }
    }
}

impl Opener {
    /// Opens the log, if it may be. `acknowledged` is what an earlier opening of this process has acknowledged.
    pub(super) async fn open(
        &self,
        store: &Arc<dyn Store>,
        keyring: Keyring,
        acknowledged: Option<&Log>,
    ) -> Result<Opened, NotOpened> {
        let epoch = store.take_over().await?;
        let anchored = self.anchor.read().await?;
        let logs = store.logs().await?;
        let current = logs.iter().find(|log| log.current).cloned();
        let follow = follow(store.as_ref()).await?;
        let facts = self.facts(
            store,
            &anchored,
            &logs,
            &keyring,
            acknowledged,
            !follow.is_empty(),
        );
        let facts = facts.await?;
        match (opening::decide(&facts), anchored, current) {
            (Opening::Refuse { reason, message }, anchored, _) => {
                let refusal = Refusal { reason, message };
                Err(NotOpened::Refused(refusal, anchored.map(Box::new)))
            }
            (Opening::Continue, Some(anchored), Some(current)) => {
                self.go_on(store, epoch, anchored, current, keyring).await
            }
            (Opening::Promote, Some(anchored), _) => {
                self.promote(store, epoch, anchored, &follow, keyring).await
            }
            (_, anchored, current) => {
                let begun = self.begin(store, epoch, anchored, current, keyring).await?;
                self.promote(store, epoch, begun.0, &follow, begun.1).await
            }
        }
    }

    async fn facts(
        &self,
        store: &Arc<dyn Store>,
        anchored: &Option<Anchored>,
        logs: &[Log],
        keyring: &Keyring,
        acknowledged: Option<&Log>,
        asked: bool,
    ) -> Result<Facts, NotOpened> {
        let spec = anchored.as_ref().map(Anchored::spec);
        let anchor = spec.map(standing).transpose()?;
        let current = logs.iter().find(|log| log.current);
        let inspected = match (&anchor, current) {
            (Some(anchor), Some(current)) => {
                // The database's own check reads all of it: once a process is enough.
                let thorough = acknowledged.is_none();
                inspect(store.as_ref(), current, anchor.size, thorough).await?
            }
            _ => Inspected {
                root_at_anchor: None,
                damage: Vec::new(),
            },
        };
        let published = match current {
            Some(current) => store
                .checkpoint(current.number)
                .await?
                .map(|saved| saved.size),
            None => None,
        };
        let acknowledged = acknowledged
            .filter(|log| current.is_some_and(|current| current.origin == log.origin))
            .map_or(0, |log| log.size);
        let key = match spec.map(|spec| (spec, keyring.signing(&spec.origin))) {
            Some((spec, Some(key))) if spec.keys.first() == Some(&key.verifier().to_string()) => {
                Key::Known
            }
            Some((_, Some(_))) => Key::Unknown,
            Some((_, None)) | None => Key::Missing,
        };
        // One log stands for another only if it was ended by it.
        let pending = logs
            .iter()
            .rev()
            .find(|log| !log.current && current.is_none_or(|current| log.number > current.number));
        Ok(Facts {
            followed: spec
                .map(|spec| spec.previous.iter().map(|log| log.origin.clone()).collect())
                .unwrap_or_default(),
            anchor,
            current: current.map(Into::into),
            pending: pending.map(Into::into),
            published,
            acknowledged,
            root_at_anchor: inspected.root_at_anchor,
            damage: inspected.damage,
            asked,
            key,
        })
    }

    /// Begins a log in the store and makes the anchor name it. Nothing of it is in the store before the anchor does.
    async fn begin(
        &self,
        store: &Arc<dyn Store>,
        epoch: Epoch,
        anchored: Option<Anchored>,
        current: Option<Log>,
        keyring: Keyring,
    ) -> Result<(Anchored, Keyring), NotOpened> {
        let cluster = self.anchor.cluster_uid().await?;
        let id = random::bytes::<8>().map_err(|error| NotOpened::Unavailable(error.to_string()))?;
        let origin = format!("neuralops.io/{cluster}/{:016x}", u64::from_be_bytes(id));
        let log = store.begin_log(epoch, &origin).await?;
        failpoint!("begin.after");
        let keyring = self.keys.add(keyring, &origin).await?;
        failpoint!("key.after");
        let key = keyring
            .signing(&origin)
            .ok_or_else(|| defect("the key that was made is not in the Secret"))?;
        let empty = Checkpoint {
            origin: log.origin.clone(),
            size: log.size,
            root: log.root,
        };
        let note = empty.sign(key).map_err(|error| defect(&chain(&error)))?;
        let mut keys = vec![key.verifier().to_string()];
        let mut previous = Vec::new();
        if let Some(anchored) = &anchored {
            let spec = anchored.spec();
            keys.extend(spec.keys.iter().take(KEYS - 1).cloned());
            previous.extend(spec.previous.iter().cloned());
            previous.push(PreviousLog {
                origin: spec.origin.clone(),
                size: spec.size,
                root: spec.root.clone(),
            });
        } else if let Some(current) = current {
            // The anchor is gone: what the store says of itself is all there is.
            previous.push(PreviousLog {
                origin: current.origin,
                size: i64::try_from(current.size).unwrap_or(i64::MAX),
                root: current.root.to_string(),
            });
        }
        let spec = AuditLogSpec {
            origin,
            size: 0,
            root: log.root.to_string(),
            checkpoint: note,
            keys,
            previous,
        };
        let anchored = match &anchored {
            Some(read) => self.anchor.swap(read, spec).await?,
            None => self.anchor.create(spec).await?,
        };
        failpoint!("adopt.after");
        Ok((anchored, keyring))
    }

    /// The anchor names a log that does not grow yet: whoever asked for it has it, and it grows from now on.
    async fn promote(
        &self,
        store: &Arc<dyn Store>,
        epoch: Epoch,
        anchored: Anchored,
        follow: &[u64],
        keyring: Keyring,
    ) -> Result<Opened, NotOpened> {
        for number in follow {
            store.answered(epoch, *number).await?;
        }
        failpoint!("answer.after");
        let origin = &anchored.spec().origin;
        let logs = store.logs().await?;
        let begun = logs.into_iter().find(|log| log.origin == *origin);
        let begun = begun.ok_or_else(|| defect("the log that was begun is not in the store"))?;
        store.promote(epoch, begun.number).await?;
        failpoint!("promote.after");
        tracing::info!(audit.origin = origin, "a log begins");
        self.go_on(store, epoch, anchored, begun, keyring).await
    }

    async fn go_on(
        &self,
        store: &Arc<dyn Store>,
        epoch: Epoch,
        anchored: Anchored,
        current: Log,
        keyring: Keyring,
    ) -> Result<Opened, NotOpened> {
        let origin = &anchored.spec().origin;
        self.keys.keep_only(&keyring, origin).await?;
        let key = keyring
            .into_signing(origin)
            .ok_or_else(|| defect("the key of the log is not in the Secret"))?;
        let mut log = current;
        if log.size == 0 {
            let logs = store.logs().await?;
            let draft = self.replica.begins(anchored.spec(), &logs);
            let now = crate::adapters::clock::now();
            let entry = writer::entry(&draft, None, epoch, now, self.retention);
            let entry = entry.map_err(|message| defect(&message))?;
            log = store.append(epoch, vec![entry]).await?.log;
            failpoint!("first.after");
        }
        Ok(Opened {
            epoch,
            log,
            anchored,
            key,
        })
    }
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

fn defect(message: &str) -> NotOpened {
    let refusal = Refusal {
        reason: Reason::InternalError,
        message: message.to_owned(),
    };
    NotOpened::Refused(refusal, None)
}

/// The requests that ask for a new origin.
async fn follow(store: &dyn Store) -> Result<Vec<u64>, StoreError> {
    let requests = store.requests(100).await?;
    let asks = |body: &[u8]| matches!(Request::parse(body), Ok(Request::Follow { .. }));
    Ok(requests
        .iter()
        .filter(|request| asks(&request.body))
        .map(|request| request.number)
        .collect())
}
