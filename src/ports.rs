//! Floor 2's edge: traits, only where two real implementations exist or a flow cannot be tested without a fake.
//! `kube::Client` is never hidden behind one.

use std::fmt;

/// Counts leaderships: whoever acts says under which one, so that a deposed leader is told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// This process does not lead now, or cannot be sure that it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this replica does not lead")]
pub struct NotLeader;

/// Whether this process may act. Asked again before every write, never remembered.
pub trait Leadership: Send + Sync {
    /// The epoch under which to act now.
    fn epoch(&self) -> Result<Epoch, NotLeader>;
}
