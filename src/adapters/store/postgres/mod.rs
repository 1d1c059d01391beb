//! Floor 2: the store in a PostgreSQL database, for any number of replicas. Says which connection does what and how long
//! it may take; the statements are in its rooms.

mod append;
mod connect;
mod read;
mod runs;
mod storms;
mod write;
mod writer;

use std::{
    sync::{PoisonError, RwLock},
    time::Duration,
};

use futures::future::BoxFuture;
use jiff::Timestamp;
use sqlx::{PgConnection, PgPool, postgres::PgConnectOptions};
use tokio::sync::Mutex;

use self::{
    append::Target,
    writer::{LIMIT, PING, Writer},
};
use super::{
    Mode,
    fault::within,
    page::Conditions,
    rows::{Run, count},
};
use crate::{
    domain::{
        audit::{
            event::Event,
            hash::Hash,
            record::{Payload, RecordId},
            tree::Position,
        },
        digest::Digest,
    },
    ports::{
        Answer, Claim, Claimed, Entry, Epoch, Grown, IncidentKey, Leaf, Log, LogNumber, Notice,
        Query, Request, RunKey, SavedCheckpoint, Store, StoreError, Tally,
    },
};

/// Reading every row of a large log takes its time.
const CHECK: Duration = Duration::from_secs(600);

/// The store in a database.
pub(super) struct PostgresStore {
    server: PgConnectOptions,
    mode: Mode,
    readers: RwLock<PgPool>,
    writer: Mutex<Writer>,
}

impl PostgresStore {
    pub(super) async fn open(server: &PgConnectOptions, mode: Mode) -> Result<Self, StoreError> {
        Ok(Self {
            server: server.clone(),
            mode,
            writer: Mutex::new(connected(server, mode).await?),
            readers: RwLock::new(connect::readers(server)),
        })
    }

    fn base(&self) -> PgPool {
        self.readers
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Whoever opened the store to read may ask, but write nothing else.
    fn may_write(&self) -> Result<(), StoreError> {
        match self.mode {
            Mode::Operator => Ok(()),
            Mode::Reader => Err(StoreError::Unusable("it was opened to read".to_owned())),
        }
    }

    async fn write<T: Send>(
        &self,
        doing: &'static str,
        epoch: Epoch,
        work: impl for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        self.may_write()?;
        let mut writer = self.writer.lock().await;
        writer
            .transaction(&self.server, doing, Some(epoch), work)
            .await
    }

    async fn grow(
        &self,
        doing: &'static str,
        epoch: Epoch,
        target: Target,
        entries: Vec<Entry>,
    ) -> Result<Grown, StoreError> {
        self.may_write()?;
        let mut writer = self.writer.lock().await;
        // Whatever goes wrong from here on, what is known of the right edge is gone.
        let known = writer.edge.take();
        let (grown, edge) = writer
            .transaction(&self.server, doing, Some(epoch), move |base| {
                Box::pin(append::append(base, target, known, entries))
            })
            .await?;
        writer.edge = Some(edge);
        Ok(grown)
    }
}

/// The connection that writes, to a database of ours.
async fn connected(server: &PgConnectOptions, mode: Mode) -> Result<Writer, StoreError> {
    let mut connection = connect::writer(server).await?;
    let prepared = connect::prepare(&mut connection, mode);
    within("looking at the tables", LIMIT, prepared).await?;
    Ok(Writer::new((mode == Mode::Operator).then_some(connection)))
}

/// Waits for what is read.
async fn answer<T>(work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    within("reading", LIMIT, work).await
}

impl Store for PostgresStore {
    fn take_over(&self) -> Answer<'_, Epoch> {
        Box::pin(async {
            self.may_write()?;
            let mut writer = self.writer.lock().await;
            writer
                .transaction(&self.server, "taking over", None, |base| {
                    Box::pin(write::take_over(base))
                })
                .await
        })
    }

