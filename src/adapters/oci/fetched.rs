//! Floor 2: an artifact with everything that verification needs, as bytes: once it is here, no registry is asked again.
//! A value of this type holds the bytes of its digest; they are taken apart only when somebody trusts them.

use super::{
    OciError,
    answer::same,
    document,
    manifest::{self, PlaybookLayer},
};
use crate::domain::{
    digest::Digest,
    trust::{Artifact, ArtifactDocument, Refusal, Signatures},
};

/// A Playbook's artifact as it was fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    digest: Digest,
    manifest: Vec<u8>,
    layer: Vec<u8>,
    signatures: Signatures,
    legacy: bool,
}

impl Fetched {
    /// Of these bytes, which are held against the digest here, wherever they come from.
    pub(super) fn new(
        digest: Digest,
        manifest: Vec<u8>,
        layer: Vec<u8>,
        signatures: Signatures,
        legacy: bool,
    ) -> Result<Self, OciError> {
        same(&Digest::of(&manifest), &digest, || "the manifest".into())?;
        let named = playbook_layer(&manifest, &digest)?.descriptor.digest;
        same(&Digest::of(&layer), &named, || "the layer".into())?;
        Ok(Self {
            digest,
            manifest,
            layer,
            signatures,
            legacy,
        })
    }

    /// The digest that is signed: the manifest's.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// What may be its signatures.
    pub fn signatures(&self) -> &Signatures {
        &self.signatures
    }

    /// The manifest.
    pub fn manifest(&self) -> &[u8] {
        &self.manifest
    }

    /// Its one layer.
    pub fn layer(&self) -> &[u8] {
        &self.layer
    }

    /// Whether signatures of the old form were looked for.
    pub fn has_legacy(&self) -> bool {
        self.legacy
    }

    /// The Playbook in it. Ask for it when the signatures are found good, and not before.
    pub fn open(&self) -> Result<ArtifactDocument, Refusal> {
        let layer = playbook_layer(&self.manifest, &self.digest)?;
        Ok(document::read(&self.layer, layer.form)?)
    }
}

impl Artifact for Fetched {
    fn digest(&self) -> &Digest {
        self.digest()
    }

    fn signatures(&self) -> &Signatures {
        self.signatures()
    }

    fn open(&self) -> Result<ArtifactDocument, Refusal> {
        self.open()
    }
}

fn playbook_layer(manifest: &[u8], digest: &Digest) -> Result<PlaybookLayer, OciError> {
    let what = format!("artifact {digest}");
    manifest::playbook_layer(&manifest::read(manifest, &what)?, &what)
}
