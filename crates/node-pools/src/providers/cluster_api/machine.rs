//! The machines of a pool, and the nodes that they became.

use cluster_model::identity::NodeName;
use serde_json::{Value, json};

use super::object::Set;
use super::{DEPLOYMENT_NAME, MACHINE, POOL_NAME, text};
use crate::address::Address;
use crate::finding::Refusal;
use crate::inventory::Inventory;
use crate::pool::Member;
use crate::raw::label;
use crate::step::Step;

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
            node: text(machine, "/status/nodeRef/name").map(NodeName::from),
            phase: phase(machine),
        })
        .collect();
    if set.is_pool() {
        let nodes = set.object.pointer("/status/nodeRefs").and_then(Value::as_array).into_iter().flatten();
        for name in nodes.filter_map(|node| text(node, "/name")) {
            if !members.iter().any(|member| member.node.as_ref().is_some_and(|node| node.0 == name)) {
                members.push(Member { machine: name.to_owned(), node: Some(NodeName::from(name)), phase: None });
            }
        }
    }
    members.sort_by(|one, other| one.machine.cmp(&other.machine));
    members
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

/// Plans to mark the machines of these nodes as the first that a smaller size lets go.
pub(super) fn mark_for_deletion(
    inventory: &Inventory,
    set: &Set<'_>,
    leaving: &[NodeName],
) -> Result<Vec<Step>, Refusal> {
    let machine_of = |node: &NodeName| {
        machines(inventory, set).find(|(_, machine)| text(machine, "/status/nodeRef/name") == Some(&node.0))
    };
    let mark = |node: &NodeName| {
        let (address, _) = machine_of(node).ok_or_else(|| {
            Refusal::Unsupported(format!(
                "{} has no Machine for node {node}, so nobody can say which of its nodes goes when it shrinks",
                set.address
            ))
        })?;
        Ok(Step::Merge {
            target: address.clone(),
            patch: json!({ "metadata": { "annotations": { "cluster.x-k8s.io/delete-machine": "" } } }),
            what: "it goes first".to_owned(),
        })
    };
    leaving.iter().map(mark).collect()
}
