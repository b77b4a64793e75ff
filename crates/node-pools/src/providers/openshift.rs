//! OpenShift and OKD (`machine.openshift.io`): MachineSets.
//!
//! A MachineSet tells its machines by a label that stands in its selector and in its template, with its own name as the
//! value. A copy that keeps the source's would have machines that are taken for the source's, by health checks, by people,
//! and by the copy's own controller, which adopts the source's machines once they have no owner.

mod copying;
mod growth;

use cluster_model::identity::NodeName;
use serde_json::{Value, json};

use crate::address::Address;
use crate::copy_plan::{CopyPlan, CopyRequest, GIVE_BACK};
use crate::difference::escaped;
use crate::finding::Refusal;
use crate::inventory::{Inventory, KindName};
use crate::mark::{self, CopyMark};
use crate::node::PoolNode;
use crate::pool::{Member, Pool, ProviderName, Supply, Trouble};
use crate::provider::{PoolProvider, PoolReader};
use crate::raw::{annotation, is_leaving, number, text, uid};
use crate::shrinking::{self, Living};
use crate::step::{Cascade, Step};

const GROUP: &str = "machine.openshift.io";
const SET: KindName = KindName { group: GROUP, kind: "MachineSet" };
const MACHINE: KindName = KindName { group: GROUP, kind: "Machine" };
const HEALTH_CHECK: KindName = KindName { group: GROUP, kind: "MachineHealthCheck" };
const AUTOSCALER: KindName = KindName { group: "autoscaling.openshift.io", kind: "MachineAutoscaler" };

/// The label by which machines say to which set they belong.
const SET_NAME: &str = "machine.openshift.io/cluster-api-machineset";
/// What makes a machine the first that goes when its set shrinks.
const DELETE_FIRST: &str = "machine.openshift.io/delete-machine";

/// The provider.
#[derive(Clone, Copy, Debug)]
pub struct OpenShift;

impl PoolReader for OpenShift {
    fn name(&self) -> ProviderName {
        ProviderName::OpenShift
    }

    fn kinds(&self) -> &'static [KindName] {
        &[SET, MACHINE, HEALTH_CHECK, AUTOSCALER]
    }

    fn pools(&self, inventory: &Inventory) -> Vec<Pool> {
        inventory.of(SET).map(|(address, object)| pool_of(inventory, address, object)).collect()
    }

    fn members(&self, inventory: &Inventory, pool: &Pool) -> Vec<Member> {
        let Some(address) = &pool.object else { return Vec::new() };
        let member = |(machine, object): (&Address, &Value)| Member {
            machine: machine.name.clone(),
            node: node_of(inventory, machine, object),
            phase: phase(object),
            is_leaving: is_leaving(object),
            goes_first: mark_of_deletion(object).is_some(),
        };
        machines(inventory, address, &pool.uid).map(member).collect()
    }
}

impl PoolProvider for OpenShift {
    fn kinds_beside(&self, _: &Inventory, _: &Pool) -> Vec<(String, String)> {
        Vec::new()
    }

    fn copy(&self, inventory: &Inventory, pool: &Pool, request: &CopyRequest) -> Result<CopyPlan, Refusal> {
        let (address, object) = existing(inventory, pool)?;
        copying::copy(inventory, pool, address, object, request)
    }

    fn freeze(&self, inventory: &Inventory, pool: &Pool) -> Result<Vec<Step>, Refusal> {
        let (address, object) = existing(inventory, pool)?;
        Ok(growth::freeze(inventory, address, object))
    }

    fn thaw(&self, inventory: &Inventory, pool: &Pool) -> Result<Vec<Step>, Refusal> {
        let (address, _) = existing(inventory, pool)?;
        Ok(growth::thaw(inventory, address))
    }

    fn resize(
        &self,
        inventory: &Inventory,
        pool: &Pool,
        size: u32,
        leaving: &[NodeName],
    ) -> Result<Vec<Step>, Refusal> {
        let (address, object) = existing(inventory, pool)?;
        let living = machines(inventory, address, &pool.uid).filter(|(_, machine)| !is_leaving(machine));
        let living = living.map(|(machine, object)| Living {
            address: machine,
            node: node_of(inventory, machine, object),
            mark: mark_of_deletion(object),
        });
        let scale = Step::scale(address, object, size);
        shrinking::steps(&pool.title(), DELETE_FIRST, &living.collect::<Vec<_>>(), leaving, scale)
    }

    fn remove(&self, inventory: &Inventory, pool: &Pool, copy: Option<&Pool>) -> Result<Vec<Step>, Refusal> {
        let (address, object) = existing(inventory, pool)?;
        let machines: Vec<_> = machines(inventory, address, &pool.uid).collect();
        let nodes = machines.iter().filter_map(|(machine, object)| node_of(inventory, machine, object)).collect();
        let objects = std::iter::once(address).chain(machines.iter().map(|(machine, _)| *machine)).cloned().collect();
        let mut steps = vec![Step::deletion(address, object, Cascade::Background), Step::AwaitGone { objects, nodes }];
        steps.extend(copy.map(|copy| self.finish(inventory, copy)).transpose()?.into_iter().flatten());
        Ok(steps)
    }

