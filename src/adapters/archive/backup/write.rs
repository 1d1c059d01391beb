//! Floor 2: writes a backup. No names, no times and no owners of this machine get into it.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use flate2::{Compression, GzBuilder, write::GzEncoder};
use tar::{Builder, EntryType, Header};

use crate::adapters::archive::ArchiveError;

/// A backup that is being written.
pub struct Writer {
    path: PathBuf,
    tar: Builder<GzEncoder<BufWriter<File>>>,
}

impl Writer {
    /// At this path, where nothing may be yet.
    pub fn create(path: &Path) -> Result<Self, ArchiveError> {
        let file = File::create_new(path).map_err(|source| ArchiveError::Write {
            path: path.to_owned(),
            source,
        })?;
        let gzip = GzBuilder::new()
            .mtime(0)
            .write(BufWriter::new(file), Compression::default());
        Ok(Self {
            path: path.to_owned(),
            tar: Builder::new(gzip),
        })
    }

    /// Adds the next file.
    pub fn add(&mut self, name: &str, bytes: &[u8]) -> Result<(), ArchiveError> {
        let added =
            header(name, bytes.len() as u64).and_then(|header| self.tar.append(&header, bytes));
        added.map_err(|source| self.failed(source))
    }

    /// Ends it and brings it to the disk.
    pub fn finish(self) -> Result<(), ArchiveError> {
        let Self { path, tar } = self;
        finish(tar).map_err(|source| ArchiveError::Write { path, source })
    }

    fn failed(&self, source: io::Error) -> ArchiveError {
        ArchiveError::Write {
            path: self.path.clone(),
            source,
        }
    }
}

fn finish(tar: Builder<GzEncoder<BufWriter<File>>>) -> io::Result<()> {
    let mut buffered = tar.into_inner()?.finish()?;
    buffered.flush()?;
    buffered.get_ref().sync_all()
}

fn header(name: &str, size: u64) -> io::Result<Header> {
    let mut header = Header::new_ustar();
    header.set_path(name)?;
    header.set_entry_type(EntryType::Regular);
    header.set_size(size);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_cksum();
    Ok(header)
}
