//! Floor 4: the port for probes and metrics: where it is, and what is answered there. It looks at nothing itself.

use std::sync::Arc;

use tokio::net::TcpListener;

use super::{
    config::OperatorConfig,
    controllers::Pulses,
    readiness::{self, Surroundings},
};
use crate::{
    adapters::{kube::lease::LeaseFence, ledger::Ledger, metrics::Metrics},
    domain::reason::Reason,
    http::probes::{self, Complaint, Probes, ProbesError},
    ports::Leadership as _,
};

/// The socket, which says in the log where it is.
pub(super) async fn listen(
    config: &OperatorConfig,
    identity: &str,
) -> Result<TcpListener, ProbesError> {
    let listener = probes::bind(config.probe_address).await?;
    // The real port, where 0 asked for any.
    let address = listener
        .local_addr()
        .map_or(config.probe_address, |address| address);
    tracing::info!(%address, identity, "serving probes and metrics");
    Ok(listener)
}

/// What probes and metrics answer.
pub(super) fn answers(
    config: &OperatorConfig,
    surroundings: &Arc<Surroundings>,
    fence: &Arc<LeaseFence>,
    pulses: &Pulses,
    ledger: &Ledger,
    metrics: &Arc<Metrics>,
) -> Probes {
    let longest = config.liveness_timeout.0;
    let ledger = ledger.clone();
    let (alive, pulses) = (pulses.all(), pulses.all());
    let (fence, surroundings) = (Arc::clone(fence), Arc::clone(surroundings));
    Probes {
        live: Arc::new(move || {
            let wedged = alive.iter().filter_map(|pulse| pulse.wedged(longest));
            wedged
                .map(|message| Complaint {
                    reason: Reason::TimedOut,
                    message,
                })
                .collect()
        }),
        ready: Arc::new(move || {
            readiness::missing(
                &surroundings,
                &pulses,
                fence.holds().is_ok().then(|| ledger.state()),
            )
        }),
        metrics: Arc::clone(metrics),
    }
}
