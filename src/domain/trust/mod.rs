//! Floor 0: who may sign. Which policies are about an object, whether enough distinct signers satisfy all of them,
//! and the one type that says so. Cryptography and files are an adapter's; it says who signed, never whether that is enough.

mod bundles;
mod examiner;
mod identity;
mod image;
mod policy;
mod refusal;
mod revision;
mod signer;
mod verified;
mod wildcard;

pub use bundles::{
    ANNOTATION, AnnotatedBundle, AttachError, LARGEST_BUNDLES, MOST_BUNDLES, attach, bundles,
};
pub use examiner::{Examination, Examiner, Problem};
pub use identity::{Claims, Expression, IdentityRule, NoExpression, SubjectRule};
pub use image::{
    FoundSignature, Image, ImageName, LegacySignature, NoImage, SignatureForm, Signatures,
};
pub use policy::{Formats, KeyRule, LogRule, Matches, Policy, Signed, SignedKind, policy_digest};
pub use refusal::{Attempt, Refusal};
pub use revision::HighestRevision;
pub use signer::{Signer, distinct};
pub use verified::Artifact;
pub use verified::{
    AppliedPolicy, ArtifactDocument, Runnable, Verified, VerifiedImage, accepts_legacy,
    can_be_trusted, images_to_verify, source_image, verify_image, verify_playbook, verify_sourced,
};
pub use wildcard::matches;
