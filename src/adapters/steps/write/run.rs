//! Floor 2: a planned write, done: with preconditions on the object as it was read, and never twice. Whoever comes after a
//! crash finds out here from the object itself whether it has happened; nothing is planned here.

use serde_json::Value;

use super::{Eyes, LOOKS, Write, bound, crossed, secret, uid, version};
use crate::{
    adapters::{
        kube::account::{AccountError, Body, Served, Writing},
        steps::{
            FIRST_LOOK, Progress, Running,
            landing::ended,
            manager,
            veil::{Cover, veiled},
        },
    },
    domain::{
        plan::{Change, Stands, Target, changes, left, stands},
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
        // Without a value in it, there is nothing to be seen: its metadata alone, or that a value goes.
        Some(cover) if veiled(&running.step.effect) => uncovered(kind, running, cover),
        Some(_) | None => Some(running.step.effect.clone()),
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
    let (manager, shown) = (manager(&running.plan.playbook.name), target.shown());
    let mut refused: Option<(Option<String>, AccountError)> = None;
    for look in 0..LOOKS {
        let live = match account.get(&served, name).await {
            Ok(live) => live,
            Err(error) => return ended(account, error, eyes.words()),
        };
        let seen = live.as_ref().map(|live| eyes.see(live));
        let both = live.as_ref().zip(seen.as_ref());
        let found = judge(target, both, &running.step.changes, &manager);
        if look == 0 && running.fresh && is_done(&found, &running.step.changes) {
            return Ok(done_by_others(&shown));
        }
        match found {
            Found::Done => return Ok(Progress::done(format!("{shown} is as planned"))),
            Found::Drifted(why) => return Ok(Progress::failed(Reason::TargetDrifted, why)),
            Found::Made | Found::ToDo => {}
        }
        let version = live.as_ref().and_then(version).map(str::to_owned);
        // Refused on this very object: it was no crossing.
        if let Some((at, error)) = refused.take()
            && at == version
        {
            return ended(account, error, eyes.words());
        }
        let bound = live.as_ref().map_or(body.clone(), |live| bound(body, live));
        let request = (&served, name, &bound, manager.as_str());
        match now(running, &found, request, (seen.as_ref(), eyes)).await? {
            Now::AsApproved => {}
            Now::Crossed(error) => {
                refused = Some((version, error));
                continue;
            }
            Now::Ended(end) => return Ok(end),
        }
        let writing = Writing::Meant(running.fence);
        match account
            .patch(&served, name, &bound, &manager, writing)
            .await
        {
            Ok(after) => {
                let after = (&after, &eyes.see(&after));
                return Ok(written(target, after, running, &manager));
            }
            Err(error) if crossed(&error) => refused = Some((version, error)),
            Err(error) => return ended(account, error, eyes.words()),
        }
    }
    // Whoever writes so often has written elsewhere in the object, or it would have drifted.
    Ok(Progress::Pending {
        after: FIRST_LOOK,
        message: format!("others write {shown} again and again"),
        memory: None,
    })
}

/// What the same write would do now.
enum Now {
    /// What was approved.
    AsApproved,
    /// Others wrote meanwhile.
    Crossed(AccountError),
    /// It cannot be known, or is something else than was approved.
    Ended(Progress),
}

/// The same request on the very same object as a dry run: what is not what was approved is not sent.
async fn now(
    running: &Running<'_>,
    found: &Found,
    (served, name, body, manager): (&Served, (&str, Option<&str>), &Body, &str),
    (seen, eyes): (Option<&Value>, Eyes<'_>),
) -> Result<Now, AccountError> {
    // What is to be made has nothing yet that it could change.
    let (Some(seen), Some(target)) = (seen, running.step.targets.first()) else {
        return Ok(Now::AsApproved);
    };
    let account = running.account;
    let dry = account.patch(served, name, body, manager, Writing::DryRun);
    let now = match dry.await {
        Ok(after) => changes(seen, &eyes.see(&after)),
        Err(error) if crossed(&error) => return Ok(Now::Crossed(error)),
        Err(error) => return ended(account, error, eyes.words()).map(Now::Ended),
    };
    let (shown, drifted) = (target.shown(), Reason::TargetDrifted);
    Ok(match (found, otherwise(&running.step.changes, &now)) {
        (Found::Made, _) if now.is_empty() => {
            Now::Ended(Progress::done(format!("{shown} was made")))
        }
        (Found::Made, _) => Now::Ended(Progress::failed(drifted, not_ours(&shown))),
        (_, None) => Now::AsApproved,
        (_, Some(path)) => {
            let message = format!(
                "the same write would now change something else of {shown} than was approved, at {path}"
            );
            Now::Ended(Progress::failed(drifted, message))
        }
    })
}

/// How an object stands to what is to be done with it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    Done,
    ToDo,
    /// It was to be made, and somebody of this name has.
    Made,
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
        (None, Some((live, _))) if applied_by(live, manager) && !foreign(live, manager) => {
            Found::Made
        }
        (None, Some(_)) => Found::Drifted(not_ours(&shown)),
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

/// Whether what the step is to do has been done.
fn is_done(found: &Found, changes: &[Change]) -> bool {
    match found {
        Found::Made => true,
        Found::Done => changes.iter().any(Change::alters),
        Found::ToDo | Found::Drifted(_) => false,
    }
}

/// What nobody of this run has done is nobody's of this run to take back.
pub(in crate::adapters::steps) fn done_by_others(shown: &str) -> Progress {
    let message = format!(
        "{shown} is already as this step would leave it: somebody else has done it since the plan, and it stays theirs"
    );
    Progress::failed(Reason::DoneByOthers, message)
}

fn not_ours(shown: &str) -> String {
    format!("{shown} was to be made, and somebody else has made it since the plan")
}

/// The first place at which a write would now do something else than was approved.
fn otherwise<'a>(approved: &'a [Change], now: &'a [Change]) -> Option<&'a str> {
    let told = |change: &&Change| change.alters();
    let missing = approved
        .iter()
        .filter(told)
        .find(|change| !now.contains(change));
    let more = now.iter().find(|change| !approved.contains(change));
    missing.or(more).map(|change| change.path.as_str())
}

/// Whether anybody else has written fields of it; what lies in a subresource is the controllers' business.
pub(super) fn foreign(object: &Value, manager: &str) -> bool {
    let entries = object.pointer("/metadata/managedFields");
    let entries = entries.and_then(Value::as_array).map(Vec::as_slice);
    entries.unwrap_or_default().iter().any(|entry| {
        let text = |name| entry.get(name).and_then(Value::as_str).unwrap_or_default();
        text("manager") != manager && text("subresource") != "status"
    })
}

/// Whether these fields were applied under this name; nobody else makes an object under it by accident.
pub(super) fn applied_by(object: &Value, manager: &str) -> bool {
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
            Progress::failed(Reason::EffectDiffers, message)
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
    Progress::failed(Reason::EffectDiffers, message)
}
