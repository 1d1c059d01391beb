//! Floor 0: what can be wrong with a log, each in words of its own and with its place.

use std::fmt;

use crate::domain::audit::{
    checkpoint::CheckpointError,
    hash::Hash,
    record::{NoRecord, RecordId},
    tile::{Bundle, Tile, TileError, WIDTH},
};

/// Where a log is read from, to say where something stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Medium {
    /// Files below this path, for a log of this size.
    Files {
        /// Nothing, or a path with its last slash.
        below: String,
        /// Decides how wide the last files are.
        size: u64,
    },
    /// A log of a store.
    Store {
        /// Its number.
        log: u32,
    },
}

impl Medium {
    /// Where the entry of a leaf stands.
    pub fn entry(&self, leaf: u64) -> String {
        match self {
            Self::Files { below, size } => {
                let n = leaf / u64::from(WIDTH);
                let width = width(n, (*size).max(leaf + 1));
                format!("{below}{}", Bundle { n, width }.path())
            }
            Self::Store { log } => format!("log {log}"),
        }
    }

    /// Where the `n`-th hash of a level of the tree stands.
    pub fn hash(&self, level: u32, n: u64) -> String {
        match self {
            Self::Files { below, size } => {
                let files = n / u64::from(WIDTH);
                let tile = Tile {
                    level: u8::try_from(level / 8).unwrap_or(u8::MAX),
                    n: files,
                    width: width(files, size >> (level - level % 8)),
                };
                format!("{below}{}", tile.path())
            }
            Self::Store { log } => format!("log {log}, level {level}"),
        }
    }
}

/// How wide the `n`-th file is, of files that hold so many.
fn width(n: u64, count: u64) -> u16 {
    let rest = count.saturating_sub(n.saturating_mul(u64::from(WIDTH)));
    u16::try_from(rest).map_or(WIDTH, |rest| rest.clamp(1, WIDTH))
}

/// Who says which root a log has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Claimant {
    /// The log's newest checkpoint.
    Checkpoint,
    /// The first leaf of the log that follows.
    Follower(String),
    /// A checkpoint that was published earlier.
    Saved,
    /// A checkpoint that somebody kept.
    Kept(String),
    /// The anchor.
    Anchor(String),
    /// The backup's own list of what is in it.
    Manifest,
    /// The store's own account.
    Head,
}

impl Claimant {
    /// Whether a signature stands behind it, or the anchor.
    pub(super) fn is_reliable(&self) -> bool {
        match self {
            Self::Checkpoint
            | Self::Follower(_)
            | Self::Saved
            | Self::Kept(_)
            | Self::Anchor(_) => true,
            Self::Manifest | Self::Head => false,
        }
    }
}

impl fmt::Display for Claimant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Checkpoint => f.write_str("the checkpoint"),
            Self::Follower(origin) => write!(f, "the first leaf of {origin}"),
            Self::Saved => f.write_str("an earlier checkpoint"),
            Self::Kept(whose) => write!(f, "the kept checkpoint {whose}"),
            Self::Anchor(whose) => write!(f, "the anchor {whose}"),
            Self::Manifest => f.write_str("the backup's manifest"),
            Self::Head => f.write_str("the store's head"),
        }
    }
}

/// That a log of this size has this root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Who says so.
    pub by: Claimant,
    /// The leaves.
    pub size: u64,
    /// Their root.
    pub root: Hash,
}

/// Leaves that one hash is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaves {
    /// From this one,
    pub first: u64,
    /// to this one.
    pub last: u64,
}

impl Leaves {
    pub(super) fn under(level: u32, n: u64) -> Self {
        Self {
            first: n << level,
            last: (n << level) + ((1 << level) - 1),
        }
    }
}

impl fmt::Display for Leaves {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, last } = self;
        if first == last {
            write!(f, "leaf {first}")
        } else {
            write!(f, "leaves {first} to {last}")
        }
    }
}

