//! Pods that have to be spread (`podtopologyspread/filtering.go`). A cluster's default constraints never keep a pod off.

use std::collections::BTreeMap;

use cluster_model::selector::{Labels, Selector};

use super::{Judge, Prepared};
use crate::candidate::{Candidate, SpreadConstraint};
use crate::cluster::Cluster;
use crate::node::Node;
use crate::outlook::{Move, Question};
use crate::rejection::Reason;

pub(super) fn prepare<'a>(pod: &'a Candidate, cluster: &'a Cluster) -> Prepared<'a> {
    if pod.spread.is_empty() {
        return Prepared::Skip;
    }
    let mut domains: Vec<Domains<'a>> = pod.spread.iter().map(Domains::new).collect();
    // Only nodes that are in a domain of every constraint count for any.
    let is_counted = |node: &&Node| pod.spread.iter().all(|constraint| node.label(&constraint.topology_key).is_some());
    for node in cluster.unordered().iter().filter(is_counted) {
        for domains in &mut domains {
            domains.count(pod, node);
        }
    }
    Prepared::judge(Spread { labels: &pod.resident.labels, domains })
}

/// Whether a pod is kept off this node even if all others of the run go where they help it most: in a cluster that those
/// have left, some domain stays so empty that this one is too full beside it.
pub(crate) fn never_even(pod: &Candidate, node: &Node, cluster: &Cluster, question: &Question<'_>) -> bool {
    let has_all = |node: &&Node| pod.spread.iter().all(|constraint| node.label(&constraint.topology_key).is_some());
    pod.spread.iter().any(|constraint| {
        let mut domains = Domains::new(constraint);
        for node in cluster.nodes().filter(has_all) {
            domains.count(pod, node);
        }
        let is_counted = |one: &&Move| {
            let resident = &one.candidate.resident;
            resident.namespace == pod.resident.namespace && constraint.selector.matches(&resident.labels)
        };
        let coming = i64::try_from(question.moves.iter().filter(is_counted).count()).unwrap_or(i64::MAX);
        let is_reached = |value: &str| {
            let mut nodes = cluster.nodes().filter(|node| node.label(&constraint.topology_key) == Some(value));
            nodes.any(|node| !question.leaving.contains(&node.name) && !node.is_cordoned)
        };
        for (value, pods) in &mut domains.pods {
            if is_reached(value) {
                *pods += coming;
            }
        }
        let Some(value) = node.label(&constraint.topology_key) else { return true };
        // What may come is counted for the others, and not for the place itself.
        let own = if is_reached(value) { coming } else { 0 };
        let there = domains.pods.get(value).map_or(0, |pods| pods - own);
        let itself = i64::from(constraint.selector.matches(&pod.resident.labels));
        there + itself - domains.fewest() > i64::from(constraint.max_skew)
    })
}

/// The domains of one constraint, each with its pods.
struct Domains<'a> {
    constraint: &'a SpreadConstraint,
    pods: BTreeMap<&'a str, i64>,
}

struct Spread<'a> {
    labels: &'a Labels,
    domains: Vec<Domains<'a>>,
}

impl<'a> Domains<'a> {
    fn new(constraint: &'a SpreadConstraint) -> Self {
        Self { constraint, pods: BTreeMap::new() }
    }

    fn count(&mut self, pod: &Candidate, node: &'a Node) {
        let constraint = self.constraint;
        let is_left_out = (constraint.honors_affinity && pod.demand.mismatch(&node.offer).is_some())
            || (constraint.honors_taints && pod.demand.untolerated(&node.offer).next().is_some());
        let Some(value) = node.label(&constraint.topology_key).filter(|_| !is_left_out) else { return };
        // An empty selector counts nothing, although it selects the pod itself.
        let selects_all = constraint.selector == Selector::All(Vec::new());
        let is_alike = |resident: &&crate::resident::Resident| {
            !resident.is_terminating && constraint.selector.matches(&resident.labels)
        };
        let found =
            if selects_all { 0 } else { node.residents_in(&pod.resident.namespace).iter().filter(is_alike).count() };
        *self.pods.entry(value).or_default() += i64::try_from(found).unwrap_or(i64::MAX);
    }

    /// The fewest pods of a domain; none where there are fewer domains than there should be.
    fn fewest(&self) -> i64 {
        let is_too_few = i64::try_from(self.pods.len()).unwrap_or(i64::MAX) < i64::from(self.constraint.min_domains);
        if is_too_few { 0 } else { self.pods.values().copied().min().unwrap_or(0) }
    }
}

impl Judge for Spread<'_> {
    fn judge(&self, node: &Node) -> Option<Reason> {
        self.domains.iter().find_map(|domains| {
            let key = &domains.constraint.topology_key;
            let Some(value) = node.label(key) else { return Some(Reason::NoDomain(key.clone())) };
            let itself = i64::from(domains.constraint.selector.matches(self.labels));
            let there = domains.pods.get(value).copied().unwrap_or(0);
            let skew = there + itself - domains.fewest();
            (skew > i64::from(domains.constraint.max_skew)).then(|| Reason::Skew(key.clone()))
        })
    }
}
