//! Floor 3: what this process remembers of runs that are under way, so that it need not be read or told again. Nothing
//! here is needed to go on with a run: whoever starts anew finds all of it in store and log.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};

use super::queue::Queue;
use crate::{
    api::v1alpha1::Step,
    controllers::retention::PlaybookName,
    domain::plan::{Plan, RunRef},
};

/// Progress is told at most so often.
const PACE: SignedDuration = SignedDuration::from_secs(1);
/// A pass takes a minute at most; so many runs are not deleted in one.
const GONE_KEPT: usize = 4096;

/// What is remembered.
#[derive(Default)]
pub(super) struct Memory {
    runs: Mutex<HashMap<String, Remembered>>,
    /// Runs that wait for somebody to take a Playbook.
    choosing: Mutex<HashSet<RunRef>>,
    /// Runs that wait for room under a limit.
    pub(super) queue: Queue,
    /// Runs that wait for a lock or for the end of a Freeze.
    waiting: Mutex<HashSet<RunRef>>,
    /// The uids of those whose end is being recorded, as an end or as gone: a run has one end.
    ending: Mutex<HashSet<String>>,
    /// The uids of those that were deleted last, newest last.
    gone: Mutex<VecDeque<String>>,
    /// The uids of those that have ended, and are not counted yet among the finished runs of their Playbook.
    uncounted: Mutex<HashSet<String>>,
    /// The uids of finished runs that are more than their Playbook keeps.
    too_many: Mutex<HashMap<PlaybookName, HashSet<String>>>,
}

/// How long until it may be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Later(pub(super) Duration);

#[derive(Default)]
struct Remembered {
    plan: Option<Arc<Plan>>,
    /// The steps as the verified Playbook has them.
    steps: Option<Arc<Vec<Step>>>,
    said: BTreeMap<String, String>,
    held: BTreeMap<String, Held>,
    /// Since when this process tries something that has no other clock.
    tried: BTreeMap<String, Timestamp>,
    told: Option<Timestamp>,
    joined: Option<Joining>,
}

/// How many have joined a run, and what of that is told.
#[derive(Clone, Copy)]
struct Joining {
    count: u64,
    told: Option<u64>,
    at: Option<Timestamp>,
}

/// What a step asked to be remembered, and when it did.
#[derive(Clone, Copy)]
pub(super) struct Held {
    /// What it asked for.
    pub(super) since: Timestamp,
    /// When.
    pub(super) at: Timestamp,
}

impl Memory {
    /// The plan of a run that is under way.
    pub(super) fn plan(&self, uid: &str) -> Option<Arc<Plan>> {
        self.runs().get(uid).and_then(|run| run.plan.clone())
    }

    /// Keeps the plan of a run.
    pub(super) fn keep(&self, uid: &str, plan: Arc<Plan>) {
        self.runs().entry(uid.to_owned()).or_default().plan = Some(plan);
    }

    /// Keeps the steps that a plan was made of.
    pub(super) fn keep_steps(&self, uid: &str, steps: Vec<Step>) {
        self.runs().entry(uid.to_owned()).or_default().steps = Some(Arc::new(steps));
    }

    /// The steps that a plan was made of.
    pub(super) fn steps(&self, uid: &str) -> Option<Arc<Vec<Step>>> {
        self.runs().get(uid).and_then(|run| run.steps.clone())
    }

    /// A step said this.
    pub(super) fn say(&self, uid: &str, step: &str, message: &str) {
        let mut runs = self.runs();
        let run = runs.entry(uid.to_owned()).or_default();
        run.said.insert(step.to_owned(), message.to_owned());
    }

    /// What the steps of a run said.
    pub(super) fn said(&self, uid: &str) -> BTreeMap<String, String> {
        self.runs()
            .get(uid)
            .map(|run| run.said.clone())
            .unwrap_or_default()
    }

    /// Since when this process tries this; from now on, where it is `anew`.
    pub(super) fn tried_since(
        &self,
        uid: &str,
        step: &str,
        (now, anew): (Timestamp, bool),
    ) -> Timestamp {
        let mut runs = self.runs();
        let tried = &mut runs.entry(uid.to_owned()).or_default().tried;
        let since = tried.entry(step.to_owned()).or_insert(now);
        if anew {
            *since = now;
        }
        *since
    }

    /// Since when what a step looks at has been as it should be; a new process begins to watch anew.
    pub(super) fn holds(&self, uid: &str, step: &str, held_now: Option<Held>) {
        let mut runs = self.runs();
        let held = &mut runs.entry(uid.to_owned()).or_default().held;
        match held_now {
            Some(held_now) => held.insert(step.to_owned(), held_now),
            None => held.remove(step),
        };
    }

    /// The same, as it was remembered.
    pub(super) fn held(&self, uid: &str, step: &str) -> Option<Held> {
        self.runs()
            .get(uid)
            .and_then(|run| run.held.get(step).copied())
    }

