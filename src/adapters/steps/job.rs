//! Floor 2: `job`: a container that runs to its end as the playbook's account. What it does inside is not known before. Each
//! attempt is one Job, found again by its name and taken for ours only by its owner and the digest of the plan.

mod manifest;

pub(super) use manifest::{plain, timeout};

use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{
    Forecast, Planning, Progress, Running, StepKind,
    landing::{Words, ended, granted, obstacle, served},
    manager, next_look,
};
use crate::{
    adapters::kube::account::{Account, AccountError, Served, Writing},
    api::v1alpha1::{JobStep, Step},
    domain::{
        digest::Digest,
        names::child,
        plan::{Access, Coverage, Obstacle, Target, Undo},
        reason::Reason,
    },
};

/// What a pod has to go after its Job's time is over, and the controllers to tell of it.
const GOING: SignedDuration = SignedDuration::from_secs(60);

/// The kind.
pub(super) struct Job;

impl StepKind for Job {
    fn name(&self) -> &'static str {
        "job"
    }

    fn is(&self, step: &Step) -> bool {
        step.job.is_some()
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
        Box::pin(go_on(running, &running.step.effect, |_| None))
    }
}

async fn plan(step: &Step, planning: &Planning<'_>) -> Result<Forecast, Obstacle> {
    let Some(job) = &step.job else {
        return Err(Obstacle::fail(Reason::Invalid, "the step makes no Job"));
    };
    let effect = effect(step, job, planning)?;
    tried(step, planning, &effect).await?;
    let why = "what a container has done is not known, so it cannot be taken back";
    Ok(forecast(effect, why))
}

/// What of a Job is approved, for a container like this.
pub(super) fn effect(
    step: &Step,
    job: &JobStep,
    planning: &Planning<'_>,
) -> Result<Value, Obstacle> {
    manifest::effect(step, job, planning.run, planning.account.name())
}

/// Asks whether the account may make such a Job, and the API server what it thinks of it.
pub(super) async fn tried(
    step: &Step,
    planning: &Planning<'_>,
    effect: &Value,
) -> Result<(), Obstacle> {
    let account = planning.account;
    // Nobody knows the name yet: it follows from the plan.
    let trial = child(planning.run, "Job", &step.name, 0, &Digest::of(b""));
    let jobs = served(account, ("batch/v1", "Job", &trial)).await?;
    granted(account, &jobs, "", &[("create", None), ("get", None)]).await?;
    let origin = manifest::Origin {
        run: planning.run,
        step: &step.name,
        attempt: 1,
        plan: "sha256:",
    };
    let Some(job) = manifest::job(&trial, effect, &origin) else {
        return Err(Obstacle::fail(Reason::Invalid, "the step makes no Job"));
    };
    let manager = manager(planning.playbook);
    let tried = account.create(&jobs, &job, &manager, Writing::DryRun).await;
    tried.map_err(|error| obstacle(account, &error, Words::Shown))?;
    Ok(())
}

/// A step whose inside is not known, and which is not taken back.
pub(super) fn forecast(effect: Value, why: &str) -> Forecast {
    Forecast {
        coverage: Coverage::Opaque,
        targets: Vec::new(),
        effect,
        changes: Vec::new(),
        undo: Undo::Nothing {
            why: why.to_owned(),
        },
        seen: Vec::new(),
    }
}

/// Something of this namespace, as the API server has served it since before this version.
fn builtin(account: &Account, api_version: &str, kind: &str, resource: &str) -> Served {
    Served::of(&Target {
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        resource: resource.to_owned(),
        namespace: Some(account.namespace().to_owned()),
        name: String::new(),
        uid: None,
        access: Access::Reads,
        owner: None,
    })
}

/// What a program means by its exit code, if that is known.
pub(super) type Meaning = fn(i64) -> Option<&'static str>;

/// Makes the Job of this effect, or goes on with it.
pub(super) async fn go_on(
    running: &Running<'_>,
    effect: &Value,
    meaning: Meaning,
) -> Result<Progress, AccountError> {
    let account = running.account;
    let run = &running.plan.run;
    if run.namespace != account.namespace() {
        let message = "the account is of another namespace than the run";
        return Ok(Progress::failed(Reason::TargetNotAllowed, message));
    }
    let step = running.step.name.as_str();
    let name = child(run, "Job", step, running.attempt, running.digest);
    let jobs = builtin(account, "batch/v1", "Job", "jobs");
    let origin = manifest::Origin {
        run,
        step,
        attempt: running.attempt,
        plan: running.digest.as_str(),
    };
    match account.get(&jobs, (&name, None)).await {
        Ok(Some(job)) => return state(running, &job, (&name, meaning), &origin).await,
        Ok(None) => {}
        Err(error) => return ended(account, error, Words::Shown),
    }
    // It was there: another one would be a second effect of one attempt.
    if running.underway {
        let message = format!("the Job {name} is gone before its end: somebody deleted it");
        return Ok(Progress::failed(Reason::TargetDrifted, message));
    }
    let Some(job) = manifest::job(&name, effect, &origin) else {
        let message = "the effect in the plan is none of a job";
        return Ok(Progress::failed(Reason::Invalid, message));
    };
    let manager = manager(&running.plan.playbook.name);
    let writing = Writing::Meant(running.fence);
    match account.create(&jobs, &job, &manager, writing).await {
        Ok(job) => state(running, &job, (&name, meaning), &origin).await,
        // An earlier request of ours came through unheard, or somebody took the name.
        Err(error) if error.code() == Some(409) => match account.get(&jobs, (&name, None)).await {
            Ok(Some(job)) => state(running, &job, (&name, meaning), &origin).await,
            Ok(None) => ended(account, error, Words::Shown),
            Err(error) => ended(account, error, Words::Shown),
        },
        Err(error) => ended(account, error, Words::Shown),
    }
}

