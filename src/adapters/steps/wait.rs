//! Floor 2: `wait`: nothing is done until a time has passed, or until an expression holds for an object. It changes nothing
//! and takes no lock; that its own time is over is decided above.

use std::time::Duration;

use futures::future::BoxFuture;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    Forecast, Planning, Progress, Running, StepKind,
    look::{self, Sight, look},
    next_look,
};
use crate::{
    adapters::kube::account::AccountError,
    api::v1alpha1::{Step, WaitStep},
    domain::{duration, plan::Obstacle, reason::Reason},
};

/// The kind.
pub(super) struct Wait;

impl StepKind for Wait {
    fn name(&self) -> &'static str {
        "wait"
    }

    fn is(&self, step: &Step) -> bool {
        step.wait.is_some()
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

    fn at_least(&self, effect: &Value) -> Option<Duration> {
        duration::parse(effect.get("duration")?.as_str()?).ok()
    }
}

async fn plan(step: &Step, planning: &Planning<'_>) -> Result<Forecast, Obstacle> {
    let invalid = |message: String| Obstacle::fail(Reason::Invalid, message);
    match &step.wait {
        Some(WaitStep {
            duration: Some(text),
            target: None,
            expression: None,
        }) => {
            let length = duration::parse(text).map_err(|error| invalid(error.to_string()))?;
            let effect = json!({"duration": duration::render(length)});
            Ok(look::forecast(Vec::new(), effect))
        }
        Some(WaitStep {
            duration: None,
            target: Some(aim),
            expression: Some(expression),
        }) => {
            look::plan(
                planning,
                aim,
                expression,
                json!({ "expression": expression }),
            )
            .await
        }
        _ => Err(invalid(
            "wait has either a duration or a target with an expression".to_owned(),
        )),
    }
}

async fn run(running: &Running<'_>) -> Result<Progress, AccountError> {
    let text = |name| running.step.effect.get(name)?.as_str();
    if let Some(expression) = text("expression") {
        return Ok(match look(running, expression).await? {
            Ok(Sight::Holds) => Progress::done(format!("{expression} holds")),
            Ok(Sight::NotYet(message) | Sight::Unseen(message)) => Progress::Pending {
                after: next_look(running),
                message,
                memory: None,
            },
            Ok(Sight::Never(message)) => Progress::failed(Reason::ExpressionInvalid, message),
            Err(end) => end,
        });
    }
    let length = text("duration").and_then(|text| duration::parse(text).ok());
    Ok(match length {
        Some(length) => passed(length, running.began, running.now),
        None => Progress::failed(Reason::Invalid, "the plan does not say how long to wait"),
    })
}

fn passed(length: Duration, began: Timestamp, now: Timestamp) -> Progress {
    let waited = Duration::try_from(now.duration_since(began)).unwrap_or_default();
    match length.checked_sub(waited) {
        Some(after) if !after.is_zero() => Progress::Pending {
            after,
            message: format!("waits for {}", duration::render(length)),
            memory: None,
        },
        _ => Progress::done(format!("{} have passed", duration::render(length))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_passed_when_it_has() {
        let began = Timestamp::from_second(1_000).unwrap();
        let length = Duration::from_secs(60);
        let at = |second| passed(length, began, Timestamp::from_second(second).unwrap());
        assert!(
            matches!(at(1_059), Progress::Pending { after, .. } if after == Duration::from_secs(1))
        );
        assert!(matches!(at(1_060), Progress::Done { .. }));
        assert!(matches!(at(9_999), Progress::Done { .. }));
        // A clock that was set back does not end the wait.
        assert!(matches!(at(900), Progress::Pending { after, .. } if after == length));
    }
}
