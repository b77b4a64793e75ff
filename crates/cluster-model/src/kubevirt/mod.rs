//! KubeVirt: which virtual machines a node holds, what becomes of each, and when none is left.
//!
//! ```text
//! KubeVirt (version, default strategy, limits)
//! VirtualMachinePool ─► VirtualMachine ─► VirtualMachineInstance ─► launcher pod ─► hotplug pod
//!          VirtualMachineInstanceReplicaSet ──────┘   ▲
//!                                   migration ────────┘  (its target is a second launcher pod)
//! ```
//!
//! KubeVirt's objects come as JSON, since their types live in no crate: fields that are not read are ignored, a missing
//! one has the meaning that KubeVirt gives it. Rules were read from KubeVirt's source (`pkg/…`) after release 1.9 and
//! corrected by what its own virt-api and virt-controller were seen to answer; each names its source.
//!
//! * [`Virtualization`] holds the objects and answers look-ups.
//! * [`decide`] tells what happens to one virtual machine, why, and what would change that.
//! * [`predicted_webhook_answer`] tells what the eviction of a launcher pod will be answered, [`classify_reply`] what
//!   an answer means.
//! * [`MigrationQueue`] tells who holds the migration slots and who waits for one.
//! * [`whats_left`] proves that a node holds no virtual machine, or names what it still holds.

mod condition;
mod decide;
mod decision;
mod eviction_reply;
mod eviction_strategy;
mod host;
mod installation;
mod instance;
mod launcher;
mod machine;
mod migration;
mod migration_state;
mod object;
mod owner;
mod policy;
mod queue;
mod reason;
mod remnant;
mod snapshot;
mod target;
mod version;
mod volume;
mod webhook;

pub use decide::decide;
pub use decision::{Action, Decision, Means, Outcome, OwnerName, Remedy};
pub use eviction_reply::{VirtualMachineReply, classify_reply};
pub use eviction_strategy::{EvictionStrategy, StrategySource};
pub use host::{Host, STALE_HEARTBEAT};
pub use installation::{KubeVirt, MigrationLimits};
pub use instance::{InstancePhase, LiveMigratable, VirtualMachineInstance};
pub use launcher::{HotplugPod, LauncherPod, Role};
pub use machine::{RunStrategy, StartFailure, VirtualMachine};
pub use migration::{Migration, MigrationPhase, Priority};
pub use migration_state::MigrationState;
pub use object::Metadata;
pub use owner::Owner;
pub use policy::{NonMigratable, VmPolicy};
pub use queue::{MigrationQueue, Place, Slots};
pub use reason::{Cause, Consequence, Reason};
pub use remnant::{NodeVerdict, Remnant, whats_left};
pub use snapshot::{VirtualChange, Virtualization};
pub use target::{Obstacle, Prospect, closed, prospects};
pub use version::{Features, Version};
pub use volume::{Volume, VolumeKind};
pub use webhook::{PodSeen, Prediction, SideEffect, WebhookCase, predicted_webhook_answer};

/// The API group of virtual machines.
pub const GROUP: &str = "kubevirt.io";
/// The API group of pools.
pub const POOL_GROUP: &str = "pool.kubevirt.io";
/// The label on a VirtualMachineInstance that names its node; for a selector.
pub const NODE_LABEL: &str = "kubevirt.io/nodeName";
/// The label on a VirtualMachineInstance that names the node it migrates to, only while it does.
pub const TARGET_NODE_LABEL: &str = "kubevirt.io/migrationTargetNodeName";
/// The label on a migration that names its VirtualMachineInstance.
pub const VMI_NAME_LABEL: &str = "kubevirt.io/vmi-name";
/// The annotation on a migration that an evacuation made; its value is the node.
pub const EVACUATION_MIGRATION: &str = "kubevirt.io/evacuationMigration";
/// The annotation on a migration that a run of this program made; its value is the node that the run empties.
pub const OWN_MIGRATION: &str = "handover/evacuates";
