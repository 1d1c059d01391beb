//! Floor 0: a record's fields in the order of RFC 8785, which for what a record holds is all that its canonical form
//! asks for. Whole logs are verified record by record; through a general canonicaliser that takes three times as long.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Actor, Fact, Name, Object, Record, RecordId, Standing};
use crate::domain::{audit::event::Event, digest::Digest};

/// A record as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Sorted<'a> {
    actor: Cow<'a, Actor>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<RecordId>,
    #[serde(with = "super::code")]
    code: Event,
    #[serde(default, skip_serializing_if = "<[Name]>::is_empty")]
    decisions: Cow<'a, [Name]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Cow<'a, Digest>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    effect: Option<Cow<'a, Digest>>,
    epoch: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    expression: Option<Cow<'a, Name>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gate: Option<Cow<'a, Name>>,
    id: RecordId,
    #[serde(skip_serializing_if = "Option::is_none")]
    late: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "<[Standing]>::is_empty")]
    logs: Cow<'a, [Standing]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<Cow<'a, Object>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<Cow<'a, Name>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plan_digest: Option<Cow<'a, Digest>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    playbook: Option<Cow<'a, Name>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    playbook_digest: Option<Cow<'a, Digest>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy_digest: Option<Cow<'a, Digest>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Cow<'a, Name>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stage: Option<Cow<'a, Name>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<Cow<'a, Name>>,
    time: Timestamp,
    v: u32,
}

impl Sorted<'_> {
    /// The format that it says it has.
    pub(super) fn version(&self) -> u32 {
        self.v
    }
}

impl<'a> From<&'a Record> for Sorted<'a> {
    fn from(record: &'a Record) -> Self {
        let Record {
            v,
            time,
            epoch,
            late,
            fact,
        } = record;
        Self {
            actor: Cow::Borrowed(&fact.actor),
            attempt: fact.attempt,
            cause: fact.cause,
            code: fact.code,
            decisions: Cow::Borrowed(&fact.decisions),
            details: fact.details.as_ref().map(Cow::Borrowed),
            effect: fact.effect.as_ref().map(Cow::Borrowed),
            epoch: *epoch,
            expression: fact.expression.as_ref().map(Cow::Borrowed),
            gate: fact.gate.as_ref().map(Cow::Borrowed),
            id: fact.id,
            late: *late,
            logs: Cow::Borrowed(&fact.logs),
            object: fact.object.as_ref().map(Cow::Borrowed),
            outcome: fact.outcome.as_ref().map(Cow::Borrowed),
            plan_digest: fact.plan_digest.as_ref().map(Cow::Borrowed),
            playbook: fact.playbook.as_ref().map(Cow::Borrowed),
            playbook_digest: fact.playbook_digest.as_ref().map(Cow::Borrowed),
            policy_digest: fact.policy_digest.as_ref().map(Cow::Borrowed),
            reason: fact.reason.as_ref().map(Cow::Borrowed),
            revision: fact.revision,
            stage: fact.stage.as_ref().map(Cow::Borrowed),
            step: fact.step.as_ref().map(Cow::Borrowed),
            time: *time,
            v: *v,
        }
    }
}

impl From<Sorted<'_>> for Record {
    fn from(read: Sorted<'_>) -> Self {
        Self {
            v: read.v,
            time: read.time,
            epoch: read.epoch,
            late: read.late,
            fact: Fact {
                id: read.id,
                code: read.code,
                actor: read.actor.into_owned(),
                object: read.object.map(Cow::into_owned),
                stage: read.stage.map(Cow::into_owned),
                step: read.step.map(Cow::into_owned),
                attempt: read.attempt,
                effect: read.effect.map(Cow::into_owned),
                expression: read.expression.map(Cow::into_owned),
                gate: read.gate.map(Cow::into_owned),
                decisions: read.decisions.into_owned(),
                outcome: read.outcome.map(Cow::into_owned),
                reason: read.reason.map(Cow::into_owned),
                plan_digest: read.plan_digest.map(Cow::into_owned),
                policy_digest: read.policy_digest.map(Cow::into_owned),
                playbook_digest: read.playbook_digest.map(Cow::into_owned),
                playbook: read.playbook.map(Cow::into_owned),
                revision: read.revision,
                cause: read.cause,
                details: read.details.map(Cow::into_owned),
                logs: read.logs.into_owned(),
            },
        }
    }
}
