//! Floor 2: `gate`: people are asked again in the middle of a run. It changes nothing and takes no lock; who is asked is
//! planned here, so that it is approved with the rest, and the Gate is opened and read where runs are decided.

use futures::future::BoxFuture;
use serde_json::json;

use super::{Forecast, Planning, Progress, Running, StepKind, look};
use crate::{
    adapters::kube::account::AccountError,
    api::v1alpha1::Step,
    domain::{plan::Obstacle, reason::Reason},
};

/// The kind.
pub(super) struct Gate;

impl StepKind for Gate {
    fn name(&self) -> &'static str {
        "gate"
    }

    fn is(&self, step: &Step) -> bool {
        step.gate.is_some()
    }

    fn plan<'a>(
        &'a self,
        step: &'a Step,
        _planning: &'a Planning<'a>,
    ) -> BoxFuture<'a, Result<Forecast, Obstacle>> {
        Box::pin(std::future::ready(plan(step)))
    }

    fn run<'a>(
        &'a self,
        _running: &'a Running<'a>,
    ) -> BoxFuture<'a, Result<Progress, AccountError>> {
        let message = "people are asked by the run, not by the playbook's account";
        Box::pin(async move { Ok(Progress::failed(Reason::InternalError, message)) })
    }
}

/// The very rules that the Gate will ask: what is approved says who approves the rest.
fn plan(step: &Step) -> Result<Forecast, Obstacle> {
    let asks = json!(step.gate);
    if asks.is_null() {
        return Err(Obstacle::fail(Reason::Invalid, "the step asks nobody"));
    }
    Ok(look::forecast(Vec::new(), asks))
}
