//! KubeVirt's objects of the cluster, and the questions asked of them. Beside
//! [`ClusterSnapshot`](crate::snapshot::ClusterSnapshot): a cluster without KubeVirt never fills it.

use std::collections::BTreeMap;

use super::eviction_strategy::{EvictionStrategy, StrategySource};
use super::host::Host;
use super::installation::{KubeVirt, MigrationLimits};
use super::instance::VirtualMachineInstance;
use super::launcher::{HotplugPod, LauncherPod, Role};
use super::machine::VirtualMachine;
use super::migration::Migration;
use super::owner::Owner;
use super::version::Features;
use super::{GROUP, InstancePhase};
use crate::identity::{NodeName, ObjectKey, PodId, Uid};

/// What is known of virtual machines. Sorted throughout.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Virtualization {
    kubevirt: Option<KubeVirt>,
    features: Option<Features>,
    instances: BTreeMap<ObjectKey, VirtualMachineInstance>,
    machines: BTreeMap<ObjectKey, VirtualMachine>,
    migrations: BTreeMap<ObjectKey, Migration>,
    launchers: BTreeMap<PodId, LauncherPod>,
    hotplugs: BTreeMap<PodId, HotplugPod>,
    hosts: BTreeMap<NodeName, Host>,
}

/// One object that appeared, changed or went. What went is named with its uid: by the time it is told, another object
/// may have the name.
#[derive(Clone, Debug, PartialEq)]
pub enum VirtualChange {
    /// The KubeVirt object.
    KubeVirt(Box<KubeVirt>),
    /// What the server was found to be able to do, which beats the version number.
    Features(Features),
    /// An instance as it is now.
    Instance(Box<VirtualMachineInstance>),
    /// An instance that is gone.
    InstanceGone(ObjectKey, Uid),
    /// A virtual machine as it is now.
    Machine(Box<VirtualMachine>),
    /// A virtual machine that is gone.
    MachineGone(ObjectKey, Uid),
    /// A migration as it is now.
    Migration(Box<Migration>),
    /// A migration that is gone.
    MigrationGone(ObjectKey, Uid),
    /// A launcher pod as it is now.
    Launcher(Box<LauncherPod>),
    /// A pod that attaches a disk.
    Hotplug(Box<HotplugPod>),
    /// A pod of either kind that is gone.
    PodGone(PodId),
    /// A node as KubeVirt sees it.
    Host(Host),
    /// A node that is gone.
    HostGone(NodeName),
}

impl Virtualization {
    /// Takes in one change.
    pub fn apply(&mut self, change: VirtualChange) {
        match change {
            VirtualChange::KubeVirt(kubevirt) => self.kubevirt = Some(*kubevirt),
            VirtualChange::Features(features) => self.features = Some(features),
            VirtualChange::Instance(instance) => {
                drop(self.instances.insert(instance.metadata.key.clone(), *instance));
            }
            VirtualChange::InstanceGone(key, uid) => {
                if self.instances.get(&key).is_some_and(|found| *found.uid() == uid) {
                    drop(self.instances.remove(&key));
                }
            }
            VirtualChange::Machine(machine) => drop(self.machines.insert(machine.metadata.key.clone(), *machine)),
            VirtualChange::MachineGone(key, uid) => {
                if self.machines.get(&key).is_some_and(|found| found.metadata.uid == uid) {
                    drop(self.machines.remove(&key));
                }
            }
            VirtualChange::Migration(migration) => {
                drop(self.migrations.insert(migration.metadata.key.clone(), *migration));
            }
            VirtualChange::MigrationGone(key, uid) => {
                if self.migrations.get(&key).is_some_and(|found| *found.uid() == uid) {
                    drop(self.migrations.remove(&key));
                }
            }
            VirtualChange::Launcher(launcher) => drop(self.launchers.insert(launcher.pod.id.clone(), *launcher)),
            VirtualChange::Hotplug(hotplug) => drop(self.hotplugs.insert(hotplug.pod.id.clone(), *hotplug)),
            VirtualChange::PodGone(id) => {
                drop(self.launchers.remove(&id));
                drop(self.hotplugs.remove(&id));
            }
            VirtualChange::Host(host) => drop(self.hosts.insert(host.name.clone(), host)),
            VirtualChange::HostGone(name) => drop(self.hosts.remove(&name)),
        }
    }

