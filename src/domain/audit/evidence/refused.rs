//! Floor 0: why a file proves nothing, or not what it says.

use super::{LARGEST, VERSION};
use crate::domain::{
    audit::{
        checkpoint::CheckpointError,
        hash::NoHash,
        record::{NoRecord, RecordId},
        semantics::Misstep,
        tree::ProofError,
    },
    digest::Digest,
    document::NotCanonical,
    plan::NoPlan,
};

/// Why a file is no evidence.
#[derive(Debug, thiserror::Error)]
pub enum NoEvidence {
    /// It does not read.
    #[error("it does not read as evidence of a run")]
    Unreadable(#[source] serde_json::Error),
    /// It is too large.
    #[error("evidence has {0} bytes; {LARGEST} are allowed")]
    TooLarge(usize),
    /// Another version wrote it.
    #[error("it has format {0}; this version reads {VERSION}")]
    Version(u32),
    /// A checkpoint is not to be believed.
    #[error("a checkpoint in it is not signed by a given key of its log")]
    NotSigned(#[source] CheckpointError),
    /// A log stands there twice.
    #[error("the log {0} stands there twice")]
    LogTwice(String),
    /// The records are not in their order.
    #[error("the record of leaf {0} is not behind that of the leaf before it")]
    Disordered(u64),
    /// A hash does not read.
    #[error("the way of leaf {leaf} to the root does not read")]
    Hash {
        /// Of which leaf.
        leaf: u64,
        /// Why.
        #[source]
        source: NoHash,
    },
    /// A record is not in the log.
    #[error("leaf {leaf} is not the one in the log: it was altered, or is of another log")]
    NotIncluded {
        /// Which leaf.
        leaf: u64,
        /// Why.
        #[source]
        source: ProofError,
    },
    /// A leaf is no record.
    #[error("leaf {leaf} is no record that an operator writes")]
    NoRecord {
        /// Which leaf.
        leaf: u64,
        /// Why.
        #[source]
        source: NoRecord,
    },
    /// A record has nothing to do with the run.
    #[error("the record {0} is neither about the run nor about a Gate that it began by")]
    AboutOthers(RecordId),
    /// Nothing says that the run was ever asked for.
    #[error("no record in it says that the run was asked for")]
    NotRequested,
    /// The records make no sense.
    #[error("what its records tell cannot have been so: {}", first(.0))]
    Senseless(Vec<Misstep>),
    /// The plan is not the one on record.
    #[error("the plan in it is not the one on record")]
    Plan(#[source] NoPlan),
    /// There is a plan, and none on record.
    #[error("there is a plan in it, and no record names one")]
    NoPlanOnRecord,
    /// The plan is another run's.
    #[error("the plan in it is made for the run {0}")]
    PlanOfAnother(String),
    /// A step on record is not in the plan, or not so.
    #[error("the step {0} on record is not in the plan, not so, or not in this order")]
    OtherStep(String),
    /// The run succeeded without doing all of the plan.
    #[error("the run ended as Succeeded, and the step {0} of its plan is not on record as done")]
    StepMissing(String),
    /// The Playbook has no digest.
    #[error("the Playbook in it has no canonical form")]
    PlaybookForm(#[source] NotCanonical),
    /// The Playbook does not read.
    #[error("the Playbook in it lacks {0}")]
    PlaybookLacks(&'static str),
    /// The Playbook is another one.
    #[error("the Playbook in it has the digest {found}, and the records name {wanted}")]
    OtherPlaybook {
        /// What is on record.
        wanted: Digest,
        /// What is there.
        found: Digest,
    },
    /// A Gate or Decision does not belong there.
    #[error("the {kind} {name} in it {what}")]
    Stray {
        /// Gate or Decision.
        kind: &'static str,
        /// Its name.
        name: String,
        /// What is wrong with it.
        what: &'static str,
    },
}

fn first(missteps: &[Misstep]) -> String {
    missteps.first().map(Misstep::to_string).unwrap_or_default()
}
