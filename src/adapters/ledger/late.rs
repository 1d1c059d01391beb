//! Floor 2: what is recorded first when a log opens: the stops that waited in the spool, and who leads with which
//! configuration. It takes the way of all other records.

use std::sync::Arc;

use super::{
    Ack, Ledger,
    own::Replica,
    spool::{Spool, SpoolError},
};
use crate::{
    adapters::{clock, kube::error::chain},
    domain::reason::Reason,
    ports::Epoch,
};

/// Brings what was spooled into the log, marked as late. What cannot be brought in now stays for the next time.
pub(super) async fn bring_in(spool: &Arc<Spool>, ledger: &Ledger, replica: &Replica) {
    if spool.is_empty() {
        return;
    }
    let waiting = match spool.read().await {
        Ok(waiting) => waiting,
        Err(error) => {
            tracing::warn!(error = %chain(&error), "the spool of stops cannot be read now");
            return;
        }
    };
    for late in &waiting.stops {
        let sent = ledger.send(late.draft.clone(), Some(late.happened), Ack::Durable);
        if let Err(refusal) = sent.await {
            tracing::warn!("the spool of stops stays for now, because {refusal}");
            return;
        }
    }
    if let Some(altered) = &waiting.altered {
        return put_aside(spool, ledger, replica, altered).await;
    }
    let count = waiting.stops.len();
    match spool.clear(&waiting).await {
        Ok(true) => {
            ledger.metrics.spool(0);
            tracing::info!(count, "stops from the spool are in the log now");
        }
        Ok(false) => tracing::debug!("more stops were spooled meanwhile"),
        Err(error) => {
            tracing::warn!(error = %chain(&error), "the spool could not be emptied; its stops are in the log");
        }
    }
}

/// On record first, then out of the way.
async fn put_aside(spool: &Spool, ledger: &Ledger, replica: &Replica, error: &SpoolError) {
    let path = spool.aside(clock::now());
    let aside = path.display().to_string();
    let draft = replica.spool_refused(&aside, error);
    if let Err(refusal) = ledger.record(draft, Ack::Durable).await {
        tracing::error!("that the spool was altered could not be recorded, because {refusal}");
        return;
    }
    let reason = Reason::SpoolAltered.as_str();
    match spool.put_aside(&path) {
        Ok(()) => tracing::error!(reason, aside, "{error}; it was put aside"),
        Err(failed) => {
            tracing::error!(reason, error = %chain(&failed), "{error}, and it could not be put aside");
        }
    }
}

/// Who leads, and with which configuration; whether it is recorded.
pub(super) async fn greet(ledger: &Ledger, replica: &Replica, epoch: Epoch) -> bool {
    for draft in [replica.elected(epoch), replica.configured()] {
        if let Err(refusal) = ledger.record(draft, Ack::Durable).await {
            tracing::warn!("the change of leadership could not be recorded, because {refusal}");
            return false;
        }
    }
    true
}
