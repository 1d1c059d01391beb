//! Floor 2: where the operator has artifacts and signatures from: what it verified before, else the registry. What is kept
//! was trusted once; whether it is trusted is asked anew each time, by others.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::{Semaphore, SemaphorePermit};

use super::{ArtifactCache, Credentials, Fetched, OciError, Options, Registry};
use crate::{
    adapters::kube::error::chain,
    domain::trust::{Image, Signatures},
};

/// How long one request may take; a pass over an object must not hang on a registry.
const REQUEST: Duration = Duration::from_secs(5);
/// How long all of them for one image may take together.
const WHOLE: Duration = Duration::from_secs(15);
/// How many registries are asked at the same time. Others are told to come again: slow ones must not take all places
/// where a key that was removed is to be noticed.
const AT_ONCE: usize = 16;
/// Images whose signatures are kept in memory.
const MOST_IMAGES: usize = 512;
/// Signatures of one image that are larger are not kept: most have some kilobytes.
const LARGEST_KEPT: usize = 64 * 1024;

/// Where registries are reached, and what was fetched from them.
#[derive(Debug)]
pub struct Shelf {
    cache: ArtifactCache,
    config: Option<PathBuf>,
    plain_http: Vec<String>,
    images: Mutex<BTreeMap<String, Signatures>>,
    places: Semaphore,
}

impl Shelf {
    /// Keeps artifacts below the data directory; logins are in this docker config, if there is one.
    pub fn new(data: &Path, config: Option<PathBuf>, plain_http: Vec<String>) -> Self {
        let cache = ArtifactCache::new(data);
        if let Err(error) = cache.sweep() {
            tracing::warn!(error = %error, "what was never finished among the artifacts could not be removed");
        }
        Self {
            cache,
            config,
            plain_http,
            images: Mutex::default(),
            places: Semaphore::new(AT_ONCE),
        }
    }

    /// The artifact, if it was verified before, with signatures of the old form if those are asked for.
    pub fn kept(&self, image: &Image, legacy: bool) -> Option<Fetched> {
        let kept = self.cache.load(image)?;
        (kept.has_legacy() || !legacy).then_some(kept)
    }

    /// The artifact from its registry.
    pub async fn fetch(&self, image: &Image, legacy: bool) -> Result<Fetched, OciError> {
        let _place = self.place(image)?;
        self.registry()?.fetch(image, legacy).await
    }

    /// Keeps what was found good.
    pub fn keep(&self, image: &Image, fetched: &Fetched) {
        if let Err(error) = self.cache.store(image, fetched) {
            tracing::warn!(
                error = %chain(&error),
                "a verified artifact could not be kept; the next verification needs its registry"
            );
        }
    }

    /// The signatures of an image that were good before.
    pub fn kept_signatures(&self, image: &Image) -> Option<Signatures> {
        self.images().get(&image.to_string()).cloned()
    }

    /// What may be signatures of an image, from its registry.
    pub async fn signatures(&self, image: &Image, legacy: bool) -> Result<Signatures, OciError> {
        let _place = self.place(image)?;
        self.registry()?.signatures(image, legacy).await
    }

    /// Keeps what was found good.
    pub fn keep_signatures(&self, image: &Image, found: &Signatures) {
        if found.size() > LARGEST_KEPT {
            return;
        }
        let mut images = self.images();
        if images.len() >= MOST_IMAGES {
            images.clear();
        }
        images.insert(image.to_string(), found.clone());
    }

    fn place(&self, image: &Image) -> Result<SemaphorePermit<'_>, OciError> {
        let crowded = |_| OciError::Crowded {
            image: image.to_string(),
            most: AT_ONCE,
        };
        self.places.try_acquire().map_err(crowded)
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
            plain_here: false,
            request: REQUEST,
            whole: WHOLE,
        })
    }

    fn images(&self) -> MutexGuard<'_, BTreeMap<String, Signatures>> {
        self.images.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
