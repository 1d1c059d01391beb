//! Floor 0: the one arithmetic of trust, whatever was signed: every policy counts its distinct signers, and each of them
//! must have enough. What one signature proves is an examiner's word.

use super::{AppliedPolicy, Examination, Examiner, no_bytes};
use crate::domain::{
    digest::Digest,
    reason::Reason,
    trust::{Attempt, Policy, Refusal, Signer, distinct, policy_digest},
};

/// What all policies made of the signatures.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Satisfied {
    pub policies: Vec<AppliedPolicy>,
    pub policy_digest: Digest,
    pub notes: Vec<String>,
}

/// A thing that may be a signature.
pub(super) trait Candidate {
    /// Where it stands, for people.
    fn place(&self) -> &str;
}

/// Whether every policy has as many distinct signers as it asks for. `refuse` says it with what was tried in vain, and the
/// names of the policies that lack somebody.
pub(super) fn satisfy_all<E: Examiner, C: Candidate>(
    examiners: &[&E],
    found: &[C],
    examine: impl Fn(&E, &C) -> Examination,
    refuse: impl FnOnce(Vec<Attempt>, &str) -> Refusal,
) -> Result<Satisfied, Refusal> {
    let (mut policies, mut notes) = (Vec::new(), Vec::new());
    let (mut attempts, mut unsatisfied) = (Vec::new(), Vec::new());
    for examiner in examiners {
        let policy = examiner.policy();
        let counted = count(policy, found, |candidate| examine(examiner, candidate));
        notes.extend(counted.notes);
        if counted.signers.len() < policy.threshold.max(1) {
            attempts.extend(counted.attempts);
            unsatisfied.push(format!("{:?}", policy.name));
        } else {
            policies.push(AppliedPolicy {
                name: policy.name.clone(),
                generation: policy.generation,
                digest: policy.digest().map_err(no_bytes)?,
                signers: counted.signers,
            });
        }
    }
    if !unsatisfied.is_empty() {
        return Err(refuse(attempts, &unsatisfied.join(", ")));
    }
    let all: Vec<&Policy> = examiners.iter().map(|examiner| examiner.policy()).collect();
    Ok(Satisfied {
        policies,
        policy_digest: policy_digest(&all).map_err(no_bytes)?,
        notes,
    })
}

/// The distinct signers under one policy, what was tried in vain, and what was not checked.
fn count<C: Candidate>(
    policy: &Policy,
    found: &[C],
    examine: impl Fn(&C) -> Examination,
) -> Examination {
    let mut counted = Examination::default();
    for candidate in found {
        let examination = examine(candidate);
        let about = format!("policy {:?}, {}", policy.name, candidate.place());
        counted.signers.extend(examination.signers);
        let tried = examination.attempts.into_iter();
        let tried = tried.map(|attempt| attempt.about(&about));
        counted.attempts.extend(tried);
        let said = examination.notes.into_iter();
        counted
            .notes
            .extend(said.map(|note| format!("{about}: {note}")));
    }
    counted.signers = distinct(counted.signers);
    counted.attempts.extend(too_few(policy, &counted.signers));
    counted
}

/// What is to be said if somebody signed, but not as many as the policy asks for.
fn too_few(policy: &Policy, signers: &[Signer]) -> Option<Attempt> {
    if signers.is_empty() || signers.len() >= policy.threshold {
        return None;
    }
    let names: Vec<String> = signers.iter().map(Signer::to_string).collect();
    Some(Attempt::new(
        Reason::TooFewSigners,
        format!(
            "policy {:?} asks for {} distinct signers, these signed: {}",
            policy.name,
            policy.threshold,
            names.join(", ")
        ),
    ))
}
