//! Floor 3: a reconcile, written once. Each kind supplies gather, decide, act and status; here is what it supplies and
//! how it is watched. `pass` holds one pass and all that may befall it, `report` what is said about it.
//! No business is decided here.

mod pass;
mod report;

use std::{convert::Infallible, fmt::Debug, future::Future, pin::pin, sync::Arc};

use futures::{Stream, StreamExt, stream};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use kube::{
    Client, Resource, ResourceExt,
    core::PartialObjectMeta,
    runtime::{
        WatchStreamExt,
        controller::{Action, Config, applier},
        reflector::{self, ObjectRef, Store},
        watcher,
    },
};
use serde::Serialize;
use tokio::sync::watch;

use super::{backoff::Troubles, held::Held, pulse::Pulse};
use crate::{
    adapters::{
        kube::{
            error::{Classified, chain},
            events::Events,
            scope::{Scope, Watch},
        },
        metrics::Metrics,
    },
    domain::{
        reason::Reason,
        verdict::{ErrorClass, Verdict},
    },
    ports::Leadership,
};

/// What a kind supplies.
pub trait Kind: Send + Sync + 'static {
    /// The object. Its metadata is watched; the whole of it is read for each pass, by itself.
    type Object: Resource<DynamicType = ()> + Clone + Debug + Send + Sync;
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

    /// Reads the object from its text; an error is told as `Undecodable`.
    fn parse(text: &str) -> Result<Self::Object, serde_json::Error>;
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

    /// The watch brought this object, or that it is gone; for those whom it concerns besides this controller. What was
    /// deleted while nobody watched comes in no event.
    fn heard(&self, _meta: &ObjectMeta, _gone: bool) {}

    /// All objects were listed, at first or because the watch was interrupted for long: what is not among them is gone.
    fn listed(&self) {}
}

/// Whose objects are looked at again because something besides them changed.
pub enum Wake<K: Kind> {
    /// Everybody: something changed that all of them depend on.
    All,
    /// This one; nothing happens if there is none of that name.
    One(ObjectRef<PartialObjectMeta<K::Object>>),
}

impl<K: Kind> From<()> for Wake<K> {
    fn from((): ()) -> Self {
        Self::All
    }
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
    /// Where objects are looked at.
    pub scope: Scope,
    /// Events.
    pub events: Events,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Whether this process may act.
    pub fence: Arc<dyn Leadership>,
    /// Whether the transparency log takes records.
    pub recording: watch::Receiver<bool>,
    /// Reconciles at the same time.
    pub concurrency: u16,
}

struct Context<K: Kind> {
    kind: K,
    shared: Shared,
    troubles: Troubles,
    held: Arc<Held<PartialObjectMeta<K::Object>>>,
    pulse: Arc<Pulse>,
}

/// Runs a controller over what is watched until `stop` turns true; passes under way are finished. Each `woken` has objects looked at again that
/// did not change themselves.
pub async fn run<K: Kind>(
    kind: K,
    watched: Watch<PartialObjectMeta<K::Object>>,
    shared: Shared,
    pulse: Arc<Pulse>,
    woken: impl Stream<Item: Into<Wake<K>>> + Send + 'static,
    mut stop: watch::Receiver<bool>,
) {
    let (reader, writer) = reflector::store();
    let concurrency = shared.concurrency;
    shared.metrics.unlisted(K::NAME, true);
    let held = Arc::new(Held::new(shared.recording.clone()));
    let context = Arc::new(Context {
        kind,
        held: Arc::clone(&held),
        shared,
        troubles: Troubles::default(),
        pulse,
    });
    let heard = Arc::clone(&context);
    let count = reader.clone();
    let events = watched
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
    let early = stopped_unfilled(stop.clone(), Arc::clone(&context.pulse));
    let stopped = async move {
        // An error means that whoever could stop us is gone, which is a stop as well.
        let _ = stop.wait_for(|stop| *stop).await;
    };
    let released = held.released().map(Ok::<_, Infallible>);
    let woken = woken_objects(woken, reader.clone()).map(Ok);
    let requests = stream::select(events, stream::select(released, woken));
    let requests = Box::pin(requests.take_until(stopped));
    let config = Config::default().concurrency(concurrency);
    let passes = applier(
        |object, context| Box::pin(pass::reconcile::<K>(object, context)),
        |_, _: &Infallible, _| Action::await_change(),
        Arc::clone(&context),
        reader,
        requests,
        config,
    );
    let mut passes = pin!(passes.take_until(early));
    while let Some(ended) = passes.next().await {
        let metrics = &context.shared.metrics;
        metrics.objects(K::NAME, count.len());
        metrics.backing_off(K::NAME, context.troubles.backing_off());
        if let Err(error) = ended {
            // Almost always: the object was deleted between the event and the pass.
            tracing::debug!(controller = K::NAME, error = %chain(&error), "a request came to nothing");
        }
    }
}

/// The objects to look at, for each time that somebody is woken.
fn woken_objects<K: Kind>(
    woken: impl Stream<Item: Into<Wake<K>>>,
    everybody: Store<PartialObjectMeta<K::Object>>,
) -> impl Stream<Item = ObjectRef<PartialObjectMeta<K::Object>>> {
    woken.flat_map(move |wake| {
        let objects: Vec<_> = match wake.into() {
            Wake::One(object) => vec![object],
            Wake::All => {
                let all = everybody.state();
                all.iter()
                    .map(|object| ObjectRef::from_obj(&**object))
                    .collect()
            }
        };
        stream::iter(objects)
    })
}

/// A stop before the first listing is complete: nothing is under way, and a queue whose watch was stopped would wait
/// for its cache for ever.
async fn stopped_unfilled(mut stop: watch::Receiver<bool>, pulse: Arc<Pulse>) {
    let _ = stop.wait_for(|stop| *stop).await;
    if pulse.filled() {
        std::future::pending::<()>().await;
    }
}

/// Keeps the pulse, tells whom it concerns, and forgets what is gone.
fn hear<K: Kind>(
    context: &Context<K>,
    event: &watcher::Result<watcher::Event<PartialObjectMeta<K::Object>>>,
) {
    match event {
        Ok(watcher::Event::Apply(object)) => {
            context.pulse.heard_of(&object.uid().unwrap_or_default());
            context.kind.heard(object.meta(), false);
        }
        Ok(watcher::Event::InitApply(object)) => {
            context.pulse.listed(object.uid().unwrap_or_default());
            context.kind.heard(object.meta(), false);
        }
        Ok(watcher::Event::Delete(object)) => {
            let uid = object.uid().unwrap_or_default();
            context.pulse.heard_of(&uid);
            context.troubles.forget(&uid);
            context.kind.heard(object.meta(), true);
        }
        Ok(watcher::Event::Init) => context.pulse.listing(),
        // What was deleted while nobody watched is in no event: only the listing tells.
        Ok(watcher::Event::InitDone) => {
            context.troubles.retain(&context.pulse.listing_complete());
            context.shared.metrics.unlisted(K::NAME, false);
            context.kind.listed();
        }
        Err(error) => {
            let error = chain(error);
            tracing::warn!(
                controller = K::NAME,
                error,
                "the watch is interrupted; it is taken up again"
            );
            context.pulse.interrupted(error);
        }
    }
}
