//! The ReplicaSets of one Deployment or other owner, seen together: a rollout moves pods between them, and the workload's
//! strength is the sum.

use cluster_model::identity::{ControllerRef, Uid};
use cluster_model::owners::{OwnerKind, ReplicaSet, owner_kind};
use cluster_model::pod::{Pod, TEMPLATE_HASH};
use cluster_model::snapshot::ClusterSnapshot;

/// A ReplicaSet with its siblings.
#[derive(Clone, Debug)]
pub struct Family<'a> {
    /// The ReplicaSet that was asked for.
    pub own: &'a ReplicaSet,
    /// All of the Deployment's, the asked one included.
    pub members: Vec<&'a ReplicaSet>,
}

impl<'a> Family<'a> {
    /// Gathers the family of a ReplicaSet; `None` if it does not exist.
    pub fn of(replica_set: &Uid, cluster: &'a ClusterSnapshot) -> Option<Self> {
        let own = cluster.replica_set(replica_set)?;
        let members = cluster.replica_sets().filter(|other| other.uid == own.uid || other.is_sibling_of(own)).collect();
        Some(Self { own, members })
    }

    /// Whether the asked ReplicaSet is the one that the Deployment rolls towards.
    pub fn is_newest(&self) -> bool {
        self.members.iter().all(|member| member.revision <= self.own.revision)
    }

    /// Whether a Deployment owns it, which numbers its generations and rolls from one to the next.
    pub fn is_deployments(&self) -> bool {
        self.own.controller.as_ref().is_some_and(|above| above.is("apps", "Deployment"))
    }

    /// How many pods the workload is to have now.
    pub fn desired(&self) -> i32 {
        if !self.is_deployments() {
            return self.members.iter().map(|member| member.replicas).fold(0, i32::saturating_add);
        }
        let newest = self.members.iter().max_by_key(|member| member.revision);
        newest.map_or(self.own.replicas, |newest| newest.desired_replicas.unwrap_or(newest.replicas))
    }

    /// Whether pods are being moved between generations: the asked ReplicaSet is not the newest, another still has or
    /// wants pods, or it has not reached the Deployment's number.
    pub fn is_rolling(&self) -> bool {
        !self.is_newest()
            || self
                .members
                .iter()
                .any(|member| member.uid != self.own.uid && (member.replicas > 0 || member.current_replicas > 0))
            || self.own.desired_replicas.is_some_and(|desired| desired != self.own.replicas)
    }

    /// Whether the pod is managed by one of them.
    pub fn manages(&self, pod: &Pod) -> bool {
        self.members.iter().any(|member| pod.is_managed_by(&member.uid))
    }

    /// Whether the pod is of a generation whose ReplicaSet the view does not show yet: a watch of pods may be ahead of the
    /// watch of ReplicaSets. Told by its labels, which are those of the template but for the hash.
    pub fn foresees(&self, pod: &Pod, cluster: &ClusterSnapshot) -> bool {
        let Some(hash) = &self.own.template_hash else { return false };
        let is_unknown = |controller: &ControllerRef| cluster.replica_set(&controller.uid).is_none();
        owner_kind(pod) == OwnerKind::ReplicaSet && pod.controller.as_ref().is_some_and(is_unknown) && {
            let mut labels = pod.labels.clone();
            labels.insert(TEMPLATE_HASH.to_owned(), hash.clone());
            self.own.selector.matches(&labels)
        }
    }

    /// The longest `minReadySeconds` among them.
    pub fn min_ready_seconds(&self) -> i32 {
        self.members.iter().map(|member| member.min_ready_seconds).max().unwrap_or(0)
    }
}
