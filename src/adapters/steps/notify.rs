//! Floor 2: `notify`: people are told, by an Event about the run that the playbook's account writes. One for each attempt,
//! found again by its name; it changes nothing else, and nothing waits for it to be read.

use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::{
    Forecast, Planning, Progress, Running, StepKind,
    landing::{Words, ended, granted, obstacle, served},
    manager,
};
use crate::{
    adapters::kube::account::{AccountError, Served, Writing},
    api::v1alpha1::{NotifyStep, Step},
    domain::{
        digest::Digest,
        names::child,
        plan::{Access, Coverage, Obstacle, RunRef, Target, Undo},
        reason::Reason,
    },
};

/// What fits into the note of an Event, with room for the mark that more is left out.
const LONGEST: usize = 1000;
/// The full digest of the plan that the Event is of.
const DIGEST: &str = "neuralops.io/plan-digest";
/// Everything that is told, as it is in the plan.
const TOLD: &str = "neuralops.io/notification";

/// The kind.
pub(super) struct Notify;

impl StepKind for Notify {
    fn name(&self) -> &'static str {
        "notify"
    }

    fn is(&self, step: &Step) -> bool {
        step.notify.is_some()
    }

    fn plan<'a>(
        &'a self,
        step: &'a Step,
        planning: &'a Planning<'a>,
    ) -> BoxFuture<'a, Result<Forecast, Obstacle>> {
        Box::pin(plan(step, planning))
    }

    fn run<'a>(
        &'a self,
        running: &'a Running<'a>,
    ) -> BoxFuture<'a, Result<Progress, AccountError>> {
        Box::pin(run(running))
    }
}

async fn plan(step: &Step, planning: &Planning<'_>) -> Result<Forecast, Obstacle> {
    let Some(NotifyStep { message, fields }) = &step.notify else {
        return Err(Obstacle::fail(Reason::Invalid, "the step tells nothing"));
    };
    let account = planning.account;
    let effect = json!({"message": message, "fields": fields.clone().unwrap_or_default()});
    // Nobody knows the name yet: it follows from the plan.
    let trial = child(planning.run, "Event", &step.name, 0, &Digest::of(b""));
    let events = served(account, ("events.k8s.io/v1", "Event", &trial)).await?;
    granted(account, &events, "", &[("create", None), ("get", None)]).await?;
    let telling = Telling {
        run: planning.run,
        step: &step.name,
        playbook: planning.playbook,
        plan: "sha256:",
        time: "2026-01-01T00:00:00.000000Z",
    };
    let Some(event) = event(&trial, &effect, &telling) else {
        return Err(Obstacle::fail(Reason::Invalid, "the step tells nothing"));
    };
    let manager = manager(planning.playbook);
    let tried = account.create(&events, &event, &manager, Writing::DryRun);
    tried
        .await
        .map_err(|error| obstacle(account, &error, Words::Shown))?;
    Ok(Forecast {
        coverage: Coverage::ServerDryRun,
        targets: Vec::new(),
        effect,
        changes: Vec::new(),
        undo: Undo::Nothing {
            why: "what was told is told".to_owned(),
        },
        seen: Vec::new(),
    })
}

/// What an Event is about.
struct Telling<'a> {
    run: &'a RunRef,
    step: &'a str,
    playbook: &'a str,
    plan: &'a str,
    time: &'a str,
}

fn event(name: &str, effect: &Value, telling: &Telling<'_>) -> Option<Value> {
    let run = telling.run;
    let annotations = json!({DIGEST: telling.plan, TOLD: effect.to_string()});
    let metadata = json!({"name": name, "namespace": run.namespace, "annotations": annotations});
    Some(json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event",
        "metadata": metadata,
        "regarding": {
            "apiVersion": "neuralops.io/v1alpha1", "kind": "Orchestration",
            "namespace": run.namespace, "name": run.name, "uid": run.uid,
        },
        "type": "Normal", "reason": "Notify", "action": telling.step,
        "note": note(effect)?,
        "eventTime": telling.time,
        "reportingController": "neuralops.io/playbook", "reportingInstance": telling.playbook,
    }))
}

