//! A VirtualMachineInstance: a guest that runs, or is to.

use jiff::Timestamp;
use serde_json::Value;

use super::condition::Condition;
use super::eviction_strategy::{EvictionStrategy, StrategySource};
use super::installation::KubeVirt;
use super::migration_state::MigrationState;
use super::object::{Metadata, amount, flag, list, text};
use super::volume::{Volume, VolumeKind};
use super::{NODE_LABEL, TARGET_NODE_LABEL};
use crate::identity::{NodeName, Uid};

/// The grace period of a guest that names none, in seconds (`DefaultGracePeriodSeconds`, `api/core/v1/types.go`).
const DEFAULT_GRACE_SECONDS: u64 = 30;

/// One instance.
#[derive(Clone, Debug, PartialEq)]
pub struct VirtualMachineInstance {
    /// Which instance; its owner is `metadata.controller`.
    pub metadata: Metadata,
    /// `status.phase`.
    pub phase: InstancePhase,
    /// `status.nodeName`: where the guest runs; `None` until its launcher pod was bound and seen.
    pub node: Option<NodeName>,
    /// `spec.evictionStrategy`; see [`VirtualMachineInstance::eviction_strategy`].
    pub own_strategy: Option<EvictionStrategy>,
    /// Condition LiveMigratable.
    pub live_migratable: LiveMigratable,
    /// `status.evacuationNodeName`: the mark that an eviction leaves; KubeVirt migrates it away from this node until it
    /// succeeds or somebody cancels.
    pub evacuation_node: Option<NodeName>,
    /// `status.migrationState`.
    pub migration_state: Option<MigrationState>,
    /// Label `kubevirt.io/nodeName`.
    pub node_label: Option<NodeName>,
    /// Label `kubevirt.io/migrationTargetNodeName`: where it is just migrating to.
    pub target_node_label: Option<NodeName>,
    /// `spec.volumes`.
    pub volumes: Vec<Volume>,
    /// How long the guest may take to shut down, in seconds.
    pub grace_seconds: u64,
    /// Whether its processor is its host's (`spec.domain.cpu.model`, on amd64 also where none is named).
    pub takes_host_model: bool,
    /// Whether a backup of it runs.
    pub has_running_backup: bool,
    /// Whether volumes are attached for a backup or a memory dump, which keep a migration waiting
    /// (`spec.utilityVolumes`).
    pub has_utility_volumes: bool,
}

/// `status.phase`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstancePhase {
    /// No launcher pod yet.
    Pending,
    /// The launcher pod waits for a node or starts.
    Scheduling,
    /// The launcher pod runs, the guest does not yet.
    Scheduled,
    /// The guest runs.
    Running,
    /// The guest shut down.
    Succeeded,
    /// The guest crashed, was killed, or never came up.
    Failed,
    /// It waits for a guest of another cluster to arrive.
    WaitingForSync,
    /// Its node does not answer.
    Unknown,
}

/// Whether KubeVirt could migrate the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LiveMigratable {
    /// It can.
    Yes,
    /// It cannot.
    No {
        /// KubeVirt's word for it, `DisksNotLiveMigratable`. One word, although several may apply.
        reason: String,
        /// KubeVirt's sentence.
        message: String,
    },
    /// virt-handler has not looked yet: the guest is still starting. An eviction counts it as "cannot".
    NotYetKnown,
}

impl From<&Value> for VirtualMachineInstance {
    fn from(object: &Value) -> Self {
        let metadata = Metadata::from(object);
        let label = |key: &str| metadata.labels.get(key).filter(|node| !node.is_empty()).cloned().map(NodeName);
        Self {
            phase: InstancePhase::from(text(object, "/status/phase").as_deref()),
            node: text(object, "/status/nodeName").map(NodeName),
            own_strategy: text(object, "/spec/evictionStrategy").map(|word| EvictionStrategy::from(word.as_str())),
            live_migratable: LiveMigratable::of(object),
            evacuation_node: text(object, "/status/evacuationNodeName").map(NodeName),
            migration_state: MigrationState::of(object),
            node_label: label(NODE_LABEL),
            target_node_label: label(TARGET_NODE_LABEL),
            volumes: Volume::of(object),
            grace_seconds: amount(object, "/spec/terminationGracePeriodSeconds").unwrap_or(DEFAULT_GRACE_SECONDS),
            takes_host_model: text(object, "/spec/domain/cpu/model")
                .is_none_or(|model| model.is_empty() || model == "host-model"),
            has_running_backup: has_running_backup(object),
            has_utility_volumes: list(object, "/spec/utilityVolumes").next().is_some(),
            metadata,
        }
    }
}

