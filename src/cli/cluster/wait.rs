//! Floor 3: `neuralops wait`: watch a run until it has come as far as one wants. It never asks again and again.

use std::{str::FromStr, time::Duration};

use futures::{StreamExt as _, pin_mut};
use kube::{ResourceExt as _, runtime::watcher};

use super::{
    CommandError,
    access::{Access, PlaceArgs},
    error::refused,
    question::{run_name, standing},
};
use crate::{
    api::v1alpha1::{Orchestration, Outcome, Stage},
    domain::duration,
};

/// What `--help` ends with.
pub const HELP: &str = "\
Goals: `well` (absent) is an end as Succeeded or Planned; `done` is any end; `approved` and `planned` are the run's
conditions of that name; `outcome=X` is an end as X, one of Succeeded, Failed, Compensated, CompensationFailed, Rejected,
Expired, Cancelled, Superseded, Planned, Joined.
Exits with 0 when it is reached, 1 if the run ended otherwise or is not there, 2 if it was asked for wrongly, 124 if it
took too long.

Examples
  neuralops wait -n shop restart-after-bad-rollout-x7k2p
  neuralops wait -n shop restart-after-bad-rollout-x7k2p --for approved --timeout 1h";

/// How long one waits who says nothing.
pub const DEFAULT_TIMEOUT: &str = "10m";

/// Wait for a run.
#[derive(clap::Args, Debug)]
pub struct WaitArgs {
    /// The run: NAME or orch/NAME
    #[arg(value_name = "RUN", value_parser = run_name)]
    run: String,
    #[command(flatten)]
    place: PlaceArgs,
    /// What for: well, done, approved, planned or outcome=X
    #[arg(long = "for", value_name = "GOAL", default_value = "well")]
    goal: Goal,
    /// How long
    #[arg(long, value_name = "DURATION", default_value = DEFAULT_TIMEOUT, value_parser = duration::parse)]
    timeout: Duration,
}

/// How far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// An end that nobody has to look into.
    Well,
    /// Any end.
    Done,
    /// This condition is true.
    Condition(&'static str),
    /// This end.
    Outcome(Outcome),
}

const OUTCOMES: [Outcome; 10] = [
    Outcome::Succeeded,
    Outcome::Failed,
    Outcome::Compensated,
    Outcome::CompensationFailed,
    Outcome::Rejected,
    Outcome::Expired,
    Outcome::Cancelled,
    Outcome::Superseded,
    Outcome::Planned,
    Outcome::Joined,
];

impl FromStr for Goal {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "well" => return Ok(Self::Well),
            "done" => return Ok(Self::Done),
            "approved" => return Ok(Self::Condition("Approved")),
            "planned" => return Ok(Self::Condition("Planned")),
            _ => {}
        }
        let Some(word) = text.strip_prefix("outcome=") else {
            return Err("there are well, done, approved, planned and outcome=X".to_owned());
        };
        let named = |outcome: &&Outcome| format!("{outcome:?}").eq_ignore_ascii_case(word);
        match OUTCOMES.iter().find(named) {
            Some(outcome) => Ok(Self::Outcome(*outcome)),
            None => Err(format!("there are the outcomes {OUTCOMES:?}")),
        }
    }
}

/// What a run says about a goal.
#[derive(Debug, PartialEq, Eq)]
enum Progress {
    Reached,
    Missed,
    Underway,
}

impl Goal {
    fn progress(self, run: &Orchestration) -> Progress {
        let Some(status) = &run.status else {
            return Progress::Underway;
        };
        let ended = status.stage == Some(Stage::Done);
        let reached = match self {
            Self::Done => ended,
            Self::Well => {
                ended && matches!(status.outcome, Some(Outcome::Succeeded | Outcome::Planned))
            }
            Self::Outcome(outcome) => ended && status.outcome == Some(outcome),
            Self::Condition(kind) => status
                .conditions
                .iter()
                .flatten()
                .any(|condition| condition.type_ == kind && condition.status == "True"),
        };
        match (reached, ended) {
            (true, _) => Progress::Reached,
            (false, true) => Progress::Missed,
            (false, false) => Progress::Underway,
        }
    }
}

/// Runs the command; returns what is to be printed.
pub async fn run(args: &WaitArgs) -> Result<String, CommandError> {
    let access = args.place.open().await?;
    let run = until(&access, &args.run, args.goal, args.timeout).await?;
    Ok(told(&run))
}

