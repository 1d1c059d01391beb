//! Floor 2: leadership by a Lease. `kube-lease-manager` takes and renews it; this file adds what that crate does not
//! give: a fence in time. It goes on saying "leader" while renewals fail, so we also watch the Lease and may act only
//! until the renewal that we have seen runs out. A paused process that wakes up late finds the fence closed.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use futures::{FutureExt, StreamExt, TryStreamExt, future::BoxFuture};
use k8s_openapi::api::coordination::v1::Lease;
use kube::{
    Api, Client,
    runtime::{WatchStreamExt, utils::Backoff, watcher, watcher::Event},
};
use kube_lease_manager::{LeaseManager, LeaseManagerBuilder, LeaseManagerError};
use tokio::sync::watch;

use crate::{
    adapters::clock,
    ports::{Leadership, NotLeader},
};

const PREPARE_PAUSE: Duration = Duration::from_secs(2);

/// How the Lease is held.
#[derive(Clone, Debug)]
pub struct LeaseSettings {
    /// Namespace of the Lease: the operator's own.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// This replica.
    pub identity: String,
    /// How long a leader that falls silent is still the leader.
    pub duration: Duration,
}

/// Why this replica does not lead (any more).
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// Somebody else holds it, or nobody.
    #[error("lost the lease: {0}")]
    Lost(String),
    /// The task that renews it ended.
    #[error("the renewal of the lease ended: {0}")]
    Ended(String),
}

/// What the rest of the process sees of the Lease.
#[derive(Default)]
pub struct LeaseFence {
    until: Mutex<Option<Instant>>,
    /// The newest renewal that was seen, in microseconds.
    renewed: AtomicI64,
}

impl Leadership for LeaseFence {
    fn holds(&self) -> Result<(), NotLeader> {
        match *self.until.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(until) if Instant::now() < until => Ok(()),
            _ => Err(NotLeader),
        }
    }
}

impl LeaseFence {
    fn until(&self) -> Option<Instant> {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, until: Option<Instant>) {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }
}

/// Takes the Lease, keeps it, and ends when it is lost (an error) or when `stop` says so (released).
/// `leading` turns true once, when this replica leads and its fence is open.
///
/// `client` gives up soon, so that a hung request cannot hold up a renewal; `patient` is for the watch, which is
/// silent for as long as nothing happens.
pub async fn keep(
    client: Client,
    patient: Client,
    mut settings: LeaseSettings,
    fence: std::sync::Arc<LeaseFence>,
    leading: watch::Sender<bool>,
    mut stop: watch::Receiver<bool>,
) -> Result<(), LeaseError> {
    // The Lease counts whole seconds, and the fence must not be open for longer than the Lease says.
    settings.duration = Duration::from_secs(settings.duration.as_secs().max(3));
    let Some(manager) = prepare(&client, &settings, &mut stop).await else {
        return Ok(());
    };
    let pause = settings.duration / 10;
    let api: Api<Lease> = Api::namespaced(client, &settings.namespace);
    let one = watcher::Config::default().fields(&format!("metadata.name={}", settings.name));
    let mut seen = watcher(Api::<Lease>::namespaced(patient, &settings.namespace), one)
        .backoff(Steady(pause))
        .boxed();
    let mut change = changed(&manager, Duration::ZERO);
    let mut claimed = false;
    let outcome = loop {
        let expires = fence.until();
        tokio::select! {
            _ = stop.changed() => break Ok(()),
            answer = &mut change => {
                match answer {
                    Ok(leads) => claimed = leads,
                    Err(error) => tracing::warn!(error = %super::error::chain(&error), "could not renew or take the lease; trying again"),
                }
                if !claimed && expires.is_some() {
                    break Err(LeaseError::Lost("it was not renewed, or another replica took it".into()));
                }
                // A claim that the Lease itself does not bear out now is taken up by the next event.
                if claimed && let Ok(lease) = api.get(&settings.name).await {
                    take(&lease, &settings, &fence, &leading);
                }
                change = changed(&manager, pause);
            }
            event = seen.try_next() => {
                if let Err(lost) = observe(event, &settings, &fence, &leading, claimed)
                    && !still_ours(&api, &settings, &fence).await
                {
                    break Err(lost);
                }
            }
            () = until(expires), if expires.is_some() => {
                let seconds = settings.duration.as_secs();
                break Err(LeaseError::Lost(format!("no renewal was seen for {seconds} s")));
            }
        }
    };
    fence.set(None);
    drop(change);
    if outcome.is_ok() {
        release(&manager).await;
    }
    outcome
}

