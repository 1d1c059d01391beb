//! Floor 2: `delete`: one object is deleted, exactly the one that was planned, and the step has come to its end when it is
//! gone. What can be made again as it was is made again if the run is taken back; what cannot says so in the plan.

mod again;

use futures::future::BoxFuture;
use kube::api::PropagationPolicy;
use serde_json::{Value, json};

use super::{
    FIRST_LOOK, Forecast, Planning, Progress, Running, StepKind,
    landing::{Words, ended, granted, obstacle, served},
    manager, next_look, not_wanted,
    veil::Veil,
    write::{Eyes, LOOKS, done_by_others, secret, uid, version},
};
use crate::{
    adapters::kube::account::{Account, AccountError, Deletion, Served, Writing},
    api::v1alpha1::{Propagation, Step, Target as Aim, Undo as WantedUndo},
    domain::{
        digest::Digest,
        plan::{Access, Change, Coverage, Obstacle, Target, Undo, owner},
        reason::Reason,
    },
};

/// The kind.
pub(super) struct Delete;

impl StepKind for Delete {
    fn name(&self) -> &'static str {
        "delete"
    }

    fn is(&self, step: &Step) -> bool {
        step.delete.is_some()
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
        Box::pin(undo(running))
    }
}

async fn plan(step: &Step, planning: &Planning<'_>) -> Result<Forecast, Obstacle> {
    let Some(delete) = &step.delete else {
        return Err(Obstacle::fail(Reason::Invalid, "the step deletes nothing"));
    };
    let (account, aim) = (planning.account, &delete.target);
    let served = served(account, (&aim.api_version, &aim.kind, &aim.name)).await?;
    let rights = [("get", None), ("delete", None)];
    granted(account, &served, &aim.name, &rights).await?;
    let live = existing(account, &served, aim).await?;
    let target = Target {
        api_version: aim.api_version.clone(),
        kind: aim.kind.clone(),
        resource: served.plural().to_owned(),
        namespace: Some(account.namespace().to_owned()),
        name: aim.name.clone(),
        uid: uid(&live).map(str::to_owned),
        access: Access::Writes,
        owner: owner(&live),
    };
    let propagation = delete.propagation.unwrap_or(Propagation::Background);
    let deletion = deletion(&target, None, propagation);
    let tried = account.delete(&served, &aim.name, &deletion, Writing::DryRun);
    tried
        .await
        .map_err(|error| obstacle(account, &error, Words::Shown))?;
    let undo = if step.undo == Some(WantedUndo::None) {
        not_wanted()
    } else {
        again::undo(&live)
    };
    let undo = may_be_made_again(account, &served, aim, undo).await?;
    Ok(Forecast {
        coverage: Coverage::ServerDryRun,
        effect: json!({ "propagation": propagation, "of": of(&live, planning.veil, account) }),
        changes: vec![Change {
            path: String::new(),
            // Who it was; what it was stands in the undo, if that can be kept.
            from: Some(json!({"apiVersion": aim.api_version, "kind": aim.kind, "name": aim.name})),
            to: None,
        }],
        undo,
        seen: dependents(&target, propagation),
        targets: vec![target],
    })
}

/// What of an object is deleted, so that another state of it is another plan: a digest, and of values that nobody may read
/// a digest of what stands for them.
fn of(live: &Value, veil: &Veil, account: &Account) -> String {
    let text = |name| live.get(name).and_then(Value::as_str).unwrap_or_default();
    let name = live.pointer("/metadata/name").and_then(Value::as_str);
    let hides = secret(text("apiVersion"), text("kind"));
    let cover = hides.then(|| veil.over(account.namespace(), name.unwrap_or_default()));
    let kept = again::manifest(&Eyes(cover).see(live));
    Digest::of(kept.to_string().as_bytes()).to_string()
}

