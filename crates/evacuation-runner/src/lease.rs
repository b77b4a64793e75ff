//! One run at a time on a node: a Lease in the cluster, renewed while the run lives; where the user has no right to
//! leases, an annotation on the node.
//!
//! Expiry is judged by the observer's own clock, from the last change that it saw: two laptops' clocks need not agree.
//! The same machine may take over at once if the process that held the lease is dead. A holder that could not renew in
//! time stops writing but goes on trying: the renewal is guarded by the version it knows, so it succeeds only if nobody
//! has taken over.
//!
//! A run takes its own kind of lock first and looks for the other kind then. Of two runs that begin together at least
//! one sees the other, so never both go on.

mod annotation;
mod holder;
mod object;
mod observation;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::time::Duration;

use cluster_model::identity::NodeName;
use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use annotation::LOCK_ANNOTATION;
pub use holder::Holder;
pub use object::lease_name;

use crate::rights;
use annotation::HeldAnnotation;
use api_access::rights::{self as review, MissingRight, Need};
use api_access::{ApiAccess, CallError};
use object::HeldLease;

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
/// The pause after a living run's lock was taken: until it cannot renew any more that run does not know, and writes.
const SEIZURE_PAUSE: Duration = DURATION;
/// How long a lock that could not be renewed is fought for: the run cannot do anything meanwhile.
const LOST_AFTER: Duration = Duration::from_secs(60);

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
    /// Another run holds a lease that this user has no right to take.
    #[error("node {node} is held by {holder}, by a lease that you may not take over")]
    OutOfReach {
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
    /// The node is not there any more.
    #[error("node {node} was deleted before it could be locked")]
    Vanished {
        /// The node.
        node: NodeName,
    },
    /// The server does not say which kind of lock the user may take.
    #[error("cannot ask whether you may use leases in {NAMESPACE}")]
    Rights(#[source] CallError),
    /// The server did not do it.
    #[error("cannot take the {lock} of node {node}")]
    Call {
        /// The node.
        node: NodeName,
        /// What was to be taken or looked at.
        lock: String,
        /// What happened.
        #[source]
        source: CallError,
    },
}

/// What happens while a lease is being taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseNews {
    /// The user may not use leases, for want of these rights: nodes are locked by an annotation.
    NoRight {
        /// What is missing.
        missing: Vec<MissingRight>,
    },
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
    /// The lease of a run that may be alive was taken, as was asked for.
    Seized {
        /// The node.
        node: NodeName,
        /// Whose it was.
        holder: Holder,
    },
}

/// From whom a lock may be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakeOver {
    /// From a run that is dead.
    FromTheDead,
    /// From anybody: `--take-over`.
    FromAnybody,
}

/// The leases of a run's nodes. While it is held, the run may write.
#[derive(Debug)]
pub struct LeaseGuard {
    locks: Vec<Lock>,
    /// Until when the oldest renewal lasts.
    valid_until: Cell<Deadline>,
}

/// One node's lock.
#[derive(Debug)]
enum Lock {
    Lease(HeldLease),
    Annotation(HeldAnnotation),
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

    /// Whether it lies behind by the monotonic clock, by so much: a laptop that slept has not tried meanwhile.
    fn has_passed_by(&self, time: Duration) -> bool {
        now().saturating_duration_since(self.monotonic) > time
    }

    /// Whether it lies ahead by both clocks, with so much to spare.
    fn is_ahead(&self, spare: Duration) -> bool {
        let with_spare = Self::after(spare);
        with_spare.monotonic < self.monotonic && with_spare.wall < self.wall
    }
}

/// Who wants a lock, of which node, and who may lose it.
struct Claim<'a> {
    access: &'a ApiAccess,
    node: &'a NodeName,
    holder: &'a Holder,
    take_over: TakeOver,
    stop: &'a CancellationToken,
}

impl Claim<'_> {
    /// Waits for something unless it is told to stop. Not for requests: one that is dropped half-way could leave a lock
    /// behind.
    async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Result<T, LeaseError> {
        tokio::select! {
            done = work => Ok(done),
            () = self.stop.cancelled() => Err(LeaseError::Interrupted),
        }
    }

    fn go_on(&self) -> Result<(), LeaseError> {
        if self.stop.is_cancelled() { Err(LeaseError::Interrupted) } else { Ok(()) }
    }
}

/// How a lock was got.
struct Taken<L> {
    lock: L,
    is_seized: bool,
}

enum Renewal {
    Done,
    Failed,
    Lost(String),
}

