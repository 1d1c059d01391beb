//! Floor 3: what is done about a run: records first, then what they are about. Each pass does one thing, and each thing can
//! be repeated: ids of records, names of objects and locks are the same for whoever goes on.

mod escalating;
mod midway;
mod retiring;
mod stepping;

use std::{sync::Arc, time::Duration};

use super::{
    OrchestrationError, OrchestrationKind,
    decide::{Ask, Begin, Decision, Finish, Turn, Wait, over_at},
    gather::Facts,
    records,
};
use crate::{
    adapters::{
        clock,
        failpoint::failpoint,
        ledger::{Ack, Draft, Refusal, Stop},
    },
    api::v1alpha1::{Gate, PlanVerdict},
    controllers::{planner::Made, settling::Closing},
    domain::{
        plan::RunRef,
        reason::Reason,
        stage::{Outcome, Stage},
        verdict::Verdict,
    },
    ports::{Claim, Claimed, Leadership, RunKey},
};

/// What really happened.
#[derive(Debug)]
pub struct Done {
    /// What the status has to say.
    pub(super) told: Told,
    /// When to look again.
    pub(super) verdict: Verdict,
    /// The indexes of the first and the last record that were written.
    pub(super) recorded: Option<(u64, u64)>,
    /// What the steps said.
    pub(super) said: std::collections::BTreeMap<String, String>,
    /// The facts that it began with.
    pub(super) facts: Arc<Facts>,
}

/// What the status has to say.
#[derive(Debug)]
pub(super) enum Told {
    /// What it says already.
    Same,
    /// The same, about this version of the spec too.
    Settled,
    /// It cannot be recorded now.
    Held(Refusal),
    /// It waits.
    Waiting(Box<Wait>),
    /// People are asked.
    Asked {
        made: Box<Made>,
        config_map: String,
        gate: Box<Gate>,
    },
    /// The next people are asked, because the deadline of those before has passed.
    Escalated { expired: Box<Gate>, gate: Box<Gate> },
    /// People are asked in its middle.
    AskedMidway { gate: Box<Gate> },
    /// They, or a deadline, have decided.
    Answered {
        gate: Option<Box<Gate>>,
        message: String,
    },
    /// It goes on.
    Going { message: String },
    /// It has come to its end.
    Ended {
        outcome: Outcome,
        reason: Reason,
        message: String,
        /// What the dry run came to, if it is the end because of that.
        verdict: Option<PlanVerdict>,
        /// The plan of a run that was only to be planned, and where it lies.
        planned: Option<(Box<Made>, String)>,
    },
}

/// One pass over one run.
struct Pass<'a> {
    kind: &'a OrchestrationKind,
    facts: Arc<Facts>,
    fence: &'a dyn Leadership,
    recorded: Option<(u64, u64)>,
}

pub(super) async fn act(
    kind: &OrchestrationKind,
    facts: Arc<Facts>,
    decision: Decision,
    fence: &dyn Leadership,
) -> Result<Done, OrchestrationError> {
    let mut pass = Pass {
        kind,
        facts: Arc::clone(&facts),
        fence,
        recorded: None,
    };
    let acted = match decision {
        Decision::Settled => Ok((Told::Settled, pass.settled())),
        Decision::Retire(retire) => pass.retire(*retire).await,
        Decision::Hold(refusal) => Err(Halt::Held(refusal)),
        Decision::Wait(wait) => Ok(pass.wait(*wait).await),
        Decision::Ask(ask) => pass.ask(*ask).await,
        Decision::Escalate(escalate) => pass.escalate(*escalate).await,
        Decision::Begin(begin) => pass.begin(*begin).await,
        Decision::Step(stepping) => pass.step(*stepping).await,
        Decision::Midway(asks) => pass.midway(*asks).await,
        Decision::Turn(turn) => pass.turn(*turn).await,
        Decision::Finish(finish) => pass.finish(*finish).await,
    };
    let (told, verdict) = match acted {
        Ok(acted) => acted,
        Err(Halt::Held(refusal)) => {
            let reason = refusal.reason;
            (Told::Held(refusal), Verdict::Held { reason })
        }
        Err(Halt::Failed(error)) => return Err(error),
    };
    Ok(Done {
        told,
        verdict,
        recorded: pass.recorded,
        said: kind.memory.said(&facts.run.uid),
        facts,
    })
}

/// Why a pass went no further.
enum Halt {
    /// It cannot be recorded, and so it did not happen.
    Held(Refusal),
    /// Something failed.
    Failed(OrchestrationError),
}

