//! Floor 0: what the product knows without Kubernetes, async, clock or environment. Values in, values out.
//! Nothing here may import another floor, `kube`, `tokio` or a clock; `tests/floors.rs` holds that.

pub mod audit;
pub mod credentials;
pub mod digest;
pub mod document;
pub mod duration;
pub mod forgery;
pub mod gate;
pub mod lint;
pub mod names;
pub mod parameters;
pub mod plan;
pub mod powers;
pub mod promql;
pub mod reason;
mod reference;
pub mod render;
pub mod retry;
pub mod run;
pub mod stage;
pub mod suggest;
pub mod suggested;
pub mod trust;
pub mod verdict;
