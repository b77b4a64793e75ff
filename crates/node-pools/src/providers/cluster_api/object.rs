//! A MachineDeployment or MachinePool, read without a schema, and what may be wrong with it.

use serde_json::Value;

use super::{CLUSTER, CLUSTER_NAME, DEPLOYMENT, DEPLOYMENT_NAME, POOL, TOPOLOGY_DEPLOYMENT, TOPOLOGY_OWNED};
use super::{TOPOLOGY_POOL, text};
use crate::address::{Address, Reference};
use crate::inventory::Inventory;
use crate::pool::Trouble;
use crate::raw::number;

/// The pointers of the objects that a pool's machines are made from.
pub(super) const INFRASTRUCTURE: &str = "/spec/template/spec/infrastructureRef";
pub(super) const BOOTSTRAP: &str = "/spec/template/spec/bootstrap/configRef";

/// A pool's object.
#[derive(Clone, Copy, Debug)]
pub(super) struct Set<'a> {
    pub(super) address: &'a Address,
    pub(super) object: &'a Value,
}

impl<'a> Set<'a> {
    pub(super) fn new(address: &'a Address, object: &'a Value) -> Self {
        Self { address, object }
    }

    pub(super) fn uid(&self) -> &'a str {
        text(self.object, "/metadata/uid").unwrap_or_default()
    }

    pub(super) fn is_pool(&self) -> bool {
        self.address.resource.kind == POOL.kind
    }

    pub(super) fn replicas(&self) -> Option<u32> {
        number(self.object, "/spec/replicas")
    }

    pub(super) fn annotation(&self, key: &str) -> Option<&'a str> {
        self.object.pointer("/metadata/annotations")?.get(key)?.as_str()
    }

    pub(super) fn label(&self, key: &str) -> Option<&'a str> {
        self.object.pointer("/metadata/labels")?.get(key)?.as_str()
    }

    pub(super) fn cluster_name(&self) -> &'a str {
        text(self.object, "/spec/clusterName").unwrap_or_default()
    }

    /// Returns the cluster that it belongs to.
    pub(super) fn cluster(&self, inventory: &'a Inventory) -> Option<(&'a Address, &'a Value)> {
        inventory
            .of(CLUSTER)
            .find(|(address, _)| address.namespace == self.address.namespace && address.name == self.cluster_name())
    }

    /// Whether a cluster's topology makes it, and undoes what others do to it.
    pub(super) fn is_of_topology(&self) -> bool {
        self.label(TOPOLOGY_OWNED).is_some()
    }

    /// Returns the name of its entry in the topology.
    pub(super) fn topology_name(&self) -> Option<&'a str> {
        let key = if self.is_pool() { TOPOLOGY_POOL } else { TOPOLOGY_DEPLOYMENT };
        self.label(key).filter(|_| self.is_of_topology())
    }

    /// Returns the objects that its machines are made from.
    pub(super) fn references(&self) -> impl Iterator<Item = Reference> {
        let namespace = self.address.namespace.as_deref();
        [BOOTSTRAP, INFRASTRUCTURE]
            .into_iter()
            .filter_map(move |pointer| reference(self.object.pointer(pointer)?, namespace))
    }

    /// Returns by which name its selector looks for machines, where that is not its own: the controllers stamp its own
    /// name on every machine, so that it never sees one and makes another.
    pub(super) fn runaway(&self) -> Option<&'a str> {
        let selected = self.object.pointer("/spec/selector/matchLabels")?.get(DEPLOYMENT_NAME)?.as_str()?;
        (selected != self.address.name).then_some(selected)
    }
}

/// Reads a reference: `apiGroup` in v1beta2, `apiVersion` in v1beta1.
pub(super) fn reference(value: &Value, namespace: Option<&str>) -> Option<Reference> {
    let field = |name: &str| value.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let group = match field("apiGroup") {
        Some(group) => group,
        None => field("apiVersion")?.split_once('/')?.0,
    };
    Some(Reference {
        group: group.to_owned(),
        kind: field("kind")?.to_owned(),
        namespace: field("namespace").or(namespace).map(str::to_owned),
        name: field("name")?.to_owned(),
    })
}

