//! Floor 2: `cordon`: new pods are kept away from a node. What runs on it stays; `drain` sends it away. It changes nothing
//! else, and no other object than a node. `uncordon` is the same the other way round.

use futures::future::BoxFuture;
use serde_json::json;

use super::{Forecast, Planning, Progress, Running, StepKind, node, not_wanted};
use crate::{
    adapters::kube::account::AccountError,
    api::v1alpha1::{NodeStep, Step, Undo as WantedUndo},
    domain::{
        plan::{Coverage, Obstacle, Undo},
        reason::Reason,
    },
};

/// A kind that marks a node, by what it leaves.
pub(super) struct Mark {
    /// Whether the node takes no new pods then.
    pub(super) unschedulable: bool,
}

/// New pods are kept away.
pub(super) const CORDON: Mark = Mark {
    unschedulable: true,
};

impl Mark {
    fn of<'a>(&self, step: &'a Step) -> Option<&'a NodeStep> {
        if self.unschedulable {
            step.cordon.as_ref()
        } else {
            step.uncordon.as_ref()
        }
    }

    async fn forecast(&self, step: &Step, planning: &Planning<'_>) -> Result<Forecast, Obstacle> {
        let Some(mark) = self.of(step) else {
            return Err(Obstacle::fail(Reason::Invalid, "the step names no node"));
        };
        let found = node::find(planning, &mark.node).await?;
        Ok(Forecast {
            coverage: Coverage::ServerDryRun,
            changes: node::mark(planning, &found, self.unschedulable).await?,
            effect: json!({"unschedulable": self.unschedulable}),
            undo: if step.undo == Some(WantedUndo::None) {
                not_wanted()
            } else {
                Undo::Restore
            },
            targets: vec![found.target],
            seen: Vec::new(),
        })
    }
}

impl StepKind for Mark {
    fn name(&self) -> &'static str {
        if self.unschedulable {
            "cordon"
        } else {
            "uncordon"
        }
    }

    fn is(&self, step: &Step) -> bool {
        self.of(step).is_some()
    }

    fn plan<'a>(
        &'a self,
        step: &'a Step,
        planning: &'a Planning<'a>,
    ) -> BoxFuture<'a, Result<Forecast, Obstacle>> {
        Box::pin(self.forecast(step, planning))
    }

    fn run<'a>(
        &'a self,
        running: &'a Running<'a>,
    ) -> BoxFuture<'a, Result<Progress, AccountError>> {
        let changes = !running.step.changes.is_empty();
        Box::pin(node::set(running, self.unschedulable, changes))
    }

    fn undo<'a>(
        &'a self,
        running: &'a Running<'a>,
    ) -> BoxFuture<'a, Result<Progress, AccountError>> {
        Box::pin(node::set_back(running, !self.unschedulable))
    }
}
