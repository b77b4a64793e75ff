//! A taint keeps pods off that do not tolerate it (`tainttoleration/taint_toleration.go`).

use cluster_model::demand::{Taint, tolerates};

use super::Prepared;
use crate::candidate::Candidate;
use crate::cluster::Cluster;
use crate::node::Node;
use crate::rejection::Reason;

/// The first taint of a node that keeps the pod off.
pub(super) fn untolerated<'a>(pod: &Candidate, node: &'a Node) -> Option<&'a Taint> {
    let repels = |taint: &&Taint| matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute");
    let is_tolerated = |taint: &Taint| pod.demand.tolerations.iter().any(|toleration| tolerates(toleration, taint));
    node.offer.taints.iter().filter(repels).find(|taint| !is_tolerated(taint))
}

pub(super) fn prepare<'a>(pod: &'a Candidate, _: &'a Cluster) -> Prepared<'a> {
    Prepared::judge(move |node: &Node| untolerated(pod, node).map(|taint| Reason::Taint(taint.key.clone())))
}
