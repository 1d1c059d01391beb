//! Floor 4: which controllers run, when they begin, and what wakes them besides their own objects. They are the work of the
//! leader alone.

use std::sync::Arc;

use futures::{future, stream};
use kube::Api;
use tokio::sync::{mpsc, watch};

use crate::{
    adapters::{kube::policies, ledger::Ledger, oci::Shelf},
    controllers::{
        gate::{self, GateKind, Voted},
        guard::GuardWatch,
        harness::{self, Kind, Shared},
        held::changes,
        playbook::PlaybookKind,
        pulse::Pulse,
        trust_policy::TrustPolicyKind,
        verification::Verification,
    },
};

/// Whether each controller hears and moves.
#[derive(Clone)]
pub(super) struct Pulses {
    trust_policies: Arc<Pulse>,
    playbooks: Arc<Pulse>,
    gates: Arc<Pulse>,
}

impl Default for Pulses {
    fn default() -> Self {
        Self {
            trust_policies: Arc::new(Pulse::new(TrustPolicyKind::NAME)),
            playbooks: Arc::new(Pulse::new(PlaybookKind::NAME)),
            gates: Arc::new(Pulse::new(GateKind::NAME)),
        }
    }
}

impl Pulses {
    pub(super) fn all(&self) -> [Arc<Pulse>; 3] {
        [&self.trust_policies, &self.playbooks, &self.gates].map(Arc::clone)
    }
}

/// What the controllers work with.
pub(super) struct Controllers {
    pub(super) shared: Shared,
    pub(super) pulses: Pulses,
    pub(super) ledger: Ledger,
    /// Since when votes are trusted.
    pub(super) guard: Arc<GuardWatch>,
    /// The operator's own, in which keys and roots lie.
    pub(super) namespace: String,
    /// Where artifacts come from.
    pub(super) shelf: Arc<Shelf>,
}

impl Controllers {
    /// Waits until this replica leads and its kinds are served, then runs the controllers until told to stop.
    pub(super) async fn work(
        self,
        mut leading: watch::Receiver<bool>,
        mut kinds: watch::Receiver<bool>,
        mut stop: watch::Receiver<bool>,
    ) {
        let ready = async {
            // An error means that the other task has ended, and with it the process.
            if leading.wait_for(|leads| *leads).await.is_err() {
                return false;
            }
            self.shared.metrics.leader(true);
            // Passes that find the log half open would only have to be repeated.
            self.ledger.settled().await;
            kinds.wait_for(|served| *served).await.is_ok()
        };
        tokio::select! {
            ready = ready => if !ready { return },
            _ = stop.wait_for(|stop| *stop) => return,
        }
        self.run(stop).await;
    }

    async fn run(self, mut stop: watch::Receiver<bool>) {
        let Self {
            shared,
            pulses,
            ledger,
            guard,
            namespace,
            shelf,
        } = self;
        let client = shared.client.clone();
        let (policies, watching) = policies::prepare(client.clone(), namespace);
        let (set_back, set_backs) = watch::channel(0);
        let trust_policies = harness::run(
            TrustPolicyKind::new(policies.clone(), ledger.clone(), client.clone(), set_back),
            Api::all(client.clone()),
            shared.clone(),
            pulses.trust_policies,
            changes(policies.changes()),
            stop.clone(),
        );
        // Nobody waits for Gates yet.
        let (runs, _) = mpsc::unbounded_channel();
        let gates = gates(&shared, &ledger, guard, pulses.gates, runs, stop.clone());
        let playbooks = async {
            tokio::select! {
                () = policies.settled() => {}
                _ = stop.wait_for(|stop| *stop) => {}
            }
            let verification = Verification::new(
                policies.clone(),
                ledger.clone(),
                shelf,
                Arc::clone(&shared.metrics),
            );
            harness::run(
                PlaybookKind::new(ledger, verification),
                Api::all(client),
                shared,
                pulses.playbooks,
                stream::select(changes(policies.changes()), changes(set_backs)),
                stop,
            )
            .await;
        };
        // Passes under way are finished; a watch that ends by itself ends the process.
        tokio::select! {
            () = watching.run() => {}
            _ = future::join3(trust_policies, playbooks, gates) => {}
        }
    }
}

/// The Gate controller, woken by votes.
fn gates(
    shared: &Shared,
    ledger: &Ledger,
    guard: Arc<GuardWatch>,
    pulse: Arc<Pulse>,
    runs: mpsc::UnboundedSender<gate::RunName>,
    stop: watch::Receiver<bool>,
) -> impl Future<Output = ()> + use<> {
    let client = shared.client.clone();
    let voted = Arc::new(Voted::default());
    let wakes = gate::wakes(client.clone(), Arc::clone(&voted), guard.changes());
    let metrics = Arc::clone(&shared.metrics);
    let kind = GateKind::new(client.clone(), guard, ledger.clone(), metrics, voted, runs);
    harness::run(kind, Api::all(client), shared.clone(), pulse, wakes, stop)
}
