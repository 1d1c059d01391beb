//! Floor 2: reads a backup, one file after the other, each only where it belongs. Nothing of it is written anywhere, and
//! no more of it is held than one file.

use std::{
    collections::HashSet,
    fs::File,
    io::{self, BufReader, Read, Seek as _},
    path::{Path, PathBuf},
};

use flate2::bufread::GzDecoder;
use sha2::{Digest as _, Sha256};
use tar::{EntryType, Header};

use crate::{
    adapters::archive::{ArchiveError, KEYS, LARGEST_TEXT, MANIFEST, manifest::Manifest},
    domain::digest::Digest,
};

const BLOCK: usize = 512;

/// An archive is read no further than this, whatever it claims: a small one can expand to anything.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// Files in it.
    pub(super) files: usize,
    /// Bytes of all files together.
    pub(super) bytes: u64,
}

/// More than a hundred million leaves.
const LIMITS: Limits = Limits {
    files: 1_000_000,
    bytes: 1 << 40,
};

/// The header of the next file.
struct Next {
    name: String,
    size: u64,
}

/// A backup that is being read.
pub struct Reader {
    tar: GzDecoder<BufReader<Hashing>>,
    next: Option<Next>,
    seen: HashSet<String>,
    limits: Limits,
    bytes: u64,
    /// What is in it.
    pub manifest: Manifest,
    /// The keys that it names; they prove nothing.
    pub keys: Vec<u8>,
}

