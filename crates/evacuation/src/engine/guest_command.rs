//! What the engine wants done about virtual machines: one command is one API call.

use cluster_model::demand::Taint;
use cluster_model::identity::{NodeName, ObjectKey, PodId, Uid};
use cluster_model::marks::StoppedMachine;

use super::command::Command;

/// One call to the API server, most of them to KubeVirt's part of it.
#[derive(Clone, Debug, PartialEq)]
pub enum GuestCommand {
    /// Asks the eviction API to let a launcher pod go; KubeVirt's webhook answers. Answered by [`Reply::Launcher`],
    /// or by [`Reply::Done`] where the eviction was granted and the guest is being shut down.
    ///
    /// [`Reply::Launcher`]: super::Reply::Launcher
    /// [`Reply::Done`]: super::Reply::Done
    EvictLauncher {
        /// The pod; its uid guards the request.
        pod: PodId,
    },
    /// Makes a migration of the run's own.
    CreateMigration {
        /// The instance.
        vm: ObjectKey,
        /// The node that is being emptied.
        node: NodeName,
    },
    /// Deletes a migration that is not over, which aborts it.
    DeleteMigration {
        /// The migration.
        migration: ObjectKey,
        /// Its uid.
        uid: Uid,
    },
    /// Takes the mark of an evacuation off an instance.
    CancelEvacuation {
        /// The instance.
        vm: ObjectKey,
        /// The node that the mark names.
        node: NodeName,
    },
    /// Asks KubeVirt to shut a virtual machine's guest down and start it again.
    RestartMachine {
        /// The VirtualMachine.
        machine: ObjectKey,
    },
    /// Asks KubeVirt to shut a virtual machine's guest down.
    StopMachine {
        /// The VirtualMachine.
        machine: ObjectKey,
    },
    /// Gives a virtual machine its run strategy back.
    RestoreMachine {
        /// What it was.
        machine: StoppedMachine,
    },
    /// Deletes an instance.
    DeleteInstance {
        /// The instance.
        vm: ObjectKey,
        /// Its uid.
        uid: Uid,
    },
    /// Takes KubeVirt's drain taint off a node: while it is there no evacuation can be cancelled.
    RemoveTaint {
        /// The node.
        node: NodeName,
        /// The node's uid.
        uid: Uid,
        /// The version of the node that was seen: its taints are one list, which no patch takes a single one out of.
        resource_version: String,
        /// The taints that it keeps.
        others: Vec<Taint>,
    },
}

impl From<GuestCommand> for Command {
    fn from(command: GuestCommand) -> Self {
        Self::Guest(command)
    }
}
