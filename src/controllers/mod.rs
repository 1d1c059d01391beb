//! Floor 3: the controllers, one folder a kind, each the same files: mod, gather, decide, act, status.
//! The pass over an object is written once, in `harness`; no controller knows another.

pub mod backoff;
pub mod harness;
pub mod held;
pub mod playbook;
pub mod pulse;
