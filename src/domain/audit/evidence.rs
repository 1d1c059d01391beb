//! Floor 0: everything that proves one run, in one file that is checked with nothing but the log's keys: its records, each
//! with its way to a signed root; the plan and the Playbook by the digests that the records name; the Gates and Decisions by
//! their uids. It proves what is in it; that nothing else was recorded of the run is for the whole log to show. No I/O.

mod objects;
mod refused;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    checkpoint::Checkpoint, event::Event, hash::Hash, note::VerifierKey, record::Record,
    semantics::Semantics, tree,
};
use crate::domain::plan::RunRef;

pub use objects::{Shown, playbook_is};
pub use refused::NoEvidence;

/// The format that this version writes and reads.
pub const VERSION: u32 = 1;
/// A file is never larger.
pub const LARGEST: usize = 16 * 1024 * 1024;
/// What a file begins with.
pub const START: &str = "{\n  \"evidence\": ";

/// What is known of one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Evidence {
    /// The format.
    pub evidence: u32,
    /// The run.
    pub run: RunRef,
    /// The very bytes of the plan, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// The signed Playbook as an object, with its signatures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub playbook: Option<Value>,
    /// The Gates as objects.
    #[serde(default)]
    pub gates: Vec<Value>,
    /// The Decisions about those Gates as objects.
    #[serde(default)]
    pub decisions: Vec<Value>,
    /// The records, by the logs that they are in, oldest first.
    pub logs: Vec<LogPart>,
}

/// The records of one log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct LogPart {
    /// The signed note with the root that they are under.
    pub checkpoint: String,
    /// The records, oldest first.
    pub records: Vec<Proven>,
}

/// A record with its way to the root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Proven {
    /// The leaf, from 0.
    pub index: u64,
    /// Its very bytes, as text.
    pub record: String,
    /// From the leaf's sibling up to the root's child.
    pub path: Vec<String>,
}

/// What a file has proven.
#[derive(Debug)]
pub struct Sound {
    /// The logs that the records are in.
    pub logs: Vec<Checkpoint>,
    /// The records, oldest first.
    pub records: Vec<Record>,
    /// What the objects in it are.
    pub shown: Shown,
}

impl Evidence {
    /// The file's bytes; the same evidence gives the same.
    pub fn to_text(&self) -> Result<String, NoEvidence> {
        let text = serde_json::to_string_pretty(self).map_err(NoEvidence::Unreadable)?;
        if text.len() > LARGEST {
            return Err(NoEvidence::TooLarge(text.len()));
        }
        Ok(text + "\n")
    }

    /// Reads a file.
    pub fn parse(text: &str) -> Result<Self, NoEvidence> {
        #[derive(Deserialize)]
        struct Versioned {
            evidence: u32,
        }
        if text.len() > LARGEST {
            return Err(NoEvidence::TooLarge(text.len()));
        }
        let said: Versioned = serde_json::from_str(text).map_err(NoEvidence::Unreadable)?;
        if said.evidence != VERSION {
            return Err(NoEvidence::Version(said.evidence));
        }
        serde_json::from_str(text).map_err(NoEvidence::Unreadable)
    }

    /// Checks all of it with these keys.
    pub fn verify(&self, keys: &[VerifierKey]) -> Result<Sound, NoEvidence> {
        let mut semantics = Semantics::default();
        let mut sound = Sound {
            logs: Vec::new(),
            records: Vec::new(),
            shown: Shown::default(),
        };
        for part in &self.logs {
            let checkpoint =
                Checkpoint::open(&part.checkpoint, keys).map_err(NoEvidence::NotSigned)?;
            let origin = &checkpoint.origin;
            if sound.logs.iter().any(|log| log.origin == *origin) {
                return Err(NoEvidence::LogTwice(origin.clone()));
            }
            semantics.begin(origin);
            let mut last = None;
            for proven in &part.records {
                if last.is_some_and(|last| last >= proven.index) {
                    return Err(NoEvidence::Disordered(proven.index));
                }
                last = Some(proven.index);
                let record = proven.record(&checkpoint)?;
                semantics.record(proven.index, &record);
                sound.records.push(record);
            }
            sound.logs.push(checkpoint);
        }
        self.is_about_the_run(&sound.records)?;
        let missteps = semantics.finish().missteps;
        if !missteps.is_empty() {
            return Err(NoEvidence::Senseless(missteps));
        }
        sound.shown = objects::hold(self, &sound.records)?;
        Ok(sound)
    }

    /// Every record is about the run or a Gate that it began by, and there is the one that it was asked for.
    fn is_about_the_run(&self, records: &[Record]) -> Result<(), NoEvidence> {
        let of_run = |record: &&Record| self.is_of_run(record);
        let gates: Vec<_> = records
            .iter()
            .filter(of_run)
            .filter_map(|record| record.fact.gate.as_ref())
            .collect();
        let other = records.iter().find(|record| {
            let object = record.fact.object.as_ref();
            let of_gate = object.is_some_and(|object| gates.contains(&&object.uid));
            !self.is_of_run(record) && !of_gate
        });
        if let Some(other) = other {
            return Err(NoEvidence::AboutOthers(other.fact.id));
        }
        let mut of_run = records.iter().filter(of_run);
        if !of_run.any(|record| record.fact.code == Event::RunRequested) {
            return Err(NoEvidence::NotRequested);
        }
        Ok(())
    }

    fn is_of_run(&self, record: &Record) -> bool {
        let object = record.fact.object.as_ref();
        object.is_some_and(|object| object.uid.as_str() == self.run.uid)
    }
}

impl Proven {
    fn record(&self, checkpoint: &Checkpoint) -> Result<Record, NoEvidence> {
        let leaf = self.index;
        let path: Result<Vec<Hash>, _> = self.path.iter().map(|hash| hash.parse()).collect();
        let path = path.map_err(|source| NoEvidence::Hash { leaf, source })?;
        let hash = Hash::of_leaf(self.record.as_bytes());
        let (size, root) = (checkpoint.size, checkpoint.root);
        tree::verify_inclusion(hash, leaf, size, &path, root)
            .map_err(|source| NoEvidence::NotIncluded { leaf, source })?;
        Record::parse(self.record.as_bytes())
            .map_err(|source| NoEvidence::NoRecord { leaf, source })
    }
}

#[cfg(test)]
mod tests;
