//! A proxy between a plugin and the API server that does what networks, servers and operating systems do at their
//! worst: on the n-th request, or by a seed on many. It speaks TLS with HTTP/1.1 and HTTP/2, and streams watches.
//!
//! A request that is not touched reaches the server as the plugin sent it, with the same user's token, and so does the
//! answer: nothing is recorded and played back.

mod answer;
mod fault;
mod schedule;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use http::header::{ACCEPT_ENCODING, AUTHORIZATION, HOST};
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use kube::Client;
use kube::client::Body;
use rustix::process::{Pid, Signal, kill_process};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time;
use tokio_rustls::TlsAcceptor;

pub use fault::{Fault, RequestKind};
pub use schedule::Schedule;

use crate::control_plane::{ControlPlane, User};
use crate::plugin::Running;
use crate::tls::Identity;
use answer::{AnswerBody, Broken};

/// A proxy for one user, until it is dropped.
#[derive(Debug)]
pub struct FaultProxy {
    shared: Arc<Shared>,
    user: User,
    _accepting: JoinSet<()>,
}

/// A request as it came to the proxy.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// Its number, from 1.
    pub number: usize,
    /// Method and path, without the query.
    pub what: String,
    /// What kind of request it is.
    pub kind: RequestKind,
    /// What was done to it.
    pub fault: Option<Fault>,
}

struct Shared {
    upstream: Client,
    schedule: Mutex<Schedule>,
    target: watch::Sender<Option<Pid>>,
    arrivals: Mutex<Vec<Arrival>>,
    count: AtomicUsize,
    /// Once the plugin is killed, nothing more of it is forwarded.
    is_dead: AtomicBool,
    /// How often the open watches were silenced.
    silences: watch::Sender<usize>,
    is_token_expired: AtomicBool,
    struck: Notify,
    /// Whether requests that are held may go on.
    is_let_go: watch::Sender<bool>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Shared").field("arrivals", &self.arrivals).finish_non_exhaustive()
    }
}

impl FaultProxy {
    /// Starts a proxy for `user` that does what `schedule` says.
    pub async fn start(control_plane: &ControlPlane, user: &User, schedule: Schedule) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port can be bound");
        let address = listener.local_addr().expect("a listener has an address");
        let identity = Identity::of(&["127.0.0.1"]);
        let shared = Arc::new(Shared {
            upstream: control_plane.forwarding_client(user).await,
            schedule: Mutex::new(schedule),
            target: watch::Sender::new(None),
            arrivals: Mutex::default(),
            count: AtomicUsize::new(0),
            is_dead: AtomicBool::new(false),
            silences: watch::Sender::new(0),
            is_token_expired: AtomicBool::new(false),
            struck: Notify::new(),
            is_let_go: watch::Sender::new(false),
        });
        let through = control_plane.user_through(user, &server_url(address), identity.certificate());
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, identity.acceptor().clone(), Arc::clone(&shared)));
        Self { shared, user: through, _accepting: accepting }
    }

    /// Returns the same user, whose requests come through here.
    pub fn user(&self) -> &User {
        &self.user
    }

    /// Says which process the proxy may kill or signal. Requests wait until it is known.
    pub fn aim(&self, running: &Running) {
        self.shared.target.send_replace(Some(running.pid()));
    }

    /// Returns the requests that have come so far, in their order.
    pub fn arrivals(&self) -> Vec<Arrival> {
        self.shared.arrivals.lock().expect("no holder of this lock panics").clone()
    }

    /// Returns how many requests were tampered with.
    pub fn strikes(&self) -> usize {
        self.arrivals().iter().filter(|arrival| arrival.fault.is_some()).count()
    }

    /// From now on no byte comes through of the watches that are open; their connections stay so. New ones speak.
    pub fn silence_open_watches(&self) {
        self.shared.silences.send_modify(|silences| *silences += 1);
    }

    /// From now on every request is answered 401.
    pub fn expire_token(&self) {
        self.shared.is_token_expired.store(true, Ordering::SeqCst);
    }

    /// Lets the requests go on that are held.
    pub fn let_go(&self) {
        self.shared.is_let_go.send_replace(true);
    }

    /// Waits until a request has been tampered with.
    pub async fn struck(&self) {
        while self.strikes() == 0 {
            self.shared.struck.notified().await;
        }
    }
}

fn server_url(address: SocketAddr) -> String {
    format!("https://{address}")
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    connections.spawn(serve(stream, acceptor.clone(), Arc::clone(&shared)));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Serves one connection. How it ends is the plugin's affair: it hangs up, or the fault was to hang up on it.
async fn serve(stream: TcpStream, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        // In a task of its own: a client that gives a request up does not call it back from the network.
        async move { tokio::spawn(shared.answer(request)).await.unwrap_or(Err(Broken)) }
    });
    let server = auto::Builder::new(TokioExecutor::new());
    drop(server.serve_connection(TokioIo::new(stream), service).await);
}

