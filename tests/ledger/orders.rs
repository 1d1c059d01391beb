//! What parent and child say to each other: orders in the child's environment, reports on its standard output, one a line.

use std::path::PathBuf;

use jiff::Timestamp;
use neuralops::domain::audit::record::RecordId;
use serde::{Deserialize, Serialize};

use super::claims::Reached;

/// Holds the orders as JSON; without it the child is a test.
pub const VARIABLE: &str = "NEURALOPS_LEDGER_CHILD";
/// Tells a report from what the test runner prints.
const MARK: &str = "\u{1}";

/// What the child is to do, until its standard input ends.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Orders {
    /// How to reach the API server, as the operator.
    pub kubeconfig: PathBuf,
    /// The store's URL.
    pub store: String,
    /// Where the spool lies.
    pub directory: PathBuf,
    /// The replica's name, which no other child has.
    pub identity: String,
    /// Tasks that record one after another and wait until the record is durable.
    pub durable: usize,
    /// The same, until it is anchored.
    pub anchored: usize,
    /// Tasks that record stops.
    pub stops: usize,
    /// Tasks that claim and release for one run after another.
    pub claims: usize,
    /// Milliseconds between two records of one task; 0 is as fast as it can.
    pub pause: u64,
    /// How many records each task makes; without it there is no end.
    pub records: Option<u64>,
    /// Records that an earlier child may have recorded, to be recorded once more.
    pub again: Vec<String>,
}

/// What the child says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Report {
    /// The log takes records, or why not.
    State {
        /// In a word; empty while it takes them.
        reason: String,
        /// In a sentence.
        message: String,
    },
    /// A record was acknowledged.
    Acknowledged {
        name: String,
        log: u32,
        index: u64,
        anchored: bool,
    },
    /// A record was refused.
    Refused {
        name: String,
        reason: String,
        message: String,
        /// From the call to the answer.
        milliseconds: u64,
        /// By how much this process got its turn too late around that time, at most.
        late: u64,
    },
    /// A stop was recorded.
    Recorded { name: String, log: u32, index: u64 },
    /// A stop is in the spool.
    Spooled {
        name: String,
        /// When it happened.
        at: Timestamp,
    },
    /// A stop is nowhere.
    Unrecorded { name: String },
    /// How far a run has come.
    Run { uid: String, reached: Reached },
    /// The writing end has ended; empty if in good order.
    Ended { failure: String },
}

impl Report {
    /// As a line.
    pub fn to_line(&self) -> String {
        let json = serde_json::to_string(self).expect("a report is JSON");
        // The runner may have left its own line unfinished.
        format!("\n{MARK}{json}\n")
    }

    /// From a line, if it is a report; a line without its end is none.
    pub fn parse(line: &str) -> Option<Self> {
        let json = line.strip_suffix('\n')?.strip_prefix(MARK)?;
        Some(serde_json::from_str(json).expect("the child's own words"))
    }
}

/// The id under which a child records what has this name.
pub fn id(name: &str) -> RecordId {
    RecordId::of(&["ledger test", name])
}
