//! What happened in a run, in the past tense, with ids and numbers and no prose: reporters make the words.

use cluster_model::eviction_reply::EvictionReply;
use cluster_model::identity::{NodeName, ObjectKey, PodId};
use cluster_model::kubevirt::{Means, MigrationPhase, Remnant};
use jiff::Timestamp;
use serde::Serialize;
use std::fmt;

use crate::engine::GuestEnd;

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

/// What a pod waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "for", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Wait {
    /// Its workload's other pods: no more may be surged at a time.
    SurgeSlot {
        /// The limit.
        limit: i32,
    },
    /// A rollout of its Deployment.
    Rollout,
    /// The ReplicaSet to make a replacement, with its complaint if it has one.
    ReplacementCreated {
        /// What the ReplicaSet says.
        failure: Option<String>,
    },
    /// The replacement to be Available, with what its status says.
    ReplacementAvailable {
        /// The replacement.
        replacement: PodId,
        /// What its status says.
        reason: Option<String>,
    },
    /// The workload to have as many available pods as before.
    Strength {
        /// Available now, detached pods not counted.
        available: i32,
        /// Needed.
        needed: i32,
    },
    /// A Service to show as many ready endpoints as before.
    Endpoint {
        /// The Service.
        service: ObjectKey,
    },
    /// The settle time.
    Settle,
    /// A budget to open.
    Budget {
        /// The budget.
        budget: ObjectKey,
        /// Its healthy pods.
        healthy: i32,
        /// How many it needs.
        needed: i32,
    },
    /// The pod to end.
    Termination {
        /// Its grace period in seconds.
        grace_seconds: i64,
    },
    /// The node's pods that go before it, by their priority or the number that they carry.
    Earlier {
        /// How many of them are not gone yet.
        count: usize,
    },
    /// The pod to end by itself.
    Completion,
    /// A pod of its workload that is starting, with what its status says.
    Successor {
        /// The pod that is starting.
        pod: PodId,
        /// What its status says.
        reason: Option<String>,
    },
    /// Its turn: the successor of its workload's last pod is not there yet.
    Turn {
        /// Ready pods of the workload.
        ready: usize,
        /// How many there have to be.
        needed: usize,
    },
    /// Somebody to take these finalizers off: the pod has ended, and its object stays.
    Finalizers {
        /// Their names.
        names: Vec<String>,
    },
    /// The node's kubelet, which has to say that the pod has ended, and does not answer.
    Kubelet {
        /// The node.
        node: NodeName,
    },
    /// Its ReplicaSet to shrink after it was attached again.
    Shrink,
    /// The node's other pods, which may need it.
    Others {
        /// How many of them are not gone yet.
        count: usize,
    },
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SurgeSlot { limit } => write!(f, "its workload's other moves (at most {limit} at a time)"),
            Self::Rollout => f.write_str("the rollout of its Deployment to end"),
            Self::Others { count: 1 } => f.write_str("the node's other pod to be gone, which may need it"),
            Self::Others { count } => write!(f, "the node's {count} other pods to be gone, which may need it"),
            Self::ReplacementCreated { failure: None } => f.write_str("its ReplicaSet to make a replacement"),
            Self::ReplacementCreated { failure: Some(failure) } => {
                write!(f, "its ReplicaSet to make a replacement, which fails: {failure}")
            }
            Self::ReplacementAvailable { replacement, reason } => {
                write!(f, "its replacement {replacement} to be available")?;
                reason.as_ref().map_or(Ok(()), |reason| write!(f, " ({reason})"))
            }
            Self::Strength { available, needed } => {
                write!(f, "its workload to have {needed} available pods besides it (now {available})")
            }
            Self::Endpoint { service } => write!(f, "Service {service} to send traffic to its replacement"),
            Self::Settle => f.write_str("the traffic to settle"),
            Self::Budget { budget, healthy, needed } => {
                write!(f, "PodDisruptionBudget {budget} (needs {needed} healthy pods, has {healthy})")
            }
            Self::Termination { grace_seconds } => write!(f, "it to terminate (grace period {grace_seconds} s)"),
            Self::Earlier { count: 1 } => f.write_str("the node's other pod to be gone, which goes before it"),
            Self::Earlier { count } => write!(f, "the node's {count} other pods to be gone that go before it"),
            Self::Completion => f.write_str("it to end by itself"),
            Self::Successor { pod, reason } => {
                write!(f, "{pod} of its workload to be Ready")?;
                reason.as_ref().map_or(Ok(()), |reason| write!(f, " ({reason})"))
            }
            Self::Turn { ready, needed } => {
                write!(f, "its workload to have {needed} Ready pods again (now {ready})")
            }
            Self::Finalizers { names } => {
                write!(f, "its finalizers to be taken off by those who put them there ({})", names.join(", "))
            }
            Self::Kubelet { node } => {
                write!(f, "the kubelet of node {node} to say that it has ended, and that node is not Ready")
            }
            Self::Shrink => f.write_str("its ReplicaSet to delete the surplus pod"),
        }
    }
}

