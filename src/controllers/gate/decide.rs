//! Floor 3: whether a Gate is settled, and what is to be recorded and said then. Pure and total.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    super::{
        counting::Count,
        settling::{fact, waited},
    },
    Facts, Found,
};
use crate::{
    adapters::ledger,
    api::{
        conditions::ConditionType,
        v1alpha1::{Gate, GateState, OnTimeout},
    },
    domain::{
        audit::{
            event::Event,
            record::{Actor, Name},
        },
        digest::Digest,
        gate::{Counted, Outcome, Tally, Voted, Why},
        reason::Reason,
    },
};

/// How many votes a message tells of that do not count.
const TOLD: usize = 8;

/// What is to be done about a Gate.
#[derive(Clone, Debug)]
pub enum Decision {
    /// Nothing, and it is settled.
    Settled,
    /// Nothing before the deadline, or another vote.
    Open(Option<Timestamp>),
    /// It stays open, and its status says something new.
    Show(Shown, Option<Timestamp>),
    /// It is settled.
    Settle(Box<Settlement>),
    /// It cannot be known now.
    Wait(ledger::Refusal),
}

/// How far an open Gate is.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// What it waits for, in a word.
    pub reason: Reason,
    /// In a sentence.
    pub message: String,
    /// The count.
    pub tally: Tally,
}

/// How a Gate is settled.
#[derive(Clone, Debug)]
pub struct Settlement {
    /// How.
    pub state: GateState,
    /// The same, in a word.
    pub reason: Reason,
    /// By whom, or why.
    pub message: String,
    /// The count that it rests on.
    pub tally: Tally,
    /// What has to be on record first.
    pub record: ledger::Draft,
    /// How long people were asked.
    pub waited: Duration,
}

pub(super) fn decide(facts: &Facts) -> Decision {
    let until = facts.gate.spec.deadline.as_ref().map(|deadline| deadline.0);
    let count = match &facts.found {
        Found::Settled => return Decision::Settled,
        Found::Unvoted => return Decision::Open(until),
        Found::Unknown(refusal) => return Decision::Wait(refusal.clone()),
        Found::Counted(count) => count,
        Found::Lapsed { count, policy } => {
            return Decision::Settle(Box::new(lapsed(facts, &count.tally, policy)));
        }
    };
    let tally = &count.tally;
    let (state, reason, code) = match tally.outcome {
        Outcome::Open => return open(&facts.gate, count, until),
        Outcome::Approved => (GateState::Approved, Reason::Approved, Event::GateApproved),
        Outcome::Rejected => (GateState::Rejected, Reason::Rejected, Event::GateRejected),
        Outcome::Expired => (GateState::Expired, Reason::Expired, Event::GateExpired),
    };
    let message = settled(&facts.gate, tally, "");
    let deciding = tally
        .deciding()
        .map(|counted| counted.vote.uid.as_str().into());
    let deciding: Vec<Name> = if tally.outcome == Outcome::Expired {
        Vec::new()
    } else {
        deciding.collect()
    };
    let mut record = ledger::Draft::from(fact(&facts.gate, code, reason, deciding));
    record.details = Some(message.clone());
    Decision::Settle(Box::new(Settlement {
        state,
        reason,
        message,
        tally: tally.clone(),
        record,
        waited: waited(&facts.gate, facts.now),
    }))
}

/// The deadline has passed, nobody was against it, and the Gate says that it is approved then. What was approved before
/// stands beside it, and did not suffice.
fn lapsed(facts: &Facts, tally: &Tally, policy: &Result<Digest, String>) -> Settlement {
    let gate = &facts.gate;
    let (state, reason, record, message) = match policy {
        Ok(playbook) => {
            let counted = tally.counted.iter();
            let counted = counted.map(|counted| counted.vote.uid.as_str().into());
            let reason = Reason::ApprovedByPolicy;
            let mut record = fact(gate, Event::GateAllowed, reason, counted.collect());
            record.actor = Actor::policy(playbook);
            record.playbook_digest = Some(playbook.clone());
            let message = format!(
                "the deadline, {}, has passed, nobody was against it, and the signed Playbook {playbook} approves it then; missing: {}{}",
                deadline(gate),
                missing(tally),
                others(tally)
            );
            (GateState::Approved, reason, record, message)
        }
        Err(why) => {
            let instead = format!("; onTimeout Approve is taken as Reject: {why}");
            let message = settled(gate, tally, &instead);
            let record = fact(gate, Event::GateExpired, Reason::Expired, Vec::new());
            (GateState::Expired, Reason::Expired, record, message)
        }
    };
    let mut record = ledger::Draft::from(record);
    record.details = Some(message.clone());
    Settlement {
        state,
        reason,
        message,
        tally: tally.clone(),
        record,
        waited: waited(gate, facts.now),
    }
}

