//! Floor 3: people are asked in the middle of a run, and what they said is on record before anything follows from it.

use super::{AT_ONCE, Acted, OrchestrationError, Pass, Told};
use crate::{
    adapters::{
        failpoint::failpoint,
        ledger::{Ack, Draft},
    },
    api::v1alpha1::{ApprovalRules, Gate},
    controllers::orchestration::{
        children::{Place, Question},
        decide::{AskMidway, Turned, rules_of, shaped_by},
        records,
    },
    domain::{
        plan::{self, Plan},
        reason::Reason,
        run::Way,
        verdict::Verdict,
    },
};

impl Pass<'_> {
    pub(super) async fn midway(&mut self, asks: AskMidway) -> Acted {
        let history = self.facts.history.as_ref().ok();
        let started = history.and_then(|history| history.started.clone());
        let (Some(step), Some(started)) = (asks.plan.steps.get(asks.index), started) else {
            return Ok((Told::Same, Verdict::Settled));
        };
        let intended = match asks.next {
            Turned::Opens { intended } => intended,
            Turned::Answered {
                gate,
                ended,
                message,
            } => {
                let attempt = (step.name.as_str(), asks.attempt);
                let about = (&*asks.plan, &started.plan, gate.as_deref());
                let record = records::answered(&self.facts.run, attempt, about, ended, &message);
                return self.answered(&step.name, record, (gate, message)).await;
            }
        };
        // It was deleted meanwhile, and nobody is to be asked.
        if self.kind.memory.has_left(&self.facts.run.uid) {
            return Ok((Told::Same, Verdict::Settled));
        }
        if !intended {
            let intent = (Way::Forth, asks.attempt);
            let intent = records::intended(&self.facts.run, &started.plan, step, intent);
            self.record(records::asking(intent), Ack::Anchored).await?;
            failpoint!("midway.intended");
        }
        let rules = rules_of(step).ok_or(OrchestrationError::NobodyToAsk)?;
        let rules = ApprovalRules {
            rules: rules.rules,
            deadline: rules.deadline,
            on_timeout: rules.on_timeout,
        };
        let left = left(&asks.plan, asks.index);
        let question = Question {
            run: &asks.plan.run,
            plan: &started.plan,
            diff: format!("What is left to do:\n{}", plan::short_diff(&left, &[])),
            rules: &rules,
            requested_by: &shaped_by(&self.facts),
            place: Place {
                step: &step.name,
                ordinal: asks.attempt,
            },
        };
        let (kind, now) = (self.kind, self.facts.now);
        let gate = Box::new(kind.open_gate(&question, now, self.fence).await?);
        failpoint!("midway.opened");
        let verdict = Verdict::Waiting {
            reason: Reason::AwaitingApproval,
            after: None,
        };
        Ok((Told::AskedMidway { gate }, verdict))
    }

    /// The answer is on record before anything follows from it.
    async fn answered(
        &mut self,
        step: &str,
        record: Draft,
        (gate, message): (Option<Box<Gate>>, String),
    ) -> Acted {
        failpoint!("midway.before");
        self.record(record, Ack::Durable).await?;
        failpoint!("midway.answered");
        let memory = &self.kind.memory;
        memory.say(&self.facts.run.uid, step, &message);
        Ok((Told::Answered { gate, message }, AT_ONCE))
    }
}

/// What comes after the step that asks.
fn left(plan: &Plan, asks: usize) -> Plan {
    let steps = plan.steps.iter().skip(asks.saturating_add(1));
    Plan {
        steps: steps.cloned().collect(),
        ..plan.clone()
    }
}
