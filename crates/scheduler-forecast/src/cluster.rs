//! The cluster as the scheduler sees it.

use std::collections::{BTreeMap, BTreeSet};

use cluster_model::api::core as v1;
use cluster_model::identity::NodeName;
use cluster_model::selector::Labels;

use crate::node::Node;
use crate::resident::Resident;
use crate::storage::Storage;

/// Nodes, their pods, storage and namespaces. The order in which objects are added does not matter.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cluster {
    nodes: Vec<Node>,
    /// Where each of them is.
    places: BTreeMap<NodeName, usize>,
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
        if let Some(known) = self.node_mut(&node.name) {
            *known = node;
        } else {
            self.places.insert(node.name.clone(), self.nodes.len());
            self.nodes.push(node);
        }
    }

    /// Takes out the nodes that were added last, with all that is on them.
    pub(crate) fn forget_last(&mut self, count: usize) {
        for node in self.nodes.drain(self.nodes.len().saturating_sub(count)..) {
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
        match self.node_mut(node) {
            Some(node) => node.add(resident),
            None => self.strays.entry(node.clone()).or_default().push(resident),
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

    /// All nodes with their positions, by name.
    pub(crate) fn positions(&self) -> impl Iterator<Item = (usize, &Node)> {
        self.places.values().filter_map(|place| Some((*place, self.nodes.get(*place)?)))
    }

    /// The node at a position.
    pub(crate) fn at(&self, place: usize) -> Option<&Node> {
        self.nodes.get(place)
    }

    /// The node at a position, to change what is on it.
    pub(crate) fn at_mut(&mut self, place: usize) -> Option<&mut Node> {
        self.nodes.get_mut(place)
    }

    /// One node.
    pub fn node(&self, name: &NodeName) -> Option<&Node> {
        self.nodes.get(*self.places.get(name)?)
    }

    /// One node, to change what is on it.
    pub fn node_mut(&mut self, name: &NodeName) -> Option<&mut Node> {
        self.nodes.get_mut(*self.places.get(name)?)
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
