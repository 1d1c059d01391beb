//! Floor 0: a proof to take away (C2SP tlog-proof): where a leaf is, the way from it to the root, and the signed
//! checkpoint with that root. Checked with nothing but the leaf and the log's key.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    checkpoint::{Checkpoint, CheckpointError, decimal},
    hash::Hash,
    note::VerifierKey,
    tree::{self, ProofError},
};

/// A proof is never larger.
pub const LARGEST: usize = 64 * 1024;
/// A proof never has more hashes: no tree is higher.
const MOST_HASHES: usize = 64;
const HEADER: &str = "c2sp.org/tlog-proof@v1";

/// Why a proof cannot be read, or does not prove it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlogProofError {
    /// It is too large.
    #[error("a proof has {0} bytes; {LARGEST} are allowed")]
    TooLarge(usize),
    /// It is something else.
    #[error("the first line is not {HEADER}")]
    Header,
    /// What was added to it does not read.
    #[error("the proof's extra line is no base64")]
    Extra,
    /// It does not say which leaf.
    #[error("the proof has no index line with a number in plain decimal")]
    Index,
    /// One of its hashes does not read.
    #[error("line {0} below the proof's index is no hash")]
    Hash(usize),
    /// It has more than a tree is high.
    #[error("a proof has more than {MOST_HASHES} hashes")]
    TooLong,
    /// It ends before its checkpoint.
    #[error("the proof has no blank line before its checkpoint")]
    Form,
    /// Its checkpoint does not read.
    #[error("the proof's checkpoint cannot be read")]
    ReadCheckpoint(#[source] CheckpointError),
    /// Its checkpoint is not to be believed.
    #[error("the proof's checkpoint cannot be verified")]
    VerifyCheckpoint(#[source] CheckpointError),
    /// The leaf is not where it says.
    #[error("the proof does not show that the leaf is in the log")]
    Inclusion(#[source] ProofError),
}

/// A proof as it is handed out. Its [`fmt::Display`] is the text again, byte by byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlogProof {
    /// Anything that goes with it; nobody signed it.
    pub extra: Option<Vec<u8>>,
    /// Where the leaf is, from 0.
    pub index: u64,
    /// From the leaf's sibling up to the root's child.
    pub hashes: Vec<Hash>,
    /// The signed note.
    pub checkpoint: String,
}

impl TlogProof {
    /// The checkpoint of the log that has the leaf, if one of these keys is that of the log.
    pub fn verify(&self, leaf: Hash, keys: &[VerifierKey]) -> Result<Checkpoint, TlogProofError> {
        let checkpoint =
            Checkpoint::open(&self.checkpoint, keys).map_err(TlogProofError::VerifyCheckpoint)?;
        let (size, root) = (checkpoint.size, checkpoint.root);
        tree::verify_inclusion(leaf, self.index, size, &self.hashes, root)
            .map_err(TlogProofError::Inclusion)?;
        Ok(checkpoint)
    }
}

impl FromStr for TlogProof {
    type Err = TlogProofError;

    fn from_str(text: &str) -> Result<Self, TlogProofError> {
        if text.len() > LARGEST {
            return Err(TlogProofError::TooLarge(text.len()));
        }
        let (header, mut rest) = text.split_once('\n').ok_or(TlogProofError::Header)?;
        if header != HEADER {
            return Err(TlogProofError::Header);
        }
        let mut extra = None;
        if let Some(after) = rest.strip_prefix("extra ") {
            let (data, after) = after.split_once('\n').ok_or(TlogProofError::Extra)?;
            extra = Some(STANDARD.decode(data).map_err(|_| TlogProofError::Extra)?);
            rest = after;
        }
        let (index, mut rest) = rest
            .strip_prefix("index ")
            .and_then(|after| after.split_once('\n'))
            .and_then(|(index, after)| Some((decimal(index)?, after)))
            .ok_or(TlogProofError::Index)?;
        let mut hashes = Vec::new();
        let checkpoint = loop {
            let (line, after) = rest.split_once('\n').ok_or(TlogProofError::Form)?;
            if line.is_empty() {
                break after;
            }
            if hashes.len() == MOST_HASHES {
                return Err(TlogProofError::TooLong);
            }
            let hash = line.parse();
            hashes.push(hash.map_err(|_| TlogProofError::Hash(hashes.len() + 1))?);
            rest = after;
        };
        Checkpoint::read_unverified(checkpoint).map_err(TlogProofError::ReadCheckpoint)?;
        Ok(Self {
            extra,
            index,
            hashes,
            checkpoint: checkpoint.to_owned(),
        })
    }
}

impl fmt::Display for TlogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", STANDARD.encode(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        self.hashes
            .iter()
            .try_for_each(|hash| writeln!(f, "{hash}"))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

#[cfg(test)]
mod tests;
