//! Whether a node still holds a virtual machine. "Safe to power off" rests on this answer, so it is given only when
//! nothing at all names the node, and every doubt counts against it.

use std::fmt;

use serde::{Serialize, Serializer};

use super::launcher::Role;
use super::snapshot::Virtualization;
use crate::identity::{NodeName, ObjectKey, PodId};

/// The answer for one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "verdict", content = "remnants")]
pub enum NodeVerdict {
    /// No virtual machine is left.
    Empty,
    /// These are.
    Holds(Vec<Remnant>),
}

/// Something that keeps a node from being empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remnant {
    /// A guest runs there, or is about to.
    Instance(ObjectKey),
    /// A launcher pod that has not ended, of a guest that is not counted itself.
    Launcher(PodId, Role),
    /// A guest is migrating to it.
    Incoming(ObjectKey),
    /// A guest is still marked for the evacuation of this node: wherever it is, KubeVirt has not finished with it.
    Mark(ObjectKey),
}

impl fmt::Display for Remnant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Instance(key) => write!(f, "VirtualMachineInstance {key} is on it"),
            Self::Launcher(pod, role) => write!(f, "pod {pod} {role}"),
            Self::Incoming(key) => write!(f, "VirtualMachineInstance {key} is migrating to it"),
            Self::Mark(key) => write!(f, "VirtualMachineInstance {key} is still marked for its evacuation"),
        }
    }
}

impl Serialize for Remnant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Tells what is left on a node. Clauses, all of which have to be silent:
///
/// 1. an instance whose guest has not ended names the node in its status or label;
/// 2. an instance whose guest has not ended is migrating to it;
/// 3. an instance whose guest has not ended is marked for its evacuation;
/// 4. a launcher pod on it has not ended, whosever it is.
///
/// A pod that attaches a disk is no virtual machine: it goes with its launcher.
///
/// An instance whose guest has ended is only an object (OBSERVED j); its launcher pod counts until it has ended as well.
/// The answer is as good as the lists behind it: a caller that may not read one of them has no answer.
pub fn whats_left(node: &NodeName, cluster: &Virtualization) -> NodeVerdict {
    let mut remnants = Vec::new();
    for instance in cluster.instances().filter(|instance| !instance.is_final()) {
        let key = || instance.metadata.key.clone();
        if instance.is_on(node) {
            remnants.push(Remnant::Instance(key()));
        }
        if instance.is_incoming_to(node) {
            remnants.push(Remnant::Incoming(key()));
        }
        if instance.evacuation_node.as_ref() == Some(node) {
            remnants.push(Remnant::Mark(key()));
        }
    }
    for launcher in cluster.launchers_on(node) {
        let role = cluster.role(launcher);
        let is_named_already = || {
            let key = launcher.instance().map(|owner| {
                let namespace = launcher.pod.id.namespace.clone();
                ObjectKey::new(namespace, owner.name.clone())
            });
            key.is_some_and(|key| remnants.contains(&Remnant::Instance(key)))
        };
        let counts = match role {
            Role::Finished => false,
            Role::Active => !is_named_already(),
            Role::IncomingTarget { .. } | Role::StaleSource | Role::Unsettled | Role::Orphan | Role::Provisioning => {
                true
            }
        };
        if counts {
            remnants.push(Remnant::Launcher(launcher.pod.id.clone(), role));
        }
    }
    if remnants.is_empty() { NodeVerdict::Empty } else { NodeVerdict::Holds(remnants) }
}

#[cfg(test)]
mod tests;
