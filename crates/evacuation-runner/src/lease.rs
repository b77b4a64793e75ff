//! One run at a time on a node: a Lease in the cluster, renewed while the run lives.
//!
//! Expiry is judged by the observer's own clock, from the last change that it saw: two laptops' clocks need not agree.
//! The same machine may take over at once if the process that held the lease is dead. A holder that could not renew in
//! time stops writing but goes on trying: the renewal is guarded by the version it knows, so it succeeds only if nobody
//! has taken over.

mod holder;

use std::cell::Cell;
use std::time::Duration;

use cluster_model::identity::NodeName;
use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::{DeleteParams, Preconditions, WatchEvent, WatchParams};
use kube::{Api, ResourceExt};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use holder::Holder;

use crate::access::{ApiAccess, CallError};

/// Where the leases are: kubelets keep their own there, so the namespace exists in every cluster.
pub const NAMESPACE: &str = "kube-node-lease";
/// How long a lease lasts without being renewed.
const DURATION: Duration = Duration::from_secs(15);
/// How often it is renewed.
const RENEWAL: Duration = Duration::from_secs(5);
/// How long one renewal may take: a dead connection must not outlast the lease.
const RENEWAL_TIMEOUT: Duration = Duration::from_secs(4);
/// The pause after a renewal that failed.
const RENEWAL_RETRY: Duration = Duration::from_secs(1);
/// The annotation that holds a [`Holder`].
const HOLDER: &str = "handover/holder";
/// The longest name that an object may have.
const LONGEST_NAME: usize = 253;

/// Why a lease was not got.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// Another run holds it, and is alive.
    #[error("node {node} is held by {holder}")]
    Held {
        /// The node.
        node: NodeName,
        /// Who, from where, since when.
        holder: Box<Holder>,
    },
    /// It was taken away while the leases of other nodes were waited for.
    #[error("a lease was lost while the others were being taken: {why}")]
    Lost {
        /// How.
        why: String,
    },
    /// A kubelet's own lease has that name.
    #[error("the lease {NAMESPACE}/{name} belongs to a node of that name, so node {node} cannot be locked")]
    Foreign {
        /// The node.
        node: NodeName,
        /// The lease.
        name: String,
    },
    /// It was told to stop.
    #[error("interrupted while the leases were being taken")]
    Interrupted,
    /// The server did not do it.
    #[error("cannot take the lease of node {node} ({NAMESPACE}/{name})")]
    Call {
        /// The node.
        node: NodeName,
        /// The lease.
        name: String,
        /// What happened.
        #[source]
        source: CallError,
    },
}

/// What happens while a lease is being taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseNews {
    /// Another run's lease is there; it is watched for so long to see whether that run is alive.
    Observing {
        /// The node.
        node: NodeName,
        /// Whose it is.
        holder: Holder,
        /// What is left of the wait.
        left: Duration,
    },
    /// A dead run's lease was taken over.
    TakenOver {
        /// The node.
        node: NodeName,
        /// Whose it was.
        holder: Holder,
    },
}

/// The leases of a run's nodes. While it is held, the run may write.
#[derive(Debug)]
pub struct LeaseGuard {
    leases: Vec<HeldLease>,
    /// Until when the oldest renewal lasts.
    valid_until: Cell<Deadline>,
}

/// A moment by both clocks: the monotonic one stands still while a laptop sleeps, the wall clock can be set.
#[derive(Clone, Copy, Debug)]
struct Deadline {
    monotonic: Instant,
    wall: Timestamp,
}

impl Deadline {
    fn after(pause: Duration) -> Self {
        Self { monotonic: now() + pause, wall: wall_clock().checked_add(pause).unwrap_or(Timestamp::MAX) }
    }

    /// Whether it lies ahead by both clocks, with so much to spare.
    fn is_ahead(&self, spare: Duration) -> bool {
        let with_spare = Self::after(spare);
        with_spare.monotonic < self.monotonic && with_spare.wall < self.wall
    }
}

#[derive(Debug)]
struct HeldLease {
    node: NodeName,
    api: Api<Lease>,
    name: String,
    holder: Holder,
    uid: String,
    resource_version: std::cell::RefCell<String>,
}

impl LeaseGuard {
    /// Takes the leases of all nodes, or none of them: also when `stop` is cancelled meanwhile. A request is never
    /// dropped half-way, or its lease could be left behind.
    pub async fn acquire(
        access: &ApiAccess,
        nodes: &[NodeName],
        holder: &Holder,
        stop: &CancellationToken,
        mut news: impl FnMut(LeaseNews),
    ) -> Result<Self, LeaseError> {
        let mut guard = Self { leases: Vec::new(), valid_until: Cell::new(Deadline::after(DURATION)) };
        for node in nodes {
            // A wait for this node must not let the leases of the others run out.
            let taken = tokio::select! {
                taken = acquire_one(access, node, holder, stop, &mut news) => taken,
                why = guard.keep(access), if !guard.leases.is_empty() => Err(LeaseError::Lost { why }),
            };
            match taken {
                Ok(lease) => guard.leases.push(lease),
                Err(error) => {
                    guard.release(access).await;
                    return Err(error);
                }
            }
        }
        Ok(guard)
    }

