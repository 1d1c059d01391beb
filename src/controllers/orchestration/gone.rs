//! Floor 3: what is left of runs whose object is gone: their locks are released and their end is on record, so that nobody
//! waits for ever and the log does not stop in the middle. Runs that ended while the log could not be written are released
//! here as well. Nothing of a run goes on here.

use std::{
    collections::{BTreeMap, HashSet},
    future::Future,
    sync::Arc,
    time::Duration,
};

use kube::{Api, Client, ResourceExt, api::ListParams};
use tokio::sync::{mpsc, watch};

use super::{memory::Memory, records};
use crate::{
    adapters::{
        kube::{error::chain, scope::Scope},
        ledger::{Ledger, Refusal},
    },
    api::v1alpha1::Orchestration,
    domain::{plan::RunRef, run::History},
    ports::RunKey,
};

/// Before it is tried again.
const PAUSE: Duration = Duration::from_secs(2);
/// So many names at once.
const PAGE: u32 = 500;

/// A run that nobody looks at any more, and that may still hold something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loose {
    /// Its object is gone.
    Gone(RunRef),
    /// It has come to its end, and its locks could not be released then.
    Unreleased(RunRef),
    /// Whichever was deleted while nobody watched.
    Missed,
}

/// Puts what is loose to its end.
pub struct Sweeper {
    ledger: Ledger,
    client: Client,
    scope: Scope,
    loose: mpsc::UnboundedReceiver<Loose>,
    memory: Arc<Memory>,
    wake: Box<dyn Fn() + Send + Sync>,
}

impl Sweeper {
    pub(super) fn new(
        ledger: Ledger,
        (client, scope): (Client, Scope),
        loose: mpsc::UnboundedReceiver<Loose>,
        memory: Arc<Memory>,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        Self {
            ledger,
            client,
            scope,
            loose,
            memory,
            wake: Box::new(wake),
        }
    }

    /// Works until `stop` turns true.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let work = async {
            while let Some(loose) = self.loose.recv().await {
                match &loose {
                    Loose::Gone(run) => until_done(|| self.sweep(run, true)).await,
                    Loose::Unreleased(run) => until_done(|| self.sweep(run, false)).await,
                    Loose::Missed => self.left_behind().await,
                }
            }
        };
        tokio::select! {
            () = work => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
    }

    /// What the store still holds for runs whose object is not there.
    async fn left_behind(&self) {
        until_done(|| async {
            let mut held: BTreeMap<String, Vec<RunKey>> = BTreeMap::new();
            let claimed = self.ledger.runs().await?;
            for run in claimed.into_iter().chain(self.ledger.joinable().await?) {
                // Left from when more namespaces were watched: whether it is there cannot be seen.
                if !self.scope.covers(Some(&run.namespace)) {
                    tracing::warn!(
                        orchestration.namespace = run.namespace,
                        orchestration.name = run.name,
                        "a run of a namespace that is not watched keeps what it has locked"
                    );
                    continue;
                }
                held.entry(run.namespace.clone()).or_default().push(run);
            }
            for (namespace, runs) in held {
                // After the store was read: what holds something has been there before.
                let there = match self.there(&namespace).await {
                    Ok(there) => there,
                    Err(error) => return Err(Refusal::unavailable(chain(&error))),
                };
                for run in runs.into_iter().filter(|run| !there.contains(&run.uid)) {
                    let run = RunRef {
                        namespace: run.namespace,
                        name: run.name,
                        uid: run.uid,
                    };
                    self.memory.leaves(&run);
                    self.sweep(&run, true).await?;
                }
            }
            Ok(())
        })
        .await;
    }

    /// The uids of the runs of a namespace.
    async fn there(&self, namespace: &str) -> Result<HashSet<String>, kube::Error> {
        let objects: Api<Orchestration> = Api::namespaced(self.client.clone(), namespace);
        let mut page = ListParams::default().limit(PAGE);
        let mut there = HashSet::new();
        loop {
            let list = objects.list_metadata(&page).await?;
            there.extend(list.items.iter().filter_map(ResourceExt::uid));
            match list.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page = page.continue_token(&token),
                None => return Ok(there),
            }
        }
    }

    async fn sweep(&self, run: &RunRef, gone: bool) -> Result<(), Refusal> {
        // A pass that is just recording its end has said all that there is to say.
        if gone && let Some(_ending) = self.memory.ends(&run.uid) {
            self.tell(run).await?;
        }
        self.ledger.release(&run.uid).await?;
        (self.wake)();
        Ok(())
    }
}

impl Sweeper {
    async fn tell(&self, run: &RunRef) -> Result<(), Refusal> {
        let leaves = self.ledger.history(&run.uid).await?;
        let history = History::of(leaves.iter().map(|(at, record)| (at.index, record)));
        if history.requested && history.finished.is_none() {
            self.ledger.record_stop(records::gone(run)).await;
            tracing::info!(
                orchestration.namespace = run.namespace,
                orchestration.name = run.name,
                "a run was deleted before its end; nothing of it goes on"
            );
        }
        Ok(())
    }
}

/// Tries until it is done.
async fn until_done<F: Future<Output = Result<(), Refusal>>>(work: impl Fn() -> F) {
    while let Err(refusal) = work().await {
        tracing::debug!("what is loose stays so for now: {refusal}");
        tokio::time::sleep(PAUSE).await;
    }
}
