//! Floor 3: which finished runs of a Playbook are more than it keeps: the oldest by their end. They are marked and looked at
//! again; whether they are deleted is decided there. Nothing is written here.

use std::{cmp::Reverse, collections::BTreeSet, sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::jiff;
use kube::{Api, Client, api::ListParams};
use tokio::sync::{mpsc, watch};

use super::{decide::finished_at, gather::run_ref, memory::Memory};
use crate::{
    adapters::kube::error::chain,
    api::v1alpha1::Orchestration,
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
            while let Some(first) = self.due.recv().await {
                // Many runs end together: each Playbook is counted once.
                let mut due = BTreeSet::from([first]);
                while let Ok(another) = self.due.try_recv() {
                    due.insert(another);
                }
                for playbook in due {
                    while let Err(error) = self.tidy(&playbook).await {
                        tracing::debug!(error = %chain(&error), "the finished runs of a Playbook are not counted yet");
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            }
        };
        tokio::select! {
            () = work => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
    }

    async fn tidy(&self, playbook: &PlaybookName) -> Result<(), kube::Error> {
        let Some(limit) = self.retention.limit(playbook) else {
            return Ok(());
        };
        for run in too_many(self.finished(playbook).await?, limit) {
            self.memory.is_too_many(&run.uid);
            // Nobody listens any more: the process ends.
            let _ = self.wakes.send(run);
        }
        Ok(())
    }

    async fn finished(
        &self,
        (namespace, name): &PlaybookName,
    ) -> Result<Vec<(Timestamp, RunRef)>, kube::Error> {
        let runs: Api<Orchestration> = Api::namespaced(self.client.clone(), namespace);
        let fields = format!("status.stage=Done,spec.playbookRef.name={name}");
        let mut page = ListParams::default().limit(PAGE).fields(&fields);
        let mut finished = Vec::new();
        loop {
            let list = runs.list(&page).await?;
            let there = list
                .items
                .iter()
                .filter(|run| run.metadata.deletion_timestamp.is_none());
            finished.extend(there.filter_map(|run| {
                let at = finished_at(run.status.as_ref()?)?;
                Some((at, run_ref(run)))
            }));
            match list.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page = page.continue_token(&token),
                None => return Ok(finished),
            }
        }
    }
}

/// All but the newest; of two that ended in the same second, the names decide.
fn too_many(mut finished: Vec<(Timestamp, RunRef)>, limit: usize) -> impl Iterator<Item = RunRef> {
    finished.sort_by_key(|(at, run)| Reverse((*at, run.name.clone())));
    finished.into_iter().skip(limit).map(|(_, run)| run)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_kept() {
        let run = |name: &str, second| {
            let run = RunRef {
                namespace: "shop".into(),
                name: name.into(),
                uid: format!("uid-{name}"),
            };
            (Timestamp::from_second(second).unwrap(), run)
        };
        let finished = || vec![run("b", 2), run("d", 4), run("a", 1), run("c", 3)];
        let names = |limit| {
            let runs = too_many(finished(), limit);
            runs.map(|run| run.name).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(names(4), "");
        assert_eq!(names(2), "b a");
        assert_eq!(names(0), "d c b a");
    }
}
