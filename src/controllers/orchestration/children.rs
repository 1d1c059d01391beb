//! Floor 3: what a run makes besides its effects: the ConfigMap with its plan, and the Gate that asks about it. Each has a
//! name that is found again, and is taken for the run's only by owner uid and full digest.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::ConfigMap,
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time},
};
use kube::{Api, Resource, ResourceExt as _, api::PostParams};
use serde::{Serialize, de::DeserializeOwned};

use super::{OrchestrationError, OrchestrationKind};
use crate::{
    adapters::{failpoint::failpoint, kube::CHILDREN_MANAGER},
    api::v1alpha1::{ApprovalRules, Gate, GateSpec, GateSubject, OnTimeout, Orchestration},
    controllers::planner::Made,
    domain::{
        digest::Digest,
        duration, names,
        plan::{self, RunRef},
        stage::Stage,
    },
    ports::Leadership,
};

/// The full digest of the plan that a child is about; a name holds only a part of it.
pub(super) const PLAN_DIGEST: &str = "neuralops.io/plan-digest";
/// Where the plan stands in its ConfigMap.
pub(super) const PLAN_KEY: &str = "plan.json";
/// Until when people are asked, where the rules do not say.
const DEADLINE: std::time::Duration = std::time::Duration::from_secs(60 * 60);
/// Sets of rules that a Playbook has at most.
const RULE_SETS: u32 = 4;

/// What a Gate asks, of whom, and which of the run's Gates about this plan it is.
pub(super) struct Question<'a> {
    pub(super) run: &'a RunRef,
    pub(super) plan: &'a Digest,
    /// What people are shown.
    pub(super) diff: String,
    pub(super) rules: &'a ApprovalRules,
    /// Who shaped the plan, and does not decide.
    pub(super) requested_by: &'a [String],
    pub(super) place: Place<'a>,
}

/// Which of a run's Gates about one plan it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place<'a> {
    /// The step that asks; none before the run begins.
    pub(super) step: &'a str,
    /// Which set of rules, or which attempt at the step.
    pub(super) ordinal: u32,
}

impl Place<'_> {
    /// Before the run begins: the set of rules that is asked, counted from 0.
    pub(super) fn rule_set(ordinal: u32) -> Self {
        Self { step: "", ordinal }
    }

    pub(super) fn name(self, run: &RunRef, plan: &Digest) -> String {
        names::child(run, "Gate", self.step, self.ordinal, plan)
    }
}

/// Which set of rules a Gate asks, by its name.
pub(super) fn rule_set(gate: &Gate, run: &RunRef, plan: &Digest) -> Option<u32> {
    let name = gate.metadata.name.as_deref();
    (0..RULE_SETS).find(|ordinal| name == Some(&Place::rule_set(*ordinal).name(run, plan)))
}

fn meta(run: &RunRef, name: String, digest: &Digest) -> ObjectMeta {
    let owner = OwnerReference {
        api_version: Orchestration::api_version(&()).into_owned(),
        kind: Orchestration::kind(&()).into_owned(),
        name: run.name.clone(),
        uid: run.uid.clone(),
        controller: Some(true),
        // A run is deleted without anybody waiting for what it made.
        block_owner_deletion: Some(false),
    };
    ObjectMeta {
        name: Some(name),
        namespace: Some(run.namespace.clone()),
        owner_references: Some(vec![owner]),
        labels: Some(BTreeMap::from([(
            "app.kubernetes.io/managed-by".to_owned(),
            "neuralops".to_owned(),
        )])),
        annotations: Some(BTreeMap::from([(
            PLAN_DIGEST.to_owned(),
            digest.to_string(),
        )])),
        ..ObjectMeta::default()
    }
}

/// Whether the run owns the object, which stays.
pub(super) fn is_owned_by(found: &ObjectMeta, run: &RunRef) -> bool {
    let owners = found.owner_references.iter().flatten();
    let mut controllers = owners.filter(|owner| owner.controller == Some(true));
    controllers.any(|owner| owner.uid == run.uid) && found.deletion_timestamp.is_none()
}

/// Whether the run owns the object, and it is about this plan.
pub(super) fn is_of(found: &ObjectMeta, run: &RunRef, digest: &Digest) -> bool {
    let said = found
        .annotations
        .as_ref()
        .and_then(|all| all.get(PLAN_DIGEST));
    is_owned_by(found, run) && said.is_some_and(|said| said == digest.as_str())
}

