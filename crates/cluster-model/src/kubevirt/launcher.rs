//! The pods that KubeVirt makes: launchers, in which guests run, and the pods that attach a disk to one.
//!
//! A pod is a candidate by its label and found by `spec.nodeName`; whose it is, only the uid of its controller tells.
//! Its other labels are copied from the instance when it is made, so `kubevirt.io/nodeName` on the target of a migration
//! names the source (OBSERVED, 1.2).

use std::fmt;

use crate::api::core as v1;

use super::GROUP;
use super::instance::VirtualMachineInstance;
use super::migration::Migration;
use crate::demand::Demand;
use crate::identity::{ControllerRef, NodeName, Uid};
use crate::pod::Pod;

/// The label whose value tells KubeVirt's pods apart.
const ROLE_LABEL: &str = "kubevirt.io";
/// The annotation that names the instance; the eviction webhook goes by it.
const DOMAIN: &str = "kubevirt.io/domain";
/// The annotation on a pod that only makes a volume be provisioned.
const PROVISIONING: &str = "kubevirt.io/ephemeral-provisioning";
/// The label that holds the uid of the migration whose target a pod is or was.
const MIGRATION_UID: &str = "kubevirt.io/migrationJobUID";

/// A pod labelled `kubevirt.io=virt-launcher`.
#[derive(Clone, Debug, PartialEq)]
pub struct LauncherPod {
    /// The pod.
    pub pod: Pod,
    /// Annotation `kubevirt.io/domain`: the name by which the webhook looks up the instance.
    pub domain: Option<String>,
    /// The migration that made it; kept when it is over.
    pub migration: Option<Uid>,
    /// It provisions a volume and holds no guest.
    pub is_provisioning: bool,
    /// What it asks of its node.
    pub demand: Demand,
}

/// A pod labelled `kubevirt.io=hotplug-disk`. It goes with its launcher and must not be evicted before.
#[derive(Clone, Debug, PartialEq)]
pub struct HotplugPod {
    /// The pod; its controller is the launcher pod.
    pub pod: Pod,
}

/// What a launcher pod is to its instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// The guest runs in it, or is about to.
    Active,
    /// It has ended. Only the object is left, and evicting or deleting it harms nobody.
    Finished,
    /// The guest is migrating into it.
    IncomingTarget {
        /// The migration; empty where only the instance tells of it.
        migration: Uid,
    },
    /// Its guest has moved away, which is proven, and it did not end. No eviction will ever be granted (kubevirt
    /// #18320, OBSERVED corrections): only deleting it helps.
    StaleSource,
    /// It is not on its guest's node, and a migration that is not over, or failed, may be why: KubeVirt is tidying up.
    Unsettled,
    /// No instance with the uid that it names exists, or it names none.
    Orphan,
    /// It provisions a volume and holds no guest.
    Provisioning,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Active => "holds the guest",
            Self::Finished => "has ended",
            Self::IncomingTarget { .. } => "is where the guest is migrating to",
            Self::StaleSource => "was left running by a migration that is over",
            Self::Unsettled => "is being tidied up after a migration",
            Self::Orphan => "belongs to no virtual machine that exists",
            Self::Provisioning => "provisions a volume",
        })
    }
}

impl LauncherPod {
    /// Reads a launcher pod; `None` for any other pod.
    pub fn of(pod: &v1::Pod) -> Option<Self> {
        if label(pod, ROLE_LABEL) != Some("virt-launcher") {
            return None;
        }
        let annotation = |key: &str| pod.metadata.annotations.as_ref().and_then(|all| all.get(key)).cloned();
        Some(Self {
            pod: Pod::from(pod),
            domain: annotation(DOMAIN).filter(|domain| !domain.is_empty()),
            migration: label(pod, MIGRATION_UID).map(Uid::from),
            is_provisioning: annotation(PROVISIONING).is_some(),
            demand: pod.spec.as_ref().map(Demand::from).unwrap_or_default(),
        })
    }

