//! Floor 3: what is known about a run before anything is decided. How much is looked at depends on where the run stands;
//! that is the domain's and `decide`'s to say. Reads and dry runs only.

mod beginning;
mod escalating;
mod gates;
mod incident;
mod midway;
mod opening;
mod past;
mod remains;
mod retiring;
mod suggested;

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::jiff;
use kube::ResourceExt as _;

pub(super) use beginning::Frozen;
pub(super) use escalating::Escalation;
pub(super) use midway::{Midway, Rest};
pub(super) use retiring::Retiring;

use self::{escalating::escalates, gates::may_ask_untold};
use super::{
    OrchestrationError, OrchestrationKind,
    decide::{Standing, is_due, is_foreign, standing, waits_for_people},
};
use crate::{
    adapters::{clock, ledger, steps::only_looks},
    api::conditions::ConditionType,
    api::v1alpha1::{
        self as api, Gate, GateState, Orchestration, OrchestrationSpec, OrchestrationStatus,
        Suggestion,
    },
    controllers::{planner::Made, settling::is_open},
    domain::{
        plan::{Obstacle, Plan, RunRef},
        run::History,
        stage::Stage,
    },
    ports::{IncidentKey, Limited, RunKey},
};

pub(super) use remains::Planned;

/// What is known about a run.
#[derive(Debug)]
pub struct Facts {
    /// When this was found out.
    pub(super) now: Timestamp,
    /// Which run.
    pub(super) run: RunRef,
    /// Which version of its spec.
    pub(super) generation: u64,
    /// Which version of all of it.
    pub(super) version: String,
    /// When it was asked for.
    pub(super) created: Timestamp,
    /// What is wanted.
    pub(super) spec: OrchestrationSpec,
    /// What its status says.
    pub(super) status: OrchestrationStatus,
    /// What its records say.
    pub(super) history: Result<History, ledger::Refusal>,
    /// It has come to its end, and its Playbook keeps fewer finished runs.
    pub(super) too_many: bool,
    /// All its Gates, where one may be open that its status does not tell of.
    pub(super) gates: Vec<Gate>,
    /// The name of the run that it joined, if its end is told by its records alone.
    pub(super) joins: Option<String>,
    /// Whose suggestion it was made from, if it is not on record yet.
    pub(super) author: Option<String>,
    /// Mode Auto: the expression that allows it without a Gate, or why it is asked about all the same.
    pub(super) auto: Option<Result<String, String>>,
    /// What was looked at besides.
    pub(super) look: Look,
}

/// What was looked at besides.
#[derive(Debug)]
pub(super) enum Look {
    /// Nothing: it has come to its end, or nothing can be known.
    Settled,
    /// It has come to its end, and its time is over.
    Retiring(Retiring),
    /// Its records tell of its end; what is left of it, if all that was to come of it was a plan.
    Ended { planned: Option<Box<Planned>> },
    /// Nothing: it is cancelled.
    Cancelled,
    /// It has to be planned.
    Planning(Box<Opening>),
    /// The signed Playbook allows it without a Gate; what has to be known before it begins.
    Allowed { beginning: Option<Box<Beginning>> },
    /// People are asked.
    Asked {
        /// The Gate that stands in the run's status, if it is still there.
        gate: Option<Box<Gate>>,
        /// What has to be known before an approved plan begins.
        beginning: Option<Box<Beginning>>,
        /// What has to be known before the next people are asked.
        escalation: Option<Escalation>,
    },
    /// It has begun.
    Working(Working),
}

/// What is known of a run that has to be planned.
#[derive(Debug)]
pub(super) enum Opening {
    /// It is suspended, and nothing was looked at.
    Suspended,
    /// Nobody that goes on is about the same: it may be the one that later ones join.
    Unowned {
        incident: IncidentKey,
        instead_of: Option<String>,
    },
    /// An earlier run is about the same and goes on.
    SameAs(RunKey),
    /// It names no Playbook; those that fit, if that is known now.
    NoPlaybook {
        suggestions: Option<Vec<Suggestion>>,
        /// When to ask again, because of one of them that is not known.
        again: Option<Duration>,
    },
    /// It does not say who asked for it.
    NoRequester,
    /// Who asked for it is not proven; for good, or as long as the guard is not whole.
    Distrusted { message: String, lasting: bool },
    /// What the planner came to.
    Planned(Result<Box<Made>, Vec<Obstacle>>),
}

