//! Floor 2: a planned write, done: with preconditions on the object as it was read, and never twice. Whoever comes after a
//! crash finds out here from the object itself whether it has happened; nothing is planned here.

use serde_json::Value;

use super::{Eyes, LOOKS, Write, bound, crossed, secret, uid, version};
use crate::{
    adapters::{
        kube::account::{AccountError, Body, Served, Writing},
        steps::{FIRST_LOOK, Progress, Running, landing::ended, manager, veil::Cover},
    },
    domain::{
        plan::{Change, Stands, Target, left, stands},
        reason::Reason,
    },
};

/// Does a planned write, once.
pub(in crate::adapters::steps) async fn run(
    kind: &dyn Write,
    running: &Running<'_>,
) -> Result<Progress, AccountError> {
    let account = running.account;
    let Some(target) = running.step.targets.first() else {
        return Ok(Progress::failed(
            Reason::Invalid,
            "the plan names no target",
        ));
    };
    if target.namespace.as_deref() != Some(account.namespace()) {
        let message = format!("{} lies in another namespace than the run", target.shown());
        return Ok(Progress::failed(Reason::TargetNotAllowed, message));
    }
    let hides = secret(&target.api_version, &target.kind);
    let cover = hides.then(|| running.veil.over(account.namespace(), &target.name));
    let effect = match cover {
        None => Some(running.step.effect.clone()),
        Some(cover) => uncovered(kind, running, cover),
    };
    let Some(effect) = effect else {
        let message = format!(
            "the values for {} are not those that were approved, or are not at hand",
            target.shown()
        );
        return Ok(Progress::failed(Reason::TargetDrifted, message));
    };
    match kind.body(&effect) {
        Some(body) => write(kind, running, target, &body, Eyes(cover)).await,
        None => {
            let message = format!("the effect in the plan is none of {}", running.step.kind);
            Ok(Progress::failed(Reason::Invalid, message))
        }
    }
}

/// The effect with its values, if they are those that the plan was made with.
fn uncovered(kind: &dyn Write, running: &Running<'_>, cover: Cover<'_>) -> Option<Value> {
    let wish = kind.wish(running.rendered?, &running.plan.run).ok()?;
    (kind.hidden(&wish.effect, cover) == running.step.effect).then_some(wish.effect)
}

async fn write(
    kind: &dyn Write,
    running: &Running<'_>,
    target: &Target,
    body: &Body,
    eyes: Eyes<'_>,
) -> Result<Progress, AccountError> {
    let (account, served) = (running.account, Served::of(target));
    let name = (target.name.as_str(), kind.subresource());
    let manager = manager(&running.plan.playbook.name);
    let drifted = |why: String| Ok(Progress::failed(Reason::TargetDrifted, why));
    let mut refused: Option<(Option<String>, AccountError)> = None;
    for _ in 0..LOOKS {
        let live = match account.get(&served, name).await {
            Ok(live) => live,
            Err(error) => return ended(account, error, eyes.words()),
        };
        let seen = live.as_ref().map(|live| eyes.see(live));
        match judge(
            target,
            live.as_ref().zip(seen.as_ref()),
            &running.step.changes,
            &manager,
        ) {
            Found::Done => return Ok(Progress::done(format!("{} is as planned", target.shown()))),
            Found::Drifted(why) => return drifted(why),
            Found::ToDo => {}
        }
        let version = live.as_ref().and_then(version).map(str::to_owned);
        // Refused on this very object: it was no crossing.
        if let Some((at, error)) = refused.take()
            && at == version
        {
            return ended(account, error, eyes.words());
        }
        let bound = live.as_ref().map_or(body.clone(), |live| bound(body, live));
        let writing = Writing::Meant(running.fence);
        match account
            .patch(&served, name, &bound, &manager, writing)
            .await
        {
            Ok(after) => {
                return Ok(written(
                    target,
                    (&after, &eyes.see(&after)),
                    running,
                    &manager,
                ));
            }
            Err(error) if crossed(&error) => refused = Some((version, error)),
            Err(error) => return ended(account, error, eyes.words()),
        }
    }
    // Whoever writes so often has written elsewhere in the object, or it would have drifted.
    Ok(Progress::Pending {
        after: FIRST_LOOK,
        message: format!("others write {} again and again", target.shown()),
        memory: None,
    })
}

/// How an object stands to what is to be done with it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    Done,
    ToDo,
    Drifted(String),
}

/// `live` is the object as it is and as it is seen.
pub(super) fn judge(
    target: &Target,
    live: Option<(&Value, &Value)>,
    changes: &[Change],
    manager: &str,
) -> Found {
    let shown = target.shown();
    match (&target.uid, live) {
        (None, None) => Found::ToDo,
        (None, Some((live, _))) if applied_by(live, manager) => Found::Done,
        (None, Some(_)) => Found::Drifted(format!(
            "{shown} was to be made, and somebody else has made it since the plan"
        )),
        (Some(_), None) => Found::Drifted(format!("{shown} is gone since the plan")),
        (Some(planned), Some((live, _))) if uid(live) != Some(planned) => Found::Drifted(format!(
            "{shown} is another object of the same name than the one that was planned"
        )),
        (Some(_), Some((live, _))) if live.pointer("/metadata/deletionTimestamp").is_some() => {
            Found::Drifted(format!("{shown} is being deleted"))
        }
        (Some(_), Some((_, seen))) => match stands(Some(seen), changes) {
            Stands::After => Found::Done,
            Stands::Before => Found::ToDo,
            Stands::Elsewhere => Found::Drifted(format!(
                "{shown} was changed since the plan, at {}",
                left(Some(seen), changes).unwrap_or_default()
            )),
        },
    }
}

/// Whether these fields were applied under this name; nobody else makes an object under it by accident.
fn applied_by(object: &Value, manager: &str) -> bool {
    managers(object).any(|(name, operation)| name == manager && operation == "Apply")
}

fn managers(object: &Value) -> impl Iterator<Item = (&str, &str)> {
    let entries = object.pointer("/metadata/managedFields");
    let entries = entries.and_then(Value::as_array).map(Vec::as_slice);
    entries.unwrap_or_default().iter().map(|entry| {
        let text = |name| entry.get(name).and_then(Value::as_str).unwrap_or_default();
        (text("manager"), text("operation"))
    })
}

/// What the API server made of the write, held against what it had said.
fn written(
    target: &Target,
    (after, seen): (&Value, &Value),
    running: &Running<'_>,
    manager: &str,
) -> Progress {
    let shown = target.shown();
    if target.uid.is_none() {
        // Applying has no "only if it is not there": who came between the read and the write has left a name.
        return if managers(after).all(|(name, _)| name == manager) {
            Progress::done(format!("{shown} was made"))
        } else {
            let message =
                format!("somebody else made {shown} at the same moment; both have written to it");
            Progress::failed(Reason::TargetDrifted, message)
        };
    }
    let changes = &running.step.changes;
    if stands(Some(seen), changes) == Stands::After {
        return Progress::done(format!("{shown} was changed as planned"));
    }
    let other = changes
        .iter()
        .find(|change| seen.pointer(&change.path) != change.to.as_ref());
    let message = format!(
        "the API server made something else of {shown} than it had said, at {}",
        other.map_or("", |change| change.path.as_str())
    );
    Progress::failed(Reason::TargetDrifted, message)
}
