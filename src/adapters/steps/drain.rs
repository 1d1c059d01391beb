//! Floor 2: `drain`: a node takes no new pods, and those on it are evicted, as far as disruption budgets let them go. Which
//! pods they are is seen when it is planned and again when it runs; the plan is about the node.

mod pods;

use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::{
    Forecast, Planning, Progress, Running, StepKind,
    landing::{Words, ended, granted, obstacle},
    next_look, node, not_wanted,
};
use crate::{
    adapters::kube::account::{Account, AccountError, Served, Writing},
    api::v1alpha1::{Step, Undo as WantedUndo},
    domain::{
        duration,
        plan::{Coverage, Obstacle, Target, Undo},
        reason::Reason,
    },
};
use pods::{Pod, Rules, Sorted, named, sort};

/// How many pods are told one by one.
const TOLD: usize = 100;
/// And in one sentence.
const NAMED: usize = 5;
/// And in the record of those that go.
const RECORDED: usize = 50;
/// Evicted in one pass: whoever stops the run is heard before the next ones.
const AT_A_TIME: usize = 10;
/// What the API server says of a pod that it will never evict.
const TWO_BUDGETS: &str = "more than one PodDisruptionBudget";

/// The kind.
pub(super) struct Drain;

impl StepKind for Drain {
    fn name(&self) -> &'static str {
        "drain"
    }

    fn is(&self, step: &Step) -> bool {
        step.drain.is_some()
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

    fn undo<'a>(
        &'a self,
        running: &'a Running<'a>,
    ) -> BoxFuture<'a, Result<Progress, AccountError>> {
        Box::pin(back(running))
    }
}

/// Pods of all namespaces.
fn everywhere() -> Served {
    Served::core("Pod", "pods", false)
}

/// What is on the node now, and what becomes of it.
async fn look(account: &Account, node: &str, rules: Rules) -> Result<Sorted, AccountError> {
    let fields = format!("spec.nodeName={node}");
    let pods = account.with_fields(&everywhere(), &fields).await?;
    Ok(sort(&pods, rules))
}

async fn plan(step: &Step, planning: &Planning<'_>) -> Result<Forecast, Obstacle> {
    let Some(drain) = &step.drain else {
        return Err(Obstacle::fail(Reason::Invalid, "the step names no node"));
    };
    let grace = match drain.grace_period.as_deref().map(duration::parse) {
        None => None,
        Some(Ok(grace)) => Some(grace.as_secs()),
        Some(Err(error)) => {
            let message = format!("gracePeriod: {error}");
            return Err(Obstacle::fail(Reason::ParametersInvalid, message));
        }
    };
    let account = planning.account;
    let found = node::find(planning, &drain.node).await?;
    let rights = [("list", None), ("create", Some("eviction"))];
    granted(account, &everywhere(), "", &rights).await?;
    let cordons = !node::mark(planning, &found, true).await?.is_empty();
    let rules = Rules {
        ignore_daemon_sets: drain.ignore_daemon_sets == Some(true),
        delete_empty_dir_data: drain.delete_empty_dir_data == Some(true),
    };
    let sorted = look(account, &drain.node, rules).await;
    let sorted = sorted.map_err(|error| obstacle(account, &error, Words::Shown))?;
    if !sorted.refused.is_empty() {
        return Err(Obstacle::fail(
            Reason::TargetNotAllowed,
            refusal(&found.target, &sorted),
        ));
    }
    let seen = forecast(account, &found.target, &sorted, grace).await?;
    let mut effect = json!({
        "cordons": cordons,
        "evicts": "every pod of the node but the kubelet's own and those of DaemonSets; nothing brings them back to it",
        "ignoreDaemonSets": rules.ignore_daemon_sets,
        "deleteEmptyDirData": rules.delete_empty_dir_data,
    });
    if let (Some(grace), Some(fields)) = (grace, effect.as_object_mut()) {
        fields.insert("gracePeriodSeconds".to_owned(), json!(grace));
    }
    Ok(Forecast {
        coverage: Coverage::ServerDryRun,
        effect,
        // The mark stands in the effect, so that a step before this one may set it as well.
        changes: Vec::new(),
        undo: undo(step, cordons),
        targets: vec![found.target],
        seen,
    })
}

