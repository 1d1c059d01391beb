//! What the children were told, taken together: a promise for each record. Two promises about one record are one promise.

use std::collections::HashMap;

use jiff::Timestamp;
use neuralops::domain::audit::record::RecordId;

use super::{
    claims::Reached,
    orders::{Report, id},
};

/// A place in the store.
pub type At = (u32, u64);

/// All promises.
#[derive(Default)]
pub struct Diary {
    /// Where each acknowledged record stands.
    pub acknowledged: HashMap<RecordId, At>,
    /// The names of those that one task was told last, of the child that ended last: what it tried next is in doubt.
    pub last: Vec<String>,
    /// Of each log, how many leaves have to be anchored at least.
    pub anchored: HashMap<u32, u64>,
    /// Stops that come into the log late, and when they happened.
    pub spooled: Vec<(String, Timestamp)>,
    /// Stops that were recorded at once.
    pub recorded: u64,
    /// Stops that nobody has recorded.
    pub unrecorded: Vec<String>,
    /// How far each run has come that claims.
    pub runs: HashMap<String, Reached>,
    /// Refusals of forward steps: reason, sentence, how long it took, by how much the child was late.
    pub refused: Vec<(String, String, u64, u64)>,
}

impl Diary {
    pub fn take(&mut self, reports: Vec<Report>) {
        self.last.clear();
        let mut last: HashMap<String, u64> = HashMap::new();
        for report in reports {
            match report {
                Report::Acknowledged {
                    name,
                    log,
                    index,
                    anchored,
                } => {
                    self.promised(&name, (log, index));
                    if anchored {
                        let size = self.anchored.entry(log).or_default();
                        *size = (*size).max(index + 1);
                    }
                    if let Some((task, number)) = name.rsplit_once('/') {
                        let number: u64 = number.parse().expect("a number");
                        let newest = last.entry(task.to_owned()).or_default();
                        *newest = number.max(*newest);
                    }
                }
                Report::Recorded { name, log, index } => {
                    self.promised(&name, (log, index));
                    self.recorded += 1;
                }
                Report::Refused {
                    reason,
                    message,
                    milliseconds,
                    late,
                    ..
                } => self.refused.push((reason, message, milliseconds, late)),
                Report::Spooled { name, at } => self.spooled.push((name, at)),
                Report::Unrecorded { name } => self.unrecorded.push(name),
                Report::Run { uid, reached } => drop(self.runs.insert(uid, reached)),
                Report::State { .. } | Report::Ended { .. } => {}
            }
        }
        self.last = last
            .into_iter()
            .map(|(task, number)| format!("{task}/{}", number + 1))
            .collect();
    }

    fn promised(&mut self, name: &str, at: At) {
        let before = self.acknowledged.insert(id(name), at);
        assert!(
            before.is_none_or(|before| before == at),
            "{name} was acknowledged at {before:?} and at {at:?}"
        );
    }
}
