//! Floor 3: probes and metrics, on a port of their own. They answer from memory: a probe must not depend on the
//! API server that it reports about.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::{net::TcpListener, sync::watch};

use super::{door, tls::TlsListener};
use crate::{
    adapters::{certificate::Certificate, kube::bearer::Readers, metrics::Metrics},
    domain::reason::Reason,
};

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// In a word.
    pub reason: Reason,
    /// What is missing, and what to do.
    pub message: String,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.message)
    }
}

/// Where the metrics are.
pub const METRICS: &str = "/metrics";

type Check = Arc<dyn Fn() -> Vec<Complaint> + Send + Sync>;

/// Who answers.
#[derive(Clone)]
pub struct Probes {
    /// Complaints end the process (the kubelet restarts it).
    pub live: Check,
    /// Complaints take it out of service.
    pub ready: Check,
    /// What Prometheus reads.
    pub metrics: Arc<Metrics>,
    /// Who may read it; without this everybody.
    pub readers: Option<Arc<Readers>>,
}

/// The listener failed.
#[derive(Debug, thiserror::Error)]
pub enum ProbesError {
    /// The address cannot be had.
    #[error("could not listen on {address} for probes and metrics")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Serving ended.
    #[error("probes and metrics could not be served")]
    Serve(#[source] std::io::Error),
}

/// The routes, without a socket.
pub fn router(probes: Probes) -> Router {
    Router::new()
        .route("/livez", get(live))
        .route("/healthz", get(live))
        .route("/health", get(live))
        .route("/readyz", get(ready))
        .route(METRICS, get(metrics))
        .with_state(probes)
}

/// The socket, before anything else is started: a taken port must be found at once.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, ProbesError> {
    let refused = |source| ProbesError::Bind { address, source };
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(listener),
        Err(error) => match instead(address, &error) {
            Some(other) => TcpListener::bind(other).await.map_err(|_| refused(error)),
            None => Err(refused(error)),
        },
    }
}

/// `[::]` is every address, IPv4 too; a machine without IPv6 has none of that name, and means `0.0.0.0`.
fn instead(address: SocketAddr, error: &std::io::Error) -> Option<SocketAddr> {
    let taken = error.kind() == std::io::ErrorKind::AddrInUse;
    let everywhere = address.ip() == Ipv6Addr::UNSPECIFIED;
    (everywhere && !taken).then(|| (Ipv4Addr::UNSPECIFIED, address.port()).into())
}

/// Serves until `stop` turns true; encrypted, if there is a certificate.
pub async fn serve(
    listener: TcpListener,
    certificate: Option<Arc<Certificate>>,
    probes: Probes,
    mut stop: watch::Receiver<bool>,
) -> Result<(), ProbesError> {
    let stopped = async move {
        // An error means that whoever could stop us is gone, which is a stop as well.
        let _ = stop.wait_for(|stop| *stop).await;
    };
    let router = router(probes);
    let served = match certificate {
        None => {
            let plain = axum::serve(listener, router);
            plain.with_graceful_shutdown(stopped).await
        }
        Some(certificate) => {
            let encrypted = axum::serve(TlsListener::new(listener, certificate), router);
            encrypted.with_graceful_shutdown(stopped).await
        }
    };
    served.map_err(ProbesError::Serve)
}

async fn live(State(probes): State<Probes>) -> Response {
    answer(&(probes.live)(), StatusCode::INTERNAL_SERVER_ERROR)
}

async fn ready(State(probes): State<Probes>) -> Response {
    answer(&(probes.ready)(), StatusCode::SERVICE_UNAVAILABLE)
}

fn answer(complaints: &[Complaint], failed: StatusCode) -> Response {
    if complaints.is_empty() {
        return (StatusCode::OK, "ok\n").into_response();
    }
    let text: String = complaints
        .iter()
        .map(|complaint| format!("{complaint}\n"))
        .collect();
    (failed, text).into_response()
}

async fn metrics(State(probes): State<Probes>, headers: HeaderMap) -> Response {
    if let Some(readers) = &probes.readers
        && let Err(refused) = door::admit(readers, &headers).await
    {
        return refused;
    }
    match probes.metrics.render() {
        Ok(text) => (
            [(
                header::CONTENT_TYPE,
                "text/plain; version=0.0.4; charset=utf-8",
            )],
            text,
        )
            .into_response(),
        Err(error) => {
            tracing::error!(%error, "the metrics could not be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probes(ready: Vec<Complaint>) -> Probes {
        Probes {
            live: Arc::new(Vec::new),
            ready: Arc::new(move || ready.clone()),
            metrics: Arc::new(Metrics::new().unwrap()),
            readers: None,
        }
    }

    #[tokio::test]
    async fn readiness_names_what_is_missing() {
        let complaint = Complaint {
            reason: Reason::CrdNotServed,
            message: "gates.neuralops.io".into(),
        };
        let response = ready(State(probes(vec![complaint]))).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        let body = axum::body::to_bytes(response.into_body(), 1024)
            .await
            .unwrap();
        assert_eq!(body.as_ref(), b"CrdNotServed: gates.neuralops.io\n");
        assert_eq!(
            ready(State(probes(Vec::new()))).await.status(),
            StatusCode::OK
        );
    }

    #[tokio::test]
    async fn every_address_is_served_with_and_without_ipv6() {
        let listener = bind("[::]:0".parse().unwrap()).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port))
            .await
            .unwrap();
        let none = std::io::Error::from_raw_os_error(97); // EAFNOSUPPORT, of a kernel without IPv6
        let asked = |address: &str| instead(address.parse().unwrap(), &none);
        assert_eq!(asked("[::]:8081"), Some("0.0.0.0:8081".parse().unwrap()));
        assert_eq!(asked("[::1]:8081"), None);
        assert_eq!(asked("0.0.0.0:8081"), None);
        // A taken port is found at once, and no other one is served in its place.
        let taken = bind(listener.local_addr().unwrap()).await;
        assert!(matches!(taken, Err(ProbesError::Bind { .. })));
    }

    #[test]
    fn the_router_is_well_formed() {
        let _ = router(probes(Vec::new()));
    }
}