fn undo(step: &Step, cordons: bool) -> Undo {
    if step.undo == Some(WantedUndo::None) {
        return not_wanted();
    }
    if cordons {
        return Undo::Restore;
    }
    Undo::Nothing {
        why: "the node is unschedulable before it, and pods that were evicted are not brought back"
            .to_owned(),
    }
}

/// What would become of each pod, as the API server says now.
async fn forecast(
    account: &Account,
    node: &Target,
    sorted: &Sorted,
    grace: Option<u64>,
) -> Result<Vec<String>, Obstacle> {
    let mut seen = vec![format!(
        "{} has {} to evict; left on it: {} of DaemonSets, {} of the kubelet's own",
        node.shown(),
        pods::count(sorted.evicted.len()),
        sorted.daemons,
        sorted.mirrors
    )];
    for pod in sorted.evicted.iter().take(TOLD) {
        let mut told = format!("evicts {} of {}", pod.shown(), pod.owner);
        if let Err(error) = evict(account, pod, grace, Writing::DryRun).await {
            match held_back(&error) {
                Some(why) => told = format!("{told}; not now: {why}"),
                None if two_budgets(&error) => {
                    let message = format!(
                        "{} has {TWO_BUDGETS}, and the API server evicts no such pod: leave one of them",
                        pod.shown()
                    );
                    return Err(Obstacle::fail(Reason::TargetNotAllowed, message));
                }
                // It went while we looked.
                None if matches!(error.code(), Some(404 | 409)) => continue,
                None => return Err(obstacle(account, &error, Words::Shown)),
            }
        }
        seen.push(told);
    }
    let rest = sorted.evicted.len().saturating_sub(TOLD);
    if rest > 0 {
        seen.push(format!("evicts {rest} more"));
    }
    Ok(seen)
}

async fn evict(
    account: &Account,
    pod: &Pod,
    grace: Option<u64>,
    writing: Writing<'_>,
) -> Result<(), AccountError> {
    let pod = (pod.namespace.as_str(), pod.name.as_str(), pod.uid.as_str());
    account.evict(pod, grace, writing).await
}

/// Why a pod may not go yet, if that is all the API server says.
fn held_back(error: &AccountError) -> Option<String> {
    let cause = |wanted: &str| {
        let mut causes = error.causes().filter(|(reason, _)| *reason == wanted);
        causes.next().map(|(_, message)| message.to_owned())
    };
    match error.code() {
        // Without a cause it is a busy API server.
        Some(429) => cause("DisruptionBudget"),
        Some(403) => cause("NamespaceTerminating"),
        _ => None,
    }
}

/// Whether it never may, for as long as two budgets are about it.
fn two_budgets(error: &AccountError) -> bool {
    error
        .words()
        .is_some_and(|words| words.contains(TWO_BUDGETS))
}

/// The same where nothing may be written any more, because the time of the step is over or the run is stopped: what holds
/// the pod back is told all the same.
async fn why_not(running: &Running<'_>, pod: &Pod, error: &AccountError) -> Option<String> {
    let why = |error: &AccountError| {
        let two = two_budgets(error).then(|| format!("it has {TWO_BUDGETS}"));
        two.or_else(|| held_back(error))
    };
    if !matches!(error, AccountError::Deposed(_)) {
        return why(error);
    }
    let tried = evict(running.account, pod, None, Writing::DryRun).await;
    why(&tried.err()?)
}

fn refusal(node: &Target, sorted: &Sorted) -> String {
    format!(
        "{} is not drained: {}",
        node.shown(),
        named(sorted.refused.iter().cloned(), NAMED)
    )
}

