//! Floor 3: runs about the same incident: one of them goes on, the others join it and are counted there.

use super::{AT_ONCE, Acted, Join, Joined, Own, Pass, Told};
use crate::{
    adapters::clock,
    controllers::orchestration::memory::Later,
    domain::{plan::RunRef, stage::Outcome, verdict::Verdict},
    ports::RunKey,
};

impl Pass<'_> {
    /// Later runs join this one from now on, or this one looks again beside the one that was faster.
    pub(super) async fn own(&mut self, own: Own) -> Acted {
        let run = self.run().clone();
        let key = RunKey {
            uid: run.uid.clone(),
            namespace: run.namespace.clone(),
            name: run.name.clone(),
        };
        let ledger = &self.kind.ledger;
        ledger.own(own.incident, key, own.instead_of).await?;
        // It was deleted meanwhile, and what it held may have been released before that.
        if self.kind.memory.has_left(&run.uid) {
            ledger.release(&run.uid).await?;
            return Ok((Told::Same, Verdict::Settled));
        }
        Ok((Told::Same, AT_ONCE))
    }

    /// It is counted at the other run before its own end is on record; only one that goes on counts.
    pub(super) async fn join(&mut self, join: Join) -> Acted {
        let Join { owner, end } = join;
        let uid = self.facts.run.uid.clone();
        if self.kind.memory.has_left(&uid) {
            return Ok((Told::Same, Verdict::Settled));
        }
        let counted = self.kind.ledger.join(&uid, owner.clone()).await?;
        let Some(count) = counted else {
            return Ok((Told::Same, AT_ONCE));
        };
        let acted = self.finish(end).await?;
        if matches!(acted.0, Told::Ended { .. }) {
            self.kind.metrics.run_joined();
            self.joined = Some(Joined {
                name: Some(owner.name.clone()),
                count: None,
            });
        }
        if self.kind.memory.joined(&owner.uid, count) {
            self.kind.call([RunRef {
                namespace: owner.namespace,
                name: owner.name,
                uid: owner.uid,
            }]);
        }
        Ok(acted)
    }

    /// How many have joined it is told with whatever else is told, and by itself at most once a second.
    pub(super) fn tell_joined(&mut self, told: &Told, verdict: &mut Verdict) {
        let anyway = match told {
            Told::Asked { .. }
            | Told::Escalated { .. }
            | Told::AskedMidway { .. }
            | Told::Answered { .. }
            | Told::Allowed { .. } => true,
            Told::Waiting(_) | Told::Going { .. } => false,
            Told::Same | Told::Settled | Told::Held(_) | Told::Ended { .. } => return,
        };
        let facts = &self.facts;
        let times = (facts.created, clock::now());
        let memory = &self.kind.memory;
        match memory.tells_joined(&facts.run.uid, anyway, times) {
            Ok(Some(count)) => self.joined = Some(counted(count)),
            Ok(None) => {}
            Err(Later(left)) => {
                if let Verdict::Waiting { after, .. } = verdict {
                    *after = Some(after.map_or(left, |after| after.min(left)));
                }
            }
        }
    }

    /// The last count, before what is remembered of the run is forgotten; or which one it joined, if only the store tells.
    pub(super) fn tell_joined_at_end(&mut self, outcome: Outcome) {
        let facts = &self.facts;
        let times = (facts.created, clock::now());
        let told = self.kind.memory.tells_joined(&facts.run.uid, true, times);
        if let Ok(Some(count)) = told {
            self.joined = Some(counted(count));
        }
        if outcome == Outcome::Joined && facts.joins.is_some() {
            self.joined = Some(Joined {
                name: facts.joins.clone(),
                count: None,
            });
        }
    }
}

fn counted(count: u64) -> Joined {
    Joined {
        name: None,
        count: Some(count.try_into().unwrap_or(i64::MAX)),
    }
}
