//! Floor 0: a verified Playbook with all that it needs verified besides: the images of its steps. What plans or executes
//! takes this and nothing less; it has no other maker than this file.

use std::ops::Deref;

use super::{Verified, VerifiedImage, images_to_verify};
use crate::domain::{digest::Digest, reason::Reason, trust::Refusal};

/// A Playbook that may be planned and run, as of a moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Runnable {
    verified: Verified,
    images: Vec<VerifiedImage>,
    policy_digest: Digest,
}

impl Runnable {
    /// The Playbook with the images that it asks to be signed; every one of them must be there.
    pub fn new(verified: Verified, images: Vec<VerifiedImage>) -> Result<Self, Refusal> {
        for (place, wanted) in images_to_verify(verified.document())? {
            if !images.iter().any(|image| *image.image() == wanted) {
                let message = format!("{place}: {wanted} was not verified");
                return Err(Refusal::new(Reason::NoSignatureFound, message));
            }
        }
        let policy_digest = digest(&verified, &images);
        Ok(Self {
            verified,
            images,
            policy_digest,
        })
    }

    /// The images that were verified.
    pub fn images(&self) -> &[VerifiedImage] {
        &self.images
    }

    /// The digest of all that every policy about it trusted at that moment, about the Playbook and about its images.
    pub fn policy_digest(&self) -> &Digest {
        &self.policy_digest
    }
}

/// It is the verified Playbook, and more.
impl Deref for Runnable {
    type Target = Verified;

    fn deref(&self) -> &Verified {
        &self.verified
    }
}

fn digest(verified: &Verified, images: &[VerifiedImage]) -> Digest {
    if images.is_empty() {
        return verified.policy_digest().clone();
    }
    let mut lines = vec![verified.policy_digest().to_string()];
    let trusted = images.iter().map(|image| {
        let policies = image.policy_digest();
        format!("{} {policies}", image.image())
    });
    lines.extend(trusted);
    Digest::of(lines.join("\n").as_bytes())
}
