//! Floor 2: from "this replica leads" to "the log may be written": takes the store over, reads the anchor and the key,
//! proves that the store extends the anchor, and does what the domain decides. It signs nothing before that.

use std::sync::Arc;

use super::{
    Refusal,
    facts::{Found, facts, follow, named},
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
            opening::{self, Opening},
        },
        reason::Reason,
        verdict::ErrorClass,
    },
    ports::{Epoch, Leadership, Log, Store, StoreError},
};

/// Keys that an anchor names at most: the one that signs, and those of the logs before.
const KEYS: usize = 4;
/// Logs that an anchor says were followed at most.
const PREVIOUS: usize = 16;

/// What the opening needs.
pub(super) struct Opener {
    pub(super) anchor: Anchor,
    pub(super) keys: Keys,
    pub(super) fence: Arc<dyn Leadership>,
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
                let reason = match error {
                    StoreError::Unusable(_) => Reason::StoreUnusable,
                    _ => Reason::StoreAltered,
                };
                Self::Refused(Refusal { reason, message }, None)
            }
        }
    }
}

impl From<AnchorError> for NotOpened {
    fn from(error: AnchorError) -> Self {
        let message = chain(&error);
        match error.class() {
            ErrorClass::Transient => Self::Unavailable(message),
            ErrorClass::Permanent | ErrorClass::Bug => {
                let reason = error.reason();
                Self::Refused(Refusal { reason, message }, None)
            }
        }
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
    /// Opens the log, if it may be. `acknowledged` is what an earlier opening of this process has acknowledged; a
    /// `thorough` opening has the database read all of itself.
    pub(super) async fn open(
        &self,
        store: &Arc<dyn Store>,
        keyring: Keyring,
        acknowledged: Option<&Log>,
        thorough: bool,
    ) -> Result<Opened, NotOpened> {
        // Taking over ends whoever writes: only who leads may.
        if self.fence.holds().is_err() {
            return Err(NotOpened::Unavailable(
                "this replica does not lead".to_owned(),
            ));
        }
        let epoch = store.take_over().await?;
        let anchored = self.anchor.read().await?;
        let logs = store.logs().await?;
        let log = named(&logs, anchored.as_ref()).cloned();
        let follow = self.asked(store.as_ref(), epoch, anchored.as_ref()).await?;
        let asked = !follow.is_empty();
        let found = Found {
            anchored: anchored.as_ref(),
            log: log.as_ref(),
            acknowledged,
            thorough,
            asked,
        };
        let facts = facts(store, &keyring, found).await?;
        match (opening::decide(&facts), anchored, log) {
            (Opening::Refuse { reason, message }, anchored, _) => {
                let refusal = Refusal { reason, message };
                Err(NotOpened::Refused(refusal, anchored.map(Box::new)))
            }
            (Opening::Continue, Some(anchored), Some(log)) => {
                self.go_on(store, epoch, anchored, log, keyring).await
            }
            (Opening::Promote, Some(anchored), _) => {
                self.promote(store, epoch, anchored, &follow, keyring).await
            }
            (_, anchored, log) => {
                let begun = self.begin(store, epoch, anchored, log, &logs, keyring);
                let (anchored, keyring) = begun.await?;
                self.promote(store, epoch, anchored, &follow, keyring).await
            }
        }
    }

    /// Who asks for a new origin. An anchor that has no room for another one makes the asking void, and not the log.
    async fn asked(
        &self,
        store: &dyn Store,
        epoch: Epoch,
        anchored: Option<&Anchored>,
    ) -> Result<Vec<u64>, StoreError> {
        let follow = follow(store).await?;
        if follow.is_empty()
            || anchored.is_none_or(|anchored| anchored.spec().previous.len() < PREVIOUS)
        {
            return Ok(follow);
        }
        tracing::error!(
            "a new origin was asked for, and the AuditLog has no room for another one; the request is dropped"
        );
        for number in follow {
            store.answered(epoch, number).await?;
        }
        Ok(Vec::new())
    }

    /// Begins a log in the store and makes the anchor name it. Nothing of it is in the store before the anchor does.
    async fn begin(
        &self,
        store: &Arc<dyn Store>,
        epoch: Epoch,
        anchored: Option<Anchored>,
        before: Option<Log>,
        logs: &[Log],
        keyring: Keyring,
    ) -> Result<(Anchored, Keyring), NotOpened> {
        let origin = self.origin(logs, before.as_ref(), &keyring).await?;
        let log = store.begin_log(epoch, &origin).await?;
        failpoint!("begin.after");
        let named = anchored
            .as_ref()
            .map(|anchored| anchored.spec().origin.as_str());
        let keyring = self.keys.add(keyring, &origin, named).await?;
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
        } else if let Some(before) = before {
            // The anchor is gone: what the store says of itself is all there is.
            previous.push(PreviousLog {
                origin: before.origin,
                size: i64::try_from(before.size).unwrap_or(i64::MAX),
                root: before.root.to_string(),
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

    /// The origin of the log that is about to begin: the one of an attempt that was cut off, whose anchor may come to be
    /// yet, else a new one.
    async fn origin(
        &self,
        logs: &[Log],
        before: Option<&Log>,
        keyring: &Keyring,
    ) -> Result<String, NotOpened> {
        let begun = |log: &&Log| {
            !log.current
                && log.size == 0
                && before.is_none_or(|before| before.origin != log.origin)
                && keyring.signing(&log.origin).is_some()
        };
        if let Some(begun) = logs.iter().rev().find(begun) {
            return Ok(begun.origin.clone());
        }
        let cluster = self.anchor.cluster_uid().await?;
        let id = random::bytes::<8>().map_err(|error| NotOpened::Unavailable(error.to_string()))?;
        Ok(format!(
            "neuralops.io/{cluster}/{:016x}",
            u64::from_be_bytes(id)
        ))
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

fn defect(message: &str) -> NotOpened {
    let refusal = Refusal {
        reason: Reason::InternalError,
        message: message.to_owned(),
    };
    NotOpened::Refused(refusal, None)
}
