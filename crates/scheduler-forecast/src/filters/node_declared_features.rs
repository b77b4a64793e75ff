//! What a pod needs of its kubelet (`nodedeclaredfeatures/`).

use super::Prepared;
use crate::candidate::Candidate;
use crate::cluster::Cluster;
use crate::node::Node;
use crate::rejection::Reason;

pub(super) fn prepare<'a>(pod: &'a Candidate, _: &'a Cluster) -> Prepared<'a> {
    if pod.features.is_empty() {
        return Prepared::Skip;
    }
    Prepared::judge(move |node: &Node| {
        let missing = pod.features.iter().find(|name| !node.features.contains(**name));
        missing.map(|name| Reason::NoFeature(name))
    })
}
