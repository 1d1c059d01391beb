//! Floor 2's edge: traits, only where two real implementations exist or a flow cannot be tested without a fake.
//! `kube::Client` is never hidden behind one.

mod runs;

use std::fmt;

pub use runs::{Claim, Claimed, IncidentKey, Limit, Limited, Limits, RunKey, Tally};

use futures::future::BoxFuture;
use jiff::Timestamp;

use crate::domain::{
    audit::{
        event::Event,
        hash::Hash,
        record::{Name, Payload, Record, RecordId},
        tree::Position,
    },
    digest::Digest,
};

/// This process does not lead now, or cannot be sure that it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this replica does not lead")]
pub struct NotLeader;

/// Whether this process may act. Asked again before every write, never remembered.
pub trait Leadership: Send + Sync {
    /// Nothing, if it may.
    fn holds(&self) -> Result<(), NotLeader>;
}

/// Counts leaderships, in the store: a writer says under which one it writes, and the store refuses all but the newest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It does not answer, or cannot write: disk full, connection lost. What was under way may or may not have happened.
    #[error("the store is not available: {doing}")]
    Unavailable {
        /// What was tried.
        doing: &'static str,
        /// Why it failed.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A newer leader writes; nothing was written.
    #[error("the store has a newer writer: epoch {newest}, not {ours}")]
    Fenced {
        /// Ours.
        ours: Epoch,
        /// The newest.
        newest: Epoch,
    },
    /// What it holds contradicts itself: altered by somebody else, or a defect of ours.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// It is of a version that this binary does not know, or no store of ours at all.
    #[error("the store cannot be used: {0}")]
    Unusable(String),
}

/// What a store answers, later.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// Which log of this store, counted from 1. A store holds one log that grows, and those that it followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogNumber(pub u32);

/// Where a leaf stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeafIndex {
    /// In which log.
    pub log: LogNumber,
    /// The leaf, counted from 0.
    pub index: u64,
}

/// One log of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Its number.
    pub number: LogNumber,
    /// Its origin.
    pub origin: String,
    /// Whether it grows. A log that was begun and is not anchored yet does not, nor does one that was followed.
    pub current: bool,
    /// Its leaves.
    pub size: u64,
    /// Its root at that size, as the store wrote it down.
    pub root: Hash,
}

/// A leaf to be appended, with all that goes into the same transaction.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Stands in the store once.
    pub id: RecordId,
    /// The leaf.
    pub body: Vec<u8>,
    /// To be found by: when it was appended.
    pub time: Timestamp,
    /// To be found by: what happened.
    pub code: Event,
    /// To be found by: who did it.
    pub actor: Name,
    /// To be found by: the uid of the object it is about.
    pub object: Option<Name>,
    /// To be found by: the Playbook whose revision it settles, as `namespace/name`.
    pub playbook: Option<Name>,
    /// The text beside the log, and when it may go.
    pub payload: Option<(Payload, Timestamp)>,
    /// What is to be told to others once the leaf is committed.
    pub notice: Option<Vec<u8>>,
}

impl Entry {
    /// A leaf with nothing beside it, to be found by what its record says.
    pub fn of(record: &Record, body: Vec<u8>) -> Self {
        let fact = &record.fact;
        Self {
            id: fact.id,
            body,
            time: record.time,
            code: fact.code,
            actor: fact.actor.subject.clone(),
            object: fact.object.as_ref().map(|object| object.uid.clone()),
            playbook: fact.playbook.clone(),
            payload: None,
            notice: None,
        }
    }
}

/// A leaf that was appended, now or by an earlier attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Where it stands.
    pub at: LeafIndex,
    /// It stood there already.
    pub before: bool,
}

/// What an append came to.
#[derive(Clone, Debug)]
pub struct Grown {
    /// One answer for each entry, in their order.
    pub appended: Vec<Appended>,
    /// The log as it stands now.
    pub log: Log,
}