/// How far the Job is, if it is ours.
async fn state(
    running: &Running<'_>,
    job: &Value,
    (name, meaning): (&str, Meaning),
    origin: &manifest::Origin<'_>,
) -> Result<Progress, AccountError> {
    if !manifest::ours(job, origin) {
        let message = format!(
            "there is a Job {name} that this run has not made for this plan; delete it, and run the playbook again"
        );
        return Ok(Progress::failed(Reason::TargetDrifted, message));
    }
    Ok(match end(job) {
        End::Complete => Progress::done(format!("Job {name} is complete")),
        End::Failed(why) => {
            let pod = last_words(running.account, name, meaning).await;
            let message = format!("Job {name} failed: {why}{pod}");
            Progress::failed(Reason::JobFailed, message)
        }
        End::NotYet if !running.underway => Progress::Begun {
            message: format!("Job {name} runs"),
        },
        // Neither another attempt nor the way back begins beside it.
        End::NotYet => Progress::Busy {
            after: next_look(running),
            message: format!("Job {name} runs"),
            until: over(job, running.now),
        },
    })
}

/// When it has certainly ended: its own time, and what its pod may take to go.
fn over(job: &Value, now: Timestamp) -> Timestamp {
    let text = |pointer| job.pointer(pointer).and_then(Value::as_str);
    let began = text("/status/startTime").or_else(|| text("/metadata/creationTimestamp"));
    let began = began.and_then(|text| text.parse().ok()).unwrap_or(now);
    let seconds = job.pointer("/spec/activeDeadlineSeconds");
    let seconds = seconds.and_then(Value::as_i64).unwrap_or_default();
    let time = SignedDuration::from_secs(seconds).saturating_add(GOING);
    began.saturating_add(time).unwrap_or(now)
}

#[derive(Debug, PartialEq, Eq)]
enum End {
    Complete,
    Failed(String),
    NotYet,
}

fn end(job: &Value) -> End {
    let conditions = job.pointer("/status/conditions").and_then(Value::as_array);
    let text = |condition: &Value, name: &str| {
        let text = condition.get(name).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    for condition in conditions.map(Vec::as_slice).unwrap_or_default() {
        match (
            text(condition, "type").as_str(),
            text(condition, "status").as_str(),
        ) {
            ("Complete", "True") => return End::Complete,
            ("Failed", "True") => {
                let (reason, message) = (text(condition, "reason"), text(condition, "message"));
                return End::Failed(format!("{reason} ({message})"));
            }
            _ => {}
        }
    }
    End::NotYet
}

/// What the pod came to, if the account may look. Its own message is not told: whoever wrote the container chose it.
async fn last_words(account: &Account, name: &str, meaning: Meaning) -> String {
    let pods = builtin(account, "v1", "Pod", "pods");
    let labels = format!("batch.kubernetes.io/job-name={name}");
    let listed = account.list(&pods, &labels).await;
    let found = listed.ok().and_then(|pods| {
        let mut pods = pods.iter();
        pods.find_map(|pod| ended_by(pod, meaning))
    });
    found.map_or_else(String::new, |text| format!("; {text}"))
}

fn ended_by(pod: &Value, meaning: Meaning) -> Option<String> {
    let status = pod.get("status")?;
    let container = status.pointer("/containerStatuses/0/state");
    if let Some(ended) = container.and_then(|state| state.get("terminated")) {
        let code = ended.get("exitCode").and_then(Value::as_i64);
        let reason = ended.get("reason").and_then(Value::as_str);
        let code = code.unwrap_or(-1);
        let why = meaning(code).or(reason).unwrap_or("no reason given");
        return Some(format!("its container ended with {code} ({why})"));
    }
    let waiting = container.and_then(|state| state.pointer("/waiting/reason"));
    let reason = waiting.or_else(|| status.get("reason"))?.as_str()?;
    Some(format!("its pod: {reason}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_end_of_a_job_is_its_condition() {
        let with = |kind: &str, status: &str| {
            let condition = json!({"type": kind, "status": status, "reason": "BackoffLimitExceeded", "message": "m"});
            end(&json!({"status": {"conditions": [condition]}}))
        };
        assert_eq!(with("Complete", "True"), End::Complete);
        assert_eq!(
            with("Failed", "True"),
            End::Failed("BackoffLimitExceeded (m)".into())
        );
        for (kind, status) in [
            ("Complete", "False"),
            ("FailureTarget", "True"),
            ("Suspended", "True"),
        ] {
            assert_eq!(with(kind, status), End::NotYet);
        }
        assert_eq!(end(&json!({})), End::NotYet);
    }

    #[test]
    fn a_pod_says_how_it_ended_and_not_in_its_own_words() {
        let state = json!({"terminated": {"exitCode": 3, "reason": "Error", "message": "c4n4ry"}});
        let pod = json!({"status": {"containerStatuses": [{"state": state}]}});
        assert_eq!(
            ended_by(&pod, |_| None).unwrap(),
            "its container ended with 3 (Error)"
        );
        let known = ended_by(&pod, |code| (code == 3).then_some("not so"));
        assert_eq!(known.unwrap(), "its container ended with 3 (not so)");
        let pod = json!({"status": {"containerStatuses": [{"state": {"waiting": {"reason": "ImagePullBackOff"}}}]}});
        assert_eq!(
            ended_by(&pod, |_| None).unwrap(),
            "its pod: ImagePullBackOff"
        );
        let pod = json!({"status": {"reason": "Evicted"}});
        assert_eq!(ended_by(&pod, |_| None).unwrap(), "its pod: Evicted");
        let pending = json!({"status": {"phase": "Pending"}});
        assert_eq!(ended_by(&pending, |_| None), None);
    }
}
