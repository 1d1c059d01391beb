//! Artifacts and signatures in registries, without a cluster: a registry in this very process that can do everything a
//! registry can do wrong, and the client, the cache and the commands that meet it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]
#![expect(clippy::panic, reason = "a test fails by panicking")]

#[path = "oci/access.rs"]
mod access;
#[path = "oci/archives.rs"]
mod archives;
#[path = "oci/cached.rs"]
mod cached;
#[path = "oci/commands.rs"]
mod commands;
#[path = "oci/discovery.rs"]
mod discovery;
#[path = "oci/faults.rs"]
mod faults;
#[path = "oci/lies.rs"]
mod lies;
#[path = "signing/made.rs"]
#[expect(dead_code, reason = "shared with the tests of signatures")]
mod made;
#[path = "oci/server.rs"]
mod server;
#[path = "oci/shelf.rs"]
mod shelf;
