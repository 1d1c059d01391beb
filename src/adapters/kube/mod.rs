//! Floor 2: the API server. How to reach it, how its errors are to be read, and the few forms in which we write.

pub mod access;
pub mod account;
pub mod anchor;
pub mod bearer;
pub mod client;
pub mod discovery;
pub mod error;
pub mod events;
pub mod guard;
pub mod keys;
pub mod lease;
pub mod policies;
pub mod raw;
pub mod scope;
pub mod status;

/// Field manager of every status write; nobody else writes a status.
pub const STATUS_MANAGER: &str = "neuralops/status";
/// Field manager of what the operator makes and keeps besides statuses.
pub const CHILDREN_MANAGER: &str = "neuralops/children";
