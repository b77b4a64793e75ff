//! What the person at the terminal allows to happen to virtual machines.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Serialize, Serializer};

use crate::identity::ObjectKey;

/// The consents about virtual machines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VmPolicy {
    /// `--non-migratable`.
    pub non_migratable: NonMigratable,
    /// `--allow-loss`: these may lose data, stay off, or be gone. It is a consent by name, so it stands without
    /// `--non-migratable`; the gentlest way is taken nevertheless.
    pub allow_loss: BTreeSet<ObjectKey>,
}

/// What happens to a guest that cannot migrate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum NonMigratable {
    /// The run does not begin.
    #[default]
    Refuse,
    /// It is shut down and comes back elsewhere.
    Restart,
    /// The same, but a guest whose strategy is LiveMigrate stands in the way: what the documented line of
    /// `kubectl drain` would do. No flag value; it is implied by that line.
    RestartUnlessLiveMigrate,
    /// It is shut down and stays off, which `--allow-loss` has to allow by name.
    Stop,
    /// It stays on the node.
    Leave,
}

impl NonMigratable {
    /// The values of the flag.
    pub const FLAG_VALUES: [Self; 4] = [Self::Refuse, Self::Restart, Self::Stop, Self::Leave];
}

impl fmt::Display for NonMigratable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refuse => "refuse",
            Self::Restart | Self::RestartUnlessLiveMigrate => "restart",
            Self::Stop => "stop",
            Self::Leave => "leave",
        })
    }
}

impl Serialize for NonMigratable {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
