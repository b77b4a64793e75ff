//! The owners of pods: one file a kind, and the chain from a pod to the workload that a person knows.

mod controller;
mod deployment;
mod replica_set;
mod stateful_set;

pub use controller::Controller;
pub use deployment::{Deployment, Strategy, resolve_surge};
pub use replica_set::{AntiAffinity, ReplicaSet, SetKind, TemplateRules};
pub use stateful_set::HeldBack;

use crate::identity::ControllerRef;
use crate::pod::Pod;
use crate::snapshot::ClusterSnapshot;

/// The kind of the controller that directly manages a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnerKind {
    /// `apps` ReplicaSet, with or without a Deployment above it.
    ReplicaSet,
    /// `apps` StatefulSet.
    StatefulSet,
    /// `apps` DaemonSet: its pods are left where they are.
    DaemonSet,
    /// `batch` Job.
    Job,
    /// Core ReplicationController.
    ReplicationController,
    /// The node itself: a static pod's image in the API.
    Node,
    /// A kind that Kubernetes does not ship.
    Custom,
    /// No controller.
    Nobody,
}

/// Group and kind of each owner that Kubernetes ships.
const OWNER_KINDS: &[(&str, &str, OwnerKind)] = &[
    ("apps", "ReplicaSet", OwnerKind::ReplicaSet),
    ("apps", "StatefulSet", OwnerKind::StatefulSet),
    ("apps", "DaemonSet", OwnerKind::DaemonSet),
    ("batch", "Job", OwnerKind::Job),
    ("", "ReplicationController", OwnerKind::ReplicationController),
    ("", "Node", OwnerKind::Node),
];

/// Tells what kind of controller manages the pod.
pub fn owner_kind(pod: &Pod) -> OwnerKind {
    let Some(controller) = &pod.controller else { return OwnerKind::Nobody };
    OWNER_KINDS
        .iter()
        .find(|(group, kind, _)| controller.is(group, kind))
        .map_or(OwnerKind::Custom, |(_, _, found)| *found)
}

/// Whether a pod is one of several alike, of which a controller makes another when one is gone: then they leave one after
/// another. A Job's pod is not served by the next one, and nobody makes another of a pod without a controller.
pub fn takes_turns(pod: &Pod) -> bool {
    match owner_kind(pod) {
        OwnerKind::ReplicaSet | OwnerKind::StatefulSet | OwnerKind::ReplicationController | OwnerKind::Custom => true,
        OwnerKind::DaemonSet | OwnerKind::Job | OwnerKind::Node | OwnerKind::Nobody => false,
    }
}

/// The top owner of a pod: the Deployment above its ReplicaSet where the snapshot knows it, else its controller. `None` for
/// an unmanaged pod. A detached pod belongs to nobody here: [`ClusterSnapshot::home_of`] knows its record.
pub fn top_owner<'a>(pod: &'a Pod, cluster: &'a ClusterSnapshot) -> Option<&'a ControllerRef> {
    let controller = pod.controller.as_ref()?;
    let above = cluster.replica_set(&controller.uid).and_then(|replica_set| replica_set.controller.as_ref());
    Some(above.unwrap_or(controller))
}
