//! Floor 0: what a log says about itself: which it is, how many leaves it has, and its root; signed as a note
//! (C2SP tlog-checkpoint). Without the extension lines that the format allows: we write none, and what we do not
//! understand we do not sign, anchor or believe.

use super::{
    hash::Hash,
    note::{Note, NoteError, SigningKey, VerifierKey},
    tree,
};

/// The head of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log: the name of its key.
    pub origin: String,
    /// Its leaves.
    pub size: u64,
    /// Its root.
    pub root: Hash,
}

/// Why a checkpoint cannot be read, signed or believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// It is no note.
    #[error("the checkpoint cannot be read as a note")]
    ReadNote(#[source] NoteError),
    /// Its signatures do not vouch for it.
    #[error("the checkpoint's signature cannot be verified")]
    Verify(#[source] NoteError),
    /// It could not be signed.
    #[error("the checkpoint cannot be signed")]
    Sign(#[source] NoteError),
    /// It is not three lines.
    #[error("a checkpoint is three lines: origin, size and root")]
    Form,
    /// It has more.
    #[error("the checkpoint has extension lines")]
    Extension,
    /// It names no log.
    #[error("the checkpoint has no origin")]
    Origin,
    /// Its size is no number as it is written here, or no tree can be that large.
    #[error("the checkpoint's size is no number of leaves in plain decimal")]
    Size,
    /// Its root is no hash.
    #[error("the checkpoint's root is no hash")]
    Root,
    /// The key is that of another log.
    #[error("the checkpoint of {origin:?} is signed by {key:?}")]
    OtherLog {
        /// The log it is of.
        origin: String,
        /// The name of the key.
        key: String,
    },
}

impl Checkpoint {
    /// What is signed.
    pub fn to_text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, self.root)
    }

    /// Reads what [`Checkpoint::to_text`] writes, and nothing else.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let mut lines = text.splitn(4, '\n');
        let (Some(origin), Some(size), Some(root), Some(rest)) =
            (lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(CheckpointError::Form);
        };
        if !rest.is_empty() {
            return Err(CheckpointError::Extension);
        }
        if origin.is_empty() {
            return Err(CheckpointError::Origin);
        }
        Ok(Self {
            origin: origin.to_owned(),
            size: decimal(size)
                .filter(|size| *size <= tree::LARGEST)
                .ok_or(CheckpointError::Size)?,
            root: root.parse().map_err(|_| CheckpointError::Root)?,
        })
    }

    /// The note, signed by the log's own key.
    pub fn sign(&self, key: &SigningKey) -> Result<String, CheckpointError> {
        if key.name() != self.origin {
            return Err(self.of_other_log(key.name()));
        }
        // Only what reads back is signed.
        Self::parse(&self.to_text())?;
        Note::sign(&self.to_text(), &[key]).map_err(CheckpointError::Sign)
    }

    /// Reads a note and believes it, if a key of the log that it names signed it. All keys are known: a wrong signature by
    /// any of them spoils the note.
    pub fn open(note: &str, keys: &[VerifierKey]) -> Result<Self, CheckpointError> {
        let note = Note::parse(note).map_err(CheckpointError::ReadNote)?;
        let first = note.verify(keys).map_err(CheckpointError::Verify)?;
        let signers = note.signers(keys).map_err(CheckpointError::Verify)?;
        let checkpoint = Self::parse(&note.text)?;
        if signers.iter().any(|key| key.name() == checkpoint.origin) {
            Ok(checkpoint)
        } else {
            Err(checkpoint.of_other_log(first.name()))
        }
    }

    /// Reads a note and believes nothing of it: to be shown, with that said.
    pub fn read_unverified(note: &str) -> Result<Self, CheckpointError> {
        let note = Note::parse(note).map_err(CheckpointError::ReadNote)?;
        Self::parse(&note.text)
    }

    fn of_other_log(&self, key: &str) -> CheckpointError {
        CheckpointError::OtherLog {
            origin: self.origin.clone(),
            key: key.to_owned(),
        }
    }
}

/// A number as it is printed: no sign, no leading zero.
pub(super) fn decimal(text: &str) -> Option<u64> {
    text.parse()
        .ok()
        .filter(|number: &u64| number.to_string() == text)
}

#[cfg(test)]
mod tests;
