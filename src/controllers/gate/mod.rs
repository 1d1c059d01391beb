//! Floor 3: the Gate controller. It counts the votes about a Gate and settles it, for the Gates of runs and for those that
//! stand alone. What follows from an approval is not known here.

mod act;
mod decide;
mod gather;
mod status;
mod votes;

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use kube::Client;
use tokio::sync::mpsc;

pub use act::Done;
pub use decide::{Decision, Settlement, Shown};
pub use gather::{Facts, Found};
pub use votes::{Voted, wakes};

use super::{
    counting::{Counting, CountingError},
    guard::GuardWatch,
    harness::{Failure, Kind},
};
use crate::{
    adapters::{clock, ledger::Ledger, metrics::Metrics},
    api::{
        GROUP,
        v1alpha1::{Gate, GateStatus},
    },
    domain::verdict::Verdict,
    ports::Leadership,
};

/// Namespace and name of a run whose Gate the watch spoke of.
pub type RunName = (String, String);

/// The Gate controller.
pub struct GateKind {
    counting: Counting,
    ledger: Ledger,
    metrics: Arc<Metrics>,
    voted: Arc<Voted>,
    /// Who waits for a Gate hears of it here, and need not watch Gates a second time.
    runs: mpsc::UnboundedSender<RunName>,
}

impl GateKind {
    /// One that trusts votes by this guard and records into this log. `voted` is shared with [`wakes`].
    pub fn new(
        client: Client,
        guard: Arc<GuardWatch>,
        ledger: Ledger,
        metrics: Arc<Metrics>,
        voted: Arc<Voted>,
        runs: mpsc::UnboundedSender<RunName>,
    ) -> Self {
        Self {
            counting: Counting::new(client, guard),
            ledger,
            metrics,
            voted,
            runs,
        }
    }
}

impl Kind for GateKind {
    type Object = Gate;
    type Status = GateStatus;
    type Facts = Facts;
    type Decision = Decision;
    type Done = Done;
    type Error = CountingError;

    const NAME: &'static str = "gate";

    fn parse(text: &str) -> Result<Gate, serde_json::Error> {
        serde_json::from_str(text)
    }

    async fn gather(&self, object: &Gate) -> Result<Facts, CountingError> {
        gather::gather(
            object,
            &self.counting,
            &self.ledger,
            &self.voted,
            clock::now(),
        )
        .await
    }

    fn decide(&self, facts: &Facts) -> Decision {
        decide::decide(facts)
    }

    async fn act(&self, decision: Decision, fence: &dyn Leadership) -> Result<Done, CountingError> {
        Ok(act::act(decision, &self.ledger, &self.metrics, fence).await)
    }

    fn status(&self, object: &Gate, pass: Result<&Done, &Failure>) -> GateStatus {
        status::status(object, pass, clock::now())
    }

    fn verdict(&self, done: &Done) -> Verdict {
        done.verdict(clock::now())
    }

    fn current(object: &Gate) -> Option<&GateStatus> {
        object.status.as_ref()
    }

    fn conditions(status: &GateStatus) -> &[Condition] {
        status.conditions.as_deref().unwrap_or_default()
    }

    fn heard(&self, meta: &ObjectMeta, _gone: bool) {
        if let Some(run) = run(meta) {
            // Nobody listens while the process ends.
            let _ = self.runs.send(run);
        }
    }
}

/// The run that a Gate belongs to.
fn run(meta: &ObjectMeta) -> Option<RunName> {
    let ours = |version: &str| version.split('/').next() == Some(GROUP);
    let mut owners = meta.owner_references.iter().flatten();
    let run = owners.find(|owner| owner.kind == "Orchestration" && ours(&owner.api_version))?;
    Some((meta.namespace.clone()?, run.name.clone()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_gate_belongs_to_its_run_and_to_nothing_else() {
        let owned = |version: &str, kind: &str| {
            let owner = json!({"apiVersion": version, "kind": kind, "name": "r", "uid": "u"});
            let meta = json!({"name": "g", "namespace": "shop", "ownerReferences": [owner]});
            run(&serde_json::from_value(meta).unwrap())
        };
        let run = owned("neuralops.io/v1alpha1", "Orchestration");
        assert_eq!(run, Some(("shop".into(), "r".into())));
        assert_eq!(owned("example.org/v1", "Orchestration"), None);
        assert_eq!(owned("neuralops.io/v1alpha1", "Playbook"), None);
        assert_eq!(super::run(&ObjectMeta::default()), None);
    }
}
