//! Floor 3: what has to be known before a finished run is deleted: that its end is on record, and its newest record. Reads
//! only.

use super::Facts;
use crate::{
    adapters::ledger::Refusal,
    controllers::orchestration::OrchestrationKind,
    domain::audit::{event::Event, record::Record},
};

/// What is on record of a finished run and its Gates.
#[derive(Debug)]
pub(in crate::controllers::orchestration) struct Retiring {
    /// Whether its end is.
    pub(in crate::controllers::orchestration) finished: bool,
    /// The newest record of all.
    pub(in crate::controllers::orchestration) newest: Option<Box<Record>>,
}

impl OrchestrationKind {
    pub(super) async fn retiring(&self, facts: &Facts) -> Result<Retiring, Refusal> {
        let mut leaves = self.ledger.history(&facts.run.uid).await?;
        let finished = leaves
            .iter()
            .any(|(_, record)| record.fact.code == Event::RunFinished);
        for gate in facts.status.gates.iter().flatten() {
            leaves.extend(self.ledger.history(&gate.uid).await?);
        }
        let newest = leaves
            .into_iter()
            .max_by_key(|(at, _)| (at.log.0, at.index));
        Ok(Retiring {
            finished,
            newest: newest.map(|(_, record)| Box::new(record)),
        })
    }
}
