//! KubeVirt's settings: the KubeVirt object's `spec.configuration`, with the built-in values (reference 3.2, 3.3).

use serde_json::Value;

use super::cluster::Cluster;
use super::number;
use super::object::Object;

const PARALLEL_PER_CLUSTER: usize = 5;
const PARALLEL_OUTBOUND_PER_NODE: usize = 2;

impl Cluster {
    /// Returns how many migrations may have a target pod at the same time.
    pub(super) fn parallel_per_cluster(&self) -> usize {
        self.limit("/migrations/parallelMigrationsPerCluster", PARALLEL_PER_CLUSTER)
    }

    /// Returns how many of them may leave the same node.
    pub(super) fn parallel_outbound_per_node(&self) -> usize {
        self.limit("/migrations/parallelOutboundMigrationsPerNode", PARALLEL_OUTBOUND_PER_NODE)
    }

    fn limit(&self, pointer: &str, default: usize) -> usize {
        number(&self.setting(pointer)).and_then(|limit| usize::try_from(limit).ok()).unwrap_or(default)
    }

    /// Returns the taint by which nodes were drained before the eviction API served for it (reference 3.1).
    pub(super) fn drain_taint_key(&self) -> String {
        match self.setting("/migrations/nodeDrainTaintKey") {
            Value::String(key) => key,
            _ => "kubevirt.io/drain".to_owned(),
        }
    }

    /// Returns the eviction strategy that applies to a VMI: its own, else the cluster's (reference 1.1).
    pub(super) fn eviction_strategy(&self, vmi: &Object) -> String {
        match vmi.text("/spec/evictionStrategy") {
            "" => self.setting("/evictionStrategy").as_str().unwrap_or("None").to_owned(),
            own => own.to_owned(),
        }
    }

    /// Returns whether KubeVirt itself moves a VMI away: by its strategy, and only if it can (reference 3.1).
    pub(super) fn evacuates(&self, vmi: &Object) -> bool {
        matches!(self.eviction_strategy(vmi).as_str(), "LiveMigrate" | "LiveMigrateIfPossible")
            && vmi.is_condition_true("LiveMigratable")
    }
}
