//! Floor 0: the files that a log is read from (C2SP tlog-tiles): hashes of the tree and entries, 256 to a file, the last
//! of a kind with fewer. Which files there are, what they are called and how they are filled; who stores them is not
//! known here.

use super::{
    checkpoint::decimal,
    hash::Hash,
    tree::{self, Position},
};

/// As many hashes or entries are in a full file.
pub const WIDTH: u16 = 256;
/// The levels of the tree from one tile up to the next.
const HEIGHT: u8 = 8;
/// The largest tree there can be has no higher tiles.
const LEVELS: u8 = 8;
/// The size of a hash.
const HASH: usize = 32;

/// Some of the tree's hashes that lie side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tile {
    /// Of leaves 0; each hash of the next level is over a full tile of this one.
    pub level: u8,
    /// Counted within the level, from 0.
    pub n: u64,
    /// How many hashes it has: 1 to 256.
    pub width: u16,
}

/// Some of the log's entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bundle {
    /// Counted from 0.
    pub n: u64,
    /// How many entries it has: 1 to 256.
    pub width: u16,
}

/// A file of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resource {
    /// The newest signed checkpoint.
    Checkpoint,
    /// Hashes.
    Tile(Tile),
    /// Entries.
    Bundle(Bundle),
}

/// Why bytes are not what a tile or bundle of this width holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TileError {
    /// They end inside an entry, or before the last.
    #[error("the bundle ends within or before entry {0}")]
    Short(u16),
    /// They go on after the last entry.
    #[error("the bundle has {0} bytes after its last entry")]
    Long(usize),
    /// They are not as many hashes.
    #[error("the tile has {bytes} bytes; {width} hashes have others")]
    Hashes {
        /// Bytes in it.
        bytes: usize,
        /// Hashes wanted.
        width: u16,
    },
}

impl Tile {
    /// Where it is read from, below the log's address.
    pub fn path(&self) -> String {
        format!("tile/{}/{}", self.level, number(self.n, self.width))
    }

    /// The positions of its hashes in the store, from left to right; none for a tile that no tree has.
    pub fn positions(&self) -> Vec<Position> {
        if !self.is_possible() {
            return Vec::new();
        }
        let level = u32::from(self.level * HEIGHT);
        let first = self.n << HEIGHT;
        (0..u64::from(self.width))
            .map(|at| tree::position(level, first + at))
            .collect()
    }

    fn is_possible(&self) -> bool {
        self.level < LEVELS && fits(self.n, self.width, tree::LARGEST >> (self.level * HEIGHT))
    }
}

impl Bundle {
    /// Where it is read from, below the log's address.
    pub fn path(&self) -> String {
        format!("tile/entries/{}", number(self.n, self.width))
    }

    /// The index of its first entry, unless no tree is that large.
    pub fn first(&self) -> Option<u64> {
        fits(self.n, self.width, tree::LARGEST).then_some(self.n << HEIGHT)
    }
}

/// Whether so many hashes or entries reach this file's end.
fn fits(n: u64, width: u16, there_are: u64) -> bool {
    let last = n
        .checked_mul(u64::from(WIDTH))
        .and_then(|first| first.checked_add(u64::from(width)));
    (1..=WIDTH).contains(&width) && last.is_some_and(|last| last <= there_are)
}

/// The number in groups of three digits, all but the last marked, so that no file's name is a folder's.
fn number(n: u64, width: u16) -> String {
    let mut text = format!("{:03}", n % 1000);
    let mut rest = n / 1000;
    while rest > 0 {
        text = format!("x{:03}/{text}", rest % 1000);
        rest /= 1000;
    }
    if width < WIDTH {
        text.push_str(&format!(".p/{width}"));
    }
    text
}

/// Which file has this path; nothing if it is not spelled as [`Tile::path`] and [`Bundle::path`] spell, or no log has it.
pub fn parse_path(path: &str) -> Option<Resource> {
    if path == "checkpoint" {
        return Some(Resource::Checkpoint);
    }
    let (level, rest) = path.strip_prefix("tile/")?.split_once('/')?;
    let (digits, width) = match rest.split_once(".p/") {
        Some((digits, width)) => (digits, width.parse().ok()?),
        None => (rest, WIDTH),
    };
    let n = digits.split('/').try_fold(0_u64, |n, group| {
        let group = group.trim_start_matches('x').parse().ok()?;
        n.checked_mul(1000)?.checked_add(group)
    })?;
    let (resource, spelled) = if level == "entries" {
        let bundle = Bundle { n, width };
        bundle.first()?;
        (Resource::Bundle(bundle), bundle.path())
    } else {
        let level = u8::try_from(decimal(level)?).ok()?;
        let tile = Tile { level, n, width };
        tile.is_possible().then_some(())?;
        (Resource::Tile(tile), tile.path())
    };
    // However loosely it was read: there is one spelling.
    (spelled == path).then_some(resource)
}

/// The files that hold so many: n and width of each.
fn files(count: u64) -> impl Iterator<Item = (u64, u16)> {
    let full = count / u64::from(WIDTH);
    let rest = u16::try_from(count % u64::from(WIDTH)).unwrap_or_default();
    (0..full)
        .map(|n| (n, WIDTH))
        .chain((rest > 0).then_some((full, rest)))
}

/// Every hash tile of a tree of this size, the last of a level as wide as it is.
pub fn tiles(size: u64) -> impl Iterator<Item = Tile> {
    (0..LEVELS).flat_map(move |level| {
        files(size >> (level * HEIGHT)).map(move |(n, width)| Tile { level, n, width })
    })
}

/// Every entry bundle of a log of this size, the last as wide as it is.
pub fn bundles(size: u64) -> impl Iterator<Item = Bundle> {
    files(size).map(|(n, width)| Bundle { n, width })
}

/// A bundle's bytes; nothing if there are none or too many for one, or one is too long for its length to be written.
pub fn encode_entries(entries: &[impl AsRef<[u8]>]) -> Option<Vec<u8>> {
    if entries.is_empty() || entries.len() > usize::from(WIDTH) {
        return None;
    }
    let mut bytes = Vec::new();
    for entry in entries {
        let entry = entry.as_ref();
        bytes.extend(u16::try_from(entry.len()).ok()?.to_be_bytes());
        bytes.extend(entry);
    }
    Some(bytes)
}

/// The entries of a bundle of this width.
pub fn decode_entries(bytes: &[u8], width: u16) -> Result<Vec<&[u8]>, TileError> {
    let mut entries = Vec::new();
    let mut rest = bytes;
    for at in 0..width {
        let (entry, after) = split_entry(rest).ok_or(TileError::Short(at))?;
        entries.push(entry);
        rest = after;
    }
    if rest.is_empty() {
        Ok(entries)
    } else {
        Err(TileError::Long(rest.len()))
    }
}

fn split_entry(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

/// A tile's bytes.
pub fn encode_hashes(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

/// The hashes of a tile of this width.
pub fn decode_hashes(bytes: &[u8], width: u16) -> Result<Vec<Hash>, TileError> {
    let refused = TileError::Hashes {
        bytes: bytes.len(),
        width,
    };
    let (hashes, rest) = bytes.as_chunks::<HASH>();
    if hashes.len() != usize::from(width) || !rest.is_empty() {
        return Err(refused);
    }
    Ok(hashes.iter().copied().map(Hash).collect())
}

#[cfg(test)]
mod tests;