impl Reader {
    /// Of the archive at this path.
    pub fn open(path: &Path) -> Result<Self, ArchiveError> {
        let file = File::open(path).map_err(|source| ArchiveError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::begin(file, path, LIMITS)
    }

    /// The same, within other limits.
    #[cfg(test)]
    pub(super) fn open_within(path: &Path, limits: Limits) -> Result<Self, ArchiveError> {
        Self::begin(File::open(path).unwrap(), path, limits)
    }

    /// From the beginning again, of the very same file.
    pub fn again(self) -> Result<Self, ArchiveError> {
        let Self { tar, limits, .. } = self;
        let Hashing { mut file, path, .. } = tar.into_inner().into_inner();
        file.rewind().map_err(|source| ArchiveError::Read {
            path: path.clone(),
            source,
        })?;
        Self::begin(file, &path, limits)
    }

    fn begin(file: File, path: &Path, limits: Limits) -> Result<Self, ArchiveError> {
        let mut reader = Self {
            tar: GzDecoder::new(BufReader::new(Hashing {
                file,
                path: path.to_owned(),
                hasher: Sha256::new(),
            })),
            next: None,
            seen: HashSet::new(),
            limits,
            bytes: 0,
            manifest: Manifest::new(Vec::new()),
            keys: Vec::new(),
        };
        reader.advance()?;
        let manifest = reader.expect(MANIFEST, LARGEST_TEXT)?;
        reader.manifest = Manifest::parse(&manifest)?;
        reader.keys = reader.expect(KEYS, LARGEST_TEXT)?;
        Ok(reader)
    }

    /// The next file, which must be this one.
    pub fn expect(&mut self, name: &str, limit: u64) -> Result<Vec<u8>, ArchiveError> {
        match self.take(name, limit)? {
            Some(bytes) => Ok(bytes),
            None => Err(self.unexpected(name)),
        }
    }

    /// The next file, if it is this one.
    pub fn take(&mut self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, ArchiveError> {
        let Some(next) = self.next.take_if(|next| next.name == name) else {
            return Ok(None);
        };
        if next.size > limit {
            return Err(ArchiveError::TooLarge {
                name: next.name,
                limit,
            });
        }
        let mut bytes = Vec::new();
        let read = (&mut self.tar).take(next.size).read_to_end(&mut bytes);
        read.map_err(|source| self.broken(source))?;
        if bytes.len() as u64 != next.size {
            return Err(ArchiveError::Damaged(io::ErrorKind::UnexpectedEof.into()));
        }
        let padding = bytes.len().next_multiple_of(BLOCK) - bytes.len();
        let mut block = [0; BLOCK];
        let padding = block.get_mut(..padding).unwrap_or_default();
        let read = self.tar.read_exact(padding);
        read.map_err(|source| self.broken(source))?;
        self.advance()?;
        Ok(Some(bytes))
    }

    /// That nothing comes after the files that were read; the digest of the whole archive.
    pub fn end(&mut self) -> Result<Digest, ArchiveError> {
        if self.next.is_some() {
            return Err(self.unexpected("the end"));
        }
        let after = |what: &str| ArchiveError::Unexpected {
            found: what.to_owned(),
            expected: "the end".to_owned(),
        };
        // The second block of zeros, and then what fills the last record of a tar.
        let mut buffer = [0; BLOCK];
        loop {
            let read = self.tar.read(&mut buffer);
            let read = read.map_err(|source| self.broken(source))?;
            match buffer.get(..read).unwrap_or_default() {
                [] => break,
                rest if rest.iter().any(|byte| *byte != 0) => return Err(after("more data")),
                _ => {}
            }
        }
        let below = self.tar.get_mut();
        let trailing = below.read(&mut buffer).map_err(ArchiveError::Damaged)?;
        if trailing > 0 {
            return Err(after("data behind the gzip stream"));
        }
        let hash: [u8; 32] = below.get_ref().hasher.clone().finalize().into();
        Ok(Digest::from_hash(hash))
    }

    fn unexpected(&self, expected: &str) -> ArchiveError {
        ArchiveError::Unexpected {
            found: self
                .next
                .as_ref()
                .map_or_else(|| "the end".to_owned(), |next| next.name.clone()),
            expected: expected.to_owned(),
        }
    }

    /// Reads the next header.
    fn advance(&mut self) -> Result<(), ArchiveError> {
        let mut block = [0; BLOCK];
        let read = self.tar.read_exact(&mut block);
        read.map_err(|source| self.broken(source))?;
        if block.iter().all(|byte| *byte == 0) {
            self.next = None;
            return Ok(());
        }
        let next = parse(&block)?;
        if !self.seen.insert(next.name.clone()) {
            return Err(refused(&next.name, "stands there twice"));
        }
        self.bytes = self.bytes.saturating_add(next.size);
        if self.seen.len() > self.limits.files || self.bytes > self.limits.bytes {
            return Err(refused(&next.name, "is more than a backup can hold"));
        }
        self.next = Some(next);
        Ok(())
    }

    fn broken(&self, source: io::Error) -> ArchiveError {
        match source.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::InvalidData
            | io::ErrorKind::InvalidInput => ArchiveError::Damaged(source),
            _ => ArchiveError::Read {
                path: self.tar.get_ref().get_ref().path.clone(),
                source,
            },
        }
    }
}

fn refused(name: &str, what: &str) -> ArchiveError {
    ArchiveError::Refused {
        name: name.to_owned(),
        what: what.to_owned(),
    }
}

/// A header that names a plain file below here, in the plain form that the writer uses. Extensions of the format, which
/// could say another name or size, are kinds of their own and so refused.
fn parse(block: &[u8; BLOCK]) -> Result<Next, ArchiveError> {
    let header = Header::from_byte_slice(block);
    let name = String::from_utf8_lossy(&header.path_bytes()).into_owned();
    let what = match header.entry_type() {
        EntryType::Regular => None,
        EntryType::Symlink => Some("is a symbolic link"),
        EntryType::Link => Some("is a hard link"),
        EntryType::Directory => Some("is a folder"),
        EntryType::Char | EntryType::Block => Some("is a device"),
        EntryType::Fifo => Some("is a pipe"),
        _ => Some("is of a kind that no backup has"),
    };
    if header.as_ustar().is_none() {
        return Err(refused(&name, "has a header of another kind of tar"));
    }
    if let Some(what) = what {
        return Err(refused(&name, what));
    }
    if name.starts_with('/') {
        return Err(refused(&name, "is an absolute path"));
    }
    if name.split('/').any(|part| part == "..") {
        return Err(refused(&name, "leads out of the archive"));
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "./_-".contains(c);
    if name.is_empty() || !name.chars().all(plain) {
        return Err(refused(&name, "is no name of a file in a backup"));
    }
    let sum = block.iter().enumerate().map(|(at, byte)| match at {
        // The sum is taken with its own place blank.
        148..156 => u32::from(b' '),
        _ => u32::from(*byte),
    });
    if header.cksum().ok() != Some(sum.sum()) {
        return Err(refused(&name, "has a header with a wrong checksum"));
    }
    let size = header.entry_size();
    let size = size.map_err(|_| refused(&name, "has a header without a size"))?;
    Ok(Next { name, size })
}

/// A file that is hashed while it is read.
struct Hashing {
    file: File,
    path: PathBuf,
    hasher: Sha256,
}

impl Read for Hashing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.hasher.update(buffer.get(..read).unwrap_or_default());
        Ok(read)
    }
}
