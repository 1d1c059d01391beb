//! Floor 3: what a run waits for. Pure.

use std::time::Duration;

use super::Decision;
use crate::{
    adapters::ledger::Draft,
    api::v1alpha1::{PlanVerdict, Suggestion},
    domain::{reason::Reason, stage::Stage},
};

/// What a run waits for.
#[derive(Clone, Debug)]
pub(in crate::controllers::orchestration) struct Wait {
    pub(in crate::controllers::orchestration) stage: Stage,
    pub(in crate::controllers::orchestration) reason: Reason,
    pub(in crate::controllers::orchestration) message: String,
    /// When to look again; none: somebody wakes it.
    pub(in crate::controllers::orchestration) after: Option<Duration>,
    /// Whether the right people have approved already.
    pub(in crate::controllers::orchestration) approved: bool,
    /// What keeps it from going on, to be recorded once.
    pub(in crate::controllers::orchestration) record: Option<Draft>,
    /// What the dry run came to, if that is what keeps it.
    pub(in crate::controllers::orchestration) verdict: Option<PlanVerdict>,
    /// Whether it waits because what would be done could not be found out now.
    pub(in crate::controllers::orchestration) doubt: bool,
    /// The Playbooks that fit, if it waits for somebody to take one.
    pub(in crate::controllers::orchestration) suggestions: Option<Vec<Suggestion>>,
}

impl Wait {
    /// Waits until somebody wakes it.
    pub(super) fn new(stage: Stage, reason: Reason, message: impl Into<String>) -> Self {
        Self {
            stage,
            reason,
            message: message.into(),
            after: None,
            approved: false,
            record: None,
            verdict: None,
            doubt: false,
            suggestions: None,
        }
    }

    /// Waits with the approval that is needed.
    pub(in crate::controllers::orchestration) fn approved(
        stage: Stage,
        reason: Reason,
        message: impl Into<String>,
    ) -> Self {
        Self {
            approved: true,
            ..Self::new(stage, reason, message)
        }
    }

    /// Waits because it is not known what would be done; since when that is so stands in the status.
    pub(super) fn doubted(mut self) -> Self {
        self.doubt = true;
        self
    }

    /// Looks again after this time, whoever wakes it.
    pub(in crate::controllers::orchestration) fn after(mut self, after: Duration) -> Self {
        self.after = Some(after);
        self
    }
}

impl From<Wait> for Decision {
    fn from(wait: Wait) -> Self {
        Self::Wait(Box::new(wait))
    }
}
