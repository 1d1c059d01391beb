//! Floor 2: one write on one object, as most step kinds are: planned here by a dry run against the object as it is. What is
//! written is the kind's business; this file knows no kind, and writes nothing that stays.

mod named;
mod run;
mod undo;

use serde_json::{Value, json};

use named::named;
pub(super) use run::{done_by_others, run};
pub(super) use undo::undo;

use super::{
    Forecast, Planning,
    landing::{Words, granted, obstacle, served},
    manager, not_wanted,
    veil::{Cover, veiled},
};
use crate::{
    adapters::kube::account::{AccountError, Body, Served, Writing},
    api::v1alpha1::{Step, Target as Aim, Undo as WantedUndo},
    domain::{
        plan::{
            Access, Change, Coverage, Obstacle, RunRef, Target, Undo, changes, comparable, exact,
            kept, owner,
        },
        reason::Reason,
    },
};

/// How often an object is read again that others write meanwhile.
pub(super) const LOOKS: u32 = 10;
/// A Secret of the core: its values are never seen.
const SECRET: (&str, &str) = ("v1", "Secret");

/// What a step wants, before anything is asked.
pub(super) struct Wish {
    /// Of which object.
    pub(super) aim: Aim,
    /// What the kind needs to do it.
    pub(super) effect: Value,
}

/// A step kind that writes one object.
pub(super) trait Write: Sync {
    /// What this step wants; everything that needs no cluster is checked here.
    fn wish(&self, step: &Step, run: &RunRef) -> Result<Wish, Obstacle>;

    /// What is sent for an effect; nothing, if it is none of this kind.
    fn body(&self, effect: &Value) -> Option<Body>;

    /// The effect on a Secret with its values out of sight.
    fn hidden(&self, effect: &Value, cover: Cover<'_>) -> Value;

    /// The part of the object that is read and written.
    fn subresource(&self) -> Option<&'static str> {
        None
    }

    /// Whether an object that is not there is made.
    fn makes(&self) -> bool {
        false
    }

    /// Whether the object is one on which the kind has an effect.
    fn fits(&self, _aim: &Aim, _live: &Value) -> Result<(), Obstacle> {
        Ok(())
    }
}

/// How an object is looked at: without noise, and without values that nobody may see.
#[derive(Clone, Copy)]
pub(super) struct Eyes<'a>(pub(super) Option<Cover<'a>>);

impl Eyes<'_> {
    pub(super) fn see(self, object: &Value) -> Value {
        let mut seen = comparable(object);
        // The API server leaves a zero out.
        if seen.get("kind").and_then(Value::as_str) == Some("Scale")
            && let Some(spec) = seen.get_mut("spec").and_then(Value::as_object_mut)
        {
            spec.entry("replicas").or_insert_with(|| json!(0));
        }
        self.0.map_or(seen.clone(), |cover| cover.object(&seen))
    }

    fn words(self) -> Words {
        if self.0.is_some() {
            Words::Hidden
        } else {
            Words::Shown
        }
    }
}

pub(super) fn secret(api_version: &str, kind: &str) -> bool {
    (api_version, kind) == SECRET
}

/// Plans a write.
pub(super) async fn plan(
    kind: &dyn Write,
    step: &Step,
    planning: &Planning<'_>,
) -> Result<Forecast, Obstacle> {
    let Wish { aim, effect } = kind.wish(step, planning.run)?;
    let account = planning.account;
    let served = served(account, (&aim.api_version, &aim.kind, &aim.name)).await?;
    let cover = secret(&aim.api_version, &aim.kind)
        .then(|| planning.veil.over(account.namespace(), &aim.name));
    let eyes = Eyes(cover);
    let hidden = cover.map_or_else(|| effect.clone(), |cover| kind.hidden(&effect, cover));
    if exact(&hidden) != hidden {
        let message =
            "a number in it is no integer that every reader reads alike: write it as text";
        return Err(Obstacle::fail(Reason::ParametersInvalid, message));
    }
    let Some(body) = kind.body(&effect) else {
        return Err(not_readable());
    };
    let mut rights = vec![("get", None), ("patch", kind.subresource())];
    if kind.subresource().is_some() {
        rights.push(("get", kind.subresource()));
    }
    granted(account, &served, &aim.name, &rights).await?;
    let outlook = outlook(kind, planning, (&aim, &served), &body, eyes).await?;
    let target = Target {
        api_version: aim.api_version.clone(),
        kind: aim.kind.clone(),
        resource: served.plural().to_owned(),
        namespace: Some(account.namespace().to_owned()),
        name: aim.name.clone(),
        uid: outlook.uid,
        access: Access::Writes,
        owner: outlook.owner,
    };
    let changes = if target.uid.is_some() {
        outlook.changes
    } else {
        made(&hidden)
    };
    Ok(Forecast {
        coverage: Coverage::ServerDryRun,
        undo: undo_of(planning, step, (&target, &served), &changes).await?,
        targets: vec![target],
        effect: hidden,
        changes,
        seen: Vec::new(),
    })
}

