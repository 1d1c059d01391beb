//! Floor 2: a planned write, taken back: every field to what it was, or what was made is deleted. Only what still stands as
//! the step left it is touched; what somebody has changed since is theirs, and is said.

use kube::api::PropagationPolicy;
use serde_json::{Value, json};

use super::{
    Eyes, LOOKS, Write, bound, crossed,
    run::{Found, applied_by, foreign, judge},
    secret, version,
};
use crate::{
    adapters::{
        kube::account::{AccountError, Body, Deletion, Served, Writing},
        steps::{
            FIRST_LOOK, Progress, Running,
            landing::{Words, ended},
            manager, next_look,
        },
    },
    domain::{
        plan::{Change, Stands, Target, Undo, stands},
        reason::Reason,
    },
};

/// Takes a planned write back.
pub(in crate::adapters::steps) async fn undo(
    kind: &dyn Write,
    running: &Running<'_>,
) -> Result<Progress, AccountError> {
    let Some(target) = running.step.targets.first() else {
        let message = "the plan names no target";
        return Ok(Progress::failed(Reason::Invalid, message));
    };
    match &running.step.undo {
        Undo::Restore => restore(kind, running, target).await,
        Undo::Delete => delete(running, target).await,
        Undo::Recreate { .. } | Undo::Nothing { .. } => {
            let message = format!("{} is not taken back like this", running.step.kind);
            Ok(Progress::failed(Reason::Invalid, message))
        }
    }
}

/// Every field to what it was.
async fn restore(
    kind: &dyn Write,
    running: &Running<'_>,
    target: &Target,
) -> Result<Progress, AccountError> {
    let (account, served) = (running.account, Served::of(target));
    let name = (target.name.as_str(), kind.subresource());
    let manager = manager(&running.plan.playbook.name);
    let hides = secret(&target.api_version, &target.kind);
    let cover = hides.then(|| running.veil.over(account.namespace(), &target.name));
    let eyes = Eyes(cover);
    let changes: Vec<Change> = altering(&running.step.changes);
    let back = format!("{} is as it was before", target.shown());
    let mut refused: Option<(Option<String>, AccountError)> = None;
    for _ in 0..LOOKS {
        let live = match account.get(&served, name).await {
            Ok(live) => live,
            Err(error) => return ended(account, error, eyes.words()),
        };
        let seen = live.as_ref().map(|live| eyes.see(live));
        if stands(seen.as_ref(), &changes) == Stands::Before && live.is_some() {
            return Ok(Progress::done(back));
        }
        let found = judge(target, live.as_ref().zip(seen.as_ref()), &changes, &manager);
        let (Found::Done, Some(live)) = (&found, &live) else {
            let ours = changes
                .iter()
                .any(|change| seen.as_ref().is_some_and(|seen| done_at(seen, change)));
            return Ok(left(running, target, found, ours));
        };
        let at = version(live).map(str::to_owned);
        // Refused on this very object: it was no crossing, which is a 422 as well where a `test` fails.
        if let Some((before, error)) = refused.take()
            && before == at
        {
            return ended(account, error, eyes.words());
        }
        let body = bound(&Body::Json(reversed(&changes, live)), live);
        let writing = Writing::Meant(running.fence);
        match account.patch(&served, name, &body, &manager, writing).await {
            Ok(after) if stands(Some(&eyes.see(&after)), &changes) == Stands::Before => {
                return Ok(Progress::done(format!("{} was put back", target.shown())));
            }
            Ok(_) => {
                let message = format!(
                    "the API server made something else of {} than it was before",
                    target.shown()
                );
                return Ok(Progress::failed(Reason::EffectDiffers, message));
            }
            Err(error) if crossed(&error) => refused = Some((at, error)),
            Err(error) => return ended(account, error, eyes.words()),
        }
    }
    Ok(Progress::Pending {
        after: FIRST_LOOK,
        message: format!("others write {} again and again", target.shown()),
        memory: None,
    })
}

/// Whether this field stands as the step would leave it.
fn done_at(seen: &Value, change: &Change) -> bool {
    seen.pointer(&change.path) == change.to.as_ref()
}

