//! Pods that can never run on the nodes of a copy: they ask for what makes their node one of the old pool, or for the
//! machine itself.

use std::collections::BTreeMap;

use cluster_model::api::core as v1;
use cluster_model::demand::{Demand, Misfit, Offer, is_reached};
use cluster_model::identity::PodId;
use cluster_model::resources::Resources;

use crate::finding::Finding;
use crate::labels::POOL_LABELS;
use crate::node::PoolNode;
use crate::node_label::NodeLabel;
use crate::pool::Pool;

/// A pod on a node of the old pool that will have to go.
#[derive(Clone, Debug)]
pub struct Resident {
    /// Which pod.
    pub pod: PodId,
    /// What it asks of a node.
    pub demand: Demand,
    /// Its volumes that are reached from some nodes only, each with what says from which.
    pub volumes: Vec<(String, v1::VolumeNodeAffinity)>,
}

/// What the nodes of a copy will look like: as the old one that is given, but for what tells of the pool and the machine.
pub fn offer_of_copy(node: &PoolNode, pool: &Pool, target: &str) -> Offer {
    let mut offer = node.offer();
    // No pod can know the name of a node that is not there yet.
    offer.name = String::new();
    offer.labels.remove("kubernetes.io/hostname");
    for label in POOL_LABELS {
        if let Some(value) = offer.labels.get_mut(label.key).filter(|value| **value == pool.name) {
            target.clone_into(value);
        }
    }
    if let Some(new) = pool.label.as_ref().and_then(|_| NodeLabel::parse(target)) {
        offer.labels.insert(new.key, new.value);
    }
    // What it says of the moment, such as a cordon, is not the copy's.
    offer.taints.retain(|taint| !crate::labels::is_of_the_moment(&taint.key));
    offer
}

/// Tells which of these pods can never run on a copy, those with one reason together.
pub fn findings(residents: &[(&PoolNode, Resident)], pool: &Pool, target: &str) -> Vec<Finding> {
    let mut reasons: BTreeMap<String, Vec<&PodId>> = BTreeMap::new();
    for (node, resident) in residents {
        let offer = offer_of_copy(node, pool, target);
        let why = match resident.demand.misfit(&offer, &Resources::default()) {
            Some(Misfit::Label { key, value }) => Some(format!("asks for the label {key}={value}")),
            Some(Misfit::Affinity) => Some("has a required node affinity that holds on no node of the copy".to_owned()),
            // It runs where it is, whatever the taint or the room says.
            Some(Misfit::Taint(_) | Misfit::Room(_)) | None => None,
        };
        let unreached = resident.volumes.iter().find(|(_, affinity)| !is_reached(affinity, &offer.labels));
        let why = why
            .or_else(|| unreached.map(|(claim, _)| format!("has a volume (claim {claim}) that is tied to its node")));
        if let Some(why) = why {
            reasons.entry(why).or_default().push(&resident.pod);
        }
    }
    let finding = |(why, pods): (String, Vec<&PodId>)| {
        let first = pods.first().map(ToString::to_string).unwrap_or_default();
        let who = match pods.len() {
            1 => format!("pod {first}"),
            number => format!("pod {first}, like {} more,", number - 1),
        };
        Finding::new(
            format!("{who} {why}: it can never run on {target}"),
            "change what it asks for before the hand-over, or keep a node of the old pool for it",
        )
    };
    reasons.into_iter().map(finding).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::directory::{Directory, Wanted};
    use crate::inventory::Inventory;

    const ZONE: &str = "topology.kubernetes.io/zone";

    fn inventory() -> Inventory {
        let mut inventory = Inventory::default();
        let labels = json!({ "agentpool": "blue", "kubernetes.io/hostname": "n1", ZONE: "z1", "disk": "ssd" });
        let node: v1::Node = serde_json::from_value(json!({ "metadata": { "name": "n1", "labels": labels } })).unwrap();
        inventory.put_node(PoolNode::from(&node));
        inventory
    }

    fn resident(name: &str, spec: Value, volume: Option<Value>) -> Resident {
        let spec: v1::PodSpec = serde_json::from_value(spec).unwrap();
        let affinity = volume.map(|terms| {
            let required = json!({ "required": { "nodeSelectorTerms": terms } });
            ("data".to_owned(), serde_json::from_value(required).unwrap())
        });
        let pod = PodId { namespace: "shop".to_owned(), name: name.to_owned(), uid: name.into() };
        Resident { pod, demand: Demand::from(&spec), volumes: affinity.into_iter().collect() }
    }

    #[test]
    fn who_asks_for_the_old_pool_or_its_machine_is_told() {
        let inventory = inventory();
        let directory = Directory::read(&inventory, std::iter::empty());
        let wanted = Wanted { name: "blue", ..Wanted::default() };
        let pool = directory.find(&inventory, &wanted).unwrap().pool;
        let node = inventory.node("n1").unwrap();
        let selects = |key: &str, value: &str| json!({ "containers": [], "nodeSelector": { key: value } });
        let term = |key: &str, value: &str| json!([{ "matchExpressions": [{ "key": key, "operator": "In", "values": [value] }] }]);
        let by_name = json!({ "containers": [], "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{ "matchFields": [{ "key": "metadata.name", "operator": "In", "values": ["n1"] }] }] } } } });
        let free = json!({ "containers": [] });
        let residents = [
            (node, resident("free", selects("disk", "ssd"), Some(term(ZONE, "z1")))),
            (node, resident("pool", selects("agentpool", "blue"), None)),
            (node, resident("pool-2", selects("agentpool", "blue"), None)),
            (node, resident("new", selects("agentpool", "green"), None)),
            (node, resident("name", by_name, None)),
            (node, resident("local", free, Some(term("kubernetes.io/hostname", "n1")))),
        ];
        let found = findings(&residents, &pool, "green");
        let told: Vec<_> = found.iter().map(|finding| finding.message.as_str()).collect();
        assert_eq!(
            told,
            [
                "pod shop/pool, like 1 more, asks for the label agentpool=blue: it can never run on green",
                "pod shop/name has a required node affinity that holds on no node of the copy: it can never run on green",
                "pod shop/local has a volume (claim data) that is tied to its node: it can never run on green",
            ]
        );
    }
}
