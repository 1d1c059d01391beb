//! Floor 3: the controllers, one folder a kind, each the same files: mod, gather, decide, act, status.
//! The pass over an object is written once, in `harness`; no controller knows another.

/// Who acts, in records: the operator of its own accord, whichever replica leads.
const CONTROLLER: &str = "neuralops-controller";

pub mod backoff;
pub mod counting;
pub mod freezes;
pub mod gate;
pub mod guard;
pub mod harness;
pub mod held;
pub mod matching;
pub mod orchestration;
pub mod planner;
pub mod playbook;
pub mod pulse;
pub mod retention;
pub mod rules;
pub mod settling;
pub mod trust_policy;
pub mod untold;
pub mod verification;