    /// Whether a write may be sent now. False once a renewal is overdue, as it is after a suspend too: another run may
    /// have taken over.
    pub fn is_held(&self) -> bool {
        self.valid_until.get().is_ahead(Duration::ZERO)
    }

    /// Renews the leases until one is lost, and returns how. May be dropped and called again at any time.
    pub async fn keep(&self, access: &ApiAccess) -> String {
        loop {
            let due = self.valid_until.get().monotonic.checked_sub(DURATION.saturating_sub(RENEWAL));
            tokio::time::sleep_until(due.unwrap_or_else(now)).await;
            let valid_until = Deadline::after(DURATION);
            let mut all = true;
            for lease in &self.leases {
                match lease.renew(access).await {
                    Renewal::Done => {}
                    Renewal::Failed => all = false,
                    Renewal::Lost(why) => {
                        self.valid_until.set(Deadline::after(Duration::ZERO));
                        return why;
                    }
                }
            }
            if all {
                self.valid_until.set(valid_until);
            } else {
                tokio::time::sleep(RENEWAL_RETRY).await;
            }
        }
    }

    /// Deletes the leases; what cannot be deleted runs out by itself.
    pub async fn release(self, access: &ApiAccess) {
        for lease in self.leases {
            let mut deleted = lease.delete(access).await;
            let is_conflict =
                deleted.as_ref().is_err_and(|error| error.status().is_some_and(|status| status.code == 409));
            // A renewal that was given up half-way may have reached the server after all.
            if is_conflict && lease.is_still_ours(access).await.is_ok() {
                deleted = lease.delete(access).await;
            }
            if let Err(error) = deleted {
                tracing::info!("the lease of node {} was not released and runs out by itself: {error}", lease.node);
            }
        }
    }
}

enum Renewal {
    Done,
    Failed,
    Lost(String),
}

impl HeldLease {
    async fn renew(&self, access: &ApiAccess) -> Renewal {
        match self.replace(access).await {
            // A conflict may be our own earlier renewal, whose answer was lost: then only a further write counts.
            Renewal::Lost(_) => match self.is_still_ours(access).await {
                Ok(()) => self.replace(access).await,
                Err(other) => other,
            },
            other => other,
        }
    }

    async fn replace(&self, access: &ApiAccess) -> Renewal {
        let resource_version = self.resource_version.borrow().clone();
        let lease = lease_object(&self.name, &self.holder, Some(resource_version));
        let params = kube::api::PostParams::default();
        let answer = tokio::time::timeout(RENEWAL_TIMEOUT, access.call(self.api.replace(&self.name, &params, &lease)));
        match answer.await {
            Ok(Ok(renewed)) => {
                *self.resource_version.borrow_mut() = renewed.resource_version().unwrap_or_default();
                Renewal::Done
            }
            Ok(Err(error)) => match error.status().map(|status| status.code) {
                Some(404 | 409) => Renewal::Lost(format!("the lease of node {} was changed by somebody", self.node)),
                _ => Renewal::Failed,
            },
            Err(_) => Renewal::Failed,
        }
    }

    /// Looks the lease up, and takes over its version if it still names this run.
    async fn is_still_ours(&self, access: &ApiAccess) -> Result<(), Renewal> {
        let answer = tokio::time::timeout(RENEWAL_TIMEOUT, access.call(self.api.get_opt(&self.name))).await;
        let Ok(Ok(current)) = answer else { return Err(Renewal::Failed) };
        let Some(current) = current else {
            return Err(Renewal::Lost(format!("somebody deleted the lease of node {}", self.node)));
        };
        let holder = Holder::of(&current);
        if holder != self.holder {
            return Err(Renewal::Lost(format!("node {} was taken over by {holder}", self.node)));
        }
        *self.resource_version.borrow_mut() = current.resource_version().unwrap_or_default();
        Ok(())
    }

    async fn delete(&self, access: &ApiAccess) -> Result<(), CallError> {
        let preconditions = Preconditions {
            uid: Some(self.uid.clone()),
            resource_version: Some(self.resource_version.borrow().clone()),
        };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        access.ask(|| self.api.delete(&self.name, &params)).await.map(drop)
    }
}

/// The name of a node's lease. A name that would be too long is replaced by its hash (FNV-1a, 64 bits).
pub fn lease_name(node: &NodeName) -> String {
    let name = format!("handover-{node}");
    if name.len() <= LONGEST_NAME {
        return name;
    }
    let hash = node
        .0
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    format!("handover-{hash:016x}")
}

