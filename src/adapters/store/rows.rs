//! Floor 2: rows as both databases hand them out, and what is made of them. A row that our own writes cannot have left
//! is damage and is named. No SQL here.

use std::collections::HashMap;

use jiff::Timestamp;
use sqlx::FromRow;

use crate::{
    domain::{
        audit::{
            hash::Hash,
            record::{Payload, RecordId},
            tree::{Position, stored},
        },
        digest::Digest,
    },
    ports::{
        Claimed, Epoch, Leaf, LeafIndex, Log, LogNumber, Notice, Request, RunKey, SavedCheckpoint,
        StoreError,
    },
};

pub(super) fn damaged(what: impl Into<String>) -> StoreError {
    StoreError::Damaged(what.into())
}

/// A number as both databases keep it.
pub(super) fn number(value: u64) -> Result<i64, StoreError> {
    i64::try_from(value).map_err(|_| damaged(format!("{value} is more than a store can count")))
}

/// A number as it was kept.
pub(super) fn count(value: i64) -> Result<u64, StoreError> {
    u64::try_from(value).map_err(|_| damaged(format!("a count is negative: {value}")))
}

fn log_number(value: i64) -> Result<LogNumber, StoreError> {
    u32::try_from(value)
        .map(LogNumber)
        .map_err(|_| damaged(format!("{value} is no number of a log")))
}

fn leaf_index(log: i64, idx: i64) -> Result<LeafIndex, StoreError> {
    Ok(LeafIndex {
        log: log_number(log)?,
        index: count(idx)?,
    })
}

fn record_id(bytes: &[u8]) -> Result<RecordId, StoreError> {
    let bytes = bytes
        .try_into()
        .map_err(|_| damaged(format!("the id of a leaf has {} bytes", bytes.len())))?;
    Ok(RecordId(bytes))
}

/// Nanoseconds since 1970; what lies beyond the years 1678 to 2261 is taken for their end.
pub(super) fn nanoseconds(time: Timestamp) -> i64 {
    let nanoseconds = time.as_nanosecond();
    i64::try_from(nanoseconds).unwrap_or(if nanoseconds < 0 { i64::MIN } else { i64::MAX })
}

/// Refuses who writes under another epoch than the newest.
pub(super) fn fence(ours: Epoch, newest: i64) -> Result<(), StoreError> {
    let newest = Epoch(count(newest)?);
    if newest > ours {
        return Err(StoreError::Fenced { ours, newest });
    }
    if newest < ours {
        return Err(damaged(format!(
            "its epoch is {newest}, but {ours} was given out: it was put back to an earlier state"
        )));
    }
    Ok(())
}

#[derive(FromRow)]
pub(super) struct LogRow {
    pub(super) number: i64,
    pub(super) origin: String,
    pub(super) state: String,
    pub(super) size: i64,
    pub(super) root: Vec<u8>,
}

impl LogRow {
    pub(super) fn log(self) -> Result<Log, StoreError> {
        Ok(Log {
            number: log_number(self.number)?,
            current: self.state == "current",
            size: count(self.size)?,
            root: Hash::try_from(self.root.as_slice())
                .map_err(|_| damaged(format!("the root of log {} is no hash", self.number)))?,
            origin: self.origin,
        })
    }
}

#[derive(FromRow)]
pub(super) struct LeafRow {
    log: i64,
    idx: i64,
    id: Vec<u8>,
    body: Vec<u8>,
}

impl LeafRow {
    pub(super) fn leaf(self) -> Result<Leaf, StoreError> {
        Ok(Leaf {
            at: leaf_index(self.log, self.idx)?,
            id: record_id(&self.id)?,
            body: self.body,
        })
    }
}

/// A row of a log's leaves or hashes, beside the log's size; without any, there is one row that holds only the size.
#[derive(FromRow)]
pub(super) struct RunRow {
    pub(super) size: i64,
    at: Option<i64>,
    id: Option<Vec<u8>>,
    body: Option<Vec<u8>>,
}

/// What stands from one place on in a log, with nothing missing before its end or ours.
pub(super) struct Run {
    pub(super) log: LogNumber,
    pub(super) from: u64,
    pub(super) count: u32,
}

impl Run {
    /// The place behind the last one.
    pub(super) fn end(&self) -> u64 {
        self.from.saturating_add(self.count.into())
    }

    fn check(
        &self,
        rows: &[RunRow],
        what: &str,
        all: impl Fn(u64) -> u64,
    ) -> Result<(), StoreError> {
        let Some(first) = rows.first() else {
            return Ok(());
        };
        let end = self.end().min(all(count(first.size)?));
        let mut found = rows.iter().filter_map(|row| row.at);
        for expected in self.from..end {
            if found.next() != Some(number(expected)?) {
                return Err(damaged(format!(
                    "log {} has no {what} {expected}, though it has {} leaves",
                    self.log.0, first.size
                )));
            }
        }
        match found.next() {
            None => Ok(()),
            Some(beyond) => Err(damaged(format!(
                "log {} has a {what} {beyond}, though it has {} leaves",
                self.log.0, first.size
            ))),
        }
    }

