//! What every run needs: the connection, who runs it, and the clock's word for now.

use std::pin::pin;
use std::time::Duration;

use api_access::interrupts::{Interrupted, Interrupts};
use api_access::rights::MissingRight;
use api_access::{ApiAccess, DEFAULT_TIMEOUT, Patience};
use cluster_model::identity::NodeName;
use evacuation::engine::RunIdentity;
use evacuation_runner::lease::{self, Holder, LeaseError, LeaseGuard, LeaseNews, TakeOver};
use evacuation_runner::live_view::{LiveView, Seen};
use jiff::Timestamp;
use kubectl_common::connect::{Connection, connect};
use kubectl_common::failure::Failure;
use kubectl_common::identity::PluginIdentity;
use kubectl_common::report::Output;
use tokio_util::sync::CancellationToken;

use crate::failure::CommandError;
use crate::job::Job;

/// How long a watch may take to bring its first list, which is of many pages at times: `--request-timeout` says, within
/// these.
const SYNC_LIMITS: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(60)];
/// A wait for the server that lasts longer is told.
const PATIENCE: Duration = Duration::from_secs(5);
/// The most objects in a page.
const LARGEST_PAGE: u32 = 100;

/// A connected run.
pub(crate) struct Session {
    pub(crate) plugin: &'static PluginIdentity,
    pub(crate) connection: Connection,
    pub(crate) access: ApiAccess,
    pub(crate) identity: RunIdentity,
    pub(crate) holder: Holder,
    pub(crate) started: Timestamp,
}

impl Session {
    /// Connects, and gives the run an id: the second it began in and its process, which no other run shares.
    pub(crate) async fn open(job: &Job, output: &Output) -> Result<Self, Failure> {
        let connection = connect(&job.kube, job.plugin, &job.environment).await?;
        let voice = output.clone();
        let access = ApiAccess {
            client: connection.client.clone(),
            request_timeout: connection.request_timeout,
            field_manager: job.field_manager.clone(),
            chunk_size: page_size(job.chunk_size),
            patience: Patience::new(move |line| voice.note(line)),
        };
        let started = now();
        let user = connection.cluster.user.clone();
        let run = format!("{:x}-{:x}", started.as_second(), std::process::id());
        let holder = Holder::this_process(&run, &user, started);
        let identity = RunIdentity {
            run,
            user,
            version: format!("{}/{}", job.plugin.name, job.plugin.version),
            reason: job.reason.clone(),
            options: job.options.clone(),
        };
        Ok(Self { plugin: job.plugin, connection, access, identity, holder, started })
    }
}

/// Awaits requests and, when they take long, says what is waited for: a run that is silent looks dead.
pub(crate) async fn patiently<T>(session: &Session, output: &Output, requests: impl Future<Output = T>) -> T {
    let mut requests = pin!(requests);
    tokio::select! {
        done = &mut requests => return done,
        () = tokio::time::sleep(PATIENCE) => {}
    }
    let limit = session.access.request_timeout.unwrap_or(DEFAULT_TIMEOUT);
    output.note(&format!(
        "waiting for {} to answer; a request is given up after {} s (--request-timeout)",
        session.connection.cluster.server,
        limit.as_secs_f32()
    ));
    requests.await
}

/// Takes the leases of the nodes, and tells what it takes. The first signal ends it in good order, the second at once.
pub(crate) async fn take_lease(
    session: &Session,
    output: &Output,
    targets: &[NodeName],
    take_over: TakeOver,
    interrupts: &mut Interrupts,
) -> Result<LeaseGuard, CommandError> {
    let mut told = false;
    let tell = |news| match news {
        LeaseNews::NoRight { missing } => output.note(&no_leases(&missing)),
        LeaseNews::Observing { node, holder, left } => {
            if !std::mem::replace(&mut told, true) {
                output.note(&format!("node {node} is held by {holder}; watching for 15 s whether that run lives"));
            }
            output.status(&format!("{} s left to watch node {node}'s holder", left.as_secs_f32().ceil()));
        }
        LeaseNews::TakenOver { node, holder } => {
            output.note(&format!("node {node} was held by a dead run: {holder}"));
        }
        LeaseNews::Seized { node, holder } => {
            output.warning(&format!(
                "node {node} was held by {holder}: taken over, as --take-over says; \
                 that run stops as soon as it notices, which is waited for"
            ));
        }
    };
    let stop = CancellationToken::new();
    let mut taking = pin!(LeaseGuard::acquire(&session.access, targets, &session.holder, take_over, &stop, tell));
    let mut taken = interrupts.unless(&mut taking).await;
    if taken.is_err() {
        stop.cancel();
        taken = interrupts.unless(&mut taking).await;
        if let Ok(Ok(guard)) = taken {
            guard.release(&session.access).await;
            taken = Err(Interrupted);
        }
    }
    output.clear_status();
    match taken {
        Ok(Ok(guard)) => Ok(guard),
        Ok(Err(LeaseError::Interrupted)) | Err(Interrupted) => Err(CommandError::InterruptedEarly),
        Ok(Err(source)) => Err(CommandError::Lease { source, plugin: session.plugin }),
    }
}

/// Gives the locks back. One signal may have come before its time; the second leaves them to run out by themselves.
pub(crate) async fn release(guard: LeaseGuard, access: &ApiAccess, interrupts: &mut Interrupts) {
    let mut release = pin!(guard.release(access));
    if interrupts.unless(&mut release).await.is_err() && interrupts.unless(&mut release).await.is_err() {
        tracing::info!("the locks were not given back and run out by themselves");
    }
}

fn no_leases(missing: &[MissingRight]) -> String {
    let verbs: Vec<_> = missing.iter().map(|missing| missing.right.verb).collect();
    let blind = if verbs.contains(&"get") { ", and a run that holds a lease is not seen" } else { "" };
    format!(
        "no right to leases in {} (you may not {} them): the lock is an annotation on the node{blind}",
        lease::NAMESPACE,
        verbs.join(", ")
    )
}

/// Waits until every watch has brought its first list, telling of trouble on the way. What one of them may take, the next
/// one may take as well.
pub(crate) async fn sync(session: &Session, view: &mut LiveView, output: &Output) -> Result<(), CommandError> {
    let [least, most] = SYNC_LIMITS;
    let limit = session.access.request_timeout.map_or(most, |limit| limit.clamp(least, most));
    while !view.is_synced() {
        let missing = view.missing_lists();
        let next = tokio::time::timeout(limit, async {
            while view.missing_lists() == missing {
                if let Seen::Trouble(message) = view.changed().await {
                    output.warning(&message);
                }
            }
        });
        next.await.map_err(|_| CommandError::NotSynced { seconds: limit.as_secs_f32() })?;
    }
    Ok(())
}

/// Pages are decoded whole, so a page is never larger than this: memory is dearer than a request. 0 asks for one page.
fn page_size(chunk_size: u32) -> u32 {
    chunk_size.min(LARGEST_PAGE)
}

/// The wall clock, for what is written down and compared with the server's time stamps.
#[expect(clippy::disallowed_methods, reason = "a run reads the clock where it begins and ends")]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}
