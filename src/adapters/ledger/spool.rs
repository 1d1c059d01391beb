//! Floor 2: the spool of stops: a small file, synced with every entry, for what happened while the log could not be
//! written. Entries are chained and sealed with a key from the operator's Secret, so that nobody who gets at the file
//! can add, alter or reorder them.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use aws_lc_rs::hmac;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Draft;
use crate::domain::audit::record::Fact;

/// The spool never grows beyond this: it bridges an outage, it does not replace the log.
const LARGEST: u64 = 4 << 20;
const SEAL: usize = 32;

/// The spool did not do it.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The key is in the Secret, which was not read yet.
    #[error("the spool has no key yet")]
    NoKey,
    /// It is full.
    #[error("the spool {} is full: {LARGEST} bytes", path.display())]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// The disk failed.
    #[error("could not {doing} the spool {}", path.display())]
    Disk {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// An entry does not serialize; a defect of ours.
    #[error("could not put a stop into JSON")]
    Serialize(#[source] serde_json::Error),
    /// The task that wrote it was cut off.
    #[error("the write to the spool was cut off")]
    CutOff,
    /// Its seals do not hold.
    #[error("entry {entry} of the spool {} is not what the operator wrote", path.display())]
    Altered {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        entry: usize,
    },
}

/// A stop that waits for the log.
pub(super) struct Late {
    pub(super) happened: Timestamp,
    pub(super) draft: Draft,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Line {
    happened: Timestamp,
    fact: Fact,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    details: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    notice: Option<Vec<u8>>,
}

/// The file and its key.
pub(super) struct Spool {
    file: PathBuf,
    key: Mutex<Option<hmac::Key>>,
}

impl Spool {
    pub(super) fn new(directory: &Path) -> Arc<Self> {
        Arc::new(Self {
            file: directory.join("stops.spool"),
            key: Mutex::new(None),
        })
    }

    /// From now on entries are sealed with this key.
    pub(super) fn unlock(&self, key: &[u8; 32]) {
        *self.key.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(hmac::Key::new(hmac::HMAC_SHA256, key));
    }

    /// Keeps a stop, on the disk when this returns; returns how large the spool is now.
    pub(super) async fn keep(self: &Arc<Self>, late: Late) -> Result<u64, SpoolError> {
        let spool = Arc::clone(self);
        // Syncing blocks, and the disk may be the very thing that is in trouble.
        let kept = tokio::task::spawn_blocking(move || spool.append(late));
        kept.await.map_err(|_| SpoolError::CutOff)?
    }

    /// What waits, in order; nothing of an entry that a crash cut off, because its stop was never acknowledged.
    pub(super) async fn read(self: &Arc<Self>) -> Result<Vec<Late>, SpoolError> {
        let spool = Arc::clone(self);
        let read = tokio::task::spawn_blocking(move || spool.entries());
        read.await.map_err(|_| SpoolError::CutOff)?
    }

    /// As many entries as were read are in the log: empties the spool. Not if there are more by now, which would go with
    /// them; whether it is empty.
    pub(super) fn clear(&self, read: usize) -> Result<bool, SpoolError> {
        // Held throughout: nothing is added between the look and the removal.
        let _held = self.key.lock().unwrap_or_else(PoisonError::into_inner);
        if entries(&self.bytes()?).count() > read {
            return Ok(false);
        }
        match fs::remove_file(&self.file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(self.failed("empty")(error))
            }
            _ => Ok(true),
        }
    }

    /// Keeps an altered spool for whoever looks into it, out of the way.
    pub(super) fn put_aside(&self, now: Timestamp) -> Result<PathBuf, SpoolError> {
        let aside = self
            .file
            .with_extension(format!("altered-{}", now.as_second()));
        fs::rename(&self.file, &aside).map_err(self.failed("put aside"))?;
        Ok(aside)
    }

    fn append(&self, late: Late) -> Result<u64, SpoolError> {
        // Held throughout: two entries at once would share a predecessor.
        let key = self.key.lock().unwrap_or_else(PoisonError::into_inner);
        let key = key.as_ref().ok_or(SpoolError::NoKey)?;
        let line = Line {
            happened: late.happened,
            fact: late.draft.fact,
            details: late.draft.details,
            notice: late.draft.notice,
        };
        let body = serde_json::to_vec(&line).map_err(SpoolError::Serialize)?;
        let bytes = self.bytes()?;
        let whole = entries(&bytes).map(|entry| entry.end).last().unwrap_or(0);
        let before = entries(&bytes)
            .last()
            .map_or([0; SEAL].as_slice(), |entry| entry.seal);
        let entry = sealed(key, before, &body);
        let size = (whole + entry.len()) as u64;
        if size > LARGEST {
            return Err(SpoolError::Full {
                path: self.file.clone(),
            });
        }
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&self.file)
            .map_err(self.failed("open"))?;
        // What a crash left of an entry is overwritten.
        file.set_len(whole as u64).map_err(self.failed("mend"))?;
        io::Seek::seek(&mut file, io::SeekFrom::End(0)).map_err(self.failed("mend"))?;
        file.write_all(&entry).map_err(self.failed("write"))?;
        file.sync_all().map_err(self.failed("sync"))?;
        if let Some(directory) = self.file.parent() {
            let synced = File::open(directory).and_then(|directory| directory.sync_all());
            synced.map_err(self.failed("sync"))?;
        }
        Ok(size)
    }

    fn entries(&self) -> Result<Vec<Late>, SpoolError> {
        let key = self.key.lock().unwrap_or_else(PoisonError::into_inner);
        let key = key.as_ref().ok_or(SpoolError::NoKey)?;
        let bytes = self.bytes()?;
        let mut before: &[u8] = &[0; SEAL];
        let mut found = Vec::new();
        for (number, entry) in entries(&bytes).enumerate() {
            let altered = || SpoolError::Altered {
                path: self.file.clone(),
                entry: number + 1,
            };
            let tag = [before, &length(entry.body), entry.body].concat();
            hmac::verify(key, &tag, entry.seal).map_err(|_| altered())?;
            let line: Line = serde_json::from_slice(entry.body).map_err(|_| altered())?;
            before = entry.seal;
            found.push(Late {
                happened: line.happened,
                draft: Draft {
                    fact: line.fact,
                    details: line.details,
                    notice: line.notice,
                },
            });
        }
        Ok(found)
    }

    fn bytes(&self) -> Result<Vec<u8>, SpoolError> {
        match fs::read(&self.file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            other => other.map_err(self.failed("read")),
        }
    }

    fn failed(&self, doing: &'static str) -> impl Fn(io::Error) -> SpoolError {
        let path = self.file.clone();
        move |source| SpoolError::Disk {
            doing,
            path: path.clone(),
            source,
        }
    }
}

fn length(body: &[u8]) -> [u8; 4] {
    // Bounded by the size of the spool.
    u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes()
}

fn sealed(key: &hmac::Key, before: &[u8], body: &[u8]) -> Vec<u8> {
    let entry = [length(body).as_slice(), body].concat();
    let seal = hmac::sign(key, &[before, &entry].concat());
    [&entry, seal.as_ref()].concat()
}

struct RawEntry<'a> {
    body: &'a [u8],
    seal: &'a [u8],
    end: usize,
}

/// The whole entries; what is cut off at the end is left out.
fn entries(bytes: &[u8]) -> impl Iterator<Item = RawEntry<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = bytes.get(at..)?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let body = rest.get(..length)?;
        let seal = rest.get(length..length + SEAL)?;
        at += 4 + length + SEAL;
        Some(RawEntry {
            body,
            seal,
            end: at,
        })
    })
}

#[cfg(test)]
mod tests;
