//! Floor 3: the beginning of what was approved: locks and limits in one claim, then the record. Who finds no room waits in
//! line and is called.

use std::{sync::Arc, time::Duration};

use super::{AT_ONCE, Acted, Halt, Pass, Told};
use crate::{
    adapters::{clock, failpoint::failpoint, ledger::Ack},
    controllers::{
        orchestration::decide::{Begin, Wait, limited},
        planner::Made,
    },
    domain::{reason::Reason, stage::Stage, verdict::Verdict},
    ports::{Claim, Claimed, Limit, Limited, Limits, RunKey},
};

impl Pass<'_> {
    /// All locks or none, then the record, anchored; nothing has happened before that.
    pub(super) async fn begin(&mut self, begin: Begin) -> Acted {
        self.legal(self.facts.stage(), Stage::Execute)?;
        let made = begin.made;
        let run = self.run().clone();
        failpoint!("start.before");
        let claim = self.claim(&made);
        let wish = Claim {
            plan: Vec::new(),
            ..claim.clone()
        };
        if let Some(first) = self.goes_behind(&wish).await? {
            return self.stand_behind(first, wish).await;
        }
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
            Claimed::Limited(found) => {
                self.kind.memory.waits_no_more(&run);
                return self.stand_in_line(found, wish).await;
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
            .stage_left(Stage::Approve, self.allowed_by().as_str());
        self.kind.memory.keep(&run.uid, Arc::new(made.plan));
        self.kind.memory.keep_steps(&run.uid, made.steps);
        Ok((Told::Same, AT_ONCE))
    }

    /// By whom it may begin.
    fn allowed_by(&self) -> Reason {
        let history = self.facts.history.as_ref();
        if history.is_ok_and(|history| history.allowed.is_some()) {
            Reason::AutoAllowed
        } else {
            Reason::Approved
        }
    }

    /// Nobody is asked: what is on record allows it, and it begins with the next look.
    pub(super) fn allowed(&self, made: Made, config_map: String) -> (Told, Verdict) {
        let took = clock::now().duration_since(self.facts.now);
        self.kind.metrics.run_planned(took);
        let told = Told::Allowed {
            made: Box::new(made),
            config_map,
        };
        (told, AT_ONCE)
    }

    fn claim(&self, made: &Made) -> Claim {
        let run = self.run();
        Claim {
            run: RunKey {
                uid: run.uid.clone(),
                namespace: run.namespace.clone(),
                name: run.name.clone(),
            },
            plan: made.bytes.clone(),
            keys: made.plan.locks(),
            since: self.facts.now,
            playbook: made.plan.playbook.name.clone(),
            limits: Limits {
                namespace: Some(self.kind.namespace_limit),
                ..made.limits
            },
        }
    }

    /// Who goes first in the line of a limit that it is under. Who holds its places already goes behind nobody: those who
    /// stand there may wait for just these.
    async fn goes_behind(&self, wish: &Claim) -> Result<Option<Limited>, Halt> {
        let run = self.run();
        let Some(first) = self.kind.memory.queue.ahead(run, wish) else {
            return Ok(None);
        };
        let holds = self.kind.ledger.plan_of(&run.uid).await?.is_some();
        Ok((!holds).then_some(first))
    }

    /// First come, first served: it goes to the end of the line, whatever room there is now. If nobody is left there, it asks
    /// at once.
    async fn stand_behind(&mut self, first: Limited, wish: Claim) -> Acted {
        let run = self.run().clone();
        self.stands(&first.limit, wish.clone());
        if self.kind.memory.has_left(&run.uid) {
            self.kind.call(self.kind.memory.queue.leaves(&run.uid));
            return Ok((Told::Same, Verdict::Settled));
        }
        let Some(first) = self.kind.memory.queue.ahead(&run, &wish) else {
            return Ok((Told::Same, AT_ONCE));
        };
        // Whose end makes room, if there is none; else who goes first.
        let found = match self.kind.ledger.would_claim(&wish).await? {
            Claimed::Limited(found) => found,
            Claimed::Held | Claimed::Taken { .. } => first,
        };
        Ok(self.wait(limited(&self.facts, &found)).await)
    }

    fn stands(&self, limit: &Limit, wish: Claim) {
        let (new, next) = self.kind.memory.queue.stands(self.run(), limit, wish);
        self.kind.call(next);
        if new {
            self.kind.metrics.run_limited(limit);
        }
    }

    /// It stands in line before it says so; who ended between the claim and that called nobody, so it asks once more.
    async fn stand_in_line(&mut self, found: Limited, wish: Claim) -> Acted {
        let run = self.run().clone();
        let again = wish.clone();
        self.stands(&found.limit, wish);
        if self.kind.memory.has_left(&run.uid) {
            self.kind.call(self.kind.memory.queue.leaves(&run.uid));
            return Ok((Told::Same, Verdict::Settled));
        }
        let found = match self.kind.ledger.would_claim(&again).await? {
            Claimed::Limited(found) => found,
            Claimed::Held | Claimed::Taken { .. } => return Ok((Told::Same, AT_ONCE)),
        };
        Ok(self.wait(limited(&self.facts, &found)).await)
    }

    /// Whoever goes out of its line, wherever to, calls the next.
    pub(super) fn out_of_line(&self, told: &Told) {
        let stays = match told {
            Told::Waiting(wait) => wait.reason == Reason::LimitReached,
            Told::Same | Told::Held(_) => true,
            Told::Allowed { .. } => true,
            Told::Settled
            | Told::Asked { .. }
            | Told::Escalated { .. }
            | Told::AskedMidway { .. }
            | Told::Answered { .. }
            | Told::Going { .. }
            | Told::Ended { .. } => false,
        };
        let begun = self.facts.history.as_ref();
        let begun = begun.is_ok_and(|history| history.started.is_some());
        if !stays || begun {
            self.kind
                .call(self.kind.memory.queue.leaves(&self.facts.run.uid));
        }
    }
}
