//! Floor 3: what has become of a run so far, by its records, and what it goes by, from the store. Reads only.

use std::sync::Arc;

use super::Facts;
use crate::{
    adapters::{kube::error::chain, ledger},
    api::{
        conditions::ConditionType,
        v1alpha1::{Gate, Mode},
    },
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
        let gate = self.gate(facts).await?;
        Ok(if may_have_begun(facts, gate.as_ref()) {
            Err(refusal)
        } else {
            Ok(History::default())
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

/// Whether it may have had an effect, as far as objects tell. That the Gate which it was asked by last is open says nothing
/// of a run that is asked again in the middle, and a run that asks nobody has none.
fn may_have_begun(facts: &Facts, gate: Option<&Gate>) -> bool {
    let asked = facts.status.gates.iter().flatten().next().is_some();
    let approved = facts.told(ConditionType::Approved).is_some();
    approved
        || if asked {
            !gate.is_some_and(is_open)
        } else {
            facts.spec.mode == Some(Mode::Auto)
        }
}

fn told(leaves: Vec<(LeafIndex, Record)>) -> History {
    History::of(leaves.iter().map(|(at, record)| (at.index, record)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        api::conditions::{self, ConditionStatus, Draft},
        controllers::orchestration::{
            decide::tests::{asked_about, at, facts, gate, spec},
            gather::Look,
        },
        domain::reason::Reason,
    };

    fn stopped(mode: &str, gates: usize, approved: bool) -> Facts {
        let mut facts = facts(spec(&json!({"mode": mode})), asked_about(), Look::Settled);
        let named = json!({"name": "g", "uid": "g-uid", "state": "Open"});
        let named = serde_json::from_value(named).unwrap();
        facts.status.gates = Some(vec![named; gates]);
        if approved {
            let said = Draft::new(
                ConditionType::Approved,
                ConditionStatus::True,
                Reason::Approved,
                "by bob",
            );
            facts.status.conditions = Some(conditions::merge(&[], vec![said], Some(1), at(100)));
        }
        facts
    }

    #[test]
    fn only_what_still_asks_for_the_first_time_has_surely_not_begun() {
        let begun = |mode, gates, approved, gate: Option<&str>| {
            let facts = stopped(mode, gates, approved);
            may_have_begun(&facts, gate.map(super::tests::gate).as_ref())
        };
        assert!(!begun("Manual", 0, false, None));
        assert!(!begun("Manual", 1, false, Some("Open")));
        assert!(begun("Manual", 1, false, Some("Approved")));
        assert!(begun("Manual", 1, false, None), "its Gate is gone");
        assert!(begun("Manual", 2, true, Some("Open")), "asked midway");
        assert!(begun("Auto", 0, false, None), "nobody has to be asked");
        assert!(begun("Auto", 0, true, None));
        assert!(!begun("Auto", 1, false, Some("Open")));
    }
}
