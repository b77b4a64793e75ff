//! What the watches tell of the cluster as it is.

use std::collections::BTreeSet;

use cluster_model::fixtures;
use cluster_model::fixtures::kubevirt::{self as kubevirt_objects, ObjectBuilder};
use cluster_model::identity::PodId;
use cluster_model::kubevirt::VirtualChange;
use cluster_model::snapshot::Change;

use super::{Attempt, Guest, GuestWorld, Launcher, OLD};

impl GuestWorld {
    pub(super) fn objects(&self, kind: u8) -> Vec<ObjectBuilder> {
        match kind {
            0 => self.guests.iter().enumerate().filter_map(|(vm, guest)| Self::instance_object(vm, guest)).collect(),
            1 => self.attempts.iter().map(|attempt| self.attempt_object(attempt)).collect(),
            2 => self.launchers.iter().map(|launcher| self.launcher_object(launcher)).collect(),
            _ => self.guests.iter().filter_map(machine_object).collect(),
        }
    }

    pub(super) fn instance_object(vm: usize, guest: &Guest) -> Option<ObjectBuilder> {
        let instance = guest.instance.as_ref()?;
        let mut object = kubevirt_objects::instance("shop", &guest.name)
            .set("/metadata/uid", instance.uid.as_str())
            .on(instance.node)
            .strategy(guest.kind.strategy)
            .phase(if instance.is_final { "Succeeded" } else { "Running" });
        object = if guest.kind.migratable { object.migratable() } else { object.not_migratable() };
        object = match guest.kind.owner {
            "Nobody" => object,
            "ReplicaSet" => {
                object.owned_by("kubevirt.io/v1", "VirtualMachineInstanceReplicaSet", "set", &format!("uid-set-{vm}"))
            }
            _ => object.of_machine(),
        };
        if instance.mark {
            object = object.marked(OLD);
        }
        if let Some((attempt, _)) = &instance.state {
            object = object.set(
                "/status/migrationState",
                serde_json::json!({"migrationUid": format!("uid-{attempt}"), "completed": true,
                    "sourceNode": OLD, "targetNode": instance.node, "endTimestamp": "1970-01-01T00:00:10Z"}),
            );
        }
        Some(object)
    }

    pub(super) fn attempt_object(&self, attempt: &Attempt) -> ObjectBuilder {
        let mut object = kubevirt_objects::migration("shop", &attempt.name, &self.guests[attempt.vm].name)
            .set("/status/phase", attempt.phase);
        if attempt.evacuates {
            object = object.evacuating(attempt.from);
        }
        if attempt.own {
            object = object.annotation("handover/evacuates", attempt.from);
        }
        object
    }

    pub(super) fn launcher_object(&self, launcher: &Launcher) -> ObjectBuilder {
        let guest = &self.guests[launcher.vm];
        let mut object = kubevirt_objects::launcher("shop", &guest.name, &launcher.name, launcher.node)
            .set("/metadata/name", launcher.name.as_str())
            .owned_by("kubevirt.io/v1", "VirtualMachineInstance", &guest.name, &launcher.vm_uid);
        if let Some(attempt) = &launcher.attempt {
            object = object.target_of(&format!("uid-{attempt}"));
        }
        if launcher.has_ended { object.set("/status/phase", "Succeeded") } else { object }
    }

    pub(super) fn deliver(&mut self, kind: u8) {
        let kind = kind % 6;
        if kind == 4 {
            let mut node = fixtures::node(OLD);
            node.unschedulable = self.is_cordoned;
            node.run = self.mark.as_ref().and_then(|mark| serde_json::to_string(mark).ok());
            self.view.apply(Change::Node(Box::new(node)));
            return;
        }
        if kind == 5 {
            let pod = fixtures::pod("shop", "db").on(OLD).ready().managed_by("apps/v1", "StatefulSet", "db").build();
            let id = pod.id.clone();
            let change = if self.database { Change::Pod(Box::new(pod)) } else { Change::PodGone(id) };
            self.view.apply(change);
            return;
        }
        let objects = self.objects(kind);
        let keys: BTreeSet<_> = objects
            .iter()
            .map(|object| cluster_model::kubevirt::Metadata::from(&object.build()))
            .map(|metadata| (metadata.key, metadata.uid))
            .collect();
        let gone: Vec<_> = self.told[usize::from(kind)].difference(&keys).cloned().collect();
        for (key, uid) in gone {
            let id = PodId { namespace: key.namespace.clone(), name: key.name.clone(), uid: uid.clone() };
            self.apply(match kind {
                0 => VirtualChange::InstanceGone(key, uid),
                1 => VirtualChange::MigrationGone(key, uid),
                2 => VirtualChange::PodGone(id),
                _ => VirtualChange::MachineGone(key, uid),
            });
        }
        objects.iter().filter_map(ObjectBuilder::change).for_each(|change| self.apply(change));
        self.told[usize::from(kind)] = keys;
    }

    pub(super) fn apply(&mut self, change: VirtualChange) {
        self.view.apply(Change::Virtual(Box::new(change)));
    }
}

fn machine_object(guest: &Guest) -> Option<ObjectBuilder> {
    let strategy = match guest.kind.owner {
        "Nobody" | "ReplicaSet" => return None,
        _ if guest.is_halted => "Halted",
        strategy => strategy,
    };
    let object = kubevirt_objects::machine("shop", &guest.name, strategy);
    let requests = serde_json::json!([{"action": "Stop"}, {"action": "Start"}]);
    Some(if guest.is_changing { object.set("/status/stateChangeRequests", requests) } else { object })
}
