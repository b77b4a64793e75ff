//! What the engine wants done: one command is one API call.

use cluster_model::identity::{NodeName, PodId, Uid};
use cluster_model::marks::{DetachRecord, NodeRun};

use super::guest_command::GuestCommand;

/// One call to the API server.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Makes the node unschedulable and writes the run's mark, in one guarded patch.
    Cordon {
        /// The node.
        node: NodeName,
        /// `metadata.resourceVersion` that was seen.
        resource_version: String,
        /// The mark.
        mark: NodeRun,
    },
    /// Replaces the run's mark, and gives the node the labels that it tells of.
    Mark {
        /// The node.
        node: NodeName,
        /// Its uid.
        uid: Uid,
        /// The mark.
        mark: NodeRun,
    },
    /// Takes the mark off, and the cordon too if the run had put it on.
    Release {
        /// The node.
        node: NodeName,
        /// Its uid.
        uid: Uid,
        /// Whether the node becomes schedulable again.
        uncordon: bool,
        /// The labels that are taken off: those that the run had added.
        labels: Vec<String>,
    },
    /// Takes a pod out of its ReplicaSet, with the record of how to undo that in the same patch.
    Detach {
        /// The pod.
        pod: PodId,
        /// `metadata.resourceVersion` that was seen.
        resource_version: String,
        /// How to undo it.
        record: DetachRecord,
    },
    /// Looks a pod up, after a request about it that nobody answered.
    Look {
        /// The pod.
        pod: PodId,
    },
    /// Gives a pod back to its ReplicaSet, with a deletion cost that makes the ReplicaSet delete the other one.
    Reattach {
        /// The pod.
        pod: PodId,
        /// What makes it the ReplicaSet's again.
        record: DetachRecord,
    },
    /// Takes the record off an attached pod and restores its deletion cost.
    ClearRecord {
        /// The pod.
        pod: PodId,
        /// The deletion cost that it had; `None`: no such annotation.
        deletion_cost: Option<String>,
    },
    /// Asks the eviction API to let the pod go.
    Evict {
        /// The pod; its uid guards the request.
        pod: PodId,
        /// Seconds; `None`: the pod's own.
        grace_seconds: Option<u32>,
    },
    /// Deletes the pod, past the budgets.
    Delete {
        /// The pod; its uid guards the request.
        pod: PodId,
        /// Seconds; `None`: the pod's own.
        grace_seconds: Option<u32>,
    },
    /// Something about a virtual machine.
    Guest(GuestCommand),
}
