//! Floor 2: `cordon`: new pods are kept away from a node. What runs on it stays; `drain` sends it away. It changes nothing else, and no other
//! object than a node.

use futures::future::BoxFuture;
use serde_json::json;

use super::{Forecast, Planning, Progress, Running, StepKind, node, not_wanted};
use crate::{
    adapters::kube::account::AccountError,
    api::v1alpha1::{Step, Undo as WantedUndo},
    domain::{
        plan::{Coverage, Obstacle, Undo},
        reason::Reason,
    },
};

/// The kind.
pub(super) struct Cordon;

impl StepKind for Cordon {
    fn name(&self) -> &'static str {
        "cordon"
    }

    fn is(&self, step: &Step) -> bool {
        step.cordon.is_some()
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
        Box::pin(node::set(running, true, !running.step.changes.is_empty()))
    }

    fn undo<'a>(
        &'a self,
        running: &'a Running<'a>,
    ) -> BoxFuture<'a, Result<Progress, AccountError>> {
        Box::pin(node::set_back(running, false))
    }
}

async fn plan(step: &Step, planning: &Planning<'_>) -> Result<Forecast, Obstacle> {
    let Some(cordon) = &step.cordon else {
        return Err(Obstacle::fail(Reason::Invalid, "the step names no node"));
    };
    let found = node::find(planning, &cordon.node).await?;
    Ok(Forecast {
        coverage: Coverage::ServerDryRun,
        changes: node::mark(planning, &found, true).await?,
        effect: json!({"unschedulable": true}),
        undo: if step.undo == Some(WantedUndo::None) {
            not_wanted()
        } else {
            Undo::Restore
        },
        targets: vec![found.target],
        seen: Vec::new(),
    })
}
