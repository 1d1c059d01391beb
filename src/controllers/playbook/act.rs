//! Floor 3: what is done about a Playbook besides its status: nothing yet. Its revision is recorded here once there
//! is a store.

use super::Decision;
use crate::{
    adapters::kube::error::Classified,
    domain::{
        reason::Reason,
        verdict::{ErrorClass, Verdict},
    },
};

/// What really happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// The decision, carried out.
    pub decision: Decision,
}

impl Done {
    pub(super) fn verdict(&self) -> Verdict {
        match &self.decision {
            Decision::Refuse { reason, .. } => Verdict::Stalled { reason: *reason },
            Decision::Accept { .. } => Verdict::Waiting {
                reason: Reason::VerifierMissing,
                after: None,
            },
        }
    }
}

/// What can go wrong: nothing, as long as nothing is read or written.
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

pub(super) fn act(decision: Decision) -> Done {
    Done { decision }
}