async fn run(running: &Running<'_>) -> Result<Progress, AccountError> {
    let effect = &running.step.effect;
    let flag = |name| effect.get(name).and_then(Value::as_bool);
    let words = ["cordons", "ignoreDaemonSets", "deleteEmptyDirData"].map(flag);
    let [
        Some(cordons),
        Some(ignore_daemon_sets),
        Some(delete_empty_dir_data),
    ] = words
    else {
        let message = "the effect in the plan is none of drain";
        return Ok(Progress::failed(Reason::Invalid, message));
    };
    let node = match node::planned(running) {
        Ok(node) => node,
        Err(end) => return Ok(end),
    };
    // Once it is on record that the node is marked, in whichever attempt, who makes it schedulable wants the step to end.
    match node::set(running, true, cordons && !running.ever).await? {
        Progress::Done { .. } => {}
        other => return Ok(other),
    }
    let rules = Rules {
        ignore_daemon_sets,
        delete_empty_dir_data,
    };
    let sorted = match look(running.account, &node.name, rules).await {
        Ok(sorted) => sorted,
        Err(error) => return ended(running.account, error, Words::Shown),
    };
    if !sorted.refused.is_empty() {
        let message = format!("{}; it stays unschedulable", refusal(node, &sorted));
        return Ok(Progress::failed(Reason::TargetNotAllowed, message));
    }
    if !running.underway {
        return Ok(Progress::Begun {
            message: goes(node, &sorted),
        });
    }
    let waits = match send_away(running, &sorted).await {
        Ok(waits) => waits,
        Err(error) => return ended(running.account, error, Words::Shown),
    };
    if waits.is_empty() {
        return Ok(Progress::done(format!("{} is drained", node.shown())));
    }
    let count = pods::count(waits.len());
    Ok(Progress::Pending {
        after: next_look(running),
        message: format!(
            "{} waits for {count}: {}",
            node.shown(),
            named(waits, NAMED)
        ),
        memory: None,
    })
}

/// Who goes, for the record.
fn goes(node: &Target, sorted: &Sorted) -> String {
    let marked = format!("{} takes no new pods", node.shown());
    if sorted.evicted.is_empty() {
        return format!("{marked}, and has none to evict");
    }
    let pods: Vec<String> = sorted.evicted.iter().map(Pod::shown).collect();
    format!(
        "{marked}; of it go {}: {}",
        pods::count(sorted.evicted.len()),
        named(pods, RECORDED)
    )
}

/// Evicts what may go now, and says what is waited for.
async fn send_away(running: &Running<'_>, sorted: &Sorted) -> Result<Vec<String>, AccountError> {
    let effect = &running.step.effect;
    let grace = effect.get("gracePeriodSeconds").and_then(Value::as_u64);
    let mut waits: Vec<String> = sorted.leaving.iter().map(Pod::shown).collect();
    let mut sent = 0;
    for pod in &sorted.evicted {
        if sent == AT_A_TIME {
            waits.push(pod.shown());
            continue;
        }
        let writing = Writing::Meant(running.fence);
        let told = match evict(running.account, pod, grace, writing).await {
            Ok(()) => {
                sent += 1;
                pod.shown()
            }
            // It is gone, or another of its name; the next look says.
            Err(error) if matches!(error.code(), Some(404 | 409)) => pod.shown(),
            Err(error) => match why_not(running, pod, &error).await {
                Some(why) => format!("{} ({why})", pod.shown()),
                None => return Err(error),
            },
        };
        waits.push(told);
    }
    Ok(waits)
}

/// New pods may come again; those that were evicted live elsewhere by now.
async fn back(running: &Running<'_>) -> Result<Progress, AccountError> {
    if running.step.effect.get("cordons").and_then(Value::as_bool) != Some(true) {
        return Ok(Progress::done("the node was unschedulable before"));
    }
    if running.refused && !running.underway && !node::is_ours(running).await? {
        return Ok(Progress::done("the node was never changed by this run"));
    }
    node::set(running, false, true).await
}
