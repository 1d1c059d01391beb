//! Floor 2: what Prometheus says, looked at with an expression. Who is not configured, does not answer or answers what cannot
//! be relied on leaves it unknown, and a plan with something unknown asks nobody.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    adapters::{
        cel::CelError,
        kube::error::{Classified as _, chain},
        prometheus::{Answer, PrometheusError},
        steps::{
            Forecast, Installation, Planning, Running,
            look::{Sight, forecast, unreadable},
        },
    },
    api::v1alpha1::PrometheusCheck,
    domain::{plan::Obstacle, promql, reason::Reason, verdict::ErrorClass},
};

/// What an expression may name.
const VARIABLES: [&str; 2] = ["result", "params"];

/// Plans a query: it is asked once, so that whoever approves knows that it can be.
pub(super) async fn plan(
    planning: &Planning<'_>,
    asked: &PrometheusCheck,
    with_length: impl FnOnce(Value) -> Value,
) -> Result<Forecast, Obstacle> {
    let expression = &asked.expression;
    let compiled = planning.cel.check(expression, &VARIABLES).await;
    compiled.map_err(|error| unreadable(expression, &error))?;
    let values = asked.vars.clone().unwrap_or_default();
    let query = promql::filled(&asked.query, &values)
        .map_err(|error| Obstacle::fail(Reason::QueryInvalid, error.to_string()))?;
    let answer = ask(planning.installation, &query).await.map_err(obstacle)?;
    // What it says now makes no difference; that it can be said does.
    let parameters = json!(planning.parameters);
    let now = holds(planning.cel, answer, parameters, expression).await;
    if let Err(error @ (CelError::Fails(_) | CelError::NoTruth(_))) = now {
        return Err(unreadable(expression, &error));
    }
    let effect = with_length(json!({"query": query, "expression": expression}));
    Ok(forecast(Vec::new(), effect))
}

fn obstacle(error: Unanswered) -> Obstacle {
    match error {
        Unanswered::NotConfigured => Obstacle::unknown(
            Reason::PrometheusNotConfigured,
            "the operator is not told where Prometheus is: whoever runs it sets --prometheus-url",
        ),
        Unanswered::Failed(error) => {
            let (reason, message) = (error.reason(), chain(&error));
            match error.class() {
                ErrorClass::Permanent => Obstacle::fail(reason, message),
                ErrorClass::Transient | ErrorClass::Bug => Obstacle::unknown(reason, message),
            }
        }
    }
}

/// Looks at what Prometheus says now.
pub(super) async fn look(running: &Running<'_>, query: &str, expression: &str) -> Sight {
    let answer = match ask(running.installation, query).await {
        Ok(answer) => answer,
        Err(error) => return Sight::Unseen(obstacle(error).message),
    };
    let series = answer.series.len();
    if let Some(value) = &answer.no_number {
        return Sight::NotYet(format!(
            "the query gives {value}, which is no number to compare; let the query leave it out if that is good"
        ));
    }
    // Of nothing, all of it is so: whoever means that says so.
    let counts = counts(expression);
    if series == 0 && !counts {
        return Sight::NotYet(
            "the query finds no series; if that is good, the expression says so with size(result)"
                .to_owned(),
        );
    }
    // Prometheus promises no order: one of several would be anybody's.
    if series > 1 && !counts && picks_one(expression) {
        return Sight::NotYet(format!(
            "the query finds {series} series, and the expression looks at one of them: let the query aggregate, ask result.all(...), or say how many with size(result)"
        ));
    }
    let parameters = json!(running.plan.parameters);
    match holds(running.cel, answer, parameters, expression).await {
        Ok(true) => Sight::Holds,
        Ok(false) => Sight::NotYet(format!(
            "{expression} does not hold for what the query finds, {series} series"
        )),
        Err(error @ CelError::Missing(_)) => Sight::NotYet(format!(
            "{expression} does not hold for what the query finds, {series} series: {error}"
        )),
        Err(error) if error.may_pass() => Sight::Unseen(error.to_string()),
        Err(error) => Sight::Never(format!("{expression} cannot be asked: {error}")),
    }
}

/// Whether an expression speaks of how many series there are: of the result itself, not of a part of it.
fn counts(expression: &str) -> bool {
    let dense: String = expression.split_whitespace().collect();
    ["size(result)", "result.size()"]
        .iter()
        .any(|count| dense.contains(count))
}

/// Whether it looks at one series by its place.
fn picks_one(expression: &str) -> bool {
    let dense: String = expression.split_whitespace().collect();
    dense.contains("result[")
}

enum Unanswered {
    NotConfigured,
    Failed(PrometheusError),
}

async fn ask(installation: &Installation, query: &str) -> Result<Answer, Unanswered> {
    let prometheus = installation.prometheus.as_ref();
    let prometheus = prometheus.ok_or(Unanswered::NotConfigured)?;
    prometheus.query(query).await.map_err(Unanswered::Failed)
}

async fn holds(
    cel: &crate::adapters::cel::Cel,
    answer: Answer,
    parameters: Value,
    expression: &str,
) -> Result<bool, CelError> {
    let result = Value::Array(answer.series);
    let variables = BTreeMap::from([("result", result), ("params", parameters)]);
    cel.holds(expression, variables).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_counts_the_series_may_have_none() {
        for expression in [
            "size(result) == 0",
            "result.size( ) == 0 || result.all(r, r.value < 1.0)",
            " size( result )>0",
        ] {
            assert!(counts(expression), "{expression}");
        }
        for expression in [
            "size(result.filter(r, r.value > 0.05)) == 0",
            "result.filter(r, r.value > 0.05).size() == 0",
            "result[0].value < 1.0",
            "size(params.name) > 2 && result.all(r, r.value < 1.0)",
        ] {
            assert!(!counts(expression), "{expression}");
        }
        assert!(picks_one("result [0].value < 1.0"));
        assert!(!picks_one("result.all(r, r.value < 1.0)"));
    }
}
