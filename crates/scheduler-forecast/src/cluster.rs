//! The cluster as the scheduler sees it.

use std::collections::{BTreeMap, BTreeSet};

use cluster_model::api::core as v1;
use cluster_model::identity::NodeName;
use cluster_model::selector::Labels;

use crate::keepers::Keepers;
use crate::node::Node;
use crate::resident::Resident;
use crate::storage::Storage;

/// Nodes, their pods, storage and namespaces. The order in which objects are added does not matter.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cluster {
    nodes: Vec<Node>,
    /// Where each of them is.
    places: BTreeMap<NodeName, usize>,
    keepers: Keepers,
    /// Pods of nodes that have not been added.
    strays: BTreeMap<NodeName, Vec<Resident>>,
    /// Claims, volumes and drivers.
    pub storage: Storage,
    namespaces: BTreeMap<String, Labels>,
    /// Extended resources that device drivers bring, as DeviceClasses say: what of them is free is not known.
    pub claimed_devices: BTreeSet<String>,
}

impl Cluster {
    /// Adds a node.
    pub fn add_node(&mut self, node: &v1::Node) {
        let mut node = Node::from(node);
        self.strays.remove(&node.name).into_iter().flatten().for_each(|resident| node.add(resident));
        self.insert(node);
    }

    /// Adds a node that is known already.
    pub(crate) fn insert(&mut self, node: Node) {
        let place = self.place_of(&node.name).unwrap_or(self.nodes.len());
        node.residents().for_each(|resident| self.keepers.add(place, resident));
        if let Some(known) = self.nodes.get_mut(place) {
            known.residents().for_each(|resident| self.keepers.remove(place, resident));
            *known = node;
        } else {
            self.places.insert(node.name.clone(), place);
            self.nodes.push(node);
        }
    }

    /// Takes out the nodes that were added last, with all that is on them.
    pub(crate) fn forget_last(&mut self, count: usize) {
        for _ in 0..count {
            let Some(node) = self.nodes.pop() else { return };
            node.residents().for_each(|resident| self.keepers.remove(self.nodes.len(), resident));
            self.places.remove(&node.name);
        }
    }

    /// Adds a pod, unless it has ended or is on no node.
    pub fn add_pod(&mut self, pod: &v1::Pod) {
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).filter(|name| !name.is_empty());
        let Some(node) = node.map(NodeName).filter(|_| !matches!(phase, Some("Succeeded" | "Failed"))) else { return };
        self.place(&node, Resident::from(pod));
    }

    /// Puts a pod on a node.
    pub fn place(&mut self, node: &NodeName, resident: Resident) {
        match self.place_of(node) {
            Some(place) => self.put(place, resident),
            None => self.strays.entry(node.clone()).or_default().push(resident),
        }
    }

    /// Puts a pod on the node at a position.
    pub(crate) fn put(&mut self, place: usize, resident: Resident) {
        if let Some(node) = self.nodes.get_mut(place) {
            self.keepers.add(place, &resident);
            node.add(resident);
        }
    }

    /// Takes the pods off the node at a position that are meant, and returns them.
    pub(crate) fn remove(&mut self, place: usize, is_meant: impl Fn(&Resident) -> bool) -> Vec<Resident> {
        let gone = self.nodes.get_mut(place).map(|node| node.remove(is_meant)).unwrap_or_default();
        for resident in &gone {
            self.keepers.remove(place, resident);
        }
        gone
    }

    /// The nodes on which pods may keep away from those of a namespace.
    pub(crate) fn keeping_away_from(&self, namespace: &str) -> impl Iterator<Item = &Node> {
        self.keepers.places(namespace).filter_map(|place| self.nodes.get(place))
    }

    /// Makes a node take no new pods.
    pub fn cordon(&mut self, name: &NodeName) {
        if let Some(node) = self.place_of(name).and_then(|place| self.nodes.get_mut(place)) {
            node.is_cordoned = true;
        }
    }

    /// Adds a namespace.
    pub fn add_namespace(&mut self, namespace: &v1::Namespace) {
        let name = namespace.metadata.name.clone().unwrap_or_default();
        self.namespaces.insert(name, namespace.metadata.labels.clone().unwrap_or_default());
    }

    /// All nodes, by name.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.places.values().filter_map(|place| self.nodes.get(*place))
    }

    /// All nodes, in no order.
    pub(crate) fn unordered(&self) -> &[Node] {
        &self.nodes
    }

    /// All nodes with their positions, by name.
    pub(crate) fn positions(&self) -> impl Iterator<Item = (usize, &Node)> {
        self.places.values().filter_map(|place| Some((*place, self.nodes.get(*place)?)))
    }

    /// The node at a position.
    pub(crate) fn at(&self, place: usize) -> Option<&Node> {
        self.nodes.get(place)
    }

    /// The position of a node.
    pub(crate) fn place_of(&self, name: &NodeName) -> Option<usize> {
        self.places.get(name).copied()
    }

    /// One node.
    pub fn node(&self, name: &NodeName) -> Option<&Node> {
        self.nodes.get(self.place_of(name)?)
    }

    /// The labels of a namespace, if it is known.
    pub fn namespace(&self, name: &str) -> Option<&Labels> {
        self.namespaces.get(name)
    }

    /// All namespaces with their labels.
    pub fn namespaces(&self) -> impl Iterator<Item = (&str, &Labels)> {
        self.namespaces.iter().map(|(name, labels)| (name.as_str(), labels))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read<T: serde::de::DeserializeOwned>(object: Value) -> T {
        serde_json::from_value(object).unwrap()
    }

    /// A pod on a node that keeps away from what `term` means.
    fn keeper(node: &str, mut term: Value) -> v1::Pod {
        term["topologyKey"] = json!("zone");
        term["labelSelector"] = json!({"matchLabels": {"app": "web"}});
        let affinity = json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}});
        read(json!({
            "metadata": {"name": node, "namespace": "own", "uid": node},
            "spec": {"nodeName": node, "affinity": affinity, "containers": []},
        }))
    }

    #[test]
    fn who_keeps_away_from_a_namespace_is_known_while_it_is_there() {
        let mut cluster = Cluster::default();
        let told = |cluster: &Cluster, namespace: &str| {
            cluster.keeping_away_from(namespace).map(|node| node.name.0.clone()).collect::<Vec<_>>()
        };
        let node = |name: &str| read::<v1::Node>(json!({"metadata": {"name": name}}));
        // One comes before its node.
        cluster.add_pod(&keeper("a", json!({})));
        for name in ["a", "b", "c"] {
            cluster.add_node(&node(name));
        }
        cluster.add_pod(&keeper("b", json!({"namespaces": ["shop"]})));
        cluster.add_pod(&keeper("c", json!({"namespaceSelector": {}})));
        assert_eq!(told(&cluster, "own"), ["a", "c"]);
        assert_eq!(told(&cluster, "shop"), ["b", "c"]);
        assert_eq!(told(&cluster, "other"), ["c"]);
        let place = cluster.place_of(&NodeName::from("b")).unwrap();
        let gone = cluster.remove(place, |_| true);
        assert_eq!(told(&cluster, "shop"), ["c"]);
        for resident in gone {
            cluster.put(place, resident);
        }
        assert_eq!(told(&cluster, "shop"), ["b", "c"]);
        // A node that is added again is as empty as it comes.
        cluster.add_node(&node("b"));
        cluster.forget_last(1);
        assert_eq!((told(&cluster, "own"), told(&cluster, "shop")), (vec!["a".to_owned()], vec![]));
    }
}