/// Whether anything inside a document refers to an object. A reference without a namespace means the document's own.
pub(super) fn refers_to(document: &Value, namespace: Option<&str>, wanted: &Reference) -> bool {
    match document {
        Value::Object(map) => {
            reference(document, namespace).as_ref() == Some(wanted)
                || map
                    .iter()
                    .filter(|(key, _)| *key != "metadata")
                    .any(|(_, value)| refers_to(value, namespace, wanted))
        }
        Value::Array(list) => list.iter().any(|value| refers_to(value, namespace, wanted)),
        _ => false,
    }
}

/// Says what is wrong with a pool, worst first.
pub(super) fn troubles(set: &Set<'_>, inventory: &Inventory) -> Vec<Trouble> {
    let mut troubles = Vec::new();
    let name = &set.address.name;
    if let Some(selected) = set.runaway() {
        troubles.push(Trouble::grave(format!(
            "it runs away: it looks for machines labelled {DEPLOYMENT_NAME}={selected}, and its own are labelled \
             {DEPLOYMENT_NAME}={name}, so it never sees one and makes more and more; --freeze stops it, and --retire removes it \
             once it is empty"
        )));
    }
    if let Some(other) = sharing(set, inventory) {
        troubles.push(Trouble::grave(format!(
            "it shares the objects it refers to with {other}: deleting one would destroy both"
        )));
    }
    if let Some(other) = same_entry(set, inventory) {
        troubles.push(Trouble::grave(format!(
            "{other} has the same name in the cluster's topology, which stops the whole cluster"
        )));
    }
    if text(set.object, "/metadata/deletionTimestamp").is_some() {
        troubles.push(Trouble::grave("it is being deleted"));
    }
    let paused = |object: &Value| {
        let annotation = object.pointer("/metadata/annotations").and_then(|all| all.get("cluster.x-k8s.io/paused"));
        annotation.is_some() || object.pointer("/spec/paused").and_then(Value::as_bool) == Some(true)
    };
    if paused(set.object) {
        troubles.push(Trouble::grave("it is paused"));
    }
    if set.cluster(inventory).is_some_and(|(_, cluster)| paused(cluster)) {
        troubles.push(Trouble::grave("its Cluster is paused"));
    }
    let wanted = set.replicas().unwrap_or_default();
    let ready = number(set.object, "/status/availableReplicas")
        .or_else(|| number(set.object, "/status/readyReplicas"))
        .unwrap_or_default();
    if ready < wanted {
        troubles.push(Trouble::of_size(format!("{ready} of its {wanted} nodes are available")));
    }
    let current =
        number(set.object, "/status/upToDateReplicas").or_else(|| number(set.object, "/status/updatedReplicas"));
    if !set.is_pool() && current.is_some_and(|current| current < wanted) {
        let current = current.unwrap_or_default();
        troubles.push(Trouble::of_size(format!("it is rolling out: {current} of its {wanted} machines are new")));
    }
    troubles
}

/// Finds another MachinePool with the same concrete objects.
fn sharing(set: &Set<'_>, inventory: &Inventory) -> Option<String> {
    let own: Vec<_> = set.references().collect();
    let others = inventory.of(POOL).filter(|(address, _)| set.is_pool() && *address != set.address);
    others
        .map(|(address, object)| Set::new(address, object))
        .find(|other| other.references().any(|reference| own.contains(&reference)))
        .map(|other| other.address.to_string())
}

/// Finds another object that claims the same entry of the cluster's topology.
fn same_entry(set: &Set<'_>, inventory: &Inventory) -> Option<String> {
    let entry = set.topology_name()?;
    let kind = if set.is_pool() { POOL } else { DEPLOYMENT };
    inventory
        .of(kind)
        .map(|(address, object)| Set::new(address, object))
        .find(|other| {
            other.address != set.address
                && other.address.namespace == set.address.namespace
                && other.topology_name() == Some(entry)
                && other.label(CLUSTER_NAME) == set.label(CLUSTER_NAME)
        })
        .map(|other| other.address.to_string())
}
