//! Floor 2: what can go wrong with a registry and with what lies in one. A fault of the registry may pass and is tried
//! again; a judgement about bytes stays. No message holds a credential or the query of an address.

use std::time::Duration;

use reqwest::StatusCode;

use super::CredentialsError;
use crate::domain::{
    digest::Digest,
    reason::Reason,
    trust::{Attempt, Refusal},
    verdict::ErrorClass,
};

/// A registry, or something in it, is not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum OciError {
    /// There is no HTTP client.
    #[error("could not set up the client for registries")]
    Client(#[source] reqwest::Error),
    /// The logins cannot be read.
    #[error("could not read the logins for registries")]
    Credentials(#[source] CredentialsError),
    /// No answer, or none in time.
    #[error("could not reach {url}")]
    Unreachable {
        /// Where.
        url: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// Each answer came in time, all of them together did not.
    #[error("{image} was not fetched within {} s", within.as_secs())]
    Slow {
        /// What.
        image: String,
        /// The time for all of it.
        within: Duration,
    },
    /// Too many registries are being asked.
    #[error("{image} was not asked for: {most} others are being waited for; it is tried again")]
    Crowded {
        /// What.
        image: String,
        /// How many are asked at the same time.
        most: usize,
    },
    /// The registry is not able to answer now.
    #[error("{url} answers {status}{code}")]
    Busy {
        /// Where.
        url: String,
        /// What it says.
        status: StatusCode,
        /// Its own word for it.
        code: String,
    },
    /// The registry does not want to.
    #[error("{url} answers {status}{code}: {hint}")]
    Denied {
        /// Where.
        url: String,
        /// What it says.
        status: StatusCode,
        /// Its own word for it.
        code: String,
        /// What was tried, and what to do.
        hint: String,
    },
    /// It is not there.
    #[error("{0} is not there, or the registry hides it from this account")]
    NotFound(String),
    /// An answer that no registry should give.
    #[error("{url}: {what}")]
    Answer {
        /// Where.
        url: String,
        /// What is wrong with it.
        what: String,
    },
    /// Other bytes, or another digest for them.
    #[error("{what} should have the digest {expected}, and has {actual}")]
    Mismatch {
        /// What.
        what: String,
        /// What was asked for, or what the bytes have.
        expected: Digest,
        /// What came, or what the registry says.
        actual: String,
    },
    /// Too large.
    #[error("the {piece} {what} is larger than the {limit} bytes that are allowed")]
    TooLarge {
        /// Which kind of thing.
        piece: Piece,
        /// Which one.
        what: String,
        /// The limit.
        limit: usize,
    },
    /// Something that is no Playbook, no signature, no manifest.
    #[error("{what} {problem}")]
    MediaType {
        /// Which one.
        what: String,
        /// What it is, and what would do.
        problem: String,
    },
    /// The archive does what no archive of a Playbook does.
    #[error("the archive {0}")]
    Archive(String),
    /// There is no Playbook in it, or not one alone.
    #[error("the artifact {0}")]
    Document(String),
}

/// What a limit is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A manifest, an index, a list of referrers.
    Manifest,
    /// A layer.
    Blob,
}

impl std::fmt::Display for Piece {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Manifest => "manifest",
            Self::Blob => "layer",
        })
    }
}

impl OciError {
    /// The word for it.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Client(_) => Reason::InternalError,
            Self::Unreachable { .. }
            | Self::Slow { .. }
            | Self::Crowded { .. }
            | Self::Busy { .. } => Reason::RegistryUnavailable,
            Self::Denied { .. } | Self::Credentials(_) => Reason::RegistryDenied,
            Self::NotFound(_) => Reason::ArtifactNotFound,
            Self::Answer { .. } => Reason::RegistryError,
            Self::Mismatch { .. } => Reason::ContentMismatch,
            Self::TooLarge { piece, .. } => match piece {
                Piece::Manifest => Reason::ManifestTooLarge,
                Piece::Blob => Reason::BlobTooLarge,
            },
            Self::MediaType { .. } => Reason::UnexpectedMediaType,
            Self::Archive(_) => Reason::UnsafeArchive,
            Self::Document(_) => Reason::NotOnePlaybook,
        }
    }

    /// Whether to try again.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Client(_) => ErrorClass::Bug,
            Self::Unreachable { .. }
            | Self::Slow { .. }
            | Self::Crowded { .. }
            | Self::Busy { .. }
            | Self::Denied { .. }
            | Self::Credentials(_)
            | Self::NotFound(_)
            | Self::Answer { .. }
            // The registry's fault: the bytes with that digest may well come another time.
            | Self::Mismatch { .. } => ErrorClass::Transient,
            Self::TooLarge { .. }
            | Self::MediaType { .. }
            | Self::Archive(_)
            | Self::Document(_) => ErrorClass::Permanent,
        }
    }

    /// What it says about one of several candidates; the registry's own faults are about all of them.
    pub(super) fn about_candidate(self, place: &str) -> Result<Attempt, Self> {
        match self {
            Self::NotFound(_)
            | Self::Mismatch { .. }
            | Self::TooLarge { .. }
            | Self::MediaType { .. } => {
                Ok(Attempt::new(self.reason(), self.to_string()).about(place))
            }
            fault => Err(fault),
        }
    }
}

impl From<OciError> for Refusal {
    fn from(error: OciError) -> Self {
        Self::new(error.reason(), error.to_string())
    }
}
