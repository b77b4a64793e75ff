//! What happened in a run, in the past tense, with ids and numbers and no prose: reporters make the words.

use cluster_model::eviction_reply::EvictionReply;
use cluster_model::identity::{NodeName, ObjectKey, PodId};
use cluster_model::kubevirt::{Means, MigrationPhase, Remnant};
use serde::Serialize;

use crate::engine::GuestEnd;
use crate::wait::{GuestWait, Wait};

/// One event of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", content = "data", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Event {
    /// The node is unschedulable.
    NodeCordoned {
        /// The node.
        node: NodeName,
        /// Whether it was so before.
        already: bool,
    },
    /// The run's mark and cordon were taken off a node.
    NodeReleased {
        /// The node.
        node: NodeName,
        /// Whether it became schedulable.
        uncordoned: bool,
        /// Whether it stays unschedulable, because it was so before the run.
        stays_cordoned: bool,
    },
    /// The run begins to move this node's pods.
    NodeStarted {
        /// The node.
        node: NodeName,
        /// How many pods have to go.
        pods: usize,
    },
    /// Everything that could leave the node has left.
    NodeDrained {
        /// The node.
        node: NodeName,
    },
    /// All pods that could leave have left, and volumes of theirs are still attached.
    VolumesAttached {
        /// The node.
        node: NodeName,
        /// The PersistentVolumes.
        volumes: Vec<String>,
    },
    /// The server will not cordon, mark or release the node.
    NodeFailed {
        /// The node.
        node: NodeName,
        /// What it said.
        message: String,
    },
    /// A pod that the plan did not have was found on the node.
    PodAppeared {
        /// The pod.
        pod: PodId,
    },
    /// A pod serves on outside its ReplicaSet, which makes a replacement.
    PodDetached {
        /// The pod.
        pod: PodId,
        /// Whether an earlier run had done it.
        resumed: bool,
    },
    /// The replacement exists.
    ReplacementSeen {
        /// The old pod.
        pod: PodId,
        /// The new one.
        replacement: PodId,
        /// Where it was bound; `None` while it is not.
        node: Option<NodeName>,
    },
    /// The replacement is Available and every Service has its endpoint.
    ReplacementServes {
        /// The old pod.
        pod: PodId,
        /// The new one; `None` where the workload shrank meanwhile and needs none.
        replacement: Option<PodId>,
        /// Where it runs.
        node: Option<NodeName>,
    },
    /// An eviction or deletion was sent.
    EvictionRequested {
        /// The pod.
        pod: PodId,
    },
    /// A pod's deletion was sent past its budgets: each of them has one to spare, or somebody has consented.
    DeletionRequested {
        /// The pod.
        pod: PodId,
        /// The budgets.
        budgets: Vec<ObjectKey>,
        /// Whether a budget that has none to spare is bypassed.
        bypasses: bool,
    },
    /// The server did not let the pod go yet.
    EvictionDeferred {
        /// The pod.
        pod: PodId,
        /// What it said.
        reply: EvictionReply,
    },
    /// The pod is terminating.
    EvictionAccepted {
        /// The pod.
        pod: PodId,
    },
    /// The pod is gone.
    PodGone {
        /// The pod.
        pod: PodId,
        /// What took its place, where the run saw to that.
        replacement: Option<PodId>,
    },
    /// The pod is its ReplicaSet's again.
    PodReattached {
        /// The pod.
        pod: PodId,
        /// Why it stays; `None` where an earlier run was giving it back and this one moves it.
        reason: Option<String>,
    },
    /// The run gave this pod up; it serves on where it is.
    PodGivenUp {
        /// The pod.
        pod: PodId,
        /// Why.
        reason: String,
    },
    /// What a pod waits for, said once for each change.
    Waiting {
        /// The pod.
        pod: PodId,
        /// For what.
        wait: Wait,
    },
    /// A request got no answer, or one that says nothing; it is sent again.
    RequestRetried {
        /// On which object.
        object: String,
        /// What was heard.
        message: String,
    },
    /// The server will not do what was asked for.
    RequestFailed {
        /// On which object.
        object: String,
        /// What it said.
        message: String,
    },
    /// A virtual machine that the plan did not have was found on the node.
    VmAppeared {
        /// The instance.
        vm: ObjectKey,
        /// The node.
        node: NodeName,
    },
    /// What is done about a virtual machine was asked for.
    VmRequested {
        /// The instance.
        vm: ObjectKey,
        /// By which means.
        means: Means,
    },
    /// KubeVirt marked it, or had done so before: its evacuation is under way.
    VmEvacuating {
        /// The instance.
        vm: ObjectKey,
    },
    /// A migration of it came into another phase.
    VmMigrating {
        /// The instance.
        vm: ObjectKey,
        /// The migration's name.
        migration: String,
        /// Its phase.
        phase: MigrationPhase,
        /// Where it goes to, once that is decided.
        target: Option<NodeName>,
    },
    /// A migration of it failed; it runs on where it was.
    VmMigrationFailed {
        /// The instance.
        vm: ObjectKey,
        /// The migration's name.
        migration: String,
        /// How many have failed in this run.
        failures: u32,
        /// Why, as far as KubeVirt says.
        reason: Option<String>,
    },
    /// Its eviction was granted although it could migrate: its guest is being shut down, as its strategy says.
    VmShutDown {
        /// The instance.
        vm: ObjectKey,
    },
    /// Its evacuation was called off: the mark is off.
    VmCancelled {
        /// The instance.
        vm: ObjectKey,
    },
    /// A migration was deleted, and so aborted.
    VmMigrationDeleted {
        /// The instance.
        vm: ObjectKey,
        /// The migration's name.
        migration: String,
    },
    /// A virtual machine's run strategy was given back.
    VmRestored {
        /// The VirtualMachine.
        machine: ObjectKey,
    },
    /// How it ended for a virtual machine.
    VmEnded {
        /// The instance.
        vm: ObjectKey,
        /// How.
        end: GuestEnd,
    },
    /// What a virtual machine waits for, said once for each change.
    VmWaiting {
        /// The instance.
        vm: ObjectKey,
        /// For what.
        wait: GuestWait,
    },
    /// KubeVirt's drain taint was taken off a node.
    TaintRemoved {
        /// The node.
        node: NodeName,
        /// Its key.
        key: String,
    },
    /// Everything was done, and something of a virtual machine's is still on the node.
    NodeHolds {
        /// The node.
        node: NodeName,
        /// What.
        remnants: Vec<Remnant>,
    },
    /// No virtual machine is left on the node, by everything that could name it.
    NodeHoldsNoVm {
        /// The node.
        node: NodeName,
    },
    /// The run was told to end in good order.
    Stopping {
        /// Why.
        why: Stop,
    },
}

/// Why a run ends before it is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "reason", rename_all = "camelCase")]
pub enum Stop {
    /// INT, TERM or HUP.
    Interrupted,
    /// `--timeout` for this node ran out.
    Timeout {
        /// The node.
        node: NodeName,
    },
    /// A pod of this node was given up, so the nodes after it are not begun.
    Failed {
        /// The node.
        node: NodeName,
    },
    /// The run is there to undo, not to drain.
    Undo,
}
