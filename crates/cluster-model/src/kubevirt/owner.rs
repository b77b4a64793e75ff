//! Who makes an instance again when its guest has ended.

use super::machine::VirtualMachine;
use crate::identity::ControllerRef;

/// The owner of an instance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Owner<'a> {
    /// A VirtualMachine; its run strategy decides.
    Machine(&'a VirtualMachine),
    /// A VirtualMachine that could not be read, or another one of that name by now.
    UnseenMachine(&'a ControllerRef),
    /// A VirtualMachineInstanceReplicaSet, which makes another instance under another name.
    ReplicaSet(&'a ControllerRef),
    /// A controller that KubeVirt does not know.
    Other(&'a ControllerRef),
    /// Nobody: a standalone instance.
    Nobody,
}

impl Owner<'_> {
    /// Kind and name, for the person at the terminal; `None` for a standalone instance.
    pub fn kind_and_name(&self) -> Option<(&str, &str)> {
        match self {
            Self::Machine(machine) => Some(("VirtualMachine", &machine.metadata.key.name)),
            Self::UnseenMachine(owner) | Self::ReplicaSet(owner) | Self::Other(owner) => {
                Some((&owner.kind, &owner.name))
            }
            Self::Nobody => None,
        }
    }
}
