//! Floor 2: looking at an object with an expression, for the kinds that change nothing. What follows from the answer is
//! theirs.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    Forecast, Planning, Progress, Running,
    landing::{Words, ended, granted, served},
};
use crate::{
    adapters::{
        cel::CelError,
        kube::account::{AccountError, Served},
    },
    api::v1alpha1::Target as Aim,
    domain::{
        plan::{Access, Coverage, Obstacle, Target, Undo},
        reason::Reason,
    },
};

/// What an expression may name.
const VARIABLES: [&str; 2] = ["object", "params"];

/// Plans a look. The object need not be there yet: an earlier step may make it.
pub(super) async fn plan(
    planning: &Planning<'_>,
    aim: &Aim,
    expression: &str,
    effect: Value,
) -> Result<Forecast, Obstacle> {
    let compiled = planning.cel.check(expression, &VARIABLES).await;
    compiled.map_err(|error| unreadable(expression, &error))?;
    let account = planning.account;
    let served = served(account, (&aim.api_version, &aim.kind, &aim.name)).await?;
    granted(account, &served, &aim.name, &[("get", None)]).await?;
    let target = Target {
        api_version: aim.api_version.clone(),
        kind: aim.kind.clone(),
        resource: served.plural().to_owned(),
        namespace: Some(account.namespace().to_owned()),
        name: aim.name.clone(),
        // Whatever bears the name then is looked at.
        uid: None,
        access: Access::Reads,
        owner: None,
    };
    Ok(forecast(vec![target], effect))
}

/// What is wrong with an expression.
pub(super) fn unreadable(expression: &str, error: &CelError) -> Obstacle {
    let message = format!("{error}: {expression}");
    if error.may_pass() {
        Obstacle::unknown(Reason::ExpressionInvalid, message)
    } else {
        Obstacle::fail(Reason::ExpressionInvalid, message)
    }
}

/// A step that changes nothing.
pub(super) fn forecast(targets: Vec<Target>, effect: Value) -> Forecast {
    Forecast {
        coverage: Coverage::SchemaOnly,
        targets,
        effect,
        changes: Vec::new(),
        undo: Undo::Nothing {
            why: "it changes nothing".to_owned(),
        },
        seen: Vec::new(),
    }
}

/// What a look has shown.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sight {
    /// It holds.
    Holds,
    /// It does not hold, and may yet; why.
    NotYet(String),
    /// It could not be looked at now; why.
    Unseen(String),
    /// It can never hold as it is written; why.
    Never(String),
}

/// Looks at the target of the step; an end, if the look itself was refused.
pub(super) async fn look(
    running: &Running<'_>,
    expression: &str,
) -> Result<Result<Sight, Progress>, AccountError> {
    let account = running.account;
    let Some(target) = running.step.targets.first() else {
        return Ok(Ok(Sight::Never("the plan names no target".to_owned())));
    };
    if target.namespace.as_deref() != Some(account.namespace()) {
        let message = format!("{} lies in another namespace than the run", target.shown());
        return Ok(Err(Progress::failed(Reason::TargetNotAllowed, message)));
    }
    match account.get(&Served::of(target), (&target.name, None)).await {
        Ok(live) => Ok(Ok(sight(running, target, live, expression).await)),
        Err(error) => ended(account, error, Words::Hidden).map(Err),
    }
}

async fn sight(
    running: &Running<'_>,
    target: &Target,
    live: Option<Value>,
    expression: &str,
) -> Sight {
    let Some(mut object) = live else {
        return Sight::NotYet(format!("there is no {}", target.shown()));
    };
    // As long as the rest together, and about who wrote what.
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    let parameters = json!(running.plan.parameters);
    let variables = BTreeMap::from([("object", object), ("params", parameters)]);
    let shown = target.shown();
    match running.cel.holds(expression, variables).await {
        Ok(true) => Sight::Holds,
        Ok(false) => Sight::NotYet(format!("{expression} does not hold for {shown}")),
        Err(error @ CelError::Missing(_)) => {
            Sight::NotYet(format!("{expression} does not hold for {shown}: {error}"))
        }
        Err(error) if error.may_pass() => {
            Sight::Unseen(format!("{shown} was not looked at: {error}"))
        }
        Err(error) => Sight::Never(format!("{expression} cannot be asked of {shown}: {error}")),
    }
}