impl Shared {
    /// Answers one request; an error hangs up without an answer.
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<AnswerBody>, Broken> {
        let pid = *self.target.subscribe().wait_for(Option::is_some).await.expect("the sender is in `self`");
        let pid = pid.expect("it was waited for");
        let (fault, kind) = self.arrive(&request);
        if fault.is_some() {
            self.struck.notify_waiters();
        }
        if self.is_dead.load(Ordering::SeqCst) {
            return Err(Broken);
        }
        if self.is_token_expired.load(Ordering::SeqCst) {
            return Ok(answer::status(401));
        }
        match fault {
            Some(Fault::KillBefore) => {
                self.kill(pid);
                return Err(Broken);
            }
            Some(Fault::SignalBefore(signal)) => send_signal(pid, signal),
            Some(Fault::Delay(pause)) => time::sleep(pause).await,
            Some(Fault::Hold) => {
                drop(self.is_let_go.subscribe().wait_for(|is_let_go| *is_let_go).await);
            }
            Some(Fault::HangUpBefore) => return Err(Broken),
            Some(Fault::NoAnswerBefore) => return std::future::pending().await,
            Some(Fault::Refuse(code)) => return Ok(answer::status(code)),
            Some(Fault::Busy(seconds)) => return Ok(answer::busy(seconds)),
            Some(Fault::Expired) => return Ok(answer::expired()),
            _ => {}
        }
        let response = self.forward(request).await?;
        match fault {
            Some(Fault::KillAfter) => {
                if kind != RequestKind::Watch {
                    // The whole answer is there: whatever the request asked for is done.
                    drop(response.into_body().collect().await);
                }
                self.kill(pid);
                Err(Broken)
            }
            Some(Fault::SignalAfter(signal)) => {
                let answer = self.pass(response, kind).await?;
                send_signal(pid, signal);
                Ok(answer)
            }
            Some(Fault::HangUpAfter) => {
                drop(answer::whole(response).await?);
                Err(Broken)
            }
            Some(Fault::NoAnswerAfter) => {
                drop(answer::whole(response).await?);
                std::future::pending().await
            }
            Some(Fault::Truncate) => answer::truncated(response).await,
            Some(Fault::CutAfter(pause)) => Ok(answer::cut(response, pause)),
            Some(Fault::Silent) => Ok(answer::silent(response)),
            _ => self.pass(response, kind).await,
        }
    }

    async fn pass(&self, response: Response<Body>, kind: RequestKind) -> Result<Response<AnswerBody>, Broken> {
        if kind == RequestKind::Watch {
            return Ok(answer::until_silence(response, self.silences.subscribe()));
        }
        answer::whole(response).await
    }

    /// Writes the request down and decides what is done to it.
    fn arrive(&self, request: &Request<Incoming>) -> (Option<Fault>, RequestKind) {
        let what = format!("{} {}", request.method(), request.uri().path());
        let kind = RequestKind::of(request.method(), request.uri());
        let mut arrivals = self.arrivals.lock().expect("no holder of this lock panics");
        let number = self.count.fetch_add(1, Ordering::SeqCst) + 1;
        let fault = self.schedule.lock().expect("no holder of this lock panics").decide(number, &what, kind);
        arrivals.push(Arrival { number, what, kind, fault });
        (fault, kind)
    }

    async fn forward(&self, request: Request<Incoming>) -> Result<Response<Body>, Broken> {
        let (mut parts, body) = request.into_parts();
        // The upstream client adds its own, of the same user.
        for header in [HOST, AUTHORIZATION, ACCEPT_ENCODING] {
            parts.headers.remove(header);
        }
        let path = parts.uri.path_and_query().cloned().ok_or(Broken)?;
        parts.uri = path.as_str().parse().map_err(|_| Broken)?;
        parts.version = http::Version::HTTP_11;
        let body = body.collect().await.map_err(|_| Broken)?.to_bytes();
        let request = Request::from_parts(parts, Body::from(body.to_vec()));
        // A server that is down hangs up here, and so does the proxy.
        self.upstream.send(request).await.map_err(|_| Broken)
    }

    fn kill(&self, pid: Pid) {
        self.is_dead.store(true, Ordering::SeqCst);
        send_signal(pid, Signal::KILL);
    }
}

/// A process that has just ended cannot be signalled, and need not be.
fn send_signal(pid: Pid, signal: Signal) {
    kill_process(pid, signal).unwrap_or_default();
}
