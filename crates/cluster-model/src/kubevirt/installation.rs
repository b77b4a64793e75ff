//! The KubeVirt object: how this cluster's KubeVirt is set up.

use serde::Serialize;
use serde_json::Value;

use super::eviction_strategy::EvictionStrategy;
use super::object::{Metadata, amount, text};
use super::version::{Features, Version};

/// The installation.
#[derive(Clone, Debug, PartialEq)]
pub struct KubeVirt {
    /// Which object; its namespace is the one of KubeVirt's own pods.
    pub metadata: Metadata,
    /// `status.observedKubeVirtVersion`, as it stands.
    pub version_text: Option<String>,
    /// `spec.configuration.evictionStrategy`.
    pub eviction_strategy: Option<EvictionStrategy>,
    /// How many migrations may run.
    pub limits: MigrationLimits,
    /// The taint whose presence on a node migrates everything away (deprecated upstream).
    pub drain_taint: String,
}

/// `spec.configuration.migrations`, as far as it makes migrations wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MigrationLimits {
    /// `parallelMigrationsPerCluster`.
    pub per_cluster: usize,
    /// `parallelOutboundMigrationsPerNode`.
    pub outbound_per_node: usize,
}

impl Default for MigrationLimits {
    /// KubeVirt's own (`pkg/virt-config/virt-config.go`).
    fn default() -> Self {
        Self { per_cluster: 5, outbound_per_node: 2 }
    }
}

impl From<&Value> for KubeVirt {
    fn from(object: &Value) -> Self {
        const MIGRATIONS: &str = "/spec/configuration/migrations";
        let limit = |field: &str| {
            amount(object, &format!("{MIGRATIONS}/{field}")).and_then(|limit| usize::try_from(limit).ok())
        };
        let built_in = MigrationLimits::default();
        let strategy = text(object, "/spec/configuration/evictionStrategy");
        Self {
            metadata: Metadata::from(object),
            version_text: text(object, "/status/observedKubeVirtVersion"),
            eviction_strategy: strategy.map(|word| EvictionStrategy::from(word.as_str())),
            limits: MigrationLimits {
                per_cluster: limit("parallelMigrationsPerCluster").unwrap_or(built_in.per_cluster),
                outbound_per_node: limit("parallelOutboundMigrationsPerNode").unwrap_or(built_in.outbound_per_node),
            },
            drain_taint: text(object, &format!("{MIGRATIONS}/nodeDrainTaintKey"))
                .unwrap_or_else(|| "kubevirt.io/drain".to_owned()),
        }
    }
}

impl KubeVirt {
    /// Its version, if it says one.
    pub fn version(&self) -> Option<Version> {
        self.version_text.as_deref().and_then(Version::parse)
    }

    /// What this version can do.
    pub fn features(&self) -> Features {
        Features::of(self.version())
    }
}

#[cfg(test)]
mod tests;
