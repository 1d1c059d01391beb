//! Floor 2: the outside, one thing a file or folder. Adapters translate and report; they take no decisions.

pub mod archive;
pub mod cel;
pub mod certificate;
pub mod clock;
pub mod failpoint;
pub mod http_request;
pub mod kube;
pub mod ledger;
pub mod metrics;
pub mod oci;
pub mod prometheus;
pub mod random;
pub mod steps;
pub mod store;
pub mod verify;
