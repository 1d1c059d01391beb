//! The real cosign, and a private Sigstore whose services are all stopped before anything is verified: what cosign signs
//! verifies here or is refused for a named reason, and what is signed here verifies there. Every command stands here as
//! it is run, with short names for files of one folder. tests/sigstore builds the programs and starts the services.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "cosign/artifacts.rs"]
mod artifacts;
#[path = "cosign/bed.rs"]
mod bed;
#[path = "cosign/blobs.rs"]
mod blobs;
#[path = "cosign/desk.rs"]
mod desk;
#[path = "cosign/images.rs"]
mod images;
#[path = "signing/made.rs"]
#[expect(dead_code, reason = "tests/signing.rs uses all of it")]
mod made;
#[path = "cosign/ours.rs"]
mod ours;
#[path = "cosign/registry.rs"]
mod registry;
#[path = "cosign/services.rs"]
mod services;
