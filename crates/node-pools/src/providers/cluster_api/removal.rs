//! The end of a pool: its object, its machines, and what nobody else refers to.

use cluster_model::identity::NodeName;
use serde_json::{Map, Value};

use super::machine;
use super::object::{Set, refers_to};
use super::plain::merge_annotations;
use super::topology::{self, Entry};
use super::{HEALTH_CHECK, SET, set_of, text};
use crate::address::{Address, Reference};
use crate::copy_plan::GIVE_BACK;
use crate::finding::Refusal;
use crate::inventory::Inventory;
use crate::mark::{COPY, CopyMark, Leftover};
use crate::pool::Pool;
use crate::step::{Cascade, Step};

pub(super) fn remove(inventory: &Inventory, set: &Set<'_>, copy: Option<&Pool>) -> Result<Vec<Step>, Refusal> {
    let nodes: Vec<NodeName> = machine::members(inventory, set).into_iter().filter_map(|member| member.node).collect();
    let machines: Vec<_> = machine::machines(inventory, set).collect();
    let addresses = || machines.iter().map(|(address, _)| (*address).clone());
    if let Some(fault) = shared_with(inventory, set) {
        return Err(Refusal::Shared { pool: set.address.to_string(), fault });
    }
    let gone = || Step::AwaitGone {
        objects: std::iter::once(set.address.clone()).chain(addresses()).collect(),
        nodes: nodes.clone(),
    };
    let copy = copy.and_then(|copy| set_of(inventory, copy));
    let mut steps = Vec::new();
    if set.is_of_topology() {
        // Its controllers remove its machines, its object and its templates.
        // Without an entry, a run before this one took it out and died: its controllers are still at it.
        steps.extend(Entry::find(inventory, set)?.map(|entry| entry.removal()));
        steps.push(gone());
        steps.extend(topology::without_mark(inventory, set));
        if let Some(copy) = copy {
            steps.extend(finish(inventory, &copy)?);
        }
        return Ok(steps);
    }
    // A MachinePool's controller deletes what the pool refers to; a MachineDeployment's templates stay behind.
    let unused = if set.is_pool() { Vec::new() } else { unused_templates(inventory, set) };
    if let Some(copy) = &copy
        && !unused.is_empty()
    {
        steps.extend(remember(copy, set.uid(), &unused));
    }
    if set.runaway().is_some() {
        if set.replicas() != Some(0) {
            // Machines that it makes between this look and its end would be nobody's.
            return Err(Refusal::Trouble {
                pool: set.address.to_string(),
                trouble: "it runs away: it makes machines faster than they can be looked at".to_owned(),
                remedies: vec!["stop it first, with --freeze".to_owned()],
            });
        }
        // Its machines hang for ever once it is gone: they look for the owner that is gone.
        steps.extend(machines.iter().map(|(address, object)| deletion(address, object)));
        steps.push(Step::AwaitGone { objects: addresses().collect(), nodes: nodes.clone() });
    }
    steps.extend(health_checks(inventory, set));
    steps.extend([deletion(set.address, set.object), gone()]);
    steps.extend(unused.iter().map(|(address, object)| deletion(address, object)));
    if let Some(copy) = copy {
        steps.extend(promote(inventory, &copy, set.uid()));
    }
    Ok(steps)
}

/// What is left to do once the source is gone.
pub(super) fn finish(inventory: &Inventory, copy: &Set<'_>) -> Result<Vec<Step>, Refusal> {
    if copy.is_of_topology() {
        let entry = Entry::of(inventory, copy)?;
        let mark = topology::without_mark(inventory, copy);
        return Ok(entry.with_autoscaling().into_iter().chain(mark).collect());
    }
    let Some(mark) = CopyMark::of(copy.object) else { return Ok(Vec::new()) };
    let leftovers = mark.leftovers.iter().filter_map(|leftover| {
        let (address, object) = inventory.objects().find(|(address, object)| {
            address.resource.group == leftover.group
                && address.resource.kind == leftover.kind
                && address.name == leftover.name
                && address.namespace == copy.address.namespace
                && text(object, "/metadata/uid") == Some(&leftover.uid)
        })?;
        Some(deletion(address, object))
    });
    Ok(leftovers.chain(promote(inventory, copy, &mark.of.uid)).collect())
}

/// What carries the mark of a copy that is not there itself.
pub(super) fn sweep(inventory: &Inventory, source: &Pool) -> Vec<Step> {
    let is_ours = |object: &Value| CopyMark::of(object).is_some_and(|mark| mark.of.uid == source.uid);
    // What a pool's controllers make, they mark like the pool; it goes with the pool.
    let is_of_pool = |address: &Address| {
        [super::DEPLOYMENT.kind, super::POOL.kind, SET.kind, super::MACHINE.kind]
            .contains(&address.resource.kind.as_str())
    };
    let marked = inventory.objects().filter(|(address, object)| !is_of_pool(address) && is_ours(object));
    let mut steps: Vec<_> = marked.map(|(address, object)| deletion(address, object)).collect();
    let its_set = source.object.as_ref().and_then(|address| Some(Set::new(address, inventory.get(address)?)));
    steps.extend(its_set.and_then(|set| Entry::of(inventory, &set).ok()?.without_copies_of(&source.uid)));
    steps
}