/// An open Gate costs a write for what is news: another vote that counts, or the admission guard in the way of one. Votes
/// that do not count are told beside those that do and make no news: anybody can write them.
fn open(gate: &Gate, count: &Count, until: Option<Timestamp>) -> Decision {
    let tally = &count.tally;
    let reason = if count.guard_missing {
        Reason::AdmissionGuardMissing
    } else {
        Reason::AwaitingApproval
    };
    let news = match said(gate) {
        None => count.guard_missing || tally.distrusts() || !tally.counted.is_empty(),
        Some(said) => said != reason.as_str() || shown(gate) != counted(tally),
    };
    if !news {
        return Decision::Open(until);
    }
    let message = if count.guard_missing {
        "the admission guard is missing or altered, so nothing proves who votes, and no vote counts; the operator's readiness says what is wrong".to_owned()
    } else {
        format!("missing: {}{}", missing(tally), others(tally))
    };
    let tally = tally.clone();
    Decision::Show(
        Shown {
            reason,
            message,
            tally,
        },
        until,
    )
}

/// The reason of Ready, if this version of the Gate has a status of ours.
fn said(gate: &Gate) -> Option<&str> {
    let conditions = gate.status.as_ref()?.conditions.as_ref()?;
    let ready = ConditionType::Ready.as_str();
    let ready = conditions
        .iter()
        .find(|condition| condition.type_ == ready)?;
    (ready.observed_generation == gate.metadata.generation).then_some(ready.reason.as_str())
}

/// The uids of the votes that the status shows.
fn shown(gate: &Gate) -> Vec<&str> {
    let decisions = gate
        .status
        .iter()
        .flat_map(|status| status.decisions.iter().flatten());
    decisions
        .map(|decision| decision.uid.as_deref().unwrap_or_default())
        .collect()
}

fn counted(tally: &Tally) -> Vec<&str> {
    super::status::shown(tally)
        .map(|counted| counted.vote.uid.as_str())
        .collect()
}

/// How it was settled; `instead` says why the deadline does not do what the Gate says.
fn settled(gate: &Gate, tally: &Tally, instead: &str) -> String {
    let by = tally.deciding().map(told).collect::<Vec<_>>().join(", ");
    let others = others(tally);
    match tally.outcome {
        Outcome::Approved => format!("approved by {by}{others}"),
        Outcome::Rejected => format!("rejected by {by}{others}"),
        Outcome::Open | Outcome::Expired => {
            let then = match gate.spec.on_timeout {
                Some(OnTimeout::Escalate) => {
                    "; onTimeout Escalate: whoever opened it asks the next set of rules, if there is one"
                }
                Some(OnTimeout::Reject | OnTimeout::Approve) | None => instead,
            };
            format!(
                "the deadline, {}, has passed; missing: {}{others}{then}",
                deadline(gate),
                missing(tally)
            )
        }
    }
}

fn deadline(gate: &Gate) -> String {
    let deadline = gate.spec.deadline.as_ref();
    deadline
        .map(|deadline| deadline.0.to_string())
        .unwrap_or_default()
}

/// `bob (oncall)`
fn told(counted: &Counted) -> String {
    let user = &counted.vote.user;
    match &counted.place {
        Some(role) => format!("{user} ({role})"),
        None => user.clone(),
    }
}

/// `1 of oncall, 2 of service-owner`
fn missing(tally: &Tally) -> String {
    let rules = tally.rules.iter().filter(|rule| rule.missing > 0);
    let rules: Vec<_> = rules
        .map(|rule| format!("{} of {}", rule.missing, rule.role))
        .collect();
    rules.join(", ")
}

/// The votes that do not count and that somebody may wonder about.
fn others(tally: &Tally) -> String {
    let usual = |why: Why| matches!(why, Why::Older | Why::Withdrawal);
    let mut wondered = tally.ignored.iter().filter(|ignored| !usual(ignored.why));
    let mut told: Vec<String> = wondered
        .by_ref()
        .take(TOLD)
        .map(|ignored| {
            let voted = match ignored.vote.voted {
                Voted::Approve => "approval",
                Voted::Reject => "rejection",
                Voted::Withdraw => "withdrawal",
            };
            format!("the {voted} of {}: {}", ignored.vote.user, ignored.why)
        })
        .collect();
    match wondered.count() {
        0 => {}
        more => told.push(format!("and {more} more")),
    }
    if told.is_empty() {
        String::new()
    } else {
        format!("; not counted: {}", told.join("; "))
    }
}

#[cfg(test)]
pub(super) mod tests;
