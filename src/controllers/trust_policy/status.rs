//! Floor 3: what a TrustPolicy's status says. Pure; the only place that builds its conditions.

use k8s_openapi::jiff::Timestamp;

use super::{Done, Judgement};
use crate::{
    api::{
        conditions::{self, ConditionStatus, ConditionType, Draft},
        v1alpha1::{TrustPolicy, TrustPolicyStatus},
    },
    controllers::{
        harness::Failure,
        untold::{failed, pending, unrecorded},
    },
    domain::reason::Reason,
};

const UNSEEN: &str = "it is being read; Playbooks are still judged by the version before";

pub(super) fn status(
    object: &TrustPolicy,
    pass: Result<&Done, &Failure>,
    now: Timestamp,
) -> TrustPolicyStatus {
    let before = object.status.clone().unwrap_or_default();
    let generation = object.metadata.generation;
    let standing = before.conditions.as_deref().unwrap_or_default();
    let amended = |drafts| Some(conditions::amend(standing, drafts, generation, now));
    match pass.map(|done| &done.judgement) {
        // The version before is still the one that counts, if there is one.
        Ok(Ok(Judgement::Unseen)) if before.conditions.is_some() => before,
        Ok(Ok(Judgement::Unseen)) => TrustPolicyStatus {
            conditions: amended(pending(Reason::CacheNotFilled, UNSEEN)),
            ..before
        },
        Ok(Ok(read @ Judgement::Read { keys, root, .. })) => TrustPolicyStatus {
            observed_generation: generation,
            keys: Some(keys.clone()),
            root: root.clone(),
            conditions: Some(conditions::merge(standing, told(read), generation, now)),
        },
        Ok(Err(refusal)) => TrustPolicyStatus {
            observed_generation: generation,
            conditions: amended(unrecorded(refusal)),
            ..before
        },
        Err(failure) => TrustPolicyStatus {
            observed_generation: generation,
            conditions: amended(failed(failure)),
            ..before
        },
    }
}

fn told(judgement: &Judgement) -> Vec<Draft> {
    let Judgement::Read {
        problems,
        keys,
        identities,
        threshold,
        ..
    } = judgement
    else {
        return Vec::new();
    };
    let Some(first) = problems.first() else {
        let message = format!(
            "{} keys and {identities} identities may sign; {threshold} distinct of them have to",
            keys.len()
        );
        return vec![Draft::new(
            ConditionType::Ready,
            ConditionStatus::True,
            Reason::Valid,
            message,
        )];
    };
    let all: Vec<&str> = problems
        .iter()
        .map(|problem| problem.message.as_str())
        .collect();
    let message = format!("it refuses all that it is about: {}", all.join("; "));
    vec![
        Draft::new(
            ConditionType::Ready,
            ConditionStatus::False,
            first.reason,
            message.as_str(),
        ),
        Draft::new(
            ConditionType::Stalled,
            ConditionStatus::True,
            first.reason,
            message,
        ),
    ]
}

#[cfg(test)]
mod tests;
