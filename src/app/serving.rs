//! Floor 4: the port for probes and metrics: where it is, and what is answered there. It looks at nothing itself.

use std::sync::Arc;

use kube::Client;
use tokio::{net::TcpListener, sync::watch};

use super::{
    config::{MetricsAuth, OperatorConfig},
    controllers::Pulses,
    readiness::{self, Surroundings},
    run::RunError,
};
use crate::{
    adapters::{
        certificate::{Certificate, CertificateError, Files},
        kube::{bearer::Readers, lease::LeaseFence},
        ledger::Ledger,
        metrics::Metrics,
    },
    domain::reason::Reason,
    http::probes::{self, Complaint, METRICS, Probes, ProbesError},
    ports::Leadership as _,
};

/// The port before it is served.
pub(super) struct Port {
    socket: TcpListener,
    /// Without one: plain HTTP.
    certificate: Option<Arc<Certificate>>,
}

impl Port {
    /// Serves until `stop` turns true.
    pub(super) fn serve(
        self,
        probes: Probes,
        stop: watch::Receiver<bool>,
    ) -> impl Future<Output = Result<(), ProbesError>> {
        probes::serve(self.socket, self.certificate, probes, stop)
    }
}

/// The port, which says in the log where it is.
pub(super) async fn open(config: &OperatorConfig, identity: &str) -> Result<Port, RunError> {
    let certificate = certificate(config).map_err(RunError::Certificate)?;
    let socket = probes::bind(config.probe_address).await;
    let socket = socket.map_err(RunError::Probes)?;
    // The real port, where 0 asked for any.
    let address = socket
        .local_addr()
        .map_or(config.probe_address, |address| address);
    let encrypted = certificate.is_some();
    tracing::info!(%address, encrypted, identity, "serving probes and metrics");
    Ok(Port {
        socket,
        certificate: certificate.map(Arc::new),
    })
}

fn certificate(config: &OperatorConfig) -> Result<Option<Certificate>, CertificateError> {
    let (cert, key) = (config.tls_cert.clone(), config.tls_key.clone());
    if config.tls_self_signed {
        Certificate::made().map(Some)
    } else if cert.as_os_str().is_empty() {
        Ok(None)
    } else {
        Certificate::of(Files { cert, key }).map(Some)
    }
}

/// What probes and metrics answer.
pub(super) fn answers(
    (config, client): (&OperatorConfig, &Client),
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
        readers: match config.metrics_auth {
            MetricsAuth::None => None,
            MetricsAuth::TokenReview => Some(Arc::new(Readers::new(client.clone(), METRICS))),
        },
    }
}