    pub(super) fn leaves(&self, rows: Vec<RunRow>) -> Result<Vec<Leaf>, StoreError> {
        self.check(&rows, "leaf", |size| size)?;
        let rows = rows
            .into_iter()
            .filter_map(|row| Some((row.at?, row.id?, row.body?)));
        rows.map(|(at, id, body)| {
            Ok(Leaf {
                at: LeafIndex {
                    log: self.log,
                    index: count(at)?,
                },
                id: record_id(&id)?,
                body,
            })
        })
        .collect()
    }

    pub(super) fn hashes(&self, rows: Vec<RunRow>) -> Result<Vec<Hash>, StoreError> {
        self.check(&rows, "hash at position", stored)?;
        let rows = rows
            .into_iter()
            .filter_map(|row| Some((row.at?, row.body?)));
        rows.map(|(at, bytes)| hash(self.log, at, &bytes)).collect()
    }
}

fn hash(log: LogNumber, at: i64, bytes: &[u8]) -> Result<Hash, StoreError> {
    Hash::try_from(bytes)
        .map_err(|_| damaged(format!("log {} has no hash at position {at}", log.0)))
}

/// The hashes at these positions; each row names the position it is for, in their order.
pub(super) fn hashes(
    log: LogNumber,
    positions: &[Position],
    rows: Vec<(i64, Vec<u8>)>,
) -> Result<Vec<Hash>, StoreError> {
    let mut rows = rows.into_iter();
    positions
        .iter()
        .map(|position| match rows.next() {
            Some((at, bytes)) if u64::try_from(at) == Ok(*position) => hash(log, at, &bytes),
            _ => Err(damaged(format!(
                "log {} has no hash at position {position}",
                log.0
            ))),
        })
        .collect()
}

/// Where these ids stand already.
pub(super) fn standing(
    rows: Vec<(Vec<u8>, i64, i64)>,
) -> Result<HashMap<RecordId, LeafIndex>, StoreError> {
    rows.into_iter()
        .map(|(id, log, idx)| Ok((record_id(&id)?, leaf_index(log, idx)?)))
        .collect()
}

/// What is wrong with the number of rows that a log has.
pub(super) fn miscounts(log: &Log, leaves: i64, hashes: i64) -> Result<Vec<String>, StoreError> {
    let number = log.number.0;
    let needed = stored(log.size);
    let leaves = (count(leaves)? != log.size).then(|| {
        format!(
            "log {number} has {} leaves, but {leaves} rows of them",
            log.size
        )
    });
    let hashes = (count(hashes)? != needed)
        .then(|| format!("log {number} needs {needed} hashes, but has {hashes}"));
    Ok(leaves.into_iter().chain(hashes).collect())
}

#[derive(FromRow)]
pub(super) struct CheckpointRow {
    log: i64,
    size: i64,
    note: String,
}

impl CheckpointRow {
    pub(super) fn checkpoint(self) -> Result<SavedCheckpoint, StoreError> {
        Ok(SavedCheckpoint {
            log: log_number(self.log)?,
            size: count(self.size)?,
            note: self.note,
        })
    }
}

#[derive(FromRow)]
pub(super) struct NoticeRow {
    number: i64,
    log: i64,
    idx: i64,
    body: Vec<u8>,
}

impl NoticeRow {
    pub(super) fn notice(self) -> Result<Notice, StoreError> {
        Ok(Notice {
            number: count(self.number)?,
            at: leaf_index(self.log, self.idx)?,
            body: self.body,
        })
    }
}

pub(super) fn request((number, body): (i64, Vec<u8>)) -> Result<Request, StoreError> {
    Ok(Request {
        number: count(number)?,
        body,
    })
}

pub(super) fn payload(
    digest: &Digest,
    (salt, body): (Vec<u8>, Vec<u8>),
) -> Result<Payload, StoreError> {
    salt.try_into()
        .ok()
        .map(|salt| Payload { salt, body })
        .filter(|payload| payload.digest() == *digest)
        .ok_or_else(|| damaged(format!("the text under {digest} is another one")))
}

#[derive(FromRow)]
pub(super) struct RunKeyRow {
    uid: String,
    namespace: String,
    name: String,
}

impl RunKeyRow {
    #[cfg(test)]
    pub(super) fn of(key: &RunKey) -> Self {
        Self {
            uid: key.uid.clone(),
            namespace: key.namespace.clone(),
            name: key.name.clone(),
        }
    }

    pub(super) fn is(&self, run: &RunKey) -> bool {
        self.uid == run.uid
    }

    pub(super) fn key(self) -> RunKey {
        RunKey {
            uid: self.uid,
            namespace: self.namespace,
            name: self.name,
        }
    }
}

/// Something that another run has.
#[derive(FromRow)]
pub(super) struct TakenRow {
    key: String,
    #[sqlx(flatten)]
    by: RunKeyRow,
}

impl TakenRow {
    pub(super) fn claimed(self) -> Claimed {
        Claimed::Taken {
            key: self.key,
            by: self.by.key(),
        }
    }
}
