//! A volume has to be reached from the node, or there has to be one, or one that can be made (`volumebinding/`).

use std::collections::BTreeSet;

use cluster_model::api::core as v1;
use cluster_model::demand::is_reached;

use super::Prepared;
use crate::candidate::Candidate;
use crate::cluster::Cluster;
use crate::in_tree::InTreeDisk;
use crate::node::Node;
use crate::rejection::Reason;
use crate::storage::{Claim, Storage, Volume};
use crate::volume::PodVolume;

/// The provisioner of classes for which nothing is made.
const NO_PROVISIONER: &str = "kubernetes.io/no-provisioner";

pub(super) fn prepare<'a>(pod: &'a Candidate, cluster: &'a Cluster) -> Prepared<'a> {
    let storage = &cluster.storage;
    let mut claims = Vec::new();
    for volume in &pod.resident.volumes {
        let Some(name) = volume.claim() else { continue };
        let is_ephemeral = matches!(volume, PodVolume::Ephemeral(_));
        let problem = match storage.claim(&pod.resident.namespace, name) {
            None => Reason::NoClaim(name.to_owned()),
            Some(claim) if claim.is_lost => Reason::LostClaim(name.to_owned()),
            Some(claim) if claim.is_deleting => Reason::DeletedClaim(name.to_owned()),
            Some(claim) if is_ephemeral && claim.controller.as_ref() != Some(&pod.resident.uid) => {
                Reason::ForeignClaim(name.to_owned())
            }
            Some(claim) => {
                claims.push(claim);
                continue;
            }
        };
        return Prepared::Rejected(problem);
    }
    if claims.is_empty() {
        return Prepared::Skip;
    }
    let (bound, unbound): (Vec<&Claim>, Vec<&Claim>) =
        claims.into_iter().partition(|claim| claim.volume.is_some() && claim.is_bound);
    let may_wait = |claim: &&&Claim| {
        let class = storage.classes.get(&claim.class);
        claim.volume.is_none() && class.is_some_and(|class| class.waits_for_consumer)
    };
    if let Some(claim) = unbound.iter().find(|claim| !may_wait(claim)) {
        return Prepared::Rejected(Reason::UnboundClaim(claim.key.name.clone()));
    }
    let may_fail = bound.iter().any(|claim| {
        let volume = claim.volume.as_ref().and_then(|name| storage.volumes.get(name));
        volume.and_then(|volume| volume.in_tree.as_ref()).is_some_and(|(disk, _)| disk.csi.is_none())
    });
    let judge = move |node: &Node| {
        let reached = bound.iter().find_map(|claim| unreached(claim, storage, node));
        reached.or_else(|| unmade(&unbound, storage, node))
    };
    if may_fail { Prepared::judge_that_may_fail(judge) } else { Prepared::judge(judge) }
}

/// What is wrong with a bound claim on this node.
fn unreached(claim: &Claim, storage: &Storage, node: &Node) -> Option<Reason> {
    let name = || claim.key.name.clone();
    let Some(volume) = claim.volume.as_ref().and_then(|name| storage.volumes.get(name)) else {
        return Some(Reason::NoVolume(name()));
    };
    // Only where the node's drivers say that they do the plugin's work.
    let is_taken_over = |disk: &InTreeDisk| {
        storage.nodes.get(&node.name).is_some_and(|drivers| drivers.taken_over.contains(disk.plugin.name))
    };
    let affinity = match &volume.in_tree {
        Some((disk, _)) if is_taken_over(disk) && disk.csi.is_none() => {
            return Some(Reason::NotTakenOver(disk.plugin.driver.to_owned()));
        }
        Some((disk, reach)) if is_taken_over(disk) => reach.as_ref(),
        _ => volume.affinity.as_ref(),
    };
    affinity.is_some_and(|one| !is_reached(one, &node.offer.labels)).then(|| Reason::VolumeUnreached(name()))
}

