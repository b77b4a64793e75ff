//! A TLS port on loopback on which a webhook listens; it can be closed and opened again.

use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, TcpListener as StdListener};

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
        let seed = RandomState::new();
        let port = (0..1000_u32)
            .map(|attempt| 20_000 + u16::try_from(seed.hash_one(attempt) % 12_000).unwrap_or_default())
            .find(|port| StdListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
            .expect("a port between 20000 and 32000 is free");
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