/// The message and the facts beside it, as far as they fit.
fn note(effect: &Value) -> Option<String> {
    let mut note = effect.get("message")?.as_str()?.to_owned();
    let fields = effect.get("fields")?.as_object()?;
    let told = fields
        .iter()
        .map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()));
    let told: Vec<String> = told.collect();
    if !told.is_empty() {
        note = format!("{note} ({})", told.join(", "));
    }
    if note.len() > LONGEST {
        let end = (0..=LONGEST).rev().find(|end| note.is_char_boundary(*end));
        note.truncate(end.unwrap_or_default());
        note.push_str(" …");
    }
    Some(note)
}

/// Whether the Event is about this run, and of this plan.
fn ours(event: &Value, telling: &Telling<'_>) -> bool {
    let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str);
    let digest = format!("/metadata/annotations/{}", DIGEST.replace('/', "~1"));
    text("/regarding/uid") == Some(&telling.run.uid) && text(&digest) == Some(telling.plan)
}

async fn run(running: &Running<'_>) -> Result<Progress, AccountError> {
    let (account, run) = (running.account, &running.plan.run);
    if run.namespace != account.namespace() {
        let message = "the account is of another namespace than the run";
        return Ok(Progress::failed(Reason::TargetNotAllowed, message));
    }
    let step = running.step.name.as_str();
    let name = child(run, "Event", step, running.attempt, running.digest);
    let time = format!("{:.6}", running.began);
    let telling = Telling {
        run,
        step,
        playbook: &running.plan.playbook.name,
        plan: running.digest.as_str(),
        time: &time,
    };
    let Some(event) = event(&name, &running.step.effect, &telling) else {
        let message = "the effect in the plan is none of notify";
        return Ok(Progress::failed(Reason::Invalid, message));
    };
    let events = events(account.namespace(), &name);
    let manager = manager(telling.playbook);
    let writing = Writing::Meant(running.fence);
    match account.create(&events, &event, &manager, writing).await {
        Ok(_) => Ok(Progress::done(format!("told by the Event {name}"))),
        // An earlier request of ours came through unheard, or somebody took the name.
        Err(error) if error.code() == Some(409) => {
            match account.get(&events, (&name, None)).await {
                Ok(Some(found)) if ours(&found, &telling) => {
                    Ok(Progress::done(format!("told by the Event {name}")))
                }
                Ok(Some(_)) => {
                    let message = format!(
                        "there is an Event {name} that this run has not made for this plan"
                    );
                    Ok(Progress::failed(Reason::TargetDrifted, message))
                }
                Ok(None) => ended(account, error, Words::Shown),
                Err(error) => ended(account, error, Words::Shown),
            }
        }
        Err(error) => ended(account, error, Words::Shown),
    }
}

fn events(namespace: &str, name: &str) -> Served {
    Served::of(&Target {
        api_version: "events.k8s.io/v1".to_owned(),
        kind: "Event".to_owned(),
        resource: "events".to_owned(),
        namespace: Some(namespace.to_owned()),
        name: name.to_owned(),
        uid: None,
        access: Access::Reads,
        owner: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_says_what_its_step_says_and_who_it_is_about() {
        let run = RunRef {
            namespace: "shop".into(),
            name: "r".into(),
            uid: "u".into(),
        };
        let telling = |plan| Telling {
            run: &run,
            step: "tell",
            playbook: "mend",
            plan,
            time: "now",
        };
        let effect = json!({"message": "it is well", "fields": {"a": "1", "b": "2"}});
        let made = event("e", &effect, &telling("d")).unwrap();
        assert_eq!(made["note"], "it is well (a=1, b=2)");
        assert_eq!(made["regarding"]["uid"], "u");
        assert!(ours(&made, &telling("d")) && !ours(&made, &telling("other")));
        let long = json!({"message": "é".repeat(1000), "fields": {}});
        let note = note(&long).unwrap();
        assert!(note.len() <= 1024 && note.ends_with(" …"), "{note}");
        assert_eq!(super::note(&json!({})), None);
    }
}
