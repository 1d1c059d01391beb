//! Signed Playbooks without a cluster: the operator's own question, asked with keys made here, with bundles of the real
//! cosign, and with everything about them altered. `openssl` is the second opinion on what we sign.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]
#![expect(clippy::panic, reason = "a test fails by panicking")]
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

#[path = "signing/commands.rs"]
mod commands;
#[path = "signing/fixtures.rs"]
mod fixtures;
#[path = "signing/forms.rs"]
mod forms;
#[path = "signing/house.rs"]
mod house;
#[path = "signing/images.rs"]
mod images;
#[path = "signing/keyless.rs"]
mod keyless;
#[path = "signing/keys.rs"]
mod keys;
#[path = "signing/made.rs"]
mod made;
#[path = "signing/mutations.rs"]
mod mutations;
#[path = "signing/network.rs"]
mod network;
#[path = "signing/refused.rs"]
mod refused;
#[path = "support/skipping.rs"]
mod skipping;
#[path = "signing/table.rs"]
mod table;
