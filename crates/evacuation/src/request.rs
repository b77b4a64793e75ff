//! What a drain was asked to do, with nothing left to resolve.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use cluster_model::disposition::DrainPolicy;
use cluster_model::identity::WorkloadRef;
use cluster_model::owners::{self, OwnerKind};
use cluster_model::pod::Pod;
use cluster_model::wishes::DrainWish;
use serde::{Deserialize, Serialize};

use crate::guests::{GuestRequest, Moves};

/// A drain, as requested.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrainRequest {
    /// How pods are to leave.
    pub strategy: Strategy,
    /// Which pods may go.
    pub policy: DrainPolicy,
    /// Whether pods are evicted or, with `--disable-eviction`, deleted.
    pub removal: Removal,
    /// `--grace-period`; `None`: each pod's own.
    pub grace_seconds: Option<u32>,
    /// Extra pods of one workload at a time; `None`: the workload's own maxSurge.
    pub max_surge: Option<SurgeLimit>,
    /// What becomes of the pods of Jobs.
    pub jobs: Jobs,
    /// The workloads that may be missing for a while although their budgets do not allow it.
    pub allow_downtime: BTreeSet<WorkloadName>,
    /// Whether the manifests of pods without a controller are kept before they go.
    pub keeps_manifests: bool,
    /// How long to hold after a new endpoint is ready.
    pub settle: Duration,
    /// How long a replacement may take before the old pod is attached again.
    pub replacement_timeout: Duration,
    /// `--timeout`, for each node; `None`: for ever.
    pub node_timeout: Option<Duration>,
    /// What is moved.
    pub moves: Moves,
    /// What was asked for about virtual machines.
    pub guests: GuestRequest,
}

/// How pods are to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Strategy {
    /// Make before break where Kubernetes allows it, eviction elsewhere.
    Auto,
    /// Make before break, or refuse.
    Surge,
    /// Eviction only, as `kubectl drain` does it.
    Evict,
}

/// What becomes of the pods of Jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jobs {
    /// They are evicted; their Jobs make others.
    Evict,
    /// They are waited for until they have ended.
    Wait,
}

/// A workload as a person names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WorkloadName {
    /// The namespace.
    pub namespace: String,
    /// The kind of its top owner, as it is written; `None`: any.
    pub kind: Option<String>,
    /// The name of its top owner; of a pod without one, its own.
    pub name: String,
}

impl WorkloadName {
    /// Whether a workload is meant.
    pub fn means(&self, workload: &WorkloadRef) -> bool {
        let is_kind = |kind: &String| kind.eq_ignore_ascii_case(&workload.kind);
        self.namespace == workload.namespace && self.name == workload.name && self.kind.as_ref().is_none_or(is_kind)
    }
}

impl fmt::Display for WorkloadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind.as_ref().map(|kind| format!("{kind}/")).unwrap_or_default();
        write!(f, "{}/{kind}{}", self.namespace, self.name)
    }
}

/// How a pod is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// By the eviction API, under the budgets.
    Evict,
    /// By DELETE, past the budgets.
    Delete,
}

/// A limit for extra pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SurgeLimit {
    /// So many pods.
    Pods(u32),
    /// So many percent of the workload's replicas, rounded up.
    Percent(u32),
}

impl SurgeLimit {
    /// Resolves the limit for a workload of so many replicas.
    pub fn resolve(self, replicas: i32) -> i32 {
        match self {
            Self::Pods(pods) => i32::try_from(pods).unwrap_or(i32::MAX),
            Self::Percent(percent) => {
                let scaled = i64::from(replicas.max(0)) * i64::from(percent);
                i32::try_from((scaled + 99) / 100).unwrap_or(i32::MAX)
            }
        }
    }
}

impl DrainRequest {
    /// Whether the pods of its workload are evicted one after another, each when the last one's successor is Ready.
    /// `--strategy=evict` and `--disable-eviction` are kubectl's way, and know no turns.
    pub fn takes_turns(&self, pod: &Pod) -> bool {
        self.strategy != Strategy::Evict && self.removal != Removal::Delete && owners::takes_turns(pod)
    }

    /// Whether somebody has consented to a gap of a workload that its budget does not allow.
    pub fn allows_downtime(&self, workload: &WorkloadRef) -> bool {
        self.allow_downtime.iter().any(|name| name.means(workload))
    }

    /// Why a pod is waited for until it has ended by itself; `None`: it is not.
    pub fn waits_for(&self, pod: &Pod) -> Option<&'static str> {
        if pod.is_terminal() {
            return None;
        }
        if pod.wishes.drain == DrainWish::WaitCompleted {
            return Some("it says so itself: cluster.x-k8s.io/drain=wait-completed");
        }
        let is_of_job = owners::owner_kind(pod) == OwnerKind::Job;
        (is_of_job && self.jobs == Jobs::Wait).then_some("its Job's pods may end first: --jobs=wait")
    }

    /// How many extra pods a workload may have at a time: what was asked for, or its own maxSurge.
    pub fn surge_limit(&self, own_max_surge: i32, replicas: i32) -> i32 {
        self.max_surge.map_or(own_max_surge, |limit| limit.resolve(replicas))
    }
}

impl Default for DrainRequest {
    /// The defaults of the command line.
    fn default() -> Self {
        Self {
            strategy: Strategy::Auto,
            policy: DrainPolicy::default(),
            removal: Removal::Evict,
            grace_seconds: None,
            max_surge: None,
            jobs: Jobs::Evict,
            allow_downtime: BTreeSet::new(),
            keeps_manifests: false,
            settle: Duration::from_secs(2),
            replacement_timeout: Duration::from_secs(600),
            node_timeout: None,
            moves: Moves::default(),
            guests: GuestRequest::default(),
        }
    }
}
