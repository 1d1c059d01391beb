//! Floor 2: `check`: whether an expression holds for an object decides whether the run has worked. With `stableFor` it must
//! hold that long at every look; since when it does is remembered by this process only, so that another one begins anew.

use std::time::Duration;

use futures::future::BoxFuture;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    FIRST_LOOK, Forecast, Planning, Progress, Running, StepKind,
    look::{self, Sight, look},
    next_look,
};
use crate::{
    adapters::kube::account::AccountError,
    api::v1alpha1::{CheckStep, Step},
    domain::{duration, plan::Obstacle, reason::Reason},
};

/// The kind.
pub(super) struct Check;

impl StepKind for Check {
    fn name(&self) -> &'static str {
        "check"
    }

    fn is(&self, step: &Step) -> bool {
        step.check.is_some()
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
    let invalid = |message: String| Obstacle::fail(Reason::Invalid, message);
    match &step.check {
        Some(CheckStep {
            prometheus: Some(_),
            ..
        }) => Err(Obstacle::unknown(
            Reason::StepUnsupported,
            "this version asks no Prometheus; check an object instead",
        )),
        Some(CheckStep {
            target: Some(aim),
            expression: Some(expression),
            stable_for,
            prometheus: None,
        }) => {
            let mut effect = json!({ "expression": expression });
            if let (Some(text), Some(fields)) = (stable_for, effect.as_object_mut()) {
                let length = duration::parse(text).map_err(|error| invalid(error.to_string()))?;
                let length = Value::String(duration::render(length));
                fields.insert("stableFor".to_owned(), length);
            }
            look::plan(planning, aim, expression, effect).await
        }
        _ => Err(invalid(
            "check has either a prometheus query or a target with an expression".to_owned(),
        )),
    }
}

async fn run(running: &Running<'_>) -> Result<Progress, AccountError> {
    let text = |name| running.step.effect.get(name)?.as_str();
    let Some(expression) = text("expression") else {
        let message = "the plan does not say what to check";
        return Ok(Progress::failed(Reason::Invalid, message));
    };
    let sight = match look(running, expression).await? {
        Ok(sight) => sight,
        Err(end) => return Ok(end),
    };
    let Some(stable) = text("stableFor").and_then(|text| duration::parse(text).ok()) else {
        return Ok(once(expression, sight));
    };
    let held = held(running.memory, running.began, running.now);
    Ok(steady(expression, sight, stable, held, next_look(running)))
}

/// One look is enough.
fn once(expression: &str, sight: Sight) -> Progress {
    match sight {
        Sight::Holds => Progress::done(format!("{expression} holds")),
        Sight::NotYet(message) => Progress::failed(Reason::CheckFailed, message),
        Sight::Never(message) => Progress::failed(Reason::ExpressionInvalid, message),
    }
}

/// Since when it has held, and now; what is older than the attempt, or still to come, is nobody's memory.
fn held(
    memory: Option<Timestamp>,
    began: Timestamp,
    now: Timestamp,
) -> (Option<Timestamp>, Timestamp) {
    (memory.filter(|since| (began..=now).contains(since)), now)
}

/// It must hold for a time; a break begins it anew.
fn steady(
    expression: &str,
    sight: Sight,
    stable: Duration,
    (since, now): (Option<Timestamp>, Timestamp),
    later: Duration,
) -> Progress {
    let (since, length) = match sight {
        Sight::Holds => (since.unwrap_or(now), duration::render(stable)),
        Sight::NotYet(message) => {
            return Progress::Pending {
                after: later,
                message,
                memory: None,
            };
        }
        Sight::Never(message) => return Progress::failed(Reason::ExpressionInvalid, message),
    };
    let held = Duration::try_from(now.duration_since(since)).unwrap_or_default();
    match stable.checked_sub(held) {
        // A break that nobody looks at is none that anybody knows of, so it is looked at often.
        Some(left) if !left.is_zero() => Progress::Pending {
            after: left.min(FIRST_LOOK),
            message: format!("{expression} holds, and must for {length}"),
            memory: Some(since),
        },
        _ => Progress::done(format!("{expression} has held for {length}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn one_look_decides_where_nothing_else_is_said() {
        let not_yet = || Sight::NotYet("a does not hold".into());
        assert!(matches!(once("a", Sight::Holds), Progress::Done { .. }));
        assert!(matches!(
            once("a", not_yet()),
            Progress::Failed {
                reason: Reason::CheckFailed,
                ..
            }
        ));
        let never = Sight::Never("a".into());
        assert!(matches!(
            once("a", never),
            Progress::Failed {
                reason: Reason::ExpressionInvalid,
                ..
            }
        ));
    }

    #[test]
    fn what_must_hold_for_a_time_holds_at_every_look() {
        let stable = Duration::from_secs(10);
        let later = Duration::from_secs(3);
        let look = |sight: Sight, memory: Option<i64>, now: i64| {
            steady(
                "a",
                sight,
                stable,
                held(memory.map(at), at(100), at(now)),
                later,
            )
        };
        let pending = |progress: Progress| match progress {
            Progress::Pending { after, memory, .. } => (after.as_secs(), memory),
            other => panic!("{other:?}"),
        };
        let not_yet = || Sight::NotYet("a does not hold".into());
        assert_eq!(pending(look(not_yet(), None, 101)), (3, None));
        assert_eq!(pending(look(Sight::Holds, None, 102)), (1, Some(at(102))));
        assert_eq!(
            pending(look(Sight::Holds, Some(102), 111)),
            (1, Some(at(102)))
        );
        assert!(matches!(
            look(Sight::Holds, Some(102), 112),
            Progress::Done { .. }
        ));
        // A break begins it anew, and so does what cannot be true of this attempt.
        assert_eq!(pending(look(not_yet(), Some(102), 111)), (3, None));
        assert_eq!(
            pending(look(Sight::Holds, Some(50), 111)),
            (1, Some(at(111)))
        );
        assert_eq!(
            pending(look(Sight::Holds, Some(500), 111)),
            (1, Some(at(111)))
        );
    }
}
