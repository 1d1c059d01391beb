//! Floor 2: registries: artifacts are fetched by digest, with everything beside them that may be a signature, and pushed.
//! What a registry says is believed in nothing: bytes are hashed here, sizes and times have ends. Who signed is not its
//! business; a fault of a registry is never "unsigned".

mod answer;
mod auth;
mod cache;
mod client;
mod credentials;
mod discover;
mod document;
mod error;
mod fetched;
#[cfg(fuzzing)]
pub mod fuzzing;
mod manifest;
mod push;
mod reference;
mod session;
mod shelf;
mod unpack;

pub use cache::{ArtifactCache, CacheError};
pub use client::{Options, Registry};
pub use credentials::{Credentials, CredentialsError};
pub use error::OciError;
pub use fetched::Fetched;
pub use push::Pushed;
pub use reference::{Reference, Tagged};
pub use shelf::Shelf;

/// What a Playbook's artifact says that it is.
pub const ARTIFACT_TYPE: &str = "application/vnd.neuralops.playbook.v1";
/// Its one layer: the canonical document.
pub const PLAYBOOK_LAYER: &str = "application/vnd.neuralops.playbook.v1+json";
/// The config of what `flux push artifact` writes.
const FLUX_CONFIG: &str = "application/vnd.cncf.flux.config.v1+json";
/// Its one layer: an archive with the document somewhere in it.
const FLUX_LAYER: &str = "application/vnd.cncf.flux.content.v1.tar+gzip";

/// How large a manifest, an index or a list of referrers may be.
const LARGEST_MANIFEST: usize = 1024 * 1024;
/// How large a signature may be.
const LARGEST_SIGNATURE: usize = 256 * 1024;
/// How large the layer of a Playbook may be, compressed and unpacked.
const LARGEST_LAYER: usize = 1024 * 1024;
/// How many manifests are looked at for signatures.
const MOST_CANDIDATES: usize = 32;
/// How many of them out of what the referrers API lists, so that it cannot use up what is left for the tags.
const MOST_LISTED: usize = 24;
/// How many signatures of either form are taken.
const MOST_SIGNATURES: usize = 8;
/// How many pages of referrers are read.
const MOST_PAGES: usize = 8;
