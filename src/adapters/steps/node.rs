//! Floor 2: nodes, the only targets that lie in no namespace, and the mark on them that keeps new pods away. Shared by the
//! kinds that act on nodes; what they do besides is theirs.

use serde_json::{Value, json};

use super::{
    FIRST_LOOK, Planning, Progress, Running,
    landing::{Words, ended, granted, obstacle},
    manager,
    write::{LOOKS, bound, crossed, done_by_others, uid, version},
};
use crate::{
    adapters::kube::account::{AccountError, Body, Served, Writing},
    domain::{
        names::is_dns_name,
        plan::{Access, Change, Obstacle, PlannedStep, Target, owner},
        reason::Reason,
    },
};

/// Where the mark stands.
const MARK: &str = "/spec/unschedulable";

fn nodes() -> Served {
    Served::core("Node", "nodes", false)
}

/// A node as a step finds it.
pub(super) struct Found {
    pub(super) target: Target,
    /// Whether it takes no new pods, once the steps before have done what they are planned to do.
    pub(super) unschedulable: bool,
}

/// Finds a node, and whether the account may mark it.
pub(super) async fn find(planning: &Planning<'_>, name: &str) -> Result<Found, Obstacle> {
    // It becomes a part of a path.
    if !is_dns_name(name) {
        let message = format!("{name:?} is no name of a node");
        return Err(Obstacle::fail(Reason::TargetNotAllowed, message));
    }
    let account = planning.account;
    granted(account, &nodes(), name, &[("get", None), ("patch", None)]).await?;
    let live = account.get(&nodes(), (name, None)).await;
    let live = live.map_err(|error| obstacle(account, &error, Words::Shown))?;
    let live = live.filter(|live| live.pointer("/metadata/deletionTimestamp").is_none());
    let Some(live) = live else {
        let message = format!("there is no Node {name}, or not for long; is the name right?");
        return Err(Obstacle::fail(Reason::TargetNotFound, message));
    };
    let target = Target {
        api_version: "v1".to_owned(),
        kind: "Node".to_owned(),
        resource: "nodes".to_owned(),
        namespace: None,
        name: name.to_owned(),
        uid: uid(&live).map(str::to_owned),
        access: Access::Writes,
        owner: owner(&live),
    };
    let unschedulable = left_by(planning.earlier, &target).unwrap_or_else(|| marked(&live));
    Ok(Found {
        target,
        unschedulable,
    })
}

/// How the last of these steps that marks the node leaves it.
fn left_by(earlier: &[PlannedStep], target: &Target) -> Option<bool> {
    let mut marks = earlier.iter().rev().filter(|step| {
        let nodes = ["cordon", "uncordon", "drain"].contains(&step.kind.as_str());
        nodes && step.targets.iter().any(|one| one.key() == target.key())
    });
    marks.next().map(|step| step.kind != "uncordon")
}

fn marked(live: &Value) -> bool {
    live.pointer(MARK).and_then(Value::as_bool) == Some(true)
}

fn patch(unschedulable: bool) -> Value {
    json!({"spec": {"unschedulable": unschedulable}})
}

/// What marking it changes, as the API server lets it be; nothing, if it is so already.
pub(super) async fn mark(
    planning: &Planning<'_>,
    found: &Found,
    unschedulable: bool,
) -> Result<Vec<Change>, Obstacle> {
    if found.unschedulable == unschedulable {
        return Ok(Vec::new());
    }
    let account = planning.account;
    let mut tried = patch(unschedulable);
    if let Some(fields) = tried.as_object_mut() {
        // The kubelet writes its node again and again: the dry run is about this one, in whatever version.
        fields.insert("metadata".to_owned(), json!({"uid": found.target.uid}));
    }
    let (kind, body) = (nodes(), Body::Merge(tried));
    let manager = manager(planning.playbook);
    let name = (found.target.name.as_str(), None);
    let tried = account.patch(&kind, name, &body, &manager, Writing::DryRun);
    tried
        .await
        .map_err(|error| obstacle(account, &error, Words::Shown))?;
    let stands = |unschedulable: bool| unschedulable.then_some(Value::Bool(true));
    Ok(vec![Change {
        path: MARK.to_owned(),
        from: stands(found.unschedulable),
        to: stands(unschedulable),
    }])
}