/// What has to be known before an approved plan begins.
#[derive(Debug, Default)]
pub(super) struct Beginning {
    /// The run that has taken its place while it was suspended, and goes on; then nothing else was looked at.
    pub(super) successor: Option<RunKey>,
    /// The limit that has kept it waiting, if it is still reached; then nothing else was looked at.
    pub(super) limited: Option<Limited>,
    /// What stops it.
    pub(super) frozen: Vec<Frozen>,
    /// Why it is not believed who released it.
    pub(super) release_distrusted: Option<String>,
    /// Whether the votes still approve; if not, why not.
    pub(super) recount: Option<Result<(), String>>,
    /// What would run now.
    pub(super) made: Option<Result<Made, Vec<Obstacle>>>,
}

/// What is known of a run that has begun.
#[derive(Debug)]
pub(super) struct Working {
    /// What was approved; or why it is not there any more.
    pub(super) plan: Result<Arc<Plan>, String>,
    /// What stops it.
    pub(super) frozen: Vec<Frozen>,
    /// What its steps said, as far as this process has heard it.
    pub(super) said: std::collections::BTreeMap<String, String>,
    /// What is known of the Gate by which its newest asking step asks.
    pub(super) midway: Option<Midway>,
}

impl Working {
    /// What a step said, after this.
    pub(super) fn told(&self, step: &str, message: String) -> String {
        match self.said.get(step) {
            Some(said) => format!("{message}: {said}"),
            None => message,
        }
    }
}

impl Facts {
    /// As far as the object itself tells.
    fn of(object: &Orchestration, now: Timestamp) -> Self {
        Self {
            now,
            run: run_ref(object),
            generation: object
                .metadata
                .generation
                .and_then(|generation| generation.try_into().ok())
                .unwrap_or_default(),
            version: object.resource_version().unwrap_or_default(),
            too_many: false,
            created: object.creation_timestamp().map_or(now, |time| time.0),
            spec: object.spec.clone(),
            history: Ok(History::default()),
            gates: Vec::new(),
            joins: None,
            author: None,
            auto: None,
            look: Look::Settled,
            status: object.status.clone().unwrap_or_default(),
        }
    }

    /// Whether anything was begun that may have changed something. What a step is, its status tells; of what nothing tells,
    /// it is believed.
    pub(super) fn has_effects(&self) -> bool {
        let looks = |name: &str| {
            let steps = self.status.steps.iter().flatten();
            let mut named = steps.filter(|step| step.name == name);
            named.next().is_some_and(|step| only_looks(&step.kind))
        };
        let history = self.history.as_ref();
        history.is_ok_and(|history| !history.attempted().all(looks))
    }

    /// The Gates that were looked at.
    fn seen(&self) -> impl Iterator<Item = &Gate> {
        let asked = match &self.look {
            Look::Asked { gate, .. } => gate.as_deref(),
            Look::Working(working) => {
                let midway = working.midway.as_ref();
                midway.and_then(|midway| midway.gate.as_deref())
            }
            _ => None,
        };
        asked.into_iter().chain(&self.gates)
    }

    /// How this Gate ended, if it was looked at and has.
    pub(super) fn gate_settled(&self, uid: &str) -> Option<GateState> {
        let mut seen = self.seen();
        let gate = seen.find(|gate| gate.metadata.uid.as_deref() == Some(uid))?;
        let state = gate.status.as_ref()?.state;
        state.filter(|state| *state != GateState::Open)
    }

    /// Whether this Gate was looked at and is open.
    pub(super) fn asks_still(&self, uid: &str) -> bool {
        let mut seen = self.seen();
        seen.any(|gate| gate.metadata.uid.as_deref() == Some(uid) && is_open(gate))
    }

    /// How long ago it was asked for.
    pub(super) fn age(&self) -> SignedDuration {
        self.now.duration_since(self.created)
    }

    /// Where its status and its records say that it is.
    pub(super) fn stage(&self) -> Stage {
        let started = self
            .history
            .as_ref()
            .is_ok_and(|history| history.started.is_some());
        if started {
            return Stage::Execute;
        }
        match self.status.stage {
            Some(api::Stage::Approve) => Stage::Approve,
            Some(api::Stage::Execute) => Stage::Execute,
            Some(api::Stage::DryRun) => Stage::DryRun,
            Some(api::Stage::Suggest) => Stage::Suggest,
            Some(api::Stage::Done) | None if self.spec.playbook_ref.is_none() => Stage::Suggest,
            Some(api::Stage::Done) | None => Stage::DryRun,
        }
    }

    /// Since when its status says that it is approved; now, if it does not say so yet.
    pub(super) fn status_since_approval(&self) -> Timestamp {
        self.told(ConditionType::Approved).unwrap_or(self.now)
    }

