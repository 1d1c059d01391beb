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
    fn path(&self, image: &Image) -> PathBuf {
        let name = Digest::of(image.to_string().as_bytes());
        let name = name.as_str().replace(':', "-");
        self.folder.path().join("artifacts").join(name)
    }

    fn verifies(&self, key: &Key) -> bool {
        let Some(fetched) = self.cache.load(&self.image) else {
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
    assert!(cache.load(&image).is_none());
    cache.store(&image, &fetched).unwrap();
    assert_eq!(cache.load(&image), Some(fetched));
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
    let elsewhere = Image {
        digest: kept.image.digest.clone(),
        name: neuralops::domain::trust::ImageName::parse("registry.example/other").unwrap(),
    };
    assert!(
        kept.cache.load(&elsewhere).is_none(),
        "another registry says other things about the same bytes"
    );
}

#[tokio::test]
async fn a_damaged_copy_is_as_good_as_none() {
    let key = p256();
    let kept = kept(&key).await;
    let image = &kept.image;
    let folder = kept.path(image);
    let whole = kept.cache.load(image).unwrap();
    for name in ["manifest", "layer", "signatures"] {
        let path = folder.join(name);
        let good = fs::read(&path).unwrap();
        for at in [0, good.len() / 2, good.len() - 1] {
            let mut flipped = good.clone();
            flipped[at] ^= 1;
            fs::write(&path, flipped).unwrap();
            assert!(kept.cache.load(image).is_none(), "{name} at {at}");
        }
        fs::write(&path, &good[..good.len() - 1]).unwrap();
        assert!(kept.cache.load(image).is_none(), "{name} cut short");
        fs::write(&path, vec![b' '; 32 * 1024 * 1024]).unwrap();
        assert!(kept.cache.load(image).is_none(), "{name} enormous");
        fs::remove_file(&path).unwrap();
        assert!(kept.cache.load(image).is_none(), "{name} gone");
        kept.cache.store(image, &whole).unwrap();
        assert!(kept.verifies(&key));
    }
    let left = fs::read_dir(kept.folder.path().join("artifacts")).unwrap();
    assert_eq!(left.count(), 1, "nothing else stays behind");
}

#[tokio::test]
async fn a_copy_under_another_digest_is_none() {
    let key = p256();
    let kept = kept(&key).await;
    let other = Image {
        digest: Digest::of(b"another artifact"),
        name: kept.image.name.clone(),
    };
    fs::rename(kept.path(&kept.image), kept.path(&other)).unwrap();
    assert!(kept.cache.load(&other).is_none());
}