    fn epoch(&self) -> Answer<'_, Epoch> {
        Box::pin(async { count(answer(read::epoch(&self.base())).await?).map(Epoch) })
    }

    fn logs(&self) -> Answer<'_, Vec<Log>> {
        Box::pin(async { answer(read::logs(&self.base())).await })
    }

    fn begin_log<'a>(&'a self, epoch: Epoch, origin: &'a str) -> Answer<'a, Log> {
        let origin = origin.to_owned();
        Box::pin(self.write("beginning a log", epoch, |base| {
            Box::pin(async move { write::begin_log(base, &origin).await })
        }))
    }

    fn promote(&self, epoch: Epoch, log: LogNumber) -> Answer<'_, ()> {
        Box::pin(self.write("promoting a log", epoch, move |base| {
            Box::pin(write::promote(base, log))
        }))
    }

    fn append(&self, epoch: Epoch, entries: Vec<Entry>) -> Answer<'_, Grown> {
        Box::pin(self.grow("appending", epoch, Target::Current, entries))
    }

    fn hashes<'a>(&'a self, log: LogNumber, positions: &'a [Position]) -> Answer<'a, Vec<Hash>> {
        Box::pin(async move { answer(read::hashes(&self.base(), log, positions)).await })
    }

    fn hash_run(&self, log: LogNumber, from: Position, count: u32) -> Answer<'_, Vec<Hash>> {
        Box::pin(
            async move { answer(read::hash_run(&self.base(), Run { log, from, count })).await },
        )
    }

    fn leaves(&self, log: LogNumber, from: u64, count: u32) -> Answer<'_, Vec<Leaf>> {
        Box::pin(async move { answer(read::leaves(&self.base(), Run { log, from, count })).await })
    }

    fn find(&self, id: RecordId) -> Answer<'_, Option<Leaf>> {
        Box::pin(async move { answer(read::find(&self.base(), id)).await })
    }

    fn settled<'a>(&'a self, playbook: &'a str, count: u32) -> Answer<'a, Vec<Leaf>> {
        Box::pin(async move { answer(read::settled(&self.base(), playbook, count)).await })
    }

    fn newest<'a>(&'a self, codes: &'a [Event]) -> Answer<'a, Option<Leaf>> {
        Box::pin(async move { answer(read::newest(&self.base(), codes)).await })
    }

    fn query(&self, query: Query) -> Answer<'_, Vec<Leaf>> {
        Box::pin(async move { answer(read::query(&self.base(), Conditions::of(query)?)).await })
    }

    fn save_checkpoint(&self, epoch: Epoch, checkpoint: SavedCheckpoint) -> Answer<'_, ()> {
        Box::pin(self.write("keeping a checkpoint", epoch, |base| {
            Box::pin(async move { write::save_checkpoint(base, &checkpoint).await })
        }))
    }

    fn checkpoint(&self, log: LogNumber) -> Answer<'_, Option<SavedCheckpoint>> {
        Box::pin(async move { answer(read::checkpoint(&self.base(), log)).await })
    }

    fn checkpoints(
        &self,
        log: LogNumber,
        above: u64,
        count: u32,
    ) -> Answer<'_, Vec<SavedCheckpoint>> {
        Box::pin(async move { answer(read::checkpoints(&self.base(), log, above, count)).await })
    }

    fn payload<'a>(&'a self, digest: &'a Digest) -> Answer<'a, Option<Payload>> {
        Box::pin(async move { answer(read::payload(&self.base(), digest)).await })
    }

    fn expire_payloads(&self, epoch: Epoch, now: Timestamp) -> Answer<'_, u64> {
        Box::pin(async move {
            let mut erased = 0;
            loop {
                let some = self
                    .write("erasing texts", epoch, move |base| {
                        Box::pin(write::expire_payloads(base, now))
                    })
                    .await?;
                erased += some;
                if some < write::ERASED_AT_ONCE {
                    return Ok(erased);
                }
            }
        })
    }

    fn notices(&self, count: u32) -> Answer<'_, Vec<Notice>> {
        Box::pin(async move { answer(read::notices(&self.base(), count)).await })
    }

    fn told(&self, epoch: Epoch, number: u64) -> Answer<'_, ()> {
        Box::pin(self.write("striking out a notice", epoch, move |base| {
            Box::pin(write::told(base, number))
        }))
    }

    fn ask(&self, body: Vec<u8>) -> Answer<'_, u64> {
        Box::pin(async {
            let mut writer = self.writer.lock().await;
            writer
                .transaction(&self.server, "asking", None, |base| {
                    Box::pin(async move { write::ask(base, &body).await })
                })
                .await
        })
    }

    fn requests(&self, count: u32) -> Answer<'_, Vec<Request>> {
        Box::pin(async move { answer(read::requests(&self.base(), count)).await })
    }

    fn answered(&self, epoch: Epoch, number: u64) -> Answer<'_, ()> {
        Box::pin(self.write("striking out a request", epoch, move |base| {
            Box::pin(write::answered(base, number))
        }))
    }

    fn restore_log<'a>(&'a self, epoch: Epoch, origin: &'a str) -> Answer<'a, LogNumber> {
        let origin = origin.to_owned();
        Box::pin(self.write("putting a log back", epoch, |base| {
            Box::pin(async move { write::restore_log(base, &origin).await })
        }))
    }

    fn restore_leaves(&self, epoch: Epoch, log: LogNumber, entries: Vec<Entry>) -> Answer<'_, Log> {
        Box::pin(async move {
            let target = Target::Restored(log);
            let grown = self
                .grow("putting leaves back", epoch, target, entries)
                .await?;
            Ok(grown.log)
        })
    }

    fn claim(&self, epoch: Epoch, claim: Claim) -> Answer<'_, Claimed> {
        Box::pin(self.write("claiming for a run", epoch, |base| {
            Box::pin(async move { runs::claim(base, &claim).await })
        }))
    }

    fn would_claim<'a>(&'a self, claim: &'a Claim) -> Answer<'a, Claimed> {
        Box::pin(async move { answer(runs::would_claim(&self.base(), claim)).await })
    }

    fn own<'a>(
        &'a self,
        epoch: Epoch,
        incident: &'a IncidentKey,
        run: &'a RunKey,
        instead_of: Option<&'a str>,
    ) -> Answer<'a, RunKey> {
        let (incident, run) = (incident.clone(), run.clone());
        let instead_of = instead_of.map(ToOwned::to_owned);
        Box::pin(self.write("taking an incident", epoch, |base| {
            Box::pin(async move { storms::own(base, &incident, &run, instead_of.as_deref()).await })
        }))
    }

    fn owner<'a>(&'a self, incident: &'a IncidentKey) -> Answer<'a, Option<RunKey>> {
        Box::pin(async move { answer(storms::owner(&self.base(), incident)).await })
    }

    fn join<'a>(
        &'a self,
        epoch: Epoch,
        uid: &'a str,
        owner: &'a RunKey,
    ) -> Answer<'a, Option<u64>> {
        let (uid, owner) = (uid.to_owned(), owner.clone());
        Box::pin(self.write("joining a run", epoch, |base| {
            Box::pin(async move { storms::join(base, &uid, &owner).await })
        }))
    }

    fn tally<'a>(&'a self, uid: &'a str) -> Answer<'a, Tally> {
        Box::pin(async move { answer(storms::tally(&self.base(), uid)).await })
    }

    fn release<'a>(&'a self, epoch: Epoch, uid: &'a str) -> Answer<'a, u64> {
        let uid = uid.to_owned();
        Box::pin(self.write("releasing a run", epoch, |base| {
            Box::pin(async move { runs::release(base, &uid).await })
        }))
    }

    fn joinable(&self) -> Answer<'_, Vec<RunKey>> {
        Box::pin(async { answer(storms::joinable(&self.base())).await })
    }

    fn runs(&self) -> Answer<'_, Vec<RunKey>> {
        Box::pin(async { answer(runs::runs(&self.base())).await })
    }

    fn plan_of<'a>(&'a self, uid: &'a str) -> Answer<'a, Option<Vec<u8>>> {
        Box::pin(async move { answer(runs::plan_of(&self.base(), uid)).await })
    }

    fn check(&self) -> Answer<'_, Vec<String>> {
        Box::pin(async { within("checking", CHECK, read::check(&self.base())).await })
    }

    fn reopen(&self) -> Answer<'_, ()> {
        Box::pin(async {
            let mut writer = self.writer.lock().await;
            writer.close().await;
            // A server that does not answer need not hear that we go.
            let _ = tokio::time::timeout(PING, self.base().close()).await;
            let opened = connected(&self.server, self.mode).await;
            // What can be read is read, whether or not it can be written.
            *self.readers.write().unwrap_or_else(PoisonError::into_inner) =
                connect::readers(&self.server);
            *writer = opened?;
            Ok(())
        })
    }
}
