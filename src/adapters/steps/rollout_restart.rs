//! Floor 2: `rolloutRestart`: the pods of a workload are made anew, by a mark on their template that names this run and
//! step, so that the same restart asked for twice happens once. It does not wait for the pods; `wait` and `check` do.

use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::{
    Forecast, Planning, Progress, Running, StepKind,
    veil::Cover,
    write::{self, Wish, Write},
};
use crate::{
    adapters::kube::account::{AccountError, Body},
    api::v1alpha1::{Step, Target as Aim},
    domain::{
        plan::{Obstacle, RunRef},
        reason::Reason,
    },
};

/// The mark on the template.
const MARK: &str = "neuralops.io/restarted-by";
/// What has pods that it replaces.
const WORKLOADS: [&str; 3] = ["Deployment", "StatefulSet", "DaemonSet"];

/// The kind.
pub(super) struct RolloutRestart;

impl Write for RolloutRestart {
    fn wish(&self, step: &Step, run: &RunRef) -> Result<Wish, Obstacle> {
        let Some(restart) = &step.rollout_restart else {
            return Err(Obstacle::fail(Reason::Invalid, "the step restarts nothing"));
        };
        let aim = restart.target.clone();
        if !aim.api_version.starts_with("apps/") || !WORKLOADS.contains(&aim.kind.as_str()) {
            let message = format!(
                "a {} ({}) is not restarted; a Deployment, StatefulSet or DaemonSet of apps/v1 is",
                aim.kind, aim.api_version
            );
            return Err(Obstacle::fail(Reason::TargetNotAllowed, message));
        }
        Ok(Wish {
            aim,
            effect: json!({"restartedBy": format!("{}.{}", run.uid, step.name)}),
        })
    }

    fn body(&self, effect: &Value) -> Option<Body> {
        let mark = effect.get("restartedBy")?.as_str()?;
        let template = json!({"metadata": {"annotations": {MARK: mark}}});
        Some(Body::Merge(json!({"spec": {"template": template}})))
    }

    fn hidden(&self, effect: &Value, _cover: Cover<'_>) -> Value {
        effect.clone()
    }

    fn fits(&self, aim: &Aim, live: &Value) -> Result<(), Obstacle> {
        let at = |pointer| live.pointer(pointer);
        let why = if at("/spec/paused").and_then(Value::as_bool) == Some(true) {
            "is paused: nothing would be restarted; resume it first"
        } else if at("/spec/updateStrategy/type").and_then(Value::as_str) == Some("OnDelete") {
            "replaces pods only when they are deleted (updateStrategy OnDelete): nothing would be restarted"
        } else {
            return Ok(());
        };
        let message = format!("{}/{} {why}", aim.kind, aim.name);
        Err(Obstacle::fail(Reason::TargetNotAllowed, message))
    }
}

impl StepKind for RolloutRestart {
    fn name(&self) -> &'static str {
        "rolloutRestart"
    }

    fn is(&self, step: &Step) -> bool {
        step.rollout_restart.is_some()
    }

    fn plan<'a>(
        &'a self,
        step: &'a Step,
        planning: &'a Planning<'a>,
    ) -> BoxFuture<'a, Result<Forecast, Obstacle>> {
        Box::pin(write::plan(self, step, planning))
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
