//! Floor 0: what another process asks of the one that writes the log, through the store. Whoever may write to the
//! store may ask; nobody authenticated them, and the record says so.

use serde::{Deserialize, Serialize};

use super::record::Root;
use crate::domain::digest::Digest;

/// Something that is asked of the leader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "ask",
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum Request {
    /// Record that a backup was written and verified.
    BackupVerified {
        /// The archive's own digest.
        archive: Digest,
        /// The leaves in it.
        size: u64,
        /// Their root.
        root: Root,
    },
    /// Record that the log was put back from a backup.
    BackupRestored {
        /// The archive's own digest.
        archive: Digest,
        /// The leaves in it.
        size: u64,
        /// Their root.
        root: Root,
    },
    /// Begin a log with a new origin and a new key that follows the present one.
    Follow {
        /// Why, in the asker's words.
        why: String,
    },
}

/// Bytes that ask nothing that this version knows.
#[derive(Debug, thiserror::Error)]
#[error("the request is of another version, or none of ours")]
pub struct NoRequest(#[source] pub serde_json::Error);

impl Request {
    /// As it lies in the store.
    pub fn to_bytes(&self) -> Result<Vec<u8>, NoRequest> {
        serde_json::to_vec(self).map_err(NoRequest)
    }

    /// From the store.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoRequest> {
        serde_json::from_slice(bytes).map_err(NoRequest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::audit::hash::Hash;

    #[test]
    fn a_request_reads_back_and_an_unknown_one_does_not() {
        let requests = [
            Request::Follow {
                why: "the disk was lost".into(),
            },
            Request::BackupVerified {
                archive: Digest::of(b"x"),
                size: 7,
                root: Root(Hash::of_nothing()),
            },
        ];
        for request in requests {
            assert_eq!(
                Request::parse(&request.to_bytes().unwrap()).unwrap(),
                request
            );
        }
        assert!(Request::parse(br#"{"ask":"forget"}"#).is_err());
        assert!(Request::parse(br#"{"ask":"follow","why":"","more":1}"#).is_err());
    }
}
