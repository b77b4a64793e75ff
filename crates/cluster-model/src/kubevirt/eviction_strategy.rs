//! What KubeVirt is to do when a launcher pod is evicted.
//!
//! Rules: `pkg/util/migrations/migrations.go` (the effective strategy) and `pkg/virt-config/configuration.go` (the
//! built-in default, `None`).

use std::fmt;

use serde::{Serialize, Serializer};

/// `spec.evictionStrategy`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EvictionStrategy {
    /// The guest is shut down.
    None,
    /// The guest migrates; if it cannot, every eviction is refused.
    LiveMigrate,
    /// The guest migrates; if it cannot, it is shut down.
    LiveMigrateIfPossible,
    /// KubeVirt only marks it: somebody else moves it.
    External,
    /// A word of a newer KubeVirt.
    Other(String),
}

/// Who says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum StrategySource {
    /// The VirtualMachineInstance itself. KubeVirt copies the cluster's default into it when it is created, so later
    /// changes of the default never reach a running one.
    Vmi,
    /// The KubeVirt object's `spec.configuration.evictionStrategy`.
    Cluster,
    /// Nobody: the built-in default.
    Default,
}

impl From<&str> for EvictionStrategy {
    fn from(word: &str) -> Self {
        match word {
            "None" => Self::None,
            "LiveMigrate" => Self::LiveMigrate,
            "LiveMigrateIfPossible" => Self::LiveMigrateIfPossible,
            "External" => Self::External,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl fmt::Display for EvictionStrategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::LiveMigrate => "LiveMigrate",
            Self::LiveMigrateIfPossible => "LiveMigrateIfPossible",
            Self::External => "External",
            Self::Other(word) => word,
        })
    }
}

impl Serialize for EvictionStrategy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
