//! Floor 3: what is said about a pass: the status, if it differs, and an event for a changed Ready; for an object that
//! fits no type or that the operator fails on, the same without its type.

use k8s_openapi::{
    api::core::v1::ObjectReference,
    apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta},
};
use kube::{Resource, runtime::controller::Action};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Context, Failure, Kind};
use crate::{
    adapters::{
        clock,
        kube::{error::chain, raw, status},
        metrics::WriteOutcome,
    },
    api::conditions::{self, ConditionStatus, ConditionType, Draft},
    domain::{reason::Reason, verdict::ErrorClass},
};

/// Writes the status if it differs, and tells a changed Ready as an event.
pub(super) async fn write_status<K: Kind>(
    context: &Context<K>,
    object: &K::Object,
    ended: Result<&K::Done, &Failure>,
) -> Result<(), Failure> {
    let wanted = context.kind.status(object, ended);
    let current = K::current(object);
    if context.shared.fence.holds().is_err() {
        return Ok(());
    }
    // Owed before it is asked for: the event may come before the answer.
    let uid = object.meta().uid.clone().unwrap_or_default();
    context.pulse.owes(&uid);
    let written =
        status::write::<K::Object, _>(&context.shared.client, object, current, &wanted).await;
    if !matches!(written, Ok(true)) {
        context.pulse.owes_not(&uid);
    }
    match written {
        Ok(false) => context
            .shared
            .metrics
            .status_write(K::NAME, WriteOutcome::Unchanged),
        Ok(true) => {
            context
                .shared
                .metrics
                .status_write(K::NAME, WriteOutcome::Written);
            if let Some(ready) = changed(
                current.map(K::conditions).unwrap_or_default(),
                K::conditions(&wanted),
            ) {
                tracing::info!(
                    status = ready.status,
                    reason = ready.reason,
                    "Ready is {}: {}",
                    ready.status,
                    ready.message
                );
                tell(context, object.meta(), ready).await;
            }
        }
        Err(error) => {
            context
                .shared
                .metrics
                .status_write(K::NAME, WriteOutcome::Failed);
            // Gone: there is nobody left to tell.
            if matches!(&error, status::StatusError::Patch { source, .. } if matches!(source.as_ref(), kube::Error::Api(answer) if answer.is_not_found()))
            {
                return Ok(());
            }
            let failure = Failure::of(&error);
            if failure.class != ErrorClass::Transient {
                tracing::error!(
                    reason = failure.reason.as_str(),
                    "a status is refused: {}",
                    failure.message
                );
            }
            return Err(failure);
        }
    }
    Ok(())
}

/// The Ready condition, if it says something else than before.
fn changed<'a>(before: &[Condition], after: &'a [Condition]) -> Option<&'a Condition> {
    let ready = after
        .iter()
        .find(|condition| condition.type_ == ConditionType::Ready.as_str())?;
    let same = before.iter().any(|old| {
        old.type_ == ready.type_ && old.status == ready.status && old.reason == ready.reason
    });
    (!same).then_some(ready)
}

async fn tell<K: Kind>(context: &Context<K>, meta: &ObjectMeta, ready: &Condition) {
    let Some(reason) = Reason::ALL
        .iter()
        .find(|reason| reason.as_str() == ready.reason)
    else {
        return;
    };
    if context.shared.fence.holds().is_err() {
        return;
    }
    let warning = ready.status != "True";
    context
        .shared
        .events
        .publish(
            &reference::<K>(meta),
            warning,
            *reason,
            "Reconcile",
            &ready.message,
        )
        .await;
}

fn reference<K: Kind>(meta: &ObjectMeta) -> ObjectReference {
    ObjectReference {
        api_version: Some(K::Object::api_version(&()).into_owned()),
        kind: Some(K::Object::kind(&()).into_owned()),
        name: meta.name.clone(),
        namespace: meta.namespace.clone(),
        uid: meta.uid.clone(),
        resource_version: meta.resource_version.clone(),
        field_path: None,
    }
}

/// An object that does not fit its type: a log line, an event and a condition, once for each version, and no loop.
pub(super) async fn undecodable<K: Kind>(
    context: &Context<K>,
    meta: &ObjectMeta,
    error: &str,
) -> Action {
    let version = meta.resource_version.clone().unwrap_or_default();
    let uid = meta.uid.as_deref().unwrap_or_default();
    if context.troubles.report_undecodable(uid, &version) {
        let message =
            format!("the object does not fit its kind: {error}; the CRD or the object was altered");
        tracing::warn!("{message}");
        stall(context, meta, Reason::Undecodable, message).await;
    }
    Action::await_change()
}

pub(super) async fn quarantine<K: Kind>(context: &Context<K>, meta: &ObjectMeta) {
    let message = "the operator failed on this object three times by a defect of its own and leaves it alone until it changes; see the operator's log".to_owned();
    stall(context, meta, Reason::InternalError, message).await;
}

/// What can be read of any object.
#[derive(Deserialize)]
struct Outline {
    metadata: ObjectMeta,
    #[serde(default)]
    status: Value,
}

/// Says Stalled without the object's type, because the type is what failed, and leaves all else in the status alone.
async fn stall<K: Kind>(context: &Context<K>, meta: &ObjectMeta, reason: Reason, message: String) {
    let name = meta.name.as_deref().unwrap_or_default();
    let text = raw::get::<K::Object>(&context.shared.client, meta.namespace.as_deref(), name).await;
    let Some(live) = text
        .ok()
        .flatten()
        .and_then(|text| serde_json::from_str::<Outline>(&text).ok())
    else {
        return;
    };
    let old: Vec<Condition> = live
        .status
        .get("conditions")
        .and_then(|list| serde_json::from_value(list.clone()).ok())
        .unwrap_or_default();
    let drafts = [
        (ConditionType::Ready, ConditionStatus::False),
        (ConditionType::Stalled, ConditionStatus::True),
    ]
    .map(|(kind, status)| Draft::new(kind, status, reason, message.as_str()));
    let mut conditions =
        conditions::merge(&old, drafts.into(), live.metadata.generation, clock::now());
    let said = |old: &Condition| conditions.iter().any(|new| new.type_ == old.type_);
    let others: Vec<Condition> = old.iter().filter(|old| !said(old)).cloned().collect();
    conditions.extend(others);
    let mut wanted = live.status.as_object().cloned().unwrap_or_default();
    wanted.insert("observedGeneration".into(), json!(live.metadata.generation));
    wanted.insert("conditions".into(), json!(conditions));
    // Asked here and not above: whoever was paused while reading must not write.
    if context.shared.fence.holds().is_err() {
        return;
    }
    let wanted = Value::Object(wanted);
    let client = &context.shared.client;
    match status::write_value::<K::Object>(client, &live.metadata, &live.status, &wanted).await {
        Ok(true) => {
            if let Some(ready) = changed(&old, &conditions) {
                tell(context, meta, ready).await;
            }
        }
        Ok(false) => {}
        Err(error) => tracing::warn!(error = %chain(&error), "could not write the condition"),
    }
}
