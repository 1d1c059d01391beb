//! Floor 3: a reconcile, written once. Each kind supplies gather, decide, act and status; here is everything that must
//! be the same for all: the fence, deadlines, panics, backoff, the status on every path, metrics and events.
//! No business is decided here.

use std::{
    convert::Infallible,
    fmt::Debug,
    future::Future,
    panic::AssertUnwindSafe,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{FutureExt, StreamExt};
use k8s_openapi::{
    api::core::v1::ObjectReference,
    apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta},
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{ApiResource, DynamicObject},
    core::{DeserializeGuard, error_boundary::InvalidObject},
    runtime::{
        WatchStreamExt,
        controller::{Action, Config, applier},
        reflector::{self, ObjectRef},
        watcher,
    },
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;
use tokio::sync::watch;
use tracing::Instrument;

use super::{backoff::Troubles, pulse::Pulse};
use crate::{
    adapters::{
        clock,
        kube::{
            error::{Classified, chain},
            events::Events,
            status,
        },
        metrics::{Metrics, PassOutcome, WriteOutcome},
    },
    api::conditions::{self, ConditionStatus, ConditionType, Draft},
    domain::{
        reason::Reason,
        verdict::{ErrorClass, Verdict},
    },
    ports::Leadership,
};

/// A pass that takes longer is given up and tried again: a hung connection must not hold a place for ever.
const PASS_DEADLINE: Duration = Duration::from_secs(60);
/// How long to wait where another party will wake us; only a safety net.
const CONFLICT_PAUSE: Duration = Duration::from_secs(5);

/// What a kind supplies.
pub trait Kind: Send + Sync + 'static {
    /// The object, as it is watched.
    type Object: Resource<DynamicType = ()> + DeserializeOwned + Clone + Debug + Send + Sync;
    /// Its status.
    type Status: Serialize + Send;
    /// Everything that a decision needs, the time included.
    type Facts: Send + Sync;
    /// What is to be done.
    type Decision: Send + Sync;
    /// What really happened.
    type Done: Send + Sync;
    /// What can go wrong.
    type Error: Classified;

    /// The name in metrics and logs.
    const NAME: &'static str;

    /// All reads; no decisions.
    fn gather(
        &self,
        object: &Self::Object,
    ) -> impl Future<Output = Result<Self::Facts, Self::Error>> + Send;
    /// Pure: the only place with business branches.
    fn decide(&self, facts: &Self::Facts) -> Self::Decision;
    /// All writes but the status; ordered, idempotent, asking the fence before each.
    fn act(
        &self,
        decision: Self::Decision,
        fence: &dyn Leadership,
    ) -> impl Future<Output = Result<Self::Done, Self::Error>> + Send;
    /// Pure: what the object's status must say, also about a failure.
    fn status(&self, object: &Self::Object, pass: Result<&Self::Done, &Failure>) -> Self::Status;
    /// When to look again.
    fn verdict(&self, done: &Self::Done) -> Verdict;

    /// The status that the object has now.
    fn current(object: &Self::Object) -> Option<&Self::Status>;
    /// The conditions of a status.
    fn conditions(status: &Self::Status) -> &[Condition];
}

/// A failed pass, as a status may tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Whether it is tried again.
    pub class: ErrorClass,
    /// In a word.
    pub reason: Reason,
    /// In a sentence, with its causes.
    pub message: String,
}

impl Failure {
    fn of(error: &impl Classified) -> Self {
        Self {
            class: error.class(),
            reason: error.reason(),
            message: chain(error),
        }
    }
}

/// What every controller shares.
#[derive(Clone)]
pub struct Shared {
    /// The API server.
    pub client: Client,
    /// Events.
    pub events: Events,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Whether this process may act.
    pub fence: Arc<dyn Leadership>,
    /// Reconciles at the same time.
    pub concurrency: u16,
}

struct Context<K> {
    kind: K,
    shared: Shared,
    troubles: Troubles,
    pulse: Arc<Pulse>,
}

