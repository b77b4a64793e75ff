//! A node as a pool's member: what it offers, and what it still waits for before work may be put on it.

use std::collections::BTreeMap;
use std::fmt;

use cluster_model::api::core as v1;
use cluster_model::demand::Offer;
use cluster_model::identity::{NodeName, Uid};
use cluster_model::resources::Resources;
use jiff::Timestamp;

/// Two machines of one kind do not offer the same to the last byte: one is as large as another with so many hundredths of it.
const ALIKE: i64 = 98;

/// Taints that say that a node is not set up yet, whoever puts them there.
const START_UP_TAINTS: [&str; 5] = [
    "node.cloudprovider.kubernetes.io/uninitialized",
    "node.cluster.x-k8s.io/uninitialized",
    "karpenter.sh/unregistered",
    "node.kubernetes.io/not-ready",
    "node.kubernetes.io/unreachable",
];

/// One node.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolNode {
    /// Its name.
    pub name: NodeName,
    /// Which of all nodes that ever had the name.
    pub uid: Uid,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// Its taints.
    pub taints: Vec<v1::Taint>,
    /// Whether it is cordoned.
    pub unschedulable: bool,
    /// Whether its kubelet says that it is ready.
    pub ready: bool,
    /// What pods may use of it.
    pub allocatable: Resources,
    /// The kubelet's version.
    pub version: String,
    /// Its zone, where it has one.
    pub zone: Option<String>,
    /// What its provider knows it by.
    pub provider_id: Option<String>,
    /// When it joined.
    pub created: Option<Timestamp>,
}

impl From<&v1::Node> for PoolNode {
    fn from(node: &v1::Node) -> Self {
        let metadata = &node.metadata;
        let labels = metadata.labels.clone().unwrap_or_default();
        let status = node.status.as_ref();
        let conditions = status.and_then(|status| status.conditions.as_ref()).into_iter().flatten();
        let allocatable = status.and_then(|status| status.allocatable.as_ref());
        Self {
            name: NodeName(metadata.name.clone().unwrap_or_default()),
            uid: Uid(metadata.uid.clone().unwrap_or_default()),
            zone: labels.get("topology.kubernetes.io/zone").cloned(),
            labels,
            annotations: metadata.annotations.clone().unwrap_or_default(),
            taints: node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default(),
            unschedulable: node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or(false),
            ready: conditions.clone().any(|condition| condition.type_ == "Ready" && condition.status == "True"),
            allocatable: allocatable.map(Resources::from).unwrap_or_default(),
            version: status
                .and_then(|status| status.node_info.as_ref())
                .map(|info| info.kubelet_version.clone())
                .unwrap_or_default(),
            provider_id: node.spec.as_ref().and_then(|spec| spec.provider_id.clone()),
            created: metadata.creation_timestamp.as_ref().map(|time| time.0),
        }
    }
}

/// What a node waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Its kubelet does not say that it is ready.
    Kubelet,
    /// Somebody cordoned it.
    Uncordon,
    /// A taint that is taken away when the node is set up.
    StartUpTaint(String),
    /// It has less of these resources than each node of the old pool.
    Smaller(Vec<String>),
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kubelet => f.write_str("its kubelet to be Ready"),
            Self::Uncordon => f.write_str("somebody to uncordon it"),
            Self::StartUpTaint(key) => write!(f, "taint {key} to go"),
            Self::Smaller(resources) => write!(f, "as much {} as an old node has", resources.join(" and ")),
        }
    }
}

impl PoolNode {
    /// Returns what the scheduler sees of it.
    pub fn offer(&self) -> Offer {
        Offer {
            name: self.name.0.clone(),
            labels: self.labels.clone(),
            taints: self.taints.clone(),
            allocatable: self.allocatable.clone(),
        }
    }

    /// Returns what the node waits for before work may be put on it; `None`: it is ready. `start_up_taints` are those of
    /// its pool; `at_least` is what a node of the old pool offers.
    pub fn waits_for(&self, start_up_taints: &[String], at_least: Option<&Resources>) -> Option<Wait> {
        if !self.ready {
            return Some(Wait::Kubelet);
        }
        let is_start_up =
            |taint: &&v1::Taint| START_UP_TAINTS.contains(&taint.key.as_str()) || start_up_taints.contains(&taint.key);
        if let Some(taint) = self.taints.iter().find(is_start_up) {
            return Some(Wait::StartUpTaint(taint.key.clone()));
        }
        if self.unschedulable {
            return Some(Wait::Uncordon);
        }
        let lacking = at_least.map(|wanted| self.allocatable.lacking(&wanted.percent(ALIKE))).unwrap_or_default();
        (!lacking.is_empty()).then(|| Wait::Smaller(lacking.into_iter().collect()))
    }
}

/// Returns what every one of the nodes offers: the least of each resource.
pub fn least<'a>(nodes: impl Iterator<Item = &'a PoolNode>) -> Option<Resources> {
    nodes.map(|node| node.allocatable.clone()).reduce(|one, other| one.least(&other))
}

/// Tells what a node offers, for a person: `4 cpu, 8Gi`.
pub fn capacity(resources: &Resources) -> String {
    const GIB: i64 = 1024 * 1024 * 1024;
    // To a tenth, and without it where it is none.
    let number = |tenths: i64| match tenths % 10 {
        0 => (tenths / 10).to_string(),
        rest => format!("{}.{rest}", tenths / 10),
    };
    format!("{} cpu, {}Gi", number((resources.cpu + 50) / 100), number((resources.memory + GIB / 20) / (GIB / 10)))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[expect(clippy::needless_pass_by_value, reason = "JSON is written where it is passed")]
    fn node(spec: Value, ready: &str, cpu: &str) -> PoolNode {
        let node: v1::Node = serde_json::from_value(json!({
            "metadata": { "name": "n" }, "spec": spec,
            "status": { "conditions": [{ "type": "Ready", "status": ready }], "allocatable": { "cpu": cpu, "memory": "8Gi" } },
        }))
        .unwrap();
        PoolNode::from(&node)
    }

    #[test]
    fn a_node_is_ready_when_it_waits_for_nothing() {
        let old = node(json!({}), "True", "4");
        let tainted = |key: &str| json!({ "taints": [{ "key": key, "effect": "NoSchedule" }] });
        let starting = vec!["example.test/starting".to_owned()];
        let taint = |key: &str| Some(Wait::StartUpTaint(key.to_owned()));
        let table = [
            (node(json!({}), "True", "4"), None),
            (node(json!({}), "Unknown", "4"), Some(Wait::Kubelet)),
            (node(json!({ "unschedulable": true }), "True", "4"), Some(Wait::Uncordon)),
            (node(tainted("karpenter.sh/unregistered"), "True", "4"), taint("karpenter.sh/unregistered")),
            (node(tainted("example.test/starting"), "True", "4"), taint("example.test/starting")),
            (node(tainted("dedicated"), "True", "4"), None),
            (node(json!({}), "True", "3500m"), Some(Wait::Smaller(vec!["cpu".to_owned()]))),
            (node(json!({}), "True", "8"), None),
            (node(json!({}), "True", "3990m"), None),
        ];
        for (node, expected) in table {
            assert_eq!(node.waits_for(&starting, Some(&old.allocatable)), expected, "{node:?}");
        }
    }
}
