//! Floor 2: the TrustPolicies of the cluster, made ready: each is read once for each version of itself and of the
//! ConfigMaps it names. Everybody sees the same ones, and is woken when trust changes. It trusts nobody by itself; a
//! policy that cannot be read stands here all the same, and refuses.

mod mirror;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::{Stream, StreamExt as _, stream};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client, Resource as _, ResourceExt as _, core::DeserializeGuard, runtime::watcher,
};
use tokio::{sync::watch, time::Instant};

use self::mirror::Mirror;
use crate::{
    adapters::{
        kube::error::chain,
        verify::{ConfigMaps, PreparedPolicy},
    },
    api::v1alpha1::{ConfigMapKeyRef, TrustPolicy, TrustPolicySpec},
    domain::trust::Examiner as _,
};

/// How long the controllers wait for the first listing before they begin: without it every Playbook would be told that
/// nobody is trusted, and a moment later the contrary.
const SETTLING: Duration = Duration::from_secs(10);

/// Before a watch is begun anew.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a watch may fail before what it told last counts no more.
const PATIENCE: Duration = Duration::from_secs(60);

/// A TrustPolicy as it stands, made ready.
pub struct StandingPolicy {
    /// Which object it is: a name can come again.
    pub uid: String,
    /// With its keys and root, or with what it lacks.
    pub prepared: PreparedPolicy,
}

impl StandingPolicy {
    /// Whether it is this version of this object.
    pub fn is(&self, name: &str, uid: &str, generation: Option<i64>) -> bool {
        let policy = self.prepared.policy();
        policy.name == name && self.uid == uid && policy.generation == generation
    }
}

/// All TrustPolicies at one moment, by name.
pub type Snapshot = Arc<[Arc<StandingPolicy>]>;

/// A hold on the policies, for everybody who verifies.
#[derive(Clone)]
pub struct Policies {
    shown: watch::Receiver<Option<Snapshot>>,
}

impl Policies {
    /// All of them; none before they have been listed once.
    pub fn current(&self) -> Option<Snapshot> {
        self.shown.borrow().clone()
    }

    /// Changes whenever somebody is trusted who was not, or not any more.
    pub fn changes(&self) -> watch::Receiver<Option<Snapshot>> {
        self.shown.clone()
    }

    /// Waits until they have been listed once; not for ever, as objects have to be told what is going on.
    pub async fn settled(&self) {
        let mut shown = self.shown.clone();
        let listed = shown.wait_for(Option::is_some);
        // An error means that the watch has ended, and with it the process.
        let _ = tokio::time::timeout(SETTLING, listed).await;
    }
}

/// The watch that keeps the policies, before it runs.
pub struct PolicyWatch {
    client: Client,
    namespace: String,
    shown: watch::Sender<Option<Snapshot>>,
}

/// A hold on the policies, and the watch that keeps them; ConfigMaps are read in this namespace alone.
pub fn prepare(client: Client, namespace: String) -> (Policies, PolicyWatch) {
    let (shown, receiver) = watch::channel(None);
    let watch = PolicyWatch {
        client,
        namespace,
        shown,
    };
    (Policies { shown: receiver }, watch)
}

impl PolicyWatch {
    /// Watches for ever; an end means that nobody would hear of a change any more.
    pub async fn run(self) {
        let policies = Api::<DeserializeGuard<TrustPolicy>>::all(self.client.clone());
        let config_maps = Api::<ConfigMap>::namespaced(self.client.clone(), &self.namespace);
        let mut policies = std::pin::pin!(events(policies));
        let mut config_maps = std::pin::pin!(events(config_maps));
        let mut book = Book::default();
        let mut deaf = [None, None];
        loop {
            let given_up = deaf.iter().flatten().min().map(|since| *since + PATIENCE);
            let silence = async {
                match given_up.filter(|end| *end > Instant::now()) {
                    Some(end) => tokio::time::sleep_until(end).await,
                    None => std::future::pending().await,
                }
            };
            let [to_policies, to_config_maps] = &mut deaf;
            tokio::select! {
                event = policies.next() => match event {
                    Some(event) => heard("trustpolicies", to_policies, event, |event| book.policies.hear(event, policy)),
                    None => return,
                },
                event = config_maps.next() => match event {
                    Some(event) => heard("configmaps", to_config_maps, event, |event| book.config_maps.hear(event, texts)),
                    None => return,
                },
                () = silence => {}
            }
            show(&self.shown, &mut book, &deaf);
        }
    }
}

/// What nobody has heard about for too long is not known any more: somebody may have been distrusted meanwhile.
fn show(shown: &watch::Sender<Option<Snapshot>>, book: &mut Book, deaf: &[Option<Instant>]) {
    let since = deaf.iter().flatten().min();
    if since.is_some_and(|since| since.elapsed() >= PATIENCE) {
        book.shown = false;
        if shown.send_if_modified(|shown| shown.take().is_some()) {
            tracing::error!(
                "TrustPolicies or ConfigMaps cannot be watched; no Playbook is trusted before they can"
            );
        }
        return;
    }
    // What was given up comes back with a whole listing, not with the first word.
    let known = shown.borrow().is_some() || since.is_none();
    if let Some(snapshot) = known.then(|| book.turn()).flatten() {
        shown.send_replace(Some(snapshot));
    }
}

