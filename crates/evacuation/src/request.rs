//! What a drain was asked to do, with nothing left to resolve.

use std::time::Duration;

use cluster_model::disposition::DrainPolicy;
use cluster_model::owners;
use cluster_model::pod::Pod;
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
            settle: Duration::from_secs(2),
            replacement_timeout: Duration::from_secs(600),
            node_timeout: None,
            moves: Moves::default(),
            guests: GuestRequest::default(),
        }
    }
}
