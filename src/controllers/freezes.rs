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
        ledger::{Ack, Draft, Ledger},
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
        let mut keeper = Keeper {
            ledger,
            known: BTreeMap::new(),
            listed: BTreeMap::new(),
            lifted: BTreeMap::new(),
        };
        let mut events = std::pin::pin!(events);
        loop {
            // Nobody who freezes waits for what cannot be recorded.
            let event = tokio::select! {
                event = events.next() => match event {
                    Some(event) => Some(event),
                    None => break,
                },
                () = tokio::time::sleep(PAUSE), if !keeper.lifted.is_empty() => None,
            };
            let heard = match event {
                Some(Ok(event)) => keeper.hear(event).await,
                Some(Err(())) | None => false,
            };
            if keeper.lift().await || heard {
                changed();
            }
        }
    };
    tokio::select! {
        () = work => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
}

/// What is known of the Freezes, each by its uid.
struct Keeper {
    ledger: Ledger,
    known: BTreeMap<String, Freeze>,
    /// Those of the listing that is going on.
    listed: BTreeMap<String, Freeze>,
    /// Those that were lifted, and of which that is not on record yet.
    lifted: BTreeMap<String, Freeze>,
}

impl Keeper {
    /// Whether something changed.
    async fn hear(&mut self, event: watcher::Event<Freeze>) -> bool {
        match event {
            watcher::Event::Init => self.listed.clear(),
            watcher::Event::InitApply(freeze) => {
                self.listed.insert(freeze.uid().unwrap_or_default(), freeze);
            }
            watcher::Event::InitDone => {
                let now = std::mem::take(&mut self.listed);
                for freeze in now.values() {
                    self.placed(freeze).await;
                }
                for (uid, freeze) in std::mem::replace(&mut self.known, now) {
                    if !self.known.contains_key(&uid) {
                        self.removed(&freeze).await;
                    }
                }
                return true;
            }
            watcher::Event::Apply(freeze) => {
                self.placed(&freeze).await;
                self.known.insert(freeze.uid().unwrap_or_default(), freeze);
                return true;
            }
            watcher::Event::Delete(freeze) => {
                self.removed(&freeze).await;
                self.known.remove(&freeze.uid().unwrap_or_default());
                return true;
            }
        }
        false
    }

    async fn placed(&mut self, freeze: &Freeze) {
        let by = freeze.spec.frozen_by.as_deref();
        let record = draft(freeze, Event::FreezePlaced, by, Reason::Frozen);
        self.ledger.record_stop(record).await;
        if freeze.spec.lifted_by.is_some() {
            let uid = freeze.uid().unwrap_or_default();
            self.lifted.insert(uid, freeze.clone());
        }
    }

    /// Letting go on is a step forward: it waits until it can be recorded. Whether any was.
    async fn lift(&mut self) -> bool {
        let mut any = false;
        for (uid, freeze) in std::mem::take(&mut self.lifted) {
            let by = freeze.spec.lifted_by.as_deref();
            let record = draft(&freeze, Event::FreezeLifted, by, Reason::Running);
            match self.ledger.record(record, Ack::Durable).await {
                Ok(_) => any = true,
                Err(refusal) => {
                    tracing::warn!(
                        "a Freeze was lifted and acts on, because that cannot be recorded: {refusal}"
                    );
                    self.lifted.insert(uid, freeze);
                }
            }
        }
        any
    }

    async fn removed(&self, freeze: &Freeze) {
        if freeze.spec.lifted_by.is_none() {
            let record = draft(freeze, Event::FreezeRemoved, None, Reason::Running);
            self.ledger.record_stop(record).await;
        }
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
