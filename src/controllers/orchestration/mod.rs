//! Floor 3: the Orchestration controller: from a run that was asked for to its end, one transition a pass. What a run has
//! come to is read from its own records, so that whoever goes on begins where the last one stopped. It counts no votes and
//! knows no step kind.

mod act;
mod children;
mod decide;
mod gather;
mod gone;
mod memory;
mod queue;
mod records;
mod status;
mod tidying;

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use kube::Client;
use tokio::sync::mpsc;

pub use act::Done;
pub use gather::Facts;
pub use gone::{Loose, Sweeper};
pub use tidying::Tidier;

use self::memory::Memory;
use super::{
    counting::{Counting, CountingError},
    guard::{self, GuardWatch},
    harness::{Failure, Kind},
    matching::Matching,
    planner::Planner,
    retention::{PlaybookName, Retention},
    settling::{Closing, Settling},
};
use crate::{
    adapters::{
        clock,
        kube::{
            account::AccountError,
            error::{Classified, classify},
            scope::Scope,
            status::StatusError,
        },
        ledger::{self, Ledger},
        metrics::Metrics,
    },
    api::v1alpha1::{Gate, Orchestration, OrchestrationStatus},
    domain::{
        plan::RunRef,
        reason::Reason,
        stage::Stage,
        verdict::{ErrorClass, Verdict},
    },
    ports::{Leadership, NotLeader},
};

/// What the controller works with.
pub struct Parts {
    /// The API server.
    pub client: Client,
    /// The transparency log.
    pub ledger: Ledger,
    /// Makes plans.
    pub planner: Planner,
    /// Counts votes again before a run begins.
    pub counting: Counting,
    /// Which Playbooks fit an incident.
    pub matching: Arc<Matching>,
    /// Since when the admission guard is whole.
    pub guard: Arc<GuardWatch>,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Runs of one namespace that may be under way at the same time.
    pub namespace_limit: u32,
    /// Runs that have to be looked at again.
    pub wakes: mpsc::UnboundedSender<RunRef>,
    /// Runs that are gone, or whose locks are still to be released.
    pub loose: mpsc::UnboundedSender<Loose>,
    /// How many finished runs are kept.
    pub retention: Arc<Retention>,
}

/// The Orchestration controller.
pub struct OrchestrationKind {
    client: Client,
    ledger: Ledger,
    planner: Planner,
    counting: Counting,
    matching: Arc<Matching>,
    guard: Arc<GuardWatch>,
    metrics: Arc<Metrics>,
    namespace_limit: u32,
    wakes: mpsc::UnboundedSender<RunRef>,
    loose: mpsc::UnboundedSender<Loose>,
    retention: Arc<Retention>,
    settling: Settling,
    memory: Arc<Memory>,
}

impl OrchestrationKind {
    /// One of these parts.
    pub fn new(parts: Parts) -> Self {
        let Parts {
            client,
            ledger,
            planner,
            counting,
            matching,
            guard,
            metrics,
            namespace_limit,
            wakes,
            loose,
            retention,
        } = parts;
        Self {
            settling: Settling::new(client.clone(), ledger.clone(), Arc::clone(&metrics)),
            client,
            ledger,
            planner,
            counting,
            matching,
            guard,
            metrics,
            namespace_limit,
            wakes,
            loose,
            retention,
            memory: Arc::default(),
        }
    }

    /// What is done about runs that are gone.
    pub fn sweeper(&self, scope: Scope, loose: mpsc::UnboundedReceiver<Loose>) -> Sweeper {
        Sweeper::new(
            self.ledger.clone(),
            (self.client.clone(), scope),
            loose,
            Arc::clone(&self.memory),
            self.waker(),
        )
    }

    /// What finds the finished runs that are more than their Playbook keeps.
    pub fn tidier(&self, due: mpsc::UnboundedReceiver<PlaybookName>) -> Tidier {
        Tidier {
            client: self.client.clone(),
            retention: Arc::clone(&self.retention),
            due,
            memory: Arc::clone(&self.memory),
            wakes: self.wakes.clone(),
        }
    }

