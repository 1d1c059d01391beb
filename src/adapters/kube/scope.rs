//! Floor 2: which namespaces the operator works in: all of the cluster, or only those that it was given. What is watched in
//! several of them is heard as one watch over all of them. What lies outside is not asked for.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt::Debug,
    marker::PhantomData,
    mem,
    sync::Arc,
};

use futures::{
    StreamExt as _,
    stream::{self, BoxStream, SelectAll},
};
use k8s_openapi::{NamespaceResourceScope, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{
    Api, Resource,
    core::{DynamicResourceScope, PartialObjectMeta},
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Config, Event, watcher},
    },
};
use serde::de::DeserializeOwned;

/// What a watch over one kind tells.
pub type Watch<K> = BoxStream<'static, watcher::Result<Event<K>>>;

/// The namespaces that the operator works in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope(Arc<BTreeSet<String>>);

impl Scope {
    /// These namespaces; none named: all of the cluster.
    pub fn of(namespaces: impl IntoIterator<Item = String>) -> Self {
        Self(Arc::new(namespaces.into_iter().collect()))
    }

    /// Whether what lies there is the operator's business; without a namespace: what belongs to the whole cluster.
    pub fn covers(&self, namespace: Option<&str>) -> bool {
        self.0.is_empty() || namespace.is_some_and(|namespace| self.0.contains(namespace))
    }

    /// One watch over the metadata of a kind; its first listing is complete when every namespace was listed.
    pub fn watch<K>(&self, all: Api<PartialObjectMeta<K>>) -> Watch<PartialObjectMeta<K>>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + Send
            + Sync
            + 'static,
    {
        if self.0.is_empty() {
            return everywhere(all);
        }
        let part = |namespace: &String| Part {
            watch: everywhere(all.clone().constrain(namespace)),
            names: Names::of(namespace),
        };
        joined(self.0.iter().map(part).collect())
    }

    /// The watches over a kind side by side, for whoever needs no listing.
    pub fn watches<K>(&self, all: Api<K>, config: Config) -> SelectAll<Watch<K>>
    where
        K: Resource<Scope = DynamicResourceScope>
            + Clone
            + Debug
            + DeserializeOwned
            + Send
            + 'static,
    {
        let parts: Vec<_> = match self.0.is_empty() {
            true => vec![all],
            false => self
                .0
                .iter()
                .map(|name| all.clone().constrain(name))
                .collect(),
        };
        let watched = |api| watcher(api, config.clone()).default_backoff().boxed();
        stream::select_all(parts.into_iter().map(watched))
    }
}

/// A watch over the metadata of everything that this is the way to.
pub fn everywhere<K>(api: Api<PartialObjectMeta<K>>) -> Watch<PartialObjectMeta<K>>
where
    K: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static,
{
    watcher(api, Config::default()).default_backoff().boxed()
}

/// The watch of one namespace.
struct Part<K> {
    watch: Watch<PartialObjectMeta<K>>,
    names: Names,
}

/// Several watches, told as one: a listing of one namespace must not pass for a listing of all, or everything elsewhere would
/// be taken for gone. The first listings are told as one, one namespace after the other, and a namespace that cannot be listed
/// keeps it from being complete. A later one, after an interruption, is told as what it changes.
fn joined<K>(parts: VecDeque<Part<K>>) -> Watch<PartialObjectMeta<K>>
where
    K: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static,
{
    let joined = Joined {
        first: parts,
        later: SelectAll::new(),
        next: VecDeque::from([Event::Init]),
        gone: Vec::new(),
    };
    stream::unfold(joined, |mut joined| async {
        let event = joined.next().await?;
        Some((event, joined))
    })
    .boxed()
}

struct Joined<K> {
    /// Those that were not listed yet.
    first: VecDeque<Part<K>>,
    /// The others.
    later: SelectAll<Watch<PartialObjectMeta<K>>>,
    /// What is to be told before anything else is heard.
    next: VecDeque<Event<PartialObjectMeta<K>>>,
    /// What a first listing brought that had to begin anew and found it gone.
    gone: Vec<Event<PartialObjectMeta<K>>>,
}

