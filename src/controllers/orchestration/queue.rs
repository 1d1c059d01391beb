//! Floor 3: the lines in which runs wait for room under a limit, first come, first served. Whoever leaves a line calls the
//! next, so that one place that becomes free is tried by one run at a time. Nothing in it is needed to go on: a new process
//! finds the lines empty, and every run that waited stands in again at its first look.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{
    domain::plan::RunRef,
    ports::{Claim, Limit},
};

/// Where a run stands: by namespace, Playbook, and what is limited.
type Line = (String, String, Limit);

/// The lines.
#[derive(Default)]
pub(super) struct Queue(Mutex<Lines>);

#[derive(Default)]
struct Lines {
    lines: BTreeMap<Line, VecDeque<RunRef>>,
    /// By uid: where it stands, and what it waits for.
    standing: HashMap<String, (Line, Claim)>,
}

impl Queue {
    /// The run stands in the line of this limit, at the place that it has there already or at its end; whether it is new.
    pub(super) fn stands(&self, run: &RunRef, limit: &Limit, wish: Claim) -> bool {
        let playbook = match limit {
            Limit::Namespace => String::new(),
            Limit::Playbook | Limit::TargetHour(_) => wish.playbook.clone(),
        };
        let line = (run.namespace.clone(), playbook, limit.clone());
        let mut lines = self.lines();
        if let Some((stands, kept)) = lines.standing.get_mut(&run.uid)
            && *stands == line
        {
            *kept = wish;
            return false;
        }
        lines.leaves(&run.uid);
        let place = lines.lines.entry(line.clone()).or_default();
        place.push_back(run.clone());
        lines.standing.insert(run.uid.clone(), (line, wish));
        true
    }

    /// What a run that stands in a line waits for.
    pub(super) fn wish(&self, uid: &str) -> Option<Claim> {
        let lines = self.lines();
        lines.standing.get(uid).map(|(_, wish)| wish.clone())
    }

    /// The run goes out of its line; who is first in it then and is to be called.
    pub(super) fn leaves(&self, uid: &str) -> Option<RunRef> {
        self.lines().leaves(uid)
    }

    /// The first of every line, to be called when somebody has ended.
    pub(super) fn first(&self) -> Vec<RunRef> {
        let lines = self.lines();
        let first = lines.lines.values().filter_map(|line| line.front());
        first.cloned().collect()
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    fn leaves(&mut self, uid: &str) -> Option<RunRef> {
        let (line, _) = self.standing.remove(uid)?;
        let place = self.lines.get_mut(&line)?;
        place.retain(|run| run.uid != uid);
        let next = place.front().cloned();
        if next.is_none() {
            self.lines.remove(&line);
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::ports::{Limits, RunKey};

    fn run(name: &str) -> RunRef {
        RunRef {
            namespace: "shop".into(),
            name: name.into(),
            uid: name.into(),
        }
    }

    fn wish(name: &str) -> Claim {
        Claim {
            run: RunKey {
                uid: name.into(),
                namespace: "shop".into(),
                name: name.into(),
            },
            plan: Vec::new(),
            keys: Vec::new(),
            since: Timestamp::UNIX_EPOCH,
            playbook: "heal".into(),
            limits: Limits::default(),
        }
    }

    #[test]
    fn whoever_leaves_calls_the_next_and_nobody_loses_a_place_by_asking_again() {
        let queue = Queue::default();
        let stands = |name: &str, limit: &Limit| queue.stands(&run(name), limit, wish(name));
        for name in ["a", "b", "c"] {
            assert!(stands(name, &Limit::Playbook));
        }
        assert!(stands("n", &Limit::Namespace));
        assert!(!stands("a", &Limit::Playbook), "it stands there already");
        let first: Vec<String> = queue.first().into_iter().map(|run| run.name).collect();
        assert_eq!(first, ["n", "a"], "one of each line");
        assert_eq!(queue.leaves("b"), Some(run("a")));
        assert_eq!(queue.leaves("a"), Some(run("c")));
        assert!(queue.wish("a").is_none() && queue.wish("c").is_some());
        // Another limit is another line.
        assert!(stands("c", &Limit::Namespace));
        assert_eq!(queue.leaves("n"), Some(run("c")));
        assert_eq!(queue.leaves("c"), None);
        assert_eq!(queue.leaves("c"), None);
        assert!(queue.first().is_empty());
    }
}