/// Whether an event that says otherwise is older than what is so: a watch may tell of the Lease as it was before it was
/// taken. Nothing is written until that is known.
async fn still_ours(api: &Api<Lease>, settings: &LeaseSettings, fence: &LeaseFence) -> bool {
    let open = fence.until();
    fence.set(None);
    let ours = api
        .get(&settings.name)
        .await
        .is_ok_and(|lease| is_ours(&lease, settings));
    if ours {
        fence.set(open);
    }
    ours
}

/// The next change of the manager's mind, after a pause; it renews meanwhile. Polled to its end and never dropped half
/// way, because it takes the Lease in two writes. (The manager's own task is not used: its pauses after errors grow to
/// twice the length of a Lease and are never reset while it leads.)
fn changed(
    manager: &LeaseManager,
    pause: Duration,
) -> BoxFuture<'_, Result<bool, LeaseManagerError>> {
    async move {
        tokio::time::sleep(pause).await;
        manager.changed().await
    }
    .boxed()
}

/// Releases the Lease, but does not insist: one that is not released runs out by itself.
async fn release(manager: &LeaseManager) {
    match tokio::time::timeout(Duration::from_secs(3), manager.release()).await {
        Ok(Ok(())) => tracing::info!("released the lease"),
        Ok(Err(error)) => tracing::warn!(%error, "could not release the lease"),
        Err(_) => tracing::warn!("no answer while releasing the lease"),
    }
}

/// The Lease, made if it is not there. An API server that does not answer is waited for: not leading is no failure.
async fn prepare(
    client: &Client,
    settings: &LeaseSettings,
    stop: &mut watch::Receiver<bool>,
) -> Option<LeaseManager> {
    let seconds = settings.duration.as_secs();
    loop {
        let built = LeaseManagerBuilder::new(client.clone(), settings.name.as_str())
            .with_namespace(settings.namespace.as_str())
            .with_identity(settings.identity.as_str())
            .with_duration(seconds)
            // Renew when a third of the time has gone, so that an outage of the other two thirds is survived.
            .with_grace((seconds * 2 / 3).max(1))
            .build()
            .await;
        match built {
            Ok(manager) => return Some(manager),
            Err(error) => tracing::warn!(
                lease.namespace = settings.namespace,
                lease.name = settings.name,
                error = %super::error::chain(&error),
                "could not read or make the lease; trying again"
            ),
        }
        tokio::select! {
            () = tokio::time::sleep(PREPARE_PAUSE) => {}
            _ = stop.wait_for(|stop| *stop) => return None,
        }
    }
}

/// The same pause each time: the renewal is seen through this watch, and growing pauses would outlast the Lease.
struct Steady(Duration);

impl Iterator for Steady {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(self.0)
    }
}

impl Backoff for Steady {
    fn reset(&mut self) {}
}

async fn until(instant: Option<Instant>) {
    if let Some(instant) = instant {
        tokio::time::sleep_until(instant.into()).await;
    }
}

fn observe(
    event: Result<Option<Event<Lease>>, watcher::Error>,
    settings: &LeaseSettings,
    fence: &LeaseFence,
    leading: &watch::Sender<bool>,
    claimed: bool,
) -> Result<(), LeaseError> {
    match event {
        Ok(Some(Event::Apply(lease) | Event::InitApply(lease))) if is_ours(&lease, settings) => {
            if claimed {
                take(&lease, settings, fence, leading);
            }
            Ok(())
        }
        Ok(Some(Event::Apply(lease) | Event::InitApply(lease))) if fence.until().is_some() => {
            let holder = lease
                .spec
                .and_then(|spec| spec.holder_identity)
                .unwrap_or_else(|| "nobody".into());
            Err(LeaseError::Lost(format!("{holder} holds it")))
        }
        Ok(Some(Event::Delete(_))) if fence.until().is_some() => {
            Err(LeaseError::Lost("it was deleted".into()))
        }
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err(LeaseError::Ended("the watch of the lease ended".into())),
        // The watcher goes on by itself; the fence closes in time if it does not.
        Err(error) => {
            tracing::debug!(error = %super::error::chain(&error), "the watch of the lease is interrupted");
            Ok(())
        }
    }
}

