//! Floor 2: the step kinds, one file each, with how it is planned and how it is run side by side. Planning reads and asks
//! for dry runs and never writes; running does what the plan says and nothing that is not in it. Adding a kind is a file
//! and a line in `KINDS`; when a step may run is decided above.

mod apply;
mod check;
mod cordon;
mod delete;
mod drain;
mod gate;
mod http;
mod job;
mod landing;
mod look;
mod node;
mod notify;
mod patch;
mod rollout_restart;
mod rollout_undo;
mod scale;
mod uncordon;
mod veil;
mod wait;
mod write;

use std::time::Duration;

use futures::future::BoxFuture;
use jiff::Timestamp;
use serde_json::{Map, Value};

pub use veil::Veil;

use crate::{
    adapters::{
        cel::Cel,
        kube::account::{Account, AccountError},
        prometheus::Prometheus,
    },
    api::v1alpha1::Step,
    domain::{
        digest::Digest,
        lint::STEP_KINDS,
        plan::{Change, Coverage, Obstacle, Plan, PlannedStep, RunRef, Target, Undo},
        reason::Reason,
    },
    ports::Leadership,
};

/// What a step kind supplies.
pub trait StepKind: Send + Sync {
    /// As it is named in the Playbook.
    fn name(&self) -> &'static str;

    /// Whether this is a step of the kind.
    fn is(&self, step: &Step) -> bool;

    /// What the step would do, found by reads and dry runs.
    fn plan<'a>(
        &'a self,
        step: &'a Step,
        planning: &'a Planning<'a>,
    ) -> BoxFuture<'a, Result<Forecast, Obstacle>>;

    /// Does what was planned, or goes on with it. It is asked again until the step has come to an end, also by another
    /// process: it must find out by itself what has happened already, and never do it twice.
    fn run<'a>(&'a self, running: &'a Running<'a>)
    -> BoxFuture<'a, Result<Progress, AccountError>>;

    /// How long a step with this effect takes at least: one that has less time can only fail.
    fn at_least(&self, _effect: &Value) -> Option<Duration> {
        None
    }

    /// Takes back what was done, or goes on with that; asked again as [`StepKind::run`] is. What stands as it was before
    /// needs nothing, and what somebody else has changed since is left as it is and said. It is not asked of a step whose
    /// plan says that nothing is taken back.
    fn undo<'a>(
        &'a self,
        running: &'a Running<'a>,
    ) -> BoxFuture<'a, Result<Progress, AccountError>> {
        let message = format!("a step of the kind {} is not taken back", running.step.kind);
        Box::pin(async { Ok(Progress::failed(Reason::Invalid, message)) })
    }
}

/// Every kind that this version plans and runs.
const KINDS: [&dyn StepKind; 15] = [
    &apply::Apply,
    &patch::Patch,
    &scale::Scale,
    &rollout_restart::RolloutRestart,
    &rollout_undo::RolloutUndo,
    &delete::Delete,
    &cordon::CORDON,
    &uncordon::UNCORDON,
    &drain::Drain,
    &job::Job,
    &http::Http,
    &wait::Wait,
    &check::Check,
    &gate::Gate,
    &notify::Notify,
];

/// How soon to look again at first.
const FIRST_LOOK: Duration = Duration::from_secs(1);
/// And after a while.
const LAST_LOOK: Duration = Duration::from_secs(5);

/// The kind of a step; none if this version does not know it.
pub fn kind_of(step: &Step) -> Option<&'static dyn StepKind> {
    KINDS.into_iter().find(|kind| kind.is(step))
}

/// Whether a step of this kind only looks, so that whoever stops it leaves nothing behind.
pub fn only_looks(kind: &str) -> bool {
    [wait::Wait.name(), check::Check.name(), gate::Gate.name()].contains(&kind)
}

/// Why a step cannot be planned that no kind knows.
pub fn unsupported(step: &Step) -> String {
    let fields = serde_json::to_value(step).unwrap_or_default();
    let named = STEP_KINDS
        .into_iter()
        .find(|kind| fields.get(kind).is_some());
    let known: Vec<&str> = KINDS.into_iter().map(StepKind::name).collect();
    format!(
        "this version cannot plan a step of the kind {}, only {}: leave the step out, or do it by hand after the run",
        named.unwrap_or("that it has"),
        known.join(", ")
    )
}

/// The kind with this name.
pub fn kind_named(name: &str) -> Option<&'static dyn StepKind> {
    KINDS.into_iter().find(|kind| kind.name() == name)
}

/// What steps find in this installation, whoever wrote them.
#[derive(Default)]
pub struct Installation {
    /// Answers the queries of checks.
    pub prometheus: Option<Prometheus>,
    /// The image of this program, which sends the requests of http steps from their Jobs; by digest.
    pub image: Option<String>,
}

