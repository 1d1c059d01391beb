//! Floor 3: what is done about a TrustPolicy besides its status: its transitions and the revisions that it sets back are
//! recorded, before anybody acts on them.

use jiff::Timestamp;
use tokio::sync::watch;

use super::{Decision, Judgement};
use crate::{
    adapters::{
        kube::error::Classified,
        ledger::{Ack, Ledger, Refusal},
    },
    domain::{
        reason::Reason,
        verdict::{ErrorClass, Verdict},
    },
};

/// What really happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Done {
    /// The judgement; or why there is none that may be told, because it cannot be known or is not on record.
    pub judgement: Result<Judgement, Refusal>,
    /// When it has to be looked at again.
    pub until: Option<Timestamp>,
}

impl Done {
    pub(super) fn verdict(&self, now: Timestamp) -> Verdict {
        match &self.judgement {
            Err(refusal) => Verdict::Held {
                reason: refusal.reason,
            },
            Ok(Judgement::Unseen) => Verdict::Waiting {
                reason: Reason::CacheNotFilled,
                after: None,
            },
            Ok(judgement) => match judgement.refusal() {
                Some(reason) => Verdict::Stalled { reason },
                None => Verdict::until(self.until, Reason::Valid, now),
            },
        }
    }
}

/// What can go wrong: nothing, as what cannot be recorded is waited for.
#[derive(Debug, thiserror::Error)]
pub enum TrustPolicyError {}

impl Classified for TrustPolicyError {
    fn class(&self) -> ErrorClass {
        match *self {}
    }

    fn reason(&self) -> Reason {
        match *self {}
    }
}

pub(super) async fn act(
    decision: Decision,
    ledger: &Ledger,
    set_back: &watch::Sender<u64>,
) -> Done {
    let recorded = ledger.record_all(decision.records, Ack::Durable).await;
    if decision.set_back > 0 {
        // Also after a refusal: some of them may be on record.
        set_back.send_modify(|count| *count = count.wrapping_add(decision.set_back));
    }
    Done {
        judgement: recorded.and(decision.judgement),
        until: decision.until,
    }
}