/// Where a run stands that was waited for.
pub fn told(run: &Orchestration) -> String {
    format!("run {}: {}\n", run.name_any(), standing(run))
}

/// Waits; returns the run as it was then.
pub async fn until(
    access: &Access,
    name: &str,
    goal: Goal,
    timeout: Duration,
) -> Result<Orchestration, CommandError> {
    let mut last = None;
    match tokio::time::timeout(timeout, follow(access, name, goal, &mut last)).await {
        Ok(answer) => answer,
        Err(_) => {
            let last = last.unwrap_or_else(|| "the API server has not shown it yet".to_owned());
            Err(CommandError::TimedOut(format!(
                "the run {name} is not that far after {}: {last}",
                duration::render(timeout)
            )))
        }
    }
}

async fn follow(
    access: &Access,
    name: &str,
    goal: Goal,
    last: &mut Option<String>,
) -> Result<Orchestration, CommandError> {
    let changes = watcher::watch_object(access.objects::<Orchestration>(), name);
    pin_mut!(changes);
    while let Some(change) = changes.next().await {
        let run = match change {
            Ok(Some(run)) => run,
            Ok(None) => return Err(gone(access, name, last.as_deref())),
            Err(error) => match hopeless(error) {
                Some(error) => {
                    let tried = format!("watch the run {name}");
                    return Err(refused(tried, "neuralops-viewer")(error));
                }
                // It begins again by itself; a short pause, for the sake of an API server that has just come up.
                None => {
                    tokio::time::sleep(Duration::from_millis(500)).await;
                    continue;
                }
            },
        };
        let standing = standing(&run);
        match goal.progress(&run) {
            Progress::Reached => return Ok(run),
            Progress::Missed => {
                return Err(CommandError::Negative(format!("run {name}: {standing}")));
            }
            Progress::Underway => *last = Some(standing),
        }
    }
    Err(gone(access, name, last.as_deref()))
}

fn gone(access: &Access, name: &str, last: Option<&str>) -> CommandError {
    let namespace = access.namespace();
    CommandError::Negative(match last {
        Some(last) => format!("the run {name} was deleted while it was waited for; before, {last}"),
        None => format!(
            "there is no run {name} in namespace {namespace}: `kubectl -n {namespace} get orch` lists them"
        ),
    })
}

/// What waiting does not mend: a right that is missing, a kind that is not served.
fn hopeless(error: watcher::Error) -> Option<kube::Error> {
    let answer = match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => error,
        watcher::Error::WatchError(status) => kube::Error::Api(status),
        watcher::Error::NoResourceVersion => return None,
    };
    match &answer {
        kube::Error::Api(status) if matches!(status.code, 401 | 403 | 404) => Some(answer),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn run(status: Value) -> Orchestration {
        let object = json!({"apiVersion": "neuralops.io/v1alpha1", "kind": "Orchestration", "metadata": {"name": "r"}, "spec": {"incident": {}}, "status": status});
        serde_json::from_value(object).expect("a run")
    }

    fn goal(text: &str) -> Goal {
        text.parse().expect("a goal")
    }

    #[test]
    fn each_goal_is_reached_missed_or_underway() {
        let approved = json!([{"type": "Approved", "status": "True", "reason": "X", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}]);
        let waiting = run(json!({"stage": "Approve"}));
        let running = run(json!({"stage": "Execute", "conditions": approved}));
        let failed = run(json!({"stage": "Done", "outcome": "Failed"}));
        let well = run(json!({"stage": "Done", "outcome": "Succeeded", "conditions": approved}));
        use Progress::{Missed, Reached, Underway};
        for (text, expected) in [
            ("well", [Underway, Underway, Missed, Reached]),
            ("done", [Underway, Underway, Reached, Reached]),
            ("approved", [Underway, Reached, Missed, Reached]),
            ("outcome=failed", [Underway, Underway, Reached, Missed]),
            ("outcome=Succeeded", [Underway, Underway, Missed, Reached]),
        ] {
            let got = [&waiting, &running, &failed, &well].map(|run| goal(text).progress(run));
            assert_eq!(got, expected, "{text}");
        }
    }

    #[test]
    fn a_goal_that_nobody_knows_is_refused_with_those_there_are() {
        assert!(
            "finished"
                .parse::<Goal>()
                .expect_err("refused")
                .contains("approved")
        );
        assert!(
            "outcome=Great"
                .parse::<Goal>()
                .expect_err("refused")
                .contains("Superseded")
        );
    }
}
