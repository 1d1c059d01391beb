//! Floor 0: whether what is recorded of runs makes sense: nothing began that was not planned, approved and recorded before,
//! and what ended is complete. A log can be whole to the last hash and still tell of a run that nobody approved. Record by
//! record and in order, over all logs of a store; it remembers what runs and Gates have come to. No reading happens here.

mod finding;
mod run;

use std::collections::HashMap;

use super::{
    event::Event,
    record::{Fact, Method, Name, Record, RecordId},
};
use crate::domain::{digest::Digest, reason::Reason, stage::Outcome};

pub use finding::{Misstep, Wrong};
use run::{Run, is_forward};

/// The word by which `run.started` says that no Gate was asked: mode Auto, allowed by the signed Playbook.
pub const AUTO: &str = "Auto";

/// What the records of runs came to.
#[derive(Debug, Default)]
pub struct Verdict {
    /// What is wrong, in the order of the leaves.
    pub missteps: Vec<Misstep>,
    /// Runs that ended.
    pub ended: u64,
    /// Runs that go on.
    pub going_on: u64,
    /// Runs of which records were lost with a log, so that nothing can be said about them.
    pub doubtful: u64,
}

/// Takes the records of one log after the other.
#[derive(Debug, Default)]
pub struct Semantics {
    /// The logs so far, each with the leaf that is read or comes next.
    logs: Vec<(String, u64)>,
    runs: HashMap<Name, Run>,
    gates: HashMap<Name, Gate>,
    missteps: Vec<Misstep>,
    /// A log is followed that was not read to its end.
    lost: bool,
}

/// What is on record of a Gate.
#[derive(Debug)]
struct Gate {
    settled: Event,
    plan: Option<Digest>,
    /// The Playbook whose policy allowed it.
    playbook: Option<Digest>,
    /// The run that began with it.
    used_by: Option<Name>,
}

impl Semantics {
    /// The log with this origin begins.
    pub fn begin(&mut self, origin: &str) {
        self.logs.push((origin.to_owned(), 0));
    }

    /// Takes the record of this leaf, which is behind those that were taken of the log.
    pub fn record(&mut self, leaf: u64, record: &Record) {
        let fact = &record.fact;
        if let Some((_, at)) = self.logs.last_mut() {
            *at = leaf;
        }
        if fact.code == Event::LogFollowed && !self.is_whole(fact) {
            // What is missing may have been about any of them.
            self.lost = true;
            for run in self.runs.values_mut().filter(|run| !run.has_ended()) {
                run.doubt();
            }
        }
        match fact.code {
            Event::RunRequested
            | Event::RunPlanned
            | Event::RunEscalated
            | Event::RunSuggested
            | Event::RunAllowed
            | Event::RunStarted
            | Event::RunHeld
            | Event::RunCancelled
            | Event::RunFinished
            | Event::RunGone
            | Event::RunTurned
            | Event::StepIntended
            | Event::StepUnderway
            | Event::StepSucceeded
            | Event::StepFailed
            | Event::UndoIntended
            | Event::UndoSucceeded
            | Event::UndoFailed => self.of_run(record),
            Event::GateApproved
            | Event::GateAllowed
            | Event::GateRejected
            | Event::GateExpired
            | Event::GateSuperseded
            | Event::GateCancelled => self.of_gate(record),
            _ => {}
        }
        if let Some((_, at)) = self.logs.last_mut() {
            *at = leaf.saturating_add(1);
        }
    }

    /// What it came to.
    pub fn finish(self) -> Verdict {
        let mut verdict = Verdict {
            missteps: self.missteps,
            ..Verdict::default()
        };
        for run in self.runs.values() {
            let count = match (run.is_doubtful(), run.has_ended()) {
                (true, _) => &mut verdict.doubtful,
                (false, true) => &mut verdict.ended,
                (false, false) => &mut verdict.going_on,
            };
            *count += 1;
        }
        verdict
    }

