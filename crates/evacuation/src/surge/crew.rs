//! The pods of one workload, whoever of its controllers manages them: those that stand in for each other.

use cluster_model::identity::Uid;
use cluster_model::pod::Pod;
use cluster_model::snapshot::ClusterSnapshot;

use super::family::Family;

/// A workload, seen from one of its pods.
#[derive(Clone, Debug)]
pub struct Crew<'a> {
    namespace: &'a str,
    owner: &'a Uid,
    /// Its ReplicaSets, where a Deployment or its like rolls pods from one to the other.
    family: Option<Family<'a>>,
}

impl<'a> Crew<'a> {
    /// Finds the workload of a pod; `None`: nobody manages it.
    pub fn of(pod: &'a Pod, cluster: &'a ClusterSnapshot) -> Option<Self> {
        let owner = &pod.controller.as_ref()?.uid;
        Some(Self { namespace: &pod.id.namespace, owner, family: Family::of(owner, cluster) })
    }

    /// Which workload it is: the uid of the top owner.
    pub fn key(&self) -> &'a Uid {
        above(self.family.as_ref()).unwrap_or(self.owner)
    }

    /// Its pods, as far as the view shows them.
    pub fn members<'b>(&'b self, cluster: &'a ClusterSnapshot) -> impl Iterator<Item = &'a Pod> + use<'a, 'b> {
        let is_member = |pod: &&Pod| match &self.family {
            Some(family) => family.manages(pod),
            None => pod.is_managed_by(self.owner),
        };
        cluster.pods_of(self.namespace).filter(is_member)
    }

    /// How many pods it is to have; `None`: nobody says.
    pub fn wanted(&self, cluster: &ClusterSnapshot) -> Option<usize> {
        let wanted = match &self.family {
            Some(family) => Some(family.desired()),
            None => cluster.replicas_of(self.owner),
        };
        wanted.and_then(|wanted| usize::try_from(wanted).ok())
    }
}

/// The key of the workload of a ReplicaSet, for pods that were detached from it.
pub(crate) fn key_of<'a>(replica_set: &'a Uid, cluster: &'a ClusterSnapshot) -> &'a Uid {
    above(Family::of(replica_set, cluster).as_ref()).unwrap_or(replica_set)
}

fn above<'a>(family: Option<&Family<'a>>) -> Option<&'a Uid> {
    family.and_then(|family| family.own.controller.as_ref()).map(|above| &above.uid)
}