    /// Has everybody look again who waits for a lock or for the end of a Freeze.
    pub fn waker(&self) -> impl Fn() + Send + Sync + use<> {
        let (memory, wakes) = (Arc::clone(&self.memory), self.wakes.clone());
        move || {
            for run in memory.wake() {
                // Nobody listens any more: the process ends.
                let _ = wakes.send(run);
            }
        }
    }

    /// Has everybody of a namespace look again who waits for somebody to take one of its Playbooks.
    pub fn chooser(&self) -> impl Fn(&str) + Send + Sync + use<> {
        let (memory, wakes) = (Arc::clone(&self.memory), self.wakes.clone());
        let matching = Arc::clone(&self.matching);
        move |namespace| {
            matching.forget(namespace);
            for run in memory.choosing_in(namespace) {
                // Nobody listens any more: the process ends.
                let _ = wakes.send(run);
            }
        }
    }

    fn wake_waiting(&self) {
        self.waker()();
    }

    /// Has these look again.
    fn call(&self, runs: impl IntoIterator<Item = RunRef>) {
        for run in runs {
            // Nobody listens any more: the process ends.
            let _ = self.wakes.send(run);
        }
    }

    fn unreleased(&self, run: &RunRef) {
        let _ = self.loose.send(Loose::Unreleased(run.clone()));
    }

    async fn settle(
        &self,
        gate: &Gate,
        closing: Closing,
        reason: Reason,
        message: &str,
        fence: &dyn Leadership,
    ) -> Result<(), OrchestrationError> {
        fence.holds().map_err(OrchestrationError::Deposed)?;
        let settled = self.settling.settle(gate, closing, reason, message).await;
        settled.map_err(OrchestrationError::Settle)
    }
}

/// What is to be done about a run, and what it was decided by.
pub struct Decided {
    facts: Arc<Facts>,
    decision: decide::Decision,
}

