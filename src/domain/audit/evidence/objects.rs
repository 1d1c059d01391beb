//! Floor 0: what is beside the records, held against them: the plan and the Playbook by digest, Gates and Decisions by uid.
//! What a Decision says besides its uid is the cluster's word: the record names only that it counted.

use serde_json::Value;

use super::{Evidence, NoEvidence};
use crate::domain::{
    audit::{
        event::Event,
        record::{Name, Record},
    },
    digest::Digest,
    document::{Document, Scope},
    plan::Plan,
    stage::Outcome,
};

/// What the objects of a file are, and which are not in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// The plan that is on record, and whether it is there.
    pub plan: Option<(Digest, bool)>,
    /// The document that is on record, and whether it is there.
    pub playbook: Option<(Digest, bool)>,
    /// Who decided, by the Decisions that counted; `None` for one that is not there.
    pub decided: Vec<Option<String>>,
    /// How the run ended, if it has.
    pub outcome: Option<String>,
}

/// Holds everything against the records.
pub(super) fn hold(evidence: &Evidence, records: &[Record]) -> Result<Shown, NoEvidence> {
    let run = || records.iter().filter(|record| evidence.is_of_run(record));
    let last = |event: Event| run().rfind(|record| record.fact.code == event);
    // What began counts, before what was only asked about.
    let about = last(Event::RunStarted).or_else(|| last(Event::RunPlanned));
    let digest = about.and_then(|record| record.fact.plan_digest.clone());
    plan(evidence, digest.as_ref(), records)?;
    let document = about.and_then(|record| record.fact.playbook_digest.clone());
    if let Some(object) = &evidence.playbook {
        let wanted = document.as_ref().ok_or(NoEvidence::NoPlanOnRecord)?;
        playbook_is(object, wanted)?;
    }
    let outcome = last(Event::RunFinished).and_then(|record| record.fact.outcome.as_ref());
    Ok(Shown {
        plan: digest
            .clone()
            .map(|digest| (digest, evidence.plan.is_some())),
        playbook: document.map(|digest| (digest, evidence.playbook.is_some())),
        decided: decided(evidence, records, digest.as_ref())?,
        outcome: outcome.map(|word| word.as_str().to_owned()),
    })
}

fn plan(
    evidence: &Evidence,
    wanted: Option<&Digest>,
    records: &[Record],
) -> Result<(), NoEvidence> {
    let Some(text) = &evidence.plan else {
        return Ok(());
    };
    let wanted = wanted.ok_or(NoEvidence::NoPlanOnRecord)?;
    let plan = Plan::parse(text.as_bytes(), wanted).map_err(NoEvidence::Plan)?;
    if plan.run.uid != evidence.run.uid {
        return Err(NoEvidence::PlanOfAnother(plan.run.uid));
    }
    let mut reached = 0;
    for record in records {
        let fact = &record.fact;
        let Some(step) = fact.step.as_ref().map(Name::as_str) else {
            continue;
        };
        if fact.code != Event::StepIntended {
            continue;
        }
        let planned = plan.step(step).filter(|(place, planned)| {
            let digest = planned.digest().ok();
            *place >= reached && fact.effect.is_some() && digest == fact.effect
        });
        let Some((place, _)) = planned else {
            return Err(NoEvidence::OtherStep(step.to_owned()));
        };
        reached = place;
    }
    let succeeded = Some(Outcome::Succeeded.as_str());
    let ended = records.iter().any(|record| {
        let outcome = record.fact.outcome.as_ref().map(Name::as_str);
        record.fact.code == Event::RunFinished && outcome == succeeded
    });
    let done = |step: &str| {
        records.iter().any(|record| {
            let of = record.fact.step.as_ref().map(Name::as_str);
            record.fact.code == Event::StepSucceeded && of == Some(step)
        })
    };
    match plan.steps.iter().find(|step| ended && !done(&step.name)) {
        Some(step) => Err(NoEvidence::StepMissing(step.name.clone())),
        None => Ok(()),
    }
}

/// Whether this object is the document with this digest, wherever its author meant it to stand.
pub fn playbook_is(object: &Value, wanted: &Digest) -> Result<(), NoEvidence> {
    let text = |pointer: &'static str| {
        let found = object.pointer(pointer).and_then(Value::as_str);
        found
            .map(str::to_owned)
            .ok_or(NoEvidence::PlaybookLacks(pointer))
    };
    let document = Document {
        api_version: text("/apiVersion")?,
        name: text("/metadata/name")?,
        namespace: text("/metadata/namespace")?,
        spec: object
            .get("spec")
            .cloned()
            .ok_or(NoEvidence::PlaybookLacks("/spec"))?,
    };
    let mut found = None;
    for scope in [Scope::Anywhere, Scope::Namespaced] {
        let bytes = document.canonical_in(scope);
        let digest = Digest::of(&bytes.map_err(NoEvidence::PlaybookForm)?);
        if digest == *wanted {
            return Ok(());
        }
        found = Some(digest);
    }
    match found {
        Some(found) => Err(NoEvidence::OtherPlaybook {
            wanted: wanted.clone(),
            found,
        }),
        None => Ok(()),
    }
}

/// Who decided, by the Decisions that the approval names. Every Gate and Decision in the file has to be one of theirs.
fn decided(
    evidence: &Evidence,
    records: &[Record],
    plan: Option<&Digest>,
) -> Result<Vec<Option<String>>, NoEvidence> {
    let gates: Vec<&str> = records
        .iter()
        .filter_map(|record| record.fact.gate.as_ref())
        .map(Name::as_str)
        .collect();
    for gate in &evidence.gates {
        let stray = |what| stray("Gate", gate, what);
        if !gates.contains(&text(gate, "/metadata/uid")) {
            return Err(stray("is not one that the run began by"));
        }
        if text(gate, "/spec/subject/uid") != evidence.run.uid {
            return Err(stray("is about something else than the run"));
        }
        if Some(text(gate, "/spec/subject/planDigest")) != plan.map(Digest::as_str) {
            return Err(stray("asks about another plan"));
        }
    }
    let named: Vec<&str> = records
        .iter()
        .filter(|record| matches!(record.fact.code, Event::GateApproved | Event::GateAllowed))
        .flat_map(|record| &record.fact.decisions)
        .map(Name::as_str)
        .collect();
    for decision in &evidence.decisions {
        let stray = |what| stray("Decision", decision, what);
        if !named.contains(&text(decision, "/metadata/uid")) {
            return Err(stray("is not one that counted"));
        }
        if !gates.contains(&text(decision, "/spec/gateRef/uid")) {
            return Err(stray("is about another Gate"));
        }
        if Some(text(decision, "/spec/planDigest")) != plan.map(Digest::as_str) {
            return Err(stray("is about another plan"));
        }
        if text(decision, "/spec/verdict") != "Approve" {
            return Err(stray("does not approve"));
        }
    }
    let user = |uid: &&str| {
        let mut there = evidence.decisions.iter();
        let decision = there.find(|decision| text(decision, "/metadata/uid") == *uid)?;
        Some(text(decision, "/spec/user").to_owned())
    };
    Ok(named.iter().map(user).collect())
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    let found = object.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_default()
}

fn stray(kind: &'static str, object: &Value, what: &'static str) -> NoEvidence {
    let name = text(object, "/metadata/name").chars().take(253).collect();
    NoEvidence::Stray { kind, name, what }
}
