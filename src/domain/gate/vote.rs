//! Floor 0: a vote about a Gate: what it says, how its voter is proven, and why it may not be counted. How votes are counted
//! is not said here.

use std::{collections::BTreeSet, fmt};

use jiff::Timestamp;

/// How a voter's identity is proven; the stronger the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Evidence {
    /// The API's account says so.
    Attested,
    /// The API server authenticated the voter.
    ApiServer,
}

/// What a vote says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Voted {
    /// Yes.
    Approve,
    /// No.
    Reject,
    /// What I said before is not said.
    Withdraw,
}

/// A Decision, as far as counting goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vote {
    /// The Decision's name.
    pub name: String,
    /// The Decision's uid.
    pub uid: String,
    /// The uid of the Gate that it is about.
    pub gate: String,
    /// The plan that it is about.
    pub plan_digest: String,
    /// Who voted.
    pub user: String,
    /// The groups under which the voter is to be judged.
    pub groups: Vec<String>,
    /// What.
    pub voted: Voted,
    /// The greater, the newer: the resourceVersion.
    pub order: u128,
    /// When, by the API server's clock.
    pub created: Timestamp,
    /// How the voter's identity is proven.
    pub evidence: Evidence,
}

/// Which of the roles that a Gate asks for a voter holds now, for what was voted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// None: the voter holds everything by a wildcard, and roles are granted by name.
    Wildcard,
    /// These.
    Roles(BTreeSet<String>),
}

/// Why a vote is not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    OtherGate,
    OtherPlan,
    Late,
    Distrusted,
    Older,
    Voided,
    Withdrawal,
    System,
    Requester,
    Wildcard,
    NoRole,
    Weak,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OtherGate => "it is about another Gate",
            Self::OtherPlan => "it is about another plan",
            Self::Late => "it came at or after the deadline",
            Self::Distrusted => {
                "the admission guard was not known to be whole when it was made, so nothing proves who made it"
            }
            Self::Older => "a newer vote of the same person stands in its place",
            Self::Voided => "a newer vote in the same name does not count and takes this one away",
            Self::Withdrawal => "it takes back what was voted before",
            Self::System => "service accounts and other system users do not decide",
            Self::Requester => "who requested this may not decide it",
            Self::Wildcard => {
                "a wildcard grant makes no approver; approver roles are granted by name"
            }
            Self::NoRole => "the voter holds none of the roles that the Gate asks for",
            Self::Weak => {
                "the role asks for a vote with the person's own credential, and this one was attested"
            }
        })
    }
}

/// A vote that is not counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ignored {
    /// The vote.
    pub vote: Vote,
    /// Why not.
    pub why: Why,
}
