//! Floor 3: the lines in which runs wait for room under a limit, first come, first served. Whoever leaves a line calls the
//! next, so that one place that becomes free is tried by one run at a time. Nothing in it is needed to go on: a new process
//! finds the lines empty, and every run that waited stands in again at its first look.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{
    domain::plan::RunRef,
    ports::{Claim, Limit, Limited, RunKey},
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
    /// The run stands in the line of this limit, at the place that it has there already or at its end; whether it is new, and
    /// who is first in the line that it goes out of for that.
    pub(super) fn stands(
        &self,
        run: &RunRef,
        limit: &Limit,
        wish: Claim,
    ) -> (bool, Option<RunRef>) {
        let line = line(run, limit, &wish);
        let mut lines = self.lines();
        if let Some((stands, kept)) = lines.standing.get_mut(&run.uid)
            && *stands == line
        {
            *kept = wish;
            return (false, None);
        }
        let next = lines.leaves(&run.uid);
        let place = lines.lines.entry(line.clone()).or_default();
        place.push_back(run.clone());
        lines.standing.insert(run.uid.clone(), (line, wish));
        (true, next)
    }

    /// Who goes first, and under which limit: in the line where the run stands, or in one where it would have to stand.
    pub(super) fn ahead(&self, run: &RunRef, wish: &Claim) -> Option<Limited> {
        let lines = self.lines();
        let limit = match lines.standing.get(&run.uid) {
            Some(((.., limit), _)) => Some(limit.clone()),
            None => limits(wish).find(|limit| lines.lines.contains_key(&line(run, limit, wish))),
        }?;
        let first = lines.lines.get(&line(run, &limit, wish))?.front()?;
        let allowed = match &limit {
            Limit::Namespace => wish.limits.namespace,
            Limit::Playbook => wish.limits.playbook,
            Limit::TargetHour(_) => wish.limits.target_hour,
        };
        (first.uid != run.uid).then(|| Limited {
            limit,
            allowed: allowed.unwrap_or_default(),
            by: RunKey {
                uid: first.uid.clone(),
                namespace: first.namespace.clone(),
                name: first.name.clone(),
            },
            until: None,
        })
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

/// The line of this limit in which such a run stands.
fn line(run: &RunRef, limit: &Limit, wish: &Claim) -> Line {
    let playbook = match limit {
        Limit::Namespace => String::new(),
        Limit::Playbook | Limit::TargetHour(_) => wish.playbook.clone(),
    };
    (run.namespace.clone(), playbook, limit.clone())
}

/// The limits that there are for it.
fn limits(wish: &Claim) -> impl Iterator<Item = Limit> {
    let limits = wish.limits;
    let playbook = limits.playbook.map(|_| Limit::Playbook);
    let namespace = limits.namespace.map(|_| Limit::Namespace);
    let hourly = wish
        .keys
        .iter()
        .filter(move |_| limits.target_hour.is_some());
    let hourly = hourly.map(|key| Limit::TargetHour(key.clone()));
    playbook.into_iter().chain(namespace).chain(hourly)
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
    use crate::ports::Limits;

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
        let stands = |name: &str, limit: &Limit| queue.stands(&run(name), limit, wish(name)).0;
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

    #[test]
    fn whoever_comes_later_goes_behind_those_who_stand_there() {
        let queue = Queue::default();
        let limited = |name: &str| {
            let mut wish = wish(name);
            wish.limits.playbook = Some(2);
            wish.limits.namespace = Some(9);
            wish
        };
        let stands = |name: &str, limit: &Limit| queue.stands(&run(name), limit, limited(name));
        let ahead = |name: &str| {
            let found = queue.ahead(&run(name), &limited(name))?;
            Some((found.limit, found.allowed, found.by.name))
        };
        assert_eq!(ahead("a"), None, "nobody stands anywhere");
        stands("a", &Limit::Playbook);
        stands("b", &Limit::Playbook);
        let behind_a = Some((Limit::Playbook, 2, "a".to_owned()));
        assert_eq!((ahead("a"), ahead("b")), (None, behind_a.clone()));
        assert_eq!(ahead("new"), behind_a);
        // A run of another Playbook does not wait for this one's line, and one without that limit neither.
        let mut other = limited("other");
        other.playbook = "another".to_owned();
        assert!(queue.ahead(&run("other"), &other).is_none());
        assert!(queue.ahead(&run("free"), &wish("free")).is_none());
        // Who is first is not sent to the end of another line, and whoever changes its line calls the next.
        stands("n", &Limit::Namespace);
        assert_eq!(ahead("a"), None);
        assert_eq!(stands("a", &Limit::Namespace), (true, Some(run("b"))));
        assert_eq!(ahead("b"), None);
        assert_eq!(ahead("a"), Some((Limit::Namespace, 9, "n".to_owned())));
    }
}
