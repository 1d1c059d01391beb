//! Floor 0: the plan of a run: what is asked about, what is approved and what runs are these bytes and no others. It holds
//! typed effects with the state that they start from, so that nothing has to be rendered again to be executed. How a step
//! kind finds its effect lives in `adapters/steps`; nothing here reads a cluster.

mod again;
mod change;
mod conflict;
mod owner;
mod show;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use change::{
    Change, Stands, changes, comparable, exact, kept, left, pointer, stands, unplannable,
};
pub use conflict::conflicts;
pub use owner::owner;
pub use show::{diff, seen, short_diff, summary};

use super::{digest::Digest, reason::Reason};

/// The format of plans that this version makes and runs.
pub const VERSION: u32 = 1;
/// What fits into a ConfigMap beside its diff.
pub const LARGEST: usize = 512 * 1024;
/// The key of that ConfigMap under which stands what was seen while the plan was made, one thing a line.
pub const SEEN: &str = "seen";

/// What would be done, for exactly one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Plan {
    /// The format.
    pub v: u32,
    /// The run; its uid makes the plan nobody else's.
    pub run: RunRef,
    /// What it was made from.
    pub playbook: PlaybookRef,
    /// The policies that trust the Playbook and its images, with all that they trust.
    pub policy_digest: Digest,
    /// Whose rights it is planned and run with.
    pub service_account: String,
    /// The parameters as the schema took them.
    pub parameters: Map<String, Value>,
    /// Time for the whole execution, in milliseconds; waiting for people is not counted.
    pub timeout: u64,
    /// What becomes of what was done if its time is over.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// What is done, in order.
    pub steps: Vec<PlannedStep>,
}

/// The run that a plan is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RunRef {
    /// Its namespace, in which all of it happens.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid: a name can come again.
    pub uid: String,
}

/// The verified Playbook that a plan was made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct PlaybookRef {
    /// Its name.
    pub name: String,
    /// The digest of the document whose signatures were verified.
    pub digest: Digest,
    /// Its revision.
    pub revision: u64,
}

/// How much of a step is known before it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Coverage {
    /// The API server said what would change.
    ServerDryRun,
    /// A kind that has no dry run and says so.
    SchemaOnly,
    /// What it does inside cannot be known; the author said so and whoever approves is told.
    Opaque,
    /// Nobody could plan it.
    Unplannable,
}

/// What a step does to its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Access {
    /// It looks.
    Reads,
    /// It changes it, and holds its lock.
    Writes,
}

/// An object that a step acts on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Target {
    /// Its apiVersion.
    pub api_version: String,
    /// Its kind.
    pub kind: String,
    /// The plural under which the API server serves it.
    pub resource: String,
    /// Its namespace; none for a node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// Its uid; none if it is not there yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// What the step does to it.
    pub access: Access,
    /// The GitOps tool that owns it, if one does, as `Argo CD application shop`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
}

impl Target {
    /// The group of its kind; empty for the core.
    pub fn group(&self) -> &str {
        self.api_version
            .split_once('/')
            .map_or("", |(group, _)| group)
    }

    /// What a lock on it is named: one object, whatever version it is spoken to in.
    pub fn key(&self) -> String {
        let namespace = self.namespace.as_deref().unwrap_or_default();
        format!(
            "{}/{}/{namespace}/{}",
            self.group(),
            self.resource,
            self.name
        )
    }

    /// As people say it.
    pub fn shown(&self) -> String {
        format!("{}/{}", self.kind, self.name)
    }
}

/// What becomes of what was done before, if something fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnFailure {
    /// It is taken back, in reverse order.
    Compensate,
    /// It stays as it is; so do plans say that know nothing of this.
    #[default]
    Stop,
}

/// How a step's effect is taken back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "by",
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum Undo {
    /// Every change is put back to what it was.
    Restore,
    /// What was made is deleted.
    Delete,
    /// What was deleted is made again, as another object of the same name.
    Recreate {
        /// As it was, without what the API server adds.
        manifest: Value,
    },
    /// It is not; why stands there before anybody approves.
    Nothing {
        /// Why.
        why: String,
    },
}

