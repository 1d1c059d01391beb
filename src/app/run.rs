//! Floor 4: the process. Every task is owned here; the first to end ends all of them, and the process with an error
//! unless a signal came. Order of a stop: the controllers finish their passes, then the transparency log its last records,
//! then the Lease is released.

use std::{
    hash::{BuildHasher as _, Hasher as _},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use futures::FutureExt;
use jiff::SignedDuration;
use kube::Client;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
    task::{AbortHandle, JoinSet},
};

use super::{
    config::{OperatorConfig, Role},
    controllers::{Controllers, Pulses},
    readiness::{self, Surroundings},
    serving,
};
use crate::{
    adapters::{
        certificate::CertificateError,
        kube::{
            anchor::Anchor,
            client::{self, ClientError},
            error::chain,
            events::Events,
            guard::{Guard, GuardError},
            keys::Keys,
            lease::{self, LeaseError, LeaseFence, LeaseSettings},
            scope::Scope,
        },
        ledger::{self, Ledger},
        metrics::Metrics,
        oci::Shelf,
        store::StoreUrl,
    },
    controllers::{guard::GuardWatch, harness::Shared},
    http::probes::ProbesError,
    ports::Leadership,
};

/// Requests about the Lease are answered within this or tried again.
const LEASE_PATIENCE: Duration = Duration::from_secs(3);
/// How long the last records and their checkpoint may take.
const AUDIT_GRACE: Duration = Duration::from_secs(6);
/// How long probes and Lease may take to end after the controllers have.
const REST_GRACE: Duration = Duration::from_secs(4);