impl<K> Joined<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static,
{
    async fn next(&mut self) -> Option<watcher::Result<Event<PartialObjectMeta<K>>>> {
        loop {
            if let Some(event) = self.next.pop_front() {
                return Some(Ok(event));
            }
            let Some(part) = self.first.front_mut() else {
                return self.later.next().await;
            };
            let event = match part.watch.next().await? {
                Ok(event) => event,
                Err(error) => return Some(Err(error)),
            };
            let complete = matches!(event, Event::InitDone);
            for change in part.names.changes(event) {
                match change {
                    Event::Apply(object) => self.next.push_back(Event::InitApply(object)),
                    // What has its name now is in the listing; what has none would stay for ever.
                    gone if complete => self.gone.push(gone),
                    _ => {}
                }
            }
            if complete {
                self.later.extend(self.first.pop_front().map(Part::changes));
                if self.first.is_empty() {
                    self.next.push_back(Event::InitDone);
                    self.next.extend(mem::take(&mut self.gone));
                }
            }
        }
    }
}

impl<K> Part<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static,
{
    /// What it tells from now on, each listing as what it changes.
    fn changes(self) -> Watch<PartialObjectMeta<K>> {
        let Self { watch, mut names } = self;
        let told = watch.flat_map(move |event| {
            stream::iter(match event {
                Ok(event) => names.changes(event).into_iter().map(Ok).collect(),
                Err(error) => vec![Err(error)],
            })
        });
        told.boxed()
    }
}

/// What a namespace holds, as far as its watch has told: uids by name.
struct Names {
    namespace: String,
    known: BTreeMap<String, String>,
    /// What the listing under way has brought so far.
    listed: BTreeMap<String, String>,
}

impl Names {
    fn of(namespace: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            known: BTreeMap::new(),
            listed: BTreeMap::new(),
        }
    }

    /// What an event changes: objects that are there, and objects that are gone.
    fn changes<K>(
        &mut self,
        event: Event<PartialObjectMeta<K>>,
    ) -> Vec<Event<PartialObjectMeta<K>>> {
        match event {
            Event::Init => {
                self.listed.clear();
                Vec::new()
            }
            Event::InitApply(object) => {
                let (name, uid) = named(&object.metadata);
                self.listed.insert(name, uid);
                self.there(object)
            }
            Event::InitDone => {
                let listed = mem::take(&mut self.listed);
                let mut known = mem::replace(&mut self.known, listed);
                known.retain(|name, _| !self.known.contains_key(name));
                let gone = known.into_iter();
                gone.map(|(name, uid)| self.gone(name, uid)).collect()
            }
            Event::Apply(object) => self.there(object),
            Event::Delete(object) => {
                self.known.remove(&named(&object.metadata).0);
                vec![Event::Delete(object)]
            }
        }
    }

    /// It is there; what had its name before is gone, and that is told first.
    fn there<K>(&mut self, object: PartialObjectMeta<K>) -> Vec<Event<PartialObjectMeta<K>>> {
        let (name, uid) = named(&object.metadata);
        let before = self.known.insert(name.clone(), uid.clone());
        let other = before.filter(|before| *before != uid);
        let other = other.map(|before| self.gone(name, before));
        other.into_iter().chain([Event::Apply(object)]).collect()
    }

    fn gone<K>(&self, name: String, uid: String) -> Event<PartialObjectMeta<K>> {
        Event::Delete(PartialObjectMeta {
            types: None,
            metadata: ObjectMeta {
                name: Some(name),
                namespace: Some(self.namespace.clone()),
                uid: Some(uid),
                ..ObjectMeta::default()
            },
            _phantom: PhantomData,
        })
    }
}

fn named(meta: &ObjectMeta) -> (String, String) {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    (text(&meta.name), text(&meta.uid))
}

#[cfg(test)]
mod tests {
    use futures::channel::mpsc;
    use k8s_openapi::api::core::v1::ConfigMap;

    use super::*;

    type Told = watcher::Result<Event<PartialObjectMeta<ConfigMap>>>;

    fn object(namespace: &str, name: &str, uid: &str) -> PartialObjectMeta<ConfigMap> {
        PartialObjectMeta {
            types: None,
            metadata: ObjectMeta {
                name: Some(name.into()),
                namespace: Some(namespace.into()),
                uid: Some(uid.into()),
                ..ObjectMeta::default()
            },
            _phantom: PhantomData,
        }
    }

