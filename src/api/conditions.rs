//! Floor 1: the condition types, their polarity, and the one way in which conditions are merged: a transition time
//! moves only when a status moves, so that a second pass over a settled object writes nothing.

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};

use crate::domain::reason::Reason;

/// The condition types of all kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConditionType {
    /// The summary; what kstatus and `kubectl wait` look at.
    Ready,
    /// Something is still to happen; present only while true.
    Reconciling,
    /// Nothing will happen until a person acts; present only while true.
    Stalled,
    /// The document keeps the rules.
    Valid,
    /// A trusted signature over exactly this document.
    SignatureVerified,
    /// A run has a plan that may be asked about.
    Planned,
    /// What a run would do now could not be found out; present only while true, and since when that is so counts.
    PlanUnknown,
    /// The right people approved.
    Approved,
    /// Somebody rejected, or nobody decided in time.
    Rejected,
    /// A run did what it was to do.
    Succeeded,
}

impl ConditionType {
    /// The word in `type`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Reconciling => "Reconciling",
            Self::Stalled => "Stalled",
            Self::Valid => "Valid",
            Self::SignatureVerified => "SignatureVerified",
            Self::Planned => "Planned",
            Self::PlanUnknown => "PlanUnknown",
            Self::Approved => "Approved",
            Self::Rejected => "Rejected",
            Self::Succeeded => "Succeeded",
        }
    }

    /// Whether it stands only while it is true: its absence then means "no".
    pub fn only_while_true(self) -> bool {
        match self {
            Self::Reconciling | Self::Stalled | Self::PlanUnknown => true,
            Self::Ready
            | Self::Valid
            | Self::SignatureVerified
            | Self::Planned
            | Self::Approved
            | Self::Rejected
            | Self::Succeeded => false,
        }
    }
}

/// True, False or Unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConditionStatus {
    True,
    False,
    Unknown,
}

impl ConditionStatus {
    fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// A condition before it has a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// What about.
    pub kind: ConditionType,
    /// How it is.
    pub status: ConditionStatus,
    /// Why, in a word.
    pub reason: Reason,
    /// Why, and what to do.
    pub message: String,
}

/// What fits into a condition's message.
const LONGEST_MESSAGE: usize = 4096;

impl Draft {
    /// A condition before it has a time. A message that does not fit is cut, and says so.
    pub fn new(
        kind: ConditionType,
        status: ConditionStatus,
        reason: Reason,
        message: impl Into<String>,
    ) -> Self {
        let mut message = message.into();
        if message.len() > LONGEST_MESSAGE {
            let room = LONGEST_MESSAGE.saturating_sub(4);
            let end = (0..=room)
                .rev()
                .find(|end| message.is_char_boundary(*end))
                .unwrap_or(0);
            message.truncate(end);
            message.push_str(" …");
        }
        Self {
            kind,
            status,
            reason,
            message,
        }
    }
}

/// The new conditions: `drafts` in their order, with the transition times of those whose status did not move.
/// What is not drafted is gone; conditions that stand only while true are dropped when they are not.
pub fn merge(
    current: &[Condition],
    drafts: Vec<Draft>,
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    drafts
        .into_iter()
        .filter(|draft| !draft.kind.only_while_true() || draft.status == ConditionStatus::True)
        .map(|draft| {
            let since = current
                .iter()
                .find(|condition| {
                    condition.type_ == draft.kind.as_str()
                        && condition.status == draft.status.as_str()
                })
                .map(|condition| condition.last_transition_time.clone());
            Condition {
                type_: draft.kind.as_str().to_owned(),
                status: draft.status.as_str().to_owned(),
                reason: draft.reason.as_str().to_owned(),
                message: draft.message,
                observed_generation: generation,
                // The API server keeps whole seconds; more would make every comparison differ.
                last_transition_time: since.unwrap_or_else(|| Time(whole_seconds(now))),
            }
        })
        .collect()
}

/// The new conditions of a pass that came to nothing: `drafts`, and what stands besides them as it was, because nothing
/// new is known about it. Reconciling and Stalled go, if they are not drafted.
pub fn amend(
    current: &[Condition],
    drafts: Vec<Draft>,
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    let mut conditions = merge(current, drafts, generation, now);
    let passing = [ConditionType::Reconciling, ConditionType::Stalled].map(ConditionType::as_str);
    let said: Vec<String> = conditions.iter().map(|said| said.type_.clone()).collect();
    let stands =
        |old: &&Condition| !passing.contains(&old.type_.as_str()) && !said.contains(&old.type_);
    conditions.extend(current.iter().filter(stands).cloned());
    conditions
}

fn whole_seconds(now: Timestamp) -> Timestamp {
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn ready(status: ConditionStatus, message: &str) -> Draft {
        Draft::new(ConditionType::Ready, status, Reason::Valid, message)
    }

    #[test]
    fn the_time_moves_only_with_the_status() {
        let first = merge(
            &[],
            vec![ready(ConditionStatus::False, "a")],
            Some(1),
            at(100),
        );
        let same = merge(
            &first,
            vec![ready(ConditionStatus::False, "b")],
            Some(2),
            at(200),
        );
        let moved = merge(
            &same,
            vec![ready(ConditionStatus::True, "b")],
            Some(2),
            at(300),
        );
        assert_eq!(same[0].last_transition_time, Time(at(100)));
        assert_eq!(
            (same[0].message.as_str(), same[0].observed_generation),
            ("b", Some(2))
        );
        assert_eq!(moved[0].last_transition_time, Time(at(300)));
    }

    #[test]
    fn reconciling_and_stalled_stand_only_while_true() {
        let stalled = |status| Draft::new(ConditionType::Stalled, status, Reason::Invalid, "");
        assert_eq!(
            merge(&[], vec![stalled(ConditionStatus::True)], None, at(0)).len(),
            1
        );
        assert_eq!(
            merge(&[], vec![stalled(ConditionStatus::False)], None, at(0)).len(),
            0
        );
    }

    #[test]
    fn a_long_message_is_cut_at_a_character() {
        let draft = ready(ConditionStatus::True, &"ä".repeat(5000));
        assert!(draft.message.len() <= LONGEST_MESSAGE && draft.message.ends_with(" …"));
    }

    #[test]
    fn a_pass_that_came_to_nothing_leaves_what_stands() {
        let draft = |kind, status| Draft::new(kind, status, Reason::TimedOut, "");
        let known = merge(
            &[],
            vec![
                draft(ConditionType::Ready, ConditionStatus::False),
                draft(ConditionType::Stalled, ConditionStatus::True),
                draft(ConditionType::Valid, ConditionStatus::False),
            ],
            Some(1),
            at(1),
        );
        let failed = vec![draft(ConditionType::Ready, ConditionStatus::Unknown)];
        let after = amend(&known, failed, Some(2), at(2));
        let said: Vec<_> = after
            .iter()
            .map(|c| (c.type_.as_str(), c.status.as_str(), c.observed_generation))
            .collect();
        assert_eq!(
            said,
            [("Ready", "Unknown", Some(2)), ("Valid", "False", Some(1))]
        );
    }
}
