//! Whether a detached pod may go: its workload must be as strong without it as it was with it.

use std::collections::BTreeSet;

use cluster_model::identity::{PodId, Uid};
use cluster_model::pod::Pod;
use cluster_model::snapshot::ClusterSnapshot;

use super::input::Moment;
use super::readiness::Readiness;
use super::step::Detachment;
use crate::event::Wait;
use crate::surge::family::Family;

/// The answer for one detached pod.
pub(super) enum Gate {
    /// Every condition but the settle time and the budget holds.
    Serves,
    /// One does not.
    Shut(Wait),
    /// Its workload is gone: nothing is left to keep whole.
    Orphaned,
}

/// Judges whether everything that `pod` does is done by others too. `outgoing` holds the other pods that are on their
/// way out, which the view may still show as the ReplicaSet's. Clauses:
///
/// 1. its own replacement is Available, or the workload has all the pods that it wants;
/// 2. the available pods, detached ones not counted, are as many as before the detach, or as are wanted now;
/// 3. in each Service that the old pod serves, as many of them are ready endpoints, the replacement among them.
pub(super) fn judge(
    pod: &Pod,
    detachment: &Detachment,
    cluster: &ClusterSnapshot,
    readiness: &Readiness,
    outgoing: &BTreeSet<&PodId>,
    now: Moment,
) -> Gate {
    let Some(family) = Family::of(&detachment.record.replica_set_uid, cluster) else { return Gate::Orphaned };
    let min_ready = family.min_ready_seconds();
    let available: BTreeSet<&Uid> = cluster
        .pods_of(&pod.id.namespace)
        .filter(|other| other.id != pod.id && !outgoing.contains(&other.id))
        .filter(|other| other.is_active() && family.manages(other))
        .filter(|other| readiness.is_available(other, min_ready, now))
        .map(|other| &other.id.uid)
        .collect();
    let count = i32::try_from(available.len()).unwrap_or(i32::MAX);
    let desired = family.desired();
    let needed = desired.min(detachment.record.available_before);
    if count < desired {
        let Some(replacement) = &detachment.replacement else {
            return Gate::Shut(Wait::ReplacementCreated { failure: family.own.failure.clone() });
        };
        if !available.contains(&replacement.uid) {
            let reason = cluster.pod(replacement).and_then(|pod| pod.waiting_reason.clone());
            return Gate::Shut(Wait::ReplacementAvailable { replacement: replacement.clone(), reason });
        }
    }
    if count < needed {
        return Gate::Shut(Wait::Strength { available: count, needed });
    }
    for slices in cluster.traffic_of(&pod.id.namespace, &pod.id.uid) {
        let serving: BTreeSet<&Uid> = cluster
            .slices()
            .filter(|slice| slice.key.namespace == slices.service.namespace)
            .filter(|slice| slice.service.as_ref() == Some(&slices.service.name))
            .filter(|slice| slice.address_type == slices.address_type)
            .flat_map(|slice| slice.endpoints.iter().filter(|endpoint| endpoint.ready).map(|endpoint| &endpoint.pod))
            .filter(|uid| available.contains(uid))
            .collect();
        let enough = i32::try_from(serving.len()).unwrap_or(i32::MAX) >= needed;
        let own = detachment.replacement.as_ref().filter(|replacement| available.contains(&replacement.uid));
        if !enough || own.is_some_and(|replacement| !serving.contains(&replacement.uid)) {
            return Gate::Shut(Wait::Endpoint { service: slices.service });
        }
    }
    Gate::Serves
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