    /// Whether progress is to be told now: a run that is shorter than the pace is told once, at its end.
    pub(super) fn paces(&self, uid: &str, began: Timestamp, now: Timestamp) -> bool {
        let mut runs = self.runs();
        let run = runs.entry(uid.to_owned()).or_default();
        let last = run.told.unwrap_or(began);
        let due = now.duration_since(last) >= PACE;
        if due {
            run.told = Some(now);
        }
        due
    }

    /// So many have joined the run; whether it has to be looked at for that, and is not going to be already.
    pub(super) fn joined(&self, uid: &str, count: u64) -> bool {
        let mut runs = self.runs();
        let joined = &mut runs.entry(uid.to_owned()).or_default().joined;
        let before = joined.unwrap_or(Joining {
            count: 0,
            told: None,
            at: None,
        });
        let expected = before.told.unwrap_or_default() != before.count;
        *joined = Some(Joining {
            count: before.count.max(count),
            ..before
        });
        !expected
    }

    /// Whether this process has asked how many have joined the run.
    pub(super) fn knows_joined(&self, uid: &str) -> bool {
        let runs = self.runs();
        runs.get(uid).is_some_and(|run| run.joined.is_some())
    }

    /// How many have joined the run, if that is to be told now: whenever something else is told `anyway`, else at the pace
    /// of progress. An error says that it is to be told later.
    pub(super) fn tells_joined(
        &self,
        uid: &str,
        anyway: bool,
        (began, now): (Timestamp, Timestamp),
    ) -> Result<Option<u64>, Later> {
        let mut runs = self.runs();
        let Some(joined) = runs.get_mut(uid).and_then(|run| run.joined.as_mut()) else {
            return Ok(None);
        };
        if joined.told.unwrap_or_default() == joined.count {
            return Ok(None);
        }
        let since = now.duration_since(joined.at.unwrap_or(began));
        if !anyway && since < PACE {
            return Err(Later(PACE.saturating_sub(since).unsigned_abs()));
        }
        joined.told = Some(joined.count);
        joined.at = Some(now);
        Ok(Some(joined.count))
    }

    /// The run has come to its end, or is gone.
    pub(super) fn forget(&self, uid: &str) {
        self.runs().remove(uid);
    }

    /// The run has come to its end: when its status tells so, the runs of its Playbook are counted.
    pub(super) fn is_uncounted(&self, uid: &str) {
        locked(&self.uncounted).insert(uid.to_owned());
    }

    /// Whether they are to be counted now; once.
    pub(super) fn counts(&self, uid: &str) -> bool {
        locked(&self.uncounted).remove(uid)
    }

    /// Of the finished runs of this Playbook these are more than it keeps, and no others any more.
    pub(super) fn are_too_many(&self, playbook: &PlaybookName, runs: &[RunRef]) {
        let uids: HashSet<String> = runs.iter().map(|run| run.uid.clone()).collect();
        let mut too_many = self.too_many();
        if uids.is_empty() {
            too_many.remove(playbook);
        } else {
            too_many.insert(playbook.clone(), uids);
        }
    }

    /// The same, as it was remembered.
    pub(super) fn is_one_too_many(&self, uid: &str) -> bool {
        self.too_many().values().any(|uids| uids.contains(uid))
    }

    fn too_many(&self) -> MutexGuard<'_, HashMap<PlaybookName, HashSet<String>>> {
        self.too_many.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The run waits for a lock, or for the end of a Freeze.
    pub(super) fn waits(&self, run: &RunRef) {
        self.waiting().insert(run.clone());
    }

    /// The run waits for somebody to take a Playbook.
    pub(super) fn chooses(&self, run: &RunRef) {
        self.choosing().insert(run.clone());
    }

    /// Everybody of this namespace who waits for that, to look again.
    pub(super) fn choosing_in(&self, namespace: &str) -> Vec<RunRef> {
        let mut choosing = self.choosing();
        choosing
            .extract_if(|run| run.namespace == namespace)
            .collect()
    }

    fn choosing(&self) -> MutexGuard<'_, HashSet<RunRef>> {
        self.choosing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It does not wait any more.
    pub(super) fn waits_no_more(&self, run: &RunRef) {
        self.waiting().remove(run);
    }

    /// The run was deleted, and nothing of it goes on: also not the pass that may be under way.
    pub(super) fn leaves(&self, run: &RunRef) {
        self.forget(&run.uid);
        self.waits_no_more(run);
        locked(&self.uncounted).remove(&run.uid);
        for uids in self.too_many().values_mut() {
            uids.remove(&run.uid);
        }
        self.choosing().remove(run);
        let mut gone = self.gone();
        if !gone.contains(&run.uid) {
            gone.push_back(run.uid.clone());
        }
        if gone.len() > GONE_KEPT {
            gone.pop_front();
        }
    }

    /// Whether the run was deleted a moment ago.
    pub(super) fn has_left(&self, uid: &str) -> bool {
        self.gone().iter().any(|gone| gone == uid)
    }

