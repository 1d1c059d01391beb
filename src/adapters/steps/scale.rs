//! Floor 2: `scale`: another number of replicas, by the `scale` part of whatever has one. It does not wait for them.

use futures::future::BoxFuture;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::{Value, json};

use super::{
    Forecast, Planning, Progress, Running, StepKind,
    veil::Cover,
    write::{self, Wish, Write},
};
use crate::{
    adapters::kube::account::{AccountError, Body},
    api::v1alpha1::Step,
    domain::{
        plan::{Obstacle, RunRef},
        reason::Reason,
    },
};

/// The kind.
pub(super) struct Scale;

impl Write for Scale {
    fn wish(&self, step: &Step, _run: &RunRef) -> Result<Wish, Obstacle> {
        let Some(scale) = &step.scale else {
            return Err(Obstacle::fail(Reason::Invalid, "the step scales nothing"));
        };
        match scale.replicas {
            IntOrString::Int(replicas) if replicas >= 0 => Ok(Wish {
                aim: scale.target.clone(),
                effect: json!({ "replicas": replicas }),
            }),
            _ => Err(Obstacle::fail(
                Reason::ParametersInvalid,
                "replicas is no number of replicas: write an integer from 0",
            )),
        }
    }

    fn body(&self, effect: &Value) -> Option<Body> {
        let replicas = effect.get("replicas")?.as_i64()?;
        Some(Body::Merge(json!({"spec": {"replicas": replicas}})))
    }

    fn hidden(&self, effect: &Value, _cover: Cover<'_>) -> Value {
        effect.clone()
    }

    fn subresource(&self) -> Option<&'static str> {
        Some("scale")
    }
}

impl StepKind for Scale {
    fn name(&self) -> &'static str {
        "scale"
    }

    fn is(&self, step: &Step) -> bool {
        step.scale.is_some()
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
