//! Floor 3: why an audit command failed, and the exit code that says which kind of failure it is.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use crate::{
    adapters::{archive::ArchiveError, random::NoRandomness, store::NoStoreUrl},
    domain::audit::{
        checkpoint::CheckpointError, evidence::NoEvidence, examine::Finding, note::KeyError,
        proof::TlogProofError, record::NoRecord, request::NoRequest, semantics::Misstep,
    },
    ports::StoreError,
};

/// It could not be carried out.
const NOT_DONE: u8 = 1;
/// It was asked for in a way that makes no sense; clap exits with the same.
const USAGE: u8 = 2;
/// The log is not what it claims to be.
const REFUTED: u8 = 3;
/// Findings about runs that are shown.
const SHOWN: usize = 50;

/// Why an audit command failed.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The log is not what it claims to be.
    #[error("{what} is not what it claims to be")]
    Refuted {
        /// Which source.
        what: String,
        /// What is wrong.
        #[source]
        finding: Box<Finding>,
    },
    /// The log is whole, and what it tells of runs makes no sense.
    #[error("what {what} tells of runs cannot have been so:\n{missteps}")]
    Senseless {
        /// Which source.
        what: String,
        /// What is wrong.
        missteps: Missteps,
    },
    /// The cluster's objects do not say what is on record.
    #[error("{count} objects do not say what is on record:\n{text}")]
    Differs {
        /// How many.
        count: usize,
        /// Which, as a table.
        text: String,
    },
    /// The evidence does not prove.
    #[error("{} proves nothing", path.display())]
    Evidence {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<NoEvidence>,
    },
    /// The proof does not prove.
    #[error("{} proves nothing", path.display())]
    Proof {
        /// The proof.
        path: PathBuf,
        /// Why.
        #[source]
        source: TlogProofError,
    },
    /// The file is larger than any proof, key or checkpoint.
    #[error("{} is larger than {limit} bytes: it is something else", path.display())]
    TooLarge {
        /// Which file.
        path: PathBuf,
        /// What is allowed.
        limit: u64,
    },
    /// A file is not read.
    #[error("could not read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file is not written.
    #[error("could not write {}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A text is no key.
    #[error(
        "{what} is no verifier key; one looks like name+1234abcd+AbCd… and stands in the AuditLog, spec.keys"
    )]
    Key {
        /// Where it stands.
        what: String,
        /// Why.
        #[source]
        source: KeyError,
    },
    /// A key cannot be made under this name.
    #[error("no key can be made for {origin:?}")]
    Keygen {
        /// The name.
        origin: String,
        /// Why.
        #[source]
        source: KeyError,
    },
    /// There are no random bytes.
    #[error("could not make a key")]
    Random(#[source] NoRandomness),
    /// A checkpoint that was given does not hold.
    #[error("the checkpoint in {what} cannot be used")]
    Checkpoint {
        /// Where it stands.
        what: String,
        /// Why.
        #[source]
        source: CheckpointError,
    },
    /// Files of a log.
    #[error("could not work on {what}")]
    Archive {
        /// Which.
        what: String,
        /// Why.
        #[source]
        source: ArchiveError,
    },
    /// The text names no store.
    #[error("{what} names no store")]
    StoreUrl {
        /// Where it was given; never the text, which may hold a password.
        what: &'static str,
        /// Why.
        #[source]
        source: NoStoreUrl,
    },
    /// The store does not do it.
    #[error("could not work on the store {store}")]
    Store {
        /// Which.
        store: String,
        /// Why.
        #[source]
        source: StoreError,
    },
    /// A record of the store does not read.
    #[error("leaf {log}/{index} of the store does not read; verify the store")]
    Record {
        /// Of which log.
        log: u32,
        /// Which leaf.
        index: u64,
        /// Why.
        #[source]
        source: NoRecord,
    },
    /// A request has no form.
    #[error("the request cannot be written down")]
    Request(#[source] NoRequest),
    /// The cluster does not answer, or does not let the caller see it.
    #[error("could not read {what} from the cluster")]
    Cluster {
        /// What was asked for.
        what: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What is asked for is not there, or not yet.
    #[error("{0}")]
    NotThere(String),
    /// The backup is not what the anchor says.
    #[error("{0}")]
    Behind(String),
    /// What was asked for makes no sense.
    #[error("{0}")]
    Usage(String),
}

/// What is wrong with the records of runs, one a line.
#[derive(Debug)]
pub struct Missteps(pub Vec<Misstep>);

impl fmt::Display for Missteps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = self.0.iter();
        if let Some(first) = lines.next() {
            write!(f, "  {first}")?;
        }
        for misstep in lines.by_ref().take(SHOWN - 1) {
            write!(f, "\n  {misstep}")?;
        }
        match lines.count() {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}

impl AuditError {
    /// What the process exits with.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Refuted { .. }
            | Self::Senseless { .. }
            | Self::Differs { .. }
            | Self::Evidence { .. }
            | Self::Proof { .. }
            | Self::Behind(_) => REFUTED,
            Self::Archive { source, .. } if source.is_refusal() => REFUTED,
            Self::Store {
                source: StoreError::Damaged(_),
                ..
            } => REFUTED,
            Self::Usage(_) | Self::Key { .. } | Self::StoreUrl { .. } => USAGE,
            Self::TooLarge { .. }
            | Self::Read { .. }
            | Self::Write { .. }
            | Self::Keygen { .. }
            | Self::Random(_)
            | Self::Checkpoint { .. }
            | Self::Archive { .. }
            | Self::Store { .. }
            | Self::Record { .. }
            | Self::Request(_)
            | Self::Cluster { .. }
            | Self::NotThere(_) => NOT_DONE,
        }
    }

    pub(super) fn evidence(path: &Path) -> impl Fn(NoEvidence) -> Self {
        |source| Self::Evidence {
            path: path.to_owned(),
            source: Box::new(source),
        }
    }

    pub(super) fn cluster<E>(what: &'static str) -> impl FnOnce(E) -> Self
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        move |source| Self::Cluster {
            what,
            source: Box::new(source),
        }
    }

    pub(super) fn archive<W: ToString>(what: W) -> impl FnOnce(ArchiveError) -> Self {
        let what = what.to_string();
        |source| Self::Archive { what, source }
    }

    pub(super) fn refuted<W: ToString>(what: W) -> impl FnOnce(Finding) -> Self {
        let what = what.to_string();
        |finding| Self::Refuted {
            what,
            finding: Box::new(finding),
        }
    }
}
