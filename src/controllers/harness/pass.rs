//! Floor 3: one pass over one object, with everything that may befall it: deletion, a closed fence, a panic, a deadline,
//! a failure. It calls the four functions of a kind in their order and turns the end into the next look.

use std::{
    convert::Infallible,
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::FutureExt;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{
    Resource,
    core::PartialObjectMeta,
    runtime::{controller::Action, reflector::ObjectRef},
};
use tracing::Instrument;

use super::{Context, Failure, Kind, report};
use crate::{
    adapters::{
        kube::{
            error::{chain, classify},
            raw,
        },
        metrics::PassOutcome,
    },
    domain::{
        reason::Reason,
        verdict::{ErrorClass, Verdict},
    },
};

/// A pass that takes longer is given up and tried again: a hung connection must not hold a place for ever.
const PASS_DEADLINE: Duration = Duration::from_secs(60);
/// How long to wait where another party will wake us; only a safety net.
const CONFLICT_PAUSE: Duration = Duration::from_secs(5);

/// One request of the queue.
pub(super) async fn reconcile<K: Kind>(
    watched: Arc<PartialObjectMeta<K::Object>>,
    context: Arc<Context<K>>,
) -> Result<Action, Infallible> {
    let meta = watched.meta();
    let span = tracing::info_span!(
        "pass",
        controller = K::NAME,
        object.namespace = meta.namespace.as_deref().unwrap_or_default(),
        object.name = meta.name.as_deref().unwrap_or_default(),
        object.generation = meta.generation,
    );
    async {
        let _running = context
            .pulse
            .running(meta.uid.as_deref().unwrap_or_default());
        let began = Instant::now();
        let (outcome, mut action) = attempt(&context, meta).await;
        if outcome == PassOutcome::Held && !context.held.hold(ObjectRef::from_obj(&*watched)) {
            // The log opened meanwhile, or takes records and cannot tell what is known about this one object.
            let uid = meta.uid.as_deref().unwrap_or_default();
            action = Action::requeue(context.troubles.failed(uid));
        }
        context
            .shared
            .metrics
            .pass(K::NAME, outcome, began.elapsed());
        Ok(action)
    }
    .instrument(span)
    .await
}

/// One pass with everything that may befall it: deletion, a closed fence, an object that does not read, a deadline.
async fn attempt<K: Kind>(context: &Context<K>, meta: &ObjectMeta) -> (PassOutcome, Action) {
    let uid = meta.uid.as_deref().unwrap_or_default();
    if meta.deletion_timestamp.is_some() || context.shared.fence.holds().is_err() {
        return (PassOutcome::Settled, Action::await_change());
    }
    if context.troubles.quarantined(uid, &version(meta)) {
        return (PassOutcome::Quarantined, Action::await_change());
    }
    let loaded = match tokio::time::timeout(PASS_DEADLINE, load(context, meta)).await {
        Ok(loaded) => loaded,
        Err(_elapsed) => Err(timed_out()),
    };
    match loaded {
        Ok(Loaded::Object(object)) => guarded(context, meta, &object).await,
        Ok(Loaded::Gone) => (PassOutcome::Settled, Action::await_change()),
        Ok(Loaded::Undecodable(error)) => (
            PassOutcome::Undecodable,
            report::undecodable(context, meta, &error).await,
        ),
        Err(failure) => after(context, uid, Err(failure)),
    }
}

/// The generation, because our own status writes move the resourceVersion.
fn version(meta: &ObjectMeta) -> String {
    let generation = meta.generation.map(|generation| generation.to_string());
    generation
        .or_else(|| meta.resource_version.clone())
        .unwrap_or_default()
}

fn timed_out() -> Failure {
    let message = format!("the pass did not end within {} s", PASS_DEADLINE.as_secs());
    tracing::warn!("{message}");
    Failure {
        class: ErrorClass::Transient,
        reason: Reason::TimedOut,
        message,
    }
}

enum Loaded<T> {
    Object(T),
    /// Deleted, or another object of that name; its own event follows.
    Gone,
    Undecodable(String),
}

async fn load<K: Kind>(
    context: &Context<K>,
    meta: &ObjectMeta,
) -> Result<Loaded<K::Object>, Failure> {
    let name = meta.name.as_deref().unwrap_or_default();
    let text = raw::get::<K::Object>(&context.shared.client, meta.namespace.as_deref(), name).await;
    let text = text.map_err(|error| {
        let (class, reason) = classify(&error);
        let message = chain(&error);
        tracing::warn!(
            reason = reason.as_str(),
            "the object could not be read: {message}"
        );
        Failure {
            class,
            reason,
            message,
        }
    })?;
    Ok(match text.as_deref().map(K::parse) {
        None => Loaded::Gone,
        Some(Ok(object))
            if object.meta().uid != meta.uid || object.meta().deletion_timestamp.is_some() =>
        {
            Loaded::Gone
        }
        Some(Ok(object)) => Loaded::Object(object),
        Some(Err(error)) => Loaded::Undecodable(error.to_string()),
    })
}

/// The pass itself, with a deadline; a panic in it is this object's alone.
async fn guarded<K: Kind>(
    context: &Context<K>,
    meta: &ObjectMeta,
    object: &K::Object,
) -> (PassOutcome, Action) {
    let uid = meta.uid.as_deref().unwrap_or_default();
    let pass =
        AssertUnwindSafe(tokio::time::timeout(PASS_DEADLINE, pass(context, object))).catch_unwind();
    match pass.await {
        Ok(Ok(verdict)) => after(context, uid, verdict),
        Ok(Err(_elapsed)) => {
            let failure = timed_out();
            // What hung once may hang again: the status must not hold this place for another deadline.
            let telling = report::write_status(context, object, Err(&failure));
            if tokio::time::timeout(CONFLICT_PAUSE, telling).await.is_err() {
                tracing::warn!("the status could not tell it in time");
            }
            after(context, uid, Err(failure))
        }
        Err(panic) => {
            let what = panic
                .downcast_ref::<&str>()
                .map(ToString::to_string)
                .or_else(|| panic.downcast_ref::<String>().cloned());
            let left_alone = context.troubles.panicked(uid, &version(meta));
            tracing::error!(
                panic = what.unwrap_or_default(),
                left_alone,
                "a pass panicked; this is a defect of the operator"
            );
            if !left_alone {
                let delay = context.troubles.failed(uid);
                return (PassOutcome::Panicked, Action::requeue(delay));
            }
            report::quarantine(context, meta).await;
            (PassOutcome::Panicked, Action::await_change())
        }
    }
}

/// From a verdict or a failure to the next look and the metric.
fn after<K: Kind>(
    context: &Context<K>,
    uid: &str,
    ended: Result<Verdict, Failure>,
) -> (PassOutcome, Action) {
    match ended {
        Ok(verdict) => {
            if !matches!(verdict, Verdict::Held { .. }) {
                context.troubles.forget(uid);
            }
            match verdict {
                Verdict::Settled => (PassOutcome::Settled, Action::await_change()),
                Verdict::Held { .. } => (PassOutcome::Held, Action::await_change()),
                Verdict::Stalled { .. } => (PassOutcome::Stalled, Action::await_change()),
                Verdict::Waiting { after, .. } => (
                    PassOutcome::Waiting,
                    after.map_or_else(Action::await_change, Action::requeue),
                ),
            }
        }
        Err(failure) => {
            context.shared.metrics.error(K::NAME, failure.reason);
            match failure.class {
                // The watch brings what we lost against; the pause is only for the case that it does not.
                ErrorClass::Transient if failure.reason == Reason::Conflict => {
                    (PassOutcome::Conflict, Action::requeue(CONFLICT_PAUSE))
                }
                ErrorClass::Transient => (
                    PassOutcome::Transient,
                    Action::requeue(context.troubles.failed(uid)),
                ),
                ErrorClass::Permanent => (PassOutcome::Permanent, Action::await_change()),
                ErrorClass::Bug => (
                    PassOutcome::Bug,
                    Action::requeue(context.troubles.failed(uid)),
                ),
            }
        }
    }
}

/// gather, decide, act, status: the four functions of a kind in their order.
async fn pass<K: Kind>(context: &Context<K>, object: &K::Object) -> Result<Verdict, Failure> {
    let ended = work(context, object).await;
    if let Err(failure) = &ended
        && failure.reason != Reason::Conflict
    {
        tracing::warn!(
            reason = failure.reason.as_str(),
            "the pass failed: {}",
            failure.message
        );
    }
    // Against a newer version nothing true can be said.
    if ended
        .as_ref()
        .is_err_and(|failure| failure.reason == Reason::Conflict)
    {
        return ended.map(|done| context.kind.verdict(&done));
    }
    report::write_status(context, object, ended.as_ref()).await?;
    ended.map(|done| context.kind.verdict(&done))
}

async fn work<K: Kind>(context: &Context<K>, object: &K::Object) -> Result<K::Done, Failure> {
    let facts = context
        .kind
        .gather(object)
        .await
        .map_err(|error| Failure::of(&error))?;
    let decision = context.kind.decide(&facts);
    context
        .kind
        .act(decision, context.shared.fence.as_ref())
        .await
        .map_err(|error| Failure::of(&error))
}