/// What an object that is made is in a plan: what its author wrote of it, since the rest is the API server's.
fn made(effect: &Value) -> Vec<Change> {
    vec![Change {
        path: String::new(),
        from: None,
        to: Some(effect.get("manifest").unwrap_or(effect).clone()),
    }]
}

/// How it is taken back; what the account may not do then is no promise.
async fn undo_of(
    planning: &Planning<'_>,
    step: &Step,
    (target, served): (&Target, &Served),
    changes: &[Change],
) -> Result<Undo, Obstacle> {
    let wanted = undo_wanted(step, target, changes);
    if wanted != Undo::Delete {
        return Ok(wanted);
    }
    let account = planning.account;
    let may = account.may("delete", served, (&target.name, None)).await;
    let may = may.map_err(|error| obstacle(account, &error, Words::Shown))?;
    Ok(if may {
        wanted
    } else {
        Undo::Nothing {
            why: format!(
                "the account may not delete {} {}, so what is made stays",
                served.plural(),
                target.name
            ),
        }
    })
}

fn undo_wanted(step: &Step, target: &Target, changes: &[Change]) -> Undo {
    if step.undo == Some(WantedUndo::None) {
        return not_wanted();
    }
    if target.uid.is_none() {
        return Undo::Delete;
    }
    let changed = || changes.iter().filter(|change| change.alters());
    let values = |change: &Change| [&change.from, &change.to].into_iter().flatten().any(veiled);
    let why = if changed().any(values) {
        "values of a Secret are kept nowhere, so they cannot be put back"
    } else if changed()
        .filter_map(|change| change.from.as_ref())
        .any(told_as_text)
    {
        "it changes a number that no plan holds exactly, so it cannot be put back"
    } else {
        return Undo::Restore;
    };
    Undo::Nothing {
        why: why.to_owned(),
    }
}

/// Whether a number in it stands there as text.
fn told_as_text(value: &Value) -> bool {
    value.to_string().contains("{\"$number\":")
}

fn not_readable() -> Obstacle {
    Obstacle::fail(
        Reason::Invalid,
        "the step says nothing that its kind can do",
    )
}

/// What the API server says would come of it.
struct Outlook {
    uid: Option<String>,
    owner: Option<String>,
    changes: Vec<Change>,
}

async fn outlook(
    kind: &dyn Write,
    planning: &Planning<'_>,
    (aim, served): (&Aim, &Served),
    body: &Body,
    eyes: Eyes<'_>,
) -> Result<Outlook, Obstacle> {
    let account = planning.account;
    let refused = |error: &AccountError| {
        let mut told = obstacle(account, error, eyes.words());
        told.message.push_str(advice(error, body));
        told
    };
    let manager = manager(planning.playbook);
    let mut last: Option<(Option<String>, AccountError)> = None;
    for _ in 0..LOOKS {
        let live = account.get(served, (&aim.name, None)).await;
        let live = live.map_err(|error| refused(&error))?;
        let part = part(kind, planning, (aim, served), live.as_ref()).await?;
        let version = part.as_ref().and_then(version).map(str::to_owned);
        // Refused on this very object: nobody wrote between the two requests.
        if let Some((_, error)) = last.as_ref().filter(|(at, _)| *at == version) {
            return Err(refused(error));
        }
        let bound = part.as_ref().map_or(body.clone(), |part| bound(body, part));
        let name = (aim.name.as_str(), kind.subresource());
        let written = account.patch(served, name, &bound, &manager, Writing::DryRun);
        match written.await {
            Ok(after) => {
                let before = part.as_ref().map_or(json!({}), |part| eyes.see(part));
                let after = eyes.see(&after);
                let mut told = changes(&before, &after);
                told.extend(kept(&before, &after, &named(body), &told));
                return Ok(Outlook {
                    uid: live.as_ref().and_then(uid).map(str::to_owned),
                    owner: live.as_ref().and_then(owner),
                    changes: told,
                });
            }
            Err(error) if crossed(&error) => last = Some((version, error)),
            Err(error) => return Err(refused(&error)),
        }
    }
    let message = format!(
        "{}/{} is written by others again and again, so that no dry run is about what was read",
        aim.kind, aim.name
    );
    Err(Obstacle::unknown(Reason::DryRunUnavailable, message))
}

