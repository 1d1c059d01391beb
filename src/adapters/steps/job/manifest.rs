//! Floor 2: the Job of a step, field by field: nothing of it is the author's but the container. Pure.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::{
    api::v1alpha1::{JobStep, Step},
    domain::{
        duration,
        plan::{Obstacle, RunRef},
        reason::Reason,
    },
};

/// On the Job and its pod: whose it is.
const RUN: &str = "neuralops.io/run-uid";
/// On the Job and its pod: of which step.
const STEP: &str = "neuralops.io/step";
/// On the Job: of which plan.
const PLAN: &str = "neuralops.io/plan-digest";
/// Time for one attempt where the step says nothing.
const TIMEOUT: Duration = Duration::from_secs(300);
/// What of the effect belongs to the container.
const CONTAINER: [&str; 5] = ["image", "command", "args", "env", "resources"];

/// Where a Job comes from.
pub(super) struct Origin<'a> {
    /// The run that owns it.
    pub(super) run: &'a RunRef,
    /// The step.
    pub(super) step: &'a str,
    /// Which attempt.
    pub(super) attempt: u32,
    /// The digest of the plan, as text.
    pub(super) plan: &'a str,
}

/// What is approved: the container, and the rest of the Job as it will be made.
pub(super) fn effect(
    step: &Step,
    job: &JobStep,
    run: &RunRef,
    account: &str,
) -> Result<Value, Obstacle> {
    if step.opaque.is_none() {
        let message = "what a job does inside cannot be planned: the step says opaque: Accepted";
        return Err(Obstacle::fail(Reason::Invalid, message));
    }
    let seconds = timeout(step)?.as_millis().div_ceil(1000).max(1);
    let seconds = u64::try_from(seconds).unwrap_or(u64::MAX);
    let mut effect = container(job);
    let spec = json!({
        // Whether it is tried again is the run's to say, and a new attempt is a new Job.
        "backoffLimit": 0,
        "podReplacementPolicy": "Failed",
        "activeDeadlineSeconds": seconds,
        "template": {
            "metadata": {"labels": {RUN: run.uid, STEP: step.name}},
            "spec": {
                "restartPolicy": "Never",
                "serviceAccountName": account,
                "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
                "containers": [{
                    "name": "step",
                    "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                }],
            },
        },
    });
    effect.insert("spec".to_owned(), spec);
    Ok(Value::Object(effect))
}

/// Time for one attempt.
pub(in crate::adapters::steps) fn timeout(step: &Step) -> Result<Duration, Obstacle> {
    step.timeout
        .as_deref()
        .map_or(Ok(TIMEOUT), duration::parse)
        .map_err(|error| Obstacle::fail(Reason::Invalid, error.to_string()))
}

fn container(job: &JobStep) -> Map<String, Value> {
    let mut fields = Map::new();
    fields.insert("image".to_owned(), json!(job.image));
    for (name, words) in [("command", &job.command), ("args", &job.args)] {
        if let Some(words) = words {
            let words: Vec<String> = words.iter().map(|word| plain(word)).collect();
            fields.insert(name.to_owned(), json!(words));
        }
    }
    if let Some(variables) = &job.env {
        let variables = variables.iter().map(|variable| {
            let value = variable.value.as_deref().map(plain);
            match &variable.secret_key_ref {
                None => json!({"name": variable.name, "value": value.unwrap_or_default()}),
                Some(key) => json!({"name": variable.name, "valueFrom": {"secretKeyRef": key}}),
            }
        });
        fields.insert("env".to_owned(), Value::Array(variables.collect()));
    }
    if let Some(resources) = &job.resources {
        fields.insert("resources".to_owned(), json!(resources));
    }
    fields
}

/// So that the kubelet puts nothing in: it reads `$$` as `$`, and `$(NAME)` as a variable. Escaping only what stands before
/// a bracket would turn `$$(NAME)` into a variable.
pub(in crate::adapters::steps) fn plain(text: &str) -> String {
    text.replace('$', "$$")
}

/// The Job as it is sent; nothing, if the effect is none of a job.
pub(super) fn job(name: &str, effect: &Value, origin: &Origin<'_>) -> Option<Value> {
    let mut spec = effect.get("spec")?.clone();
    let container = spec.pointer_mut("/template/spec/containers/0")?;
    let container = container.as_object_mut()?;
    for field in CONTAINER {
        if let Some(value) = effect.get(field) {
            container.insert(field.to_owned(), value.clone());
        }
    }
    // Last, so that nothing of the author's stands for them: a program that is asked twice can tell by these.
    let own = [
        json!({"name": "OPS_STEP_ID", "value": format!("{}.{}", origin.run.uid, origin.step)}),
        json!({"name": "OPS_ATTEMPT", "value": origin.attempt.to_string()}),
    ];
    let variables = container.entry("env").or_insert_with(|| json!([]));
    variables.as_array_mut()?.extend(own);
    Some(json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": origin.run.namespace,
            "labels": {RUN: origin.run.uid, STEP: origin.step},
            "annotations": {PLAN: origin.plan},
            "ownerReferences": [{
                "apiVersion": "neuralops.io/v1alpha1",
                "kind": "Orchestration",
                "name": origin.run.name,
                "uid": origin.run.uid,
                "controller": true,
                "blockOwnerDeletion": false,
            }],
        },
        "spec": spec,
    }))
}