/// One step as it would be done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct PlannedStep {
    /// Its name.
    pub name: String,
    /// Its kind, as in the Playbook.
    pub kind: String,
    /// How much of it is known.
    pub coverage: Coverage,
    /// Time for one attempt, in milliseconds.
    pub timeout: u64,
    /// Further attempts after a failure.
    pub retries: u32,
    /// What becomes of what was done, if this step fails.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// What it acts on.
    pub targets: Vec<Target>,
    /// What its kind needs to do it; only that kind reads it.
    pub effect: Value,
    /// What becomes of its targets.
    pub changes: Vec<Change>,
    /// How it is taken back.
    pub undo: Undo,
}

impl PlannedStep {
    /// What the leaf of its intent names.
    pub fn digest(&self) -> Result<Digest, NotCanonical> {
        Ok(Digest::of(&canonical(self)?))
    }

    /// Whether it is taken back if the run fails.
    pub fn is_taken_back(&self) -> bool {
        !matches!(self.undo, Undo::Nothing { .. })
    }

    /// Whether it may have changed something, inside or outside of its targets.
    pub fn has_effects(&self) -> bool {
        self.writes() || self.coverage == Coverage::Opaque
    }

    /// Whether it changes anything, and takes part in locks.
    pub fn writes(&self) -> bool {
        self.targets
            .iter()
            .any(|target| target.access == Access::Writes)
    }
}

/// A plan that has no canonical bytes.
#[derive(Debug, thiserror::Error)]
#[error("the plan has no canonical form")]
pub struct NotCanonical(#[source] pub serde_json::Error);

/// Bytes that are no plan which this version runs.
#[derive(Debug, thiserror::Error)]
pub enum NoPlan {
    /// They do not read.
    #[error("the plan does not read")]
    Unreadable(#[source] serde_json::Error),
    /// Another version made them.
    #[error("the plan has format {0}; this version runs {VERSION}")]
    Version(u32),
    /// They are not the plan that was approved.
    #[error("the plan has the digest {found}, and {wanted} was approved")]
    Other {
        /// What was approved.
        wanted: Digest,
        /// What is there.
        found: Digest,
    },
}

impl Plan {
    /// The bytes that are digested, stored and shown (RFC 8785).
    pub fn to_bytes(&self) -> Result<Vec<u8>, NotCanonical> {
        canonical(self)
    }

    /// Reads a plan, if it is the one with this digest.
    pub fn parse(bytes: &[u8], wanted: &Digest) -> Result<Self, NoPlan> {
        let found = Digest::of(bytes);
        if found != *wanted {
            return Err(NoPlan::Other {
                wanted: wanted.clone(),
                found,
            });
        }
        let plan: Self = serde_json::from_slice(bytes).map_err(NoPlan::Unreadable)?;
        if plan.v != VERSION {
            return Err(NoPlan::Version(plan.v));
        }
        Ok(plan)
    }

    /// The locks that it needs, each once.
    pub fn locks(&self) -> Vec<String> {
        let written = self.steps.iter().flat_map(|step| &step.targets);
        let keys: BTreeSet<String> = written
            .filter(|target| target.access == Access::Writes)
            .map(Target::key)
            .collect();
        keys.into_iter().collect()
    }

    /// The step with this name, and which one it is.
    pub fn step(&self, name: &str) -> Option<(usize, &PlannedStep)> {
        let mut steps = self.steps.iter().enumerate();
        steps.find(|(_, step)| step.name == name)
    }
}

fn canonical(value: &impl Serialize) -> Result<Vec<u8>, NotCanonical> {
    let value = serde_json::to_value(value).map_err(NotCanonical)?;
    serde_json_canonicalizer::to_vec(&value).map_err(NotCanonical)
}

/// What a dry run came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Everything that can be known was found good.
    Pass,
    /// It is not known; no Gate is opened.
    Unknown,
    /// Somebody who has a say says no.
    Fail,
}

/// Why a plan, or a step of it, is not good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// `Unknown` or `Fail`.
    pub verdict: Verdict,
    /// In a word.
    pub reason: Reason,
    /// In a sentence: what, where, why, what to do.
    pub message: String,
}

impl Obstacle {
    /// Somebody who has a say says no.
    pub fn fail(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Fail,
            reason,
            message: message.into(),
        }
    }

    /// It is not known.
    pub fn unknown(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Unknown,
            reason,
            message: message.into(),
        }
    }

    /// With the place that it is about in front.
    pub fn at(mut self, place: &str) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }
}

#[cfg(test)]
mod tests;
