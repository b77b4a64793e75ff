//! A taint keeps pods off that do not tolerate it (`tainttoleration/taint_toleration.go`).

use cluster_model::demand::Misfit;

use super::Prepared;
use crate::candidate::Candidate;
use crate::cluster::Cluster;
use crate::node::Node;
use crate::rejection::Reason;

pub(super) fn prepare<'a>(pod: &'a Candidate, _: &'a Cluster) -> Prepared<'a> {
    Prepared::judge(move |node: &Node| {
        let taint = pod.demand.untolerated(&node.offer).next()?;
        Some(Reason::Misfit(Misfit::Taint(taint.key.clone())))
    })
}
