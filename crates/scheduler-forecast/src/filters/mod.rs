//! The scheduler's filters, a file each, named and ordered as in its default profile (`default_plugins.go` of v1.37).
//!
//! As there, a filter first looks at the pod and the cluster, and may find that it has nothing to say or that no node can
//! take the pod; then it judges node by node. A new filter is a file and a row in [`FILTERS`].

mod inter_pod_affinity;
mod node_affinity;
mod node_declared_features;
mod node_name;
mod node_ports;
mod node_resources_fit;
mod node_unschedulable;
mod node_volume_limits;
mod pod_topology_spread;
mod scheduling_gates;
mod taint_toleration;
mod volume_binding;
mod volume_restrictions;
mod volume_zone;

pub(crate) use pod_topology_spread::never_even;

use std::collections::BTreeSet;

use cluster_model::identity::NodeName;

use crate::candidate::Candidate;
use crate::cluster::Cluster;
use crate::node::Node;
use crate::rejection::{Plugin, Reason};

/// What a filter finds out before it looks at nodes.
pub(crate) enum Prepared<'a> {
    /// It has nothing to say about this pod.
    Skip,
    /// No node can take the pod.
    Rejected(Reason),
    /// It looks at each node.
    Judge(Box<dyn Judge + 'a>),
    /// It looks at these nodes; all others are rejected by it, for this reason, before any filter looks at a node.
    Only(BTreeSet<NodeName>, Reason, Box<dyn Judge + 'a>),
}

impl<'a> Prepared<'a> {
    fn judge(judge: impl Judge + 'a) -> Self {
        Self::Judge(Box::new(judge))
    }

    /// A judge that may find what ends the attempt to place the pod.
    fn judge_that_may_fail(judge: impl Fn(&Node) -> Option<Reason> + 'a) -> Self {
        Self::Judge(Box::new(MayFail(judge)))
    }
}

/// A filter that knows its pod.
pub(crate) trait Judge {
    /// Why this node does not take the pod; `None`: for all that this filter knows it does.
    fn judge(&self, node: &Node) -> Option<Reason>;

    /// Whether what it finds on one node may end the attempt to place the pod at all: see [`Reason::ends_attempt`].
    fn may_fail(&self) -> bool {
        false
    }
}

struct MayFail<F>(F);

impl<F: Fn(&Node) -> Option<Reason>> Judge for MayFail<F> {
    fn judge(&self, node: &Node) -> Option<Reason> {
        (self.0)(node)
    }

    fn may_fail(&self) -> bool {
        true
    }
}

impl<F: Fn(&Node) -> Option<Reason>> Judge for F {
    fn judge(&self, node: &Node) -> Option<Reason> {
        self(node)
    }
}

type Prepare = for<'a> fn(&'a Candidate, &'a Cluster) -> Prepared<'a>;

/// All filters, in the order in which they are asked.
pub(crate) const FILTERS: [(Plugin, Prepare); 14] = [
    (Plugin::SchedulingGates, scheduling_gates::prepare),
    (Plugin::NodeName, node_name::prepare),
    (Plugin::NodeUnschedulable, node_unschedulable::prepare),
    (Plugin::TaintToleration, taint_toleration::prepare),
    (Plugin::NodeAffinity, node_affinity::prepare),
    (Plugin::NodePorts, node_ports::prepare),
    (Plugin::NodeResourcesFit, node_resources_fit::prepare),
    (Plugin::VolumeRestrictions, volume_restrictions::prepare),
    (Plugin::NodeVolumeLimits, node_volume_limits::prepare),
    (Plugin::VolumeBinding, volume_binding::prepare),
    (Plugin::VolumeZone, volume_zone::prepare),
    (Plugin::PodTopologySpread, pod_topology_spread::prepare),
    (Plugin::InterPodAffinity, inter_pod_affinity::prepare),
    (Plugin::NodeDeclaredFeatures, node_declared_features::prepare),
];