impl LeaseGuard {
    /// Takes the leases of all nodes, or none of them. Where the user lacks a right that a lease needs, the lock is an
    /// annotation on the node, with the same holder and the same rules. When `stop` is cancelled meanwhile, it ends in
    /// good order with none.
    pub async fn acquire(
        access: &ApiAccess,
        nodes: &[NodeName],
        holder: &Holder,
        take_over: TakeOver,
        stop: &CancellationToken,
        mut news: impl FnMut(LeaseNews),
    ) -> Result<Self, LeaseError> {
        let missing = missing_rights(access).await.map_err(LeaseError::Rights)?;
        let uses_leases = missing.is_empty();
        let sees_leases = missing.iter().all(|missing| missing.right != rights::GET_LEASES);
        if !uses_leases {
            news(LeaseNews::NoRight { missing });
        }
        let mut guard = Self { locks: Vec::new(), valid_until: Cell::new(Deadline::after(DURATION)) };
        let mut was_seized = false;
        for node in nodes {
            let claim = Claim { access, node, holder, take_over, stop };
            let taking = async {
                if uses_leases {
                    let Taken { lock, is_seized } = object::take(&claim, &mut news).await?;
                    Ok(Taken { lock: Lock::Lease(lock), is_seized })
                } else {
                    let Taken { lock, is_seized } = annotation::take(&claim, &mut news).await?;
                    Ok(Taken { lock: Lock::Annotation(lock), is_seized })
                }
            };
            // A wait for this node must not let the leases of the others run out.
            let taken = match Box::pin(guard.meanwhile(access, taking)).await {
                Ok(taken) => taken,
                Err(error) => return guard.give_up(access, error).await,
            };
            guard.locks.push(taken.lock);
            was_seized |= taken.is_seized;
            let looking = async {
                if uses_leases {
                    annotation::clear(&claim, &mut news).await
                } else if sees_leases {
                    object::respect(&claim, &mut news).await
                } else {
                    Ok(false)
                }
            };
            match Box::pin(guard.meanwhile(access, looking)).await {
                Ok(is_seized) => was_seized |= is_seized,
                Err(error) => return guard.give_up(access, error).await,
            }
        }
        if was_seized {
            let pause = async {
                tokio::select! {
                    () = tokio::time::sleep(SEIZURE_PAUSE) => Ok(()),
                    () = stop.cancelled() => Err(LeaseError::Interrupted),
                }
            };
            if let Err(error) = guard.meanwhile(access, pause).await {
                return guard.give_up(access, error).await;
            }
        }
        Ok(guard)
    }

    /// Does something while the locks that are held already are renewed.
    async fn meanwhile<T>(
        &self,
        access: &ApiAccess,
        work: impl Future<Output = Result<T, LeaseError>>,
    ) -> Result<T, LeaseError> {
        tokio::select! {
            done = work => done,
            why = self.keep(access), if !self.locks.is_empty() => Err(LeaseError::Lost { why }),
        }
    }

    async fn give_up(self, access: &ApiAccess, error: LeaseError) -> Result<Self, LeaseError> {
        self.release(access).await;
        Err(error)
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
            for lock in &self.locks {
                let renewal = match lock {
                    Lock::Lease(lease) => lease.renew(access).await,
                    Lock::Annotation(annotation) => annotation.renew(access).await,
                };
                match renewal {
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
                if self.valid_until.get().has_passed_by(LOST_AFTER) {
                    return format!("it could not be renewed for {} s", (DURATION + LOST_AFTER).as_secs());
                }
                tokio::time::sleep(RENEWAL_RETRY).await;
            }
        }
    }

    /// Gives the locks back; what cannot be given back runs out by itself.
    pub async fn release(self, access: &ApiAccess) {
        for lock in self.locks {
            match lock {
                Lock::Lease(lease) => lease.release(access).await,
                Lock::Annotation(annotation) => annotation.release(access).await,
            }
        }
    }
}

/// Asks for everything that a lease needs before one is made: a lease that cannot be renewed or deleted is no lock.
async fn missing_rights(access: &ApiAccess) -> Result<Vec<MissingRight>, CallError> {
    let place = BTreeSet::from([NAMESPACE.to_owned()]);
    let lease_rights = [rights::CREATE_LEASES, rights::GET_LEASES, rights::UPDATE_LEASES, rights::DELETE_LEASES];
    let needs = lease_rights.map(|right| Need::within(right, place.clone()));
    review::missing(access, &needs).await
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
