//! `check` with PromQL against a real Prometheus, which tests/prometheus starts, and against servers that are away, slow or
//! lie. Through the library: what is planned and done is asked of no cluster. Without a Prometheus the tests are skipped.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "promql/bed.rs"]
mod bed;
#[path = "promql/liars.rs"]
mod liars;
#[path = "promql/quoting.rs"]
mod quoting;
#[path = "promql/real.rs"]
mod real;
#[path = "support/skipping.rs"]
mod skipping;
#[path = "support/wait.rs"]
mod wait;

/// The Prometheus that the environment offers; without one the test ends here, skipped.
macro_rules! prometheus {
    () => {
        match $crate::bed::Offered::from_environment() {
            Ok(offered) => offered,
            Err(reason) => {
                fn here() {}
                $crate::skipping::skipped(std::any::type_name_of_val(&here), reason);
                return;
            }
        }
    };
}

pub(crate) use prometheus;
