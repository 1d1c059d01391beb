//! Floor 2: the only place that reads the wall clock. Times enter a pass as facts.

use k8s_openapi::jiff::Timestamp;

/// Now, by this machine's clock.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the wall clock"
)]
pub fn now() -> Timestamp {
    Timestamp::now()
}
