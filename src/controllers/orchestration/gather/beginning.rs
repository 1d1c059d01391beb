//! Floor 3: what has to hold at the moment before an effect, read live: that nothing stops it, that the votes still approve,
//! and what would run now. Reads and dry runs only.

use kube::{Api, ResourceExt as _, api::ListParams};

use super::{Beginning, Facts};
use crate::{
    api::v1alpha1::{Freeze, Gate},
    controllers::{
        counting::Count,
        freezes,
        orchestration::{OrchestrationError, OrchestrationKind},
        settling::is_by_policy,
    },
    domain::{audit::event::Event, gate::Outcome, plan::RunRef},
    ports::{Claim, Claimed, Limited},
};

/// A Freeze that stops a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::controllers::orchestration) struct Frozen {
    pub(in crate::controllers::orchestration) uid: String,
    name: String,
    by: String,
    why: String,
}

impl Frozen {
    #[cfg(test)]
    pub(in crate::controllers::orchestration) fn of(
        name: &str,
        by: &str,
        why: &str,
        uid: &str,
    ) -> Self {
        Self {
            uid: uid.to_owned(),
            name: name.to_owned(),
            by: by.to_owned(),
            why: why.to_owned(),
        }
    }

    /// In a sentence.
    pub(in crate::controllers::orchestration) fn message(&self) -> String {
        format!(
            "Freeze {} by {} stops it before its next effect: {}",
            self.name, self.by, self.why
        )
    }
}

impl OrchestrationKind {
    /// Everything that has to hold before the first effect, read live; what stops it is looked at first.
    pub(super) async fn beginning(
        &self,
        facts: &Facts,
        gate: Option<&Gate>,
    ) -> Result<Beginning, OrchestrationError> {
        if let Some(successor) = self.successor(facts).await? {
            return Ok(Beginning {
                successor: Some(successor),
                ..Beginning::default()
            });
        }
        if let Some(limited) = self.still_limited(facts).await? {
            return Ok(Beginning {
                limited: Some(limited),
                ..Beginning::default()
            });
        }
        let mut beginning = Beginning {
            frozen: self.frozen(&facts.run).await?,
            ..Beginning::default()
        };
        if !beginning.frozen.is_empty() {
            return Ok(beginning);
        }
        if facts.spec.released_by.is_some() {
            beginning.release_distrusted = self.release_distrusted(facts).await?;
        }
        beginning.recount = Some(match gate {
            Some(gate) => self.approved_still(gate).await?,
            // Nobody was asked.
            None => Ok(()),
        });
        if matches!(beginning.recount, Some(Ok(()))) {
            beginning.made = Some(self.planner.plan(&facts.run, &facts.spec).await);
        }
        Ok(beginning)
    }

    /// Whether what approved the Gate does so still; if not, why not.
    pub(super) async fn approved_still(
        &self,
        gate: &Gate,
    ) -> Result<Result<(), String>, OrchestrationError> {
        let recount = self.counting.recount(gate).await;
        let recount = recount.map_err(OrchestrationError::Counting)?;
        if is_by_policy(gate) {
            return self.allowed_still(gate, &recount).await;
        }
        Ok(if recount.approves() {
            Ok(())
        } else if recount.guard_missing {
            Err("the admission guard is not whole, so that no vote counts".to_owned())
        } else {
            Err("counted again, its votes do not approve it".to_owned())
        })
    }

    /// What a policy approved needs no votes; but nobody against it, a guard that was whole all the time, and its record.
    async fn allowed_still(
        &self,
        gate: &Gate,
        recount: &Count,
    ) -> Result<Result<(), String>, OrchestrationError> {
        if recount.tally.outcome == Outcome::Rejected {
            return Ok(Err("counted again, somebody was against it".to_owned()));
        }
        let guarded = self.counting.was_guarded(gate).await;
        if !guarded.map_err(OrchestrationError::Counting)? {
            let why = "the admission guard was not whole all the time since it was opened";
            return Ok(Err(why.to_owned()));
        }
        let leaves = self.ledger.history(&gate.uid().unwrap_or_default()).await;
        let leaves = leaves.map_err(OrchestrationError::Log)?;
        let mut records = leaves.iter().map(|(_, record)| &record.fact);
        Ok(if records.any(|fact| fact.code == Event::GateAllowed) {
            Ok(())
        } else {
            Err("that a policy approved it is on no record".to_owned())
        })
    }

    /// Whether the limit that it has met before is still reached: that is asked of the store alone, so that whoever waits in
    /// a long line plans again only when there is room.
    async fn still_limited(&self, facts: &Facts) -> Result<Option<Limited>, OrchestrationError> {
        let Some(wish) = self.memory.queue.wish(&facts.run.uid) else {
            return Ok(None);
        };
        let first = self.memory.queue.ahead(&facts.run, &wish);
        let claim = Claim {
            since: facts.now,
            ..wish
        };
        let came = self.ledger.would_claim(&claim).await;
        Ok(match came.map_err(OrchestrationError::Log)? {
            Claimed::Limited(limited) => Some(limited),
            // There is room, and it is for whoever stands before it.
            Claimed::Held | Claimed::Taken { .. } => first,
        })
    }

    /// A release is written after the approval; the guard must have been whole since.
    async fn release_distrusted(
        &self,
        facts: &Facts,
    ) -> Result<Option<String>, OrchestrationError> {
        let standing = self
            .guard
            .standing()
            .await
            .map_err(OrchestrationError::Guard)?;
        let planned = facts
            .history
            .as_ref()
            .ok()
            .and_then(|history| history.planned.as_ref());
        let asked = planned.map_or(facts.created, |planned| planned.at);
        let whole = standing.whole().is_some_and(|since| since <= asked);
        Ok((!whole).then(|| {
            "the admission guard was not whole all the time since it was asked about, so that nobody proves who released it; cancel it and ask again".to_owned()
        }))
    }

    /// The Freezes that stop the run, as they stand now. One that was lifted stops until that is on record.
    pub(super) async fn frozen(&self, run: &RunRef) -> Result<Vec<Frozen>, OrchestrationError> {
        // Before it looks: what is lifted after the look wakes it.
        self.memory.waits(run);
        let frozen = self.freezes(&run.namespace).await?;
        if frozen.is_empty() {
            self.memory.waits_no_more(run);
        }
        Ok(frozen)
    }

    async fn freezes(&self, namespace: &str) -> Result<Vec<Frozen>, OrchestrationError> {
        let all: Api<Freeze> = Api::all(self.client.clone());
        let all = all.list(&ListParams::default()).await;
        let all = all.map_err(|source| OrchestrationError::Read {
            what: "the Freezes",
            source: Box::new(source),
        })?;
        let mut frozen = Vec::new();
        for freeze in all.items.iter().filter(|freeze| covers(freeze, namespace)) {
            let uid = freeze.uid().unwrap_or_default();
            if freeze.spec.lifted_by.is_some()
                && self
                    .ledger
                    .has(freezes::lifted(&uid))
                    .await
                    .map_err(OrchestrationError::Log)?
            {
                continue;
            }
            frozen.push(Frozen {
                name: freeze.name_any(),
                by: freeze.spec.frozen_by.clone().unwrap_or_default(),
                why: freeze.spec.reason.clone(),
                uid,
            });
        }
        Ok(frozen)
    }
}

fn covers(freeze: &Freeze, namespace: &str) -> bool {
    let named = freeze.spec.namespaces.as_ref();
    named.is_none_or(|named| named.iter().any(|one| one == namespace))
}
