//! The NeuralOps operator: incident playbooks that cannot run unsigned, unplanned, unapproved or unrecorded.
//!
//! The house has five floors, and dependencies point down only; `tests/floors.rs` holds that.
//!
//! ```text
//! 4  app/                       configuration, telemetry, readiness, the process and its tasks
//! 3  controllers/  http/  cli/  one folder a kind; one file a resource; one file a command; none knows another
//! 2  adapters/   (ports.rs)     the outside: API server, metrics, clock; one thing a file
//! 1  api/                       wire types of neuralops.io, conditions, schemas
//! 0  domain/                    pure: documents, linter, reasons, verdicts, arithmetic
//! ```

pub mod adapters;
pub mod api;
pub mod app;
pub mod cli;
pub mod controllers;
pub mod domain;
pub mod http;
pub mod ports;
