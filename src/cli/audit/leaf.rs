//! Floor 3: one record of a store, by its id or by its place, and how it is shown.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{AuditError, store::Opened};
use crate::{
    domain::audit::record::{NoRecordId, Record, RecordId},
    ports::{Leaf, LeafIndex, Log, LogNumber},
};

/// Which record.
#[derive(clap::Args, Debug)]
#[group(id = "which", required = true, multiple = true)]
pub struct WhichArgs {
    /// The record's id: 64 hex digits
    #[arg(long, value_parser = id, conflicts_with_all = ["index", "log"])]
    id: Option<RecordId>,
    /// The leaf's number, from 0
    #[arg(long, value_name = "N")]
    index: Option<u64>,
    /// Of which log, if not of the newest
    #[arg(long, value_name = "N", requires = "index")]
    log: Option<u32>,
}

fn id(text: &str) -> Result<RecordId, NoRecordId> {
    text.parse()
}

/// How it is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

impl WhichArgs {
    /// The leaf, and the log that it is in.
    pub async fn find(&self, opened: &Opened) -> Result<(Leaf, Log), AuditError> {
        let logs = opened.logs().await?;
        let (leaf, what) = match (self.id, self.index) {
            (Some(id), _) => {
                let leaf = opened.ask(|store| store.find(id)).await?;
                (leaf, format!("no record with the id {id}"))
            }
            (None, index) => {
                let index = index.unwrap_or_default();
                let newest = logs.last().map(|log| log.number);
                let log = self.log.map(LogNumber).or(newest).unwrap_or(LogNumber(0));
                let size = logs
                    .iter()
                    .find(|there| there.number == log)
                    .map_or(0, |log| log.size);
                let leaf = if index < size {
                    opened.ask(|store| store.leaves(log, index, 1)).await?.pop()
                } else {
                    None
                };
                (
                    leaf,
                    format!("no leaf {index} in log {}: it has {size}", log.0),
                )
            }
        };
        let found = leaf.and_then(|leaf| {
            let log = logs.into_iter().find(|log| log.number == leaf.at.log)?;
            Some((leaf, log))
        });
        found.ok_or_else(|| AuditError::NotThere(format!("the store {} has {what}", opened.name)))
    }
}

/// A leaf's record.
pub fn record(leaf: &Leaf) -> Result<Record, AuditError> {
    Record::parse(&leaf.body).map_err(|source| AuditError::Record {
        log: leaf.at.log.0,
        index: leaf.at.index,
        source,
    })
}

/// A leaf as a program reads it: its record is the leaf's very bytes.
#[derive(Serialize)]
pub struct Shown {
    log: u32,
    index: u64,
    record: Box<RawValue>,
}

impl Shown {
    /// This leaf.
    pub fn new(leaf: &Leaf) -> Result<Self, AuditError> {
        // What is no JSON is no record either.
        let text = String::from_utf8_lossy(&leaf.body).into_owned();
        let raw = RawValue::from_string(text).or_else(|_| {
            record(leaf)?;
            Err(AuditError::NotThere("the leaf is no JSON".to_owned()))
        })?;
        Ok(Self {
            log: leaf.at.log.0,
            index: leaf.at.index,
            record: raw,
        })
    }
}

/// A place as it is written: `LOG/INDEX`.
pub fn place(at: LeafIndex) -> String {
    format!("{}/{}", at.log.0, at.index)
}

/// A place as it is read.
pub fn parse_place(text: &str) -> Result<LeafIndex, String> {
    let parsed = text.split_once('/').and_then(|(log, index)| {
        Some(LeafIndex {
            log: LogNumber(log.parse().ok()?),
            index: index.parse().ok()?,
        })
    });
    parsed.ok_or_else(|| format!("{text:?} is no place in the logs; one looks like 1/42"))
}

/// A point in time as it is read.
pub fn parse_time(text: &str) -> Result<Timestamp, String> {
    text.parse()
        .map_err(|_| format!("{text:?} is no time; one looks like 2026-03-01T00:00:00Z"))
}

/// A text that others wrote, without what would steer a terminal.
pub fn harmless(text: &str) -> String {
    let shown = |c: char| c == '\n' || c == '\t' || !c.is_control();
    text.chars()
        .map(|c| {
            if shown(c) {
                c
            } else {
                char::REPLACEMENT_CHARACTER
            }
        })
        .collect()
}
