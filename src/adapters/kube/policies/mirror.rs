//! Floor 2: what a watch has told, by name. It is complete or it is not there: during a new listing the old one stands,
//! because trust must not flicker.

use std::collections::BTreeMap;

use kube::{ResourceExt, runtime::watcher::Event};

pub(super) struct Mirror<V> {
    complete: Option<BTreeMap<String, V>>,
    listing: BTreeMap<String, V>,
}

impl<V> Default for Mirror<V> {
    fn default() -> Self {
        Self {
            complete: None,
            listing: BTreeMap::new(),
        }
    }
}

impl<V> Mirror<V> {
    /// Takes an event in, and of each object what is kept of it.
    pub(super) fn hear<K: ResourceExt>(&mut self, event: Event<K>, keep: impl Fn(K) -> V) {
        match event {
            Event::Init => self.listing.clear(),
            Event::InitApply(object) => {
                self.listing.insert(object.name_any(), keep(object));
            }
            Event::InitDone => self.complete = Some(std::mem::take(&mut self.listing)),
            Event::Apply(object) => {
                // Before the first listing is complete it belongs to that.
                let all = self.complete.as_mut().unwrap_or(&mut self.listing);
                all.insert(object.name_any(), keep(object));
            }
            Event::Delete(object) => {
                if let Some(all) = &mut self.complete {
                    all.remove(&object.name_any());
                }
            }
        }
    }

    /// All of them, once they have been listed.
    pub(super) fn all(&self) -> Option<&BTreeMap<String, V>> {
        self.complete.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::ResourceExt as _;

    use super::*;

    fn object(name: &str) -> ConfigMap {
        let mut object = ConfigMap::default();
        object.metadata.name = Some(name.into());
        object
    }

    fn names(mirror: &Mirror<String>) -> Option<Vec<&str>> {
        let all = mirror.all()?;
        Some(all.keys().map(String::as_str).collect())
    }

    #[test]
    fn a_new_listing_replaces_the_old_one_when_it_is_complete() {
        let mut mirror = Mirror::default();
        let keep = |object: ConfigMap| object.name_any();
        mirror.hear(Event::Init, keep);
        mirror.hear(Event::InitApply(object("a")), keep);
        assert_eq!(names(&mirror), None);
        mirror.hear(Event::InitDone, keep);
        mirror.hear(Event::Apply(object("b")), keep);
        assert_eq!(names(&mirror), Some(vec!["a", "b"]));
        mirror.hear(Event::Init, keep);
        mirror.hear(Event::InitApply(object("c")), keep);
        assert_eq!(names(&mirror), Some(vec!["a", "b"]));
        mirror.hear(Event::InitDone, keep);
        assert_eq!(names(&mirror), Some(vec!["c"]));
        mirror.hear(Event::Delete(object("c")), keep);
        assert_eq!(names(&mirror), Some(vec![]));
    }
}
