//! Floor 0: what objects of the cluster say, held against what is on record of them. A status that tells of something
//! which was never recorded was written by somebody else than the operator; one that does not tell of what was recorded
//! was lost or put back. Pure: whoever reads objects and records hands them in.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use super::{event::Event, record::Record};
use crate::domain::digest::Digest;

/// An object by its names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Named {
    /// Its kind.
    pub kind: &'static str,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

/// What an object says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Says {
    /// An Orchestration.
    Run {
        /// Its stage, if it says one.
        stage: Option<String>,
        /// How it ended, if it says so.
        outcome: Option<String>,
    },
    /// A Gate.
    Gate {
        /// Its state.
        state: String,
        /// The plan that it asks about.
        plan: Option<String>,
    },
    /// A Playbook.
    Playbook {
        /// Whether it can be used.
        ready: bool,
        /// The digest of its document.
        digest: Option<String>,
    },
}

/// What is on record of everything.
#[derive(Debug, Default)]
pub struct OnRecord {
    runs: BTreeMap<String, Run>,
    gates: BTreeMap<String, Gate>,
    /// The documents that were accepted, by the uid of their Playbook.
    accepted: BTreeMap<String, BTreeSet<Digest>>,
}

#[derive(Debug, Default)]
struct Run {
    namespace: String,
    name: String,
    seen: BTreeSet<Event>,
    outcome: Option<String>,
}

#[derive(Debug)]
struct Gate {
    settled: Event,
    plan: Option<Digest>,
}

/// How serious it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// The object says more than is on record, or something else.
    NotOnRecord,
    /// More is on record than the object says.
    NotInStatus,
    /// It holds something and is not there.
    Holds,
    /// On record, and not there any more. That is as it should be.
    Gone,
}

impl Weight {
    /// Whether somebody has to look into it.
    pub fn is_wrong(self) -> bool {
        self != Self::Gone
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotOnRecord => "not on record",
            Self::NotInStatus => "not in its status",
            Self::Holds => "holds locks",
            Self::Gone => "gone",
        })
    }
}

/// Something about one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// How serious it is.
    pub weight: Weight,
    /// Which object.
    pub object: Named,
    /// What it says, and what is on record.
    pub what: String,
}

impl OnRecord {
    /// Takes the next record, of whichever log.
    pub fn take(&mut self, record: &Record) {
        let fact = &record.fact;
        let Some(object) = &fact.object else { return };
        let uid = object.uid.as_str().to_owned();
        match fact.code {
            Event::RunRequested
            | Event::RunPlanned
            | Event::RunEscalated
            | Event::RunStarted
            | Event::RunHeld
            | Event::RunCancelled
            | Event::RunFinished
            | Event::RunGone => {
                let run = self.runs.entry(uid).or_default();
                run.name = object.name.as_str().to_owned();
                let namespace = object.namespace.as_ref();
                run.namespace = namespace.map_or_else(String::new, |name| name.as_str().to_owned());
                run.seen.insert(fact.code);
                if fact.code == Event::RunFinished {
                    run.outcome = fact.outcome.as_ref().map(|word| word.as_str().to_owned());
                }
            }
            Event::GateApproved
            | Event::GateAllowed
            | Event::GateRejected
            | Event::GateExpired
            | Event::GateSuperseded
            | Event::GateCancelled => {
                let gate = Gate {
                    settled: fact.code,
                    plan: fact.plan_digest.clone(),
                };
                self.gates.insert(uid, gate);
            }
            Event::PlaybookAccepted => {
                let digests = self.accepted.entry(uid).or_default();
                digests.extend(fact.playbook_digest.clone());
            }
            _ => {}
        }
    }

    /// What the object says that is not on record, or not so.
    pub fn lacks(&self, object: &Named, says: &Says) -> Option<Difference> {
        let what = match says {
            Says::Run { stage, outcome } => self.run_lacks(&object.uid, stage, outcome),
            Says::Gate { state, plan } => self.gate_lacks(&object.uid, state, plan.as_deref()),
            Says::Playbook { ready, digest } => {
                let accepted = self.accepted.get(&object.uid);
                let known = accepted.is_some_and(|accepted| {
                    let mut known = accepted.iter().map(|known| Some(known.as_str()));
                    known.any(|known| known == digest.as_deref())
                });
                let shown = digest.as_deref().unwrap_or("none");
                (*ready && !known).then(|| {
                    format!(
                        "it is Ready with the document {shown}, and no playbook.accepted names it"
                    )
                })
            }
        };
        what.map(|what| Difference {
            weight: Weight::NotOnRecord,
            object: object.clone(),
            what,
        })
    }

