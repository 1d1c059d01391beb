//! Floor 3: what is done about a run: records first, then what they are about. Each pass does one thing, and each thing can
//! be repeated: ids of records, names of objects and locks are the same for whoever goes on.

mod beginning;
mod escalating;
mod joining;
mod midway;
mod retiring;
mod stepping;

use std::{sync::Arc, time::Duration};

use super::{
    OrchestrationError, OrchestrationKind,
    decide::{Ask, Decision, Finish, Join, Own, Turn, Wait, over_at},
    gather::{Facts, Planned},
    records,
};
use crate::{
    adapters::{
        clock,
        failpoint::failpoint,
        ledger::{Ack, Draft, Refusal, Stop},
    },
    api::v1alpha1::{Gate, Joined, PlanVerdict},
    controllers::{planner::Made, settling::Closing},
    domain::{
        plan::RunRef,
        reason::Reason,
        stage::{Outcome, Stage},
        verdict::Verdict,
    },
    ports::Leadership,
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
    /// How many have joined it, or which one it joined, if that is to be told.
    pub(super) joined: Option<Joined>,
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
    /// People are asked; also though mode Auto was wanted, and why.
    Asked {
        made: Box<Made>,
        config_map: String,
        gate: Box<Gate>,
        refused: Option<String>,
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
    /// Nobody is asked: the signed Playbook allows it.
    Allowed { made: Box<Made>, config_map: String },
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
        planned: Option<Box<Planned>>,
    },
}

/// One pass over one run.
struct Pass<'a> {
    kind: &'a OrchestrationKind,
    facts: Arc<Facts>,
    fence: &'a dyn Leadership,
    recorded: Option<(u64, u64)>,
    joined: Option<Joined>,
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
        joined: None,
    };
    let acted = match decision {
        Decision::Settled => {
            // Who joined in its last moment has made it be remembered once more.
            kind.memory.forget(&facts.run.uid);
            Ok((Told::Settled, pass.settled()))
        }
        Decision::Retire(retire) => pass.retire(*retire).await,
        Decision::Hold(refusal) => Err(Halt::Held(refusal)),
        Decision::Wait(wait) => Ok(pass.wait(*wait).await),
        Decision::Own(own) => pass.own(own).await,
        Decision::Join(join) => pass.join(*join).await,
        Decision::Ask(ask) => pass.ask(*ask).await,
        Decision::Escalate(escalate) => pass.escalate(*escalate).await,
        Decision::Begin(begin) => pass.begin(*begin).await,
        Decision::Step(stepping) => pass.step(*stepping).await,
        Decision::Midway(asks) => pass.midway(*asks).await,
        Decision::Turn(turn) => pass.turn(*turn).await,
        Decision::Finish(finish) => pass.finish(*finish).await,
    };
    let (told, mut verdict) = match acted {
        Ok(acted) => acted,
        Err(Halt::Held(refusal)) => {
            let reason = refusal.reason;
            (Told::Held(refusal), Verdict::Held { reason })
        }
        Err(Halt::Failed(error)) => return Err(error),
    };
    pass.out_of_line(&told);
    pass.tell_joined(&told, &mut verdict);
    Ok(Done {
        told,
        verdict,
        recorded: pass.recorded,
        joined: pass.joined,
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
        if matches!(
            wait.reason,
            Reason::Frozen | Reason::TargetLocked | Reason::IncidentTaken
        ) {
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
            return self.only_planned(ask.made, config_map).await;
        }
        let refused = match ask.auto {
            Some(Ok(_)) => return Ok(self.allowed(ask.made, config_map)),
            Some(Err(ref why)) => Some(why.clone()),
            None => None,
        };
        let gate = self.ask_set(&ask.made, &ask.requested_by, 0).await?;
        let took = clock::now().duration_since(self.facts.now);
        self.kind.metrics.run_planned(took);
        let told = Told::Asked {
            made: Box::new(ask.made),
            config_map,
            gate: Box::new(gate),
            refused,
        };
        // Somebody may have settled it already, and nobody would tell us again.
        let verdict = Verdict::Waiting {
            reason: Reason::AwaitingApproval,
            after: None,
        };
        Ok((told, verdict))
    }

    /// Nobody is asked: it ends with its plan.
    async fn only_planned(&mut self, made: Made, config_map: String) -> Acted {
        let message = crate::domain::plan::summary(&made.plan);
        let end = records::finished(
            &self.facts,
            Stage::DryRun,
            (Outcome::Planned, Reason::Planned),
            &message,
        );
        self.record(end, Ack::Durable).await?;
        failpoint!("finish.after");
        self.ended(Stage::DryRun, Outcome::Planned);
        let told = Told::Ended {
            outcome: Outcome::Planned,
            reason: Reason::Planned,
            message,
            verdict: None,
            planned: Some(Box::new(Planned {
                digest: made.digest,
                kept: Some((made.plan, config_map)),
            })),
        };
        Ok((told, Verdict::Settled))
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
        match self.kind.ledger.release(&uid).await {
            Ok(joined) => {
                self.kind.memory.joined(&uid, joined);
            }
            Err(refusal) if !finish.stop => return Err(refusal.into()),
            Err(refusal) => {
                tracing::warn!("the locks of a stopped run are not released yet: {refusal}");
                self.kind.unreleased(self.run());
            }
        }
        self.tell_joined_at_end(finish.outcome);
        self.ended(finish.from, finish.outcome);
        let told = Told::Ended {
            outcome: finish.outcome,
            reason: finish.reason,
            message: finish.message,
            verdict: finish.verdict,
            planned: finish.planned.map(Box::new),
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