    /// The instance that it names as its controller.
    pub fn instance(&self) -> Option<&ControllerRef> {
        self.pod.controller.as_ref().filter(|owner| owner.is(GROUP, "VirtualMachineInstance"))
    }

    /// Where it is bound.
    pub fn node(&self) -> Option<&NodeName> {
        self.pod.node.as_ref()
    }

    /// What the pod is to its instance. `instance` is the one with the uid that the pod names, `siblings` are its
    /// launcher pods, itself included, `migrations` are the instance's. Clauses:
    ///
    /// 1. a pod that ended, and one that provisions a volume;
    /// 2. a pod without instance;
    /// 3. the target of a migration that is not over;
    /// 4. on the guest's node, the newest holds the guest (`CurrentVMIPod`, `pkg/controller/controller.go`), as does a
    ///    first pod before the guest has a node;
    /// 5. a source that the instance's last migration left, well and with every migration over, is stale: its guest runs
    ///    on that migration's target;
    /// 6. anything else is being tidied up.
    pub fn role<'a>(
        &self,
        instance: Option<&VirtualMachineInstance>,
        siblings: impl IntoIterator<Item = &'a Self>,
        migrations: &[&Migration],
    ) -> Role {
        if self.pod.is_terminal() {
            return Role::Finished;
        }
        if self.is_provisioning {
            return Role::Provisioning;
        }
        let Some(instance) = instance else { return Role::Orphan };
        let state = instance.migration_state.as_ref();
        let unfinished = |uid: &Uid| migrations.iter().any(|migration| migration.uid() == uid && !migration.is_final());
        if let Some(migration) = self.migration.as_ref().filter(|uid| unfinished(uid) && instance.node != self.pod.node)
        {
            return Role::IncomingTarget { migration: migration.clone() };
        }
        let is_announced = |state: &&super::MigrationState| {
            state.is_under_way() && state.target_pod.as_deref() == Some(self.pod.id.name.as_str())
        };
        if let Some(state) = state.filter(is_announced).filter(|_| instance.node != self.pod.node) {
            return Role::IncomingTarget { migration: state.migration.clone() };
        }
        let age = |launcher: &Self| (launcher.pod.created_at, launcher.pod.id.uid.clone());
        let is_newest_here = siblings
            .into_iter()
            .filter(|other| other.pod.node == self.pod.node && !other.pod.is_terminal() && !other.is_provisioning)
            .all(|other| age(other) <= age(self));
        match &instance.node {
            None if self.migration.is_none() => return Role::Active,
            Some(node) if self.pod.node.as_ref() == Some(node) && is_newest_here => return Role::Active,
            Some(_) | None => {}
        }
        let has_moved = state.is_some_and(|state| {
            state.has_succeeded()
                && state.source_pod.as_deref() == Some(self.pod.id.name.as_str())
                && state.target_node.is_some()
                && state.target_node == instance.node
                && instance.node != self.pod.node
        });
        let is_settled = migrations.iter().all(|migration| migration.is_final());
        let is_running = instance.phase == super::InstancePhase::Running;
        if has_moved && is_settled && is_running { Role::StaleSource } else { Role::Unsettled }
    }
}

impl HotplugPod {
    /// Reads a pod that attaches a disk; `None` for any other pod.
    pub fn of(pod: &v1::Pod) -> Option<Self> {
        (label(pod, ROLE_LABEL) == Some("hotplug-disk")).then(|| Self { pod: Pod::from(pod) })
    }

    /// The uid of the launcher pod that it serves; `None` if it names none.
    pub fn launcher(&self) -> Option<&Uid> {
        self.pod.controller.as_ref().filter(|owner| owner.is("", "Pod")).map(|owner| &owner.uid)
    }
}

fn label<'a>(pod: &'a v1::Pod, key: &str) -> Option<&'a str> {
    pod.metadata.labels.as_ref()?.get(key).map(String::as_str)
}

#[cfg(test)]
mod tests;
