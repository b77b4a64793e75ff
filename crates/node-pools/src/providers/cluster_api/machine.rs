//! The machines of a pool, and the nodes that they became.

use cluster_model::identity::NodeName;
use serde_json::Value;

use super::object::Set;
use super::{CLUSTER_NAME, DEPLOYMENT_NAME, MACHINE, POOL, POOL_NAME, text};
use crate::address::Address;
use crate::finding::Refusal;
use crate::inventory::Inventory;
use crate::pool::Member;
use crate::raw::{annotation, is_leaving, label};
use crate::shrinking::Living;

/// Returns the Machine objects that carry a pool's name.
pub(super) fn machines<'a>(
    inventory: &'a Inventory,
    set: &Set<'a>,
) -> impl Iterator<Item = (&'a Address, &'a Value)> + use<'a> {
    let key = if set.is_pool() { POOL_NAME } else { DEPLOYMENT_NAME };
    let Address { namespace, name, .. } = set.address;
    inventory
        .of(MACHINE)
        .filter(move |(address, machine)| address.namespace == *namespace && label(machine, key) == Some(name))
}

/// Returns the members. A MachinePool may have nodes and no Machines.
pub(super) fn members(inventory: &Inventory, set: &Set<'_>) -> Vec<Member> {
    let mut members: Vec<_> = machines(inventory, set)
        .map(|(address, machine)| Member {
            machine: address.name.clone(),
            node: node_of(inventory, machine),
            phase: phase(machine),
            is_leaving: is_leaving(machine),
            goes_first: annotation(machine, DELETE_FIRST).is_some(),
        })
        .collect();
    if set.is_pool() {
        for name in nodes_by_pool(set.object) {
            if !members.iter().any(|member| member.node.as_ref().is_some_and(|node| node.0 == name)) {
                members.push(Member {
                    machine: name.to_owned(),
                    node: Some(NodeName::from(name)),
                    phase: None,
                    is_leaving: is_leaving(set.object),
                    goes_first: false,
                });
            }
        }
    }
    members.sort_by(|one, other| one.machine.cmp(&other.machine));
    members
}

/// Returns the nodes that a MachinePool says it has.
fn nodes_by_pool(object: &Value) -> impl Iterator<Item = &str> {
    let nodes = object.pointer("/status/nodeRefs").and_then(Value::as_array).into_iter().flatten();
    nodes.filter_map(|node| text(node, "/name"))
}

/// Returns the node that a machine became: by the machine's word, or, until its controller has linked the two, by the
/// provider's name for both.
fn node_of(inventory: &Inventory, machine: &Value) -> Option<NodeName> {
    if let Some(name) = text(machine, "/status/nodeRef/name") {
        return Some(NodeName::from(name));
    }
    let id = text(machine, "/spec/providerID").filter(|id| !id.is_empty())?;
    inventory.nodes().find(|node| node.provider_id.as_deref() == Some(id)).map(|node| node.name.clone())
}

/// Refuses a pool of whose Cluster not one node is here, though machines say that they have become nodes.
pub(super) fn check_place(inventory: &Inventory, set: &Set<'_>) -> Result<(), Refusal> {
    let cluster = set.cluster_name();
    let is_of_cluster = |(address, object): &(&Address, &Value)| {
        address.namespace == set.address.namespace
            && (label(object, CLUSTER_NAME) == Some(cluster) || text(object, "/spec/clusterName") == Some(cluster))
            && !is_leaving(object)
    };
    let machines = inventory.of(MACHINE).filter(is_of_cluster);
    let by_machines = machines.filter_map(|(_, machine)| text(machine, "/status/nodeRef/name"));
    let by_pools = inventory.of(POOL).filter(is_of_cluster).flat_map(|(_, pool)| nodes_by_pool(pool));
    let names: Vec<_> = by_machines.chain(by_pools).collect();
    if names.is_empty() || names.iter().any(|name| inventory.node(name).is_some()) {
        return Ok(());
    }
    Err(Refusal::Elsewhere {
        pool: set.address.to_string(),
        cluster: format!("Cluster {cluster}"),
        nodes: names.into_iter().take(3).map(str::to_owned).collect(),
    })
}

/// Returns what a machine is doing, and why it cannot go on if it says so.
fn phase(machine: &Value) -> Option<String> {
    let phase = text(machine, "/status/phase")?;
    let conditions = machine.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
    let stuck = conditions
        .filter(|condition| matches!(text(condition, "/type"), Some("InfrastructureReady" | "BootstrapConfigReady")))
        .filter(|condition| text(condition, "/status") == Some("False"))
        .find_map(|condition| text(condition, "/message").filter(|message| !message.is_empty()));
    Some(stuck.map_or_else(|| phase.to_owned(), |message| format!("{phase}: {message}")))
}

/// What makes a machine the first that goes when its pool shrinks, whatever its value.
pub(super) const DELETE_FIRST: &str = "cluster.x-k8s.io/delete-machine";

/// Returns the machines that nobody is removing.
pub(super) fn living<'a>(inventory: &'a Inventory, set: &Set<'a>) -> Vec<Living<'a>> {
    let living = machines(inventory, set).filter(|(_, machine)| !is_leaving(machine));
    let living = living.map(|(address, machine)| Living {
        address,
        node: node_of(inventory, machine),
        mark: annotation(machine, DELETE_FIRST),
    });
    living.collect()
}
