//! Floor 2: where the operator has artifacts and signatures from: what it fetched before, else the registry. What is kept
//! is what was once fetched and nothing more; whether it is trusted is asked anew each time.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use super::{ArtifactCache, Credentials, Fetched, OciError, Options, Registry};
use crate::{
    adapters::kube::error::chain,
    domain::{
        digest::Digest,
        trust::{Image, Signatures},
    },
};

/// How long one request may take; a pass over an object must not hang on a registry.
const REQUEST: Duration = Duration::from_secs(10);
/// How long all of them may take together.
const WHOLE: Duration = Duration::from_secs(30);
/// Images whose signatures are kept in memory.
const MOST_IMAGES: usize = 1024;

/// Where registries are reached, and what was fetched from them.
#[derive(Debug)]
pub struct Shelf {
    cache: ArtifactCache,
    config: Option<PathBuf>,
    plain_http: Vec<String>,
    images: Mutex<BTreeMap<Digest, Signatures>>,
}

impl Shelf {
    /// Keeps artifacts below the data directory; logins are in this docker config, if there is one.
    pub fn new(data: &Path, config: Option<PathBuf>, plain_http: Vec<String>) -> Self {
        Self {
            cache: ArtifactCache::new(data),
            config,
            plain_http,
            images: Mutex::default(),
        }
    }

    /// The artifact with this digest, if it was fetched before, with signatures of the old form if those are asked for.
    pub fn kept(&self, digest: &Digest, legacy: bool) -> Option<Fetched> {
        let kept = self.cache.load(digest)?;
        (kept.has_legacy() || !legacy).then_some(kept)
    }

    /// The artifact with this digest from its registry; it is kept.
    pub async fn fetch(&self, image: &Image, legacy: bool) -> Result<Fetched, OciError> {
        let fetched = self.registry()?.fetch(image, legacy).await?;
        if let Err(error) = self.cache.store(&fetched) {
            // It is here all the same; the next verification asks the registry again.
            tracing::warn!(error = %chain(&error), "an artifact could not be kept");
        }
        Ok(fetched)
    }

    /// What was found beside an image before.
    pub fn kept_signatures(&self, digest: &Digest) -> Option<Signatures> {
        self.images().get(digest).cloned()
    }

    /// What may be signatures of an image, from its registry; they are kept.
    pub async fn signatures(&self, image: &Image, legacy: bool) -> Result<Signatures, OciError> {
        let found = self.registry()?.signatures(image, legacy).await?;
        let mut images = self.images();
        if images.len() >= MOST_IMAGES {
            images.clear();
        }
        images.insert(image.digest.clone(), found.clone());
        Ok(found)
    }

    /// Made anew each time: a mounted login is exchanged without a restart.
    fn registry(&self) -> Result<Registry, OciError> {
        let credentials = match &self.config {
            Some(path) => Credentials::read(path).map_err(OciError::Credentials)?,
            None => Credentials::anonymous(),
        };
        Registry::new(Options {
            credentials,
            plain_http: self.plain_http.clone(),
            request: REQUEST,
            whole: WHOLE,
        })
    }

    fn images(&self) -> std::sync::MutexGuard<'_, BTreeMap<Digest, Signatures>> {
        self.images.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
