//! Floor 1: one file per kind of `neuralops.io/v1alpha1`; the step kinds of a Playbook have a file of their own.
//! Fields and names are bound by the contract; behaviour lives on the floors above.

mod audit_log;
mod decision;
mod freeze;
mod gate;
mod orchestration;
mod playbook;
mod steps;
mod trust_policy;

pub use audit_log::*;
pub use decision::*;
pub use freeze::*;
pub use gate::*;
pub use orchestration::*;
pub use playbook::*;
pub use steps::*;
pub use trust_policy::*;