/// What a virtual machine waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "for", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum GuestWait {
    /// KubeVirt to make a migration.
    Migration,
    /// A migration slot of its node, or of the cluster.
    Slot {
        /// The node; `None`: the cluster's slots.
        node: Option<NodeName>,
        /// 1: it gets the next one that becomes free.
        position: usize,
        /// How many there are.
        limit: usize,
        /// The migrations that hold them.
        holders: Vec<ObjectKey>,
    },
    /// KubeVirt, or this run, to try again.
    Backoff {
        /// How many attempts failed.
        failures: u32,
        /// Not before this moment.
        until: Timestamp,
    },
    /// Something else that holds the migration, in KubeVirt's words.
    Blocked {
        /// By what.
        by: String,
    },
    /// The target pod to get a node and to start.
    Target {
        /// Why it has not yet, in the scheduler's or kubelet's words.
        reason: Option<String>,
    },
    /// The guest's memory to be copied.
    Copying {
        /// To which node.
        target: Option<NodeName>,
    },
    /// KubeVirt to see that the migration is over.
    Settling,
    /// Whoever manages it, since its strategy is External.
    Manager,
    /// A budget to allow its shutdown.
    Budget {
        /// The budget.
        budget: ObjectKey,
        /// Its healthy pods.
        healthy: i32,
        /// How many it needs.
        needed: i32,
    },
    /// The guest to shut down.
    Shutdown {
        /// How long it may take, in seconds.
        grace_seconds: u64,
    },
    /// The guest to come back elsewhere.
    Return,
    /// Its replica set to bring another one up.
    Replacement,
    /// Its pod on the node to end.
    Launcher {
        /// The pod's name.
        pod: String,
    },
    /// A migration that was deleted to end.
    Abort,
    /// A guest that is arriving: it has to be there before it can leave.
    Arrival,
}

impl fmt::Display for GuestWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Migration => f.write_str("KubeVirt to begin its migration"),
            Self::Slot { node, position, limit, holders } => {
                let whose = node.as_ref().map_or_else(|| "of the cluster".to_owned(), |node| format!("of node {node}"));
                let names: Vec<_> = holders.iter().map(ToString::to_string).collect();
                write!(f, "one of the {limit} migration slots {whose}, number {position} in line")?;
                if names.is_empty() { Ok(()) } else { write!(f, " (held by {})", names.join(", ")) }
            }
            Self::Backoff { failures, until } => {
                let s = if *failures == 1 { "" } else { "s" };
                write!(f, "the next attempt after {failures} failure{s}, not before {until:.0}")
            }
            Self::Blocked { by } => f.write_str(by),
            Self::Target { reason: None } => f.write_str("its target pod to start"),
            Self::Target { reason: Some(reason) } => write!(f, "its target pod to start: {reason}"),
            Self::Copying { target: None } => f.write_str("its memory to be copied"),
            Self::Copying { target: Some(node) } => write!(f, "its memory to be copied to node {node}"),
            Self::Settling => f.write_str("KubeVirt to finish its migration"),
            Self::Manager => f.write_str("whoever manages it to move it (evictionStrategy External)"),
            Self::Budget { budget, healthy, needed } => {
                write!(f, "PodDisruptionBudget {budget} (needs {needed} healthy pods, has {healthy})")
            }
            Self::Shutdown { grace_seconds } => write!(f, "its guest to shut down (up to {grace_seconds} s)"),
            Self::Return => f.write_str("it to run again elsewhere"),
            Self::Replacement => f.write_str("its replica set to bring another one up"),
            Self::Launcher { pod } => write!(f, "pod {pod} to end"),
            Self::Abort => f.write_str("its migration to be aborted"),
            Self::Arrival => f.write_str("its migration to this node to end"),
        }
    }
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