async fn existing(account: &Account, served: &Served, aim: &Aim) -> Result<Value, Obstacle> {
    let live = account.get(served, (&aim.name, None)).await;
    let live = live.map_err(|error| obstacle(account, &error, Words::Shown))?;
    let (kind, name) = (&aim.kind, &aim.name);
    let why = match live {
        Some(live) if live.pointer("/metadata/deletionTimestamp").is_none() => return Ok(live),
        Some(_) => format!("{kind}/{name} is being deleted already"),
        None => format!(
            "there is no {kind}/{name} in namespace {}, the Playbook's own; is the name right?",
            account.namespace()
        ),
    };
    Err(Obstacle::fail(Reason::TargetNotFound, why))
}

/// What the account may not do then is no promise.
async fn may_be_made_again(
    account: &Account,
    served: &Served,
    aim: &Aim,
    wanted: Undo,
) -> Result<Undo, Obstacle> {
    if !matches!(wanted, Undo::Recreate { .. }) {
        return Ok(wanted);
    }
    let may = account.may("create", served, (&aim.name, None)).await;
    let may = may.map_err(|error| obstacle(account, &error, Words::Shown))?;
    Ok(if may {
        wanted
    } else {
        Undo::Nothing {
            why: format!(
                "the account may not create {}, so it is not made again",
                served.plural()
            ),
        }
    })
}

fn dependents(target: &Target, propagation: Propagation) -> Vec<String> {
    let shown = target.shown();
    let what = match propagation {
        Propagation::Orphan => "stays, without its owner",
        Propagation::Background | Propagation::Foreground => {
            "goes with it, and no undo brings that back"
        }
    };
    vec![format!("what {shown} owns {what} ({propagation:?})")]
}

fn deletion(target: &Target, version: Option<&str>, propagation: Propagation) -> Deletion {
    Deletion {
        uid: target.uid.clone().unwrap_or_default(),
        version: version.map(str::to_owned),
        propagation: match propagation {
            Propagation::Background => PropagationPolicy::Background,
            Propagation::Foreground => PropagationPolicy::Foreground,
            Propagation::Orphan => PropagationPolicy::Orphan,
        },
    }
}

/// The target of the plan, if it is one of this run, and how it is deleted.
fn planned<'a>(running: &'a Running<'_>) -> Result<(&'a Target, Propagation), Progress> {
    let targets = &running.step.targets;
    let propagation = running.step.effect.get("propagation").cloned();
    let propagation = propagation.and_then(|word| serde_json::from_value(word).ok());
    let Some((target, propagation)) = targets.first().zip(propagation) else {
        let message = "the effect in the plan is none of delete";
        return Err(Progress::failed(Reason::Invalid, message));
    };
    if target.namespace.as_deref() != Some(running.account.namespace()) || target.uid.is_none() {
        let message = format!("{} is no target of this run", target.shown());
        return Err(Progress::failed(Reason::TargetNotAllowed, message));
    }
    Ok((target, propagation))
}

/// Whether what was planned to be deleted is not there any more, or only until whoever holds it lets it go.
fn is_gone(live: Option<&Value>, target: &Target) -> bool {
    live.is_none_or(|live| {
        uid(live) != target.uid.as_deref() || live.pointer("/metadata/deletionTimestamp").is_some()
    })
}