    fn finish(&self, inventory: &Inventory, copy: &Pool) -> Result<Vec<Step>, Refusal> {
        let (address, object) = existing(inventory, copy)?;
        let Some(mark) = CopyMark::of(object) else { return Ok(Vec::new()) };
        // The set is gone at once, its machines follow; a run may have been killed in between.
        let source = address.beside(&mark.of.name);
        let is_there = inventory.get(&source).is_some_and(|object| uid(object) == mark.of.uid);
        let left: Vec<_> = machines(inventory, &source, &mark.of.uid).collect();
        let nodes: Vec<_> = left.iter().filter_map(|(machine, object)| node_of(inventory, machine, object)).collect();
        let objects: Vec<_> = left.into_iter().map(|(machine, _)| machine.clone()).collect();
        let gone = (!is_there && !objects.is_empty()).then_some(Step::AwaitGone { objects, nodes });
        let unmark = Step::Merge {
            target: address.clone(),
            patch: json!({ "metadata": { "annotations": { mark::COPY: Value::Null } } }),
            what: GIVE_BACK.to_owned(),
        };
        Ok(gone.into_iter().chain([unmark]).collect())
    }

    fn sweep(&self, _: &Inventory, _: &Pool) -> Vec<Step> {
        // A copy is one object: it is there, or nothing is.
        Vec::new()
    }
}

fn existing<'a>(inventory: &'a Inventory, pool: &Pool) -> Result<(&'a Address, &'a Value), Refusal> {
    let found = inventory.of(SET).find(|(_, object)| uid(object) == pool.uid);
    found.ok_or_else(|| Refusal::Nothing(format!("{} does not exist any more", pool.title())))
}

/// Returns the machines of a set: those that it owns, whatever their labels say.
fn machines<'a>(
    inventory: &'a Inventory,
    set: &'a Address,
    set_uid: &'a str,
) -> impl Iterator<Item = (&'a Address, &'a Value)> {
    inventory.of(MACHINE).filter(move |(machine, object)| {
        let owners = object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
        let owner = owners.into_iter().flatten().find(|owner| text(owner, "/kind") == Some(SET.kind));
        machine.namespace == set.namespace && owner.and_then(|owner| text(owner, "/uid")) == Some(set_uid)
    })
}

/// Returns the node that a machine became: by the machine's word, or by the node's own.
fn node_of(inventory: &Inventory, machine: &Address, object: &Value) -> Option<NodeName> {
    if let Some(name) = text(object, "/status/nodeRef/name") {
        return Some(NodeName::from(name));
    }
    let name = format!("{}/{}", machine.namespace.as_deref().unwrap_or_default(), machine.name);
    let is_its = |node: &&PoolNode| node.annotations.get("machine.openshift.io/machine") == Some(&name);
    inventory.nodes().find(is_its).map(|node| node.name.clone())
}

/// Reads the mark of a machine that goes first; an empty one is none.
fn mark_of_deletion(machine: &Value) -> Option<&str> {
    annotation(machine, DELETE_FIRST).filter(|value| !value.is_empty())
}

/// The place in which a set's own name stands in its selector.
fn selected(object: &Value) -> Option<&str> {
    text(object, &format!("/spec/selector/matchLabels/{}", escaped(SET_NAME)))
}

fn pool_of(inventory: &Inventory, address: &Address, object: &Value) -> Pool {
    Pool {
        provider: ProviderName::OpenShift,
        description: "OpenShift MachineSet".to_owned(),
        name: address.name.clone(),
        alias: None,
        object: Some(address.clone()),
        uid: uid(object).to_owned(),
        label: None,
        supply: Supply::Sized,
        // The API's own default.
        size: number(object, "/spec/replicas").or(Some(1)),
        scaled_by: growth::scaled_by(inventory, address),
        is_accepted: true,
        troubles: troubles(address, object),
        copy_of: CopyMark::of(object),
        is_frozen: growth::is_frozen(inventory, address),
    }
}

fn troubles(address: &Address, object: &Value) -> Vec<Trouble> {
    let mut troubles = Vec::new();
    if is_leaving(object) {
        troubles.push(Trouble::grave("it is being deleted"));
    }
    if text(object, "/spec/authoritativeAPI") == Some("ClusterAPI") {
        troubles.push(Trouble::grave(
            "Cluster API is its authority: what is written here is overwritten; copy its twin in cluster.x-k8s.io",
        ));
    }
    if let Some(other) = selected(object).filter(|name| *name != address.name) {
        troubles.push(Trouble::grave(format!(
            "its selector and its machines carry the label {SET_NAME}={other}, another set's name: its machines are taken \
             for that set's"
        )));
    }
    if let Some(reason) = text(object, "/status/errorMessage").or_else(|| text(object, "/status/errorReason")) {
        troubles.push(Trouble::grave(format!("its controller says: {reason}")));
    }
    let wanted = number(object, "/spec/replicas").unwrap_or(1);
    let ready = number(object, "/status/availableReplicas").unwrap_or_default();
    if ready < wanted {
        troubles.push(Trouble::of_size(format!("{ready} of its {wanted} nodes are available")));
    }
    troubles
}

/// Says what a machine is doing, and why it cannot go on if it says so.
fn phase(machine: &Value) -> Option<String> {
    let phase = text(machine, "/status/phase")?;
    let why = text(machine, "/status/errorMessage").filter(|message| !message.is_empty());
    Some(why.map_or_else(|| phase.to_owned(), |why| format!("{phase}: {why}")))
}

/// The health checks that look for the machines of a set.
fn health_checks<'a>(inventory: &'a Inventory, set: &'a Address) -> impl Iterator<Item = &'a Address> {
    let pointer = format!("/spec/selector/matchLabels/{}", escaped(SET_NAME));
    inventory
        .of(HEALTH_CHECK)
        .filter(move |(address, check)| address.namespace == set.namespace && text(check, &pointer) == Some(&set.name))
        .map(|(address, _)| address)
}

#[cfg(test)]
mod tests;
