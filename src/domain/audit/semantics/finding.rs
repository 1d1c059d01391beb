//! Floor 0: what can be wrong with the records of a run, each in words of its own.

use std::fmt;

use crate::domain::{
    audit::{
        event::Event,
        record::{Name, Object},
    },
    digest::Digest,
    stage::Outcome,
};

/// A leaf that should not stand where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misstep {
    /// The log.
    pub origin: String,
    /// The leaf.
    pub leaf: u64,
    /// The run or Gate that it is about.
    pub about: Option<Object>,
    /// What is wrong.
    pub wrong: Wrong,
}

impl fmt::Display for Misstep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "leaf {} of {}: ", self.leaf, self.origin)?;
        if let Some(about) = &self.about {
            let namespace = about.namespace.as_ref().map_or("", Name::as_str);
            let (kind, name, uid) = (&about.kind, &about.name, &about.uid);
            write!(
                f,
                "{} {namespace}/{} ({}): ",
                kind.as_str(),
                name.as_str(),
                uid.as_str()
            )?;
        }
        self.wrong.fmt(f)
    }
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// The record says of nobody.
    #[error("the record does not say what it is about")]
    Nameless,
    /// A step's record does not say which step.
    #[error("the record does not say which step and which attempt")]
    NoStep,
    /// A run goes on that nobody asked for.
    #[error("nobody asked for the run: there is no run.requested before this")]
    NotRequested,
    /// A run begins that was not planned.
    #[error("it begins without a plan: there is no run.planned before this")]
    NotPlanned,
    /// A record does not name the plan.
    #[error("the record names no plan")]
    NoPlanDigest,
    /// A run begins, or a step, by another plan than before.
    #[error("it goes by the plan {found}, which is not the one recorded before")]
    OtherPlan {
        /// What the record names.
        found: Digest,
    },
    /// A run begins and does not say what it was allowed by.
    #[error("it begins and names neither a Gate nor that none was needed")]
    NoGate,
    /// A run begins without a Gate, and nothing says that it may.
    #[error(
        "it begins without a Gate, and there is no run.allowed before this that names this plan, the Playbook and its expression"
    )]
    NotAllowed,
    /// A run begins without approval.
    #[error("it begins by the Gate {}, and there is no gate.approved of it before this", gate.as_str())]
    NotApproved {
        /// The Gate that it names.
        gate: Name,
    },
    /// A run begins with a Gate that was not approved.
    #[error("it begins by the Gate {}, whose record says {}", gate.as_str(), settled.code())]
    SettledOtherwise {
        /// The Gate that it names.
        gate: Name,
        /// What that came to.
        settled: Event,
    },
    /// A run begins with a Gate that was approved for another plan.
    #[error(
        "it begins by the Gate {}, which was approved for {}",
        gate.as_str(),
        approved.as_ref().map_or("no plan", Digest::as_str)
    )]
    OtherPlanApproved {
        /// The Gate that it names.
        gate: Name,
        /// What was approved.
        approved: Option<Digest>,
    },
    /// A run begins with a Gate that another one began with.
    #[error("it begins by the Gate {}, by which the run {} began before", gate.as_str(), other.as_str())]
    GateOfAnother {
        /// The Gate that it names.
        gate: Name,
        /// The run that has used it.
        other: Name,
    },
    /// A run begins with a Gate that another Playbook's policy allowed than the one that it was planned from.
    #[error(
        "it begins by the Gate {}, which was allowed by the policy of {}",
        gate.as_str(),
        policy.as_ref().map_or("no Playbook", Digest::as_str)
    )]
    OtherPolicy {
        /// The Gate that it names.
        gate: Name,
        /// Whose policy allowed that.
        policy: Option<Digest>,
    },
    /// The next set of rules is asked after a Gate that did not expire.
    #[error(
        "the next set of rules is asked after the Gate {}, whose record says {}",
        gate.as_ref().map_or("of no name", Name::as_str),
        settled.map_or("nothing", Event::code)
    )]
    NotExpired {
        /// The Gate that it names.
        gate: Option<Name>,
        /// What that came to.
        settled: Option<Event>,
    },
    /// The next set of rules is asked after a Gate that asked about another plan.
    #[error(
        "the next set of rules is asked after the Gate {}, which asked about {}",
        gate.as_str(),
        asked.as_ref().map_or("no plan", Digest::as_str)
    )]
    OtherPlanExpired {
        /// The Gate that it names.
        gate: Name,
        /// What that asked about.
        asked: Option<Digest>,
    },
    /// The next set of rules is asked after a Gate of another run.
    #[error("the next set of rules is asked after the Gate {}, which was that of the run {}", gate.as_str(), other.as_str())]
    ExpiredOfAnother {
        /// The Gate that it names.
        gate: Name,
        /// The run that went on after it.
        other: Name,
    },
    /// A run ends because it joined another, and does not say which.
    #[error("it ends as Joined, and its cause names no other run that was asked for")]
    JoinedNobody,
    /// The next set of rules is asked about what has begun.
    #[error("the next set of rules is asked after the run began")]
    EscalatedLate,
    /// A Gate is approved by no policy.
    #[error(
        "it is allowed at its deadline, and the record does not name the signed Playbook that allows it"
    )]
    NoPolicy,
    /// A Gate is approved by nobody.
    #[error("it is approved, and the record names no Decision")]
    NoDecisions,
    /// A Decision is counted twice.
    #[error("the record names a Decision twice")]
    SameDecision,
    /// A Gate is settled again.
    #[error("it is settled again: {} is on record before this", .0.code())]
    SettledTwice(Event),
    /// A step is done before the run begins.
    #[error("a step is done before the run begins: there is no run.started before this")]
    NotStarted,
    /// Something begins after somebody cancelled it.
    #[error("something new begins after the run was cancelled")]
    AfterCancel,
    /// A step is begun while another one is under way.
    #[error("a step begins while {} has no outcome (attempt {attempt})", step.as_str())]
    StillOpen {
        /// The one that is under way.
        step: Name,
        /// Which attempt.
        attempt: u32,
    },
    /// A step is begun after one that failed.
    #[error("a step begins after {} failed", step.as_str())]
    AfterFailure {
        /// The one that failed.
        step: Name,
    },
    /// A step is begun on the way back.
    #[error("a step begins after the run turned: what was done is being taken back")]
    AfterTurn,
    /// A step is taken back, and the run did not turn.
    #[error("a step is taken back, and there is no run.turned before this")]
    NotTurned,
    /// A run turns that has done nothing.
    #[error("it turns, and no step of it was begun")]
    NothingToTakeBack,
    /// A step is taken back that was not begun.
    #[error("the step {} is taken back, and was never begun", step.as_str())]
    UndoOfNothing {
        /// Which.
        step: Name,
    },
    /// Steps are taken back in another order than the reverse of how they were done.
    #[error("the step {} is taken back after one that was done before it", step.as_str())]
    UndoOutOfOrder {
        /// Which.
        step: Name,
    },
    /// A step is done again, though it did not just fail.
    #[error("the step {} is done again, and did not fail just before", step.as_str())]
    StepAgain {
        /// Which.
        step: Name,
    },
    /// Attempts do not follow each other.
    #[error("attempt {found} of the step {}, where {expected} is next", step.as_str())]
    OtherAttempt {
        /// Of which step.
        step: Name,
        /// Which one it is.
        found: u32,
        /// Which one it should be.
        expected: u32,
    },
    /// A step has an outcome and was not begun.
    #[error(
        "the step {} has an outcome, and there is no step.intended of attempt {attempt} before it that had none",
        step.as_str()
    )]
    NoIntent {
        /// Which.
        step: Name,
        /// Which attempt.
        attempt: u32,
    },
    /// A run is said to have ended without saying how.
    #[error("the run ends, and the record says not how")]
    NoOutcome,
    /// A run ended while a step was under way.
    #[error("the run ends, and the step {} has no outcome (attempt {attempt})", step.as_str())]
    Unfinished {
        /// Which.
        step: Name,
        /// Which attempt.
        attempt: u32,
    },
    /// A run ended in a way that it cannot have come to.
    #[error("the run ends as {}, and {lacks}", outcome.as_str())]
    CannotEnd {
        /// How it ended.
        outcome: Outcome,
        /// What speaks against it.
        lacks: &'static str,
    },
    /// A run succeeded with a step that did not.
    #[error("the run ends as Succeeded, and the step {} failed", step.as_str())]
    SucceededWithFailure {
        /// Which.
        step: Name,
    },
    /// Something is recorded of a run that has ended.
    #[error("the run has ended before this, and it is no stop that was recorded late")]
    AfterEnd,
    /// A forward step was recorded after it happened.
    #[error("it was recorded late, after it happened: only stops may be")]
    LateForward,
}
