//! Floor 3: how often each object failed, and which objects are left alone. Keyed by uid: a new object of the same
//! name starts afresh. It counts; the arithmetic is the domain's.

use std::{
    collections::{HashMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::domain::retry;

/// After this many panics on one version of an object it is left alone until it changes.
pub const PANICS_ALLOWED: u32 = 3;

#[derive(Default)]
struct Trouble {
    failures: u32,
    panics: u32,
    /// The version that the panics were about.
    version: Option<String>,
    /// The version that was reported as undecodable.
    undecodable: Option<String>,
}

/// The objects of one controller that gave trouble.
#[derive(Default)]
pub struct Troubles(Mutex<HashMap<String, Trouble>>);

impl Troubles {
    /// One more failure; how long to wait.
    pub fn failed(&self, uid: &str) -> Duration {
        let mut troubles = self.lock();
        let trouble = troubles.entry(uid.to_owned()).or_default();
        trouble.failures = trouble.failures.saturating_add(1);
        let mut seed = DefaultHasher::new();
        uid.hash(&mut seed);
        retry::backoff(trouble.failures, seed.finish())
    }

    /// All is well again, or the object is gone.
    pub fn forget(&self, uid: &str) {
        self.lock().remove(uid);
    }

    /// Forgets all objects but these.
    pub fn retain(&self, uids: &HashSet<String>) {
        self.lock().retain(|uid, _| uids.contains(uid));
    }

    /// A panic on this version; whether the object is now left alone.
    pub fn panicked(&self, uid: &str, version: &str) -> bool {
        let mut troubles = self.lock();
        let trouble = troubles.entry(uid.to_owned()).or_default();
        if trouble.version.as_deref() != Some(version) {
            trouble.version = Some(version.to_owned());
            trouble.panics = 0;
        }
        trouble.panics = trouble.panics.saturating_add(1);
        trouble.panics >= PANICS_ALLOWED
    }

    /// Whether this version is left alone.
    pub fn quarantined(&self, uid: &str, version: &str) -> bool {
        self.lock().get(uid).is_some_and(|trouble| {
            trouble.panics >= PANICS_ALLOWED && trouble.version.as_deref() == Some(version)
        })
    }

    /// True the first time that this version is reported as undecodable.
    pub fn report_undecodable(&self, uid: &str, version: &str) -> bool {
        let mut troubles = self.lock();
        let trouble = troubles.entry(uid.to_owned()).or_default();
        let first = trouble.undecodable.as_deref() != Some(version);
        trouble.undecodable = Some(version.to_owned());
        first
    }

    /// How many objects wait for another attempt.
    pub fn backing_off(&self) -> usize {
        self.lock()
            .values()
            .filter(|trouble| trouble.failures > 0)
            .count()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Trouble>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_for_one_object_and_not_for_its_neighbour() {
        let troubles = Troubles::default();
        let first = troubles.failed("a");
        let third = {
            troubles.failed("a");
            troubles.failed("a")
        };
        assert!(third > first, "{third:?} after {first:?}");
        assert!(troubles.failed("b") <= retry::FIRST);
        troubles.forget("a");
        assert!(troubles.failed("a") <= retry::FIRST);
        assert_eq!(troubles.backing_off(), 2);
    }

    #[test]
    fn an_object_that_panics_is_left_alone_until_it_changes() {
        let troubles = Troubles::default();
        assert!(!troubles.panicked("a", "1"));
        assert!(!troubles.panicked("a", "1"));
        assert!(troubles.panicked("a", "1"));
        assert!(troubles.quarantined("a", "1"));
        assert!(!troubles.quarantined("a", "2"));
        assert!(!troubles.panicked("a", "2"));
    }
}