    /// Whether all logs that are followed were read, to their ends.
    fn is_whole(&self, fact: &Fact) -> bool {
        fact.logs.iter().all(|before| {
            let mut read = self.logs.iter();
            read.any(|(origin, size)| origin == before.origin.as_str() && *size >= before.size)
        })
    }

    fn of_run(&mut self, record: &Record) {
        let fact = &record.fact;
        let Some(object) = &fact.object else {
            return self.wrong(fact, Wrong::Nameless);
        };
        let uid = object.uid.clone();
        let mut run = self.runs.remove(&uid).unwrap_or_else(|| {
            // A log that goes on where another was lost begins in the middle.
            Run::new(self.lost && fact.code != Event::RunRequested)
        });
        let mut wrongs = run.take(record);
        match fact.code {
            Event::RunStarted => wrongs.extend(self.not_allowed(&uid, fact, &run)),
            // People who are asked in its middle approve the plan that was begun, at a Gate of their own.
            Event::StepSucceeded if run.asks(fact) => {
                wrongs.extend(self.not_agreed(&uid, fact, &run));
            }
            Event::RunEscalated => wrongs.extend(self.not_expired(&uid, fact)),
            Event::RunFinished => wrongs.extend(joined_nobody(&uid, fact)),
            _ => {}
        }
        if has_twice(&fact.decisions) {
            wrongs.push(Wrong::SameDecision);
        }
        if !run.is_doubtful() {
            for wrong in wrongs {
                self.wrong(fact, wrong);
            }
        }
        self.runs.insert(uid, run);
    }

    /// What a run lacks that begins: an approval of exactly its plan that stands on record before it, by people or by the
    /// Playbook that they signed.
    fn not_allowed(&mut self, uid: &Name, fact: &Fact, run: &Run) -> Option<Wrong> {
        let Some(gate_uid) = &fact.gate else {
            let words = [&fact.outcome, &fact.stage];
            let auto = words
                .iter()
                .any(|word| word.as_ref().is_some_and(|word| word.as_str() == AUTO));
            return match (auto, run.is_allowed(fact)) {
                (false, _) => Some(Wrong::NoGate),
                (true, false) => Some(Wrong::NotAllowed),
                (true, true) => None,
            };
        };
        let Some(gate) = self.gates.get_mut(gate_uid) else {
            return Some(Wrong::NotApproved {
                gate: gate_uid.clone(),
            });
        };
        // Who approved stands in both records: people are not named where a policy acted, and the other way round.
        let by_policy = (fact.outcome.as_ref())
            .is_some_and(|word| word.as_str() == Reason::ApprovedByPolicy.as_str());
        let wanted = if by_policy {
            Event::GateAllowed
        } else {
            Event::GateApproved
        };
        if gate.settled != wanted {
            return Some(Wrong::SettledOtherwise {
                gate: gate_uid.clone(),
                settled: gate.settled,
            });
        }
        if by_policy && gate.playbook != fact.playbook_digest {
            return Some(Wrong::OtherPolicy {
                gate: gate_uid.clone(),
                policy: gate.playbook.clone(),
            });
        }
        if gate.plan.is_none() || gate.plan != fact.plan_digest {
            return Some(Wrong::OtherPlanApproved {
                gate: gate_uid.clone(),
                approved: gate.plan.clone(),
            });
        }
        let other = gate.used_by.as_ref().filter(|other| *other != uid).cloned();
        gate.used_by.get_or_insert_with(|| uid.clone());
        other.map(|other| Wrong::GateOfAnother {
            gate: gate_uid.clone(),
            other,
        })
    }

    /// What a step lacks that people were asked by: the same, and that nothing has begun by their Gate before.
    fn not_agreed(&mut self, uid: &Name, fact: &Fact, run: &Run) -> Option<Wrong> {
        let gate = fact.gate.as_ref().and_then(|uid| self.gates.get(uid));
        if let (Some(uid), Some(used)) = (&fact.gate, gate.and_then(|gate| gate.used_by.clone())) {
            return Some(Wrong::GateOfAnother {
                gate: uid.clone(),
                other: used,
            });
        }
        self.not_allowed(uid, fact, run)
    }

