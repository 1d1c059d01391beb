//! Floor 2: `rolloutUndo`: a workload gets the template of an earlier revision back. Which template that is, is found when it
//! is planned and stands in the plan, so that what is approved is what is written. It does not wait for the pods.

mod history;

use futures::future::BoxFuture;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::{Value, json};

use super::{
    Forecast, Planning, Progress, Running, StepKind,
    landing::{Words, granted, obstacle, served},
    veil::Cover,
    write::{self, Wish, Write, uid},
};
use crate::{
    adapters::kube::account::{AccountError, Body, Served},
    api::v1alpha1::{RolloutUndo as Wanted, Step, Target as Aim},
    domain::{
        plan::{Obstacle, RunRef},
        reason::Reason,
    },
};
use history::Revision;

/// The kind.
pub(super) struct RolloutUndo;

/// The same with what was found for it.
struct Found {
    aim: Aim,
    effect: Value,
}

impl Write for Found {
    fn wish(&self, _step: &Step, _run: &RunRef) -> Result<Wish, Obstacle> {
        Ok(Wish {
            aim: self.aim.clone(),
            effect: self.effect.clone(),
        })
    }

    fn body(&self, effect: &Value) -> Option<Body> {
        RolloutUndo.body(effect)
    }

    fn hidden(&self, effect: &Value, _cover: Cover<'_>) -> Value {
        effect.clone()
    }
}

impl Write for RolloutUndo {
    /// Nobody knows it before the revisions were looked at.
    fn wish(&self, _step: &Step, _run: &RunRef) -> Result<Wish, Obstacle> {
        Err(Obstacle::fail(
            Reason::Invalid,
            "the step says no template to go back to",
        ))
    }

    fn body(&self, effect: &Value) -> Option<Body> {
        let template = effect.get("template")?;
        // As a whole: a merge would leave what the later revision has added.
        Some(Body::Json(json!([
            {"op": "replace", "path": "/spec/template", "value": template}
        ])))
    }

    fn hidden(&self, effect: &Value, _cover: Cover<'_>) -> Value {
        effect.clone()
    }
}

impl StepKind for RolloutUndo {
    fn name(&self) -> &'static str {
        "rolloutUndo"
    }

    fn is(&self, step: &Step) -> bool {
        step.rollout_undo.is_some()
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
        Box::pin(write::run(self, running))
    }

    fn undo<'a>(
        &'a self,
        running: &'a Running<'a>,
    ) -> BoxFuture<'a, Result<Progress, AccountError>> {
        Box::pin(write::undo(self, running))
    }
}

async fn plan(step: &Step, planning: &Planning<'_>) -> Result<Forecast, Obstacle> {
    let Some(undo) = &step.rollout_undo else {
        return Err(Obstacle::fail(Reason::Invalid, "the step undoes nothing"));
    };
    let number = revision(undo)?;
    let live = workload(planning, &undo.target).await?;
    let revisions = revisions(planning, &undo.target, &live).await?;
    let found = chosen(&undo.target, &live, &revisions, number)?;
    let effect = json!({"revision": found.number, "template": found.template});
    let late = live.pointer("/spec/updateStrategy/type") == Some(&json!("OnDelete"));
    let writer = Found {
        aim: undo.target.clone(),
        effect,
    };
    let mut forecast = write::plan(&writer, step, planning).await?;
    let shown = format!("{}/{}", undo.target.kind, undo.target.name);
    forecast.seen.push(format!(
        "{shown} goes back to its revision {}; it has {}",
        found.number,
        history::listed(&revisions)
    ));
    if late {
        let more =
            "its pods are replaced only when somebody deletes them (updateStrategy OnDelete)";
        forecast.seen.push(format!("{shown}: {more}"));
    }
    Ok(forecast)
}

/// Which revision is asked for; nothing: the one before.
fn revision(undo: &Wanted) -> Result<Option<i64>, Obstacle> {
    match &undo.to_revision {
        None | Some(IntOrString::Int(0)) => Ok(None),
        Some(IntOrString::Int(number)) if *number > 0 => Ok(Some(i64::from(*number))),
        Some(_) => Err(Obstacle::fail(
            Reason::ParametersInvalid,
            "toRevision is no revision: write an integer from 1, or 0 for the one before",
        )),
    }
}

async fn workload(planning: &Planning<'_>, aim: &Aim) -> Result<Value, Obstacle> {
    let account = planning.account;
    if aim.api_version != "apps/v1" || history::kept_in(&aim.kind).is_none() {
        let message = format!(
            "a {} ({}) has no revisions; a Deployment, StatefulSet or DaemonSet of apps/v1 has",
            aim.kind, aim.api_version
        );
        return Err(Obstacle::fail(Reason::TargetNotAllowed, message));
    }
    let served = served(account, (&aim.api_version, &aim.kind, &aim.name)).await?;
    granted(account, &served, &aim.name, &[("get", None)]).await?;
    let live = account.get(&served, (&aim.name, None)).await;
    let live = live.map_err(|error| obstacle(account, &error, Words::Shown))?;
    let Some(live) = live else {
        return Err(write::absent(aim, account.namespace()));
    };
    if live.pointer("/spec/paused").and_then(Value::as_bool) == Some(true) {
        let message = format!(
            "{}/{} is paused: nothing would be rolled back; resume it first",
            aim.kind, aim.name
        );
        return Err(Obstacle::fail(Reason::TargetNotAllowed, message));
    }
    Ok(live)
}

/// What its controller has kept of earlier templates.
async fn revisions(
    planning: &Planning<'_>,
    aim: &Aim,
    live: &Value,
) -> Result<Vec<Revision>, Obstacle> {
    let account = planning.account;
    let (kind, plural) = history::kept_in(&aim.kind).unwrap_or_default();
    let kept: Served = served(account, ("apps/v1", kind, &aim.name)).await?;
    granted(account, &kept, "", &[("list", None)]).await?;
    let Some(labels) = history::selector(live) else {
        let message = format!(
            "{}/{} has a selector that no list takes",
            aim.kind, aim.name
        );
        return Err(Obstacle::fail(Reason::TargetNotAllowed, message));
    };
    let found = account.labelled(&kept, &labels).await;
    let found = found.map_err(|error| obstacle(account, &error, Words::Shown))?;
    let owner = uid(live).unwrap_or_default();
    Ok(history::of(plural, owner, &found))
}

fn chosen<'a>(
    aim: &Aim,
    live: &Value,
    revisions: &'a [Revision],
    number: Option<i64>,
) -> Result<&'a Revision, Obstacle> {
    let template = live.pointer("/spec/template").map(history::bare);
    let found = match number {
        Some(number) => revisions.iter().find(|one| one.number == number),
        // The newest that is another than what stands there now, also if that was never rolled out.
        None => revisions
            .iter()
            .find(|one| Some(&one.template) != template.as_ref()),
    };
    found.ok_or_else(|| {
        let which = number.map_or_else(
            || "no earlier revision".to_owned(),
            |number| format!("no revision {number}"),
        );
        let message = format!(
            "{}/{} has {which}, only {}: nothing to go back to",
            aim.kind,
            aim.name,
            history::listed(revisions)
        );
        Obstacle::fail(Reason::TargetNotFound, message)
    })
}