    /// What is on record of the object that it does not say.
    pub fn adds(&self, object: &Named, says: &Says) -> Option<Difference> {
        let what = match says {
            Says::Run { stage, outcome } => {
                let run = self.runs.get(&object.uid)?;
                let ended = run.seen.contains(&Event::RunFinished);
                // Another end than the recorded one is what it says too much.
                let told = stage.as_deref() == Some("Done");
                (ended && !told).then(|| {
                    let recorded = run.outcome.as_deref().unwrap_or("nothing that reads");
                    format!(
                        "it ended as {recorded} by its record, and says {}",
                        shown(stage, outcome)
                    )
                })
            }
            Says::Gate { state, .. } => {
                let gate = self.gates.get(&object.uid)?;
                (state == "Open").then(|| {
                    let settled = gate.settled.code();
                    format!("{settled} is on record, and it says Open")
                })
            }
            Says::Playbook { .. } => None,
        };
        what.map(|what| Difference {
            weight: Weight::NotInStatus,
            object: object.clone(),
            what,
        })
    }

    fn run_lacks(
        &self,
        uid: &str,
        stage: &Option<String>,
        outcome: &Option<String>,
    ) -> Option<String> {
        let word = stage.as_deref()?;
        let run = self.runs.get(uid);
        let has = |event: Event| run.is_some_and(|run| run.seen.contains(&event));
        let missing = match word {
            "Approve" => (!has(Event::RunPlanned)).then_some("run.planned"),
            // It may be held before it begins.
            "Execute" => {
                let begun = has(Event::RunStarted) || has(Event::RunHeld);
                (!begun).then_some("run.started")
            }
            "Done" => (!has(Event::RunFinished)).then_some("run.finished"),
            _ => None,
        };
        let missing =
            missing.or((!has(Event::RunRequested) && word != "Done").then_some("run.requested"));
        if let Some(missing) = missing {
            let shown = shown(stage, outcome);
            return Some(format!("it says {shown}, and there is no {missing}"));
        }
        let recorded = run.and_then(|run| run.outcome.as_ref());
        (word == "Done" && recorded != outcome.as_ref()).then(|| {
            let recorded = recorded.map_or("nothing that reads", String::as_str);
            let shown = shown(stage, outcome);
            format!("it says {shown}, and ended as {recorded} by its record")
        })
    }

    fn gate_lacks(&self, uid: &str, state: &str, plan: Option<&str>) -> Option<String> {
        let wanted = match state {
            "Approved" => Event::GateApproved,
            "Rejected" => Event::GateRejected,
            "Expired" => Event::GateExpired,
            "Superseded" => Event::GateSuperseded,
            "Cancelled" => Event::GateCancelled,
            _ => return None,
        };
        let Some(gate) = self.gates.get(uid) else {
            let code = wanted.code();
            return Some(format!("it says {state}, and there is no {code}"));
        };
        let approved = [Event::GateApproved, Event::GateAllowed];
        let as_wanted = if wanted == Event::GateApproved {
            approved.contains(&gate.settled)
        } else {
            gate.settled == wanted
        };
        if !as_wanted {
            let code = gate.settled.code();
            return Some(format!("it says {state}, and {code} is on record"));
        }
        let approved = gate.plan.as_ref().map(Digest::as_str);
        (wanted == Event::GateApproved && approved != plan).then(|| {
            let (asked, approved) = (plan.unwrap_or("no plan"), approved.unwrap_or("no plan"));
            format!("it asks about {asked}, and {approved} is recorded as approved")
        })
    }

    /// The runs on record whose objects are not there any more.
    pub fn gone(&self, there: &BTreeSet<String>) -> Vec<Difference> {
        let gone = self.runs.iter().filter(|(uid, _)| !there.contains(*uid));
        gone.map(|(uid, run)| {
            let what = match &run.outcome {
                Some(outcome) => format!("it ended as {outcome}"),
                None if run.seen.contains(&Event::RunGone) => {
                    "it was deleted before its end, which is on record".to_owned()
                }
                None => "it was deleted before its end, which is not on record yet".to_owned(),
            };
            Difference {
                weight: Weight::Gone,
                object: Named {
                    kind: "Orchestration",
                    namespace: run.namespace.clone(),
                    name: run.name.clone(),
                    uid: uid.clone(),
                },
                what,
            }
        })
        .collect()
    }
}

fn shown(stage: &Option<String>, outcome: &Option<String>) -> String {
    match (stage, outcome) {
        (Some(stage), Some(outcome)) => format!("{stage}, {outcome}"),
        (Some(stage), None) => stage.clone(),
        (None, _) => "nothing".to_owned(),
    }
}

#[cfg(test)]
mod tests;
