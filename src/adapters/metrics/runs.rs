//! Floor 2: what the runs tell. Labels are words of the domain: stages, and what they came to.

use jiff::SignedDuration;
use prometheus::{HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry};

use super::{Metrics, registered};
use crate::{
    domain::{reason::Reason, stage::Stage},
    ports::Limit,
};

pub(super) struct RunMetrics {
    stages: IntCounterVec,
    seconds: HistogramVec,
    joined: IntCounter,
    limited: IntCounterVec,
}

impl RunMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let stages = Opts::new(
            "orchestrations_total",
            "Stages that runs have left, by what they came to",
        );
        let seconds = HistogramOpts::new(
            "orchestration_duration_seconds",
            "Time that runs spent in a stage; waiting for people is gate_wait_seconds",
        )
        .buckets(vec![
            0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 60.0, 600.0, 3600.0,
        ]);
        Ok(Self {
            stages: registered(registry, IntCounterVec::new(stages, &["stage", "status"])?)?,
            seconds: registered(registry, HistogramVec::new(seconds, &["stage"])?)?,
            joined: registered(
                registry,
                IntCounter::new(
                    "runs_joined_total",
                    "Runs that joined an earlier one about the same incident",
                )?,
            )?,
            limited: registered(
                registry,
                IntCounterVec::new(
                    Opts::new(
                        "runs_limited_total",
                        "Approved runs that had to wait in line, by the limit",
                    ),
                    &["limit"],
                )?,
            )?,
        })
    }
}

impl Metrics {
    /// A run was planned, and people are asked.
    pub fn run_planned(&self, took: SignedDuration) {
        let (stage, planned) = (Stage::DryRun.as_str(), Reason::Planned.as_str());
        self.runs.stages.with_label_values(&[stage, planned]).inc();
        self.stage_took(Stage::DryRun, took);
    }

    /// A run has left this stage for its end, or for the next one.
    pub fn stage_left(&self, stage: Stage, status: &'static str) {
        self.runs
            .stages
            .with_label_values(&[stage.as_str(), status])
            .inc();
    }

    /// A run joined another.
    pub fn run_joined(&self) {
        self.runs.joined.inc();
    }

    /// A run waits in line for room under this limit.
    pub fn run_limited(&self, limit: &Limit) {
        let word = match limit {
            Limit::Namespace => "namespace",
            Limit::Playbook => "playbook",
            Limit::TargetHour(_) => "target",
        };
        self.runs.limited.with_label_values(&[word]).inc();
    }

    /// A run spent so long in a stage.
    pub fn stage_took(&self, stage: Stage, took: SignedDuration) {
        let seconds = self.runs.seconds.with_label_values(&[stage.as_str()]);
        seconds.observe(took.as_secs_f64().max(0.0));
    }
}