/// Why the process ends without a signal.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// No way to the API server.
    #[error("could not reach a cluster")]
    Client(#[source] ClientError),
    /// The embedded policies are unreadable.
    #[error("could not read what this binary ships")]
    Guard(#[source] GuardError),
    /// Two metrics have one name.
    #[error("could not register metrics")]
    Metrics(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// There is nothing to encrypt them with.
    #[error("could not serve probes and metrics encrypted; look at --tls-cert and --tls-key")]
    Certificate(#[source] CertificateError),
    /// Probes cannot be served.
    #[error("could not serve probes")]
    Probes(#[source] ProbesError),
    /// Leadership was lost; whoever leads now goes on.
    #[error("stopping because leadership ended")]
    Lease(#[source] LeaseError),
    /// There is no place for the store and the spool.
    #[error("could not make the data directory {}; set --data-dir to one that may be written", path.display())]
    DataDir {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Another replica writes the log; whoever leads now goes on.
    #[error("stopping because the transparency log has another writer")]
    Audit(#[source] ledger::Failure),
    /// Signals cannot be received.
    #[error("could not listen for signals")]
    Signals(#[source] std::io::Error),
    /// A task panicked.
    #[error("a task of the operator panicked")]
    Panicked(#[source] tokio::task::JoinError),
    /// A task ended that must not end.
    #[error("the task {0} ended by itself")]
    Ended(&'static str),
    /// Nothing in this version does what was asked for.
    #[error("the role api alone has nothing to serve in this version; run --roles controller,api")]
    ApiAlone,
}

type Tasks = JoinSet<(&'static str, Result<(), RunError>)>;

/// Runs the operator until a signal comes or a task ends.
pub async fn run(config: OperatorConfig) -> Result<(), RunError> {
    if !config.roles.contains(&Role::Controller) {
        return Err(RunError::ApiAlone);
    }
    // Before anything is started: a signal that comes early must not be lost.
    let mut term = signal(SignalKind::terminate()).map_err(RunError::Signals)?;
    let mut int = signal(SignalKind::interrupt()).map_err(RunError::Signals)?;
    let stops = Stops::default();
    let (mut tasks, scribe) = start(&config, &stops).await?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        "the operator is running"
    );
    tokio::select! {
        _ = term.recv() => tracing::info!("SIGTERM: finishing"),
        _ = int.recv() => tracing::info!("SIGINT: finishing"),
        // Leaving drops every task where it stands: a deposed leader must not write another byte.
        Some(ended) = tasks.join_next() => return Err(failure(ended)),
    }
    finish(&config, tasks, &stops, &scribe).await
}

/// The stages of a stop; each turns true once.
#[derive(Default)]
struct Stops {
    work: watch::Sender<bool>,
    audit: watch::Sender<bool>,
    rest: watch::Sender<bool>,
}

fn failure(
    ended: Result<(&'static str, Result<(), RunError>), tokio::task::JoinError>,
) -> RunError {
    match ended {
        Ok((_, Err(error))) => error,
        Ok((name, Ok(()))) => RunError::Ended(name),
        Err(error) => RunError::Panicked(error),
    }
}

async fn finish(
    config: &OperatorConfig,
    mut tasks: Tasks,
    stops: &Stops,
    scribe: &AbortHandle,
) -> Result<(), RunError> {
    stops.work.send_replace(true);
    let grace = config.shutdown_grace.0;
    if ended(&mut tasks, CONTROLLERS, grace).await?.is_none() {
        let grace = config.shutdown_grace;
        tracing::warn!("passes did not end within {grace}; leaving them");
    }
    // Nobody records any more: the last records, the last checkpoint.
    stops.audit.send_replace(true);
    if ended(&mut tasks, AUDIT, AUDIT_GRACE).await?.is_none() {
        tracing::warn!("the transparency log did not end in time; the next leader goes on with it");
        // Before the Lease goes: it must not wake up beside another writer.
        scribe.abort();
    }
    stops.rest.send_replace(true);
    let rest = async {
        while let Some(ended) = tasks.join_next().await {
            if let Ok((name, Err(error))) = ended {
                tracing::warn!(task = name, error = %chain(&error), "ended badly");
            }
        }
    };
    if tokio::time::timeout(REST_GRACE, rest).await.is_err() {
        tracing::warn!("probes and lease did not end in time; leaving them");
    }
    tracing::info!("the operator has stopped");
    Ok(())
}

/// Waits for the end of one task, for so long; another one that fails meanwhile ends the process. Controllers that
/// outlast their time may still come to their end.
async fn ended(
    tasks: &mut Tasks,
    name: &'static str,
    grace: Duration,
) -> Result<Option<()>, RunError> {
    let waiting = async {
        loop {
            match tasks.join_next().await {
                None => return Ok(()),
                Some(Ok((ended, Ok(())))) if ended == name => return Ok(()),
                Some(Ok((CONTROLLERS, Ok(())))) => {}
                Some(ended) => return Err(failure(ended)),
            }
        }
    };
    match tokio::time::timeout(grace, waiting).await {
        Ok(ended) => ended.map(Some),
        Err(_) => Ok(None),
    }
}

const CONTROLLERS: &str = "controllers";
const AUDIT: &str = "audit";

/// Starts every task. Nothing else in the crate starts one.
async fn start(config: &OperatorConfig, stops: &Stops) -> Result<(Tasks, AbortHandle), RunError> {
    let metrics = Arc::new(Metrics::new().map_err(|error| RunError::Metrics(Box::new(error)))?);
    let settings = lease_settings(config);
    // A taken port and wrong files are told before anything waits for a cluster.
    let port = serving::open(config, &settings.identity).await?;
    let [client, accounts, impatient] = connect(config).await.map_err(RunError::Client)?;
    let guard = Guard::new(client.clone()).map_err(RunError::Guard)?;
    let surroundings = Arc::new(Surroundings::default());
    let fence = Arc::new(LeaseFence::default());
    let leading = watch::Sender::new(false);
    let pulses = Pulses::default();
    let scope = Scope::of(config.watch_namespaces.iter().map(|name| name.0.clone()));
    let events = Events::new(client.clone(), settings.identity.clone(), scope.clone());
    make_data_dir(config)?;
    let leads = Arc::clone(&fence) as Arc<dyn Leadership>;
    let parts = parts(config, &settings, &impatient, &events, &metrics, leads);
    let (ledger, scribe) = ledger::prepare(parts);
    let guard = Arc::new(GuardWatch::new(guard, ledger.clone(), Arc::clone(&metrics)));

    let mut tasks = Tasks::new();
    let probes = serving::answers(
        (config, &client),
        &surroundings,
        &fence,
        &pulses,
        &ledger,
        &metrics,
    );
    let serve = port.serve(probes, stops.rest.subscribe());
    tasks.spawn(serve.map(|ended| ("probes", ended.map_err(RunError::Probes))));
    let look = readiness::look(
        client.clone(),
        Arc::clone(&guard),
        Arc::clone(&surroundings),
        Arc::clone(&metrics),
        ledger.open(),
        stops.rest.subscribe(),
    );
    tasks.spawn(look.map(|()| ("surroundings", Ok(()))));
    let shared = Shared {
        client: client.clone(),
        scope,
        events,
        metrics,
        fence: Arc::clone(&fence) as Arc<dyn Leadership>,
        recording: ledger.open(),
        concurrency: config.concurrency.0,
    };
    let scribe = scribe.run(leading.subscribe(), stops.audit.subscribe());
    let scribe = tasks.spawn(scribe.map(|ended| (AUDIT, ended.map_err(RunError::Audit))));
    let work = controllers(config, (shared, accounts), pulses, ledger, guard).work(
        leading.subscribe(),
        surroundings.kinds_served(),
        stops.work.subscribe(),
    );
    tasks.spawn(work.map(|()| (CONTROLLERS, Ok(()))));
    let stop = stops.rest.subscribe();
    let lease = lease::keep(impatient, client, settings, fence, leading, stop);
    tasks.spawn(lease.map(|ended| ("lease", ended.map_err(RunError::Lease))));
    Ok((tasks, scribe))
}

/// What the controllers work with.
fn controllers(
    config: &OperatorConfig,
    (shared, accounts): (Shared, Client),
    pulses: Pulses,
    ledger: Ledger,
    guard: Arc<GuardWatch>,
) -> Controllers {
    let login = Some(&config.registry_config).filter(|path| !path.as_os_str().is_empty());
    let plain_http = config.plain_http.clone();
    Controllers {
        keys: Keys::new(shared.client.clone(), &config.namespace, &config.audit_keys),
        shared,
        accounts,
        pulses,
        ledger,
        guard,
        namespace: config.namespace.clone(),
        shelf: Arc::new(Shelf::new(&config.data_dir, login.cloned(), plain_http)),
        installation: super::installation::installation(config),
        namespace_limit: config.concurrent_runs.0.into(),
    }
}

fn make_data_dir(config: &OperatorConfig) -> Result<(), RunError> {
    std::fs::create_dir_all(&config.data_dir).map_err(|source| RunError::DataDir {
        path: config.data_dir.clone(),
        source,
    })
}

/// What the transparency log is written with.
fn parts(
    config: &OperatorConfig,
    lease: &LeaseSettings,
    impatient: &Client,
    events: &Events,
    metrics: &Arc<Metrics>,
    fence: Arc<dyn Leadership>,
) -> ledger::Parts {
    let embedded = || StoreUrl::sqlite(&config.data_dir.join("audit.db"));
    // Read once already, when the configuration was loaded.
    let named = config.store.url().ok().flatten();
    ledger::Parts {
        store: named.unwrap_or_else(embedded),
        directory: config.data_dir.clone(),
        // Whoever waits for the anchor does not wait long.
        anchor: Anchor::new(impatient.clone()),
        keys: Keys::new(impatient.clone(), &config.namespace, &config.audit_keys),
        events: events.clone(),
        metrics: Arc::clone(metrics),
        retention: SignedDuration::from_hours(i64::from(config.audit_retention.0) * 24),
        identity: lease.identity.clone(),
        configuration: config.to_string(),
        fence,
    }
}

/// A client for everything, one for what is asked in the names of accounts, and one for the Lease.
async fn connect(config: &OperatorConfig) -> Result<[Client; 3], ClientError> {
    let kubeconfig = Some(&config.kubeconfig).filter(|path| !path.as_os_str().is_empty());
    let cluster = client::configure(kubeconfig).await?;
    let (client, accounts) = (
        client::connect(cluster.clone())?,
        client::connect_once(cluster.clone())?,
    );
    Ok([
        client,
        accounts,
        client::connect_impatient(cluster, LEASE_PATIENCE)?,
    ])
}

fn lease_settings(config: &OperatorConfig) -> LeaseSettings {
    LeaseSettings {
        namespace: config.namespace.clone(),
        name: config.lease_name.clone(),
        identity: identity(&config.identity),
        duration: config.lease_duration.0,
    }
}

/// A name that no other process has, not even an earlier one of this replica: a Lease is held by a process.
fn identity(configured: &str) -> String {
    let host = if configured.is_empty() {
        std::fs::read_to_string("/proc/sys/kernel/hostname")
            .map_or_else(|_| "neuralops".to_owned(), |name| name.trim().to_owned())
    } else {
        configured.to_owned()
    };
    let random = std::hash::RandomState::new().build_hasher().finish();
    format!("{host}_{random:016x}")
}
