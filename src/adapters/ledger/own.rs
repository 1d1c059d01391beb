//! Floor 2: what the log records about itself and about the replica that writes it.

use super::Draft;
use crate::{
    adapters::ledger::spool::SpoolError,
    api::v1alpha1::AuditLogSpec,
    domain::{
        audit::{
            event::Event,
            record::{Actor, Fact, Object, RecordId, Root, Standing},
        },
        digest::Digest,
        reason::Reason,
    },
    ports::{Epoch, Log},
};

/// The replica that writes.
pub(super) struct Replica {
    /// Its name, which no other process has.
    pub(super) identity: String,
    /// The configuration it runs with; no secret is in it.
    pub(super) configuration: String,
}

impl Replica {
    fn fact(&self, event: Event, parts: &[&str]) -> Fact {
        let actor = Actor::operator(self.identity.as_str());
        let parts = [&[event.code()], parts].concat();
        Fact::new(RecordId::of(&parts), event, actor)
    }

    /// The first leaf of a log: that it begins, and which logs it follows, as the anchor and as the store have them.
    pub(super) fn begins(&self, spec: &AuditLogSpec, logs: &[Log]) -> Draft {
        let Some(previous) = spec.previous.last() else {
            return self.fact(Event::LogOpened, &[&spec.origin]).into();
        };
        let mut fact = self.fact(Event::LogFollowed, &[&spec.origin]);
        if let (Ok(size), Ok(root)) = (previous.size.try_into(), previous.root.parse()) {
            fact.logs.push(Standing {
                origin: previous.origin.as_str().into(),
                size,
                root: Root(root),
            });
        }
        let before = logs.iter().rev().find(|log| log.origin != spec.origin);
        fact.logs.extend(before.map(|log| Standing {
            origin: log.origin.as_str().into(),
            size: log.size,
            root: Root(log.root),
        }));
        fact.into()
    }

    /// It leads from now on.
    pub(super) fn elected(&self, epoch: Epoch) -> Draft {
        let mut fact = self.fact(Event::LeaderElected, &[&self.identity]);
        fact.object = Some(object("Leadership", &epoch.to_string(), &self.identity));
        fact.into()
    }

    /// It runs with this configuration.
    pub(super) fn configured(&self) -> Draft {
        let digest = Digest::of(self.configuration.as_bytes());
        let mut fact = self.fact(Event::ConfigLoaded, &[&self.identity]);
        fact.object = Some(object(
            "Configuration",
            env!("CARGO_PKG_VERSION"),
            digest.as_str(),
        ));
        Draft {
            fact,
            details: Some(self.configuration.clone()),
            notice: None,
        }
    }

    /// It gives leadership up in good order.
    pub(super) fn released(&self) -> Draft {
        self.fact(Event::LeaderReleased, &[&self.identity]).into()
    }

    /// The spool was put aside.
    pub(super) fn spool_refused(&self, aside: &str, error: &SpoolError) -> Draft {
        let mut fact = self
            .fact(Event::SpoolRefused, &[&self.identity, aside])
            .outcome(Reason::SpoolAltered);
        fact.object = Some(object("Spool", aside, aside));
        Draft {
            fact,
            details: Some(error.to_string()),
            notice: None,
        }
    }
}

fn object(kind: &str, name: &str, uid: &str) -> Object {
    Object {
        kind: kind.into(),
        namespace: None,
        name: name.into(),
        uid: uid.into(),
        generation: None,
    }
}
