//! Floor 4: which controllers run, when they begin, and what wakes them besides their own objects. They are the work of the
//! leader alone.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::{Stream, StreamExt as _, future, stream};
use kube::{Api, Client, runtime::reflector::ObjectRef};
use tokio::sync::{mpsc, watch};

use crate::{
    adapters::{
        kube::{
            keys::Keys,
            policies::{self, Policies},
            scope,
        },
        ledger::Ledger,
        oci::Shelf,
        steps::Installation,
    },
    controllers::{
        counting::Counting,
        freezes,
        gate::{self, GateKind, Voted},
        guard::GuardWatch,
        harness::{self, Kind, Shared, Wake},
        held::changes,
        matching::Matching,
        orchestration::{self, OrchestrationKind},
        planner::Planner,
        playbook::PlaybookKind,
        pulse::Pulse,
        retention::{PlaybookName, Retention},
        trust_policy::TrustPolicyKind,
        verification::Verification,
    },
};

/// Changes of Playbooks that come within so long are looked at together.
const GATHERING: Duration = Duration::from_millis(500);

/// Whether each controller hears and moves.
#[derive(Clone)]
pub(super) struct Pulses {
    trust_policies: Arc<Pulse>,
    playbooks: Arc<Pulse>,
    gates: Arc<Pulse>,
    orchestrations: Arc<Pulse>,
}

impl Default for Pulses {
    fn default() -> Self {
        Self {
            trust_policies: Arc::new(Pulse::new(TrustPolicyKind::NAME)),
            playbooks: Arc::new(Pulse::new(PlaybookKind::NAME)),
            gates: Arc::new(Pulse::new(GateKind::NAME)),
            orchestrations: Arc::new(Pulse::new(OrchestrationKind::NAME)),
        }
    }
}

impl Pulses {
    pub(super) fn all(&self) -> [Arc<Pulse>; 4] {
        [
            &self.trust_policies,
            &self.playbooks,
            &self.gates,
            &self.orchestrations,
        ]
        .map(Arc::clone)
    }
}

/// What the controllers work with.
pub(super) struct Controllers {
    pub(super) shared: Shared,
    /// What is asked through it is asked in the name of a playbook's account.
    pub(super) accounts: Client,
    pub(super) pulses: Pulses,
    pub(super) ledger: Ledger,
    /// Since when votes are trusted.
    pub(super) guard: Arc<GuardWatch>,
    /// The operator's own, in which keys and roots lie.
    pub(super) namespace: String,
    /// Where artifacts come from.
    pub(super) shelf: Arc<Shelf>,
    /// The operator's own keys, which hide in plans what nobody may read.
    pub(super) keys: Keys,
    /// What steps find beside the cluster.
    pub(super) installation: Installation,
    /// Runs of one namespace that may be under way at the same time.
    pub(super) namespace_limit: u32,
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
            accounts,
            pulses,
            ledger,
            guard,
            namespace,
            shelf,
            keys,
            installation,
            namespace_limit,
        } = self;
        let client = shared.client.clone();
        let (policies, watching) = policies::prepare(client.clone(), namespace);
        let (set_back, set_backs) = watch::channel(0);
        let both = (&policies, &ledger);
        let trust_policies =
            trust_policies(&shared, both, pulses.trust_policies, set_back, stop.clone());
        let (runs, settled) = mpsc::unbounded_channel();
        let (looks, gated) = (Arc::clone(&guard), pulses.gates);
        let gates = gates(&shared, &ledger, looks, gated, runs, stop.clone());
        let verification = Verification::new(
            policies.clone(),
            ledger.clone(),
            shelf,
            Arc::clone(&shared.metrics),
        );
        let clients = (client.clone(), accounts);
        let (changed, playbooks_changed) = mpsc::unbounded_channel();
        let (retention, uncounted) = Retention::new();
        let orchestrations = Runs {
            shared: shared.clone(),
            ledger: ledger.clone(),
            guard,
            planner: Planner::new(clients, verification.clone(), keys, installation),
            matching: Arc::new(Matching::new(client.clone(), verification.clone())),
            playbooks_changed,
            pulse: pulses.orchestrations,
            settled,
            namespace_limit,
            retention: Arc::clone(&retention),
            uncounted,
        };
        let judged = async {
            // Judged without its policies, a Playbook would be called untrusted that is not.
            tokio::select! {
                () = policies.settled() => {}
                _ = stop.wait_for(|stop| *stop) => {}
            }
            let kind = PlaybookKind::new(ledger, verification, (changed, retention));
            let wakes = stream::select(changes(policies.changes()), changes(set_backs));
            let (all, pulse) = (shared.scope.watch(Api::all(client)), pulses.playbooks);
            let playbooks = harness::run(kind, all, shared, pulse, wakes, stop.clone());
            future::join(playbooks, orchestrations.work(stop.clone())).await;
        };
        // Passes under way are finished; a watch that ends by itself ends the process.
        tokio::select! {
            () = watching.run() => {}
            _ = future::join3(trust_policies, judged, gates) => {}
        }
    }
}

