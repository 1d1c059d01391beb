//! Floor 2: a log outside its store, as files: an export that any reader of C2SP tlog-tiles takes, in a folder or behind an
//! HTTP server, and a backup, which is the same files and the texts beside them in one archive. What is read is bounded
//! and otherwise believed in nothing; whether it is a log is the domain's business.

pub mod backup;
pub mod folder;
pub mod manifest;
pub mod texts;
pub mod web;

use std::path::PathBuf;

use crate::domain::audit::{
    record,
    tile::{Bundle, Tile, WIDTH},
};

/// The newest signed checkpoint, beside the tiles.
pub const CHECKPOINT: &str = "checkpoint";
/// The keys that checkpoints are verified with, one a line. Whoever has nothing better to trust may read them here.
pub const KEYS: &str = "keys";
/// What is in a backup.
pub const MANIFEST: &str = "manifest.json";

/// A checkpoint, a manifest or a list of keys is never larger.
pub const LARGEST_TEXT: u64 = 64 * 1024;
/// The texts beside the leaves of one bundle are never larger, all together.
pub const LARGEST_TEXTS: u64 = 256 * 1024 * 1024;
/// Logs that one log has behind it, at most.
pub const MOST_LOGS: usize = 17;

/// Where the `n`-th log that was followed lies, counted from 1.
pub fn below_previous(n: usize) -> String {
    format!("previous/{n}/")
}

/// A bundle of this width is never larger.
pub fn largest_bundle(width: u16) -> u64 {
    u64::from(width) * (record::LARGEST as u64 + 2)
}

/// A tile of this width has so many bytes.
pub fn tile_bytes(width: u16) -> u64 {
    u64::from(width) * 32
}

/// Where the texts beside the leaves of a bundle lie in a backup.
pub fn texts_path(n: u64) -> String {
    let bundle = Bundle { n, width: WIDTH }.path();
    format!("{}.jsonl", bundle.replacen("tile/entries/", "payloads/", 1))
}

/// A file with hashes or entries as it was found. Where the partial file is gone, the full one stands for it.
#[derive(Debug, PartialEq, Eq)]
pub struct Found {
    /// All of its bytes.
    pub bytes: Vec<u8>,
    /// How many hashes or entries it should have.
    pub width: u16,
}

/// Files that could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// Not read.
    #[error("could not read {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Not written.
    #[error("could not write {}", path.display())]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Not fetched.
    #[error("could not fetch {url}")]
    Fetch {
        /// From where.
        url: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The server says something else than yes or not found.
    #[error("{url} answers {status}")]
    Status {
        /// From where.
        url: String,
        /// What it says.
        status: reqwest::StatusCode,
    },
    /// The text is no address.
    #[error("{0:?} is no http or https address")]
    Address(String),
    /// It is larger than anything that belongs there.
    #[error("{name} is larger than the {limit} bytes that belong there")]
    TooLarge {
        /// Which file.
        name: String,
        /// What is allowed.
        limit: u64,
    },
    /// The archive holds what no backup does.
    #[error("the archive was refused: {name:?} {what}")]
    Refused {
        /// Which entry.
        name: String,
        /// What is wrong with it.
        what: String,
    },
    /// The archive holds something else at this place.
    #[error("the archive was refused: {found} where {expected} belongs")]
    Unexpected {
        /// What is there.
        found: String,
        /// What should be.
        expected: String,
    },
    /// The archive does not read to its end.
    #[error("the archive is damaged")]
    Damaged(#[source] std::io::Error),
    /// The manifest does not read.
    #[error("the archive's {MANIFEST} does not read")]
    Manifest(#[source] serde_json::Error),
    /// What is to be written has no form.
    #[error("{0} cannot be written down")]
    Form(String),
}

impl ArchiveError {
    /// Whether it is about what the files hold, not about getting them.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::TooLarge { .. }
            | Self::Refused { .. }
            | Self::Unexpected { .. }
            | Self::Damaged(_)
            | Self::Manifest(_) => true,
            Self::Read { .. }
            | Self::Write { .. }
            | Self::Fetch { .. }
            | Self::Status { .. }
            | Self::Address(_)
            | Self::Form(_) => false,
        }
    }
}

/// The files of an export, wherever they are.
pub enum Files {
    /// In a folder.
    Folder(folder::Folder),
    /// Behind a server.
    Web(web::Web),
}

impl Files {
    /// A file's bytes, if it is there and not larger.
    pub async fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, ArchiveError> {
        match self {
            Self::Folder(folder) => folder.read(path, limit),
            Self::Web(web) => web.read(path, limit).await,
        }
    }

    /// A tile, if it is there.
    pub async fn tile(&self, below: &str, tile: Tile) -> Result<Option<Found>, ArchiveError> {
        let full = Tile {
            width: WIDTH,
            ..tile
        };
        let sizes = [tile, full].map(|tile| (tile.path(), tile_bytes(tile.width), tile.width));
        self.first_of(below, sizes).await
    }

    /// A bundle, if it is there.
    pub async fn bundle(&self, below: &str, bundle: Bundle) -> Result<Option<Found>, ArchiveError> {
        let full = Bundle {
            width: WIDTH,
            ..bundle
        };
        let sizes = [bundle, full].map(|one| (one.path(), largest_bundle(one.width), one.width));
        self.first_of(below, sizes).await
    }

    async fn first_of(
        &self,
        below: &str,
        choices: [(String, u64, u16); 2],
    ) -> Result<Option<Found>, ArchiveError> {
        let mut tried = None;
        for (path, limit, width) in choices {
            if tried == Some(width) {
                break;
            }
            if let Some(bytes) = self.read(&format!("{below}{path}"), limit).await? {
                return Ok(Some(Found { bytes, width }));
            }
            tried = Some(width);
        }
        Ok(None)
    }

    /// How many files are fetched at the same time.
    pub fn at_once(&self) -> usize {
        match self {
            Self::Folder(_) => 1,
            Self::Web(_) => 16,
        }
    }
}
