//! Floor 3: whether a Playbook can be used, and what of that is to be recorded first. Pure and total.

use jiff::Timestamp;

use super::{super::CONTROLLER, Facts, status::SHOWN};
use crate::{
    adapters::ledger::{self, Draft},
    controllers::{
        retention::PlaybookName,
        rules::{self, Warnings},
        verification::Examined,
    },
    domain::{
        audit::{
            event::Event,
            record::{Actor, Fact, Object, RecordId},
        },
        digest::Digest,
        document::{Document, Scope},
        lint::{lint, lint_sourced},
        reason::Reason,
        trust::{Refusal, Runnable, Signer},
    },
};

/// What is to be done about a Playbook.
#[derive(Clone, Debug)]
pub struct Decision {
    /// What it came to; or why that cannot be known now.
    pub judgement: Result<Judgement, ledger::Refusal>,
    /// What has to be on record before the status may say so, in this order.
    pub records: Vec<Draft>,
    /// When it has to be looked at again, whatever else happens.
    pub until: Option<Timestamp>,
    /// Which Playbook it is.
    pub playbook: PlaybookName,
    /// How many finished runs it keeps, by the document that is verified; none: all.
    pub keeps: Option<usize>,
}

/// What a Playbook is worth.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// What a signature is about: as its author signed it, or with its namespace.
    pub digest: Option<Digest>,
    /// Whether it keeps all rules that can be checked without a cluster.
    pub rules: Result<Warnings, Refusal>,
    /// Whether it is trusted.
    pub signatures: Result<Runnable, Refusal>,
    /// Its annotation forbids new runs.
    pub suspended: bool,
}

impl Judgement {
    /// Why it cannot be used, apart from its suspension.
    pub fn refusal(&self) -> Option<Reason> {
        let rules = self.rules.as_ref().err();
        let refusal = rules.or_else(|| self.signatures.as_ref().err());
        refusal.map(|refusal| refusal.reason)
    }
}

/// Only a document that may be used says how much of what it did is kept.
fn keeps(judgement: &Judgement) -> Option<usize> {
    if judgement.refusal().is_some() {
        return None;
    }
    let runnable = judgement.signatures.as_ref().ok()?;
    let limit = runnable.document().spec.get("historyLimit")?.as_u64()?;
    limit.try_into().ok()
}

pub(super) fn decide(facts: &Facts) -> Decision {
    let playbook = (facts.namespace.clone(), facts.name.clone());
    let examined = match &facts.examined {
        Ok(examined) => examined,
        Err(refusal) => {
            return Decision {
                judgement: Err(refusal.clone()),
                records: Vec::new(),
                until: None,
                playbook,
                keeps: None,
            };
        }
    };
    let judgement = judge(facts, examined);
    Decision {
        records: records(facts, examined, &judgement),
        keeps: keeps(&judgement),
        judgement: Ok(judgement),
        until: examined.until,
        playbook,
    }
}

/// What the status does not say yet. The id names the transition and the version of the object that it starts from: a pass
/// that is repeated over the same version records nothing twice, and going there and back again is recorded each time,
/// because each status makes another version.
fn records(facts: &Facts, examined: &Examined, judgement: &Judgement) -> Vec<Draft> {
    let changed = changed(facts);
    let outcome = judgement.refusal().unwrap_or(Reason::Verified);
    let judged = facts.recorded.outcome.as_deref() != Some(outcome.as_str());
    let mut records = Vec::new();
    if changed {
        records.push(fact(facts, Event::PlaybookChanged, outcome, judgement).into());
    }
    match (&judgement.signatures, judgement.refusal()) {
        (Ok(verified), None) => {
            let settles = settles(examined, verified);
            let recorded = (&facts.recorded.policies, &facts.recorded.signers);
            let trusted_otherwise = recorded != (&policies(verified), &signers(verified));
            if changed || judged || trusted_otherwise || settles {
                records.push(accepted(facts, settles, judgement, verified));
            }
        }
        _ if changed || judged => {
            records.push(fact(facts, Event::PlaybookRefused, outcome, judgement).into());
        }
        _ => {}
    }
    records
}