/// What can go wrong with a run; what cannot be recorded is waited for.
#[derive(Debug, thiserror::Error)]
pub enum OrchestrationError {
    /// Something of the run was not read.
    #[error("could not read {what}")]
    Read {
        /// What.
        what: &'static str,
        /// Why.
        #[source]
        source: Box<kube::Error>,
    },
    /// Something of the run was not made.
    #[error("could not make {what}")]
    Make {
        /// What.
        what: &'static str,
        /// Why.
        #[source]
        source: Box<kube::Error>,
    },
    /// Something of a finished run was not deleted.
    #[error("could not delete {what}")]
    Delete {
        /// What.
        what: &'static str,
        /// Why.
        #[source]
        source: Box<kube::Error>,
    },
    /// Something bears the name of what the run makes, and is not the run's.
    #[error(
        "{what} {name} is there already and is not this run's, or not about its plan; delete it"
    )]
    NotOurs {
        /// Its kind.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// The Playbook names nobody who approves.
    #[error("the Playbook says nobody who approves")]
    NobodyToAsk,
    /// The log does not say what has to be known.
    #[error("{0}")]
    Log(ledger::Refusal),
    /// It is not known how the admission guard stands.
    #[error("could not learn who is to be believed")]
    Guard(#[source] guard::Unknown),
    /// The votes were not counted again.
    #[error("could not count the votes again")]
    Counting(#[source] CountingError),
    /// The Gate was not settled.
    #[error("could not settle its Gate")]
    Settle(#[source] StatusError),
    /// A step was not done and may be done when it is tried again.
    #[error("a step is not done yet")]
    Step(#[source] AccountError),
    /// There is no way to act as the playbook's account.
    #[error("could not act as the playbook's account: {0}")]
    Account(String),
    /// A way that no run goes; a defect.
    #[error("a run in stage {from:?} was to go to {to:?}")]
    Illegal {
        /// Where it is.
        from: Stage,
        /// Where it was to go.
        to: Stage,
    },
    /// This process may not write now.
    #[error("this replica does not lead any more")]
    Deposed(#[source] NotLeader),
}

impl Classified for OrchestrationError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Read { source, .. } | Self::Make { source, .. } | Self::Delete { source, .. } => {
                classify(source).0
            }
            Self::NobodyToAsk => ErrorClass::Permanent,
            Self::Illegal { .. } => ErrorClass::Bug,
            // Nobody tells us when it is deleted.
            Self::NotOurs { .. } => ErrorClass::Transient,
            Self::Log(_) | Self::Account(_) | Self::Deposed(_) | Self::Guard(_) => {
                ErrorClass::Transient
            }
            Self::Counting(error) => error.class(),
            Self::Settle(error) => error.class(),
            Self::Step(error) => error.class(),
        }
    }

    fn reason(&self) -> Reason {
        match self {
            Self::Read { source, .. } | Self::Make { source, .. } | Self::Delete { source, .. } => {
                classify(source).1
            }
            Self::NotOurs { .. } => Reason::NameTaken,
            Self::NobodyToAsk => Reason::Invalid,
            Self::Illegal { .. } => Reason::InternalError,
            Self::Log(refusal) => refusal.reason,
            Self::Guard(_) => Reason::AdmissionGuardMissing,
            Self::Counting(error) => error.reason(),
            Self::Settle(error) => error.reason(),
            Self::Step(error) => error.reason(),
            Self::Account(_) => Reason::ImpersonationForbidden,
            Self::Deposed(_) => Reason::Conflict,
        }
    }
}

impl Kind for OrchestrationKind {
    type Object = Orchestration;
    type Status = OrchestrationStatus;
    type Facts = Arc<Facts>;
    type Decision = Decided;
    type Done = Done;
    type Error = OrchestrationError;

    const NAME: &'static str = "orchestration";

    fn parse(text: &str) -> Result<Orchestration, serde_json::Error> {
        serde_json::from_str(text)
    }

    async fn gather(&self, object: &Orchestration) -> Result<Arc<Facts>, OrchestrationError> {
        self.look(object).await.map(Arc::new)
    }

    fn decide(&self, facts: &Arc<Facts>) -> Decided {
        Decided {
            facts: Arc::clone(facts),
            decision: decide::decide(facts),
        }
    }

    async fn act(
        &self,
        decided: Decided,
        fence: &dyn Leadership,
    ) -> Result<Done, OrchestrationError> {
        act::act(self, decided.facts, decided.decision, fence).await
    }

    fn status(&self, object: &Orchestration, pass: Result<&Done, &Failure>) -> OrchestrationStatus {
        status::status(object, pass, clock::now())
    }

    fn verdict(&self, done: &Done) -> Verdict {
        done.verdict.clone()
    }

    fn current(object: &Orchestration) -> Option<&OrchestrationStatus> {
        object.status.as_ref()
    }

    fn conditions(status: &OrchestrationStatus) -> &[Condition] {
        status.conditions.as_deref().unwrap_or_default()
    }

    fn listed(&self) {
        // Nobody listens any more: the process ends.
        let _ = self.loose.send(Loose::Missed);
    }

    fn heard(&self, meta: &ObjectMeta, gone: bool) {
        // Whoever keeps the object keeps nobody from what it has locked.
        if !gone && meta.deletion_timestamp.is_none() {
            return;
        }
        let run = RunRef {
            namespace: meta.namespace.clone().unwrap_or_default(),
            name: meta.name.clone().unwrap_or_default(),
            uid: meta.uid.clone().unwrap_or_default(),
        };
        self.memory.leaves(&run);
        self.call(self.memory.queue.leaves(&run.uid));
        // Nobody listens any more: the process ends.
        let _ = self.loose.send(Loose::Gone(run));
    }
}