    /// Two namespaces, what they are told to tell, and what is told of both.
    struct Bed {
        tell: Vec<mpsc::UnboundedSender<Told>>,
        watch: Watch<PartialObjectMeta<ConfigMap>>,
    }

    impl Bed {
        fn new() -> Self {
            let (tell, parts) = ["a", "b"]
                .map(|namespace| {
                    let (tell, told) = mpsc::unbounded();
                    let (watch, names) = (told.boxed(), Names::of(namespace));
                    (tell, Part { watch, names })
                })
                .into_iter()
                .unzip::<_, _, Vec<_>, VecDeque<_>>();
            Self {
                tell,
                watch: joined(parts),
            }
        }

        fn a(&self, event: Event<PartialObjectMeta<ConfigMap>>) {
            self.tell[0].unbounded_send(Ok(event)).unwrap();
        }

        fn b(&self, event: Event<PartialObjectMeta<ConfigMap>>) {
            self.tell[1].unbounded_send(Ok(event)).unwrap();
        }

        /// What is told until nothing more comes: `+a/x=1 -b/y=2 begin *a/x=1 done`.
        fn told(&mut self) -> String {
            let mut told = Vec::new();
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            while let std::task::Poll::Ready(Some(event)) = self.watch.poll_next_unpin(&mut context)
            {
                let (sign, object) = match event {
                    Ok(Event::Init) => ("begin", None),
                    Ok(Event::InitDone) => ("done", None),
                    Ok(Event::InitApply(object)) => ("*", Some(object)),
                    Ok(Event::Apply(object)) => ("+", Some(object)),
                    Ok(Event::Delete(object)) => ("-", Some(object)),
                    Err(_) => ("error", None),
                };
                told.push(object.map_or_else(
                    || sign.to_owned(),
                    |object| {
                        let (name, uid) = named(&object.metadata);
                        let namespace = object.metadata.namespace.unwrap_or_default();
                        format!("{sign}{namespace}/{name}={uid}")
                    },
                ));
            }
            told.join(" ")
        }
    }

    #[test]
    fn the_first_listing_is_complete_when_all_are_and_an_interruption_tells_what_changed() {
        let mut bed = Bed::new();
        for event in [
            Event::Init,
            Event::InitApply(object("b", "x", "1")),
            Event::InitDone,
        ] {
            bed.b(event);
        }
        bed.a(Event::Init);
        bed.a(Event::InitApply(object("a", "x", "2")));
        assert_eq!(bed.told(), "begin *a/x=2");
        bed.tell[0]
            .unbounded_send(Err(watcher::Error::NoResourceVersion))
            .unwrap();
        assert_eq!(bed.told(), "error");
        // The listing of a begins anew, and what it had brought is gone meanwhile.
        bed.a(Event::Init);
        bed.a(Event::InitApply(object("a", "y", "3")));
        bed.a(Event::InitDone);
        assert_eq!(bed.told(), "*a/y=3 *b/x=1 done -a/x=2");
        bed.b(Event::Apply(object("b", "z", "4")));
        bed.a(Event::Delete(object("a", "y", "3")));
        let told = bed.told();
        assert!(told == "+b/z=4 -a/y=3" || told == "-a/y=3 +b/z=4", "{told}");
        // b was interrupted for long: x is another one, z is gone, w is new. a knows nothing of it.
        bed.b(Event::Init);
        bed.b(Event::InitApply(object("b", "w", "5")));
        bed.b(Event::InitApply(object("b", "x", "6")));
        bed.b(Event::InitDone);
        assert_eq!(bed.told(), "+b/w=5 -b/x=1 +b/x=6 -b/z=4");
        bed.b(Event::Init);
        bed.b(Event::InitApply(object("b", "w", "5")));
        bed.b(Event::InitApply(object("b", "x", "6")));
        bed.b(Event::InitDone);
        assert_eq!(bed.told(), "+b/w=5 +b/x=6");
    }

    #[test]
    fn no_namespace_named_is_all_of_the_cluster() {
        let all = Scope::default();
        assert!(all.covers(Some("shop")) && all.covers(None));
        let some = Scope::of(["shop".to_owned()]);
        assert!(some.covers(Some("shop")));
        assert!(!some.covers(Some("shop-2")) && !some.covers(None));
    }
}