/// Whether this run has made the Job for this plan; its name alone proves nothing.
pub(super) fn ours(job: &Value, origin: &Origin<'_>) -> bool {
    let owners = job.pointer("/metadata/ownerReferences");
    let owners = owners.and_then(Value::as_array).map(Vec::as_slice);
    let owned = owners.unwrap_or_default().iter().any(|owner| {
        owner.get("uid").and_then(Value::as_str) == Some(&origin.run.uid)
            && owner.get("controller").and_then(Value::as_bool) == Some(true)
    });
    let annotations = job.pointer("/metadata/annotations");
    let plan = annotations.and_then(|all| all.get(PLAN)?.as_str());
    owned && plan == Some(origin.plan)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run() -> RunRef {
        RunRef {
            namespace: "shop".into(),
            name: "r".into(),
            uid: "run-uid".into(),
        }
    }

    fn step(job: Value, timeout: &str) -> Step {
        let step = json!({"name": "say", "job": job, "timeout": timeout, "opaque": "Accepted"});
        serde_json::from_value(step).unwrap()
    }

    fn made(job_step: Value) -> Value {
        let run = run();
        let step = step(job_step, "1500ms");
        let effect = effect(&step, step.job.as_ref().unwrap(), &run, "runbook").unwrap();
        let origin = Origin {
            run: &run,
            step: "say",
            attempt: 2,
            plan: "sha256:00",
        };
        let job = job("r-1", &effect, &origin).unwrap();
        assert!(ours(&job, &origin));
        job
    }

    #[test]
    fn a_job_has_nothing_of_the_authors_but_the_container() {
        let job = made(json!({
            "image": "registry.example/say@sha256:00", "command": ["say"], "args": ["$(A)", "$$(B)", "$5"],
            "env": [
                {"name": "WHO", "value": "$(C)"}, {"name": "TOKEN", "secretKeyRef": {"name": "t", "key": "k"}},
                {"name": "OPS_ATTEMPT", "value": "99"},
            ],
            "resources": {"limits": {"memory": "64Mi"}},
        }));
        let expected = json!({
            "apiVersion": "batch/v1", "kind": "Job",
            "metadata": {
                "name": "r-1", "namespace": "shop",
                "labels": {"neuralops.io/run-uid": "run-uid", "neuralops.io/step": "say"},
                "annotations": {"neuralops.io/plan-digest": "sha256:00"},
                "ownerReferences": [{
                    "apiVersion": "neuralops.io/v1alpha1", "kind": "Orchestration", "name": "r", "uid": "run-uid",
                    "controller": true, "blockOwnerDeletion": false,
                }],
            },
            "spec": {
                "backoffLimit": 0, "podReplacementPolicy": "Failed", "activeDeadlineSeconds": 2,
                "template": {
                    "metadata": {"labels": {"neuralops.io/run-uid": "run-uid", "neuralops.io/step": "say"}},
                    "spec": {
                        "restartPolicy": "Never", "serviceAccountName": "runbook",
                        "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
                        "containers": [{
                            "name": "step", "image": "registry.example/say@sha256:00", "command": ["say"],
                            "args": ["$$(A)", "$$$$(B)", "$$5"],
                            "env": [
                                {"name": "WHO", "value": "$$(C)"},
                                {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "t", "key": "k"}}},
                                {"name": "OPS_ATTEMPT", "value": "99"},
                                {"name": "OPS_STEP_ID", "value": "run-uid.say"},
                                {"name": "OPS_ATTEMPT", "value": "2"},
                            ],
                            "resources": {"limits": {"memory": "64Mi"}},
                            "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                        }],
                    },
                },
            },
        });
        assert_eq!(job, expected);
    }

    #[test]
    fn a_job_is_ours_by_owner_and_plan_and_not_by_name() {
        let job = made(json!({"image": "a"}));
        let run = run();
        let origin = Origin {
            run: &run,
            step: "say",
            attempt: 2,
            plan: "sha256:00",
        };
        for (pointer, value) in [
            ("/metadata/ownerReferences/0/uid", json!("other")),
            ("/metadata/ownerReferences/0/controller", json!(false)),
            ("/metadata/ownerReferences", json!([])),
            (
                "/metadata/annotations/neuralops.io~1plan-digest",
                json!("sha256:0"),
            ),
            ("/metadata/annotations", json!({})),
        ] {
            let mut other = job.clone();
            *other.pointer_mut(pointer).unwrap() = value;
            assert!(!ours(&other, &origin), "{pointer}");
        }
    }

    #[test]
    fn nobody_makes_a_job_without_saying_that_it_cannot_be_planned() {
        let mut silent = step(json!({"image": "a"}), "5m");
        silent.opaque = None;
        let job = silent.job.as_ref().unwrap();
        assert!(effect(&silent, job, &run(), "runbook").is_err());
    }

    /// What the kubelet makes of a text (k8s.io/kubernetes third_party/forked/golang/expansion).
    fn kubelet(text: &str) -> String {
        let (mut read, mut rest) = (String::new(), text);
        while let Some(at) = rest.find('$') {
            read.push_str(&rest[..at]);
            let after = &rest[at + 1..];
            if let Some(behind) = after.strip_prefix('$') {
                read.push('$');
                rest = behind;
            } else if let Some((_, behind)) = after
                .strip_prefix('(')
                .and_then(|name| name.split_once(')'))
            {
                read.push_str("EXPANDED");
                rest = behind;
            } else {
                read.push('$');
                rest = after;
            }
        }
        read + rest
    }

    proptest::proptest! {
        #[test]
        fn the_program_gets_what_the_author_wrote(text in "[$()Aa ]{0,12}") {
            proptest::prop_assert_eq!(kubelet(&plain(&text)), text);
        }
    }
}
