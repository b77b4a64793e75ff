//! What KubeVirt does by itself, one small step at a time.

use cluster_model::kubevirt::NonMigratable;

use super::{Attempt, GuestWorld, Instance, Launcher, NEW, OLD, PHASES};

impl GuestWorld {
    pub(super) fn is_open(&self, index: usize) -> bool {
        !matches!(self.attempts[index].phase, "Succeeded" | "Failed")
    }

    pub(super) fn open_of(&self, vm: usize) -> Option<usize> {
        (0..self.attempts.len()).find(|index| self.attempts[*index].vm == vm && self.is_open(*index))
    }

    pub(super) fn make_attempt(&mut self, vm: usize, evacuates: bool, own: bool) -> bool {
        let running = self.guests[vm].instance.as_ref().filter(|instance| !instance.is_final && !instance.is_ending);
        let Some(from) = running.map(|instance| instance.node) else { return false };
        if self.open_of(vm).is_some() || !self.guests[vm].kind.migratable {
            return false;
        }
        self.serial += 1;
        let name = format!("migration-{}", self.serial);
        self.attempts.push(Attempt { name, vm, phase: "Pending", evacuates, own, from });
        true
    }

    pub(super) fn abort(&mut self, index: usize) {
        let attempt = self.attempts.remove(index);
        self.launchers
            .iter_mut()
            .filter(|launcher| launcher.attempt.as_ref() == Some(&attempt.name))
            .for_each(|launcher| launcher.has_ended = true);
    }

    pub(super) fn fail(&mut self, index: usize) {
        self.attempts[index].phase = "Failed";
        let name = self.attempts[index].name.clone();
        let its = |launcher: &&mut Launcher| launcher.attempt.as_ref() == Some(&name);
        self.launchers.iter_mut().filter(its).for_each(|launcher| launcher.has_ended = true);
    }

    /// One step of virt-controller and virt-handler with one guest.
    pub(super) fn kubevirt(&mut self, vm: usize) -> bool {
        let guest = self.guests[vm].clone();
        let Some(instance) = guest.instance.clone() else {
            let comes_back = match guest.kind.owner {
                "Always" => !guest.is_halted,
                _ => false,
            };
            return comes_back && !guest.is_gone && self.boot(vm);
        };
        if instance.is_ending && !instance.is_final {
            if let Some(index) = self.open_of(vm) {
                self.fail(index);
            }
            if let Some(instance) = self.guests[vm].instance.as_mut() {
                instance.is_final = true;
                instance.mark = false;
            }
            self.launchers.iter_mut().filter(|one| one.vm_uid == instance.uid).for_each(|one| one.has_ended = true);
            return true;
        }
        if instance.is_final {
            // A restart, a replica set, or Always.
            self.guests[vm].instance = None;
            let comes_back = match guest.kind.owner {
                "Always" => !guest.is_halted,
                "Manual" | "RerunOnFailure" => self.policy.non_migratable != NonMigratable::Stop,
                "ReplicaSet" => true,
                _ => false,
            };
            return !comes_back || self.boot(vm);
        }
        let is_migratable =
            guest.kind.migratable && matches!(guest.kind.strategy, "LiveMigrate" | "LiveMigrateIfPossible");
        match self.open_of(vm) {
            None if instance.mark && instance.node == OLD && is_migratable => self.make_attempt(vm, true, false),
            None => false,
            Some(index) => {
                self.migrate(vm, index);
                true
            }
        }
    }

    pub(super) fn boot(&mut self, vm: usize) -> bool {
        let guest = &mut self.guests[vm];
        guest.is_changing = false;
        guest.incarnation += 1;
        let uid = format!("uid-vm-{vm}-{}", guest.incarnation);
        let node = if self.is_cordoned { NEW } else { OLD };
        guest.instance =
            Some(Instance { uid: uid.clone(), node, mark: false, is_final: false, is_ending: false, state: None });
        self.serial += 1;
        let name = format!("virt-launcher-vm-{vm}-{}", self.serial);
        self.launchers.push(Launcher { name, vm, vm_uid: uid, node, attempt: None, has_ended: false });
        true
    }

    pub(super) fn migrate(&mut self, vm: usize, index: usize) {
        let attempt = self.attempts[index].clone();
        let position = PHASES.iter().position(|phase| *phase == attempt.phase).unwrap_or(0);
        let target = if attempt.from == OLD || self.is_cordoned { NEW } else { OLD };
        if let Some(next) = PHASES.get(position + 1) {
            self.attempts[index].phase = next;
            if position == 0 {
                let uid = self.guests[vm].instance.as_ref().map(|instance| instance.uid.clone()).unwrap_or_default();
                self.serial += 1;
                self.launchers.push(Launcher {
                    name: format!("virt-launcher-vm-{vm}-{}", self.serial),
                    vm,
                    vm_uid: uid,
                    node: target,
                    attempt: Some(attempt.name),
                    has_ended: false,
                });
            }
            return;
        }
        if let Some(instance) = self.guests[vm].instance.as_mut() {
            instance.node = target;
            instance.mark = false;
            instance.state = Some((attempt.name, true));
        }
        self.attempts[index].phase = "Succeeded";
    }

    /// The source of a migration that is over ends.
    pub(super) fn exit(&mut self, index: usize) -> bool {
        let Some(launcher) = self.launchers.get(index).cloned() else { return false };
        let guest = &self.guests[launcher.vm];
        let instance = guest.instance.as_ref().filter(|instance| instance.uid == launcher.vm_uid);
        let is_done =
            instance.is_none_or(|instance| instance.node != launcher.node && self.open_of(launcher.vm).is_none());
        if launcher.has_ended || !is_done {
            return false;
        }
        self.launchers[index].has_ended = true;
        true
    }
}
