//! Floor 3: what incidents and Playbooks have to do with each other: which Playbooks of a namespace fit an incident, and whether
//! an expression of an author holds over it. Only Playbooks that are verified and not suspended are suggested. Reads only;
//! nothing is chosen here.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};

use super::{planner::SUSPEND, verification::Verification};
use crate::{
    adapters::{
        cel::{Cel, CelError, REFUSED_FOR},
        kube::{error::chain, raw},
    },
    api::{
        conditions::ConditionType,
        v1alpha1::{Incident, PlaybookMatch, RawPlaybook},
    },
    domain::suggest::{Candidate, Suggested, rank},
};

/// Matches incidents with Playbooks.
pub struct Matching {
    client: Client,
    verification: Verification,
    cel: Cel,
    /// By namespace: what its Playbooks say about incidents, as long as none of them changed.
    known: Mutex<HashMap<String, Arc<Vec<Candidate>>>>,
    /// Counts what was forgotten, so that nothing old is kept that was read before.
    forgotten: AtomicU64,
}

/// The Playbooks that fit.
#[derive(Clone, Debug)]
pub struct Fitting {
    /// Best first.
    pub ranked: Vec<Suggested>,
    /// When to ask again, because of one of them it could not be found out.
    pub again: Option<Duration>,
}

/// The Playbooks that fit are not known now.
#[derive(Debug, thiserror::Error)]
#[error("the Playbooks that fit are not known now: {0}")]
pub struct NotKnown(String);

impl Matching {
    /// Of the Playbooks of this cluster.
    pub fn new(client: Client, verification: Verification) -> Self {
        Self {
            client,
            verification,
            cel: Cel::default(),
            known: Mutex::default(),
            forgotten: AtomicU64::default(),
        }
    }

    /// A Playbook of this namespace changed.
    pub fn forget(&self, namespace: &str) {
        self.forgotten.fetch_add(1, Ordering::AcqRel);
        self.known().remove(namespace);
    }

    /// Whether an author's expression holds over the incident.
    pub async fn holds(&self, expression: &str, incident: &Incident) -> Result<bool, CelError> {
        let variables = BTreeMap::from([("incident", seen(incident))]);
        self.cel.holds(expression, variables).await
    }

    /// The Playbooks of the namespace that fit the incident, best first.
    pub async fn suggest(&self, namespace: &str, incident: &Incident) -> Result<Fitting, NotKnown> {
        let (mut fitting, mut doubt) = (Vec::new(), false);
        for candidate in self.candidates(namespace).await?.iter() {
            if !candidate.has_labels(incident.labels.as_ref()) {
                continue;
            }
            let holds = match &candidate.expression {
                None => true,
                Some(expression) => match self.holds(expression, incident).await {
                    Ok(holds) => holds,
                    // The author asks for what this incident does not say.
                    Err(CelError::Missing(_)) => false,
                    Err(CelError::Slow) => {
                        doubt = true;
                        // Without a label it would be suggested for whatever happens.
                        if !candidate.labels.is_empty() {
                            fitting.push(Candidate {
                                doubt,
                                ..candidate.clone()
                            });
                        }
                        false
                    }
                    Err(error) if error.may_pass() => return Err(NotKnown(chain(&error))),
                    Err(error) => {
                        tracing::debug!(
                            playbook.name = candidate.playbook,
                            error = %chain(&error),
                            "an expression says nothing, and its Playbook is not suggested"
                        );
                        false
                    }
                },
            };
            if holds {
                fitting.push(candidate.clone());
            }
        }
        Ok(Fitting {
            ranked: rank(fitting),
            again: doubt.then_some(REFUSED_FOR),
        })
    }

    async fn candidates(&self, namespace: &str) -> Result<Arc<Vec<Candidate>>, NotKnown> {
        if let Some(known) = self.known().get(namespace) {
            return Ok(Arc::clone(known));
        }
        let before = self.forgotten.load(Ordering::Acquire);
        let texts = raw::list::<RawPlaybook>(&self.client, namespace).await;
        let texts = texts.map_err(|error| NotKnown(chain(&error)))?;
        let mut found = Vec::new();
        for text in &texts {
            if let Ok(object) = RawPlaybook::parse(text)
                && let Some(candidate) = self.candidate(&object).await
            {
                found.push(candidate);
            }
        }
        let found = Arc::new(found);
        let mut known = self.known();
        if self.forgotten.load(Ordering::Acquire) == before {
            known.insert(namespace.to_owned(), Arc::clone(&found));
        }
        Ok(found)
    }

