//! What a drain was asked to do, with nothing left to resolve.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use cluster_model::disposition::DrainPolicy;
use cluster_model::identity::WorkloadRef;
use cluster_model::owners::{self, OwnerKind};
use cluster_model::pod::Pod;
use cluster_model::service::PodChooser;
use cluster_model::snapshot::ClusterSnapshot;
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
    /// The same for a pod behind a load balancer that nobody waits for: its targets have no readiness gate.
    pub settle_behind_load_balancer: Duration,
    /// Whether a node that is drained is taken out of the load balancers, until that is undone.
    pub exclude_from_load_balancers: bool,
    /// Whether a node is drained only when the volumes of its pods are detached.
    pub waits_for_volumes: bool,
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
    /// `--strategy=evict` and `--disable-eviction` are kubectl's way, and know no turns; what goes past a budget always does.
    pub fn takes_turns(&self, pod: &Pod, bypasses_budget: bool) -> bool {
        (bypasses_budget || !self.is_kubectls_way()) && owners::takes_turns(pod)
    }

    /// Whether pods go as `kubectl drain` has them go.
    pub fn is_kubectls_way(&self) -> bool {
        self.strategy == Strategy::Evict || self.removal == Removal::Delete
    }

    /// Whether some pods may take turns, so that the others of their workloads have to be seen.
    pub fn may_take_turns(&self) -> bool {
        !self.is_kubectls_way() || !self.allow_downtime.is_empty()
    }

    /// How long the traffic of a pod may take to find its replacement. A load balancer outside of the cluster has to see the
    /// new target well first; where the pods have a readiness gate, somebody waits for that already.
    pub fn settle_of(&self, pod: &Pod, cluster: &ClusterSnapshot) -> Duration {
        let here = |chooser: &&PodChooser| chooser.has_load_balancer && chooser.key.namespace == pod.id.namespace;
        let chooses = |chooser: &PodChooser| chooser.selectors.iter().any(|selector| selector.matches(&pod.labels));
        let is_behind = !pod.has_readiness_gates && cluster.choosers().filter(here).any(chooses);
        if is_behind { self.settle_behind_load_balancer } else { self.settle }
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
            settle_behind_load_balancer: Duration::from_secs(30),
            exclude_from_load_balancers: false,
            waits_for_volumes: true,
            replacement_timeout: Duration::from_secs(600),
            node_timeout: None,
            moves: Moves::default(),
            guests: GuestRequest::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use cluster_model::fixtures;
    use cluster_model::identity::ObjectKey;
    use cluster_model::snapshot::Change;

    use super::*;

    #[test]
    fn a_load_balancer_gets_longer_unless_the_pods_wait_for_it_themselves() {
        let request = DrainRequest::default();
        let pod = fixtures::pod("shop", "web").labelled(&[("app", "web")]).ready().build();
        let gated = Pod { has_readiness_gates: true, ..pod.clone() };
        let service = |namespace: &str, app: &str, has_load_balancer| {
            let mut cluster = ClusterSnapshot::default();
            let selectors = vec![fixtures::selector(&[("app", app)])];
            let key = ObjectKey::new(namespace, "front");
            cluster.apply(Change::Chooser(PodChooser { kind: "Service", key, selectors, has_load_balancer }));
            cluster
        };
        let table = [
            (&pod, service("shop", "web", true), 30),
            (&gated, service("shop", "web", true), 2),
            (&pod, service("shop", "web", false), 2),
            (&pod, service("shop", "db", true), 2),
            (&pod, service("other", "web", true), 2),
        ];
        for (pod, cluster, seconds) in table {
            assert_eq!(request.settle_of(pod, &cluster), Duration::from_secs(seconds), "{cluster:?}");
        }
    }

    #[test]
    fn a_workload_is_meant_by_its_top_owner() {
        let workload = |kind: &str, name: &str| WorkloadRef {
            kind: kind.to_owned(),
            namespace: "shop".to_owned(),
            name: name.to_owned(),
        };
        let name = |kind: Option<&str>| WorkloadName {
            namespace: "shop".to_owned(),
            kind: kind.map(str::to_owned),
            name: "web".to_owned(),
        };
        assert!(name(None).means(&workload("Deployment", "web")));
        assert!(name(Some("deployment")).means(&workload("Deployment", "web")));
        assert!(!name(Some("statefulset")).means(&workload("Deployment", "web")));
        assert!(!name(None).means(&workload("Deployment", "web-2")));
    }
}