fn is_ours(lease: &Lease, settings: &LeaseSettings) -> bool {
    lease
        .spec
        .as_ref()
        .and_then(|spec| spec.holder_identity.as_deref())
        == Some(settings.identity.as_str())
}

/// Opens the fence, or moves it on, as far as the renewal that is in this Lease carries.
fn take(
    lease: &Lease,
    settings: &LeaseSettings,
    fence: &LeaseFence,
    leading: &watch::Sender<bool>,
) {
    if !is_ours(lease, settings) {
        return;
    }
    let Some(spec) = &lease.spec else { return };
    let Some(renewed) = &spec.renew_time else {
        return;
    };
    // Before the wall clock is read: a pause between the two must shorten the time, not lengthen it.
    let seen = Instant::now();
    // Our own clock wrote the renewal and reads it now; an event that was long under way shortens the time. A clock
    // that was set back, or a renewal that was seen before, gives no time at all.
    let Ok(age) = Duration::try_from(clock::now().duration_since(renewed.0)) else {
        return;
    };
    let Some(left) = settings.duration.checked_sub(age) else {
        return;
    };
    let renewal = renewed.0.as_microsecond();
    if fence.renewed.fetch_max(renewal, Ordering::AcqRel) >= renewal {
        return;
    }
    let first = fence.until().is_none();
    fence.set(Some(seen + left));
    if first {
        tracing::info!(identity = settings.identity, "leading");
        leading.send_replace(true);
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::{
        api::coordination::v1::LeaseSpec,
        apimachinery::pkg::apis::meta::v1::MicroTime,
        jiff::{SignedDuration, Timestamp},
    };

    use super::*;

    fn settings() -> LeaseSettings {
        LeaseSettings {
            namespace: "n".into(),
            name: "l".into(),
            identity: "me".into(),
            duration: Duration::from_secs(15),
        }
    }

    fn lease(holder: &str, renewed: Timestamp) -> Lease {
        Lease {
            spec: Some(LeaseSpec {
                holder_identity: Some(holder.into()),
                renew_time: Some(MicroTime(renewed)),
                ..LeaseSpec::default()
            }),
            ..Lease::default()
        }
    }

    fn taken(lease: &Lease) -> LeaseFence {
        let fence = LeaseFence::default();
        take(lease, &settings(), &fence, &watch::channel(false).0);
        fence
    }

    #[test]
    fn a_fresh_renewal_opens_the_fence() {
        assert_eq!(taken(&lease("me", clock::now())).holds(), Ok(()));
    }

    #[test]
    fn an_old_renewal_or_another_holder_opens_nothing() {
        let long_ago = clock::now() - SignedDuration::from_secs(16);
        assert_eq!(taken(&lease("me", long_ago)).holds(), Err(NotLeader));
        assert_eq!(taken(&lease("other", clock::now())).holds(), Err(NotLeader));
    }

    #[test]
    fn a_renewal_from_the_future_opens_nothing() {
        let ahead = clock::now() + SignedDuration::from_secs(3600);
        assert_eq!(taken(&lease("me", ahead)).holds(), Err(NotLeader));
    }

    #[test]
    fn a_renewal_counts_once() {
        let first = lease("me", clock::now());
        let fence = taken(&first);
        let until = fence.until();
        take(&first, &settings(), &fence, &watch::channel(false).0);
        assert_eq!(fence.until(), until);
    }

    #[test]
    fn another_holder_ends_leadership() {
        let fence = taken(&lease("me", clock::now()));
        let (sender, _receiver) = watch::channel(true);
        let event = Ok(Some(Event::Apply(lease("other", clock::now()))));
        let lost = observe(event, &settings(), &fence, &sender, true);
        assert!(matches!(lost, Err(LeaseError::Lost(who)) if who.contains("other")));
    }
}
