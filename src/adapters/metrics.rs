//! Floor 2: the metrics, all in one place. Labels come from closed enums and never from objects, so that a million
//! objects make no more series than one.

mod gates;
mod runs;

use std::time::Duration;

use gates::GateMetrics;
use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder, core::Collector,
};
use runs::RunMetrics;

use crate::domain::reason::Reason;

/// How a pass over an object ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PassOutcome {
    Settled,
    Waiting,
    Held,
    Stalled,
    Conflict,
    Transient,
    Permanent,
    Bug,
    Panicked,
    Quarantined,
    Undecodable,
}

impl PassOutcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Settled => "settled",
            Self::Waiting => "waiting",
            Self::Held => "held",
            Self::Stalled => "stalled",
            Self::Conflict => "conflict",
            Self::Transient => "transient",
            Self::Permanent => "permanent",
            Self::Bug => "bug",
            Self::Panicked => "panicked",
            Self::Quarantined => "quarantined",
            Self::Undecodable => "undecodable",
        }
    }
}

/// What a status write came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteOutcome {
    Written,
    Unchanged,
    Failed,
}

impl WriteOutcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::Unchanged => "unchanged",
            Self::Failed => "failed",
        }
    }
}

/// The metrics of this process.
pub struct Metrics {
    registry: Registry,
    passes: IntCounterVec,
    pass_seconds: HistogramVec,
    errors: IntCounterVec,
    status_writes: IntCounterVec,
    objects: IntGaugeVec,
    unlisted: IntGaugeVec,
    backing_off: IntGaugeVec,
    leader: IntGauge,
    guard_whole: IntGauge,
    crds_missing: IntGauge,
    verifications: IntCounterVec,
    audit: AuditMetrics,
    gates: GateMetrics,
    runs: RunMetrics,
}

/// What the transparency log tells.
struct AuditMetrics {
    appends: IntCounterVec,
    append_seconds: Histogram,
    leaves: IntGauge,
    anchored: IntGauge,
    open: IntGauge,
    refused: IntGaugeVec,
    spool_bytes: IntGauge,
    unrecorded_stops: IntCounter,
}

impl AuditMetrics {
    fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauge = |name: &str, help: &str| registered(registry, IntGauge::new(name, help)?);
        Ok(Self {
            appends: registered(
                registry,
                IntCounterVec::new(
                    Opts::new("audit_appends_total", "Records, by what became of them"),
                    &["result"],
                )?,
            )?,
            append_seconds: registered(
                registry,
                Histogram::with_opts(
                    HistogramOpts::new(
                        "audit_append_seconds",
                        "Time of one transaction of records",
                    )
                    .buckets(vec![0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0]),
                )?,
            )?,
            leaves: gauge("audit_leaves", "Leaves in the log")?,
            anchored: gauge(
                "audit_anchored_leaves",
                "Leaves under the newest anchored checkpoint",
            )?,
            open: gauge("audit_open", "1 while the log takes records")?,
            refused: registered(
                registry,
                IntGaugeVec::new(
                    Opts::new(
                        "audit_refused",
                        "1 while the log takes no records, by reason",
                    ),
                    &["reason"],
                )?,
            )?,
            spool_bytes: gauge("audit_spool_bytes", "Size of the spool of stops")?,
            unrecorded_stops: registered(
                registry,
                IntCounter::new(
                    "audit_unrecorded_stops_total",
                    "Stops that neither log nor spool could take",
                )?,
            )?,
        })
    }
}

fn registered<C: Collector + Clone + 'static>(
    registry: &Registry,
    collector: C,
) -> Result<C, prometheus::Error> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

fn pass_seconds(registry: &Registry) -> Result<HistogramVec, prometheus::Error> {
    let options = HistogramOpts::new("reconcile_seconds", "Time of one pass over an object");
    let options = options.buckets(vec![
        0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 60.0,
    ]);
    registered(registry, HistogramVec::new(options, &["controller"])?)
}

