//! Floor 3: connections that are encrypted before anything is said. Those that are just being set up wait beside each other,
//! so that one that says nothing keeps nobody waiting. It reads no files and knows no route.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::serve::Listener;
use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use tokio::{
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::adapters::{certificate::Certificate, kube::error::chain};

/// How long it may take until a connection is set up.
const PATIENCE: Duration = Duration::from_secs(10);
/// Connections that are being set up at the same time; further ones wait to be taken.
const MOST: usize = 1024;

type Connection = (TlsStream<TcpStream>, SocketAddr);

/// A socket whose connections are encrypted.
pub(super) struct TlsListener {
    socket: TcpListener,
    certificate: Arc<Certificate>,
    coming: FuturesUnordered<BoxFuture<'static, Option<Connection>>>,
}

impl TlsListener {
    pub(super) fn new(socket: TcpListener, certificate: Arc<Certificate>) -> Self {
        Self {
            socket,
            certificate,
            coming: FuturesUnordered::new(),
        }
    }

    fn begin(&self, stream: TcpStream, address: SocketAddr) {
        let acceptor = TlsAcceptor::from(self.certificate.now());
        let connection = async move {
            match timeout(PATIENCE, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => Some((stream, address)),
                Ok(Err(error)) => {
                    tracing::debug!(%address, error = %chain(&error), "a connection was not encrypted");
                    None
                }
                Err(_elapsed) => None,
            }
        };
        self.coming.push(connection.boxed());
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> Connection {
        loop {
            let room = self.coming.len() < MOST;
            tokio::select! {
                (stream, address) = Listener::accept(&mut self.socket), if room => {
                    self.begin(stream, address);
                }
                Some(come) = self.coming.next() => {
                    if let Some(connection) = come {
                        return connection;
                    }
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use axum::{Router, routing::get};
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use tempfile::TempDir;
    use tokio::io::AsyncReadExt as _;

    use super::*;
    use crate::adapters::certificate::{CertificateError, Files};

    /// A certificate of somebody, and its key, in PEM.
    struct Pair {
        cert: String,
        key: String,
    }

    impl Pair {
        fn new() -> Self {
            let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
            let pem = |what: &str, der: &[u8]| {
                let text = STANDARD.encode(der);
                format!("-----BEGIN {what}-----\n{text}\n-----END {what}-----\n")
            };
            Self {
                cert: pem("CERTIFICATE", made.cert.der()),
                key: pem("PRIVATE KEY", &made.signing_key.serialize_der()),
            }
        }

        /// Somebody who trusts this one alone.
        fn trusting(&self) -> reqwest::Client {
            let root = reqwest::Certificate::from_pem(self.cert.as_bytes()).unwrap();
            client().tls_certs_only([root]).build().unwrap()
        }
    }

    /// Each question on a connection of its own.
    fn client() -> reqwest::ClientBuilder {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        // The first one wins; another test's choice in this process would be the same.
        let _ = provider.install_default();
        reqwest::Client::builder()
            .pool_max_idle_per_host(0)
            .no_proxy()
    }

    fn put(folder: &Path, cert: &str, key: &str) -> Files {
        let files = Files {
            cert: folder.join("tls.crt"),
            key: folder.join("tls.key"),
        };
        std::fs::write(&files.cert, cert).unwrap();
        std::fs::write(&files.key, key).unwrap();
        files
    }

    /// Serves with this certificate while something is asked of the port.
    async fn while_served(certificate: Certificate, asking: impl AsyncFnOnce(u16)) {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = socket.local_addr().unwrap().port();
        let router = Router::new().route("/", get(|| async { "ok" }));
        let served = axum::serve(TlsListener::new(socket, Arc::new(certificate)), router);
        tokio::select! {
            ended = served.into_future() => panic!("{ended:?}"),
            () = asking(port) => {}
        }
    }

    async fn answer(client: &reqwest::Client, port: u16) -> Result<String, reqwest::Error> {
        let answer = client
            .get(format!("https://localhost:{port}/"))
            .send()
            .await?;
        answer.text().await
    }

    #[tokio::test]
    async fn what_is_exchanged_on_disk_is_served_to_the_next_connection() {
        let (old, new, folder) = (Pair::new(), Pair::new(), TempDir::new().unwrap());
        let certificate = Certificate::of(put(folder.path(), &old.cert, &old.key)).unwrap();
        while_served(certificate, async |port| {
            let (trusts_old, trusts_new) = (old.trusting(), new.trusting());
            assert_eq!(answer(&trusts_old, port).await.unwrap(), "ok");
            answer(&trusts_new, port).await.unwrap_err();
            // Half of the exchange: the pair before is served.
            let files = put(folder.path(), &new.cert, &old.key);
            assert_eq!(answer(&trusts_old, port).await.unwrap(), "ok");
            put(folder.path(), &new.cert, &new.key);
            assert_eq!(answer(&trusts_new, port).await.unwrap(), "ok");
            answer(&trusts_old, port).await.unwrap_err();
            std::fs::remove_file(files.key).unwrap();
            assert_eq!(answer(&trusts_new, port).await.unwrap(), "ok");
        })
        .await;
    }

    #[tokio::test]
    async fn who_says_nothing_or_speaks_plainly_keeps_nobody_waiting() {
        while_served(Certificate::made().unwrap(), async |port| {
            let silent = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            let mut plain = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            plain.writable().await.unwrap();
            plain.try_write(b"GET / HTTP/1.1\r\n\r\n").unwrap();
            let trusting = client().danger_accept_invalid_certs(true).build().unwrap();
            assert_eq!(answer(&trusting, port).await.unwrap(), "ok");
            let mut told = Vec::new();
            // An alert, or an end; never an answer.
            let _ = plain.read_to_end(&mut told).await;
            assert!(!String::from_utf8_lossy(&told).contains("ok"));
            // Nobody proves a name by it.
            let strict = client().build().unwrap();
            answer(&strict, port).await.unwrap_err();
            drop(silent);
        })
        .await;
    }

    #[test]
    fn files_that_cannot_be_used_are_named() {
        let (one, other, folder) = (Pair::new(), Pair::new(), TempDir::new().unwrap());
        let refused = |cert: &str, key: &str| {
            let files = put(folder.path(), cert, key);
            let error: CertificateError = Certificate::of(files).err().unwrap();
            chain(&error)
        };
        for (cert, key, said) in [
            (
                one.cert.as_str(),
                other.key.as_str(),
                "cannot be used together",
            ),
            (&one.cert, "", "tls.key holds no private key"),
            (&one.cert, &one.cert, "tls.key holds no private key"),
            ("", &one.key, "tls.crt holds no certificate"),
            (
                "-----BEGIN CERTIFICATE-----\n!\n",
                &one.key,
                "tls.crt holds no certificate",
            ),
        ] {
            let refused = refused(cert, key);
            assert!(refused.contains(said), "{refused}");
        }
        let nowhere = Files {
            cert: folder.path().join("nowhere"),
            key: folder.path().join("tls.key"),
        };
        let refused = chain(&Certificate::of(nowhere).err().unwrap());
        assert!(
            refused.contains("could not read") && refused.contains("nowhere"),
            "{refused}"
        );
    }
}
