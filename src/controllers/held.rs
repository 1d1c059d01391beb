//! Floor 3: the objects of one controller whose pass could not be recorded. They are looked at again the moment the
//! transparency log takes records, and not before: nobody asks again and again, however long it takes.

use std::{
    collections::HashSet,
    future::ready,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::{Stream, StreamExt as _, stream};
use kube::{Resource, runtime::reflector::ObjectRef};
use tokio::sync::watch;

/// The objects of one controller that wait for the log.
pub struct Held<K: Resource<DynamicType = ()>> {
    log: watch::Receiver<bool>,
    waiting: Mutex<HashSet<ObjectRef<K>>>,
}

impl<K: Resource<DynamicType = ()>> Held<K> {
    /// `log` is true while the log takes records.
    pub fn new(log: watch::Receiver<bool>) -> Self {
        Self {
            log,
            waiting: Mutex::default(),
        }
    }

    /// Holds an object until the log takes records; false if it does so already, and the object can be looked at again.
    pub fn hold(&self, object: ObjectRef<K>) -> bool {
        self.lock().insert(object);
        // After it was put down: whoever wakes the others has seen it, or we see that the log is open.
        !*self.log.borrow()
    }

    /// The objects that were held, each time the log takes records again.
    pub fn released(self: Arc<Self>) -> impl Stream<Item = ObjectRef<K>> + Send
    where
        K: Send + Sync,
    {
        let log = self.log.clone();
        let openings = changes(self.log.clone()).filter(move |()| ready(*log.borrow()));
        openings.flat_map(move |()| stream::iter(std::mem::take(&mut *self.lock())))
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<ObjectRef<K>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One item for each time that a value changes; many changes before anybody looks are one.
pub fn changes<T: Send + Sync + 'static>(
    value: watch::Receiver<T>,
) -> impl Stream<Item = ()> + Send {
    stream::unfold(value, |mut value| async move {
        value.changed().await.ok()?;
        value.mark_unchanged();
        Some(((), value))
    })
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use k8s_openapi::api::core::v1::ConfigMap;

    use super::*;

    fn object(name: &str) -> ObjectRef<ConfigMap> {
        ObjectRef::new(name)
    }

    #[test]
    fn what_is_held_comes_back_once_when_the_log_opens() {
        let (log, open) = watch::channel(false);
        let held = Arc::new(Held::new(open));
        let mut released = Box::pin(Arc::clone(&held).released());
        assert!(held.hold(object("a")));
        assert_eq!(released.next().now_or_never(), None);
        log.send_replace(true);
        assert_eq!(released.next().now_or_never(), Some(Some(object("a"))));
        log.send_replace(false);
        log.send_replace(true);
        assert_eq!(released.next().now_or_never(), None, "it was held once");
    }

    #[test]
    fn a_log_that_is_open_already_holds_nothing_up() {
        let (log, open) = watch::channel(true);
        let held = Held::new(open);
        assert!(!held.hold(object("a")));
        log.send_replace(false);
        assert!(held.hold(object("b")));
    }
}
