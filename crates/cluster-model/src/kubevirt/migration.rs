//! A VirtualMachineInstanceMigration: one attempt to move one guest.

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::condition::Condition;
use super::migration_state::MigrationState;
use super::object::{Metadata, list, moment, text};
use super::{EVACUATION_MIGRATION, OWN_MIGRATION};
use crate::identity::{NodeName, ObjectKey, Uid};

/// One migration.
#[derive(Clone, Debug, PartialEq)]
pub struct Migration {
    /// Which one.
    pub metadata: Metadata,
    /// `spec.vmiName`: whose guest.
    pub instance: String,
    /// `status.phase`.
    pub phase: MigrationPhase,
    /// `spec.priority`: who goes first when slots are short.
    pub priority: Priority,
    /// Annotation `kubevirt.io/evacuationMigration`: the node that is being evacuated. Only KubeVirt writes it.
    pub evacuates: Option<NodeName>,
    /// Annotation `handover/evacuates`: a run of this program made it, to empty this node.
    pub handed_over_from: Option<NodeName>,
    /// `status.migrationState`: the source pod at first, everything once it is over.
    pub state: Option<MigrationState>,
    /// When it became Failed.
    pub failed_at: Option<Timestamp>,
    /// Somebody asked to abort it: condition migrationAbortRequested.
    pub abort_requested: bool,
    /// What it waits for besides a slot, in KubeVirt's words: a quota, a backup, a utility volume.
    pub blocked_by: Option<String>,
}

/// `status.phase`, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MigrationPhase {
    /// It waits: for a slot, for the end of a backoff, or for the controller to look at it.
    Pending,
    /// The target pod waits for a node.
    Scheduling,
    /// The target pod runs.
    Scheduled,
    /// The target node prepares.
    PreparingTarget,
    /// The target node is ready.
    TargetReady,
    /// Memory is copied.
    Running,
    /// The guest is on the target node.
    Succeeded,
    /// The guest stayed where it was.
    Failed,
    /// One of a migration between clusters, or of a newer KubeVirt.
    Other(String),
}

/// `spec.priority`, the first served last. A user's own migration has none: only KubeVirt may set it
/// (`migration-create-admitter.go`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Priority {
    /// None, or a word of a newer KubeVirt.
    Unset,
    /// Not urgent.
    SystemMaintenance,
    /// A person waits for it.
    UserTriggered,
    /// An evacuation.
    SystemCritical,
}

/// The conditions that say what a pending migration waits for (`api/core/v1/types.go`).
const BLOCKERS: &[(&str, &str)] = &[
    ("migrationRejectedByResourceQuota", "a ResourceQuota leaves no room for its target pod"),
    ("migrationBlockedByUtilityVolumes", "a utility volume is attached"),
    ("migrationBlockedByBackup", "a backup runs"),
    ("decentralizedMigrationBlocked", "the other cluster is not ready"),
];

impl From<&Value> for Migration {
    fn from(object: &Value) -> Self {
        let annotations = object.pointer("/metadata/annotations");
        let node = |key: &str| annotations.and_then(|all| all.get(key)).and_then(Value::as_str).map(NodeName::from);
        Self {
            metadata: Metadata::from(object),
            instance: text(object, "/spec/vmiName").unwrap_or_default(),
            phase: MigrationPhase::from(text(object, "/status/phase").as_deref()),
            priority: Priority::from(text(object, "/spec/priority").as_deref()),
            evacuates: node(EVACUATION_MIGRATION),
            handed_over_from: node(OWN_MIGRATION),
            state: MigrationState::of(object),
            failed_at: list(object, "/status/phaseTransitionTimestamps")
                .find(|one| text(one, "/phase").as_deref() == Some("Failed"))
                .and_then(|one| moment(one, "/phaseTransitionTimestamp")),
            abort_requested: Condition::is_true(object, "migrationAbortRequested"),
            blocked_by: BLOCKERS.iter().find(|(kind, _)| Condition::is_true(object, kind)).map(|(kind, words)| {
                let message = Condition::of(object, kind).map(|condition| condition.message);
                message.filter(|message| !message.is_empty()).unwrap_or_else(|| (*words).to_owned())
            }),
        }
    }
}

impl From<Option<&str>> for MigrationPhase {
    fn from(phase: Option<&str>) -> Self {
        match phase {
            None | Some("Pending") => Self::Pending,
            Some("Scheduling") => Self::Scheduling,
            Some("Scheduled") => Self::Scheduled,
            Some("PreparingTarget") => Self::PreparingTarget,
            Some("TargetReady") => Self::TargetReady,
            Some("Running") => Self::Running,
            Some("Succeeded") => Self::Succeeded,
            Some("Failed") => Self::Failed,
            Some(other) => Self::Other(other.to_owned()),
        }
    }
}

impl MigrationPhase {
    /// The word in the object.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Pending => "Pending",
            Self::Scheduling => "Scheduling",
            Self::Scheduled => "Scheduled",
            Self::PreparingTarget => "PreparingTarget",
            Self::TargetReady => "TargetReady",
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Other(word) => word,
        }
    }
}

impl Serialize for MigrationPhase {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl From<Option<&str>> for Priority {
    fn from(priority: Option<&str>) -> Self {
        match priority {
            Some("system-critical") => Self::SystemCritical,
            Some("user-triggered") => Self::UserTriggered,
            Some("system-maintenance") => Self::SystemMaintenance,
            _ => Self::Unset,
        }
    }
}

impl Migration {
    /// Which of all migrations that had this name.
    pub fn uid(&self) -> &Uid {
        &self.metadata.uid
    }

    /// The instance that it moves. An instance of the same name that was made later is not meant, and KubeVirt ends a
    /// migration with the instance it was made for.
    pub fn instance_key(&self) -> ObjectKey {
        ObjectKey::new(self.metadata.key.namespace.clone(), self.instance.clone())
    }

    /// Whether it is over, well or not.
    pub fn is_final(&self) -> bool {
        matches!(self.phase, MigrationPhase::Succeeded | MigrationPhase::Failed)
    }

    /// Whether it is one of an evacuation.
    pub fn is_evacuation(&self) -> bool {
        self.evacuates.is_some()
    }

    /// Whether it was made to empty this node: by an evacuation of KubeVirt's, or by a run of this program.
    pub fn empties(&self, node: &NodeName) -> bool {
        self.evacuates.as_ref() == Some(node) || self.handed_over_from.as_ref() == Some(node)
    }

    /// Whether the guest's memory is, or may be, on its way: before that, deleting the migration costs nothing.
    pub fn is_copying(&self) -> bool {
        matches!(self.phase, MigrationPhase::Running | MigrationPhase::Other(_))
    }

    /// Why it failed. A migration has no message of its own: the state of the guest's move is all there is, and what
    /// was never handed over has none (events tell, OBSERVED corrections 9 and 10).
    pub fn failure_reason(&self) -> Option<&str> {
        let state = self.state.as_ref().filter(|_| self.phase == MigrationPhase::Failed)?;
        state.failure_reason.as_deref()
    }
}

#[cfg(test)]
mod tests;
