//! One run at a time on a node: a Lease in the cluster, renewed while the run lives.
//!
//! Expiry is judged by the observer's own clock, from the last change that it saw: two laptops' clocks need not agree.
//! The same host may take over at once if the process that held the lease is dead.

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

pub use holder::Holder;

use crate::access::{ApiAccess, CallError};

/// Where the leases are: kubelets keep their own there, so the namespace exists in every cluster.
pub const NAMESPACE: &str = "kube-node-lease";
/// How long a lease lasts without being renewed.
const DURATION: Duration = Duration::from_secs(15);
/// How often it is renewed.
const RENEWAL: Duration = Duration::from_secs(5);
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
    /// Takes the leases of all nodes, or none of them.
    pub async fn acquire(
        access: &ApiAccess,
        nodes: &[NodeName],
        holder: &Holder,
        mut news: impl FnMut(LeaseNews),
    ) -> Result<Self, LeaseError> {
        let mut guard = Self { leases: Vec::new(), valid_until: Cell::new(Deadline::after(DURATION)) };
        for node in nodes {
            match acquire_one(access, node, holder, &mut news).await {
                Ok(lease) => guard.leases.push(lease),
                Err(error) => {
                    guard.release(access).await;
                    return Err(error);
                }
            }
            // A wait for one node must not let the leases of the others run out.
            if !guard.valid_until.get().is_ahead(DURATION.saturating_sub(RENEWAL)) {
                guard.renew_all(access).await;
            }
        }
        Ok(guard)
    }

    /// Whether a write may be sent now. False once a renewal is overdue, as it is after a suspend too: another run may
    /// have taken over.
    pub fn is_held(&self) -> bool {
        self.valid_until.get().is_ahead(Duration::ZERO)
    }

    /// Renews the leases for as long as that works, and returns why it does not any more.
    pub async fn keep(&self, access: &ApiAccess) -> String {
        loop {
            tokio::time::sleep(RENEWAL).await;
            if let Some(lost) = self.renew_all(access).await {
                return lost;
            }
            if !self.is_held() {
                return "it could not be renewed in time".to_owned();
            }
        }
    }

    async fn renew_all(&self, access: &ApiAccess) -> Option<String> {
        let valid_until = Deadline::after(DURATION);
        let mut all = true;
        for lease in &self.leases {
            match lease.renew(access).await {
                Renewal::Done => {}
                Renewal::Failed => all = false,
                Renewal::Lost(why) => {
                    self.valid_until.set(Deadline::after(Duration::ZERO));
                    return Some(why);
                }
            }
        }
        if all {
            self.valid_until.set(valid_until);
        }
        None
    }

    /// Deletes the leases; what cannot be deleted runs out by itself.
    pub async fn release(self, access: &ApiAccess) {
        for lease in self.leases {
            let preconditions = Preconditions {
                uid: Some(lease.uid.clone()),
                resource_version: Some(lease.resource_version.borrow().clone()),
            };
            let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
            if let Err(error) = access.call(lease.api.delete(&lease.name, &params)).await {
                tracing::info!("the lease of node {} was not released: {error}", lease.node);
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
        let resource_version = self.resource_version.borrow().clone();
        let lease = lease_object(&self.name, &self.holder, Some(resource_version));
        let answer = access.call(self.api.replace(&self.name, &kube::api::PostParams::default(), &lease)).await;
        match answer {
            Ok(renewed) => {
                *self.resource_version.borrow_mut() = renewed.resource_version().unwrap_or_default();
                Renewal::Done
            }
            Err(error) => match error.status().map(|status| status.code) {
                Some(404) => Renewal::Lost(format!("somebody deleted the lease of node {}", self.node)),
                Some(409) => self.after_conflict(access).await,
                _ => Renewal::Failed,
            },
        }
    }

    /// A conflict may be our own earlier renewal, whose answer was lost.
    async fn after_conflict(&self, access: &ApiAccess) -> Renewal {
        let Ok(current) = access.call(self.api.get(&self.name)).await else { return Renewal::Failed };
        match Holder::of(&current) {
            Some(holder) if holder == self.holder => {
                *self.resource_version.borrow_mut() = current.resource_version().unwrap_or_default();
                Renewal::Done
            }
            Some(other) => Renewal::Lost(format!("node {} was taken over by {other}", self.node)),
            None => Renewal::Lost(format!("somebody changed the lease of node {}", self.node)),
        }
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
        match access.call(api.create(&params, &lease_object(&name, holder, None))).await {
            Ok(created) => return Ok(held(&created)),
            Err(error) if error.status().is_some_and(|status| status.code == 409) => {}
            Err(error) => return Err(failed(error)),
        }
        let current = match access.call(api.get(&name)).await {
            Ok(current) => current,
            Err(error) if error.status().is_some_and(|status| status.code == 404) => continue,
            Err(error) => return Err(failed(error)),
        };
        let previous = Holder::of(&current);
        if let Some(previous) = previous.as_ref().filter(|previous| !previous.is_dead_here(holder)) {
            match observe(&api, &name, node, &current, previous, news).await {
                Observed::Silent => {}
                Observed::Released => continue,
                Observed::Renewed => {
                    return Err(LeaseError::Held { node: node.clone(), holder: Box::new(previous.clone()) });
                }
            }
        }
        match access.call(api.replace(&name, &params, &lease_object(&name, holder, current.resource_version()))).await {
            Ok(taken) => {
                if let Some(holder) = previous {
                    news(LeaseNews::TakenOver { node: node.clone(), holder });
                }
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
    Renewed,
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
                Some(Ok(WatchEvent::Modified(_) | WatchEvent::Added(_))) => return Observed::Renewed,
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
