//! What the server does with each request.

use cluster_model::eviction_reply::EvictionReply;
use cluster_model::identity::{ObjectKey, PodId};
use cluster_model::kubevirt::{NonMigratable, VirtualMachineReply};
use cluster_model::marks::StoppedMachine;

use super::{GuestWorld, OLD};
use crate::engine::{Command, GuestCommand, Reply};

impl GuestWorld {
    pub(super) fn perform(&mut self, command: &Command) -> Reply {
        match command {
            Command::Cordon { mark, .. } => {
                self.is_cordoned = true;
                self.mark = Some(mark.clone());
                Reply::Done
            }
            Command::Mark { mark, .. } => {
                self.mark = Some(mark.clone());
                Reply::Done
            }
            Command::Release { uncordon, .. } => {
                self.mark = None;
                self.is_cordoned &= !uncordon;
                Reply::Done
            }
            Command::Evict { .. } => {
                self.database = false;
                Reply::Done
            }
            Command::Guest(command) => self.perform_guest(command),
            other => panic!("unexpected {other:?}\n{}", self.story()),
        }
    }

    pub(super) fn guest_of(&self, key: &ObjectKey) -> usize {
        self.guests.iter().position(|guest| guest.name == key.name).unwrap_or_else(|| panic!("no guest {key}"))
    }

    pub(super) fn perform_guest(&mut self, command: &GuestCommand) -> Reply {
        match command {
            GuestCommand::EvictLauncher { pod } => self.evict(pod),
            GuestCommand::CreateMigration { vm, .. } => {
                let vm = self.guest_of(vm);
                let Some(instance) = &self.guests[vm].instance else { return Reply::Gone };
                if instance.is_final || !self.guests[vm].kind.migratable {
                    return Reply::Denied("Cannot migrate VMI".into());
                }
                if self.make_attempt(vm, false, true) {
                    Reply::Done
                } else {
                    Reply::Denied("in-flight migration detected.".into())
                }
            }
            GuestCommand::DeleteMigration { migration, .. } => {
                match (0..self.attempts.len()).find(|index| self.attempts[*index].name == migration.name) {
                    Some(index) if self.is_open(index) => {
                        self.abort(index);
                        Reply::Done
                    }
                    _ => Reply::Gone,
                }
            }
            GuestCommand::CancelEvacuation { vm, node } => {
                let vm = self.guest_of(vm);
                match self.guests[vm].instance.as_mut() {
                    None => Reply::Gone,
                    Some(instance) if instance.mark && node.0 != OLD => Reply::Unanswered("500".into()),
                    Some(instance) => {
                        instance.mark = false;
                        Reply::Done
                    }
                }
            }
            GuestCommand::RestartMachine { machine } => {
                let vm = self.guest_of(machine);
                self.consents(vm);
                match self.guests[vm].instance.as_mut().filter(|instance| !instance.is_final) {
                    None => Reply::Denied("409: VM is not running".into()),
                    Some(instance) => {
                        instance.is_ending = true;
                        self.guests[vm].is_changing = true;
                        Reply::Done
                    }
                }
            }
            GuestCommand::StopMachine { machine } => {
                let vm = self.guest_of(machine);
                self.consents(vm);
                let recorded = |stopped: &StoppedMachine| stopped.key == *machine;
                let is_recorded = self.mark.as_ref().is_some_and(|mark| mark.stopped.iter().any(recorded));
                if matches!(self.guests[vm].kind.owner, "Always" | "Once") {
                    assert!(is_recorded, "what a stop changes is written down before\n{}", self.story());
                    self.guests[vm].is_halted = true;
                }
                if let Some(instance) = self.guests[vm].instance.as_mut() {
                    instance.is_ending = true;
                }
                Reply::Done
            }
            GuestCommand::RestoreMachine { machine } => {
                let vm = self.guest_of(&machine.key);
                self.guests[vm].is_halted = false;
                Reply::Done
            }
            GuestCommand::DeleteInstance { vm, .. } => {
                let vm = self.guest_of(vm);
                self.consents(vm);
                match self.guests[vm].instance.as_mut() {
                    None => Reply::Gone,
                    Some(instance) => {
                        instance.is_ending = true;
                        Reply::Done
                    }
                }
            }
            GuestCommand::RemoveTaint { .. } => Reply::Done,
        }
    }

    /// The webhook's table, reference 2.
    pub(super) fn evict(&mut self, pod: &PodId) -> Reply {
        let Some(index) = self.launchers.iter().position(|launcher| launcher.name == pod.name) else {
            return Reply::Evicted(EvictionReply::Gone);
        };
        let launcher = self.launchers[index].clone();
        let guest = &self.guests[launcher.vm];
        *self.evictions.entry(launcher.vm_uid.clone()).or_default() += 1;
        let key = ObjectKey::new("shop", guest.name.clone());
        let kind = guest.kind;
        assert!(launcher.node == OLD, "only pods of the node are evicted\n{}", self.story());
        let Some(instance) = &guest.instance else {
            return Reply::Launcher(VirtualMachineReply::InstanceMissing { message: "not found".into() });
        };
        let refused = |reply| Reply::Launcher(reply);
        let is_protected = match kind.strategy {
            "LiveMigrate" if !kind.migratable => {
                return refused(VirtualMachineReply::NotMigratable { instance: key.name });
            }
            "LiveMigrate" | "External" => true,
            "LiveMigrateIfPossible" => kind.migratable,
            _ => false,
        };
        if !is_protected {
            self.consents(launcher.vm);
            if let Some(instance) = self.guests[launcher.vm].instance.as_mut() {
                instance.is_ending = true;
            }
            return Reply::Done;
        }
        if instance.mark {
            return refused(VirtualMachineReply::EvacuationInProgress { instance: key });
        }
        if instance.node != launcher.node {
            return refused(VirtualMachineReply::NotTheGuestsPod);
        }
        if let Some(instance) = self.guests[launcher.vm].instance.as_mut() {
            instance.mark = true;
        }
        refused(VirtualMachineReply::EvacuationStarted { instance: key })
    }

    /// A guest that can migrate is never ended, and none but by the policy.
    pub(super) fn consents(&self, vm: usize) {
        let kind = self.guests[vm].kind;
        assert!(!kind.migratable, "a guest that can migrate is shut down\n{}", self.story());
        assert!(self.policy.non_migratable != NonMigratable::Leave, "it was to be left\n{}", self.story());
    }
}
