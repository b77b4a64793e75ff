//! How a guest and its node behave, told by annotations.
//!
//! | annotation of the VMI (of a VM: of its template) | the guest |
//! |---|---|
//! | `stand-in/boot-time` | runs so long after its launcher was ready (default 0s) |
//! | `stand-in/shutdown-time` | takes so long to shut down (default 0s); longer than its grace period, it ends Failed then |
//! | `stand-in/migration-time` | is copied for so long (default 200ms) |
//! | `stand-in/fail-migrations` | its first so many migrations fail at the end of the copy; `always` |
//! | `stand-in/failure-reason` | the failureReason of those |
//! | `stand-in/hang-migration` | `copying`: the copy never ends; `preparing`: the target is never ready |
//! | `stand-in/leave-source-running` | any value: after a migration the source launcher stays Running (#18320) |
//! | `stand-in/live-migratable` | the reason why it is not, for example DisksNotLiveMigratable |
//! | `stand-in/live-migratable-message` | the message beside that reason |
//! | `stand-in/guest` | `off`: it shuts itself down now; `crash`: it crashes now |
//!
//! | annotation of the node | |
//! |---|---|
//! | `stand-in/virt-handler` | `alive`: it has a virt-handler, so guests can run there. Without this it has none: no heartbeat, no labels |
//! | | `dead`: its heartbeat stops, and what its virt-handler does for guests does not happen |
//! | `stand-in/virt-handler-seen` | what the stand-in knows of that; it writes this itself |
//! | `handover.test/ready` (see tests/control-plane/stages) | its kubelet does nothing either |
//!
//! All of them are read when they matter, so a test may change them while a guest runs.

use std::time::Duration;

use super::object::{Object, duration};

/// The annotation of a node that tells of its virt-handler.
pub(crate) const VIRT_HANDLER: &str = "stand-in/virt-handler";

/// The annotation of a node by which the stand-in says what it knows of that: until then it acts on what was before.
pub(crate) const VIRT_HANDLER_SEEN: &str = "stand-in/virt-handler-seen";

const DEFAULT_COPY: Duration = Duration::from_millis(200);

/// How a VMI behaves.
pub(super) struct Behaviour<'a>(pub(super) &'a Object);

impl Behaviour<'_> {
    pub(super) fn boot_time(&self) -> Duration {
        self.time("stand-in/boot-time", Duration::ZERO)
    }

    pub(super) fn shutdown_time(&self) -> Duration {
        self.time("stand-in/shutdown-time", Duration::ZERO)
    }

    pub(super) fn migration_time(&self) -> Duration {
        self.time("stand-in/migration-time", DEFAULT_COPY)
    }

    /// Returns whether the migration after `earlier` failed ones fails as well.
    pub(super) fn fails_after(&self, earlier: u32) -> bool {
        match self.0.annotation("stand-in/fail-migrations") {
            "" => false,
            "always" => true,
            count => count.parse::<u32>().is_ok_and(|count| earlier < count),
        }
    }

    pub(super) fn failure_reason(&self) -> &str {
        match self.0.annotation("stand-in/failure-reason") {
            "" => "Live migration failed: the stand-in was told so",
            reason => reason,
        }
    }

    pub(super) fn hangs(&self, stage: &str) -> bool {
        self.0.annotation("stand-in/hang-migration") == stage
    }

    pub(super) fn leaves_source_running(&self) -> bool {
        self.0.has_annotation("stand-in/leave-source-running")
    }

    /// Returns reason and message why it cannot be migrated.
    pub(super) fn not_migratable(&self) -> Option<(&str, &str)> {
        match self.0.annotation("stand-in/live-migratable") {
            "" => None,
            reason => Some((reason, self.0.annotation("stand-in/live-migratable-message"))),
        }
    }

    /// Returns the last phase of a guest that ends by itself now.
    pub(super) fn ends_by_itself(&self) -> Option<&'static str> {
        match self.0.annotation("stand-in/guest") {
            "off" => Some("Succeeded"),
            "crash" => Some("Failed"),
            _ => None,
        }
    }

    fn time(&self, annotation: &str, default: Duration) -> Duration {
        duration(self.0.annotation(annotation)).unwrap_or(default)
    }
}

/// Returns whether a node has a virt-handler that does its work.
pub(super) fn has_handler(node: &Object) -> bool {
    node.annotation(VIRT_HANDLER) == "alive" && has_kubelet(node)
}

/// Returns whether a node's kubelet does its work.
pub(super) fn has_kubelet(node: &Object) -> bool {
    !node.has_annotation("handover.test/ready")
}
