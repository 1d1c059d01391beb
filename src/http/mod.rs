//! Floor 3: HTTP. Probes and metrics have a port of their own; the API will be a client of the cluster like any other
//! and never call a controller.

mod door;
pub mod probes;
mod tls;
