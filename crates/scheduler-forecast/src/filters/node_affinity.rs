//! Node selector and required node affinity (`nodeaffinity/node_affinity.go`). A profile's `addedAffinity` is in the
//! scheduler's own configuration, which nobody can read.

use std::collections::BTreeSet;

use cluster_model::api::core as v1;
use cluster_model::demand::Misfit;
use cluster_model::identity::NodeName;

use super::{Judge, Prepared};
use crate::candidate::Candidate;
use crate::cluster::Cluster;
use crate::node::Node;
use crate::rejection::Reason;

/// No node can hold.
const AFFINITY: Reason = Reason::Misfit(Misfit::Affinity);

pub(super) fn prepare<'a>(pod: &'a Candidate, _: &'a Cluster) -> Prepared<'a> {
    let terms = pod.demand.terms.as_deref();
    if terms.is_none() && pod.demand.selector.is_empty() {
        return Prepared::Skip;
    }
    let judge: Box<dyn Judge + 'a> = Box::new(move |node: &Node| pod.demand.mismatch(&node.offer).map(Reason::Misfit));
    match terms.and_then(named_nodes) {
        Some(names) if names.is_empty() => Prepared::Rejected(AFFINITY),
        Some(names) => Prepared::Only(names, AFFINITY, judge),
        None => Prepared::Judge(judge),
    }
}

/// The nodes that the terms name; `None`: one of them names none.
fn named_nodes(terms: &[v1::NodeSelectorTerm]) -> Option<BTreeSet<NodeName>> {
    if terms.is_empty() {
        return None;
    }
    let mut all = BTreeSet::new();
    for term in terms {
        let names =
            term.match_fields.iter().flatten().filter(|field| field.key == "metadata.name" && field.operator == "In");
        let sets = names.map(|field| field.values.iter().flatten().map(|name| NodeName(name.clone())).collect());
        all.extend(sets.reduce(|one: BTreeSet<NodeName>, other| one.intersection(&other).cloned().collect())?);
    }
    Some(all)
}
