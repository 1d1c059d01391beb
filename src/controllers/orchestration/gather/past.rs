//! Floor 3: what has become of a run so far, by its records, and what it goes by, from the store. Reads only.

use std::sync::Arc;

use super::Facts;
use crate::{
    adapters::{kube::error::chain, ledger},
    controllers::{
        orchestration::{OrchestrationError, OrchestrationKind},
        settling::is_open,
    },
    domain::{audit::record::Record, plan::Plan, run::History},
    ports::LeafIndex,
};

impl OrchestrationKind {
    /// What its records say, or why that cannot be known now.
    pub(super) async fn history(
        &self,
        facts: &Facts,
    ) -> Result<Result<History, ledger::Refusal>, OrchestrationError> {
        match self.ledger.history(&facts.run.uid).await {
            Ok(leaves) => Ok(Ok(told(leaves))),
            Err(refusal) => self.past_of_a_stop(facts, refusal).await,
        }
    }

    /// A run that is cancelled stops also while nothing can be recorded: by what can still be read, or, if that is nothing,
    /// as one that has not begun, if its Gate says that it has not. One that may have begun is held until it is known what
    /// is cut off; nothing of it goes on meanwhile.
    async fn past_of_a_stop(
        &self,
        facts: &Facts,
        refusal: ledger::Refusal,
    ) -> Result<Result<History, ledger::Refusal>, OrchestrationError> {
        if facts.spec.cancel != Some(true) {
            return Ok(Err(refusal));
        }
        if let Ok(leaves) = self.ledger.history_for_stop(&facts.run.uid).await {
            return Ok(Ok(told(leaves)));
        }
        let asked = facts.status.gates.iter().flatten().next().is_some();
        let untouched = !asked || self.gate(facts).await?.is_some_and(|gate| is_open(&gate));
        Ok(if untouched {
            Ok(History::default())
        } else {
            Err(refusal)
        })
    }

    /// The plan as it was approved, from the store: what was written with the claim.
    pub(super) async fn stored(
        &self,
        uid: &str,
        history: &History,
    ) -> Result<Result<Arc<Plan>, String>, OrchestrationError> {
        let stored = self
            .ledger
            .plan_of(uid)
            .await
            .map_err(OrchestrationError::Log)?;
        let (Some(bytes), Some(started)) = (stored, &history.started) else {
            let message = "the plan that was approved is not in the store any more";
            return Ok(Err(message.to_owned()));
        };
        Ok(match Plan::parse(&bytes, &started.plan) {
            Ok(plan) => {
                let plan = Arc::new(plan);
                self.memory.keep(uid, Arc::clone(&plan));
                Ok(plan)
            }
            Err(error) => Err(chain(&error)),
        })
    }
}

fn told(leaves: Vec<(LeafIndex, Record)>) -> History {
    History::of(leaves.iter().map(|(at, record)| (at.index, record)))
}