type Event<K> = watcher::Event<K>;

/// A watch that lists anew after each failure: one that was only taken up again says nothing until something changes, and
/// nobody would know whether it hears.
fn events<K>(api: Api<K>) -> impl Stream<Item = watcher::Result<Event<K>>> + Send
where
    K: kube::Resource + Clone + std::fmt::Debug + Send + serde::de::DeserializeOwned + 'static,
{
    let anew = move || watcher(api.clone(), watcher::Config::default()).boxed();
    stream::unfold((None, anew), |(current, anew)| async move {
        let mut current = current.unwrap_or_else(&anew);
        let event = current.next().await?;
        if event.is_ok() {
            return Some((event, (Some(current), anew)));
        }
        tokio::time::sleep(PAUSE).await;
        Some((event, (None, anew)))
    })
}

/// Takes an event in, and notes since when there has been no whole word.
fn heard<K>(
    what: &str,
    deaf: &mut Option<Instant>,
    event: watcher::Result<Event<K>>,
    hear: impl FnOnce(Event<K>),
) {
    match event {
        Ok(event) => {
            if !matches!(event, Event::Init | Event::InitApply(_)) {
                *deaf = None;
            }
            hear(event);
        }
        Err(error) => {
            deaf.get_or_insert_with(Instant::now);
            tracing::warn!(
                error = %chain(&error),
                "the watch of {what} is interrupted; it is taken up again"
            );
        }
    }
}

/// What is kept of a TrustPolicy.
struct Told {
    uid: String,
    generation: Option<i64>,
    spec: Result<TrustPolicySpec, String>,
}

fn policy(object: DeserializeGuard<TrustPolicy>) -> Told {
    let meta = object.meta();
    let (uid, generation) = (meta.uid.clone().unwrap_or_default(), meta.generation);
    Told {
        uid,
        generation,
        spec: object.0.map(|policy| policy.spec).map_err(|bad| bad.error),
    }
}

/// What is kept of a ConfigMap.
struct Texts {
    version: String,
    data: BTreeMap<String, String>,
}

fn texts(object: ConfigMap) -> Texts {
    Texts {
        version: object.resource_version().unwrap_or_default(),
        data: object.data.unwrap_or_default(),
    }
}

/// What a prepared policy was made of: the object, its generation, and the versions of the ConfigMaps that it names.
#[derive(Clone, PartialEq, Eq)]
struct MadeOf {
    uid: String,
    generation: Option<i64>,
    config_maps: Vec<Option<String>>,
}

#[derive(Default)]
struct Book {
    policies: Mirror<Told>,
    config_maps: Mirror<Texts>,
    prepared: BTreeMap<String, (MadeOf, Arc<StandingPolicy>)>,
    shown: bool,
}

impl Book {
    /// The policies as they stand now, if that is another trust than before.
    fn turn(&mut self) -> Option<Snapshot> {
        let (Some(policies), Some(config_maps)) = (self.policies.all(), self.config_maps.all())
        else {
            return None;
        };
        let mut changed = !self.shown;
        let mut prepared = BTreeMap::new();
        for (name, told) in policies {
            let made_of = made_of(told, config_maps);
            let standing = match self.prepared.remove(name) {
                Some((before, standing)) if before == made_of => standing,
                _ => {
                    changed = true;
                    Arc::new(ready(name, told, config_maps))
                }
            };
            prepared.insert(name.clone(), (made_of, standing));
        }
        // What is left was deleted.
        changed |= !self.prepared.is_empty();
        self.prepared = prepared;
        self.shown = true;
        changed.then(|| {
            let all = self.prepared.values();
            all.map(|(_, standing)| Arc::clone(standing)).collect()
        })
    }
}

fn ready(name: &str, told: &Told, config_maps: &BTreeMap<String, Texts>) -> StandingPolicy {
    let prepared = match &told.spec {
        Ok(spec) => PreparedPolicy::new(name, told.generation, spec, &Named(config_maps)),
        Err(why) => PreparedPolicy::unreadable(name, told.generation, why),
    };
    StandingPolicy {
        uid: told.uid.clone(),
        prepared,
    }
}

fn made_of(told: &Told, config_maps: &BTreeMap<String, Texts>) -> MadeOf {
    let spec = told.spec.as_ref().ok();
    let references = spec.into_iter().flat_map(references);
    MadeOf {
        uid: told.uid.clone(),
        generation: told.generation,
        config_maps: references
            .map(|reference| config_maps.get(&reference.name))
            .map(|found| found.map(|texts| texts.version.clone()))
            .collect(),
    }
}

/// Every ConfigMap that a policy names.
fn references(spec: &TrustPolicySpec) -> impl Iterator<Item = &ConfigMapKeyRef> {
    let keys = spec.keys.iter().flatten();
    let keys = keys.filter_map(|key| key.config_map_ref.as_ref());
    keys.chain(spec.trusted_root.as_ref().map(|root| &root.config_map_ref))
}

