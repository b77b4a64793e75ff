//! A node, as KubeVirt sees it.
//!
//! Rules: `pkg/virt-handler/heartbeat/heartbeat.go`, `pkg/virt-controller/watch/node/node.go`.

use std::time::Duration;

use crate::api::core as v1;
use jiff::Timestamp;

use crate::demand::Offer;
use crate::identity::NodeName;

/// The label that says whether KubeVirt may put guests on a node. It knows nothing of a cordon.
const SCHEDULABLE: &str = "kubevirt.io/schedulable";
/// The annotation that virt-handler renews about every minute.
const HEARTBEAT: &str = "kubevirt.io/heartbeat";

/// An older heartbeat means that virt-handler is not there; KubeVirt itself gives up on it then.
pub const STALE_HEARTBEAT: Duration = Duration::from_secs(300);

/// One node.
#[derive(Clone, Debug, PartialEq)]
pub struct Host {
    /// Which node.
    pub name: NodeName,
    /// Label `kubevirt.io/schedulable`; `None`: no virt-handler was ever there.
    pub schedulable: Option<bool>,
    /// When virt-handler was last heard of, by its own clock.
    pub heartbeat: Option<Timestamp>,
    /// The version that all this was read from, for guarded writes.
    pub resource_version: String,
    /// What it offers to pods.
    pub offer: Offer,
}

impl From<&v1::Node> for Host {
    fn from(node: &v1::Node) -> Self {
        let metadata = &node.metadata;
        let heartbeat = metadata.annotations.as_ref().and_then(|all| all.get(HEARTBEAT));
        Self {
            name: NodeName(metadata.name.clone().unwrap_or_default()),
            schedulable: metadata.labels.as_ref().and_then(|all| all.get(SCHEDULABLE)).map(|value| value == "true"),
            heartbeat: heartbeat.and_then(|text| text.parse().ok()),
            resource_version: metadata.resource_version.clone().unwrap_or_default(),
            offer: Offer::from(node),
        }
    }
}

impl Host {
    /// How old the heartbeat is; a heartbeat of the future, by a clock that is ahead, has age zero.
    pub fn heartbeat_age(&self, now: Timestamp) -> Option<Duration> {
        let age = now.duration_since(self.heartbeat?);
        Some(Duration::try_from(age).unwrap_or_default())
    }

    /// Whether virt-handler answers. Without it no guest leaves the node and none arrives; a migration would hang. A
    /// missing heartbeat counts as answering, as in KubeVirt.
    pub fn is_responsive(&self, now: Timestamp) -> bool {
        self.heartbeat_age(now).is_none_or(|age| age <= STALE_HEARTBEAT)
    }

    /// Whether KubeVirt's own drain taint is on it: then everything that can migrates without ever being marked, and
    /// an evacuation cannot be cancelled (OBSERVED h, 3.1).
    pub fn has_taint(&self, key: &str) -> bool {
        self.offer.taints.iter().any(|taint| taint.key == key)
    }
}

#[cfg(test)]
mod tests;
