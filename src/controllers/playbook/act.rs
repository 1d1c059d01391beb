//! Floor 3: what is done about a Playbook besides its status: its transitions are recorded, before the status tells them.

use jiff::Timestamp;

use super::{Decision, Judgement};
use crate::{
    adapters::{
        kube::error::Classified,
        ledger::{Ack, Ledger, Refusal},
        oci::OciError,
    },
    controllers::retention::Retention,
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
    /// How long it stands if nobody changes anything.
    pub until: Option<Timestamp>,
}

impl Done {
    pub(super) fn verdict(&self, now: Timestamp) -> Verdict {
        match &self.judgement {
            // Whatever makes the policies known wakes it.
            Err(refusal) if refusal.reason == Reason::CacheNotFilled => Verdict::Waiting {
                reason: Reason::CacheNotFilled,
                after: None,
            },
            Err(refusal) => Verdict::Held {
                reason: refusal.reason,
            },
            Ok(judgement) => match judgement.refusal() {
                // Nobody tells us when something changes in a registry.
                Some(reason) if self.until.is_some() => Verdict::until(self.until, reason, now),
                Some(reason) => Verdict::Stalled { reason },
                None => Verdict::until(self.until, Reason::Verified, now),
            },
        }
    }
}

/// What can go wrong; what cannot be recorded is waited for.
#[derive(Debug, thiserror::Error)]
pub enum PlaybookError {
    /// A registry did not bring the artifact, or the signatures of an image.
    #[error("could not fetch what is signed")]
    Fetch(#[source] OciError),
}

impl Classified for PlaybookError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Fetch(error) => error.class(),
        }
    }

    fn reason(&self) -> Reason {
        match self {
            Self::Fetch(error) => error.reason(),
        }
    }
}

pub(super) async fn act(decision: Decision, ledger: &Ledger, retention: &Retention) -> Done {
    let recorded = ledger.record_all(decision.records, Ack::Durable).await;
    if recorded.is_ok() {
        retention.keeps(decision.playbook, decision.keeps);
    }
    Done {
        judgement: recorded.and(decision.judgement),
        until: decision.until,
    }
}
