//! Support for the tests that need a control plane: who speaks to it, where a test works, how it waits.
//! The control plane itself comes from tests/cluster/up, through the environment; without it every such test is
//! skipped with its reason, and never started against a cluster that nobody offered.

mod audit;
mod author;
mod cluster;
mod grants;
mod kinds;
mod namespace;
mod process;
mod prometheus;
mod runs;
mod scene;
mod skipping;
mod wait;

pub use audit::AuditEvent;
pub use author::Author;
pub use cluster::{Cluster, Need, cluster};
pub use grants::{
    Rule, allowed, bind, bind_everywhere, core, grant, grant_everywhere, grant_group, ours, rule,
};
pub use kinds::{api, apply, create, manifests};
pub use namespace::{Namespace, random};
pub use process::{Operator, OwnCluster};
pub use prometheus::{prometheus, scraped};
pub use runs::{condition, deployment, hold, scale, steps, told, waits_for};
pub use scene::Scene;
pub use skipping::skipped;
pub use wait::eventually;

/// The cluster, if it has all that the test needs; else the test ends here, skipped: `let cluster = need!(Owned);`
macro_rules! need {
    ($($need:ident),* $(,)?) => {
        match $crate::support::cluster(&[$($crate::support::Need::$need),*]) {
            Ok(cluster) => cluster,
            Err(reason) => {
                $crate::support::skip!(&reason);
                return;
            }
        }
    };
}

/// Records that the calling test is skipped, and why. The test has to return by itself.
macro_rules! skip {
    ($reason:expr) => {{
        fn here() {}
        $crate::support::skipped(std::any::type_name_of_val(&here), $reason);
    }};
}

pub(crate) use {need, skip};