async fn acquire_one(
    access: &ApiAccess,
    node: &NodeName,
    holder: &Holder,
    stop: &CancellationToken,
    news: &mut impl FnMut(LeaseNews),
) -> Result<HeldLease, LeaseError> {
    let name = lease_name(node);
    let api = Api::<Lease>::namespaced(access.client.clone(), NAMESPACE);
    let failed = |source| LeaseError::Call { node: node.clone(), name: name.clone(), source };
    let held = |lease: &Lease| HeldLease {
        node: node.clone(),
        api: api.clone(),
        name: name.clone(),
        holder: holder.clone(),
        uid: lease.uid().unwrap_or_default(),
        resource_version: std::cell::RefCell::new(lease.resource_version().unwrap_or_default()),
    };
    let params = kube::api::PostParams::default();
    loop {
        if stop.is_cancelled() {
            return Err(LeaseError::Interrupted);
        }
        let wanted = lease_object(&name, holder, None);
        match access.ask(|| api.create(&params, &wanted)).await {
            Ok(created) => return Ok(held(&created)),
            Err(error) if error.status().is_some_and(|status| status.code == 409) => {}
            Err(error) => return Err(failed(error)),
        }
        let Some(current) = access.ask(|| api.get_opt(&name)).await.map_err(failed)? else { continue };
        if current.owner_references().iter().any(|owner| owner.kind == "Node") {
            return Err(LeaseError::Foreign { node: node.clone(), name });
        }
        let previous = Holder::of(&current);
        // A request whose answer was lost took it.
        if previous == *holder {
            return Ok(held(&current));
        }
        if !previous.is_dead_here(holder) {
            let observed = tokio::select! {
                observed = observe(&api, &name, node, &current, &previous, news) => observed,
                () = stop.cancelled() => return Err(LeaseError::Interrupted),
            };
            match observed {
                Observed::Silent => {}
                Observed::Released => continue,
                Observed::Renewed(holder) => {
                    return Err(LeaseError::Held { node: node.clone(), holder: Box::new(holder) });
                }
            }
            // The watch may have been refused: what it did not tell, the version does.
            let Some(now) = access.ask(|| api.get_opt(&name)).await.map_err(failed)? else { continue };
            if now.resource_version() != current.resource_version() {
                return Err(LeaseError::Held { node: node.clone(), holder: Box::new(Holder::of(&now)) });
            }
        }
        let wanted = lease_object(&name, holder, current.resource_version());
        match access.ask(|| api.replace(&name, &params, &wanted)).await {
            Ok(taken) => {
                news(LeaseNews::TakenOver { node: node.clone(), holder: previous });
                return Ok(held(&taken));
            }
            // It moved in the last moment: look again.
            Err(error) if error.status().is_some_and(|status| matches!(status.code, 404 | 409)) => {}
            Err(error) => return Err(failed(error)),
        }
    }
}

enum Observed {
    /// Nothing happened for a whole lease duration.
    Silent,
    Released,
    /// By whom, which need not be who held it before.
    Renewed(Holder),
}

/// Watches a lease for one duration to see whether its holder is alive.
async fn observe(
    api: &Api<Lease>,
    name: &str,
    node: &NodeName,
    current: &Lease,
    holder: &Holder,
    news: &mut impl FnMut(LeaseNews),
) -> Observed {
    let deadline = now() + DURATION;
    let version = current.resource_version().unwrap_or_default();
    let params = WatchParams::default().fields(&format!("metadata.name={name}")).timeout(30);
    let mut events = match api.watch(&params, &version).await {
        Ok(events) => events.boxed(),
        // Without a watch the lease is only waited for; taking it over is guarded by its version anyway.
        Err(_) => futures::stream::pending().boxed(),
    };
    loop {
        let left = deadline.saturating_duration_since(now());
        if left.is_zero() {
            return Observed::Silent;
        }
        news(LeaseNews::Observing { node: node.clone(), holder: holder.clone(), left });
        let pause = tokio::time::sleep(left.min(Duration::from_secs(1)));
        tokio::select! {
            () = pause => {}
            event = events.next() => match event {
                Some(Ok(WatchEvent::Modified(lease) | WatchEvent::Added(lease))) => {
                    return Observed::Renewed(Holder::of(&lease));
                }
                Some(Ok(WatchEvent::Deleted(_))) => return Observed::Released,
                Some(_) => {}
                None => events = futures::stream::pending().boxed(),
            },
        }
    }
}

fn lease_object(name: &str, holder: &Holder, resource_version: Option<String>) -> Lease {
    let renewed = MicroTime(wall_clock());
    Lease {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(NAMESPACE.to_owned()),
            resource_version,
            annotations: Some([(HOLDER.to_owned(), holder.to_text())].into()),
            ..ObjectMeta::default()
        },
        spec: Some(LeaseSpec {
            holder_identity: Some(holder.to_string()),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
            acquire_time: Some(MicroTime(holder.since)),
            renew_time: Some(renewed),
            ..LeaseSpec::default()
        }),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a lease is about real time: its expiry is measured here and nowhere else"
)]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "the renewal time is written for people who look at the lease")]
fn wall_clock() -> Timestamp {
    Timestamp::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_node_name_is_hashed() {
        assert_eq!(lease_name(&NodeName::from("n1")), "handover-n1");
        let long = NodeName("n".repeat(250));
        assert_eq!(lease_name(&long).len(), "handover-".len() + 16);
        assert_ne!(lease_name(&long), lease_name(&NodeName("n".repeat(251))));
    }
}
