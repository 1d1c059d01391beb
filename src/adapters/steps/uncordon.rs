//! Floor 2: `uncordon`: a node takes new pods again. It changes nothing else, and no other
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
pub(super) struct Uncordon;

impl StepKind for Uncordon {
    fn name(&self) -> &'static str {
        "uncordon"
    }

    fn is(&self, step: &Step) -> bool {
        step.uncordon.is_some()
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
        Box::pin(node::set(running, false, !running.step.changes.is_empty()))
    }

    fn undo<'a>(
        &'a self,
        running: &'a Running<'a>,
    ) -> BoxFuture<'a, Result<Progress, AccountError>> {
        Box::pin(node::set_back(running, true))
    }
}

async fn plan(step: &Step, planning: &Planning<'_>) -> Result<Forecast, Obstacle> {
    let Some(uncordon) = &step.uncordon else {
        return Err(Obstacle::fail(Reason::Invalid, "the step names no node"));
    };
    let found = node::find(planning, &uncordon.node).await?;
    Ok(Forecast {
        coverage: Coverage::ServerDryRun,
        changes: node::mark(planning, &found, false).await?,
        effect: json!({"unschedulable": false}),
        undo: if step.undo == Some(WantedUndo::None) {
            not_wanted()
        } else {
            Undo::Restore
        },
        targets: vec![found.target],
        seen: Vec::new(),
    })
}
