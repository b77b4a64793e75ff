//! A TLS port on loopback on which a webhook listens; it can be closed and opened again.

use std::convert::Infallible;
use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, TcpListener as StdListener};
use std::sync::Arc;

use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::{ServerConfig, crypto};

/// Where it listens, and as whom.
pub(crate) struct Endpoint {
    port: u16,
    certificate: String,
    acceptor: TlsAcceptor,
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
        let names = ["127.0.0.1", "localhost"].map(String::from);
        let certified = rcgen::generate_simple_self_signed(names).expect("a self-signed certificate can be made");
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der()));
        let mut config = ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider knows the default protocol versions")
            .with_no_client_auth()
            .with_single_cert(vec![certified.cert.der().clone()], key)
            .expect("the key belongs to the certificate");
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Self { port, certificate: certified.cert.pem(), acceptor: TlsAcceptor::from(Arc::new(config)) }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Returns the certificate in PEM; it is its own authority.
    pub(crate) fn certificate(&self) -> &str {
        &self.certificate
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
    pub(crate) async fn run<F>(mut self, answer: impl Fn(Request<Bytes>) -> F + Clone + Send + 'static)
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
                never = accept(listener, &self.endpoint.acceptor, &answer) => match never {},
                closed = self.wanted.wait_for(|wanted| !*wanted) => closed.is_err(),
            };
            if is_dropped {
                return;
            }
            self.listening.send_replace(false);
        }
    }
}

async fn accept<F>(
    listener: TcpListener,
    acceptor: &TlsAcceptor,
    answer: &(impl Fn(Request<Bytes>) -> F + Clone + Send + 'static),
) -> Infallible
where
    F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    connections.spawn(serve(stream, acceptor.clone(), answer.clone()));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Serves one connection until the API server closes it.
async fn serve<F>(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    answer: impl Fn(Request<Bytes>) -> F + Clone + Send + 'static,
) where
    F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let answer = answer.clone();
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok::<_, hyper::Error>(answer(Request::from_parts(parts, body)).await)
        }
    });
    let server = auto::Builder::new(TokioExecutor::new());
    drop(server.serve_connection(TokioIo::new(stream), service).await);
}
