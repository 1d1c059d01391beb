//! Floor 3: the Playbook controller. It checks the document and its signatures, names its digest and records what became
//! of it. It never runs one.

mod act;
mod decide;
mod gather;
mod status;

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use tokio::sync::mpsc;

pub use act::{Done, PlaybookError};
pub use decide::{Decision, Judgement};
pub use gather::Facts;

use super::{
    harness::{Failure, Kind},
    retention::Retention,
    verification::Verification,
};
use crate::{
    adapters::{clock, ledger::Ledger},
    api::v1alpha1::{PlaybookStatus, RawPlaybook},
    domain::verdict::Verdict,
    ports::Leadership,
};

/// The Playbook controller.
pub struct PlaybookKind {
    ledger: Ledger,
    verification: Verification,
    changed: mpsc::UnboundedSender<String>,
    retention: Arc<Retention>,
}

impl PlaybookKind {
    /// One that records into this log, and tells in which namespace a Playbook changed, and how many finished runs a
    /// verified one keeps.
    pub fn new(
        ledger: Ledger,
        verification: Verification,
        (changed, retention): (mpsc::UnboundedSender<String>, Arc<Retention>),
    ) -> Self {
        Self {
            ledger,
            verification,
            changed,
            retention,
        }
    }
}

impl Kind for PlaybookKind {
    type Object = RawPlaybook;
    type Status = PlaybookStatus;
    type Facts = Facts;
    type Decision = Decision;
    type Done = Done;
    type Error = PlaybookError;

    const NAME: &'static str = "playbook";

    fn parse(text: &str) -> Result<RawPlaybook, serde_json::Error> {
        RawPlaybook::parse(text)
    }

    async fn gather(&self, object: &RawPlaybook) -> Result<Facts, PlaybookError> {
        gather::gather(object, &self.verification).await
    }

    fn decide(&self, facts: &Facts) -> Decision {
        decide::decide(facts)
    }

    async fn act(
        &self,
        decision: Decision,
        _fence: &dyn Leadership,
    ) -> Result<Done, PlaybookError> {
        Ok(act::act(decision, &self.ledger, &self.retention).await)
    }

    fn status(&self, object: &RawPlaybook, pass: Result<&Done, &Failure>) -> PlaybookStatus {
        status::status(object, pass, clock::now())
    }

    fn verdict(&self, done: &Done) -> Verdict {
        done.verdict(clock::now())
    }

    fn heard(&self, meta: &ObjectMeta, gone: bool) {
        // Nobody listens any more: the process ends.
        let _ = self
            .changed
            .send(meta.namespace.clone().unwrap_or_default());
        if gone && let (Some(namespace), Some(name)) = (&meta.namespace, &meta.name) {
            self.retention
                .keeps((namespace.clone(), name.clone()), None);
        }
    }

    fn current(object: &RawPlaybook) -> Option<&PlaybookStatus> {
        object.status.as_ref()
    }

    fn conditions(status: &PlaybookStatus) -> &[Condition] {
        status.conditions.as_deref().unwrap_or_default()
    }
}