    /// Whether anybody looked: without that, "no virtual machine" means nothing.
    pub fn is_known(&self) -> bool {
        self.kubevirt.is_some() || self.features.is_some()
    }

    /// All virtual machines.
    pub fn machines(&self) -> impl Iterator<Item = &VirtualMachine> {
        self.machines.values()
    }

    /// The virtual machine of this name.
    pub fn machine(&self, key: &ObjectKey) -> Option<&VirtualMachine> {
        self.machines.get(key)
    }

    /// The launcher pod of this uid.
    pub fn launcher(&self, pod: &PodId) -> Option<&LauncherPod> {
        self.launchers.get(pod)
    }

    /// How KubeVirt is set up; `None` where it may not be read.
    pub fn kubevirt(&self) -> Option<&KubeVirt> {
        self.kubevirt.as_ref()
    }

    /// What this KubeVirt can do: what was found out, else what its version says.
    pub fn features(&self) -> Features {
        let by_version = || self.kubevirt.as_ref().map_or_else(|| Features::of(None), KubeVirt::features);
        self.features.unwrap_or_else(by_version)
    }

    /// How many migrations may run; KubeVirt's defaults where its object may not be read.
    pub fn limits(&self) -> MigrationLimits {
        self.kubevirt.as_ref().map(|kubevirt| kubevirt.limits).unwrap_or_default()
    }

    /// All instances.
    pub fn instances(&self) -> impl Iterator<Item = &VirtualMachineInstance> {
        self.instances.values()
    }

    /// The instance of this name.
    pub fn instance(&self, key: &ObjectKey) -> Option<&VirtualMachineInstance> {
        self.instances.get(key)
    }

    /// The instances whose guests are on a node, or about to be. Those whose guest has ended are not among them.
    pub fn instances_on<'a>(&'a self, node: &'a NodeName) -> impl Iterator<Item = &'a VirtualMachineInstance> {
        self.instances().filter(move |instance| !instance.is_final() && self.is_on(instance, node))
    }

    /// Whether the guest is on the node: as the instance says, or by its first launcher pod while it says nothing yet.
    fn is_on(&self, instance: &VirtualMachineInstance, node: &NodeName) -> bool {
        let is_bound_there = || {
            let mut launchers = self.launchers_of(instance);
            launchers.any(|launcher| launcher.node() == Some(node) && self.role(launcher) == Role::Active)
        };
        instance.is_on(node) || (instance.node.is_none() && is_bound_there())
    }

    /// Who makes an instance again.
    pub fn owner_of<'a>(&'a self, instance: &'a VirtualMachineInstance) -> Owner<'a> {
        let Some(controller) = &instance.metadata.controller else { return Owner::Nobody };
        if controller.is(GROUP, "VirtualMachineInstanceReplicaSet") {
            return Owner::ReplicaSet(controller);
        }
        if !controller.is(GROUP, "VirtualMachine") {
            return Owner::Other(controller);
        }
        let key = ObjectKey::new(instance.metadata.key.namespace.clone(), controller.name.clone());
        let machine = self.machines.get(&key).filter(|machine| machine.metadata.uid == controller.uid);
        machine.map_or(Owner::UnseenMachine(controller), Owner::Machine)
    }

    /// The strategy that an eviction of its pod follows, and who says so.
    pub fn eviction_strategy(&self, instance: &VirtualMachineInstance) -> (EvictionStrategy, StrategySource) {
        instance.eviction_strategy(self.kubevirt())
    }

