//! Floor 3: what is done about a Gate besides its status: its end is recorded. An approval lets something happen, so it is
//! anchored before anybody is told; whatever stops something waits for nothing.

use std::sync::Arc;

use jiff::Timestamp;

use super::{Decision, Settlement, Shown};
use crate::{
    adapters::{
        ledger::{Ack, Ledger, Refusal},
        metrics::Metrics,
    },
    api::v1alpha1::GateState,
    domain::{reason::Reason, verdict::Verdict},
    ports::Leadership,
};

/// What really happened.
#[derive(Clone, Debug)]
pub enum Done {
    /// Nothing, and nothing is left to do.
    Settled,
    /// Nothing; the deadline is then.
    Open(Option<Timestamp>),
    /// There is news about an open Gate; the deadline is then.
    Shown(Shown, Option<Timestamp>),
    /// Its end is on record.
    Ended(Box<Settlement>),
    /// What it came to cannot be known, or not be recorded.
    Untold(Refusal),
}

impl Done {
    pub(super) fn verdict(&self, now: Timestamp) -> Verdict {
        match self {
            Self::Settled | Self::Ended(_) => Verdict::Settled,
            Self::Open(until) => waiting(*until, Reason::AwaitingApproval, now),
            Self::Shown(shown, until) => waiting(*until, shown.reason, now),
            Self::Untold(refusal) => Verdict::Held {
                reason: refusal.reason,
            },
        }
    }
}

fn waiting(until: Option<Timestamp>, reason: Reason, now: Timestamp) -> Verdict {
    match until {
        Some(_) => Verdict::until(until, reason, now),
        None => Verdict::Waiting {
            reason,
            after: None,
        },
    }
}

pub(super) async fn act(
    decision: Decision,
    ledger: &Ledger,
    metrics: &Arc<Metrics>,
    fence: &dyn Leadership,
) -> Done {
    let settlement = match decision {
        Decision::Settled => return Done::Settled,
        Decision::Open(until) => return Done::Open(until),
        Decision::Show(shown, until) => return Done::Shown(shown, until),
        Decision::Wait(refusal) => return Done::Untold(refusal),
        Decision::Settle(settlement) => settlement,
    };
    if fence.holds().is_err() {
        return Done::Open(None);
    }
    let record = settlement.record.clone();
    if settlement.state == GateState::Approved {
        if let Err(refusal) = ledger.record(record, Ack::Anchored).await {
            return Done::Untold(refusal);
        }
    } else {
        ledger.record_stop(record).await;
    }
    metrics.gate_settled(settlement.reason, settlement.waited);
    Done::Ended(settlement)
}