/// Runs a controller until `stop` turns true; passes under way are finished.
pub async fn run<K: Kind>(
    kind: K,
    api: Api<DeserializeGuard<K::Object>>,
    shared: Shared,
    pulse: Arc<Pulse>,
    mut stop: watch::Receiver<bool>,
) {
    let (reader, writer) = reflector::store();
    let concurrency = shared.concurrency;
    let context = Arc::new(Context {
        kind,
        shared,
        troubles: Troubles::default(),
        pulse,
    });
    let heard = Arc::clone(&context);
    let count = reader.clone();
    let events = watcher(api, watcher::Config::default())
        .default_backoff()
        .modify(|object| object.meta_mut().managed_fields = None)
        .inspect(move |event| hear(&heard, event))
        .reflect(writer)
        .applied_objects()
        .filter_map(|event| {
            std::future::ready(match event {
                Ok(object) => Some(Ok::<_, Infallible>(ObjectRef::from_obj(&object))),
                // The watcher goes on with backoff; the failure was logged when it was heard.
                Err(_) => None,
            })
        });
    let stopped = async move {
        // An error means that whoever could stop us is gone, which is a stop as well.
        let _ = stop.wait_for(|stop| *stop).await;
    };
    let requests = Box::pin(events.take_until(stopped));
    let config = Config::default().concurrency(concurrency);
    let passes = applier(
        |object, context| Box::pin(reconcile::<K>(object, context)),
        |_, _: &Infallible, _| Action::await_change(),
        Arc::clone(&context),
        reader,
        requests,
        config,
    );
    let mut passes = pin!(passes);
    while let Some(ended) = passes.next().await {
        context.shared.metrics.objects(K::NAME, count.len());
        context
            .shared
            .metrics
            .backing_off(K::NAME, context.troubles.backing_off());
        if let Err(error) = ended {
            // Almost always: the object was deleted between the event and the pass.
            tracing::debug!(controller = K::NAME, error = %chain(&error), "a request came to nothing");
        }
    }
}

/// Keeps the pulse, and forgets what is gone.
fn hear<K: Kind>(
    context: &Context<K>,
    event: &watcher::Result<watcher::Event<DeserializeGuard<K::Object>>>,
) {
    match event {
        Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) => {
            context.pulse.heard_of(&object.uid().unwrap_or_default())
        }
        Ok(watcher::Event::Delete(object)) => {
            let uid = object.uid().unwrap_or_default();
            context.pulse.heard_of(&uid);
            context.troubles.forget(&uid);
        }
        Ok(watcher::Event::Init) => context.pulse.listed(false),
        Ok(watcher::Event::InitDone) => context.pulse.listed(true),
        Err(error) => {
            tracing::warn!(controller = K::NAME, error = %chain(error), "the watch is interrupted; it is taken up again")
        }
    }
}

async fn reconcile<K: Kind>(
    object: Arc<DeserializeGuard<K::Object>>,
    context: Arc<Context<K>>,
) -> Result<Action, Infallible> {
    let meta = object.meta().clone();
    let span = tracing::info_span!(
        "pass",
        controller = K::NAME,
        object.namespace = meta.namespace.as_deref().unwrap_or_default(),
        object.name = meta.name.as_deref().unwrap_or_default(),
        object.generation = meta.generation,
    );
    let uid = meta.uid.clone().unwrap_or_default();
    async {
        let _running = context.pulse.running(&uid);
        let began = Instant::now();
        let (outcome, action) = match &object.0 {
            Ok(object) => attempt(&context, object, &uid).await,
            Err(invalid) => (
                PassOutcome::Undecodable,
                undecodable(&context, invalid, &uid).await,
            ),
        };
        context
            .shared
            .metrics
            .pass(K::NAME, outcome, began.elapsed());
        Ok(action)
    }
    .instrument(span)
    .await
}

