//! Floor 3: what is known about a Gate before anything is decided. Reads only, and before its deadline none about a Gate
//! that nobody voted on.

use jiff::Timestamp;
use kube::ResourceExt as _;

use super::{
    super::{
        counting::{Count, Counting, CountingError},
        settling::is_open,
    },
    Voted,
};
use crate::{
    adapters::ledger::{self, Ledger},
    api::v1alpha1::{Gate, OnTimeout},
    domain::{digest::Digest, gate::Outcome, run::History},
};

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
    /// They were counted, the deadline has passed, and the Gate says that it is approved then.
    Lapsed {
        /// The count.
        count: Count,
        /// The signed Playbook whose policy that is; or why there is none that may approve.
        policy: Result<Digest, String>,
    },
    /// The transparency log does not say since when votes can be trusted.
    Unknown(ledger::Refusal),
}

pub(super) async fn gather(
    gate: &Gate,
    counting: &Counting,
    ledger: &Ledger,
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
        let found = match counting.count(gate, now).await {
            Ok(count) if lapses(gate, &count) => lapsed(gate, count, counting, ledger).await,
            Ok(count) => Ok(Found::Counted(count)),
            Err(error) => Err(error),
        };
        match found {
            Ok(found) => found,
            Err(error) => match error.refusal() {
                Some(refusal) => Found::Unknown(refusal.clone()),
                None => return Err(error),
            },
        }
    };
    let gate = gate.clone();
    Ok(Facts { gate, now, found })
}

fn lapses(gate: &Gate, count: &Count) -> bool {
    count.tally.outcome == Outcome::Expired && gate.spec.on_timeout == Some(OnTimeout::Approve)
}

/// Whether a policy approves what nobody decided in time: only that of a signed Playbook, which is the one that the run of
/// this Gate was planned from by its record; and only if whoever was against it could say so all the time.
async fn lapsed(
    gate: &Gate,
    count: Count,
    counting: &Counting,
    ledger: &Ledger,
) -> Result<Found, CountingError> {
    let none = |why: &str| Err(why.to_owned());
    let policy = if !is_of_a_run(gate) {
        none("the Gate stands alone, and no signed Playbook says who approves")
    } else if !counting.was_guarded(gate).await? {
        none("the admission guard was not whole all the time since it was opened")
    } else {
        match ledger.history(&gate.spec.subject.uid).await {
            Err(refusal) => return Ok(Found::Unknown(refusal)),
            Ok(leaves) => {
                let records = leaves.iter().map(|(at, record)| (at.index, record));
                planned_from(gate, History::of(records))
            }
        }
    };
    Ok(Found::Lapsed { count, policy })
}

/// Whether the operator opened it for a run, whose object owns it.
fn is_of_a_run(gate: &Gate) -> bool {
    let mut owners = gate.owner_references().iter();
    owners.any(|owner| owner.controller == Some(true) && owner.uid == gate.spec.subject.uid)
}

/// The Playbook that the run was planned from, if the Gate asks about its plan and there is still something to decide.
fn planned_from(gate: &Gate, history: History) -> Result<Digest, String> {
    if history.finished.is_some() {
        return Err("its run has come to its end".to_owned());
    }
    let planned =
        (history.planned).filter(|planned| planned.plan.as_str() == gate.spec.subject.plan_digest);
    planned
        .and_then(|planned| planned.playbook)
        .ok_or_else(|| "it is on no record that a run was planned as it says".to_owned())
}
