//! Floor 3: what a Playbook's status says. Pure; the only place that builds its conditions.

use k8s_openapi::jiff::Timestamp;

use super::{Done, Judgement};
use crate::{
    api::{
        conditions::{self, ConditionStatus, ConditionType, Draft},
        v1alpha1::{self as api, PlaybookStatus, RawPlaybook, SignerKind, TrustPolicyRef},
    },
    controllers::{
        harness::Failure,
        untold::{failed, unrecorded},
    },
    domain::{
        document::Scope,
        reason::Reason,
        trust::{Refusal, Runnable, Signer},
        verdict::ErrorClass,
    },
};

/// Signers and policies that a status shows; the record of the acceptance names them all.
pub(super) const SHOWN: usize = 32;

pub(super) fn status(
    object: &RawPlaybook,
    pass: Result<&Done, &Failure>,
    now: Timestamp,
) -> PlaybookStatus {
    let before = object.status.clone().unwrap_or_default();
    let generation = object.metadata.generation;
    let standing = before.conditions.as_deref().unwrap_or_default();
    let amended = |drafts| conditions::amend(standing, drafts, generation, now);
    let (judgement, conditions) = match pass {
        Ok(Done {
            judgement: Ok(judgement),
            ..
        }) => {
            let drafts = judged(judgement);
            let merged = conditions::merge(standing, drafts, generation, now);
            (Some(judgement), merged)
        }
        Ok(Done {
            judgement: Err(refusal),
            ..
        }) => {
            let unsaid = unsaid(before.observed_generation, generation, refusal.reason);
            (None, amended([unrecorded(refusal), unsaid].concat()))
        }
        Err(failure) => {
            let unsaid = unsaid(before.observed_generation, generation, failure.reason);
            (None, amended([failed(failure), unsaid].concat()))
        }
    };
    let waits = match pass {
        Ok(done) => done.judgement.is_err(),
        Err(failure) => failure.class != ErrorClass::Permanent,
    };
    let status = PlaybookStatus {
        // What was not judged is not observed: digest and signers are those of the version before.
        observed_generation: if waits {
            before.observed_generation
        } else {
            generation
        },
        conditions: Some(conditions),
        ..before
    };
    match judgement {
        Some(judgement) => told(judgement, status),
        None => status,
    }
}

/// What was said about the signatures of another version says nothing about this one.
fn unsaid(before: Option<i64>, generation: Option<i64>, reason: Reason) -> Vec<Draft> {
    if before.is_none() || before == generation {
        return Vec::new();
    }
    let message = "another version was looked at; this one not yet";
    vec![Draft::new(
        ConditionType::SignatureVerified,
        ConditionStatus::Unknown,
        reason,
        message,
    )]
}

/// What is known besides the conditions.
fn told(judgement: &Judgement, status: PlaybookStatus) -> PlaybookStatus {
    let verified = judgement.signatures.as_ref().ok();
    // What was accepted stays, whatever comes: it is a second memory of it.
    let accepted = verified.filter(|_| judgement.refusal().is_none());
    let revision = accepted.and_then(|verified| i64::try_from(verified.revision()).ok());
    PlaybookStatus {
        digest: judgement.digest.as_ref().map(ToString::to_string),
        revision: revision.or(status.revision),
        signers: verified.map(signers),
        trust_policies: verified.map(policies),
        ..status
    }
}

fn signers(verified: &Runnable) -> Vec<api::Signer> {
    let each = verified.policies().iter().flat_map(|policy| {
        policy.signers.iter().map(|signer| api::Signer {
            kind: match signer {
                Signer::Key { .. } => SignerKind::Key,
                Signer::Identity { .. } => SignerKind::Identity,
            },
            name: signer.name().to_owned(),
            policy: policy.name.clone(),
        })
    });
    each.take(SHOWN).collect()
}

fn policies(verified: &Runnable) -> Vec<TrustPolicyRef> {
    let each = verified.policies().iter().map(|policy| TrustPolicyRef {
        name: policy.name.clone(),
        generation: policy.generation.unwrap_or_default(),
        digest: policy.digest.to_string(),
    });
    each.take(SHOWN).collect()
}

fn judged(judgement: &Judgement) -> Vec<Draft> {
    let mut drafts = ready(judgement);
    drafts.push(valid(&judgement.rules));
    drafts.push(signed(&judgement.signatures));
    drafts
}

fn ready(judgement: &Judgement) -> Vec<Draft> {
    let said =
        |status, reason, message: &str| Draft::new(ConditionType::Ready, status, reason, message);
    match (&judgement.rules, &judgement.signatures) {
        (Err(refusal), _) | (Ok(_), Err(refusal)) => not_ready(refusal),
        (Ok(_), Ok(_)) if judgement.suspended => vec![said(
            ConditionStatus::False,
            Reason::Suspended,
            "the annotation neuralops.io/suspend forbids new runs",
        )],
        (Ok(_), Ok(verified)) => vec![said(
            ConditionStatus::True,
            Reason::Verified,
            &format!(
                "runs may use it: revision {}, {}",
                verified.revision(),
                by(verified)
            ),
        )],
    }
}

fn not_ready(refusal: &Refusal) -> Vec<Draft> {
    let message = refusal.told();
    vec![
        Draft::new(
            ConditionType::Ready,
            ConditionStatus::False,
            refusal.reason,
            message.as_str(),
        ),
        Draft::new(
            ConditionType::Stalled,
            ConditionStatus::True,
            refusal.reason,
            message,
        ),
    ]
}

fn valid(rules: &Result<Vec<String>, Refusal>) -> Draft {
    let (status, reason, message) = match rules {
        Ok(warnings) if warnings.is_empty() => (
            ConditionStatus::True,
            Reason::Valid,
            "the document keeps all rules".to_owned(),
        ),
        Ok(warnings) => (
            ConditionStatus::True,
            Reason::Valid,
            format!(
                "the document keeps all rules; look at: {}",
                warnings.join("; ")
            ),
        ),
        Err(refusal) => (ConditionStatus::False, refusal.reason, refusal.told()),
    };
    Draft::new(ConditionType::Valid, status, reason, message)
}

fn signed(signatures: &Result<Runnable, Refusal>) -> Draft {
    let (status, reason, message) = match signatures {
        Ok(verified) => (ConditionStatus::True, Reason::Verified, by(verified)),
        Err(refusal) => (ConditionStatus::False, refusal.reason, refusal.told()),
    };
    Draft::new(ConditionType::SignatureVerified, status, reason, message)
}

/// Who signed, which form of the document, under which policies, and what nobody checked.
fn by(verified: &Runnable) -> String {
    let policies = verified.policies().iter();
    let each: Vec<String> = policies
        .map(|policy| {
            let names: Vec<String> = policy.signers.iter().map(Signer::to_string).collect();
            format!(
                "by {} under TrustPolicy {:?}",
                names.join(" and "),
                policy.name
            )
        })
        .collect();
    let form = match verified.scope() {
        Scope::Namespaced => "for this namespace",
        Scope::Anywhere => "for any namespace",
    };
    let mut text = format!("signed {form} {}", each.join("; "));
    for note in verified.notes() {
        text.push_str(&format!("; {note}"));
    }
    text
}

#[cfg(test)]
mod tests;