/// Why a log is not what it claims to be.
#[derive(Debug, thiserror::Error)]
pub enum Finding {
    /// An entry is another one.
    #[error(
        "leaf {leaf} ({place}): the entry was altered: it does not have the hash that the tree has for it"
    )]
    EntryAltered {
        /// Which leaf.
        leaf: u64,
        /// Where it stands.
        place: String,
    },
    /// An entry is that of a later leaf.
    #[error("leaf {leaf} ({place}): the entry of leaf {other} stands here: leaves were swapped")]
    Swapped {
        /// Which leaf.
        leaf: u64,
        /// Where it stands.
        place: String,
        /// Whose entry is here.
        other: u64,
    },
    /// The leaves are right, a stored hash is not.
    #[error(
        "{leaves} ({place}): the hash was altered: the entries have the signed root, and this hash is not theirs"
    )]
    HashAltered {
        /// What it is over.
        leaves: Leaves,
        /// Where it stands.
        place: String,
    },
    /// Leaves and their hashes agree with each other and with nothing above.
    #[error(
        "{leaves} ({place}): entries were altered and their hashes with them: the hash above them is of others"
    )]
    AlteredTogether {
        /// Which leaves.
        leaves: Leaves,
        /// Where the hash stands.
        place: String,
    },
    /// Neither the entry nor its hash leads to a root that can be relied on.
    #[error(
        "leaf {leaf} ({place}): entry and hash contradict each other, and neither leads to a signed root"
    )]
    Contradiction {
        /// Which leaf.
        leaf: u64,
        /// Where it stands.
        place: String,
    },
    /// Leaves are missing at the end.
    #[error("leaf {leaf} ({place}): missing, and {by} covers {size} leaves: the log was truncated")]
    Truncated {
        /// The first that is missing.
        leaf: u64,
        /// Where it would stand.
        place: String,
        /// Who says so.
        by: Claimant,
        /// How many there should be.
        size: u64,
    },
    /// A file with hashes is not there.
    #[error("{leaves} ({place}): the file with the hashes is missing")]
    TileMissing {
        /// What it is over.
        leaves: Leaves,
        /// Where it would stand.
        place: String,
    },
    /// A file is too short, too long, or no such file.
    #[error("leaf {leaf} ({place}): the file was altered")]
    BadFile {
        /// The first leaf that it spoils.
        leaf: u64,
        /// Which file.
        place: String,
        /// How.
        #[source]
        source: TileError,
    },
    /// An entry is no record.
    #[error("leaf {leaf} ({place}): the entry is no record that an operator writes")]
    NoRecord {
        /// Which leaf.
        leaf: u64,
        /// Where it stands.
        place: String,
        /// Why not.
        #[source]
        source: NoRecord,
    },
    /// A record stands there twice.
    #[error("leaf {leaf} ({place}): the id {id} stands there twice, first as {earlier}")]
    DuplicateId {
        /// Which leaf.
        leaf: u64,
        /// Where it stands.
        place: String,
        /// The id.
        id: RecordId,
        /// Where it stands first.
        earlier: String,
    },
    /// The store finds the leaf by an id that is not the record's.
    #[error(
        "leaf {leaf} ({place}): the store finds it by the id {found}, and the record has the id {id}"
    )]
    OtherId {
        /// Which leaf.
        leaf: u64,
        /// Where it stands.
        place: String,
        /// By which it is found.
        found: RecordId,
        /// The record's.
        id: RecordId,
    },
    /// A text beside the log is another one.
    #[error(
        "leaf {leaf} ({place}): the text beside the log was altered: its salted hash is not the one in the leaf"
    )]
    TextAltered {
        /// Whose text.
        leaf: u64,
        /// Where the leaf stands.
        place: String,
    },
    /// The texts beside the log do not read.
    #[error("leaf {leaf} ({place}): the texts beside the log do not read: {what}")]
    TextUnreadable {
        /// The first leaf of their file.
        leaf: u64,
        /// Which file.
        place: String,
        /// What is wrong.
        what: String,
    },
    /// Somebody says another root.
    #[error("{}", claim_text(claim, root, *met))]
    Claim {
        /// Who says which.
        claim: Claim,
        /// The root that the leaves give.
        root: Hash,
        /// The largest size up to which all that is said is right.
        met: u64,
    },
    /// The store's head says fewer leaves than there are.
    #[error("log {log}: the head was altered: it says {size} leaves, and leaf {size} is there")]
    HeadLowered {
        /// Which log.
        log: u32,
        /// What it says.
        size: u64,
    },
    /// A checkpoint is not to be believed.
    #[error("{place}: the checkpoint is not signed by a given key of the log")]
    NotSigned {
        /// Where it is.
        place: String,
        /// Why.
        #[source]
        source: CheckpointError,
    },
    /// A checkpoint is of another log than the place where it lies.
    #[error("{place}: the checkpoint is of the log {found}, and this is {origin}")]
    OtherOrigin {
        /// Where it is.
        place: String,
        /// What it names.
        found: String,
        /// What it should name.
        origin: String,
    },
    /// A kept checkpoint is of a log that is not there.
    #[error("{by} is of the log {origin}, which is not there")]
    NoSuchLog {
        /// Which checkpoint.
        by: Claimant,
        /// What it names.
        origin: String,
    },
    /// A log does not name the one before it.
    #[error(
        "{origin} does not say in its first leaf that it follows {before} with {size} leaves and root {root}"
    )]
    NotLinked {
        /// The log that follows.
        origin: String,
        /// The one before it.
        before: String,
        /// Its leaves.
        size: u64,
        /// Their root.
        root: Hash,
    },
    /// The store contradicts itself.
    #[error("the store is damaged: {0}")]
    Damaged(String),
}

fn claim_text(claim: &Claim, root: &Hash, met: u64) -> String {
    let Claim {
        by,
        size,
        root: said,
    } = claim;
    let which = if met > 0 {
        format!("leaves {met} to {}", size.saturating_sub(1))
    } else {
        format!("its {size} leaves")
    };
    let what = match by {
        Claimant::Head => "the head was altered".to_owned(),
        Claimant::Manifest => "the manifest was altered".to_owned(),
        Claimant::Kept(_) | Claimant::Anchor(_) => {
            format!("the log was rewritten: {which} are not those of then")
        }
        Claimant::Checkpoint | Claimant::Saved | Claimant::Follower(_) => {
            format!("{which} were altered and all their hashes with them, or it is not of this log")
        }
    };
    format!("{by} says that {size} leaves have the root {said}, and they have {root}: {what}")
}