fn has_running_backup(object: &Value) -> bool {
    let backup = object.pointer("/status/changedBlockTracking/backupStatus").filter(|backup| backup.is_object());
    backup.is_some_and(|backup| !flag(backup, "/completed") && !flag(backup, "/failed"))
}

impl From<Option<&str>> for InstancePhase {
    fn from(phase: Option<&str>) -> Self {
        match phase {
            Some("Scheduling") => Self::Scheduling,
            Some("Scheduled") => Self::Scheduled,
            Some("Running") => Self::Running,
            Some("Succeeded") => Self::Succeeded,
            Some("Failed") => Self::Failed,
            Some("WaitingForSync") => Self::WaitingForSync,
            Some("Unknown") => Self::Unknown,
            _ => Self::Pending,
        }
    }
}

impl LiveMigratable {
    fn of(object: &Value) -> Self {
        match Condition::of(object, "LiveMigratable") {
            None => Self::NotYetKnown,
            Some(condition) if condition.status == "True" => Self::Yes,
            Some(condition) => Self::No { reason: condition.reason, message: condition.message },
        }
    }

    /// `true`, `false`, or nothing where KubeVirt has not said.
    pub fn answer(&self) -> Option<bool> {
        match self {
            Self::Yes => Some(true),
            Self::No { .. } => Some(false),
            Self::NotYetKnown => None,
        }
    }
}

impl VirtualMachineInstance {
    /// Which of all instances that had this name.
    pub fn uid(&self) -> &Uid {
        &self.metadata.uid
    }

    /// When its deletion was asked for, if it was.
    pub fn deletion(&self) -> Option<Timestamp> {
        self.metadata.deletion
    }

    /// The strategy that an eviction follows, and who says so: its own, else the cluster's, else `None`.
    pub fn eviction_strategy(&self, kubevirt: Option<&KubeVirt>) -> (EvictionStrategy, StrategySource) {
        if let Some(own) = &self.own_strategy {
            return (own.clone(), StrategySource::Vmi);
        }
        match kubevirt.and_then(|kubevirt| kubevirt.eviction_strategy.clone()) {
            Some(strategy) => (strategy, StrategySource::Cluster),
            None => (EvictionStrategy::None, StrategySource::Default),
        }
    }

    /// Whether the guest has ended for good. The object of a guest that nobody starts again stays
    /// (OBSERVED, corrections 11).
    pub fn is_final(&self) -> bool {
        matches!(self.phase, InstancePhase::Succeeded | InstancePhase::Failed)
    }

    /// Whether condition LiveMigratable is True.
    pub fn is_live_migratable(&self) -> bool {
        self.live_migratable == LiveMigratable::Yes
    }

    /// Whether the guest is, or is about to be, on this node: by status, or by the label that a selector finds.
    pub fn is_on(&self, node: &NodeName) -> bool {
        self.node.as_ref() == Some(node) || self.node_label.as_ref() == Some(node)
    }

    /// Whether the guest is just migrating to this node.
    pub fn is_incoming_to(&self, node: &NodeName) -> bool {
        let state = self.migration_state.as_ref().filter(|state| state.is_under_way());
        self.node.as_ref() != Some(node)
            && (self.target_node_label.as_ref() == Some(node)
                || state.is_some_and(|state| state.target_node.as_ref() == Some(node)))
    }

    /// Names of the disks whose data a restart loses.
    pub fn empty_disks(&self) -> Vec<&str> {
        self.volumes_of(|kind| *kind == VolumeKind::EmptyDisk)
    }

    /// Names of the disks that a restart sets back to what they were when the guest was created.
    pub fn overlay_disks(&self) -> Vec<&str> {
        self.volumes_of(|kind| *kind == VolumeKind::Overlay)
    }

    /// Names of the claims that keep it from migrating, since they are not ReadWriteMany.
    pub fn claims_not_shared(&self) -> Vec<&str> {
        let claims = self.volumes.iter().filter(|volume| volume.forbids_migration());
        claims
            .filter_map(|volume| match &volume.kind {
                VolumeKind::Claim { claim, .. } => Some(claim.as_str()),
                VolumeKind::EmptyDisk | VolumeKind::Overlay | VolumeKind::Other => None,
            })
            .collect()
    }

    fn volumes_of(&self, is_wanted: impl Fn(&VolumeKind) -> bool) -> Vec<&str> {
        self.volumes.iter().filter(|volume| is_wanted(&volume.kind)).map(|volume| volume.name.as_str()).collect()
    }
}

#[cfg(test)]
mod tests;