    /// The right to record the end of this run; nobody else has it until it is dropped.
    pub(super) fn ends(&self, uid: &str) -> Option<Ending<'_>> {
        self.ending().insert(uid.to_owned()).then(|| Ending {
            memory: self,
            uid: uid.to_owned(),
        })
    }

    fn ending(&self) -> MutexGuard<'_, HashSet<String>> {
        self.ending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everybody who waits, to look again; of those who wait in a line, the first.
    pub(super) fn wake(&self) -> HashSet<RunRef> {
        let mut woken = std::mem::take(&mut *self.waiting());
        woken.extend(self.queue.first());
        woken
    }

    fn runs(&self) -> MutexGuard<'_, HashMap<String, Remembered>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn gone(&self) -> MutexGuard<'_, VecDeque<String>> {
        self.gone.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waiting(&self) -> MutexGuard<'_, HashSet<RunRef>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to record the end of a run. Whoever is cut off in the middle, by the deadline of its pass or by a panic, gives
/// it up all the same: the next pass goes on.
#[must_use = "the right is given up where this is dropped"]
pub(super) struct Ending<'a> {
    memory: &'a Memory,
    uid: String,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.memory.ending().remove(&self.uid);
    }
}

fn locked(uids: &Mutex<HashSet<String>>) -> MutexGuard<'_, HashSet<String>> {
    uids.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::{
        future::{Future as _, pending},
        task::{Context, Waker},
    };

    use super::*;

    #[test]
    fn who_is_cut_off_while_it_records_an_end_keeps_nobody_from_it() {
        let memory = Memory::default();
        let mut cut_off = Box::pin(async {
            let ending = memory.ends("u");
            pending::<()>().await;
            drop(ending);
        });
        let polled = cut_off
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending());
        assert!(memory.ends("u").is_none(), "a run has one end");
        assert!(memory.ends("v").is_some());
        drop(cut_off);
        assert!(memory.ends("u").is_some());
    }

    #[test]
    fn what_is_tried_has_its_time_from_who_tries_it() {
        let memory = Memory::default();
        let since = |second: i64, anew: bool| {
            let now = Timestamp::from_second(second).unwrap();
            memory.tried_since("u", "s: undo", (now, anew)).as_second()
        };
        assert_eq!((since(5, false), since(9, false)), (5, 5));
        assert_eq!((since(20, true), since(30, false)), (20, 20));
    }

    #[test]
    fn who_is_not_too_many_any_more_stays() {
        let memory = Memory::default();
        let run = |uid: &str| RunRef {
            namespace: "shop".into(),
            name: uid.into(),
            uid: uid.into(),
        };
        let playbook = |name: &str| ("shop".to_owned(), name.to_owned());
        let marked = || ["a", "b", "c"].map(|uid| memory.is_one_too_many(uid));
        memory.are_too_many(&playbook("p"), &[run("a"), run("b")]);
        memory.are_too_many(&playbook("q"), &[run("c")]);
        assert_eq!(marked(), [true, true, true]);
        memory.are_too_many(&playbook("p"), &[run("b")]);
        assert_eq!(marked(), [false, true, true]);
        memory.leaves(&run("b"));
        memory.are_too_many(&playbook("q"), &[]);
        assert_eq!(marked(), [false, false, false]);
    }

    #[test]
    fn a_short_run_tells_no_progress_and_a_long_one_once_a_second() {
        let memory = Memory::default();
        let at = |millisecond| Timestamp::from_millisecond(millisecond).unwrap();
        let told: Vec<bool> = [0, 500, 1000, 1500, 1999, 2000, 9000]
            .map(|now| memory.paces("u", at(0), at(now)))
            .into();
        assert_eq!(told, [false, false, true, false, false, true, true]);
    }

    #[test]
    fn who_joined_is_told_once_a_second_or_with_something_else() {
        let memory = Memory::default();
        let at = |millisecond| Timestamp::from_millisecond(millisecond).unwrap();
        let tells = |anyway, now| memory.tells_joined("u", anyway, (at(0), at(now)));
        assert_eq!(tells(true, 0), Ok(None));
        assert!(!memory.knows_joined("u"));
        assert!(!memory.joined("u", 0) || tells(false, 9000) == Ok(None));
        assert!(memory.joined("u", 1), "it is woken for the first");
        assert!(
            !memory.joined("u", 2) && !memory.joined("u", 3),
            "and not again"
        );
        assert_eq!(tells(false, 400), Err(Later(Duration::from_millis(600))));
        assert_eq!(tells(false, 1000), Ok(Some(3)));
        assert_eq!(tells(false, 5000), Ok(None), "nothing new");
        assert!(memory.joined("u", 4));
        assert_eq!(tells(false, 1500), Err(Later(Duration::from_millis(500))));
        assert_eq!(tells(true, 1500), Ok(Some(4)));
        assert!(
            !memory.joined("u", 2) || tells(true, 9000) == Ok(None),
            "it never falls"
        );
    }
}
