//! Floor 3: what a log is held against besides itself: the keys that the caller trusts, the checkpoints that somebody kept,
//! and what one log says of the one before it.

use super::AuditError;
use crate::domain::audit::{
    checkpoint::Checkpoint,
    examine::{Claim, Claimant, Examined, Finding},
    hash::Hash,
    note::VerifierKey,
    semantics::Verdict,
};

/// What the caller knows already.
pub struct Trust {
    /// Keys of the logs.
    pub keys: Vec<VerifierKey>,
    /// What was once said of them.
    pub kept: Vec<Kept>,
}

/// That a log once stood so.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Who says so.
    pub by: Claimant,
    /// Of which log.
    pub origin: String,
    /// Its leaves.
    pub size: u64,
    /// Their root.
    pub root: Hash,
}

/// A log that is what it claims to be.
#[derive(Clone, Debug)]
pub struct SoundLog {
    /// Its origin.
    pub origin: String,
    /// What was found.
    pub examined: Examined,
    /// The size of its newest checkpoint, if a given key signed that.
    pub signed: Option<u64>,
}

/// Logs that are what they claim to be, oldest first.
#[derive(Debug, Default)]
pub struct Sound {
    /// The logs.
    pub logs: Vec<SoundLog>,
    /// What a reader should know besides.
    pub notes: Vec<String>,
    /// What the records of runs came to, if that was asked for.
    pub runs: Option<Verdict>,
}

/// A checkpoint beside a log.
pub struct Beside<'a> {
    /// Where it lies.
    pub place: &'a str,
    /// The note.
    pub note: &'a str,
    /// Of which log it should be.
    pub origin: &'a str,
}

impl Trust {
    /// With these keys alone.
    pub fn new(keys: Vec<VerifierKey>) -> Self {
        Self {
            keys,
            kept: Vec::new(),
        }
    }

    /// Whether there is a key of this log.
    pub fn knows(&self, origin: &str) -> bool {
        self.keys.iter().any(|key| key.name() == origin)
    }

    /// What a checkpoint beside a log says, if a key of that log signed it.
    pub fn open(&self, beside: &Beside) -> Result<Checkpoint, Finding> {
        let opened = Checkpoint::open(beside.note, &self.keys);
        let checkpoint = opened.map_err(|source| Finding::NotSigned {
            place: beside.place.to_owned(),
            source,
        })?;
        if checkpoint.origin != beside.origin {
            return Err(Finding::OtherOrigin {
                place: beside.place.to_owned(),
                found: checkpoint.origin,
                origin: beside.origin.to_owned(),
            });
        }
        Ok(checkpoint)
    }

    /// What was kept of this log.
    pub fn claims(&self, origin: &str) -> Vec<Claim> {
        let of_it = self.kept.iter().filter(|kept| kept.origin == origin);
        let claim = |kept: &Kept| Claim {
            by: kept.by.clone(),
            size: kept.size,
            root: kept.root,
        };
        of_it.map(claim).collect()
    }

    /// That what was kept is of logs that are there.
    pub fn are_there(&self, origins: &[&str]) -> Result<(), Finding> {
        let missing = self
            .kept
            .iter()
            .find(|kept| !origins.contains(&kept.origin.as_str()));
        match missing {
            Some(kept) => Err(Finding::NoSuchLog {
                by: kept.by.clone(),
                origin: kept.origin.clone(),
            }),
            None => Ok(()),
        }
    }
}

impl Sound {
    /// That each log says in its first leaf that it follows the one before it, as that stands.
    pub fn link(mut self, what: &str) -> Result<Self, AuditError> {
        let pairs = self.logs.iter().zip(self.logs.iter().skip(1));
        for (before, after) in pairs {
            let named = after.examined.follows.iter().rev();
            let mut named = named.filter(|named| named.origin.as_str() == before.origin);
            let (size, root) = (before.examined.size, before.examined.root);
            if !named
                .next()
                .is_some_and(|named| named.size == size && named.root.0 == root)
            {
                return Err(AuditError::refuted(what)(Finding::NotLinked {
                    origin: after.origin.clone(),
                    before: before.origin.clone(),
                    size,
                    root,
                }));
            }
            // The anchor is named first.
            if let Some(anchor) = named.find(|anchor| anchor.size > size) {
                self.notes.push(format!(
                    "{} was anchored with {} leaves and had {size} when {} followed it: {} were lost by then",
                    before.origin,
                    anchor.size,
                    after.origin,
                    anchor.size - size
                ));
            }
            if before.signed.is_none() {
                self.notes.push(format!(
                    "no key of {} was given: what holds for it is what {} says of it",
                    before.origin, after.origin
                ));
            }
        }
        if let Some(oldest) = self.logs.first()
            && let Some(before) = oldest.examined.follows.first()
        {
            self.notes.push(format!(
                "{} follows {} with {} leaves, which is not here",
                oldest.origin,
                before.origin.as_str(),
                before.size
            ));
        }
        Ok(self)
    }
}
