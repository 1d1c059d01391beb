//! Floor 3: whether a TrustPolicy can be used, and what of that is to be recorded first. Pure and total.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{super::CONTROLLER, Facts, gather::PendingReset};
use crate::{
    adapters::{
        ledger::{self, Draft},
        verify::PreparedPolicy,
    },
    api::{
        conditions::ConditionType,
        v1alpha1::{KeyStatus, RootStatus},
    },
    domain::{
        audit::{
            event::Event,
            record::{Actor, Fact, Object, RecordId},
        },
        reason::Reason,
        trust::{Examiner as _, Problem},
    },
};

/// What is to be done about a TrustPolicy.
#[derive(Clone, Debug)]
pub struct Decision {
    /// What it came to; or why that cannot be known now.
    pub judgement: Result<Judgement, ledger::Refusal>,
    /// What has to be on record before the status may say so, in this order.
    pub records: Vec<Draft>,
    /// How many of them set a revision back.
    pub set_back: u64,
    /// When it has to be looked at again, whatever else happens.
    pub until: Option<Timestamp>,
}

/// What a TrustPolicy is worth.
#[derive(Clone, Debug, PartialEq)]
pub enum Judgement {
    /// The watch has not brought this version yet, and wakes us when it does.
    Unseen,
    /// It was read.
    Read {
        /// Why it cannot be used; empty if it can.
        problems: Vec<Problem>,
        /// Its keys.
        keys: Vec<KeyStatus>,
        /// Its root.
        root: Option<RootStatus>,
        /// Identities that it names.
        identities: usize,
        /// Distinct signers that it asks for.
        threshold: usize,
    },
}

impl Judgement {
    /// Why it cannot be used.
    pub fn refusal(&self) -> Option<Reason> {
        match self {
            Self::Unseen => Some(Reason::CacheNotFilled),
            Self::Read { problems, .. } => problems.first().map(|problem| problem.reason),
        }
    }
}

pub(super) fn decide(facts: &Facts) -> Decision {
    let (standing, resets) = match (&facts.standing, &facts.resets) {
        (_, Err(refusal)) => return nothing(Err(refusal.clone())),
        (None, Ok(_)) => return nothing(Ok(Judgement::Unseen)),
        (Some(standing), Ok(resets)) => (standing, resets),
    };
    let judgement = judge(&standing.prepared, facts.now);
    let mut records: Vec<Draft> = transition(facts, &standing.prepared, &judgement)
        .into_iter()
        .collect();
    records.extend(resets.iter().map(|pending| set_back(facts, pending)));
    let lowered = resets.iter().filter(|pending| lowers(pending)).count();
    Decision {
        judgement: Ok(judgement),
        records,
        set_back: lowered.try_into().unwrap_or(u64::MAX),
        until: standing.prepared.next_end(facts.now),
    }
}

fn nothing(judgement: Result<Judgement, ledger::Refusal>) -> Decision {
    Decision {
        judgement,
        records: Vec::new(),
        set_back: 0,
        until: None,
    }
}

fn judge(prepared: &PreparedPolicy, now: Timestamp) -> Judgement {
    let policy = prepared.policy();
    let keys = prepared.keys().map(|(name, key)| KeyStatus {
        name: name.to_owned(),
        fingerprint: key.fingerprint().to_string(),
        algorithm: key.algorithm().as_str().to_owned(),
    });
    let root = prepared.root().map(|root| RootStatus {
        digest: root.digest.to_string(),
        not_before: root.not_before.map(Time),
        not_after: root.not_after.map(Time),
    });
    let problems = prepared.problems().iter().cloned();
    Judgement::Read {
        problems: problems.chain(prepared.ended(now)).collect(),
        keys: keys.collect(),
        root,
        identities: policy.identities.len(),
        threshold: policy.threshold,
    }
}

/// A record, if it can be used otherwise than its status tells, or trusts others.
fn transition(facts: &Facts, prepared: &PreparedPolicy, judgement: &Judgement) -> Option<Draft> {
    let Judgement::Read {
        problems,
        keys,
        root,
        ..
    } = judgement
    else {
        return None;
    };
    let before = &facts.recorded;
    let mut conditions = before.conditions.iter().flatten();
    let told = conditions.find(|condition| condition.type_ == ConditionType::Ready.as_str());
    let reason = judgement.refusal().unwrap_or(Reason::Valid);
    let same = told.is_some_and(|ready| ready.reason == reason.as_str())
        && before.keys.as_ref().is_none_or(Vec::is_empty) == keys.is_empty()
        && before.keys.iter().flatten().eq(keys)
        && before.root.as_ref().map(|root| &root.digest) == root.as_ref().map(|root| &root.digest)
        && before.observed_generation == i64::try_from(facts.generation).ok();
    if same {
        return None;
    }
    let event = if problems.is_empty() {
        Event::PolicyReady
    } else {
        Event::PolicyRefused
    };
    let digest = prepared.policy().digest().ok();
    let id = RecordId::of(&[
        &facts.uid,
        &facts.version,
        event.code(),
        reason.as_str(),
        digest.as_ref().map_or("", |digest| digest.as_str()),
    ]);
    let mut fact = fact(facts, id, event, reason);
    fact.policy_digest = digest;
    let said: Vec<&str> = problems
        .iter()
        .map(|problem| problem.message.as_str())
        .collect();
    Some(Draft {
        fact,
        details: (!said.is_empty()).then(|| said.join("; ")),
        notice: None,
    })
}

/// Only what stands higher is set back: an entry that came too early must not fire when the revision has grown.
fn lowers(pending: &PendingReset) -> bool {
    let highest = pending.highest.as_ref();
    highest.is_some_and(|highest| highest.revision > asked(pending))
}

fn asked(pending: &PendingReset) -> u64 {
    pending.reset.revision.try_into().unwrap_or_default()
}

fn set_back(facts: &Facts, pending: &PendingReset) -> Draft {
    let mut fact = fact(facts, pending.id, Event::PlaybookReset, Reason::Valid);
    let revision = asked(pending);
    let highest = pending.highest.as_ref().map(|highest| highest.revision);
    let details = if lowers(pending) {
        fact.playbook = Some(pending.reset.playbook.as_str().into());
        fact.revision = Some(revision);
        // The one that stands there now must not raise it again by being accepted again.
        let standing = pending.highest.as_ref();
        fact.playbook_digest = standing.and_then(|highest| {
            let digest = highest.digest.as_ref();
            digest.or(highest.instead_of.as_ref()).cloned()
        });
        format!(
            "{} was at revision {}, and is set back to {revision}",
            pending.reset.playbook,
            highest.unwrap_or_default()
        )
    } else {
        format!(
            "{} is not beyond revision {revision}: nothing was set back, and this entry does not count any more",
            pending.reset.playbook
        )
    };
    Draft {
        fact,
        details: Some(details),
        notice: None,
    }
}

fn fact(facts: &Facts, id: RecordId, event: Event, reason: Reason) -> Fact {
    let mut fact = Fact::new(id, event, Actor::operator(CONTROLLER)).outcome(reason);
    fact.object = Some(Object {
        kind: "TrustPolicy".into(),
        namespace: None,
        name: facts.name.as_str().into(),
        uid: facts.uid.as_str().into(),
        generation: Some(facts.generation),
    });
    fact
}

#[cfg(test)]
mod tests;
