//! Floor 3: the TrustPolicy controller. It tells whether a policy can be used and what its keys and roots are, records
//! when trust changes, and sets revisions back where a policy asks for it. It judges no Playbook.

mod act;
mod decide;
mod gather;
mod status;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

pub use act::{Done, TrustPolicyError};
pub use decide::{Decision, Judgement};
pub use gather::Facts;

use kube::Client;
use tokio::sync::watch;

use super::harness::{Failure, Kind};
use crate::{
    adapters::{clock, kube::policies::Policies, ledger::Ledger},
    api::v1alpha1::{TrustPolicy, TrustPolicyStatus},
    domain::verdict::Verdict,
    ports::Leadership,
};

/// The TrustPolicy controller.
pub struct TrustPolicyKind {
    policies: Policies,
    ledger: Ledger,
    client: Client,
    /// Whoever looks at Playbooks has to look again: a revision was set back.
    set_back: watch::Sender<u64>,
}

impl TrustPolicyKind {
    /// One that tells about these policies and records into this log; `set_back` counts up with each revision that is set
    /// back.
    pub fn new(
        policies: Policies,
        ledger: Ledger,
        client: Client,
        set_back: watch::Sender<u64>,
    ) -> Self {
        Self {
            policies,
            ledger,
            client,
            set_back,
        }
    }
}

impl Kind for TrustPolicyKind {
    type Object = TrustPolicy;
    type Status = TrustPolicyStatus;
    type Facts = Facts;
    type Decision = Decision;
    type Done = Done;
    type Error = TrustPolicyError;

    const NAME: &'static str = "trustpolicy";

    fn parse(text: &str) -> Result<TrustPolicy, serde_json::Error> {
        serde_json::from_str(text)
    }

    async fn gather(&self, object: &TrustPolicy) -> Result<Facts, TrustPolicyError> {
        Ok(gather::gather(object, &self.policies, &self.ledger, &self.client).await)
    }

    fn decide(&self, facts: &Facts) -> Decision {
        decide::decide(facts)
    }

    async fn act(
        &self,
        decision: Decision,
        _fence: &dyn Leadership,
    ) -> Result<Done, TrustPolicyError> {
        Ok(act::act(decision, &self.ledger, &self.set_back).await)
    }

    fn status(&self, object: &TrustPolicy, pass: Result<&Done, &Failure>) -> TrustPolicyStatus {
        status::status(object, pass, clock::now())
    }

    fn verdict(&self, done: &Done) -> Verdict {
        done.verdict(clock::now())
    }

    fn current(object: &TrustPolicy) -> Option<&TrustPolicyStatus> {
        object.status.as_ref()
    }

    fn conditions(status: &TrustPolicyStatus) -> &[Condition] {
        status.conditions.as_deref().unwrap_or_default()
    }
}