impl OrchestrationKind {
    /// The ConfigMap with the plan, for people; nothing is run from it.
    pub(super) async fn config_map(
        &self,
        made: &Made,
        fence: &dyn Leadership,
    ) -> Result<String, OrchestrationError> {
        let run = &made.plan.run;
        let mut data = BTreeMap::from([
            (
                PLAN_KEY.to_owned(),
                String::from_utf8_lossy(&made.bytes).into_owned(),
            ),
            ("diff".to_owned(), plan::diff(&made.plan)),
        ]);
        if !made.seen.is_empty() {
            data.insert(plan::SEEN.to_owned(), made.seen.join("\n"));
        }
        let wanted = ConfigMap {
            metadata: meta(
                run,
                names::child(run, "Plan", "", 0, &made.digest),
                &made.digest,
            ),
            immutable: Some(true),
            data: Some(data.clone()),
            ..ConfigMap::default()
        };
        failpoint!("plan.before");
        let api = Api::namespaced(self.client.clone(), &run.namespace);
        let made_or_found = make(&api, &wanted, "the ConfigMap of its plan", fence).await?;
        failpoint!("plan.after");
        // What was seen may be another thing at every look, and is no part of the plan.
        let same = |key: &str| {
            let found = made_or_found.data.as_ref();
            found.and_then(|found| found.get(key)) == data.get(key)
        };
        let ours = is_of(&made_or_found.metadata, run, &made.digest);
        if ours && same("plan.json") && same("diff") {
            return Ok(made_or_found.name_any());
        }
        Err(OrchestrationError::NotOurs {
            what: "ConfigMap",
            name: made_or_found.name_any(),
        })
    }

    /// The Gate that this run opened about this plan in this place, if it did.
    pub(super) async fn opened(
        &self,
        run: &RunRef,
        plan: &Digest,
        place: Place<'_>,
    ) -> Result<Option<Gate>, OrchestrationError> {
        let gates: Api<Gate> = Api::namespaced(self.client.clone(), &run.namespace);
        let found = gates.get_opt(&place.name(run, plan)).await;
        let found = found.map_err(|source| OrchestrationError::Read {
            what: "its Gate",
            source: Box::new(source),
        })?;
        Ok(found.filter(|gate| is_of(&gate.metadata, run, plan)))
    }

    /// The Gate that asks this; the one that was opened before, if it was.
    pub(super) async fn open_gate(
        &self,
        question: &Question<'_>,
        now: Timestamp,
        fence: &dyn Leadership,
    ) -> Result<Gate, OrchestrationError> {
        let (run, plan) = (question.run, question.plan);
        let mut wanted = Gate::new("", spec(question, now));
        wanted.metadata = meta(run, question.place.name(run, plan), plan);
        failpoint!("gate.before");
        let api = Api::namespaced(self.client.clone(), &run.namespace);
        let gate = make(&api, &wanted, "its Gate", fence).await?;
        failpoint!("gate.after");
        let asks = gate.spec.subject.plan_digest == plan.as_str()
            && gate.spec.subject.uid == run.uid
            && gate.spec.rules == wanted.spec.rules
            && gate.spec.on_timeout == wanted.spec.on_timeout
            && gate.spec.requested_by == wanted.spec.requested_by;
        if is_of(&gate.metadata, run, plan) && asks {
            return Ok(gate);
        }
        Err(OrchestrationError::NotOurs {
            what: "Gate",
            name: gate.name_any(),
        })
    }
}

fn spec(question: &Question<'_>, now: Timestamp) -> GateSpec {
    let (run, rules) = (question.run, question.rules);
    let wait = rules
        .deadline
        .as_deref()
        .and_then(|text| duration::parse(text).ok());
    let deadline = now
        .checked_add(wait.unwrap_or(DEADLINE))
        .unwrap_or(Timestamp::MAX);
    // The API server keeps whole seconds.
    let deadline = Timestamp::from_second(deadline.as_second()).unwrap_or(deadline);
    GateSpec {
        subject: GateSubject {
            api_version: Some(Orchestration::api_version(&()).into_owned()),
            kind: Some(Orchestration::kind(&()).into_owned()),
            name: Some(run.name.clone()),
            uid: run.uid.clone(),
            stage: Some(Stage::Approve.as_str().to_owned()),
            plan_digest: question.plan.to_string(),
            diff: Some(question.diff.clone()),
        },
        rules: rules.rules.clone(),
        requested_by: question.requested_by.to_vec(),
        deadline: Some(Time(deadline)),
        on_timeout: Some(rules.on_timeout.unwrap_or(OnTimeout::Reject)),
    }
}

/// Makes the object, or brings the one that has its name already.
async fn make<K>(
    api: &Api<K>,
    wanted: &K,
    what: &'static str,
    fence: &dyn Leadership,
) -> Result<K, OrchestrationError>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + Serialize + DeserializeOwned,
{
    fence.holds().map_err(OrchestrationError::Deposed)?;
    let params = PostParams {
        dry_run: false,
        field_manager: Some(CHILDREN_MANAGER.to_owned()),
    };
    match api.create(&params, wanted).await {
        Ok(made) => Ok(made),
        Err(kube::Error::Api(answer)) if answer.is_already_exists() => {
            let name = wanted.name_any();
            let found = api.get(&name).await;
            found.map_err(|source| OrchestrationError::Read {
                what,
                source: Box::new(source),
            })
        }
        Err(source) => Err(OrchestrationError::Make {
            what,
            source: Box::new(source),
        }),
    }
}
