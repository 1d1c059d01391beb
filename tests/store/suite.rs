//! The list of tests that every store passes, by what they are about.

#[path = "suite/damage.rs"]
pub mod damage;
#[path = "suite/failure.rs"]
pub mod failure;
#[path = "suite/leading.rs"]
pub mod leading;
#[path = "suite/logs.rs"]
pub mod logs;
#[path = "suite/reading.rs"]
pub mod reading;
#[path = "suite/runs.rs"]
pub mod runs;
#[path = "suite/storms.rs"]
pub mod storms;
#[path = "suite/writing.rs"]
pub mod writing;
