//! Floor 3: what is known of a run that has to be planned: who asked for it, which other run is about the same incident, and
//! its plan. Reads and dry runs only.

use jiff::Timestamp;
use k8s_openapi::jiff;

use super::{Facts, Look, Opening};
use crate::{
    adapters::kube::error::chain,
    api::v1alpha1::{Incident, Mode, Suggestion},
    controllers::{
        guard,
        orchestration::{OrchestrationError, OrchestrationKind},
        planner::Made,
    },
    domain::{gate::GUARD_MARGIN, plan::RunRef, suggest::Suggested},
};

impl OrchestrationKind {
    /// Everything that a run which has to be planned is decided by.
    pub(super) async fn planning(&self, facts: &mut Facts) -> Result<Look, OrchestrationError> {
        let opening = match self.author(facts).await? {
            Ok(author) => {
                facts.author = author;
                self.opening(facts).await?
            }
            Err(distrusted) => distrusted,
        };
        if let Opening::Planned(Ok(made)) = &opening
            && facts.spec.mode == Some(Mode::Auto)
        {
            facts.auto = Some(self.allows(made, &facts.spec.incident).await);
        }
        Ok(Look::Planning(Box::new(opening)))
    }

    /// The expression by which the signed Playbook allows this incident without a Gate; or why it does not.
    async fn allows(&self, made: &Made, incident: &Incident) -> Result<String, String> {
        let Some(expression) = &made.auto else {
            return Err("the Playbook does not say safety: Auto".to_owned());
        };
        match self.matching.holds(expression, incident).await {
            Ok(true) => Ok(expression.clone()),
            Ok(false) => {
                Err("the Playbook's auto.expression does not hold over this incident".to_owned())
            }
            Err(error) => Err(format!(
                "of the Playbook's auto.expression: {}",
                chain(&error)
            )),
        }
    }

    async fn opening(&self, facts: &Facts) -> Result<Opening, OrchestrationError> {
        if facts.spec.suspend == Some(true) {
            return Ok(Opening::Suspended);
        }
        let unproven = self.unproven(facts).await?;
        if unproven.is_none()
            && let Some(incident) = self.incident(facts).await?
        {
            return Ok(incident);
        }
        if facts.spec.playbook_ref.is_none() {
            return Ok(self.suggesting(facts).await);
        }
        if let Some(unproven) = unproven {
            return Ok(unproven);
        }
        let planned = self.planner.plan(&facts.run, &facts.spec).await;
        Ok(Opening::Planned(planned.map(Box::new)))
    }

    /// The Playbooks that fit its incident; whoever changes one wakes it.
    async fn suggesting(&self, facts: &Facts) -> Opening {
        // Before it looks: what changes after the look wakes it.
        self.memory.chooses(&facts.run);
        let found = self
            .matching
            .suggest(&facts.run.namespace, &facts.spec.incident)
            .await;
        match found {
            Ok(found) => Opening::NoPlaybook {
                suggestions: Some(found.ranked.into_iter().map(shown).collect()),
                again: found.again,
            },
            Err(error) => {
                tracing::debug!(error = %chain(&error), "it is looked at again");
                Opening::NoPlaybook {
                    suggestions: None,
                    again: None,
                }
            }
        }
    }

    /// Why it is not proven who asked for it. Once that is on record, a gap of the guard that came later says nothing about it.
    async fn unproven(&self, facts: &Facts) -> Result<Option<Opening>, OrchestrationError> {
        if facts.spec.requested_by.is_none() {
            return Ok(Some(Opening::NoRequester));
        }
        let history = facts.history.as_ref();
        if history.is_ok_and(|history| history.requested) {
            return Ok(None);
        }
        let unproven = "it was asked for while the admission guard was not whole, so that nobody proved who asked; ask again";
        self.distrusted(facts.created, unproven).await
    }

    /// A new process asks once how many have joined a run that another one has taken up.
    pub(super) async fn recall_joined(&self, facts: &Facts) -> Result<(), OrchestrationError> {
        let uid = &facts.run.uid;
        let may_have = facts.spec.incident.key.is_some() && facts.status.stage.is_some();
        if !may_have || self.memory.knows_joined(uid) {
            return Ok(());
        }
        let tally = self.ledger.tally(uid).await;
        let joined = tally.map_err(OrchestrationError::Log)?.joined;
        self.memory.joined(uid, joined);
        Ok(())
    }

    /// Which run it joined, if it did.
    pub(super) async fn joins(&self, run: &RunRef) -> Result<Option<String>, OrchestrationError> {
        let tally = self.ledger.tally(&run.uid).await;
        Ok(tally.map_err(OrchestrationError::Log)?.joins)
    }

    /// Whether the names in an object that was made then were written while nobody proved them, which lasts.
    pub(super) async fn distrusted(
        &self,
        created: Timestamp,
        unproven: &str,
    ) -> Result<Option<Opening>, OrchestrationError> {
        let standing = self
            .guard
            .standing()
            .await
            .map_err(OrchestrationError::Guard)?;
        let distrusted = |message: &str, lasting| Opening::Distrusted {
            message: message.to_owned(),
            lasting,
        };
        Ok(match standing {
            guard::Standing::Broken => Some(distrusted(
                "the admission guard is missing or altered, so that nobody proves who asks; the operator's readiness says what",
                false,
            )),
            guard::Standing::Whole { since } if created <= since + GUARD_MARGIN => {
                Some(distrusted(unproven, true))
            }
            guard::Standing::Whole { .. } => None,
        })
    }
}

fn shown(suggested: Suggested) -> Suggestion {
    Suggestion {
        playbook: suggested.playbook,
        digest: suggested.digest,
        score: suggested.score,
        reasons: suggested.reasons,
    }
}
