//! Floor 2: what is recorded first when a log opens: the stops that waited in the spool, and who leads with which
//! configuration. It takes the way of all other records.

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
pub(super) async fn bring_in(ledger: &Ledger, replica: &Replica) {
    let spool = &ledger.spool;
    let waiting = match spool.read().await {
        Ok(waiting) => waiting,
        Err(error @ SpoolError::Altered { .. }) => {
            return put_aside(spool, ledger, replica, &error).await;
        }
        Err(error) => {
            tracing::warn!(error = %chain(&error), "the spool of stops cannot be read now");
            return;
        }
    };
    let count = waiting.len();
    for late in waiting {
        let sent = ledger
            .send(late.draft, Some(late.happened), Ack::Durable)
            .await;
        if let Err(refusal) = sent {
            tracing::warn!("the spool of stops stays for now, because {refusal}");
            return;
        }
    }
    if count == 0 {
        ledger.metrics.spool(0);
        return;
    }
    tracing::info!(count, "stops from the spool are in the log now");
    match spool.clear(count) {
        Ok(true) => ledger.metrics.spool(0),
        // More have come in meanwhile: those that are in the log already are found there the next time.
        Ok(false) => {}
        Err(error) => {
            tracing::warn!(error = %chain(&error), "the spool could not be emptied; its stops are in the log");
        }
    }
}

async fn put_aside(spool: &Spool, ledger: &Ledger, replica: &Replica, error: &SpoolError) {
    let aside = match spool.put_aside(clock::now()) {
        Ok(aside) => aside.display().to_string(),
        Err(error) => {
            tracing::error!(error = %chain(&error), "an altered spool could not be put aside");
            return;
        }
    };
    tracing::error!(
        reason = Reason::SpoolAltered.as_str(),
        aside,
        "{error}; it was put aside"
    );
    let draft = replica.spool_refused(&aside, error);
    if let Err(refusal) = ledger.record(draft, Ack::Durable).await {
        tracing::error!("that the spool was altered could not be recorded, because {refusal}");
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