    /// What the Playbook says, if it may be used and says something.
    async fn candidate(&self, object: &RawPlaybook) -> Option<Candidate> {
        if !is_usable(object) {
            return None;
        }
        let spec = object.spec.as_ref().ok()?;
        let said = match spec.get("match") {
            Some(said) => said.clone(),
            None if spec.get("source").is_some() => self.of_artifact(object).await?,
            None => return None,
        };
        let said: PlaybookMatch = serde_json::from_value(said).ok()?;
        Some(Candidate {
            playbook: object.name_any(),
            digest: object.status.as_ref()?.digest.clone()?,
            labels: said.labels.unwrap_or_default(),
            expression: said.expression,
            doubt: false,
            priority: said.priority.unwrap_or_default(),
        })
    }

    /// Where the object says nothing, the artifact that it names may.
    async fn of_artifact(&self, object: &RawPlaybook) -> Option<Value> {
        let examined = self.verification.of(object).await.ok()?;
        let runnable = examined.verified.ok()?;
        runnable.document().spec.get("match").cloned()
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Arc<Vec<Candidate>>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether its status says that runs may use exactly this document, and no annotation forbids it.
fn is_usable(object: &RawPlaybook) -> bool {
    let suspended = object.annotations().get(SUSPEND);
    if suspended.is_some_and(|value| value == "true")
        || object.metadata.deletion_timestamp.is_some()
    {
        return false;
    }
    let Some(status) = &object.status else {
        return false;
    };
    let mut conditions = status.conditions.iter().flatten();
    let ready = conditions.any(|condition| {
        condition.type_ == ConditionType::Ready.as_str() && condition.status == "True"
    });
    ready && status.observed_generation == object.metadata.generation
}

/// The incident as expressions see it: what it does not say is empty, so that only labels and annotations can be missing.
fn seen(incident: &Incident) -> Value {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let source = incident.source.as_ref();
    let of_source = |text: Option<&String>| text.cloned().unwrap_or_default();
    json!({
        "key": text(&incident.key),
        "summary": text(&incident.summary),
        "severity": text(&incident.severity),
        "labels": incident.labels.clone().unwrap_or_default(),
        "annotations": incident.annotations.clone().unwrap_or_default(),
        "source": {
            "kind": of_source(source.and_then(|source| source.kind.as_ref())),
            "id": of_source(source.and_then(|source| source.id.as_ref())),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn playbook(change: impl FnOnce(&mut Value)) -> RawPlaybook {
        let mut object = json!({
            "metadata": {"name": "p", "namespace": "shop", "generation": 3},
            "spec": {},
            "status": {"observedGeneration": 3, "digest": "sha256:0", "conditions": [{
                "type": "Ready", "status": "True", "reason": "Verified", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z",
            }]},
        });
        change(&mut object);
        RawPlaybook::parse(&object.to_string()).unwrap()
    }

    #[test]
    fn only_what_may_be_used_now_is_suggested() {
        assert!(is_usable(&playbook(|_| {})));
        for change in [
            |it: &mut Value| it["status"] = Value::Null,
            |it: &mut Value| it["metadata"]["generation"] = json!(4),
            |it: &mut Value| it["status"]["conditions"][0]["status"] = json!("False"),
            |it: &mut Value| it["metadata"]["annotations"] = json!({SUSPEND: "true"}),
        ] {
            assert!(!is_usable(&playbook(change)));
        }
    }

    #[tokio::test]
    async fn what_an_incident_does_not_say_is_empty() {
        let cel = Cel::default();
        let holds = async |expression: &str| {
            let variables = BTreeMap::from([("incident", seen(&Incident::default()))]);
            cel.holds(expression, variables).await
        };
        assert!(holds("incident.severity == ''").await.unwrap());
        assert!(!holds("'a' in incident.labels").await.unwrap());
        assert!(holds("incident.labels.a == 'b'").await.is_err());
    }
}
