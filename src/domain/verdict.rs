//! Floor 0: what a pass over an object came to. Waiting and being stuck are values, not errors:
//! an error means only "transient, try again with backoff".

use std::time::Duration;

use super::reason::Reason;

/// What a pass over an object came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is left to do until the object changes.
    Settled,
    /// Something outside must happen; look again after this time, or when woken.
    Waiting {
        /// What is waited for.
        reason: Reason,
        /// When to look again; none: a watch event will wake us.
        after: Option<Duration>,
    },
    /// It cannot be recorded now, so it did not happen; look again as soon as it can.
    Held {
        /// Why it cannot be recorded.
        reason: Reason,
    },
    /// Nothing will change until a person changes the object.
    Stalled {
        /// Why.
        reason: Reason,
    },
}

/// How a failure is to be treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// It may pass: try again with backoff.
    Transient,
    /// It will not pass by trying again.
    Permanent,
    /// It must not happen at all: our defect.
    Bug,
}
