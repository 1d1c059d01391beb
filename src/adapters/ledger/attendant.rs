//! Floor 2: what is done beside writing, now and then: bringing in the stops that were spooled, answering what other
//! processes ask through the store, and erasing texts whose time is over. It records through the same queue as everybody.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{Ack, Draft, Ledger, State, late::bring_in, own::Replica};
use crate::{
    adapters::{clock, kube::error::chain},
    domain::audit::{
        event::Event,
        record::{Actor, Fact, Method, Object, RecordId, Root, Standing},
        request::Request,
    },
    ports::{Epoch, Log, Store, StoreError},
};

/// How often to look for requests and spooled stops. The store is ours: nobody else is asked for anything.
const LOOK: Duration = Duration::from_secs(1);
/// How often to look for texts whose time is over.
const EXPIRE: Duration = Duration::from_secs(3600);

/// Why the attendant ended.
#[derive(Debug)]
pub(super) enum AttendantEnd {
    /// Somebody asks for a new origin: the log is to be opened anew.
    Follow,
    /// The store failed.
    Store(StoreError),
}

/// Attends to the store until something has to be opened anew.
pub(super) async fn attend(
    store: Arc<dyn Store>,
    epoch: Epoch,
    log: &Log,
    ledger: &Ledger,
    replica: &Replica,
) -> AttendantEnd {
    let mut expired: Option<Instant> = None;
    loop {
        // Not only when the log is opened: after an outage that did not close it, stops wait as well.
        if ledger.state() == State::Open {
            bring_in(ledger, replica).await;
        }
        match answer(store.as_ref(), epoch, log, ledger).await {
            Ok(false) => {}
            Ok(true) => return AttendantEnd::Follow,
            Err(error) => return AttendantEnd::Store(error),
        }
        if expired.is_none_or(|last| last.elapsed() >= EXPIRE) {
            match store.expire_payloads(epoch, clock::now()).await {
                Ok(0) => {}
                Ok(count) => tracing::info!(
                    count,
                    "texts beside the log were erased, as their time was over"
                ),
                Err(error) => return AttendantEnd::Store(error),
            }
            expired = Some(Instant::now());
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Answers what is asked; true if somebody asks for a new origin.
async fn answer(
    store: &dyn Store,
    epoch: Epoch,
    log: &Log,
    ledger: &Ledger,
) -> Result<bool, StoreError> {
    for request in store.requests(16).await? {
        let fact = match Request::parse(&request.body) {
            Ok(Request::Follow { why }) => {
                tracing::warn!(why, "a new origin is asked for");
                return Ok(true);
            }
            Ok(Request::BackupVerified {
                archive,
                size,
                root,
            }) => backup(
                Event::BackupVerified,
                log,
                request.number,
                archive,
                size,
                root,
            ),
            Ok(Request::BackupRestored {
                archive,
                size,
                root,
            }) => backup(
                Event::BackupRestored,
                log,
                request.number,
                archive,
                size,
                root,
            ),
            Err(error) => {
                tracing::warn!(number = request.number, error = %chain(&error), "a request in the store is dropped");
                store.answered(epoch, request.number).await?;
                continue;
            }
        };
        // Not now is no failure: it stays there until it is recorded.
        match ledger.record(Draft::from(fact), Ack::Durable).await {
            Ok(_) => store.answered(epoch, request.number).await?,
            Err(refusal) => {
                tracing::debug!("a request waits, because {refusal}");
                return Ok(false);
            }
        }
    }
    Ok(false)
}

fn backup(
    event: Event,
    log: &Log,
    number: u64,
    archive: crate::domain::digest::Digest,
    size: u64,
    root: Root,
) -> Fact {
    let actor = Actor {
        method: Method::StoreAccess,
        subject: "store".into(),
        issuer: None,
        uid: None,
        groups: None,
        credential: None,
    };
    let id = RecordId::of(&[
        &log.origin,
        event.code(),
        &number.to_string(),
        archive.as_str(),
    ]);
    let mut fact = Fact::new(id, event, actor);
    fact.object = Some(Object {
        kind: "Backup".into(),
        namespace: None,
        name: archive.as_str().into(),
        uid: archive.as_str().into(),
        generation: None,
    });
    fact.logs = vec![Standing {
        origin: log.origin.as_str().into(),
        size,
        root,
    }];
    fact
}
