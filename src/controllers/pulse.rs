//! Floor 3: the heartbeat of one controller: when its watch said something last, which passes are under way, and
//! which of our own writes have not come back through the watch. Silence alone is health; silence while something
//! is owed is a wedged watch, and a reason to be restarted.

use std::{
    collections::{HashMap, HashSet},
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
    /// What the listing under way has brought so far.
    listed: HashSet<String>,
    /// Why it is not complete, as the API server says.
    trouble: Option<String>,
}

impl Pulse {
    /// A controller that has heard nothing yet.
    pub fn new(controller: &'static str) -> Self {
        let beats = Beats {
            heard: Instant::now(),
            running: HashMap::new(),
            owed: HashMap::new(),
            listed: HashSet::new(),
            trouble: None,
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

    /// A listing begins.
    pub fn listing(&self) {
        let mut beats = self.lock();
        beats.heard = Instant::now();
        beats.listed.clear();
    }

    /// The listing holds this object.
    pub fn listed(&self, uid: String) {
        self.heard_of(&uid);
        self.lock().listed.insert(uid);
    }

    /// The listing is complete: these objects there are, and nothing is owed about any other.
    pub fn listing_complete(&self) -> HashSet<String> {
        let mut beats = self.lock();
        beats.heard = Instant::now();
        beats.trouble = None;
        let listed = std::mem::take(&mut beats.listed);
        beats.owed.retain(|uid, _| listed.contains(uid));
        self.filled.store(true, Ordering::Release);
        listed
    }

    /// The watch failed; it goes on.
    pub fn interrupted(&self, why: String) {
        self.lock().trouble = Some(why);
    }

    /// What is missing before the first listing is complete; nothing once it is.
    pub fn unfilled(&self) -> Option<String> {
        if self.filled() {
            return None;
        }
        let listing = format!("the first listing of {} is not complete", self.controller);
        Some(match &self.lock().trouble {
            Some(why) => format!("{listing}: {why}"),
            None => listing,
        })
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

    /// We are about to write to this object: the watch will owe us an event.
    pub fn owes(&self, uid: &str) {
        self.lock()
            .owed
            .entry(uid.to_owned())
            .or_insert_with(Instant::now);
    }

    /// Nothing was written after all.
    pub fn owes_not(&self, uid: &str) {
        self.lock().owed.remove(uid);
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
        pulse.owes("a");
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