struct Named<'a>(&'a BTreeMap<String, Texts>);

impl ConfigMaps for Named<'_> {
    fn text(&self, reference: &ConfigMapKeyRef) -> Option<String> {
        let texts = self.0.get(&reference.name)?;
        texts.data.get(&reference.key).cloned()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const KEY: &str = include_str!("../../../tests/signing/data/managed-key.pub");

    fn trust_policy(generation: i64, spec: serde_json::Value) -> DeserializeGuard<TrustPolicy> {
        let object = json!({
            "apiVersion": "neuralops.io/v1alpha1", "kind": "TrustPolicy",
            "metadata": {"name": "release", "uid": "1", "generation": generation}, "spec": spec,
        });
        serde_json::from_value(object).unwrap()
    }

    fn config_map(version: &str, text: &str) -> ConfigMap {
        let object = json!({
            "metadata": {"name": "keys", "resourceVersion": version}, "data": {"cosign.pub": text},
        });
        serde_json::from_value(object).unwrap()
    }

    fn by_reference() -> serde_json::Value {
        json!({"keys": [{"name": "a", "configMapRef": {"name": "keys", "key": "cosign.pub"}}]})
    }

    fn listed(
        policies: Vec<DeserializeGuard<TrustPolicy>>,
        config_maps: Vec<ConfigMap>,
    ) -> (Book, Option<Snapshot>) {
        let mut book = Book::default();
        book.policies.hear(Event::Init, policy);
        for object in policies {
            book.policies.hear(Event::InitApply(object), policy);
        }
        book.policies.hear(Event::InitDone, policy);
        assert!(book.turn().is_none(), "before the ConfigMaps are listed");
        book.config_maps.hear(Event::Init, texts);
        for object in config_maps {
            book.config_maps.hear(Event::InitApply(object), texts);
        }
        book.config_maps.hear(Event::InitDone, texts);
        let snapshot = book.turn();
        (book, snapshot)
    }

    fn problems(snapshot: &Snapshot) -> usize {
        snapshot[0].prepared.problems().len()
    }

    #[test]
    fn trust_changes_with_the_policy_and_with_the_config_maps_it_names() {
        let (mut book, snapshot) = listed(vec![trust_policy(1, by_reference())], vec![]);
        assert_eq!(problems(&snapshot.unwrap()), 1, "the ConfigMap is missing");
        book.config_maps
            .hear(Event::Apply(config_map("1", KEY)), texts);
        assert_eq!(problems(&book.turn().unwrap()), 0);
        assert!(book.turn().is_none(), "nothing has changed");
        book.config_maps
            .hear(Event::Apply(config_map("2", "no key")), texts);
        assert_eq!(problems(&book.turn().unwrap()), 1);
        book.config_maps
            .hear(Event::Delete(config_map("2", "")), texts);
        assert_eq!(problems(&book.turn().unwrap()), 1);
        let inline = json!({"keys": [{"name": "a", "publicKey": KEY}]});
        book.policies
            .hear(Event::Apply(trust_policy(2, inline.clone())), policy);
        assert_eq!(problems(&book.turn().unwrap()), 0);
        // Nobody names it any more.
        book.config_maps
            .hear(Event::Apply(config_map("3", KEY)), texts);
        assert!(book.turn().is_none());
        book.policies
            .hear(Event::Delete(trust_policy(2, inline)), policy);
        assert!(book.turn().unwrap().is_empty());
    }

    #[test]
    fn without_any_policy_there_is_an_empty_list_once() {
        let (mut book, snapshot) = listed(vec![], vec![]);
        assert!(snapshot.unwrap().is_empty());
        assert!(book.turn().is_none());
    }

    #[test]
    fn a_policy_that_cannot_be_read_refuses() {
        let bad = trust_policy(1, json!({"keys": "none"}));
        let (_, snapshot) = listed(vec![bad], vec![]);
        let snapshot = snapshot.unwrap();
        assert_eq!(problems(&snapshot), 1);
        let message = &snapshot[0].prepared.problems()[0].message;
        assert!(message.contains("does not fit its kind"), "{message}");
    }

    #[test]
    fn what_cannot_be_watched_for_a_minute_is_not_known_until_it_is_listed_again() {
        let (mut book, snapshot) = listed(vec![], vec![]);
        let (shown, receiver) = watch::channel(snapshot);
        let known = || receiver.borrow().is_some();
        let mut deaf = [Some(Instant::now()), None];
        show(&shown, &mut book, &deaf);
        assert!(known(), "not for a moment's failure");
        deaf[0] = Instant::now().checked_sub(PATIENCE);
        show(&shown, &mut book, &deaf);
        assert!(!known());
        // A listing begins, and is not complete.
        heard("x", &mut deaf[0], Ok(Event::Init), |event| {
            book.policies.hear(event, policy);
        });
        show(&shown, &mut book, &deaf);
        assert!(!known());
        heard("x", &mut deaf[0], Ok(Event::InitDone), |event| {
            book.policies.hear(event, policy);
        });
        show(&shown, &mut book, &deaf);
        assert!(known());
    }
}
