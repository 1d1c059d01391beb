//! Floor 3: the heartbeat of one controller: when its watch said something last, which passes are under way, and
//! which of our own writes have not come back through the watch. Silence alone is health; silence while something
//! is owed is a wedged watch, and a reason to be restarted.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// The heartbeat of one controller.
pub struct Pulse {
    controller: &'static str,
    filled: AtomicBool,
    beats: Mutex<Beats>,
}

struct Beats {
    heard: Instant,
    /// Passes under way, by uid.
    running: HashMap<String, Instant>,
    /// Writes that the watch still owes us, by uid.
    owed: HashMap<String, Instant>,
}

impl Pulse {
    /// A controller that has heard nothing yet.
    pub fn new(controller: &'static str) -> Self {
        let beats = Beats {
            heard: Instant::now(),
            running: HashMap::new(),
            owed: HashMap::new(),
        };
        Self {
            controller,
            filled: AtomicBool::new(false),
            beats: Mutex::new(beats),
        }
    }

    /// Which controller this is.
    pub fn controller(&self) -> &'static str {
        self.controller
    }

    /// The watch said something about this object.
    pub fn heard_of(&self, uid: &str) {
        let mut beats = self.lock();
        beats.heard = Instant::now();
        beats.owed.remove(uid);
    }

    /// A listing began or ended; after the first end the cache is filled.
    pub fn listed(&self, complete: bool) {
        self.lock().heard = Instant::now();
        if complete {
            self.filled.store(true, Ordering::Release);
        }
    }

    /// Whether the first listing is complete.
    pub fn filled(&self) -> bool {
        self.filled.load(Ordering::Acquire)
    }

    /// A pass began; it ends when the guard is dropped, also by a panic.
    pub fn running(&self, uid: &str) -> Running<'_> {
        self.lock().running.insert(uid.to_owned(), Instant::now());
        Running {
            pulse: self,
            uid: uid.to_owned(),
        }
    }

    /// We wrote to this object: the watch owes us an event.
    pub fn wrote(&self, uid: &str) {
        self.lock()
            .owed
            .entry(uid.to_owned())
            .or_insert_with(Instant::now);
    }

    /// What has been owed or under way for longer than this, while the watch was silent.
    pub fn wedged(&self, longest: Duration) -> Option<String> {
        let beats = self.lock();
        let silent = beats.heard.elapsed();
        let overdue = |since: &Instant| since.elapsed() > longest;
        if beats.running.values().any(overdue) {
            return Some(format!(
                "{}: a pass has been under way for more than {} s",
                self.controller,
                longest.as_secs()
            ));
        }
        if silent > longest && beats.owed.values().any(overdue) {
            return Some(format!(
                "{}: the watch has been silent for {} s and owes us our own writes",
                self.controller,
                silent.as_secs()
            ));
        }
        None
    }

    fn lock(&self) -> MutexGuard<'_, Beats> {
        self.beats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A pass under way.
pub struct Running<'a> {
    pulse: &'a Pulse,
    uid: String,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.pulse.lock().running.remove(&self.uid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_alone_is_health() {
        assert_eq!(Pulse::new("playbook").wedged(Duration::ZERO), None);
    }

    #[test]
    fn silence_while_a_write_is_owed_is_not() {
        let pulse = Pulse::new("playbook");
        pulse.wrote("a");
        assert!(
            pulse
                .wedged(Duration::ZERO)
                .is_some_and(|why| why.contains("owes us"))
        );
        pulse.heard_of("a");
        assert_eq!(pulse.wedged(Duration::ZERO), None);
    }

    #[test]
    fn a_pass_that_does_not_end_is_not() {
        let pulse = Pulse::new("playbook");
        let running = pulse.running("a");
        assert!(
            pulse
                .wedged(Duration::ZERO)
                .is_some_and(|why| why.contains("under way"))
        );
        drop(running);
        assert_eq!(pulse.wedged(Duration::ZERO), None);
    }
}
