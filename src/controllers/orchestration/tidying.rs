//! Floor 3: which finished runs of a Playbook are more than it keeps: the oldest by their end. They are marked and looked at
//! again; whether they are deleted is decided there. Nothing is written here.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use k8s_openapi::jiff;
use kube::{Api, Client, api::ListParams};
use tokio::sync::{mpsc, watch};

use super::{decide::finished_at, gather::run_ref, memory::Memory};
use crate::{
    adapters::kube::error::chain,
    api::v1alpha1::{Orchestration, Outcome},
    controllers::retention::{PlaybookName, Retention},
    domain::plan::RunRef,
};

/// Runs in one answer.
const PAGE: u32 = 100;
/// Before it is tried again.
const PAUSE: Duration = Duration::from_secs(5);

/// Finds runs that are too many.
pub struct Tidier {
    pub(super) client: Client,
    pub(super) retention: Arc<Retention>,
    pub(super) due: mpsc::UnboundedReceiver<PlaybookName>,
    pub(super) memory: Arc<Memory>,
    pub(super) wakes: mpsc::UnboundedSender<RunRef>,
}

impl Tidier {
    /// Works until `stop` turns true.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let work = async {
            let mut due = BTreeSet::new();
            while self.more(&mut due).await {
                let mut uncounted = BTreeSet::new();
                for playbook in due {
                    if let Err(error) = self.tidy(&playbook).await {
                        tracing::debug!(error = %chain(&error), "the finished runs of a Playbook are not counted yet");
                        uncounted.insert(playbook);
                    }
                }
                due = uncounted;
            }
        };
        tokio::select! {
            () = work => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
    }

    /// Waits until Playbooks are due: many runs end together, and each Playbook is counted once. What could not be counted is
    /// due again after a pause; nobody else waits for it. False when nobody can ask any more.
    async fn more(&mut self, due: &mut BTreeSet<PlaybookName>) -> bool {
        let next = self.due.recv();
        let next = if due.is_empty() {
            next.await
        } else {
            match tokio::time::timeout(PAUSE, next).await {
                Ok(next) => next,
                Err(_) => return true,
            }
        };
        let Some(next) = next else {
            return false;
        };
        due.insert(next);
        while let Ok(another) = self.due.try_recv() {
            due.insert(another);
        }
        true
    }

    async fn tidy(&self, playbook: &PlaybookName) -> Result<(), kube::Error> {
        let Some(limit) = self.retention.limit(playbook) else {
            self.memory.are_too_many(playbook, &[]);
            return Ok(());
        };
        let too_many = too_many(self.finished(playbook).await?, limit);
        self.memory.are_too_many(playbook, &too_many);
        for run in too_many {
            // Nobody listens any more: the process ends.
            let _ = self.wakes.send(run);
        }
        Ok(())
    }

    /// The finished runs of this Playbook, and those that joined one of them without naming any.
    async fn finished(&self, (namespace, name): &PlaybookName) -> Result<Vec<Ended>, kube::Error> {
        let mut finished = self.ended(namespace, name).await?;
        let names: HashSet<String> = finished.iter().map(|one| one.run.name.clone()).collect();
        let nameless = self.ended(namespace, "").await?.into_iter();
        finished.extend(nameless.filter(|one| {
            let joined = one.joined.as_ref();
            joined.is_some_and(|owner| names.contains(owner))
        }));
        Ok(finished)
    }

    async fn ended(&self, namespace: &str, playbook: &str) -> Result<Vec<Ended>, kube::Error> {
        let runs: Api<Orchestration> = Api::namespaced(self.client.clone(), namespace);
        let fields = format!("status.stage=Done,spec.playbookRef.name={playbook}");
        let mut page = ListParams::default().limit(PAGE).fields(&fields);
        let mut ended = Vec::new();
        loop {
            let list = runs.list(&page).await?;
            ended.extend(list.items.iter().filter_map(Ended::of));
            match list.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page = page.continue_token(&token),
                None => return Ok(ended),
            }
        }
    }
}

/// A run that has come to its end.
#[derive(Clone, Debug)]
struct Ended {
    at: Timestamp,
    run: RunRef,
    what: What,
    /// The run that it joined.
    joined: Option<String>,
}

/// What came of it; each is counted for itself, so that a storm does not push what was done out of sight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum What {
    Ran,
    Joined,
    Planned,
}

impl Ended {
    fn of(object: &Orchestration) -> Option<Self> {
        if object.metadata.deletion_timestamp.is_some() {
            return None;
        }
        let status = object.status.as_ref()?;
        let what = match status.outcome? {
            Outcome::Joined => What::Joined,
            Outcome::Planned => What::Planned,
            _ => What::Ran,
        };
        let joined = status.joined.as_ref().filter(|_| what == What::Joined);
        Some(Self {
            at: finished_at(status)?,
            run: run_ref(object),
            what,
            joined: joined.and_then(|joined| joined.name.clone()),
        })
    }
}

/// Of each kind all but the newest, of two that ended in the same second by their names; and who joined one of them, which
/// would tell of a run that nobody finds.
fn too_many(mut ended: Vec<Ended>, limit: usize) -> Vec<RunRef> {
    ended.sort_by_key(|one| Reverse((one.at, one.run.name.clone())));
    let mut kept: HashMap<What, usize> = HashMap::new();
    let (mut over, mut under) = (Vec::new(), Vec::new());
    for one in ended {
        let kept = kept.entry(one.what).or_default();
        *kept += 1;
        let side = if *kept > limit { &mut over } else { &mut under };
        side.push(one);
    }
    let names: HashSet<String> = over.iter().map(|one| one.run.name.clone()).collect();
    let joined = |one: &Ended| {
        one.joined
            .as_ref()
            .is_some_and(|owner| names.contains(owner))
    };
    over.extend(under.into_iter().filter(joined));
    over.into_iter().map(|one| one.run).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(name: &str, second: i64, what: What) -> Ended {
        Ended {
            at: Timestamp::from_second(second).unwrap(),
            run: RunRef {
                namespace: "shop".into(),
                name: name.into(),
                uid: format!("uid-{name}"),
            },
            what,
            joined: None,
        }
    }

    fn names(ended: Vec<Ended>, limit: usize) -> String {
        let runs = too_many(ended, limit).into_iter();
        runs.map(|run| run.name).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_newest_are_kept() {
        let run = |name, second| ended(name, second, What::Ran);
        let finished = || vec![run("b", 2), run("d", 4), run("a", 1), run("c", 3)];
        assert_eq!(names(finished(), 4), "");
        assert_eq!(names(finished(), 2), "b a");
        assert_eq!(names(finished(), 0), "d c b a");
    }

    #[test]
    fn a_storm_pushes_nothing_out_that_ran() {
        let mut all = vec![ended("first", 1, What::Ran), ended("second", 2, What::Ran)];
        for number in 0..500 {
            let mut joined = ended(&format!("j{number:03}"), 10 + number, What::Joined);
            joined.joined = Some("second".into());
            all.push(joined);
        }
        all.push(ended("plan", 1000, What::Planned));
        let gone = too_many(all.clone(), 2);
        assert_eq!(gone.len(), 498);
        assert!(gone.iter().all(|run| run.name.starts_with('j')), "{gone:?}");
        // Who joined goes with the run that it joined.
        all.truncate(4);
        all.push(ended("third", 3, What::Ran));
        all.push(ended("fourth", 4, What::Ran));
        assert_eq!(names(all, 2), "second first j001 j000");
    }
}
