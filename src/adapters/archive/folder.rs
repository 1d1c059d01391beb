//! Floor 2: an export in a folder. A file is there whole or not at all, whatever ends the process: it is written under
//! another name, brought to the disk and then renamed.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{ErrorKind, Read as _, Write as _},
    path::{Path, PathBuf},
};

use super::ArchiveError;

/// A folder with a log in it.
pub struct Folder {
    root: PathBuf,
    /// Folders with names that may not be on the disk yet.
    unsettled: BTreeSet<PathBuf>,
}

impl Folder {
    /// At this path, which need not be there before something is written.
    pub fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            unsettled: BTreeSet::new(),
        }
    }

    /// A file's bytes, if it is there and not larger.
    pub fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, ArchiveError> {
        let path = self.root.join(path);
        let failed = |source| ArchiveError::Read {
            path: path.clone(),
            source,
        };
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(failed(error)),
        };
        let mut bytes = Vec::new();
        file.take(limit + 1)
            .read_to_end(&mut bytes)
            .map_err(failed)?;
        if bytes.len() as u64 > limit {
            return Err(ArchiveError::TooLarge {
                name: path.display().to_string(),
                limit,
            });
        }
        Ok(Some(bytes))
    }

    /// Whether there is a file with so many bytes.
    pub fn has(&self, path: &str, bytes: u64) -> bool {
        let found = fs::metadata(self.root.join(path));
        found.is_ok_and(|found| found.is_file() && found.len() == bytes)
    }

    /// Whether there is such a file.
    pub fn exists(&self, path: &str) -> bool {
        fs::metadata(self.root.join(path)).is_ok_and(|found| found.is_file())
    }

    /// Writes a file in the place of the one that may be there. Its name is on the disk after [`Folder::settle`].
    pub fn write(&mut self, path: &str, bytes: &[u8]) -> Result<(), ArchiveError> {
        let path = self.root.join(path);
        let failed = |source| ArchiveError::Write {
            path: path.clone(),
            source,
        };
        let folder = path.parent().unwrap_or(&self.root).to_owned();
        fs::create_dir_all(&folder).map_err(failed)?;
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".new");
        let temporary = folder.join(name);
        let mut file = File::create(&temporary).map_err(failed)?;
        file.write_all(bytes).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        fs::rename(&temporary, &path).map_err(failed)?;
        // New folders are names in the ones above them.
        for above in folder
            .ancestors()
            .take_while(|above| above.starts_with(&self.root))
        {
            self.unsettled.insert(above.to_owned());
        }
        Ok(())
    }

    /// Brings the names of everything that was written to the disk.
    pub fn settle(&mut self) -> Result<(), ArchiveError> {
        for path in std::mem::take(&mut self.unsettled) {
            let synced = File::open(&path).and_then(|folder| folder.sync_all());
            synced.map_err(|source| ArchiveError::Write { path, source })?;
        }
        Ok(())
    }

    /// Removes the partial files of what is there in full by now; readers take the full one.
    pub fn drop_partial(&self, full: &str) -> Result<(), ArchiveError> {
        let path = self.root.join(format!("{full}.p"));
        match fs::remove_dir_all(&path) {
            Err(source) if source.kind() != ErrorKind::NotFound => {
                Err(ArchiveError::Write { path, source })
            }
            _ => Ok(()),
        }
    }
}