/// A leaf as the store holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Where it stands.
    pub at: LeafIndex,
    /// Its id.
    pub id: RecordId,
    /// Its body.
    pub body: Vec<u8>,
}

/// Which leaves; all conditions hold together. Oldest first.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// After this one: the last of the page before.
    pub after: Option<LeafIndex>,
    /// About the object with this uid.
    pub object: Option<String>,
    /// By this actor.
    pub actor: Option<String>,
    /// Of this event.
    pub code: Option<Event>,
    /// At or after.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
    /// At most so many; 0 means 100, and never more than 1000.
    pub limit: u32,
}

/// A published checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedCheckpoint {
    /// Of which log.
    pub log: LogNumber,
    /// At which size.
    pub size: u64,
    /// The signed note.
    pub note: String,
}

/// Something to be told to others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Counts up.
    pub number: u64,
    /// The leaf it comes from.
    pub at: LeafIndex,
    /// What to tell.
    pub body: Vec<u8>,
}

/// What another process asks of the leader, through the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Counts up.
    pub number: u64,
    /// What is asked.
    pub body: Vec<u8>,
}

/// Where the transparency log lies: a database with one writer, told from all others by its epoch.
///
/// Beside the log it knows which runs are under way: their plans and what they have to themselves. That is working state
/// and no record, and no backup holds it.
///
/// Reading needs no epoch. Leaves, hashes, payloads and checkpoints are never altered once written, so that whoever
/// reads below a size needs no snapshot.
pub trait Store: Send + Sync {
    /// Makes the caller the only writer, under an epoch higher than any before.
    fn take_over(&self) -> Answer<'_, Epoch>;
    /// The newest epoch; 0 before the first.
    fn epoch(&self) -> Answer<'_, Epoch>;
    /// Every log, oldest first.
    fn logs(&self) -> Answer<'_, Vec<Log>>;
    /// Begins a log without leaves that does not grow yet; one begun before and never promoted is replaced.
    fn begin_log<'a>(&'a self, epoch: Epoch, origin: &'a str) -> Answer<'a, Log>;
    /// Makes a log the one that grows, and ends the one that grew before.
    fn promote(&self, epoch: Epoch, log: LogNumber) -> Answer<'_, ()>;
    /// Appends to the log that grows, all in one durable transaction; an id that stands in the store keeps its place.
    fn append(&self, epoch: Epoch, entries: Vec<Entry>) -> Answer<'_, Grown>;
    /// The stored hashes at these positions, in this order; one that is missing is damage.
    fn hashes<'a>(&'a self, log: LogNumber, positions: &'a [Position]) -> Answer<'a, Vec<Hash>>;
    /// Stored hashes from this position on, in order, at most so many: to read whole logs.
    fn hash_run(&self, log: LogNumber, from: Position, count: u32) -> Answer<'_, Vec<Hash>>;
    /// Leaves of one log from this index on, in order, at most so many.
    fn leaves(&self, log: LogNumber, from: u64, count: u32) -> Answer<'_, Vec<Leaf>>;
    /// The leaf with this id.
    fn find(&self, id: RecordId) -> Answer<'_, Option<Leaf>>;
    /// The leaves that settle the revision of this Playbook, in whichever log of this store; newest first, at most so many.
    fn settled<'a>(&'a self, playbook: &'a str, count: u32) -> Answer<'a, Vec<Leaf>>;
    /// The newest leaf with one of these codes, in whichever log of this store.
    fn newest<'a>(&'a self, codes: &'a [Event]) -> Answer<'a, Option<Leaf>>;
    /// A page of leaves.
    fn query(&self, query: Query) -> Answer<'_, Vec<Leaf>>;
    /// Keeps a checkpoint that was published; the same one again changes nothing.
    fn save_checkpoint(&self, epoch: Epoch, checkpoint: SavedCheckpoint) -> Answer<'_, ()>;
    /// The largest published checkpoint of a log.
    fn checkpoint(&self, log: LogNumber) -> Answer<'_, Option<SavedCheckpoint>>;
    /// Published checkpoints of a log above this size, smallest first, at most so many.
    fn checkpoints(
        &self,
        log: LogNumber,
        above: u64,
        count: u32,
    ) -> Answer<'_, Vec<SavedCheckpoint>>;
    /// The text with this salted hash, if it is still there.
    fn payload<'a>(&'a self, digest: &'a Digest) -> Answer<'a, Option<Payload>>;
    /// Erases the texts whose time is over; returns how many.
    fn expire_payloads(&self, epoch: Epoch, now: Timestamp) -> Answer<'_, u64>;
    /// What is still to be told, oldest first.
    fn notices(&self, count: u32) -> Answer<'_, Vec<Notice>>;
    /// It was told.
    fn told(&self, epoch: Epoch, number: u64) -> Answer<'_, ()>;
    /// Asks something of the leader.
    fn ask(&self, body: Vec<u8>) -> Answer<'_, u64>;
    /// What is asked and not answered, oldest first.
    fn requests(&self, count: u32) -> Answer<'_, Vec<Request>>;
    /// It was answered.
    fn answered(&self, epoch: Epoch, number: u64) -> Answer<'_, ()>;
    /// Puts a log back, leaf by leaf, into a store that has no such log; it does not grow before it is promoted.
    fn restore_log<'a>(&'a self, epoch: Epoch, origin: &'a str) -> Answer<'a, LogNumber>;
    /// The next leaves of a log that is being put back, with their texts.
    fn restore_leaves(&self, epoch: Epoch, log: LogNumber, entries: Vec<Entry>) -> Answer<'_, Log>;
    /// Keeps the run's plan and takes everything that it names, all or nothing, in one durable transaction, in which its
    /// limits are counted too.
    fn claim(&self, epoch: Epoch, claim: Claim) -> Answer<'_, Claimed>;
    /// What that claim would come to now; nothing is taken.
    fn would_claim<'a>(&'a self, claim: &'a Claim) -> Answer<'a, Claimed>;
    /// Lets go of everything that the run with this uid has, its incident too, and forgets its plan; how many had joined it.
    fn release<'a>(&'a self, epoch: Epoch, uid: &'a str) -> Answer<'a, u64>;
    /// Makes the run the one that others with this key join, and no other's, unless another one is that is not `instead_of`;
    /// which one is. It has joined nobody any more.
    fn own<'a>(
        &'a self,
        epoch: Epoch,
        incident: &'a IncidentKey,
        run: &'a RunKey,
        instead_of: Option<&'a str>,
    ) -> Answer<'a, RunKey>;
    /// The run that others with this key join.
    fn owner<'a>(&'a self, incident: &'a IncidentKey) -> Answer<'a, Option<RunKey>>;
    /// Counts the run with this uid at its owner, once; how many that has now, or nothing if others do not join it any more.
    fn join<'a>(&'a self, epoch: Epoch, uid: &'a str, owner: &'a RunKey)
    -> Answer<'a, Option<u64>>;
    /// How many joined the run with this uid, and which one it joined.
    fn tally<'a>(&'a self, uid: &'a str) -> Answer<'a, Tally>;
    /// The runs that others join or have joined, and that were not released.
    fn joinable(&self) -> Answer<'_, Vec<RunKey>>;
    /// The runs that were claimed for and not released, longest first.
    fn runs(&self) -> Answer<'_, Vec<RunKey>>;
    /// The plan of the run with this uid, while it is under way.
    fn plan_of<'a>(&'a self, uid: &'a str) -> Answer<'a, Option<Vec<u8>>>;
    /// Whether the database itself holds together; the findings, if not.
    fn check(&self) -> Answer<'_, Vec<String>>;
    /// After a failure: gives up every connection, opens anew and makes sure that what is committed is on the disk.
    fn reopen(&self) -> Answer<'_, ()>;
}
