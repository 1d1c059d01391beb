//! Floor 2: what the metrics tell of Gates and of the trust in votes.

use std::time::Duration;

use jiff::Timestamp;
use prometheus::{HistogramOpts, HistogramVec, IntGauge, Registry};

use super::{Metrics, registered};
use crate::domain::reason::Reason;

pub(super) struct GateMetrics {
    votes_trusted_since: IntGauge,
    wait_seconds: HistogramVec,
}

impl GateMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let wait = HistogramOpts::new(
            "gate_wait_seconds",
            "How long people were asked until the Gate was settled, by how",
        );
        let minutes = [0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 240.0, 1440.0];
        let wait = wait.buckets(minutes.map(|minutes| minutes * 60.0).into());
        Ok(Self {
            votes_trusted_since: registered(
                registry,
                IntGauge::new(
                    "votes_trusted_since_seconds",
                    "Since when the admission guard is known to be whole, in seconds of Unix time; 0 while votes are not trusted",
                )?,
            )?,
            wait_seconds: registered(registry, HistogramVec::new(wait, &["state"])?)?,
        })
    }
}

impl Metrics {
    /// Since when votes are trusted, if they are.
    pub fn votes_trusted_since(&self, since: Option<Timestamp>) {
        let seconds = since.map_or(0, Timestamp::as_second);
        self.gates.votes_trusted_since.set(seconds);
    }

    /// A Gate was settled, with this reason, so long after it was opened.
    pub fn gate_settled(&self, how: Reason, waited: Duration) {
        let wait = self.gates.wait_seconds.with_label_values(&[how.as_str()]);
        wait.observe(waited.as_secs_f64());
    }
}
