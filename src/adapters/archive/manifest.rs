//! Floor 2: what is in a backup: its logs, oldest first. It says which files follow; that it says so truly is verified
//! with the logs themselves.

use serde::{Deserialize, Serialize};

use super::{ArchiveError, MANIFEST, MOST_LOGS, below_previous};
use crate::domain::audit::record::Root;

/// The format of backups that this version writes and reads.
const FORMAT: u32 = 1;

/// What is in a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Manifest {
    format: u32,
    /// Oldest first; the last is the one that grows.
    pub logs: Vec<LogInBackup>,
}

/// One log of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct LogInBackup {
    /// Its origin.
    pub origin: String,
    /// The leaves of it that are in the backup.
    pub size: u64,
    /// Their root.
    pub root: Root,
}

impl Manifest {
    /// Of these logs.
    pub fn new(logs: Vec<LogInBackup>) -> Self {
        Self {
            format: FORMAT,
            logs,
        }
    }

    /// As it lies in the backup.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ArchiveError> {
        let mut bytes =
            serde_json::to_vec_pretty(self).map_err(|_| ArchiveError::Form(MANIFEST.into()))?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// From a backup.
    pub fn parse(bytes: &[u8]) -> Result<Self, ArchiveError> {
        let manifest: Self = serde_json::from_slice(bytes).map_err(ArchiveError::Manifest)?;
        let refused = |what: String| ArchiveError::Refused {
            name: MANIFEST.into(),
            what,
        };
        if manifest.format != FORMAT {
            let what = format!(
                "has format {}; this version reads {FORMAT}",
                manifest.format
            );
            return Err(refused(what));
        }
        if !(1..=MOST_LOGS).contains(&manifest.logs.len()) {
            let what = format!(
                "names {} logs; 1 to {MOST_LOGS} are allowed",
                manifest.logs.len()
            );
            return Err(refused(what));
        }
        Ok(manifest)
    }

    /// The logs, each with the path that its files lie below.
    pub fn placed(&self) -> Vec<(String, LogInBackup)> {
        let newest = self.logs.len();
        let below = |n: usize| {
            if n == newest {
                String::new()
            } else {
                below_previous(n)
            }
        };
        (1..).map(below).zip(self.logs.iter().cloned()).collect()
    }
}
