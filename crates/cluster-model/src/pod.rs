//! What a drain needs to know of a pod. The rest of the object is dropped when it arrives: a node's 500 pods of 8 KB
//! must not cost megabytes.

use crate::api::core as v1;
use jiff::Timestamp;

use crate::identity::{ControllerRef, NodeName, PodId, Uid};
use crate::marks;
use crate::selector::Labels;
use crate::wishes::Wishes;

/// The annotation that says whom a ReplicaSet deletes first when it shrinks (`PodDeletionCost`, on since 1.22).
pub const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
/// The label by which a Deployment tells its ReplicaSets' pods apart.
pub const TEMPLATE_HASH: &str = "pod-template-hash";
/// The annotation that the kubelet puts on the API's image of a static pod.
pub const CONFIG_MIRROR: &str = "kubernetes.io/config.mirror";

/// One pod.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts about one pod")]
pub struct Pod {
    /// Which pod.
    pub id: PodId,
    /// `metadata.resourceVersion`, for guarded writes.
    pub resource_version: String,
    /// All labels: selectors may ask for any of them.
    pub labels: Labels,
    /// The managing owner; `None` for an unmanaged pod, and for one that was given to its namespace.
    pub controller: Option<ControllerRef>,
    /// Where it is bound; `None` while the scheduler has not decided.
    pub node: Option<NodeName>,
    /// `status.phase`.
    pub phase: Phase,
    /// Since when condition Ready is True; `None` while it is not. The server's clock.
    pub ready_since: Option<Timestamp>,
    /// `metadata.creationTimestamp`, in whole seconds of the server's clock.
    pub created_at: Timestamp,
    /// `metadata.deletionTimestamp`: the moment when the grace period ends, not when the deletion was asked for.
    pub deletion: Option<Timestamp>,
    /// Why it is not running, as the scheduler or kubelet says (`PodScheduled` or a waiting container).
    pub waiting_reason: Option<String>,
    /// Whether the kubelet made it from a file: annotation `kubernetes.io/config.mirror`.
    pub is_mirror: bool,
    /// Whether any volume is an emptyDir.
    pub has_empty_dir: bool,
    /// Names of the PersistentVolumeClaims it mounts, without the ephemeral ones that are made for each pod anew.
    pub claims: Vec<String>,
    /// `handover/detached`, unread: [`marks::DetachRecord`] judges it.
    pub detached: Option<String>,
    /// The annotation `controller.kubernetes.io/pod-deletion-cost` as it stands.
    pub deletion_cost: Option<String>,
    /// `spec.terminationGracePeriodSeconds`.
    pub grace_seconds: i64,
    /// Whether others than the kubelet have a say in when it is Ready: a load balancer's targets, for example.
    pub has_readiness_gates: bool,
    /// What keeps the object when the pod has ended.
    pub finalizers: Vec<String>,
    /// `spec.priority`: the value of its priority class.
    pub priority: i32,
    /// What it says about its own leaving.
    pub wishes: Wishes,
    /// Whether the cluster or its nodes depend on it: one of the two priority classes that Kubernetes makes itself.
    pub is_system_critical: bool,
}

/// `status.phase`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Accepted, not all containers were started.
    Pending,
    /// Bound and started.
    Running,
    /// All containers ended well and stay so.
    Succeeded,
    /// All containers ended, one of them badly.
    Failed,
    /// The kubelet has not answered.
    Unknown,
}

