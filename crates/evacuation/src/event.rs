//! What happened in a run, in the past tense, with ids and numbers and no prose: reporters make the words.

use cluster_model::eviction_reply::EvictionReply;
use cluster_model::identity::{NodeName, ObjectKey, PodId};
use serde::Serialize;
use std::fmt;

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
    /// Its ReplicaSet to shrink after it was attached again.
    Shrink,
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SurgeSlot { limit } => write!(f, "its workload's other moves (at most {limit} at a time)"),
            Self::Rollout => f.write_str("the rollout of its Deployment to end"),
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
            Self::Shrink => f.write_str("its ReplicaSet to delete the surplus pod"),
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