/// What the runs need.
struct Runs {
    shared: Shared,
    ledger: Ledger,
    guard: Arc<GuardWatch>,
    planner: Planner,
    matching: Arc<Matching>,
    /// Namespaces in which a Playbook changed.
    playbooks_changed: mpsc::UnboundedReceiver<String>,
    pulse: Arc<Pulse>,
    /// Runs whose Gate the watch spoke of.
    settled: mpsc::UnboundedReceiver<gate::RunName>,
    namespace_limit: u32,
    retention: Arc<Retention>,
    /// Playbooks whose finished runs are to be counted.
    uncounted: mpsc::UnboundedReceiver<PlaybookName>,
}

impl Runs {
    /// The Orchestration controller, woken by Gates, Freezes and released locks; and what ends runs that are gone.
    async fn work(self, stop: watch::Receiver<bool>) {
        let (client, scope) = (self.shared.client.clone(), self.shared.scope.clone());
        let (wakes, woken) = mpsc::unbounded_channel();
        let (loose, found_loose) = mpsc::unbounded_channel();
        let kind = OrchestrationKind::new(orchestration::Parts {
            client: client.clone(),
            ledger: self.ledger.clone(),
            planner: self.planner,
            counting: Counting::new(client.clone(), Arc::clone(&self.guard)),
            matching: self.matching,
            guard: self.guard,
            metrics: Arc::clone(&self.shared.metrics),
            namespace_limit: self.namespace_limit,
            wakes,
            loose,
            retention: self.retention,
        });
        let tidier = kind.tidier(self.uncounted).run(stop.clone());
        let sweeper = kind.sweeper(scope.clone(), found_loose).run(stop.clone());
        let choosing = together(self.playbooks_changed, kind.chooser(), stop.clone());
        let freezes = freezes::keep(client.clone(), self.ledger, kind.waker(), stop.clone());
        let by_gate = listened(self.settled).map(|(namespace, name)| run_named(&namespace, &name));
        let by_name = listened(woken).map(|run| run_named(&run.namespace, &run.name));
        let runs = harness::run(
            kind,
            scope.watch(Api::all(client)),
            self.shared,
            self.pulse,
            stream::select(by_gate, by_name),
            stop,
        );
        let beside = future::join(choosing, tidier);
        future::join4(runs, sweeper, freezes, beside).await;
    }
}

/// Tells each namespace that comes through the channel, but one that comes again and again no more than once in a while:
/// many Playbooks are applied together, and each changes more than once until it is judged.
async fn together(
    mut changed: mpsc::UnboundedReceiver<String>,
    tell: impl Fn(&str),
    mut stop: watch::Receiver<bool>,
) {
    let work = async {
        while let Some(first) = changed.recv().await {
            tokio::time::sleep(GATHERING).await;
            let mut namespaces = BTreeSet::from([first]);
            while let Ok(next) = changed.try_recv() {
                namespaces.insert(next);
            }
            for namespace in &namespaces {
                tell(namespace);
            }
        }
    };
    tokio::select! {
        () = work => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
}

fn run_named(namespace: &str, name: &str) -> Wake<OrchestrationKind> {
    Wake::One(ObjectRef::new(name).within(namespace))
}

/// What comes through a channel, as a stream.
fn listened<T: Send + 'static>(
    channel: mpsc::UnboundedReceiver<T>,
) -> impl Stream<Item = T> + Send + 'static {
    stream::unfold(channel, |mut channel| async move {
        let item = channel.recv().await?;
        Some((item, channel))
    })
}

/// The TrustPolicy controller, woken by the ConfigMaps that policies name.
fn trust_policies(
    shared: &Shared,
    (policies, ledger): (&Policies, &Ledger),
    pulse: Arc<Pulse>,
    set_back: watch::Sender<u64>,
    stop: watch::Receiver<bool>,
) -> impl Future<Output = ()> + use<> {
    let client = shared.client.clone();
    let kind = TrustPolicyKind::new(policies.clone(), ledger.clone(), client.clone(), set_back);
    let (all, wakes) = (
        scope::everywhere(Api::all(client)),
        changes(policies.changes()),
    );
    harness::run(kind, all, shared.clone(), pulse, wakes, stop)
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
    let (client, scope) = (shared.client.clone(), &shared.scope);
    let voted = Arc::new(Voted::default());
    let wakes = gate::wakes(client.clone(), scope, Arc::clone(&voted), guard.changes());
    let metrics = Arc::clone(&shared.metrics);
    let kind = GateKind::new(client.clone(), guard, ledger.clone(), metrics, voted, runs);
    let all = scope.watch(Api::all(client));
    harness::run(kind, all, shared.clone(), pulse, wakes, stop)
}
