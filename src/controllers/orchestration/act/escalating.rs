//! Floor 3: the next people are asked about the same plan, because the deadline of those before has passed. On record before
//! anybody can see it; who was asked before stays told.

use super::{Acted, Halt, Pass, Told};
use crate::{
    adapters::{failpoint::failpoint, ledger::Ack},
    api::v1alpha1::Gate,
    controllers::{
        orchestration::{
            OrchestrationError,
            children::{Place, Question},
            decide::{Escalate, Next},
        },
        planner::Made,
    },
    domain::{plan, reason::Reason, stage::Stage, verdict::Verdict},
};

impl Pass<'_> {
    pub(super) async fn escalate(&mut self, escalate: Escalate) -> Acted {
        self.legal(self.facts.stage(), Stage::Approve)?;
        if self.kind.memory.has_left(&self.facts.run.uid) {
            return Ok((Told::Same, Verdict::Settled));
        }
        let gate = match escalate.next {
            // The process ended before the status could tell of it; that it was to be opened is on record.
            Next::Opened(gate) => gate,
            Next::Asks {
                made,
                ordinal,
                requested_by,
                record,
            } => {
                failpoint!("escalate.before");
                self.record(*record, Ack::Durable).await?;
                failpoint!("escalate.recorded");
                Box::new(self.ask_set(&made, &requested_by, ordinal).await?)
            }
        };
        let told = Told::Escalated {
            expired: Box::new(escalate.expired),
            gate,
        };
        let verdict = Verdict::Waiting {
            reason: Reason::AwaitingApproval,
            after: None,
        };
        Ok((told, verdict))
    }

    /// The Gate that asks a set of the Playbook's rules.
    pub(super) async fn ask_set(
        &self,
        made: &Made,
        requested_by: &[String],
        ordinal: u32,
    ) -> Result<Gate, Halt> {
        let set = usize::try_from(ordinal).unwrap_or(usize::MAX);
        let rules = made.approval.get(set);
        let question = Question {
            run: &made.plan.run,
            plan: &made.digest,
            diff: plan::short_diff(&made.plan, &made.seen),
            rules: rules.ok_or(OrchestrationError::NobodyToAsk)?,
            requested_by,
            place: Place::rule_set(ordinal),
        };
        let gate = self.kind.open_gate(&question, self.facts.now, self.fence);
        Ok(gate.await?)
    }
}
