//! A TLS port on loopback on which a webhook listens; it can be closed and opened again.

use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, TcpListener as StdListener};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Bytes;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::tls::{self, Identity};

/// Where it listens, and as whom.
pub(crate) struct Endpoint {
    port: u16,
    identity: Identity,
}

/// The handle on a server that runs elsewhere; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    port: u16,
    wanted: watch::Sender<bool>,
    listening: watch::Receiver<bool>,
}

/// The server itself.
pub(crate) struct Serving {
    endpoint: Endpoint,
    wanted: watch::Receiver<bool>,
    listening: watch::Sender<bool>,
}

impl Endpoint {
    /// Chooses a port below those that the kernel gives to outgoing connections: one of them could take the port while
    /// the server is down.
    pub(crate) fn on_free_port() -> Self {
        // The control planes' are above. No two endpoints of this process get the same.
        static TRIED: AtomicU64 = AtomicU64::new(0);
        static SEED: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(()) % 1_000_000);
        let port = std::iter::repeat_with(|| *SEED + TRIED.fetch_add(1, Ordering::Relaxed))
            .take(1000)
            .map(|number| 12_000 + u16::try_from(number % 8_000).unwrap_or_default())
            .find(|port| StdListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
            .expect("a port between 12000 and 20000 is free");
        Self { port, identity: Identity::of(&["127.0.0.1", "localhost"]) }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Returns the certificate in PEM; it is its own authority.
    pub(crate) fn certificate(&self) -> &str {
        self.identity.certificate()
    }
}

impl Server {
    /// Returns the handle and the server, which is to listen at once.
    pub(crate) fn new(endpoint: Endpoint) -> (Self, Serving) {
        let port = endpoint.port;
        let (wanted, wanted_here) = watch::channel(true);
        let (listening_here, listening) = watch::channel(false);
        (Self { port, wanted, listening }, Serving { endpoint, wanted: wanted_here, listening: listening_here })
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Opens or closes the port; returns when it is done.
    pub(crate) async fn want(&self, listening: bool) {
        self.wanted.send_replace(listening);
        self.listens(listening).await;
    }

    /// Waits until the port is open, or closed.
    pub(crate) async fn listens(&self, listening: bool) {
        drop(self.listening.clone().wait_for(|now| *now == listening).await.expect("the stand-in's thread runs"));
    }
}

impl Serving {
    /// Serves until the handle is dropped.
    pub(crate) async fn run<F>(mut self, answer: impl Fn(Request<Bytes>) -> F + Clone + Send + Sync + 'static)
    where
        F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
    {
        loop {
            if self.wanted.wait_for(|wanted| *wanted).await.is_err() {
                return;
            }
            let listener =
                TcpListener::bind((Ipv4Addr::LOCALHOST, self.endpoint.port)).await.expect("the port is still free");
            self.listening.send_replace(true);
            let is_dropped = tokio::select! {
                // Ends with its connections, which the API server keeps open.
                never = tls::serve(listener, self.endpoint.identity.acceptor(), answer.clone()) => match never {},
                closed = self.wanted.wait_for(|wanted| !*wanted) => closed.is_err(),
            };
            if is_dropped {
                return;
            }
            self.listening.send_replace(false);
        }
    }
}