    /// For how long it has not been known what would be done: since that was told first, and not since whatever came before.
    pub(super) fn doubt(&self) -> SignedDuration {
        let since = self.told(ConditionType::PlanUnknown);
        self.now.duration_since(since.unwrap_or(self.now))
    }

    /// Since when its status says so, if it does.
    fn told(&self, condition: ConditionType) -> Option<Timestamp> {
        let mut conditions = self.status.conditions.iter().flatten();
        let told =
            conditions.find(|said| said.type_ == condition.as_str() && said.status == "True")?;
        Some(told.last_transition_time.0)
    }
}

/// Which run an object is.
pub(super) fn run_ref(object: &Orchestration) -> RunRef {
    RunRef {
        namespace: object.namespace().unwrap_or_default(),
        name: object.name_any(),
        uid: object.uid().unwrap_or_default(),
    }
}

impl OrchestrationKind {
    pub(super) async fn look(&self, object: &Orchestration) -> Result<Facts, OrchestrationError> {
        let mut facts = Facts::of(object, clock::now());
        // The records of what has come to its end are not asked for again and again.
        if facts.status.outcome.is_some() {
            facts.too_many = self.memory.is_one_too_many(&facts.run.uid);
            if is_due(&facts) {
                match self.retiring(&facts).await {
                    Ok(retiring) => facts.look = Look::Retiring(retiring),
                    Err(refusal) => facts.history = Err(refusal),
                }
            }
            return Ok(facts);
        }
        facts.history = self.history(&facts).await?;
        let Ok(history) = &facts.history else {
            return Ok(facts);
        };
        self.recall_joined(&facts).await?;
        let standing = standing(&facts.spec, &facts.status, history);
        if may_ask_untold(standing, history) {
            facts.gates = self.gates(&facts.run).await?;
        }
        facts.look = match standing {
            Standing::Settled => Look::Settled,
            Standing::Ended => {
                facts.joins = self.joins(&facts.run).await?;
                Look::Ended {
                    planned: self.planned(&facts.run, history).await?.map(Box::new),
                }
            }
            Standing::Cancelled => Look::Cancelled,
            Standing::Planning => self.planning(&mut facts).await?,
            Standing::Allowed => Look::Allowed {
                beginning: match waits_for_people(&facts.spec) {
                    None => Some(Box::new(self.beginning(&facts, None).await?)),
                    Some(_) => None,
                },
            },
            Standing::Asked => {
                let (look, gates) = self.asked(&facts).await?;
                facts.gates.extend(gates);
                look
            }
            Standing::Executing => Look::Working(self.working(&facts, history).await?),
        };
        Ok(facts)
    }

    /// What is known of a run about which people are asked, and its other Gates where they matter.
    async fn asked(&self, facts: &Facts) -> Result<(Look, Vec<Gate>), OrchestrationError> {
        let gate = self.gate(facts).await?;
        let beginning = match &gate {
            Some(gate) if may_begin(&facts.spec, gate) => {
                Some(Box::new(self.beginning(facts, Some(gate)).await?))
            }
            _ => None,
        };
        let foreign = |gate: &Gate| is_foreign(facts, gate, beginning.as_deref());
        let foreign = gate.as_ref().is_none_or(foreign);
        let gates = if foreign {
            self.gates(&facts.run).await?
        } else {
            Vec::new()
        };
        let escalation = match &gate {
            Some(gate) if !foreign && escalates(gate) => self.escalation(facts, gate).await?,
            _ => None,
        };
        let look = Look::Asked {
            gate: gate.map(Box::new),
            beginning,
            escalation,
        };
        Ok((look, gates))
    }

    async fn working(
        &self,
        facts: &Facts,
        history: &History,
    ) -> Result<Working, OrchestrationError> {
        let uid = &facts.run.uid;
        let plan = match self.memory.plan(uid) {
            Some(plan) => Ok(plan),
            None => self.stored(uid, history).await?,
        };
        let frozen = self.frozen(&facts.run).await?;
        let midway = match &plan {
            Ok(plan) => self.midway(facts, history, (plan, &frozen)).await?,
            Err(_) => None,
        };
        Ok(Working {
            plan,
            frozen,
            midway,
            said: self.memory.said(uid),
        })
    }
}

/// Whether an approved run has nothing to wait for but what is looked at live.
fn may_begin(spec: &OrchestrationSpec, gate: &Gate) -> bool {
    let state = gate.status.as_ref().and_then(|status| status.state);
    state == Some(GateState::Approved) && waits_for_people(spec).is_none()
}
