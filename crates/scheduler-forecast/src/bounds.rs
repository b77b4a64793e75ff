//! What can be proven about pods that seek places, without trying.

use std::collections::{BTreeMap, BTreeSet};

use cluster_model::resources::Resources;
use cluster_model::selector::Selector;

use crate::affinity::AffinityTerm;
use crate::candidate::Candidate;
use crate::cluster::Cluster;
use crate::filters;
use crate::judge::Judgement;
use crate::node::{HOSTNAME, Node};
use crate::outlook::{Alone, Move, Question, free};
use crate::rejection::Reason;
use crate::trial;

/// What was proven.
#[derive(Debug, Default)]
pub(crate) struct Proven {
    /// These find no place, whatever becomes of the others.
    pub(crate) hopeless: BTreeSet<usize>,
    /// These find one, whatever becomes of the others.
    pub(crate) safe: BTreeSet<usize>,
    /// Not all of them find one, although each may.
    pub(crate) exceeds: bool,
}

/// Proves what can be proven.
pub(crate) fn proven(alone: &[Alone], cluster: &Cluster, question: &Question<'_>) -> Proven {
    let hopeless: BTreeSet<_> =
        (0..alone.len()).filter(|index| alone.get(*index).is_some_and(|one| one.is_hopeless)).collect();
    let mut groups: BTreeMap<&[usize], Vec<&Resources>> = BTreeMap::new();
    for (index, (one, is)) in alone.iter().zip(question.moves).enumerate() {
        if !hopeless.contains(&index) {
            groups.entry(&one.possible).or_default().push(&is.candidate.resident.requests);
        }
    }
    // All together have what all nodes have, and those that are bound to the same nodes have only those.
    let all: Vec<usize> = possible(alone).into_iter().collect();
    let everybody: Vec<&Resources> = groups.values().flatten().copied().collect();
    let exceeds = !may_drive_out(cluster, question)
        && (exceed(&everybody, &all, cluster) || groups.iter().any(|(nodes, wants)| exceed(wants, nodes, cluster)));
    let mut brought = Resources::default();
    for one in question.moves {
        brought.add(&one.candidate.resident.requests);
    }
    let safe = (0..alone.len()).filter(|index| is_safe(*index, &brought, alone, cluster, question)).collect();
    Proven { hopeless, safe, exceeds }
}

/// Whether the scheduler might make room by driving pods of lower priority out.
fn may_drive_out(cluster: &Cluster, question: &Question<'_>) -> bool {
    let residents = cluster.nodes().filter(|node| question.counts(&node.name)).flat_map(Node::residents);
    let Some(lowest) = residents.map(|resident| resident.priority).min() else { return false };
    let mut pods = question.moves.iter().map(|one| &one.candidate);
    pods.any(|pod| pod.may_preempt && pod.resident.priority > lowest)
}

/// Whether pods want more than the nodes have: in sum, or by how often the least that each of them wants goes into what each
/// node has left.
fn exceed(wants: &[&Resources], nodes: &[usize], cluster: &Cluster) -> bool {
    let Some(least) = wants.iter().map(|wants| (*wants).clone()).reduce(|one, other| one.least(&other)) else {
        return false;
    };
    let mut sum = Resources::default();
    for wants in wants {
        sum.add(wants);
    }
    let (mut left, mut places) = (Resources::default(), 0_i64);
    for node in nodes.iter().filter_map(|place| cluster.at(*place)) {
        let own = free(node);
        let times = |(name, amount): (&str, i64)| own.of(name).checked_div(amount);
        places = places.saturating_add(least.iter().filter_map(times).min().unwrap_or(i64::MAX));
        left.add(&own);
    }
    let devices = |name: &str| cluster.claimed_devices.contains(name);
    let is_short = left.lacking(&sum).iter().any(|name| !devices(name));
    is_short || places < i64::try_from(wants.len()).unwrap_or(i64::MAX)
}