impl From<Refusal> for Halt {
    fn from(refusal: Refusal) -> Self {
        Self::Held(refusal)
    }
}

impl From<OrchestrationError> for Halt {
    fn from(error: OrchestrationError) -> Self {
        Self::Failed(error)
    }
}

type Acted = Result<(Told, Verdict), Halt>;

const AT_ONCE: Verdict = Verdict::Waiting {
    reason: Reason::Running,
    after: Some(Duration::ZERO),
};

impl Pass<'_> {
    /// Whatever decided it: no run goes a way that has no name.
    fn legal(&self, from: Stage, to: Stage) -> Result<(), Halt> {
        if from.may_become(to) {
            return Ok(());
        }
        Err(OrchestrationError::Illegal { from, to }.into())
    }

    fn run(&self) -> &RunRef {
        &self.facts.run
    }

    async fn record(&mut self, draft: Draft, ack: Ack) -> Result<(), Halt> {
        let at = self.kind.ledger.record(draft, ack).await?;
        self.wrote(at.index);
        Ok(())
    }

    async fn record_stop(&mut self, draft: Draft) {
        if let Stop::Recorded(at) = self.kind.ledger.record_stop(draft).await {
            self.wrote(at.index);
        }
    }

    fn wrote(&mut self, index: u64) {
        let first = self.recorded.map_or(index, |(first, _)| first);
        self.recorded = Some((first, index));
    }

    async fn wait(&mut self, mut wait: Wait) -> (Told, Verdict) {
        if let Some(record) = wait.record.take() {
            self.record_stop(record).await;
        }
        if matches!(wait.reason, Reason::Frozen | Reason::TargetLocked) {
            self.kind.memory.waits(self.run());
        }
        let verdict = Verdict::Waiting {
            reason: wait.reason,
            after: wait.after,
        };
        (Told::Waiting(Box::new(wait)), verdict)
    }

    /// The plan is on record before anybody can see it, and both before anybody is asked.
    async fn ask(&mut self, ask: Ask) -> Acted {
        self.legal(self.facts.stage(), Stage::Approve)?;
        // It was deleted while it was planned: its end may be on record already.
        if self.kind.memory.has_left(&self.facts.run.uid) {
            return Ok((Told::Same, Verdict::Settled));
        }
        for draft in &ask.records {
            self.record(draft.clone(), Ack::Durable).await?;
        }
        for gate in &ask.outdated {
            let message = "what it asked about has changed before anybody was told of it; another Gate asks about what would run now";
            let (closing, reason) = (Closing::Superseded, Reason::Superseded);
            let settled = self.kind.settle(gate, closing, reason, message, self.fence);
            settled.await?;
        }
        let config_map = self.kind.config_map(&ask.made, self.fence).await?;
        if ask.plan_only {
            let message = crate::domain::plan::summary(&ask.made.plan);
            let end = records::finished(
                &self.facts,
                Stage::DryRun,
                (Outcome::Planned, Reason::Planned),
                &message,
            );
            self.record(end, Ack::Durable).await?;
            self.ended(Stage::DryRun, Outcome::Planned);
            let told = Told::Ended {
                outcome: Outcome::Planned,
                reason: Reason::Planned,
                message,
                verdict: None,
                planned: Some((Box::new(ask.made), config_map)),
            };
            return Ok((told, Verdict::Settled));
        }
        let gate = self.ask_set(&ask.made, &ask.requested_by, 0).await?;
        let took = clock::now().duration_since(self.facts.now);
        self.kind.metrics.run_planned(took);
        let told = Told::Asked {
            made: Box::new(ask.made),
            config_map,
            gate: Box::new(gate),
        };
        // Somebody may have settled it already, and nobody would tell us again.
        let verdict = Verdict::Waiting {
            reason: Reason::AwaitingApproval,
            after: None,
        };
        Ok((told, verdict))
    }

    /// All locks or none, then the record, anchored; nothing has happened before that.
    async fn begin(&mut self, begin: Begin) -> Acted {
        self.legal(self.facts.stage(), Stage::Execute)?;
        let made = begin.made;
        let run = self.run().clone();
        failpoint!("start.before");
        let claim = Claim {
            run: RunKey {
                uid: run.uid.clone(),
                namespace: run.namespace.clone(),
                name: run.name.clone(),
            },
            plan: made.bytes.clone(),
            keys: made.plan.locks(),
            since: self.facts.now,
        };
        // Before it asks: what is released after the answer wakes it.
        self.kind.memory.waits(&run);
        match self.kind.ledger.claim(claim).await? {
            Claimed::Held => self.kind.memory.waits_no_more(&run),
            Claimed::Taken { key, by } => {
                let message = format!(
                    "approved; {key} is held by run {}/{}, which goes first",
                    by.namespace, by.name
                );
                // The release wakes it; the time is for the case that its run is gone without a word.
                let wait = Wait::approved(Stage::Approve, Reason::TargetLocked, message);
                let wait = wait.after(Duration::from_secs(30));
                return Ok(self.wait(wait).await);
            }
        }
        failpoint!("start.claimed");
        // It was deleted meanwhile, and what it held may have been released before it was claimed.
        if self.kind.memory.has_left(&run.uid) {
            self.kind.ledger.release(&run.uid).await?;
            return Ok((Told::Same, Verdict::Settled));
        }
        self.record(begin.record, Ack::Anchored).await?;
        failpoint!("start.after");
        self.kind
            .metrics
            .stage_left(Stage::Approve, Reason::Approved.as_str());
        self.kind.memory.keep(&run.uid, Arc::new(made.plan));
        self.kind.memory.keep_steps(&run.uid, made.steps);
        Ok((Told::Same, AT_ONCE))
    }

    /// That what was done is taken back is on record before anything is.
    async fn turn(&mut self, turn: Turn) -> Acted {
        failpoint!("turn.before");
        self.record(turn.record, Ack::Durable).await?;
        failpoint!("turn.after");
        Ok((Told::Same, AT_ONCE))
    }

    async fn finish(&mut self, finish: Finish) -> Acted {
        self.legal(finish.from, Stage::Done(finish.outcome))?;
        failpoint!("finish.before");
        let uid = self.facts.run.uid.clone();
        // Its object is gone, and whoever puts that on record does so as its end.
        if !finish.records.is_empty() {
            let memory = Arc::clone(&self.kind.memory);
            let ending = memory.ends(&uid).filter(|_| !memory.has_left(&uid));
            if ending.is_none() {
                return Ok((Told::Same, Verdict::Settled));
            }
            self.finish_recorded(finish.records, finish.stop).await?;
        }
        failpoint!("finish.after");
        for (gate, closing) in &finish.gates {
            self.kind
                .settle(gate, *closing, finish.reason, &finish.message, self.fence)
                .await?;
        }
        // A stop that cannot be recorded now leaves its locks to whoever looks again.
        let released = self.kind.ledger.release(&self.facts.run.uid).await;
        if let Err(refusal) = released {
            if !finish.stop {
                return Err(refusal.into());
            }
            tracing::warn!("the locks of a stopped run are not released yet: {refusal}");
            self.kind.unreleased(self.run());
        }
        self.ended(finish.from, finish.outcome);
        let told = Told::Ended {
            outcome: finish.outcome,
            reason: finish.reason,
            message: finish.message,
            verdict: finish.verdict,
            planned: None,
        };
        Ok((told, Verdict::Settled))
    }

    async fn finish_recorded(&mut self, drafts: Vec<Draft>, stop: bool) -> Result<(), Halt> {
        for draft in drafts {
            if stop {
                self.record_stop(draft).await;
            } else {
                self.record(draft, Ack::Durable).await?;
            }
        }
        Ok(())
    }

    /// What has ended is looked at again when its time is over; and once its status tells of it, it is counted.
    fn settled(&self) -> Verdict {
        let (facts, kind) = (&self.facts, self.kind);
        if facts.status.outcome.is_some()
            && kind.memory.counts(&facts.run.uid)
            && let Some(playbook) = &facts.spec.playbook_ref
        {
            let namespace = facts.run.namespace.clone();
            kind.retention.ended((namespace, playbook.name.clone()));
        }
        let over = over_at(facts).filter(|over| *over > facts.now);
        Verdict::until(over, Reason::Succeeded, facts.now)
    }

    /// Metrics, and whoever waits for what this run had.
    fn ended(&self, from: Stage, outcome: Outcome) {
        let metrics = &self.kind.metrics;
        metrics.stage_left(from, outcome.as_str());
        let history = self.facts.history.as_ref().ok();
        if let Some(started) = history.and_then(|history| history.started.as_ref()) {
            metrics.stage_took(Stage::Execute, clock::now().duration_since(started.at));
        }
        self.kind.memory.forget(&self.facts.run.uid);
        self.kind.memory.is_uncounted(&self.facts.run.uid);
        self.kind.wake_waiting();
    }
}
