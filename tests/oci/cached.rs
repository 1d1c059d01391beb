//! What was fetched once is verified again without a registry, and what was damaged since is not there any more.

use std::{fs, path::PathBuf};

use neuralops::{
    adapters::oci::{ArtifactCache, Registry},
    domain::{
        digest::Digest,
        trust::{Image, verify_sourced},
    },
};
use tempfile::TempDir;

use crate::{
    made::{Key, now, p256, trusting},
    server::{Server, object, options},
};

struct Kept {
    folder: TempDir,
    cache: ArtifactCache,
    image: Image,
}

impl Kept {
    fn path(&self, digest: &Digest) -> PathBuf {
        let name = digest.as_str().replace(':', "-");
        self.folder.path().join("artifacts").join(name)
    }

    fn verifies(&self, key: &Key) -> bool {
        let Some(fetched) = self.cache.load(&self.image.digest) else {
            return false;
        };
        let policies = [trusting(&[key], 1)];
        verify_sourced(&object(&self.image), &fetched, &policies, None, now()).is_ok()
    }
}

/// An artifact in a cache; its registry is gone.
async fn kept(key: &Key) -> Kept {
    let (server, digest) = Server::with_signed(key).await;
    let image = server.image(&digest);
    let registry = Registry::new(options()).unwrap();
    let fetched = registry.fetch(&image, false).await.unwrap();
    server.stop().await;
    let folder = tempfile::tempdir().unwrap();
    let cache = ArtifactCache::new(folder.path());
    assert!(cache.load(&digest).is_none());
    cache.store(&fetched).unwrap();
    assert_eq!(cache.load(&digest), Some(fetched));
    Kept {
        folder,
        cache,
        image,
    }
}

#[tokio::test]
async fn what_was_fetched_is_verified_without_a_registry() {
    let key = p256();
    let kept = kept(&key).await;
    assert!(kept.verifies(&key));
    assert!(!kept.verifies(&p256()), "trust is asked for anew");
    kept.cache.remove(&kept.image.digest).unwrap();
    kept.cache.remove(&kept.image.digest).unwrap();
    assert!(kept.cache.load(&kept.image.digest).is_none());
}

#[tokio::test]
async fn a_damaged_copy_is_as_good_as_none() {
    let key = p256();
    let kept = kept(&key).await;
    let digest = &kept.image.digest;
    let folder = kept.path(digest);
    let whole = kept.cache.load(digest).unwrap();
    for name in ["manifest", "layer", "signatures"] {
        let path = folder.join(name);
        let good = fs::read(&path).unwrap();
        for at in [0, good.len() / 2, good.len() - 1] {
            let mut flipped = good.clone();
            flipped[at] ^= 1;
            fs::write(&path, flipped).unwrap();
            assert!(kept.cache.load(digest).is_none(), "{name} at {at}");
        }
        fs::write(&path, &good[..good.len() - 1]).unwrap();
        assert!(kept.cache.load(digest).is_none(), "{name} cut short");
        fs::write(&path, vec![b' '; 32 * 1024 * 1024]).unwrap();
        assert!(kept.cache.load(digest).is_none(), "{name} enormous");
        fs::remove_file(&path).unwrap();
        assert!(kept.cache.load(digest).is_none(), "{name} gone");
        kept.cache.store(&whole).unwrap();
        assert!(kept.verifies(&key));
    }
    let left = fs::read_dir(kept.folder.path().join("artifacts")).unwrap();
    assert_eq!(left.count(), 1, "nothing else stays behind");
}

#[tokio::test]
async fn a_copy_under_another_digest_is_none() {
    let key = p256();
    let kept = kept(&key).await;
    let other = Digest::of(b"another artifact");
    fs::rename(kept.path(&kept.image.digest), kept.path(&other)).unwrap();
    assert!(kept.cache.load(&other).is_none());
}