async fn run(running: &Running<'_>) -> Result<Progress, AccountError> {
    let (target, propagation) = match planned(running) {
        Ok(planned) => planned,
        Err(end) => return Ok(end),
    };
    let planned_of = running.step.effect.get("of").and_then(Value::as_str);
    let planned_of = planned_of.unwrap_or_default();
    let (account, served, shown) = (running.account, Served::of(target), target.shown());
    for look in 0..LOOKS {
        let live = match account.get(&served, (&target.name, None)).await {
            Ok(live) => live,
            Err(error) => return ended(account, error, Words::Shown),
        };
        if look == 0 && running.fresh && is_gone(live.as_ref(), target) {
            return Ok(done_by_others(&shown));
        }
        let Some(live) = live else {
            return Ok(Progress::done(format!("{shown} is gone")));
        };
        if uid(&live) != target.uid.as_deref() {
            let message =
                format!("{shown} is gone; what bears its name now is another and was left alone");
            return Ok(Progress::done(message));
        }
        if live.pointer("/metadata/deletionTimestamp").is_some() {
            return Ok(Progress::Pending {
                after: next_look(running),
                message: going(&shown, &live),
                memory: None,
            });
        }
        if of(&live, running.veil, account) != planned_of {
            let message = format!("{shown} was changed since the plan: it is not deleted");
            return Ok(Progress::failed(Reason::TargetDrifted, message));
        }
        let deletion = deletion(target, version(&live), propagation);
        let writing = Writing::Meant(running.fence);
        let deleted = account.delete(&served, &target.name, &deletion, writing);
        match deleted.await {
            Ok(()) => {}
            // Somebody wrote, or was faster: the next look says.
            Err(error) if matches!(error.code(), Some(404 | 409)) => {}
            Err(error) => return ended(account, error, Words::Shown),
        }
    }
    Ok(Progress::Pending {
        after: FIRST_LOOK,
        message: format!("others write {shown} again and again"),
        memory: None,
    })
}

/// What a deletion waits for.
fn going(shown: &str, live: &Value) -> String {
    let finalizers = live.pointer("/metadata/finalizers");
    let finalizers = finalizers.and_then(Value::as_array).map(Vec::as_slice);
    let finalizers: Vec<&str> = finalizers
        .unwrap_or_default()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    if finalizers.is_empty() {
        format!("{shown} is being deleted")
    } else {
        format!(
            "{shown} is being deleted, and waits for {}",
            finalizers.join(", ")
        )
    }
}

async fn undo(running: &Running<'_>) -> Result<Progress, AccountError> {
    let (target, _) = match planned(running) {
        Ok(planned) => planned,
        Err(end) => return Ok(end),
    };
    let Undo::Recreate { manifest } = &running.step.undo else {
        let message = format!("{} is not taken back like this", running.step.kind);
        return Ok(Progress::failed(Reason::Invalid, message));
    };
    let (account, served, shown) = (running.account, Served::of(target), target.shown());
    let manager = manager(&running.plan.playbook.name);
    for _ in 0..LOOKS {
        let live = match account.get(&served, (&target.name, None)).await {
            Ok(live) => live,
            Err(error) => return ended(account, error, Words::Shown),
        };
        if let Some(live) = live {
            return Ok(stands(running, target, manifest, &live));
        }
        let writing = Writing::Meant(running.fence);
        match account.create(&served, manifest, &manager, writing).await {
            Ok(_) => return Ok(Progress::done(format!("{shown} was made again"))),
            // Somebody was faster, or an earlier request of ours came through unheard.
            Err(error) if error.code() == Some(409) => {}
            Err(error) => return ended(account, error, Words::Shown),
        }
    }
    Ok(Progress::Pending {
        after: FIRST_LOOK,
        message: format!("others make {shown} and delete it again and again"),
        memory: None,
    })
}

/// What bears the name when it is to be made again.
fn stands(running: &Running<'_>, target: &Target, manifest: &Value, live: &Value) -> Progress {
    let shown = target.shown();
    let own = uid(live) == target.uid.as_deref();
    if live.pointer("/metadata/deletionTimestamp").is_some() {
        return Progress::Pending {
            after: next_look(running),
            message: going(&shown, live),
            memory: None,
        };
    }
    if own {
        return Progress::done(format!("{shown} was never deleted"));
    }
    if again::holds(&again::manifest(live), manifest) {
        return Progress::done(format!("{shown} stands there again as it was"));
    }
    let message = format!(
        "somebody else has made another {shown} since; it is left as it is, nothing of it is overwritten"
    );
    Progress::failed(Reason::TargetDrifted, message)
}
