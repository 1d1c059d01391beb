//! Floor 4: wiring. Configuration, telemetry, readiness, and the one place that owns every task.
//! No business here: it puts the floors below together and watches over them.

pub mod config;
mod controllers;
mod installation;
pub mod readiness;
pub mod run;
mod serving;
pub mod telemetry;
