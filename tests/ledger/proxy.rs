//! The network between the writer and its database, which slows down when a test says so.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// Hands on what it is given; it ends with this.
pub struct Proxy {
    address: SocketAddr,
    delay: Arc<AtomicU64>,
    _all: JoinSet<()>,
}

impl Proxy {
    /// To this server.
    pub async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let delay: Arc<AtomicU64> = Arc::default();
        let mut all = JoinSet::new();
        let slow = Arc::clone(&delay);
        let address = listener.local_addr().expect("an address");
        all.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(connect(client, server, Arc::clone(&slow)));
            }
        });
        Self {
            address,
            delay,
            _all: all,
        }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Every answer of the server takes so much longer from now on.
    pub fn delay(&self, by: Duration) {
        let milliseconds = u64::try_from(by.as_millis()).expect("a short time");
        self.delay.store(milliseconds, Ordering::Release);
    }
}

async fn connect(client: TcpStream, server: SocketAddr, delay: Arc<AtomicU64>) {
    // No server: the client is told so by the end of its connection.
    let Ok(server) = TcpStream::connect(server).await else {
        return;
    };
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let at_once = AtomicU64::new(0);
    tokio::select! {
        _ = hand_on(from_client, to_server, &at_once) => {}
        _ = hand_on(from_server, to_client, &delay) => {}
    }
}

async fn hand_on(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    delay: &AtomicU64,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        let delay = Duration::from_millis(delay.load(Ordering::Acquire));
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        to.write_all(&buffer[..count]).await?;
    }
}
