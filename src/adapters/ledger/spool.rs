//! Floor 2: the spool of stops: a small file, synced with every entry, for what happened while the log could not be
//! written. Entries are chained and sealed with a key from the operator's Secret, so that nobody who gets at the file
//! can add, alter or reorder them.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use aws_lc_rs::hmac;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Draft;
use crate::domain::audit::record::Fact;

/// The spool never grows beyond this: it bridges an outage, it does not replace the log.
const LARGEST: u64 = 4 << 20;
const SEAL: usize = 32;
/// How long a stop waits for the spool.
const PATIENCE: Duration = Duration::from_secs(2);

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

/// What lies in the spool.
pub(super) struct Waiting {
    /// The stops up to the first entry that is not ours, in order.
    pub(super) stops: Vec<Late>,
    /// That entry, if there is one.
    pub(super) altered: Option<SpoolError>,
    /// How far this was read.
    mark: u64,
}

/// The file and its key.
pub(super) struct Spool {
    file: PathBuf,
    key: RwLock<Option<hmac::Key>>,
    /// One at a time: two entries at once would share a predecessor.
    turn: Mutex<()>,
}

impl Spool {
    pub(super) fn new(directory: &Path) -> Arc<Self> {
        Arc::new(Self {
            file: directory.join("stops.spool"),
            key: RwLock::default(),
            turn: Mutex::default(),
        })
    }

    /// From now on entries are sealed with this key.
    pub(super) fn unlock(&self, key: &[u8; 32]) {
        *self.key.write().unwrap_or_else(PoisonError::into_inner) =
            Some(hmac::Key::new(hmac::HMAC_SHA256, key));
    }

    /// Whether anything lies there; no promise, only a reason to look.
    pub(super) fn is_empty(&self) -> bool {
        self.size() == 0
    }

    /// How many bytes lie there, as far as can be seen.
    pub(super) fn size(&self) -> u64 {
        fs::metadata(&self.file).map_or(0, |file| file.len())
    }

    /// Keeps a stop, on the disk when this returns; returns how large the spool is now. It gives up waiting soon: the
    /// stop itself must not hang on a disk that does.
    pub(super) async fn keep(self: &Arc<Self>, late: Late) -> Result<u64, SpoolError> {
        let spool = Arc::clone(self);
        let kept = tokio::task::spawn_blocking(move || spool.append(late));
        match tokio::time::timeout(PATIENCE, kept).await {
            Ok(kept) => kept.map_err(|_| SpoolError::CutOff)?,
            Err(_) => Err(SpoolError::CutOff),
        }
    }

    /// What waits; nothing of an entry that a crash cut off, because its stop was never acknowledged.
    pub(super) async fn read(self: &Arc<Self>) -> Result<Waiting, SpoolError> {
        let spool = Arc::clone(self);
        let read = tokio::task::spawn_blocking(move || spool.entries());
        read.await.map_err(|_| SpoolError::CutOff)?
    }

    /// Everything that was read is in the log. False: more was kept meanwhile, and it has to be read again.
    pub(super) async fn clear(self: &Arc<Self>, waiting: &Waiting) -> Result<bool, SpoolError> {
        let (spool, mark) = (Arc::clone(self), waiting.mark);
        let cleared = tokio::task::spawn_blocking(move || spool.remove(mark));
        cleared.await.map_err(|_| SpoolError::CutOff)?
    }

    /// Keeps an altered spool for whoever looks into it, out of the way.
    pub(super) fn put_aside(&self, aside: &Path) -> Result<(), SpoolError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        fs::rename(&self.file, aside).map_err(self.failed("put aside"))
    }

    /// Where an altered spool is put.
    pub(super) fn aside(&self, now: Timestamp) -> PathBuf {
        self.file
            .with_extension(format!("altered-{}", now.as_second()))
    }

    fn key(&self) -> Result<hmac::Key, SpoolError> {
        let key = self.key.read().unwrap_or_else(PoisonError::into_inner);
        key.clone().ok_or(SpoolError::NoKey)
    }

    fn remove(&self, mark: u64) -> Result<bool, SpoolError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        if whole(&self.bytes()?) as u64 > mark {
            return Ok(false);
        }
        match fs::remove_file(&self.file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(self.failed("empty")(error))
            }
            _ => Ok(true),
        }
    }

    fn append(&self, late: Late) -> Result<u64, SpoolError> {
        let key = self.key()?;
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let line = Line {
            happened: late.happened,
            fact: late.draft.fact,
            details: late.draft.details,
            notice: late.draft.notice,
        };
        let body = serde_json::to_vec(&line).map_err(SpoolError::Serialize)?;
        let bytes = self.bytes()?;
        let whole = whole(&bytes);
        let before = entries(&bytes)
            .last()
            .map_or([0; SEAL].as_slice(), |entry| entry.seal);
        let entry = sealed(&key, before, &body);
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

    fn entries(&self) -> Result<Waiting, SpoolError> {
        let key = self.key()?;
        let bytes = self.bytes()?;
        let mut before: &[u8] = &[0; SEAL];
        let mut waiting = Waiting {
            stops: Vec::new(),
            altered: None,
            mark: whole(&bytes) as u64,
        };
        for (number, entry) in entries(&bytes).enumerate() {
            let tag = [before, &length(entry.body), entry.body].concat();
            let genuine = hmac::verify(&key, &tag, entry.seal).is_ok();
            let line = serde_json::from_slice::<Line>(entry.body);
            let (true, Ok(line)) = (genuine, line) else {
                waiting.altered = Some(SpoolError::Altered {
                    path: self.file.clone(),
                    entry: number + 1,
                });
                break;
            };
            before = entry.seal;
            waiting.stops.push(Late {
                happened: line.happened,
                draft: Draft {
                    fact: line.fact,
                    details: line.details,
                    notice: line.notice,
                },
            });
        }
        Ok(waiting)
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

/// How far the whole entries go.
fn whole(bytes: &[u8]) -> usize {
    entries(bytes).map(|entry| entry.end).last().unwrap_or(0)
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
