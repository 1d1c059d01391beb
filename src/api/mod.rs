//! Floor 1: the wire types of `neuralops.io`, their conditions, and the way into the domain.
//! It parses and describes; it decides nothing and does no I/O.

pub mod conditions;
pub mod crds;
pub mod schema;
pub mod strict;
pub mod v1alpha1;

/// The API group of every kind of ours.
pub const GROUP: &str = "neuralops.io";
/// The one version that is served and stored.
pub const VERSION: &str = "v1alpha1";
/// `apiVersion` of every kind of ours.
pub const API_VERSION: &str = "neuralops.io/v1alpha1";
