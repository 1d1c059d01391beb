//! Floor 2: the outside, one thing a file or folder. Adapters translate and report; they take no decisions.

pub mod clock;
pub mod kube;
pub mod metrics;
pub mod store;
