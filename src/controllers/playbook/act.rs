//! Floor 3: what is done about a Playbook besides its status: its transitions are recorded, before the status tells them.

use super::Decision;
use crate::{
    adapters::{
        kube::error::Classified,
        ledger::{Ack, Ledger, Refusal},
    },
    controllers::playbook::Judgement,
    domain::{
        reason::Reason,
        verdict::{ErrorClass, Verdict},
    },
};

/// What really happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// The judgement.
    pub judgement: Judgement,
    /// Why it is not on record, if it is not: then nothing may tell it.
    pub unrecorded: Option<Refusal>,
}

impl Done {
    pub(super) fn verdict(&self) -> Verdict {
        match (&self.unrecorded, &self.judgement) {
            (Some(refusal), _) => Verdict::Held {
                reason: refusal.reason,
            },
            (None, Judgement::Refuse { reason, .. }) => Verdict::Stalled { reason: *reason },
            (None, Judgement::Accept { .. }) => Verdict::Waiting {
                reason: Reason::VerifierMissing,
                after: None,
            },
        }
    }
}

/// What can go wrong: nothing, as what cannot be recorded is waited for.
#[derive(Debug, thiserror::Error)]
pub enum PlaybookError {}

impl Classified for PlaybookError {
    fn class(&self) -> ErrorClass {
        match *self {}
    }

    fn reason(&self) -> Reason {
        match *self {}
    }
}

pub(super) async fn act(decision: Decision, ledger: &Ledger) -> Done {
    let mut unrecorded = None;
    for fact in decision.records {
        if let Err(refusal) = ledger.record(fact.into(), Ack::Durable).await {
            unrecorded = Some(refusal);
            break;
        }
    }
    Done {
        judgement: decision.judgement,
        unrecorded,
    }
}