    /// All migrations.
    pub fn migrations(&self) -> impl Iterator<Item = &Migration> {
        self.migrations.values()
    }

    /// The migrations of one instance.
    pub fn migrations_of(&self, instance: &ObjectKey) -> impl Iterator<Item = &Migration> {
        self.migrations().filter(move |migration| migration.instance_key() == *instance)
    }

    /// The migration of an instance that is not over. KubeVirt lets there be only one.
    pub fn migration_in_flight(&self, instance: &ObjectKey) -> Option<&Migration> {
        self.migrations_of(instance).find(|migration| !migration.is_final())
    }

    /// All launcher pods.
    pub fn launchers(&self) -> impl Iterator<Item = &LauncherPod> {
        self.launchers.values()
    }

    /// The launcher pods that name this instance as their controller, by uid.
    pub fn launchers_of(&self, instance: &VirtualMachineInstance) -> impl Iterator<Item = &LauncherPod> {
        let uid = instance.uid().clone();
        self.launchers().filter(move |launcher| launcher.instance().is_some_and(|owner| owner.uid == uid))
    }

    /// The launcher pod that holds the guest, or is about to.
    pub fn active_launcher(&self, instance: &VirtualMachineInstance) -> Option<&LauncherPod> {
        self.launchers_of(instance).find(|launcher| self.role(launcher) == Role::Active)
    }

    /// The launcher pods bound to a node, those that ended included.
    pub fn launchers_on<'a>(&'a self, node: &'a NodeName) -> impl Iterator<Item = &'a LauncherPod> {
        self.launchers().filter(move |launcher| launcher.node() == Some(node))
    }

    /// What a launcher pod is to its instance.
    pub fn role(&self, launcher: &LauncherPod) -> Role {
        let owner = launcher.instance();
        let key = owner.map(|owner| ObjectKey::new(launcher.pod.id.namespace.clone(), owner.name.clone()));
        let instance = key.as_ref().and_then(|key| self.instances.get(key));
        let instance = instance.filter(|instance| owner.is_some_and(|owner| owner.uid == *instance.uid()));
        let migrations: Vec<_> = key.iter().flat_map(|key| self.migrations_of(key)).collect();
        let siblings = instance.into_iter().flat_map(|instance| self.launchers_of(instance));
        launcher.role(instance, siblings, &migrations)
    }

    /// The pods that attach disks to guests on a node.
    pub fn hotplugs_on<'a>(&'a self, node: &'a NodeName) -> impl Iterator<Item = &'a HotplugPod> {
        self.hotplugs.values().filter(move |hotplug| hotplug.pod.node.as_ref() == Some(node))
    }

    /// The launcher pod that such a pod serves, and its instance, as far as they are there.
    pub fn served_by(&self, hotplug: &HotplugPod) -> (Option<&LauncherPod>, Option<&VirtualMachineInstance>) {
        let uid = hotplug.launcher();
        let launcher = self.launchers().find(|launcher| Some(&launcher.pod.id.uid) == uid);
        let instance = launcher.and_then(|launcher| {
            let name = launcher.instance()?.name.clone();
            self.instances.get(&ObjectKey::new(launcher.pod.id.namespace.clone(), name))
        });
        (launcher, instance)
    }

    /// All nodes as KubeVirt sees them.
    pub fn hosts(&self) -> impl Iterator<Item = &Host> {
        self.hosts.values()
    }

    /// One node as KubeVirt sees it.
    pub fn host(&self, node: &NodeName) -> Option<&Host> {
        self.hosts.get(node)
    }

    /// Whether an instance waits for a guest of another cluster.
    pub fn is_receiver(&self, instance: &VirtualMachineInstance) -> bool {
        let receives = |machine: &VirtualMachine| machine.run_strategy == super::RunStrategy::WaitAsReceiver;
        instance.phase == InstancePhase::WaitingForSync
            || matches!(self.owner_of(instance), Owner::Machine(machine) if receives(machine))
    }
}