/// What stands neither as it was nor as the step left it is somebody else's. An answer can be lost: that every attempt was
/// refused says that nothing was written only where nothing of it is to be seen (`ours`).
fn left(running: &Running<'_>, target: &Target, found: Found, ours: bool) -> Progress {
    if running.refused && !ours {
        let message = format!("{} was never changed by this run", target.shown());
        return Progress::done(message);
    }
    let why = match found {
        Found::Drifted(why) => why,
        Found::Done | Found::ToDo | Found::Made => format!("{} is gone", target.shown()),
    };
    let why = why.replace("since the plan", "since");
    Progress::failed(
        Reason::TargetDrifted,
        format!("{why}; it is left as it is, nothing of it is overwritten"),
    )
}

fn altering(changes: &[Change]) -> Vec<Change> {
    changes
        .iter()
        .filter(|change| change.alters())
        .cloned()
        .collect()
}

/// What leads back, one operation a field.
fn reversed(changes: &[Change], live: &Value) -> Value {
    let operations = changes.iter().map(|change| match &change.from {
        None => json!({"op": "remove", "path": change.path}),
        Some(from) if live.pointer(&change.path).is_some() => {
            json!({"op": "replace", "path": change.path, "value": from})
        }
        Some(from) => json!({"op": "add", "path": change.path, "value": from}),
    });
    Value::Array(operations.collect())
}

/// What was made is deleted, if nobody else has written to it since.
async fn delete(running: &Running<'_>, target: &Target) -> Result<Progress, AccountError> {
    let (account, served) = (running.account, Served::of(target));
    let shown = target.shown();
    let manager = manager(&running.plan.playbook.name);
    let waits = |message| Progress::Pending {
        after: next_look(running),
        message,
        memory: None,
    };
    let mut refused: Option<(Option<String>, AccountError)> = None;
    for _ in 0..LOOKS {
        let live = match account.get(&served, (&target.name, None)).await {
            Ok(live) => live,
            Err(error) => return ended(account, error, Words::Shown),
        };
        let Some(live) = live else {
            return Ok(Progress::done(format!("{shown} is not there")));
        };
        if live.pointer("/metadata/deletionTimestamp").is_some() {
            return Ok(waits(format!("{shown} is being deleted")));
        }
        if foreign(&live, &manager) {
            let why = format!("somebody else has written to {shown} since it was made");
            let ours = applied_by(&live, &manager);
            return Ok(left(running, target, Found::Drifted(why), ours));
        }
        let at = version(&live).map(str::to_owned);
        // Refused on this very object: nobody wrote between, somebody forbids it.
        if let Some((before, error)) = refused.take()
            && before == at
        {
            return ended(account, error, Words::Shown);
        }
        let writing = Writing::Meant(running.fence);
        let deletion = Deletion {
            uid: super::uid(&live).unwrap_or_default().to_owned(),
            version: at.clone(),
            propagation: PropagationPolicy::Background,
        };
        match account
            .delete(&served, &target.name, &deletion, writing)
            .await
        {
            Ok(()) => return Ok(waits(format!("{shown} is being deleted"))),
            Err(error) if crossed(&error) => refused = Some((at, error)),
            Err(error) => return ended(account, error, Words::Shown),
        }
    }
    Ok(waits(format!("others write {shown} again and again")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field_is_led_back_to_what_it_was() {
        let change = |path: &str, from: Option<Value>, to: Option<Value>| Change {
            path: path.to_owned(),
            from,
            to,
        };
        let changes = [
            change("/spec/a", Some(json!(1)), Some(json!(2))),
            change("/spec/b", None, Some(json!(3))),
            change("/spec/c", Some(json!(4)), None),
            change("/spec/d", Some(json!(5)), Some(json!(5))),
        ];
        let live = json!({"spec": {"a": 2, "b": 3, "d": 5}});
        let back = reversed(&altering(&changes), &live);
        assert_eq!(
            back,
            json!([
                {"op": "replace", "path": "/spec/a", "value": 1},
                {"op": "remove", "path": "/spec/b"},
                {"op": "add", "path": "/spec/c", "value": 4},
            ])
        );
    }
}
