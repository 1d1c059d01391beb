//! Floor 3: what is known about a Gate before anything is decided. Reads only, and none about a Gate that nobody voted on.

use jiff::Timestamp;
use kube::ResourceExt as _;

use super::{
    super::{
        counting::{Count, Counting, CountingError},
        settling::is_open,
    },
    Voted,
};
use crate::{adapters::ledger, api::v1alpha1::Gate};

/// What is known about a Gate.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The Gate.
    pub gate: Gate,
    /// When this was found.
    pub now: Timestamp,
    /// What became of its votes.
    pub found: Found,
}

/// What became of the votes about a Gate.
#[derive(Clone, Debug)]
pub enum Found {
    /// It is settled; whatever is voted changes nothing.
    Settled,
    /// Nobody has voted.
    Unvoted,
    /// They were counted.
    Counted(Count),
    /// The transparency log does not say since when votes can be trusted.
    Unknown(ledger::Refusal),
}

pub(super) async fn gather(
    gate: &Gate,
    counting: &Counting,
    voted: &Voted,
    now: Timestamp,
) -> Result<Facts, CountingError> {
    let uid = gate.uid().unwrap_or_default();
    let over = gate
        .spec
        .deadline
        .as_ref()
        .is_some_and(|deadline| now >= deadline.0);
    let found = if !is_open(gate) {
        voted.forget(&uid);
        Found::Settled
    } else if !voted.has(&uid) && !over {
        Found::Unvoted
    } else {
        match counting.count(gate, now).await {
            Ok(count) => Found::Counted(count),
            Err(error) => match error.refusal() {
                Some(refusal) => Found::Unknown(refusal.clone()),
                None => return Err(error),
            },
        }
    };
    let gate = gate.clone();
    Ok(Facts { gate, now, found })
}