/// Whether the others could not keep this one from every node that takes it, even if they wanted to: to shut a node they
/// need at least what is left there beside this pod, of some resource, and of each they bring only so much. That is a proof
/// where nothing but room can be in its way: it wants nothing of other pods, and none of those that come keeps away from it.
/// What the others want only narrows where they can go.
fn is_safe(index: usize, all: &Resources, alone: &[Alone], cluster: &Cluster, question: &Question<'_>) -> bool {
    let (Some(one), Some(own)) = (alone.get(index), question.moves.get(index)) else { return false };
    if is_out_of_reach(one, own, question) {
        return true;
    }
    let mut brought = all.clone();
    brought.remove(&own.candidate.resident.requests);
    let pod = &own.candidate;
    let clings = !pod.spread.is_empty() || !pod.affinity.is_empty() || !pod.resident.anti_affinity.is_empty();
    let wants_more = clings || !pod.resident.ports.is_empty() || !pod.resident.volumes.is_empty();
    let keeps_away =
        |other: &Move| other.candidate.resident.anti_affinity.iter().any(|term| may_mean(term, own, cluster));
    if one.nodes.is_empty() || wants_more || question.moves.iter().any(keeps_away) {
        return false;
    }
    let wanted = &own.candidate.resident.requests;
    let kinds = wanted.iter().filter(|(name, amount)| *amount > 0 && brought.of(name) > 0).count();
    // In thousandths of all that the others bring of a resource.
    let mut needed: i64 = 0;
    for node in one.nodes.iter().filter_map(|place| cluster.at(*place)) {
        let left = free(node);
        let share = |(name, amount): (&str, i64)| {
            let brought = brought.of(name);
            (amount > 0 && brought > 0).then(|| (left.of(name) - amount + 1).saturating_mul(1000) / brought)
        };
        needed = needed.saturating_add(wanted.iter().filter_map(share).min().unwrap_or(i64::MAX));
    }
    needed > i64::try_from(kinds).unwrap_or(i64::MAX).saturating_mul(1000)
}

/// Whether there are more nodes for a pod than others that move. Each of them comes to one node, and where pods keep away
/// from each other only on a node of their own, it spoils no other: one is left as it was.
fn is_out_of_reach(one: &Alone, own: &Move, question: &Question<'_>) -> bool {
    let is_of_node = |pod: &Candidate| pod.resident.anti_affinity.iter().all(|term| term.topology_key == HOSTNAME);
    let pod = &own.candidate;
    let is_loose = pod.spread.is_empty() && pod.affinity.is_empty() && pod.resident.volumes.is_empty();
    one.nodes.len() >= question.moves.len()
        && is_loose
        && question.moves.iter().all(|other| is_of_node(&other.candidate))
}

/// The nodes on which any of them might be.
fn possible(alone: &[Alone]) -> BTreeSet<usize> {
    alone.iter().flat_map(|one| &one.possible).copied().collect()
}

/// Whether a term is about a pod, or may be: a namespace that is chosen by its labels is not looked up.
fn may_mean(term: &AffinityTerm, one: &Move, cluster: &Cluster) -> bool {
    let resident = &one.candidate.resident;
    let by_labels = matches!(&term.namespace_selector, Selector::All(all) if !all.is_empty());
    by_labels || term.means(&resident.namespace, cluster.namespace(&resident.namespace), &resident.labels)
}

/// Whether nodes stay shut that are shut by what other pods do: judged in a world in which all that are to leave have left,
/// and none has come.
pub(crate) fn stays_shut(nodes: &[usize], one: &Move, cluster: &mut Cluster, question: &Question<'_>) -> bool {
    if nodes.is_empty() {
        return true;
    }
    let gone: Vec<_> = question.moves.iter().map(|other| trial::take(cluster, other)).collect();
    let answer = {
        let cluster = &*cluster;
        let judgement = Judgement::prepare(&one.candidate, cluster);
        nodes.iter().filter_map(|place| cluster.at(*place)).all(|node| match judgement.rejection(node) {
            None => false,
            Some(rejection) => match &rejection.reason {
                // Whom it has to be near to may be one of those that come.
                Reason::NotNear(_) => !question.moves.iter().any(|other| is_wanted_near(one, other, cluster)),
                Reason::Skew(_) => filters::never_even(&one.candidate, node, cluster, question),
                _ => true,
            },
        })
    };
    for (other, old) in question.moves.iter().zip(gone) {
        trial::put_back(cluster, other, old);
    }
    answer
}

/// Whether the one wants to be near the other, or may: a namespace that is chosen by its labels is not looked up.
fn is_wanted_near(one: &Move, other: &Move, cluster: &Cluster) -> bool {
    let resident = &other.candidate.resident;
    let labels = cluster.namespace(&resident.namespace);
    one.candidate.affinity.iter().all(|term| term.means(&resident.namespace, labels, &resident.labels))
}