impl Metrics {
    /// All metrics, registered. It fails only if two of them have one name, which a unit test would show.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new_custom(Some("neuralops".into()), None)?;
        let counters = |name: &str, help: &str, labels: &[&str]| {
            let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
            registered(&registry, counter)
        };
        let gauges = |name: &str, help: &str| {
            let gauge = IntGaugeVec::new(Opts::new(name, help), &["controller"])?;
            registered(&registry, gauge)
        };
        let gauge = |name: &str, help: &str| registered(&registry, IntGauge::new(name, help)?);
        let build = IntGaugeVec::new(
            Opts::new("build_info", "Always 1; says which version runs"),
            &["version"],
        )?;
        let build = registered(&registry, build)?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        Ok(Self {
            passes: counters(
                "reconciliations_total",
                "Passes over objects, by how they ended",
                &["controller", "outcome"],
            )?,
            errors: counters(
                "reconcile_errors_total",
                "Failed passes, by reason",
                &["controller", "reason"],
            )?,
            status_writes: counters(
                "status_writes_total",
                "Statuses written or found unchanged",
                &["controller", "result"],
            )?,
            objects: gauges("objects", "Objects in the cache")?,
            unlisted: gauges(
                "unlisted",
                "1 while the first listing is not complete and nothing is looked at",
            )?,
            backing_off: gauges(
                "objects_backing_off",
                "Objects that are tried again after a failure",
            )?,
            leader: gauge("leader", "1 while this replica leads")?,
            guard_whole: gauge(
                "admission_guard_whole",
                "1 while policies, bindings and kinds are installed unaltered",
            )?,
            crds_missing: gauge("crds_missing", "Kinds of ours that are not served")?,
            verifications: counters(
                "verifications_total",
                "Playbooks whose signatures were looked at, by what came of it",
                &["reason"],
            )?,
            pass_seconds: pass_seconds(&registry)?,
            audit: AuditMetrics::new(&registry)?,
            gates: GateMetrics::new(&registry)?,
            runs: RunMetrics::new(&registry)?,
            registry,
        })
    }

    /// A pass ended.
    pub fn pass(&self, controller: &'static str, outcome: PassOutcome, took: Duration) {
        self.passes
            .with_label_values(&[controller, outcome.as_str()])
            .inc();
        self.pass_seconds
            .with_label_values(&[controller])
            .observe(took.as_secs_f64());
    }

    /// A pass failed.
    pub fn error(&self, controller: &'static str, reason: Reason) {
        self.errors
            .with_label_values(&[controller, reason.as_str()])
            .inc();
    }

    /// A status was written, or was as it should be.
    pub fn status_write(&self, controller: &'static str, outcome: WriteOutcome) {
        self.status_writes
            .with_label_values(&[controller, outcome.as_str()])
            .inc();
    }

    /// Objects in a controller's cache.
    pub fn objects(&self, controller: &'static str, count: usize) {
        self.objects
            .with_label_values(&[controller])
            .set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Whether a controller waits for its first listing to be complete, and looks at nothing until then.
    pub fn unlisted(&self, controller: &'static str, waits: bool) {
        self.unlisted
            .with_label_values(&[controller])
            .set(i64::from(waits));
    }

    /// Objects that wait for another attempt.
    pub fn backing_off(&self, controller: &'static str, count: usize) {
        self.backing_off
            .with_label_values(&[controller])
            .set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Whether this replica leads.
    pub fn leader(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    /// Whether the guard is whole.
    pub fn guard_whole(&self, whole: bool) {
        self.guard_whole.set(i64::from(whole));
    }

    /// Kinds that are not served.
    pub fn crds_missing(&self, count: usize) {
        self.crds_missing
            .set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// The signatures of a Playbook were looked at.
    pub fn verification(&self, reason: Reason) {
        let verifications = &self.verifications;
        verifications.with_label_values(&[reason.as_str()]).inc();
    }

    /// Records were committed.
    pub fn appended(&self, count: usize, took: Duration) {
        let appends = self.audit.appends.with_label_values(&["appended"]);
        appends.inc_by(u64::try_from(count).unwrap_or_default());
        self.audit.append_seconds.observe(took.as_secs_f64());
    }

    /// Records were not committed.
    pub fn append_failed(&self, count: usize) {
        let failed = self.audit.appends.with_label_values(&["failed"]);
        failed.inc_by(u64::try_from(count).unwrap_or_default());
    }

    /// Leaves in the log.
    pub fn log_size(&self, leaves: u64) {
        self.audit
            .leaves
            .set(i64::try_from(leaves).unwrap_or(i64::MAX));
    }

    /// Leaves under the newest anchored checkpoint.
    pub fn anchored_size(&self, leaves: u64) {
        self.audit
            .anchored
            .set(i64::try_from(leaves).unwrap_or(i64::MAX));
    }

    /// Why the log takes no records, if it takes none.
    pub fn audit_refusal(&self, reason: Option<Reason>) {
        self.audit.open.set(i64::from(reason.is_none()));
        self.audit.refused.reset();
        if let Some(reason) = reason {
            self.audit
                .refused
                .with_label_values(&[reason.as_str()])
                .set(1);
        }
    }

    /// The spool of stops has this size.
    pub fn spool(&self, bytes: u64) {
        self.audit
            .spool_bytes
            .set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// A stop could not be recorded anywhere.
    pub fn unrecorded_stop(&self) {
        self.audit.unrecorded_stops.inc();
    }

    /// The text that Prometheus reads.
    pub fn render(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_carries_our_prefix() {
        let metrics = Metrics::new().unwrap();
        metrics.pass("playbook", PassOutcome::Settled, Duration::from_millis(2));
        let text = String::from_utf8(metrics.render().unwrap()).unwrap();
        let names: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert!(
            names.iter().all(|line| line.starts_with("neuralops_")),
            "{text}"
        );
        assert!(
            text.contains(
                r#"neuralops_reconciliations_total{controller="playbook",outcome="settled"} 1"#
            ),
            "{text}"
        );
    }
}
