//! What has been read of a cluster: raw objects by address, and its nodes.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::address::{Address, Reference, Resource};
use crate::node::PoolNode;

/// A kind that a provider's objects have, whatever version serves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KindName {
    /// The API group.
    pub group: &'static str,
    /// The kind.
    pub kind: &'static str,
}

/// What has been read.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    resources: Vec<Resource>,
    objects: BTreeMap<Address, Value>,
    nodes: BTreeMap<String, PoolNode>,
}

impl Inventory {
    /// Says that a kind is served, and how.
    pub fn serve(&mut self, resource: Resource) {
        if !self.resources.contains(&resource) {
            self.resources.push(resource);
        }
    }

    /// Adds an object, or replaces what was read of it before.
    pub fn put(&mut self, resource: &Resource, object: Value) {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let Some(name) = text("/metadata/name") else { return };
        let address = resource.at(text("/metadata/namespace").as_deref(), &name);
        self.objects.insert(address, object);
    }

    /// Forgets an object.
    pub fn forget(&mut self, address: &Address) {
        self.objects.remove(address);
    }

    /// Forgets all objects of a resource.
    pub fn forget_all(&mut self, resource: &Resource) {
        self.objects.retain(|address, _| address.resource != *resource);
    }

    /// Adds a node, or replaces what was read of it before.
    pub fn put_node(&mut self, node: PoolNode) {
        self.nodes.insert(node.name.0.clone(), node);
    }

    /// Forgets a node.
    pub fn forget_node(&mut self, name: &str) {
        self.nodes.remove(name);
    }

    /// Forgets all nodes.
    pub fn forget_nodes(&mut self) {
        self.nodes.clear();
    }

    /// Returns how a kind is served; `None`: it is not.
    pub fn resource(&self, group: &str, kind: &str) -> Option<&Resource> {
        self.resources.iter().find(|resource| resource.group == group && resource.kind == kind)
    }

    /// Returns the objects of a kind.
    pub fn of(&self, kind: KindName) -> impl Iterator<Item = (&Address, &Value)> {
        self.objects
            .iter()
            .filter(move |(address, _)| address.resource.group == kind.group && address.resource.kind == kind.kind)
    }

    /// Returns one object.
    pub fn get(&self, address: &Address) -> Option<&Value> {
        self.objects.get(address)
    }

    /// Returns an object that another one names, and where it is.
    pub fn find(&self, reference: &Reference) -> Option<(&Address, &Value)> {
        self.objects.iter().find(|(address, _)| {
            address.resource.group == reference.group
                && address.resource.kind == reference.kind
                && address.namespace == reference.namespace
                && address.name == reference.name
        })
    }

    /// Returns all objects.
    pub fn objects(&self) -> impl Iterator<Item = (&Address, &Value)> {
        self.objects.iter()
    }

    /// Returns a node.
    pub fn node(&self, name: &str) -> Option<&PoolNode> {
        self.nodes.get(name)
    }

    /// Returns all nodes.
    pub fn nodes(&self) -> impl Iterator<Item = &PoolNode> {
        self.nodes.values()
    }
}
