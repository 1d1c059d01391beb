//! Floor 2's edge: what the store knows of runs that are under way: which run, what it claims, what keeps it from that, and
//! who joined whom. Working state; no record. No code.

use jiff::Timestamp;

/// Which run: an Orchestration by its uid, with the name that people know it by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunKey {
    /// The uid of its object.
    pub uid: String,
    /// The namespace of its object.
    pub namespace: String,
    /// The name of its object.
    pub name: String,
}

/// What a run needs before its first effect: its plan kept, all its targets to itself, and room under its limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Whose.
    pub run: RunKey,
    /// The plan as it was approved. That of a run's first claim stays.
    pub plan: Vec<u8>,
    /// What the run has to itself until it is released.
    pub keys: Vec<String>,
    /// When it began.
    pub since: Timestamp,
    /// The Playbook that it runs, of its own namespace.
    pub playbook: String,
    /// How many may run; a run that holds something already is not asked again.
    pub limits: Limits,
}

/// How many runs may run; none: as many as there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Of one namespace at the same time.
    pub namespace: Option<u32>,
    /// Of one Playbook at the same time.
    pub playbook: Option<u32>,
    /// Of one Playbook on one target, begun within an hour.
    pub target_hour: Option<u32>,
}

/// What became of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// Everything that was asked for is the run's, now or since an earlier attempt.
    Held,
    /// Another run has one of them; nothing was taken and nothing was kept.
    Taken {
        /// Which one; the first, if there are more.
        key: String,
        /// Who has it.
        by: RunKey,
    },
    /// A limit is reached; nothing was taken and nothing was kept.
    Limited(Limited),
}

/// A limit that is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limited {
    /// Which one.
    pub limit: Limit,
    /// How many may run.
    pub allowed: u32,
    /// Whose end, or whose age, makes room first.
    pub by: RunKey,
    /// When that is, if time alone makes room.
    pub until: Option<Timestamp>,
}

/// What is limited.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Limit {
    /// Runs of the namespace at the same time.
    Namespace,
    /// Runs of the Playbook at the same time.
    Playbook,
    /// Runs of the Playbook on this target within an hour.
    TargetHour(String),
}

/// What an incident is known by, within its namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IncidentKey {
    /// The namespace.
    pub namespace: String,
    /// The key.
    pub key: String,
    /// What is wanted, as a digest, of the run for just that; empty for the one that stands for the key.
    pub wish: String,
}

/// Who joined whom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many joined the run.
    pub joined: u64,
    /// The name of the run that it joined.
    pub joins: Option<String>,
}
