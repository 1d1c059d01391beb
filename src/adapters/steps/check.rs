//! Floor 2: `check`: whether an expression holds for an object, or for what Prometheus says, decides whether the run has
//! worked. With `stableFor` it must hold that long at every look; since when it does is remembered by this process only, so
//! that another one begins anew. What could not be looked at decides nothing: it is looked at again until the time is over.

mod query;

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
    adapters::kube::{account::AccountError, error::chain},
    api::v1alpha1::{CheckStep, Step},
    domain::{duration, plan::Obstacle, reason::Reason},
};

/// Nobody knows what was in a longer time without a look: the process slept, or could not ask.
const LONGEST_GAP: Duration = Duration::from_secs(10);

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

    fn at_least(&self, effect: &Value) -> Option<Duration> {
        duration::parse(effect.get("stableFor")?.as_str()?).ok()
    }
}

async fn plan(step: &Step, planning: &Planning<'_>) -> Result<Forecast, Obstacle> {
    let invalid = |message: String| Obstacle::fail(Reason::Invalid, message);
    let Some(check) = &step.check else {
        return Err(invalid("the step checks nothing".to_owned()));
    };
    let length = check.stable_for.as_deref().map(duration::parse);
    let length = length
        .transpose()
        .map_err(|error| invalid(error.to_string()))?;
    let with_length = |mut effect: Value| {
        if let (Some(length), Some(fields)) = (length, effect.as_object_mut()) {
            let length = Value::String(duration::render(length));
            fields.insert("stableFor".to_owned(), length);
        }
        effect
    };
    match check {
        CheckStep {
            prometheus: Some(asked),
            target: None,
            expression: None,
            ..
        } => query::plan(planning, asked, with_length).await,
        CheckStep {
            target: Some(aim),
            expression: Some(expression),
            prometheus: None,
            ..
        } => {
            let effect = with_length(json!({ "expression": expression }));
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
    let stable = text("stableFor").and_then(|text| duration::parse(text).ok());
    let later = next_look(running);
    let sight = match text("query") {
        Some(query) => query::look(running, query, expression).await,
        None => match look(running, expression).await {
            Ok(Ok(sight)) => sight,
            Ok(Err(end)) => return Ok(end),
            // What must hold without a break has one here.
            Err(error) if stable.is_some() && !matches!(error, AccountError::Deposed(_)) => {
                Sight::Unseen(chain(&error))
            }
            Err(error) => return Err(error),
        },
    };
    let Some(stable) = stable else {
        return Ok(once(expression, sight, later));
    };
    let since = held(running.memory, running.looked, running.began, running.now);
    let times = (since, running.now);
    Ok(steady(expression, sight, stable, times, later))
}

/// One look is enough.
fn once(expression: &str, sight: Sight, later: Duration) -> Progress {
    match sight {
        Sight::Holds => Progress::done(format!("{expression} holds")),
        Sight::NotYet(message) => Progress::failed(Reason::CheckFailed, message),
        Sight::Unseen(message) => waits(later, message),
        Sight::Never(message) => Progress::failed(Reason::ExpressionInvalid, message),
    }
}

fn waits(after: Duration, message: String) -> Progress {
    Progress::Pending {
        after,
        message,
        memory: None,
    }
}

/// Since when it has held; what is older than the attempt, or still to come, is nobody's memory, and a gap begins it anew.
fn held(
    memory: Option<Timestamp>,
    looked: Option<Timestamp>,
    began: Timestamp,
    now: Timestamp,
) -> Option<Timestamp> {
    let gap = Duration::try_from(now.duration_since(looked?)).unwrap_or_default();
    memory.filter(|since| (began..=now).contains(since) && gap <= LONGEST_GAP)
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
        Sight::NotYet(message) | Sight::Unseen(message) => return waits(later, message),
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

    const SECOND: Duration = Duration::from_secs(1);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn one_look_decides_where_nothing_else_is_said() {
        let not_yet = || Sight::NotYet("a does not hold".into());
        assert!(matches!(
            once("a", Sight::Holds, SECOND),
            Progress::Done { .. }
        ));
        assert!(matches!(
            once("a", not_yet(), SECOND),
            Progress::Failed {
                reason: Reason::CheckFailed,
                ..
            }
        ));
        // What was not seen decides nothing.
        let unseen = once("a", Sight::Unseen("away".into()), SECOND);
        assert!(matches!(unseen, Progress::Pending { memory: None, .. }));
        let never = Sight::Never("a".into());
        assert!(matches!(
            once("a", never, SECOND),
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
        let seen = |sight: Sight, memory: Option<i64>, looked: i64, now: i64| {
            let since = held(memory.map(at), Some(at(looked)), at(100), at(now));
            steady("a", sight, stable, (since, at(now)), later)
        };
        let look = |sight, memory, now| seen(sight, memory, now - 1, now);
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
        // A break begins it anew, and so does a look that failed, a time without one, and what cannot be true of this attempt.
        assert_eq!(pending(look(not_yet(), Some(102), 111)), (3, None));
        let unseen = Sight::Unseen("away".into());
        assert_eq!(pending(look(unseen, Some(102), 111)), (3, None));
        assert_eq!(
            pending(seen(Sight::Holds, Some(102), 103, 114)),
            (1, Some(at(114)))
        );
        assert_eq!(held(Some(at(102)), None, at(100), at(103)), None);
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
