//! Floor 3: the Freezes: that somebody stopped or let go on is on record, and whoever waits for it looks again. A Freeze
//! acts from the moment it is there; that it was lifted counts only once it is on record. It stops nothing itself: every run
//! asks before each effect.

use std::collections::BTreeMap;

use futures::{StreamExt as _, TryStreamExt as _};
use kube::{
    Api, Client, ResourceExt as _,
    runtime::{WatchStreamExt as _, watcher},
};
use tokio::sync::watch;

use crate::{
    adapters::{
        kube::error::chain,
        ledger::{Ack, Draft, Ledger, Refusal},
    },
    api::v1alpha1::Freeze,
    controllers::CONTROLLER,
    domain::{
        audit::{
            event::Event,
            record::{Actor, Fact, Method, Object, RecordId},
        },
        reason::Reason,
    },
};

/// Before what could not be recorded is tried again.
const PAUSE: std::time::Duration = std::time::Duration::from_secs(1);

/// The record that says that this Freeze was lifted.
pub fn lifted(uid: &str) -> RecordId {
    RecordId::of(&[uid, Event::FreezeLifted.code()])
}

/// Watches the Freezes, has them on record, and calls `changed` after each change, until `stop` turns true.
pub async fn keep(
    client: Client,
    ledger: Ledger,
    changed: impl Fn(),
    mut stop: watch::Receiver<bool>,
) {
    let events = watcher(Api::<Freeze>::all(client), watcher::Config::default());
    let events = events.default_backoff().map_err(|error| {
        tracing::warn!(error = %chain(&error), "the watch of Freezes is interrupted; it is taken up again");
    });
    let work = async {
        let mut known: BTreeMap<String, Freeze> = BTreeMap::new();
        let mut listed: BTreeMap<String, Freeze> = BTreeMap::new();
        let mut events = std::pin::pin!(events);
        while let Some(event) = events.next().await {
            match event {
                Err(()) => {}
                Ok(watcher::Event::Init) => listed.clear(),
                Ok(watcher::Event::InitApply(freeze)) => {
                    listed.insert(freeze.uid().unwrap_or_default(), freeze);
                }
                Ok(watcher::Event::InitDone) => {
                    let now = std::mem::take(&mut listed);
                    for freeze in now.values() {
                        told(&ledger, freeze).await;
                    }
                    for freeze in known
                        .values()
                        .filter(|old| !now.contains_key(&old.uid().unwrap_or_default()))
                    {
                        removed(&ledger, freeze).await;
                    }
                    known = now;
                    changed();
                }
                Ok(watcher::Event::Apply(freeze)) => {
                    told(&ledger, &freeze).await;
                    known.insert(freeze.uid().unwrap_or_default(), freeze);
                    changed();
                }
                Ok(watcher::Event::Delete(freeze)) => {
                    removed(&ledger, &freeze).await;
                    known.remove(&freeze.uid().unwrap_or_default());
                    changed();
                }
            }
        }
    };
    tokio::select! {
        () = work => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
}

async fn told(ledger: &Ledger, freeze: &Freeze) {
    let by = freeze.spec.frozen_by.as_deref();
    ledger
        .record_stop(draft(freeze, Event::FreezePlaced, by, Reason::Frozen))
        .await;
    let Some(by) = freeze.spec.lifted_by.as_deref() else {
        return;
    };
    // Letting go on is a step forward: it waits until it can be recorded.
    let record = || draft(freeze, Event::FreezeLifted, Some(by), Reason::Running);
    while let Err(refusal) = lift(ledger, record()).await {
        tracing::warn!(
            "a Freeze was lifted and acts on, because that cannot be recorded: {refusal}"
        );
        tokio::time::sleep(PAUSE).await;
    }
}

async fn lift(ledger: &Ledger, record: Draft) -> Result<(), Refusal> {
    ledger.record(record, Ack::Durable).await.map(|_| ())
}

async fn removed(ledger: &Ledger, freeze: &Freeze) {
    if freeze.spec.lifted_by.is_none() {
        ledger
            .record_stop(draft(freeze, Event::FreezeRemoved, None, Reason::Running))
            .await;
    }
}

fn draft(freeze: &Freeze, event: Event, by: Option<&str>, reason: Reason) -> Draft {
    let uid = freeze.uid().unwrap_or_default();
    let actor = match by {
        Some(by) => Actor {
            method: Method::ApiServer,
            ..Actor::operator(by)
        },
        None => Actor::operator(CONTROLLER),
    };
    let id = RecordId::of(&[&uid, event.code()]);
    let mut fact = Fact::new(id, event, actor).outcome(reason);
    fact.object = Some(Object {
        generation: None,
        kind: "Freeze".into(),
        name: freeze.name_any().into(),
        namespace: None,
        uid: uid.as_str().into(),
    });
    Draft {
        fact,
        details: Some(freeze.spec.reason.clone()),
        notice: None,
    }
}