/// One pass with everything that may befall it: deletion, a closed fence, a panic, a deadline.
async fn attempt<K: Kind>(
    context: &Context<K>,
    object: &K::Object,
    uid: &str,
) -> (PassOutcome, Action) {
    // The generation, because our own status writes move the resourceVersion.
    let version = object
        .meta()
        .generation
        .map(|generation| generation.to_string())
        .or_else(|| object.resource_version())
        .unwrap_or_default();
    if object.meta().deletion_timestamp.is_some() || context.shared.fence.epoch().is_err() {
        return (PassOutcome::Settled, Action::await_change());
    }
    if context.troubles.quarantined(uid, &version) {
        return (PassOutcome::Quarantined, Action::await_change());
    }
    let pass =
        AssertUnwindSafe(tokio::time::timeout(PASS_DEADLINE, pass(context, object))).catch_unwind();
    match pass.await {
        Ok(Ok(verdict)) => after(context, uid, verdict),
        Ok(Err(_elapsed)) => {
            let failure = Failure {
                class: ErrorClass::Transient,
                reason: Reason::TimedOut,
                message: format!("the pass did not end within {} s", PASS_DEADLINE.as_secs()),
            };
            // What hung once may hang again: the status must not hold this place for another deadline.
            let told =
                tokio::time::timeout(CONFLICT_PAUSE, write_status(context, object, Err(&failure)))
                    .await;
            tracing::warn!(told = told.is_ok(), "{}", failure.message);
            after(context, uid, Err(failure))
        }
        Err(panic) => {
            let what = panic
                .downcast_ref::<&str>()
                .map(ToString::to_string)
                .or_else(|| panic.downcast_ref::<String>().cloned());
            let left_alone = context.troubles.panicked(uid, &version);
            tracing::error!(
                panic = what.unwrap_or_default(),
                left_alone,
                "a pass panicked; this is a defect of the operator"
            );
            if !left_alone {
                return (
                    PassOutcome::Panicked,
                    Action::requeue(context.troubles.failed(uid)),
                );
            }
            quarantine(context, object.meta()).await;
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
            context.troubles.forget(uid);
            match verdict {
                Verdict::Settled => (PassOutcome::Settled, Action::await_change()),
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
    write_status(context, object, ended.as_ref()).await?;
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

/// Writes the status if it differs, and tells a changed Ready as an event.
async fn write_status<K: Kind>(
    context: &Context<K>,
    object: &K::Object,
    ended: Result<&K::Done, &Failure>,
) -> Result<(), Failure> {
    let wanted = context.kind.status(object, ended);
    let current = K::current(object);
    if context.shared.fence.epoch().is_err() {
        return Ok(());
    }
    match status::write::<K::Object, _>(&context.shared.client, object, current, &wanted).await {
        Ok(false) => context
            .shared
            .metrics
            .status_write(K::NAME, WriteOutcome::Unchanged),
        Ok(true) => {
            context
                .shared
                .metrics
                .status_write(K::NAME, WriteOutcome::Written);
            context.pulse.wrote(&object.uid().unwrap_or_default());
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
            return Err(Failure::of(&error));
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
async fn undecodable<K: Kind>(context: &Context<K>, invalid: &InvalidObject, uid: &str) -> Action {
    let version = invalid
        .metadata
        .resource_version
        .clone()
        .unwrap_or_default();
    if context.shared.fence.epoch().is_err() || !context.troubles.report_undecodable(uid, &version)
    {
        return Action::await_change();
    }
    let message = format!(
        "the object does not fit its kind: {}; the CRD or the object was altered",
        invalid.error
    );
    tracing::warn!("{message}");
    stall(context, &invalid.metadata, Reason::Undecodable, message).await;
    Action::await_change()
}

async fn quarantine<K: Kind>(context: &Context<K>, meta: &ObjectMeta) {
    let message = "the operator failed on this object three times by a defect of its own and leaves it alone until it changes; see the operator's log".to_owned();
    stall(context, meta, Reason::InternalError, message).await;
}

/// Says Stalled with the object's own bytes, without its type: the type is what failed.
async fn stall<K: Kind>(context: &Context<K>, meta: &ObjectMeta, reason: Reason, message: String) {
    let resource = ApiResource::erase::<K::Object>(&());
    let api: Api<DynamicObject> = match &meta.namespace {
        Some(namespace) => {
            Api::namespaced_with(context.shared.client.clone(), namespace, &resource)
        }
        None => Api::all_with(context.shared.client.clone(), &resource),
    };
    let Ok(live) = api.get(&meta.name.clone().unwrap_or_default()).await else {
        return;
    };
    let before = live.data.get("status").cloned().unwrap_or_default();
    let old: Vec<Condition> = before
        .get("conditions")
        .and_then(|list| serde_json::from_value(list.clone()).ok())
        .unwrap_or_default();
    let drafts = vec![
        Draft::new(
            ConditionType::Ready,
            ConditionStatus::False,
            reason,
            message.clone(),
        ),
        Draft::new(
            ConditionType::Stalled,
            ConditionStatus::True,
            reason,
            message,
        ),
    ];
    let conditions = conditions::merge(&old, drafts, live.metadata.generation, clock::now());
    let wanted =
        json!({ "observedGeneration": live.metadata.generation, "conditions": conditions });
    match status::write_value::<K::Object>(&context.shared.client, &live.metadata, &before, &wanted)
        .await
    {
        Ok(true) => {
            if let Some(ready) = changed(&old, &conditions) {
                tell(context, meta, ready).await;
            }
        }
        Ok(false) => {}
        Err(error) => tracing::warn!(error = %chain(&error), "could not write the condition"),
    }
}