/// Whether the document is another than the one that the status tells of.
fn changed(facts: &Facts) -> bool {
    let Some(before) = &facts.recorded.digest else {
        return false;
    };
    let Ok(document) = &facts.document else {
        return true;
    };
    let verified = facts.examined.as_ref().ok();
    let verified = verified.and_then(|examined| examined.verified.as_ref().ok());
    match verified {
        Some(verified) => !verified.is(before),
        // Which document the artifact holds is not known now.
        None if sourced(document) => facts.recorded.generation != facts.generation,
        None => digests(document).all(|digest| digest != *before),
    }
}

fn sourced(document: &Document) -> bool {
    document.spec.get("source").is_some()
}

/// The digests of a document, as it may be signed.
fn digests(document: &Document) -> impl Iterator<Item = Digest> {
    let scopes = [Scope::Namespaced, Scope::Anywhere].into_iter();
    scopes.filter_map(|scope| {
        let bytes = document.canonical_in(scope).ok()?;
        Some(Digest::of(&bytes))
    })
}

/// Whether its acceptance says which revision is the highest from now on. A revision that was set back stands until
/// another document comes: the one that is still there, accepted again for whatever reason, must not raise it.
fn settles(examined: &Examined, verified: &Runnable) -> bool {
    match &examined.on_record {
        None => true,
        Some(highest) if highest.digest.is_none() => {
            let standing = highest.instead_of.as_ref();
            !standing.is_some_and(|standing| verified.is(standing))
        }
        Some(highest) => highest.revision < verified.revision(),
    }
}

/// As the status shows them.
fn policies(verified: &Runnable) -> Vec<String> {
    let policies = verified.policies().iter().take(SHOWN);
    policies.map(|policy| policy.digest.to_string()).collect()
}

/// As the status shows them.
fn signers(verified: &Runnable) -> Vec<(String, String)> {
    let signers = verified.policies().iter().flat_map(|policy| {
        let named = policy.signers.iter();
        named.map(|signer| (signer.name().to_owned(), policy.name.clone()))
    });
    signers.take(SHOWN).collect()
}

fn accepted(facts: &Facts, settles: bool, judgement: &Judgement, verified: &Runnable) -> Draft {
    let mut fact = fact(facts, Event::PlaybookAccepted, Reason::Verified, judgement);
    fact.policy_digest = Some(verified.policy_digest().clone());
    if settles {
        fact.playbook = Some(format!("{}/{}", facts.namespace, facts.name).into());
        fact.revision = Some(verified.revision());
    }
    let signers: Vec<String> = verified.signers().iter().map(Signer::to_string).collect();
    Draft {
        fact,
        details: Some(format!("signed by {}", signers.join(", "))),
        notice: None,
    }
}

fn fact(facts: &Facts, event: Event, reason: Reason, judgement: &Judgement) -> Fact {
    let digest = judgement.digest.as_ref();
    let trusted = judgement.signatures.as_ref().ok();
    let id = RecordId::of(&[
        &facts.uid,
        &facts.version,
        event.code(),
        reason.as_str(),
        digest.map_or("", Digest::as_str),
        trusted.map_or("", |verified| verified.policy_digest().as_str()),
    ]);
    let mut fact = Fact::new(id, event, Actor::operator(CONTROLLER)).outcome(reason);
    fact.object = Some(Object {
        kind: "Playbook".into(),
        namespace: Some(facts.namespace.as_str().into()),
        name: facts.name.as_str().into(),
        uid: facts.uid.as_str().into(),
        generation: Some(facts.generation),
    });
    fact.playbook_digest = digest.cloned();
    fact
}

fn judge(facts: &Facts, examined: &Examined) -> Judgement {
    let signatures = examined.verified.clone();
    let digest = match (&signatures, &facts.document) {
        (Ok(verified), _) => Some(verified.digest().clone()),
        // What the artifact holds is known from before, or not at all.
        (Err(_), Ok(document)) if sourced(document) => {
            let before = facts.recorded.digest.clone();
            before.filter(|_| facts.recorded.generation == facts.generation)
        }
        (Err(_), Ok(document)) => document.digest().ok(),
        (Err(_), Err(_)) => None,
    };
    let rules = facts.document.clone().and_then(|document| {
        let kept = rules::keeps(&document, lint)?;
        let artifact = signatures.as_ref().ok();
        match artifact.filter(|verified| verified.artifact().is_some()) {
            Some(verified) => rules::keeps(verified.document(), lint_sourced),
            None => Ok(kept),
        }
    });
    Judgement {
        rules,
        digest,
        signatures,
        suspended: facts.suspended,
    }
}

#[cfg(test)]
mod tests;