/// What to do about a refusal whose words do not say so.
fn advice(error: &AccountError, body: &Body) -> &'static str {
    match (error.code(), body) {
        (Some(409), Body::Apply { force: false, .. }) => {
            "; leave the field to its owner, or take it over with force: true"
        }
        (Some(422), Body::Json(_)) => {
            "; if nothing else is named, one of its operations finds no such place, or its test fails: compare the paths with the object"
        }
        (Some(415), Body::Strategic(_)) => {
            "; a Strategic patch works on kinds of Kubernetes itself only: use Merge or Json"
        }
        _ => "",
    }
}

/// What of the object is written, as it is; nothing, if it is to be made.
async fn part(
    kind: &dyn Write,
    planning: &Planning<'_>,
    (aim, served): (&Aim, &Served),
    live: Option<&Value>,
) -> Result<Option<Value>, Obstacle> {
    let account = planning.account;
    let Some(live) = live else {
        if !kind.makes() {
            return Err(absent(aim, account.namespace()));
        }
        granted(account, served, &aim.name, &[("create", None)]).await?;
        return Ok(None);
    };
    present(aim, live)?;
    kind.fits(aim, live)?;
    let Some(subresource) = kind.subresource() else {
        return Ok(Some(live.clone()));
    };
    let part = account.get(served, (&aim.name, Some(subresource))).await;
    let part = part.map_err(|error| obstacle(account, &error, Words::Shown))?;
    part.map(Some).ok_or_else(|| cannot(aim, subresource))
}

fn present(aim: &Aim, live: &Value) -> Result<(), Obstacle> {
    if live.pointer("/metadata/deletionTimestamp").is_some() {
        let message = format!("{}/{} is being deleted", aim.kind, aim.name);
        return Err(Obstacle::fail(Reason::TargetNotFound, message));
    }
    Ok(())
}

pub(super) fn absent(aim: &Aim, namespace: &str) -> Obstacle {
    let message = format!(
        "there is no {}/{} in namespace {namespace}, the Playbook's own; is the name right?",
        aim.kind, aim.name
    );
    Obstacle::fail(Reason::TargetNotFound, message)
}

fn cannot(aim: &Aim, subresource: &str) -> Obstacle {
    let message = format!(
        "a {} has no {subresource}: name an object that has, or use patch",
        aim.kind
    );
    Obstacle::fail(Reason::TargetNotAllowed, message)
}

pub(super) fn uid(object: &Value) -> Option<&str> {
    object.pointer("/metadata/uid").and_then(Value::as_str)
}

pub(super) fn version(object: &Value) -> Option<&str> {
    let version = object.pointer("/metadata/resourceVersion");
    version.and_then(Value::as_str)
}

/// The write, bound to exactly the object that was read.
pub(super) fn bound(body: &Body, live: &Value) -> Body {
    let (uid, version) = (uid(live), version(live));
    let with = |patch: &Value| {
        let mut patch = patch.clone();
        if let Some(fields) = patch.as_object_mut() {
            let metadata = fields.entry("metadata").or_insert_with(|| json!({}));
            if let Some(metadata) = metadata.as_object_mut() {
                metadata.insert("uid".to_owned(), json!(uid));
                metadata.insert("resourceVersion".to_owned(), json!(version));
            }
        }
        patch
    };
    match body {
        Body::Merge(patch) => Body::Merge(with(patch)),
        Body::Strategic(patch) => Body::Strategic(with(patch)),
        Body::Apply { manifest, force } => Body::Apply {
            manifest: with(manifest),
            force: *force,
        },
        Body::Json(operations) => {
            let mut bound = vec![
                json!({"op": "test", "path": "/metadata/uid", "value": uid}),
                json!({"op": "test", "path": "/metadata/resourceVersion", "value": version}),
            ];
            bound.extend(operations.as_array().cloned().unwrap_or_default());
            Body::Json(Value::Array(bound))
        }
    }
}

/// Whether a refusal may only mean that the object is not any more what was read: a `test` that fails is a 422.
pub(super) fn crossed(error: &AccountError) -> bool {
    matches!(error.code(), Some(404 | 409 | 422))
}

#[cfg(test)]
mod tests;