impl From<&v1::Pod> for Pod {
    fn from(pod: &v1::Pod) -> Self {
        let metadata = &pod.metadata;
        let spec = pod.spec.as_ref();
        let status = pod.status.as_ref();
        let annotation = |key: &str| metadata.annotations.as_ref().and_then(|all| all.get(key)).cloned();
        let conditions = || status.and_then(|status| status.conditions.as_ref()).into_iter().flatten();
        let ready_since = conditions()
            .find(|condition| condition.type_ == "Ready" && condition.status == "True")
            .map(|condition| condition.last_transition_time.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0));
        let volumes = || spec.and_then(|spec| spec.volumes.as_ref()).into_iter().flatten();
        Self {
            id: PodId {
                namespace: metadata.namespace.clone().unwrap_or_default(),
                name: metadata.name.clone().unwrap_or_default(),
                uid: Uid(metadata.uid.clone().unwrap_or_default()),
            },
            resource_version: metadata.resource_version.clone().unwrap_or_default(),
            labels: metadata.labels.clone().unwrap_or_default(),
            // A pod that was given to its namespace is nobody's: a namespace makes no other one.
            controller: ControllerRef::among(metadata.owner_references.as_deref())
                .filter(|owner| !owner.is("", "Namespace")),
            node: spec.and_then(|spec| spec.node_name.clone()).filter(|name| !name.is_empty()).map(NodeName),
            phase: Phase::from(status.and_then(|status| status.phase.as_deref())),
            ready_since,
            created_at: metadata.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0),
            deletion: metadata.deletion_timestamp.as_ref().map(|time| time.0),
            waiting_reason: waiting_reason(status),
            is_mirror: annotation(CONFIG_MIRROR).is_some(),
            has_empty_dir: volumes().any(|volume| volume.empty_dir.is_some()),
            claims: volumes()
                .filter_map(|volume| volume.persistent_volume_claim.as_ref().map(|claim| claim.claim_name.clone()))
                .collect(),
            detached: annotation(marks::DETACHED_ANNOTATION),
            deletion_cost: annotation(DELETION_COST),
            grace_seconds: spec.and_then(|spec| spec.termination_grace_period_seconds).unwrap_or(30),
            has_readiness_gates: spec
                .and_then(|spec| spec.readiness_gates.as_ref())
                .is_some_and(|gates| !gates.is_empty()),
            finalizers: metadata.finalizers.clone().unwrap_or_default(),
            priority: spec.and_then(|spec| spec.priority).unwrap_or(0),
            wishes: Wishes::of(metadata.labels.as_ref().unwrap_or(&Labels::new()), metadata.annotations.as_ref()),
            is_system_critical: spec
                .and_then(|spec| spec.priority_class_name.as_deref())
                .is_some_and(|class| matches!(class, "system-cluster-critical" | "system-node-critical")),
        }
    }
}

impl From<Option<&str>> for Phase {
    fn from(phase: Option<&str>) -> Self {
        match phase {
            Some("Running") => Self::Running,
            Some("Succeeded") => Self::Succeeded,
            Some("Failed") => Self::Failed,
            Some("Unknown") => Self::Unknown,
            _ => Self::Pending,
        }
    }
}

fn waiting_reason(status: Option<&v1::PodStatus>) -> Option<String> {
    let status = status?;
    let unscheduled = status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False")
        .map(|condition| {
            let reason = condition.reason.as_deref().unwrap_or("not scheduled");
            condition.message.as_ref().map_or_else(|| reason.to_owned(), |message| format!("{reason}: {message}"))
        });
    let waiting = status
        .init_container_statuses
        .iter()
        .flatten()
        .chain(status.container_statuses.iter().flatten())
        .filter_map(|container| container.state.as_ref()?.waiting.as_ref())
        .find_map(|waiting| waiting.reason.clone());
    unscheduled.or(waiting)
}

impl Pod {
    /// Whether it ended for good: phase Succeeded or Failed.
    pub fn is_terminal(&self) -> bool {
        matches!(self.phase, Phase::Succeeded | Phase::Failed)
    }

    /// Whether its deletion was asked for.
    pub fn is_terminating(&self) -> bool {
        self.deletion.is_some()
    }

    /// Whether condition Ready is True and the pod is not on its way out.
    pub fn is_ready(&self) -> bool {
        self.ready_since.is_some() && !self.is_terminating() && !self.is_terminal()
    }

    /// Whether a ReplicaSet counts it among its replicas: not ended, not terminating
    /// (`pkg/controller/controller_utils.go`, `IsPodActive`).
    pub fn is_active(&self) -> bool {
        !self.is_terminal() && !self.is_terminating()
    }

    /// Whether this controller manages it.
    pub fn is_managed_by(&self, uid: &Uid) -> bool {
        self.controller.as_ref().is_some_and(|controller| controller.uid == *uid)
    }

    /// Who made it: its controller, or of a detached pod the one that its record names, believed or not.
    pub fn maker(&self) -> Option<ControllerRef> {
        if let Some(controller) = &self.controller {
            return Some(controller.clone());
        }
        let record = marks::DetachRecord::parse(self.detached.as_deref()?).ok()?;
        Some(ControllerRef {
            api_version: record.kind.api_version().to_owned(),
            kind: record.kind.name().to_owned(),
            name: record.replica_set,
            uid: record.replica_set_uid,
        })
    }

    /// Whether it carries the label of a detached pod. That alone proves nothing: see [`marks::DetachRecord`].
    pub fn has_detached_label(&self) -> bool {
        self.labels.get(TEMPLATE_HASH).is_some_and(|hash| hash == marks::DETACHED_HASH)
    }
}
