//! Floor 2: the store in an SQLite file, for one replica or several on one machine. Says which connection does what;
//! the statements are in its rooms.

mod append;
mod connect;
mod read;
mod runs;
mod storms;
mod write;
mod writer;

use std::{
    path::{Path, PathBuf},
    sync::{PoisonError, RwLock},
};

use futures::future::BoxFuture;
use jiff::Timestamp;
use sqlx::{SqliteConnection, SqlitePool};
use tokio::sync::Mutex;

use self::{
    append::Target,
    writer::{LIMIT, Writer},
};
use super::{
    Mode,
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

/// The store in a file.
pub(super) struct SqliteStore {
    path: PathBuf,
    mode: Mode,
    readers: RwLock<SqlitePool>,
    writer: Mutex<Writer>,
}

impl SqliteStore {
    pub(super) async fn open(path: &Path, mode: Mode) -> Result<Self, StoreError> {
        Ok(Self {
            path: path.to_owned(),
            mode,
            writer: Mutex::new(connected(path, mode).await?),
            readers: RwLock::new(connect::readers(path)),
        })
    }

    fn file(&self) -> SqlitePool {
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
        work: impl for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, StoreError>>
        + Send,
    ) -> Result<T, StoreError> {
        self.may_write()?;
        let mut writer = self.writer.lock().await;
        writer
            .transaction(&self.path, doing, Some(epoch), work)
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
            .transaction(&self.path, doing, Some(epoch), move |file| {
                Box::pin(append::append(file, target, known, entries))
            })
            .await?;
        writer.edge = Some(edge);
        Ok(grown)
    }
}

/// The connection that writes, to a file of ours.
async fn connected(path: &Path, mode: Mode) -> Result<Writer, StoreError> {
    connect::prepare(path, mode).await?;
    match mode {
        // Opened when something is asked, which is seldom.
        Mode::Reader => Ok(Writer::new(None)),
        Mode::Operator => {
            let mut connection = connect::writer(path).await?;
            connect::settle(&mut connection).await?;
            Ok(Writer::new(Some(connection)))
        }
    }
}

impl Store for SqliteStore {
    fn take_over(&self) -> Answer<'_, Epoch> {
        Box::pin(async {
            self.may_write()?;
            let mut writer = self.writer.lock().await;
            writer
                .transaction(&self.path, "taking over", None, |file| {
                    Box::pin(write::take_over(file))
                })
                .await
        })
    }

    fn epoch(&self) -> Answer<'_, Epoch> {
        Box::pin(async { count(read::epoch(&self.file()).await?).map(Epoch) })
    }

    fn logs(&self) -> Answer<'_, Vec<Log>> {
        Box::pin(async { read::logs(&self.file()).await })
    }

    fn begin_log<'a>(&'a self, epoch: Epoch, origin: &'a str) -> Answer<'a, Log> {
        let origin = origin.to_owned();
        Box::pin(self.write("beginning a log", epoch, |file| {
            Box::pin(async move { write::begin_log(file, &origin).await })
        }))
    }

    fn promote(&self, epoch: Epoch, log: LogNumber) -> Answer<'_, ()> {
        Box::pin(self.write("promoting a log", epoch, move |file| {
            Box::pin(write::promote(file, log))
        }))
    }

    fn append(&self, epoch: Epoch, entries: Vec<Entry>) -> Answer<'_, Grown> {
        Box::pin(self.grow("appending", epoch, Target::Current, entries))
    }

    fn hashes<'a>(&'a self, log: LogNumber, positions: &'a [Position]) -> Answer<'a, Vec<Hash>> {
        Box::pin(async move { read::hashes(&self.file(), log, positions).await })
    }

    fn hash_run(&self, log: LogNumber, from: Position, count: u32) -> Answer<'_, Vec<Hash>> {
        Box::pin(async move { read::hash_run(&self.file(), Run { log, from, count }).await })
    }

    fn leaves(&self, log: LogNumber, from: u64, count: u32) -> Answer<'_, Vec<Leaf>> {
        Box::pin(async move { read::leaves(&self.file(), Run { log, from, count }).await })
    }

    fn find(&self, id: RecordId) -> Answer<'_, Option<Leaf>> {
        Box::pin(async move { read::find(&self.file(), id).await })
    }

    fn settled<'a>(&'a self, playbook: &'a str, count: u32) -> Answer<'a, Vec<Leaf>> {
        Box::pin(async move { read::settled(&self.file(), playbook, count).await })
    }

    fn newest<'a>(&'a self, codes: &'a [Event]) -> Answer<'a, Option<Leaf>> {
        Box::pin(async move { read::newest(&self.file(), codes).await })
    }

    fn query(&self, query: Query) -> Answer<'_, Vec<Leaf>> {
        Box::pin(async move { read::query(&self.file(), Conditions::of(query)?).await })
    }

    fn save_checkpoint(&self, epoch: Epoch, checkpoint: SavedCheckpoint) -> Answer<'_, ()> {
        Box::pin(self.write("keeping a checkpoint", epoch, |file| {
            Box::pin(async move { write::save_checkpoint(file, &checkpoint).await })
        }))
    }

    fn checkpoint(&self, log: LogNumber) -> Answer<'_, Option<SavedCheckpoint>> {
        Box::pin(async move { read::checkpoint(&self.file(), log).await })
    }

    fn checkpoints(
        &self,
        log: LogNumber,
        above: u64,
        count: u32,
    ) -> Answer<'_, Vec<SavedCheckpoint>> {
        Box::pin(async move { read::checkpoints(&self.file(), log, above, count).await })
    }

    fn payload<'a>(&'a self, digest: &'a Digest) -> Answer<'a, Option<Payload>> {
        Box::pin(async move { read::payload(&self.file(), digest).await })
    }

    fn expire_payloads(&self, epoch: Epoch, now: Timestamp) -> Answer<'_, u64> {
        Box::pin(async move {
            let mut erased = 0;
            loop {
                let some = self
                    .write("erasing texts", epoch, move |file| {
                        Box::pin(write::expire_payloads(file, now))
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
        Box::pin(async move { read::notices(&self.file(), count).await })
    }

    fn told(&self, epoch: Epoch, number: u64) -> Answer<'_, ()> {
        Box::pin(self.write("striking out a notice", epoch, move |file| {
            Box::pin(write::told(file, number))
        }))
    }

    fn ask(&self, body: Vec<u8>) -> Answer<'_, u64> {
        Box::pin(async {
            let mut writer = self.writer.lock().await;
            writer
                .transaction(&self.path, "asking", None, |file| {
                    Box::pin(async move { write::ask(file, &body).await })
                })
                .await
        })
    }

    fn requests(&self, count: u32) -> Answer<'_, Vec<Request>> {
        Box::pin(async move { read::requests(&self.file(), count).await })
    }

    fn answered(&self, epoch: Epoch, number: u64) -> Answer<'_, ()> {
        Box::pin(self.write("striking out a request", epoch, move |file| {
            Box::pin(write::answered(file, number))
        }))
    }

    fn restore_log<'a>(&'a self, epoch: Epoch, origin: &'a str) -> Answer<'a, LogNumber> {
        let origin = origin.to_owned();
        Box::pin(self.write("putting a log back", epoch, |file| {
            Box::pin(async move { write::restore_log(file, &origin).await })
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
        Box::pin(self.write("claiming for a run", epoch, |file| {
            Box::pin(async move { runs::claim(file, &claim).await })
        }))
    }

    fn would_claim<'a>(&'a self, claim: &'a Claim) -> Answer<'a, Claimed> {
        Box::pin(async move { runs::would_claim(&self.file(), claim).await })
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
        Box::pin(self.write("taking an incident", epoch, |file| {
            Box::pin(async move { storms::own(file, &incident, &run, instead_of.as_deref()).await })
        }))
    }

    fn owner<'a>(&'a self, incident: &'a IncidentKey) -> Answer<'a, Option<RunKey>> {
        Box::pin(async move { storms::owner(&self.file(), incident).await })
    }

    fn join<'a>(
        &'a self,
        epoch: Epoch,
        uid: &'a str,
        owner: &'a RunKey,
    ) -> Answer<'a, Option<u64>> {
        let (uid, owner) = (uid.to_owned(), owner.clone());
        Box::pin(self.write("joining a run", epoch, |file| {
            Box::pin(async move { storms::join(file, &uid, &owner).await })
        }))
    }

    fn tally<'a>(&'a self, uid: &'a str) -> Answer<'a, Tally> {
        Box::pin(async move { storms::tally(&self.file(), uid).await })
    }

    fn release<'a>(&'a self, epoch: Epoch, uid: &'a str) -> Answer<'a, u64> {
        let uid = uid.to_owned();
        Box::pin(self.write("releasing a run", epoch, |file| {
            Box::pin(async move { runs::release(file, &uid).await })
        }))
    }

    fn joinable(&self) -> Answer<'_, Vec<RunKey>> {
        Box::pin(async { storms::joinable(&self.file()).await })
    }

    fn runs(&self) -> Answer<'_, Vec<RunKey>> {
        Box::pin(async { runs::runs(&self.file()).await })
    }

    fn plan_of<'a>(&'a self, uid: &'a str) -> Answer<'a, Option<Vec<u8>>> {
        Box::pin(async move { runs::plan_of(&self.file(), uid).await })
    }

    fn check(&self) -> Answer<'_, Vec<String>> {
        Box::pin(async { read::check(&self.file()).await })
    }

    fn reopen(&self) -> Answer<'_, ()> {
        Box::pin(async {
            let mut writer = self.writer.lock().await;
            writer.close().await;
            // Somebody who reads for longer than that is found by what comes next.
            let _ = tokio::time::timeout(LIMIT, self.file().close()).await;
            let opened = connected(&self.path, self.mode).await;
            // What can be read is read, whether or not it can be written.
            *self.readers.write().unwrap_or_else(PoisonError::into_inner) =
                connect::readers(&self.path);
            *writer = opened?;
            Ok(())
        })
    }
}