/// Writes into the copy's mark what is to be deleted after the source.
fn remember(copy: &Set<'_>, source: &str, unused: &[(&Address, &Value)]) -> Option<Step> {
    let mut mark = CopyMark::of(copy.object).filter(|mark| mark.of.uid == source)?;
    mark.leftovers = unused
        .iter()
        .map(|(address, object)| Leftover {
            group: address.resource.group.clone(),
            kind: address.resource.kind.clone(),
            name: address.name.clone(),
            uid: text(object, "/metadata/uid").unwrap_or_default().to_owned(),
        })
        .collect();
    let annotations = Map::from_iter([(COPY.to_owned(), Value::from(mark.text()))]);
    Some(merge_annotations(copy.address, &annotations, "remember what is to be deleted after its source"))
}

fn deletion(address: &Address, object: &Value) -> Step {
    Step::deletion(address, object, Cascade::Background)
}

/// A MachinePool's controller deletes by reference and asks nobody whose the object is.
fn shared_with(inventory: &Inventory, set: &Set<'_>) -> Option<String> {
    set.references().filter(|_| set.is_pool()).find_map(|wanted| {
        let other = referrer(inventory, &wanted, set)?;
        Some(format!("that would destroy {wanted}, which {other} refers to as well"))
    })
}

/// Finds somebody else who refers to an object.
fn referrer(inventory: &Inventory, wanted: &Reference, set: &Set<'_>) -> Option<String> {
    let is_own = |object: &Value| {
        let owners = object.pointer("/metadata/ownerReferences").and_then(Value::as_array).into_iter().flatten();
        owners.into_iter().any(|owner| text(owner, "/uid") == Some(set.uid()))
    };
    inventory
        .objects()
        .filter(|(address, object)| *address != set.address && !(address.resource.kind == SET.kind && is_own(object)))
        // A machine of the pool refers to its own objects, never to templates.
        .filter(|(address, _)| address.resource.kind != super::MACHINE.kind)
        .find(|(address, object)| refers_to(object, address.namespace.as_deref(), wanted))
        .map(|(address, _)| address.to_string())
}

/// The templates that nobody else refers to.
fn unused_templates<'a>(inventory: &'a Inventory, set: &Set<'a>) -> Vec<(&'a Address, &'a Value)> {
    let unused = set.references().filter(|wanted| referrer(inventory, wanted, set).is_none());
    unused.filter_map(|wanted| inventory.find(&wanted)).filter(|(_, object)| !is_owned_by_class(object)).collect()
}

fn is_owned_by_class(object: &Value) -> bool {
    let owners = object.pointer("/metadata/ownerReferences").and_then(Value::as_array).into_iter().flatten();
    owners.into_iter().any(|owner| text(owner, "/kind") == Some(super::CLASS.kind))
}

/// The health checks that look for the machines of this pool only.
fn health_checks<'a>(inventory: &'a Inventory, set: &'a Set<'a>) -> impl Iterator<Item = Step> + use<'a> {
    let pointer = format!("/spec/selector/matchLabels/{}", crate::difference::escaped(super::DEPLOYMENT_NAME));
    inventory
        .of(HEALTH_CHECK)
        .filter(move |(address, check)| {
            address.namespace == set.address.namespace
                && !set.is_pool()
                && text(check, &pointer) == Some(&set.address.name)
        })
        .map(|(address, check)| deletion(address, check))
}

/// Makes the copy a pool like any other: it gets its source's autoscaling, and nothing tells of the source any more.
fn promote(inventory: &Inventory, copy: &Set<'_>, source: &str) -> Vec<Step> {
    if copy.is_of_topology() {
        return Vec::new();
    }
    let is_ours = |object: &Value| CopyMark::of(object).is_some_and(|mark| mark.of.uid == source);
    let unmark = |address: &Address, more: Map<String, Value>| {
        let mut annotations = more;
        annotations.insert(COPY.to_owned(), Value::Null);
        merge_annotations(address, &annotations, GIVE_BACK)
    };
    let beside: Vec<_> = inventory
        .objects()
        // The controllers give a MachineSet the annotations of its MachineDeployment, and take them from it again.
        .filter(|(address, _)| *address != copy.address && address.resource.kind != SET.kind)
        .filter(|(_, object)| is_ours(object))
        .map(|(address, _)| unmark(address, Map::new()))
        .collect();
    let mark = CopyMark::of(copy.object).filter(|mark| mark.of.uid == source);
    // Last: as long as the copy is marked, the same command finds it again.
    let last = mark.map(|mark| unmark(copy.address, mark.autoscaling));
    beside.into_iter().chain(last).collect()
}
