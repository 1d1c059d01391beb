//! Floor 3: what has to be known before the next people are asked, because the deadline of those before has passed. Reads
//! and dry runs only.

use super::Facts;
use crate::{
    api::v1alpha1::{Gate, GateState, OnTimeout},
    controllers::{
        orchestration::{
            OrchestrationError, OrchestrationKind,
            children::{Place, rule_set},
        },
        planner::Made,
    },
    domain::{digest::Digest, plan::Obstacle},
};

/// What has to be known before the next set of rules is asked.
#[derive(Debug)]
pub(in crate::controllers::orchestration) enum Escalation {
    /// The run is suspended, and nothing was looked at.
    Suspended,
    /// It is asked already.
    Opened(Box<Gate>),
    /// The set, and what would run now.
    Planned {
        ordinal: u32,
        made: Result<Box<Made>, Vec<Obstacle>>,
    },
}

impl OrchestrationKind {
    /// What has to be known before the next set of rules is asked; nothing where it is not known which one that would be.
    pub(super) async fn escalation(
        &self,
        facts: &Facts,
        gate: &Gate,
    ) -> Result<Option<Escalation>, OrchestrationError> {
        if facts.spec.suspend == Some(true) {
            return Ok(Some(Escalation::Suspended));
        }
        let Ok(plan) = Digest::try_from(gate.spec.subject.plan_digest.clone()) else {
            return Ok(None);
        };
        let Some(ordinal) = rule_set(gate, &facts.run, &plan).map(|set| set.saturating_add(1))
        else {
            return Ok(None);
        };
        let place = Place::rule_set(ordinal);
        if let Some(next) = self.opened(&facts.run, &plan, place).await? {
            return Ok(Some(Escalation::Opened(Box::new(next))));
        }
        let made = self.planner.plan(&facts.run, &facts.spec).await;
        Ok(Some(Escalation::Planned {
            ordinal,
            made: made.map(Box::new),
        }))
    }
}

/// Whether the deadline of this Gate has passed and others are to be asked then.
pub(super) fn escalates(gate: &Gate) -> bool {
    let state = gate.status.as_ref().and_then(|status| status.state);
    state == Some(GateState::Expired) && gate.spec.on_timeout == Some(OnTimeout::Escalate)
}