/// The claim for which there is no volume on this node and none can be made.
fn unmade(claims: &[&Claim], storage: &Storage, node: &Node) -> Option<Reason> {
    if let Some(claim) = claims.iter().find(|claim| claim.selected_node.as_ref().is_some_and(|name| *name != node.name))
    {
        return Some(Reason::NoVolumeFor(claim.key.name.clone()));
    }
    let (mut to_make, mut to_find): (Vec<&Claim>, Vec<&Claim>) =
        claims.iter().partition(|claim| claim.selected_node.is_some());
    // The smallest first, so that it gets the smallest volume.
    to_find.sort_by_key(|claim| claim.size.unwrap_or(0));
    let mut chosen: BTreeSet<&str> = BTreeSet::new();
    for claim in to_find {
        match matching(claim, storage, node, &chosen) {
            Some(volume) => {
                chosen.insert(&volume.name);
            }
            None => to_make.push(claim),
        }
    }
    to_make.into_iter().find_map(|claim| unprovisioned(claim, storage, node))
}

/// The volume that a claim would get: its own, or the smallest that does (`FindMatchingVolume` of component-helpers).
fn matching<'a>(claim: &Claim, storage: &'a Storage, node: &Node, chosen: &BTreeSet<&str>) -> Option<&'a Volume> {
    let is_alike = |volume: &&Volume| {
        !chosen.contains(volume.name.as_str())
            && (volume.claim.is_none() || volume.belongs_to(claim))
            && volume.size >= claim.size.unwrap_or(0)
            && volume.mode == claim.mode
            && volume.attributes == claim.attributes
            && !volume.is_deleting
    };
    let reaches = |volume: &Volume| volume.affinity.as_ref().is_none_or(|one| is_reached(one, &node.offer.labels));
    let alike: Vec<_> = storage.volumes_of(&claim.class).filter(is_alike).collect();
    if let Some(own) = alike.iter().find(|volume| volume.belongs_to(claim)) {
        return reaches(own).then_some(*own);
    }
    let is_free = |volume: &&Volume| {
        volume.is_available
            && claim.selector.as_ref().is_none_or(|selector| selector.matches(&volume.labels))
            && reaches(volume)
            && claim.access_modes.iter().all(|mode| volume.access_modes.contains(mode))
    };
    alike.into_iter().filter(is_free).min_by_key(|volume| volume.size)
}

/// Why no volume can be made for a claim on this node.
fn unprovisioned(claim: &Claim, storage: &Storage, node: &Node) -> Option<Reason> {
    let name = || claim.key.name.clone();
    let Some(class) = storage.classes.get(&claim.class) else { return Some(Reason::NoClass(name())) };
    if class.provisioner.is_empty() || class.provisioner == NO_PROVISIONER || !is_in_topology(&class.topologies, node) {
        return Some(Reason::NoVolumeFor(name()));
    }
    let size = claim.size?;
    if !storage.drivers.get(&class.provisioner)?.has_capacity {
        return None;
    }
    let mut capacities = storage.capacities.iter().filter(|capacity| capacity.class == claim.class);
    let is_enough = capacities.any(|capacity| {
        capacity.limit.is_some_and(|limit| limit >= size) && capacity.nodes.matches(&node.offer.labels)
    });
    (!is_enough).then(|| Reason::NoStorage(name()))
}

/// Whether volumes of a class can be made for this node. No term at all allows every one, an empty term none.
fn is_in_topology(terms: &[v1::TopologySelectorTerm], node: &Node) -> bool {
    let holds = |term: &v1::TopologySelectorTerm| {
        let mut all = term.match_label_expressions.iter().flatten().peekable();
        let is_any = all.peek().is_some();
        is_any && all.all(|one| node.label(&one.key).is_some_and(|value| one.values.iter().any(|other| other == value)))
    };
    terms.is_empty() || terms.iter().any(holds)
}
