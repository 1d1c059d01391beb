//! The older generation, for `make long`: cosign 2, Rekor v1 and the signatures that need it. What is good in it verifies
//! here, the rest is refused for a named reason; all services are stopped before.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "cosign/desk.rs"]
mod desk;
#[path = "signing/made.rs"]
#[expect(dead_code, reason = "tests/signing.rs uses all of it")]
mod made;
#[path = "cosign/older.rs"]
mod older;
#[path = "cosign/registry.rs"]
#[expect(dead_code, reason = "tests/cosign.rs looks at all that is found")]
mod registry;
#[path = "cosign/services.rs"]
mod services;
