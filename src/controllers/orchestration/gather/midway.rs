//! Floor 3: what is known of a Gate in the middle of a run: the Gate itself, and once it is approved, whether it still is and
//! whether what is left would be done as it was approved. Reads and dry runs only.

use std::sync::Arc;

use kube::{Api, ResourceExt as _};

use super::{Facts, Frozen};
use crate::{
    api::v1alpha1::{Gate, GateState, OnTimeout},
    controllers::orchestration::{
        OrchestrationError, OrchestrationKind,
        children::{Place, is_owned_by},
        decide::{GATE, rules_of, shaped_by},
    },
    domain::{
        digest::Digest,
        plan::{Obstacle, Plan, PlannedStep},
        run::{Attempt, History},
    },
};

/// What is known of it.
#[derive(Debug)]
pub(in crate::controllers::orchestration) struct Midway {
    /// The Gate, if it is there.
    pub(in crate::controllers::orchestration) gate: Option<Box<Gate>>,
    /// Whether the run's status tells of it.
    pub(in crate::controllers::orchestration) told: bool,
    /// What an approval is worth now; nothing while something keeps the run from going on.
    pub(in crate::controllers::orchestration) rest: Option<Rest>,
}

/// What is left of the plan.
#[derive(Debug)]
pub(in crate::controllers::orchestration) enum Rest {
    /// Its votes do not approve it any more.
    Void(String),
    /// It cannot be planned again.
    Obstructed(Vec<Obstacle>),
    /// It would be done as it was approved.
    Same,
    /// It would not.
    Differs,
}

impl OrchestrationKind {
    /// The newest Gate that a step has asked by, as long as its end is not told.
    pub(super) async fn midway(
        &self,
        facts: &Facts,
        history: &History,
        (plan, frozen): (&Arc<Plan>, &[Frozen]),
    ) -> Result<Option<Midway>, OrchestrationError> {
        let Some(started) = &history.started else {
            return Ok(None);
        };
        let Some((index, step, attempt)) = asking(plan, history) else {
            return Ok(None);
        };
        let place = Place {
            step: &step.name,
            ordinal: attempt.number,
        };
        let name = place.name(&facts.run, &started.plan);
        let mut named = facts.status.gates.iter().flatten();
        let named = named.find(|gate| gate.name == name);
        if attempt.ended.is_some() && named.is_none_or(|gate| gate.state != GateState::Open) {
            return Ok(None);
        }
        let gate = match named {
            None => self.opened(&facts.run, &started.plan, place).await?,
            Some(named) => {
                let gates: Api<Gate> = Api::namespaced(self.client.clone(), &facts.run.namespace);
                let found = gates.get_opt(&name).await;
                let found = found.map_err(|source| OrchestrationError::Read {
                    what: "the Gate of a step",
                    source: Box::new(source),
                })?;
                found.filter(|gate| {
                    let there = gate.metadata.deletion_timestamp.is_none();
                    there && gate.uid().as_ref() == Some(&named.uid)
                })
            }
        };
        // Status and Gate may have been written while no policy kept others from it.
        let gate = gate.filter(|gate| asks_as(facts, gate, (&started.plan, step)));
        let held = !frozen.is_empty() || facts.spec.suspend == Some(true);
        let rest = match &gate {
            Some(gate) if attempt.ended.is_none() && is_approved(gate) && !held => {
                Some(self.rest(facts, gate, (plan, index)).await?)
            }
            _ => None,
        };
        Ok(Some(Midway {
            told: named.is_some(),
            gate: gate.map(Box::new),
            rest,
        }))
    }

    async fn rest(
        &self,
        facts: &Facts,
        gate: &Gate,
        (plan, index): (&Arc<Plan>, usize),
    ) -> Result<Rest, OrchestrationError> {
        if let Err(why) = self.approved_still(gate).await? {
            return Ok(Rest::Void(why));
        }
        let from = index.saturating_add(1);
        let again = self.planner.again(&facts.run, &facts.spec, plan, from);
        Ok(match again.await {
            Err(obstacles) => Rest::Obstructed(obstacles),
            Ok(again) if again == **plan => Rest::Same,
            Ok(_) => Rest::Differs,
        })
    }
}

/// The last step that has asked people.
fn asking<'a>(
    plan: &'a Plan,
    history: &'a History,
) -> Option<(usize, &'a PlannedStep, &'a Attempt)> {
    let steps = plan.steps.iter().enumerate().rev();
    let mut asked = steps.filter(|(_, step)| step.kind == GATE);
    asked.find_map(|(index, step)| Some((index, step, history.attempt(&step.name)?)))
}

/// Whether it is a Gate that this run opened for that step: about its plan, asking as the plan says, and not whoever shaped it.
fn asks_as(facts: &Facts, gate: &Gate, (plan, step): (&Digest, &PlannedStep)) -> bool {
    let (spec, rules) = (&gate.spec, rules_of(step));
    is_owned_by(&gate.metadata, &facts.run)
        && spec.subject.uid == facts.run.uid
        && spec.subject.plan_digest == plan.as_str()
        && spec.requested_by == shaped_by(facts)
        && rules.is_some_and(|rules| {
            spec.rules == rules.rules
                && spec.on_timeout == Some(rules.on_timeout.unwrap_or(OnTimeout::Reject))
        })
}

fn is_approved(gate: &Gate) -> bool {
    let state = gate.status.as_ref().and_then(|status| status.state);
    state == Some(GateState::Approved)
}
