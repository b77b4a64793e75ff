//! What a pod, or a virtual machine, waits for.

use std::fmt;

use cluster_model::identity::{NodeName, ObjectKey, PodId};
use jiff::Timestamp;
use serde::Serialize;

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
    /// The garbage collector, which deletes it since its owner was deleted.
    Collection,
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
    /// Pods of its node that answer for webhooks, without whose word nothing is let through, go first and alone.
    Gatekeepers {
        /// How many.
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
            Self::Collection => f.write_str("the garbage collector: its ReplicaSet or Deployment was deleted"),
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
            Self::Gatekeepers { count: 1 } => {
                f.write_str("the node's other pod to be gone that answers for a webhook, without which nothing passes")
            }
            Self::Gatekeepers { count } => {
                write!(f, "the node's {count} pods to be gone that answer for webhooks, without which nothing passes")
            }
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
