//! Everything that needs a control plane, as one program: it links once and shares one cluster. `make test` starts the
//! cluster and an operator beside it; without them every test here is skipped with its reason.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod cluster_admission;
mod cluster_applied;
mod cluster_audit;
mod cluster_auto;
mod cluster_bad_input;
mod cluster_commands;
mod cluster_costs;
mod cluster_crds;
mod cluster_faults;
mod cluster_forgeries;
mod cluster_gates;
mod cluster_harness;
mod cluster_idle;
mod cluster_install;
mod cluster_leadership;
mod cluster_midgate;
mod cluster_namespaces;
mod cluster_playbook;
mod cluster_prometheus;
mod cluster_reconcile;
mod cluster_records;
mod cluster_runbooks;
mod cluster_runs;
mod cluster_samples;
mod cluster_serving;
mod cluster_signing;
mod cluster_sourced;
mod cluster_steps;
mod cluster_storms;
mod cluster_story;
mod cluster_suggest;
mod cluster_time;
mod cluster_unknown;
mod cluster_verify_install;
mod support;