/// What a step is planned with.
#[derive(Clone, Copy)]
pub struct Planning<'a> {
    /// In whose name.
    pub account: &'a Account,
    /// For which run.
    pub run: &'a RunRef,
    /// From which Playbook.
    pub playbook: &'a str,
    /// The parameters, for expressions.
    pub parameters: &'a Map<String, Value>,
    /// Puts values out of sight that nobody may read in a plan.
    pub veil: &'a Veil,
    /// Reads expressions.
    pub cel: &'a Cel,
    /// What there is beside the cluster.
    pub installation: &'a Installation,
    /// The steps before this one, as they are planned: what they leave is what this one finds.
    pub earlier: &'a [PlannedStep],
}

/// What a step would do.
#[derive(Clone, Debug, PartialEq)]
pub struct Forecast {
    /// How much of it is known.
    pub coverage: Coverage,
    /// What it acts on.
    pub targets: Vec<Target>,
    /// What the kind needs to do it.
    pub effect: Value,
    /// What becomes of the targets.
    pub changes: Vec<Change>,
    /// How it is taken back.
    pub undo: Undo,
    /// What was seen on the way that whoever decides should know, and that may change before it runs: it is shown beside
    /// the plan and is not part of it, or a pod that is replaced would make it another plan.
    pub seen: Vec<String>,
}

/// What a step is run with.
pub struct Running<'a> {
    /// In whose name.
    pub account: &'a Account,
    /// The plan that was approved.
    pub plan: &'a Plan,
    /// Its digest.
    pub digest: &'a Digest,
    /// The step of that plan.
    pub step: &'a PlannedStep,
    /// Which attempt, counted from 1.
    pub attempt: u32,
    /// Whether the attempt has begun outside, and that is on record: a Job was made. When it is taken back: whether any had.
    pub underway: bool,
    /// Whether any attempt had.
    pub ever: bool,
    /// Whether every attempt ended by a refusal: none is known to have written.
    pub refused: bool,
    /// Whether nothing of this attempt was asked of anybody yet, so that what is so already is somebody else's doing.
    pub fresh: bool,
    /// When the attempt began: the time of its intent.
    pub began: Timestamp,
    /// Now.
    pub now: Timestamp,
    /// What the last pass over this attempt asked to be remembered; nothing in the first, and in another process.
    pub memory: Option<Timestamp>,
    /// When that pass was, if it asked for anything to be remembered.
    pub looked: Option<Timestamp>,
    /// The step as the verified Playbook has it, where the plan does not hold all of it because it is secret.
    pub rendered: Option<&'a Step>,
    /// The same as when it was planned.
    pub veil: &'a Veil,
    /// Evaluates expressions.
    pub cel: &'a Cel,
    /// What there is beside the cluster.
    pub installation: &'a Installation,
    /// Asked before each write.
    pub fence: &'a dyn Leadership,
}

/// How far a step has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It did what it was to do.
    Done {
        /// In a sentence.
        message: String,
    },
    /// Something was begun outside that must not be begun again: to be recorded before anything else.
    Begun {
        /// In a sentence.
        message: String,
    },
    /// Something outside must happen; look again after this time.
    Pending {
        /// When to look again.
        after: Duration,
        /// What is waited for.
        message: String,
        /// What is to be remembered until then, as long as the process lives: losing it costs time and nothing else.
        memory: Option<Timestamp>,
    },
    /// The same, but what was begun goes on by itself: the step has not ended before it has, even where its time is over.
    Busy {
        /// When to look again.
        after: Duration,
        /// What is waited for.
        message: String,
        /// When it has certainly ended.
        until: Timestamp,
    },
    /// It failed, and trying the same attempt again does not help.
    Failed {
        /// In a word.
        reason: Reason,
        /// In a sentence: what, why, what to do.
        message: String,
    },
}

impl Progress {
    fn done(message: impl Into<String>) -> Self {
        Self::Done {
            message: message.into(),
        }
    }

    fn failed(reason: Reason, message: impl Into<String>) -> Self {
        Self::Failed {
            reason,
            message: message.into(),
        }
    }
}

/// The name under which the fields are owned that a Playbook's steps write.
fn manager(playbook: &str) -> String {
    format!("neuralops/{playbook}")
}

/// When to look again at something that was begun so long ago: often at first, then less so.
fn next_look(running: &Running<'_>) -> Duration {
    let waited = running.now.duration_since(running.began);
    let waited = Duration::try_from(waited).unwrap_or_default();
    (waited / 10).clamp(FIRST_LOOK, LAST_LOOK)
}

/// The undo of a step whose author wants none.
fn not_wanted() -> Undo {
    Undo::Nothing {
        why: "the Playbook says undo: None".to_owned(),
    }
}
