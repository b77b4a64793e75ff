//! Whether a detached pod may go: its workload must be as strong without it as it was with it.

use cluster_model::identity::Uid;
use cluster_model::pod::Pod;
use cluster_model::snapshot::ClusterSnapshot;

use super::facts::Facts;
use super::readiness::Readiness;
use super::step::Detachment;
use crate::surge::family::Family;
use crate::wait::Wait;

/// The answer for one detached pod.
pub(super) enum Gate {
    /// Every condition but the settle time and the budget holds.
    Serves,
    /// One does not.
    Shut(Wait),
    /// Its workload is gone: nothing is left to keep whole.
    Orphaned,
}

/// Judges whether everything that `pod` does is done by others too. Clauses:
///
/// 0. its ReplicaSet is not about to delete a pod, which could be one that is counted here;
/// 1. its own replacement is Available, or the workload has all the pods that it wants;
/// 2. the available pods, detached ones not counted, are as many as before the detach, or as are wanted now; with the
///    other detached pods that still serve, as many as served before;
/// 3. in each Service that the old pod serves, as many of them are ready endpoints, the replacement among them.
pub(super) fn judge(pod: &Pod, detachment: &Detachment, facts: &mut Facts<'_>, readiness: &Readiness) -> Gate {
    let cluster = facts.cluster;
    let replica_set = &detachment.record.replica_set_uid;
    facts.strength(replica_set, readiness);
    let Some(strength) = facts.measured(replica_set) else { return Gate::Orphaned };
    if strength.is_shrinking {
        return Gate::Shut(Wait::Shrink);
    }
    let is_available = |uid: &Uid| uid != &pod.id.uid && strength.available.contains(uid);
    let is_serving = |uid: &Uid| is_available(uid) || uid != &pod.id.uid && strength.orphans.contains(uid);
    let count = size(strength.available.iter().filter(|uid| is_available(uid)).count());
    let serving = count + size(strength.orphans.iter().filter(|uid| **uid != &pod.id.uid).count());
    let desired = strength.desired;
    let needed = desired.min(detachment.record.available_before);
    let needed_serving = desired.min(detachment.record.serving_before);
    if count < desired {
        let Some(replacement) = &detachment.replacement else {
            return Gate::Shut(Wait::ReplacementCreated { failure: strength.family.own.failure.clone() });
        };
        if !is_available(&replacement.uid) {
            let reason = cluster.pod(replacement).and_then(|pod| pod.waiting_reason.clone());
            return Gate::Shut(Wait::ReplacementAvailable { replacement: replacement.clone(), reason });
        }
    }
    if count < needed {
        return Gate::Shut(Wait::Strength { available: count, needed });
    }
    if serving < needed_serving {
        return Gate::Shut(Wait::Strength { available: serving, needed: needed_serving });
    }
    let own = detachment.replacement.as_ref().filter(|replacement| is_available(&replacement.uid));
    for (traffic, ready) in facts.traffic_of(pod) {
        let enough = size(ready.iter().filter(|uid| is_available(uid)).count()) >= needed
            && size(ready.iter().filter(|uid| is_serving(uid)).count()) >= needed_serving;
        if !enough || own.is_some_and(|replacement| !ready.contains(&replacement.uid)) {
            return Gate::Shut(Wait::Endpoint { service: traffic.service.clone() });
        }
    }
    Gate::Serves
}

fn size(pods: usize) -> i32 {
    i32::try_from(pods).unwrap_or(i32::MAX)
}

/// Whether the ReplicaSet would take the pod back and keep it: it exists, is the newest of its Deployment with no
/// rollout under way, and wants pods.
pub(super) fn can_reattach(detachment: &Detachment, cluster: &ClusterSnapshot) -> Result<(), &'static str> {
    let Some(family) = Family::of(&detachment.record.replica_set_uid, cluster) else {
        return Err("its ReplicaSet is gone");
    };
    if family.own.is_terminating {
        return Err("its ReplicaSet is being deleted");
    }
    if family.is_rolling() {
        return Err("a rollout of its Deployment is in progress, and the old ReplicaSet would delete it");
    }
    if family.own.replicas == 0 {
        return Err("its workload was scaled to 0");
    }
    Ok(())
}
