//! Floor 2: artifacts that were fetched, in a folder for each digest, so that the second verification needs no registry.
//! Nothing in there is believed: every read is held against the digest, and what does not fit is as good as not there.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
    time::SystemTime,
};

use serde::{Deserialize, Serialize};

use super::{
    LARGEST_LAYER, LARGEST_MANIFEST, LARGEST_SIGNATURE, MOST_SIGNATURES, fetched::Fetched,
};
use crate::{
    adapters::random,
    domain::{
        digest::Digest,
        trust::{FoundSignature, Image, Signatures},
    },
};

const MANIFEST: &str = "manifest";
const LAYER: &str = "layer";
const SIGNATURES: &str = "signatures";
/// How the name of a folder begins that is being written.
const UNFINISHED: &str = "new-";
/// How many artifacts are kept: each has a few megabytes at most, and most have a few kilobytes.
const MOST_KEPT: usize = 256;
/// What a text may become longer by when it is written as JSON.
const ESCAPED: usize = 6;

/// An artifact cannot be kept.
#[derive(Debug, thiserror::Error)]
#[error("could not keep artifact {digest} in {}", folder.display())]
pub struct CacheError {
    digest: Digest,
    folder: PathBuf,
    #[source]
    source: io::Error,
}

/// What was found beside an artifact, with a digest of its own: a damaged file is not an artifact without signatures.
#[derive(Serialize, Deserialize)]
struct Kept {
    found: Vec<FoundSignature>,
    seen: Vec<String>,
    legacy: bool,
}

/// A folder of artifacts.
#[derive(Clone, Debug)]
pub struct ArtifactCache(PathBuf);

impl ArtifactCache {
    /// Below this folder of ours, in `artifacts`.
    pub fn new(data: &Path) -> Self {
        Self(data.join("artifacts"))
    }

    /// By name and digest: what somebody else's registry says about the same bytes is not what this one says.
    fn folder(&self, image: &Image) -> PathBuf {
        let name = Digest::of(image.to_string().as_bytes());
        self.0.join(name.as_str().replace(':', "-"))
    }

    /// The artifact, if it is here and whole.
    pub fn load(&self, image: &Image) -> Option<Fetched> {
        let folder = self.folder(image);
        let file = |name: &str, limit: usize| read(&folder.join(name), limit);
        let manifest = file(MANIFEST, LARGEST_MANIFEST)?;
        let layer = file(LAYER, LARGEST_LAYER)?;
        let kept = file(
            SIGNATURES,
            2 * MOST_SIGNATURES * LARGEST_SIGNATURE * ESCAPED,
        )?;
        let (claimed, text) = kept.split_at_checked(Digest::of(b"").as_str().len())?;
        if claimed != Digest::of(text).as_str().as_bytes() {
            return None;
        }
        let kept: Kept = serde_json::from_slice(text).ok()?;
        let signatures = Signatures {
            found: kept.found,
            attempts: Vec::new(),
            seen: kept.seen,
        };
        Fetched::new(
            image.digest.clone(),
            manifest,
            layer,
            signatures,
            kept.legacy,
        )
        .ok()
    }

    /// Keeps an artifact that was found good; an older copy of it is replaced, and the oldest others make room.
    pub fn store(&self, image: &Image, fetched: &Fetched) -> Result<(), CacheError> {
        let folder = self.folder(image);
        let kept = self.put(fetched, &folder).and_then(|()| self.make_room());
        kept.map_err(|source| CacheError {
            digest: image.digest.clone(),
            folder,
            source,
        })
    }

    /// What was never finished goes; whoever wrote it has ended.
    pub fn sweep(&self) -> io::Result<()> {
        for (folder, _) in self.folders()? {
            let name = folder.file_name().unwrap_or_default();
            if name.to_string_lossy().starts_with(UNFINISHED) {
                gone(fs::remove_dir_all(folder))?;
            }
        }
        Ok(())
    }

    /// The store of the transparency log may lie on the same disk.
    fn make_room(&self) -> io::Result<()> {
        let mut folders = self.folders()?;
        folders.sort_by_key(|(_, written)| *written);
        let most = folders.len().saturating_sub(MOST_KEPT);
        for (folder, _) in folders.into_iter().take(most) {
            gone(fs::remove_dir_all(folder))?;
        }
        Ok(())
    }

    fn folders(&self) -> io::Result<Vec<(PathBuf, SystemTime)>> {
        let listed = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            listed => listed?,
        };
        let mut folders = Vec::new();
        for entry in listed {
            let entry = entry?;
            folders.push((entry.path(), entry.metadata()?.modified()?));
        }
        Ok(folders)
    }

    fn put(&self, fetched: &Fetched, folder: &Path) -> io::Result<()> {
        let kept = Kept {
            found: fetched.signatures().found.clone(),
            seen: fetched.signatures().seen.clone(),
            legacy: fetched.has_legacy(),
        };
        let text = serde_json::to_string(&kept)?;
        let text = format!("{}{text}", Digest::of(text.as_bytes()));
        // Beside the others until it is whole: whoever reads meanwhile sees the old one or none.
        let nonce = random::bytes::<8>().map_err(io::Error::other)?;
        let beside = self
            .0
            .join(format!("{UNFINISHED}{:016x}", u64::from_be_bytes(nonce)));
        fs::create_dir_all(&beside)?;
        let files = [
            (MANIFEST, fetched.manifest()),
            (LAYER, fetched.layer()),
            (SIGNATURES, text.as_bytes()),
        ];
        let written = files
            .into_iter()
            .try_for_each(|(name, bytes)| fs::write(beside.join(name), bytes))
            .and_then(|()| gone(fs::remove_dir_all(folder)))
            .and_then(|()| fs::rename(&beside, folder));
        if written.is_err() {
            // What stays behind is in nobody's way; that it was not kept is the news.
            let _ = fs::remove_dir_all(&beside);
        }
        written
    }
}

/// Being gone already is as good as being removed.
fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn read(path: &Path, limit: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(path).ok()?;
    file.take(limit as u64 + 1).read_to_end(&mut bytes).ok()?;
    (bytes.len() <= limit).then_some(bytes)
}