/// The node of a planned step.
pub(super) fn planned<'a>(running: &'a Running<'_>) -> Result<&'a Target, Progress> {
    let target = running.step.targets.first();
    let node = target.filter(|target| {
        target.key() == format!("/nodes//{}", target.name) && target.uid.is_some()
    });
    let message = "the plan names no node";
    node.ok_or_else(|| Progress::failed(Reason::TargetNotAllowed, message))
}

fn state(unschedulable: bool) -> &'static str {
    if unschedulable {
        "unschedulable"
    } else {
        "schedulable"
    }
}

/// Marks the node that was planned, once. Where the step is not to change anything, it must be so already: else somebody has
/// changed it since, and meant it.
pub(super) async fn set(
    running: &Running<'_>,
    unschedulable: bool,
    changes: bool,
) -> Result<Progress, AccountError> {
    let target = match planned(running) {
        Ok(target) => target,
        Err(end) => return Ok(end),
    };
    let (account, shown) = (running.account, target.shown());
    let drifted = |why: String| Ok(Progress::failed(Reason::TargetDrifted, why));
    let manager = manager(&running.plan.playbook.name);
    let mut refused: Option<(Option<String>, AccountError)> = None;
    for look in 0..LOOKS {
        let live = match account.get(&nodes(), (&target.name, None)).await {
            Ok(live) => live.filter(|live| uid(live) == target.uid.as_deref()),
            Err(error) => return ended(account, error, Words::Shown),
        };
        let Some(live) = live else {
            return drifted(format!("{shown} is gone, or another one than was planned"));
        };
        let wanted = state(unschedulable);
        if marked(&live) == unschedulable {
            return if changes && running.fresh && look == 0 {
                Ok(done_by_others(&shown))
            } else {
                Ok(Progress::done(format!("{shown} is {wanted}")))
            };
        }
        if !changes {
            let now = state(!unschedulable);
            return drifted(format!(
                "{shown} was {wanted}, and somebody has made it {now} since: it is left so"
            ));
        }
        let at = version(&live).map(str::to_owned);
        // Refused on this very node: nobody wrote between, somebody forbids it.
        if let Some((before, error)) = refused.take()
            && before == at
        {
            return ended(account, error, Words::Shown);
        }
        let body = bound(&Body::Merge(patch(unschedulable)), &live);
        let name = (target.name.as_str(), None);
        let writing = Writing::Meant(running.fence);
        match account
            .patch(&nodes(), name, &body, &manager, writing)
            .await
        {
            Ok(_) => return Ok(Progress::done(format!("{shown} is {wanted} now"))),
            Err(error) if crossed(&error) => refused = Some((at, error)),
            Err(error) => return ended(account, error, Words::Shown),
        }
    }
    Ok(Progress::Pending {
        after: FIRST_LOOK,
        message: format!("others write {shown} again and again"),
        memory: None,
    })
}

/// The mark as it was, if the step was to change it.
pub(super) async fn set_back(
    running: &Running<'_>,
    unschedulable: bool,
) -> Result<Progress, AccountError> {
    if running.step.changes.is_empty() {
        return Ok(Progress::done("the node was so before the step"));
    }
    if running.refused && !is_ours(running).await? {
        return Ok(Progress::done("the node was never changed by this run"));
    }
    set(running, unschedulable, true).await
}

/// Whether the mark on the node, whatever it says, was last written by this playbook: an answer that was lost may have been
/// followed by a refusal.
pub(super) async fn is_ours(running: &Running<'_>) -> Result<bool, AccountError> {
    let Some(target) = running.step.targets.first() else {
        return Ok(false);
    };
    let live = running.account.get(&nodes(), (&target.name, None)).await?;
    let manager = manager(&running.plan.playbook.name);
    let entries = live
        .as_ref()
        .and_then(|live| live.pointer("/metadata/managedFields"));
    let entries = entries.and_then(Value::as_array).map(Vec::as_slice);
    Ok(entries.unwrap_or_default().iter().any(|entry| {
        entry.get("manager").and_then(Value::as_str) == Some(&manager)
            && entry.pointer("/fieldsV1/f:spec/f:unschedulable").is_some()
    }))
}
