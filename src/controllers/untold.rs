//! Floor 3: what every status says of a pass that came to nothing: it failed, or what it found may not be told yet. Pure.

use super::harness::Failure;
use crate::{
    adapters::ledger,
    api::conditions::{ConditionStatus, ConditionType, Draft},
    domain::{reason::Reason, verdict::ErrorClass},
};

const UNRECORDED: &str = "the transparency log cannot be used now, and nothing is told that is not on record; the operator's readiness says why";

/// Nothing is told that is not on record; what was told before stands.
pub fn unrecorded(refusal: &ledger::Refusal) -> Vec<Draft> {
    // One sentence for whatever comes and goes: it would be written again and again otherwise.
    let message = if refusal.reason == Reason::AuditUnavailable {
        UNRECORDED
    } else {
        &refusal.message
    };
    pending(refusal.reason, message)
}

/// It is not known yet how it is.
pub fn pending(reason: Reason, message: &str) -> Vec<Draft> {
    unknown(reason, message, ConditionType::Reconciling)
}

/// The pass failed.
pub fn failed(failure: &Failure) -> Vec<Draft> {
    let again = match failure.class {
        ErrorClass::Transient | ErrorClass::Bug => ConditionType::Reconciling,
        ErrorClass::Permanent => ConditionType::Stalled,
    };
    unknown(failure.reason, &failure.message, again)
}

fn unknown(reason: Reason, message: &str, besides: ConditionType) -> Vec<Draft> {
    let said = |kind, status| Draft::new(kind, status, reason, message);
    vec![
        said(ConditionType::Ready, ConditionStatus::Unknown),
        said(besides, ConditionStatus::True),
    ]
}