    /// What a run lacks that has the next set of rules asked: a Gate of its own about the same plan, whose deadline has passed
    /// on record before it.
    fn not_expired(&mut self, run: &Name, fact: &Fact) -> Option<Wrong> {
        let not_expired = |settled| Wrong::NotExpired {
            gate: fact.gate.clone(),
            settled,
        };
        let Some(uid) = &fact.gate else {
            return Some(not_expired(None));
        };
        let Some(gate) = self.gates.get_mut(uid) else {
            return Some(not_expired(None));
        };
        if gate.settled != Event::GateExpired {
            gate.used_by.get_or_insert_with(|| run.clone());
            return Some(not_expired(Some(gate.settled)));
        }
        if gate.plan.is_none() || gate.plan != fact.plan_digest {
            return Some(Wrong::OtherPlanExpired {
                gate: uid.clone(),
                asked: gate.plan.clone(),
            });
        }
        let other = gate.used_by.as_ref().filter(|other| *other != run).cloned();
        gate.used_by.get_or_insert_with(|| run.clone());
        other.map(|other| Wrong::ExpiredOfAnother {
            gate: uid.clone(),
            other,
        })
    }

    fn of_gate(&mut self, record: &Record) {
        let fact = &record.fact;
        let Some(object) = &fact.object else {
            return self.wrong(fact, Wrong::Nameless);
        };
        if record.late.is_some() && is_forward(fact.code) {
            self.wrong(fact, Wrong::LateForward);
        }
        if has_twice(&fact.decisions) {
            self.wrong(fact, Wrong::SameDecision);
        }
        if fact.code == Event::GateApproved && fact.decisions.is_empty() {
            self.wrong(fact, Wrong::NoDecisions);
        }
        let names_policy = fact.actor.method == Method::Policy
            && (fact.playbook_digest.as_ref())
                .is_some_and(|digest| digest.as_str() == fact.actor.subject.as_str());
        if fact.code == Event::GateAllowed && !names_policy {
            self.wrong(fact, Wrong::NoPolicy);
        }
        let settled = Gate {
            settled: fact.code,
            plan: fact.plan_digest.clone(),
            playbook: fact.playbook_digest.clone(),
            used_by: None,
        };
        // An end is on record before it stands in the Gate's status: whoever is kept from writing that, by another vote or by
        // its own end, counts anew. What a run has begun with stays.
        let before = self.gates.get(&object.uid);
        if let Some(before) = before.filter(|before| before.used_by.is_some()) {
            return self.wrong(fact, Wrong::SettledTwice(before.settled));
        }
        self.gates.insert(object.uid.clone(), settled);
    }

    fn wrong(&mut self, fact: &Fact, wrong: Wrong) {
        let (origin, leaf) = self.logs.last().cloned().unwrap_or_default();
        self.missteps.push(Misstep {
            origin,
            leaf,
            about: fact.object.clone(),
            wrong,
        });
    }
}

/// Whoever joined names by its cause that another run was asked for, and not that it was itself.
fn joined_nobody(uid: &Name, fact: &Fact) -> Option<Wrong> {
    let joined =
        (fact.outcome.as_ref()).is_some_and(|word| word.as_str() == Outcome::Joined.as_str());
    let own = RecordId::of(&[uid.as_str(), Event::RunRequested.code()]);
    let nobody = fact.cause.is_none_or(|cause| cause == own);
    (joined && nobody).then_some(Wrong::JoinedNobody)
}

fn has_twice(names: &[Name]) -> bool {
    let mut sorted: Vec<_> = names.iter().collect();
    sorted.sort_unstable();
    sorted
        .windows(2)
        .any(|pair| matches!(pair, [one, other] if one == other))
}

#[cfg(test)]
mod tests;
