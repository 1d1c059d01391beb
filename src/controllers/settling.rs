//! Floor 3: how a Gate ends: what its record and its status say then. Whoever opened a Gate may close it here; whether people
//! approved or rejected is counted by the Gate controller alone.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use kube::{Client, ResourceExt as _};

use super::CONTROLLER;
use crate::{
    adapters::{
        clock,
        kube::status::{self, StatusError},
        ledger::{Draft, Ledger},
        metrics::Metrics,
    },
    api::{
        conditions::{self, ConditionStatus, ConditionType},
        v1alpha1::{Gate, GateState, GateStatus},
    },
    domain::{
        audit::{
            event::Event,
            record::{Actor, Fact, Name, Object, RecordId},
        },
        reason::Reason,
    },
};

/// Whether the Gate is still a question.
pub fn is_open(gate: &Gate) -> bool {
    let state = gate.status.as_ref().and_then(|status| status.state);
    state.is_none_or(|state| state == GateState::Open)
}

/// Whether nobody approved it but the signed Playbook's policy, at the deadline.
pub fn is_by_policy(gate: &Gate) -> bool {
    let conditions = gate
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    let (approved, reason) = (ConditionType::Approved, Reason::ApprovedByPolicy);
    conditions.into_iter().flatten().any(|condition| {
        condition.type_ == approved.as_str() && condition.reason == reason.as_str()
    })
}

/// How a question ends that nobody answers any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// What it asked about is not what would run now.
    Superseded,
    /// What it asked about will not happen.
    Cancelled,
}

/// Closes Gates.
#[derive(Clone)]
pub struct Settling {
    client: Client,
    ledger: Ledger,
    metrics: Arc<Metrics>,
}

impl Settling {
    /// One that records into this log.
    pub fn new(client: Client, ledger: Ledger, metrics: Arc<Metrics>) -> Self {
        Self {
            client,
            ledger,
            metrics,
        }
    }

    /// Closes an open Gate; one that is settled stays as it is, and one that is gone is closed. It is a stop: recorded first,
    /// or late, and never kept from happening by the log. A Gate that changed since it was read is a conflict: read it again.
    /// The caller has asked its fence.
    pub async fn settle(
        &self,
        gate: &Gate,
        closing: Closing,
        reason: Reason,
        message: &str,
    ) -> Result<(), StatusError> {
        if !is_open(gate) {
            return Ok(());
        }
        let (state, code) = match closing {
            Closing::Superseded => (GateState::Superseded, Event::GateSuperseded),
            Closing::Cancelled => (GateState::Cancelled, Event::GateCancelled),
        };
        let mut draft = Draft::from(fact(gate, code, reason, Vec::new()));
        draft.details = Some(message.to_owned());
        self.ledger.record_stop(draft).await;
        let now = clock::now();
        let wanted = settled(gate, state, reason, message, now);
        match status::write(&self.client, gate, gate.status.as_ref(), &wanted).await {
            Ok(_) => {
                self.metrics.gate_settled(reason, waited(gate, now));
                Ok(())
            }
            Err(StatusError::Patch { source, .. }) if matches!(&*source, kube::Error::Api(answer) if answer.is_not_found()) => {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

/// The record of a Gate's end. The id names the Gate, the end and the Decisions that it rests on: a repeated pass records
/// nothing twice, and the newest leaf of a Gate says what its status says.
pub fn fact(gate: &Gate, code: Event, reason: Reason, decisions: Vec<Name>) -> Fact {
    let uid = gate.uid().unwrap_or_default();
    let mut parts = vec![uid.as_str(), code.code()];
    parts.extend(decisions.iter().map(Name::as_str));
    let actor = Actor::operator(CONTROLLER);
    let mut fact = Fact::new(RecordId::of(&parts), code, actor).outcome(reason);
    let generation = gate.metadata.generation;
    fact.object = Some(Object {
        generation: generation.and_then(|generation| generation.try_into().ok()),
        kind: "Gate".into(),
        name: gate.name_any().into(),
        namespace: gate.namespace().map(Name::from),
        uid: uid.as_str().into(),
    });
    fact.plan_digest = gate.spec.subject.plan_digest.clone().try_into().ok();
    fact.gate = Some(uid.into());
    fact.decisions = decisions;
    fact
}

/// How long people were asked.
pub fn waited(gate: &Gate, now: Timestamp) -> Duration {
    let opened = gate.metadata.creation_timestamp.as_ref();
    let waited = opened.map(|opened| now.duration_since(opened.0));
    waited
        .and_then(|waited| waited.try_into().ok())
        .unwrap_or_default()
}

/// What the status of a settled Gate says; votes stand in it as they were counted last.
pub fn settled(
    gate: &Gate,
    state: GateState,
    reason: Reason,
    message: &str,
    now: Timestamp,
) -> GateStatus {
    let before = gate.status.clone().unwrap_or_default();
    let is = |holds| {
        if holds {
            ConditionStatus::True
        } else {
            ConditionStatus::False
        }
    };
    let rejected = matches!(state, GateState::Rejected | GateState::Expired);
    let drafts = [
        (ConditionType::Ready, ConditionStatus::True),
        (ConditionType::Approved, is(state == GateState::Approved)),
        (ConditionType::Rejected, is(rejected)),
    ];
    let drafts = drafts.map(|(kind, status)| conditions::Draft::new(kind, status, reason, message));
    let standing = before.conditions.as_deref().unwrap_or_default();
    let generation = gate.metadata.generation;
    GateStatus {
        observed_generation: generation,
        state: Some(state),
        conditions: Some(conditions::merge(standing, drafts.into(), generation, now)),
        ..before
    }
}
