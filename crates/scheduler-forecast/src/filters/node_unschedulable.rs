//! A cordoned node takes only pods that tolerate that (`nodeunschedulable/node_unschedulable.go`).

use cluster_model::demand::{Taint, UNSCHEDULABLE};

use super::Prepared;
use crate::candidate::Candidate;
use crate::cluster::Cluster;
use crate::node::Node;
use crate::rejection::Reason;

pub(super) fn prepare<'a>(pod: &'a Candidate, _: &'a Cluster) -> Prepared<'a> {
    let cordon = Taint { key: UNSCHEDULABLE.to_owned(), effect: "NoSchedule".to_owned(), ..Taint::default() };
    if pod.demand.tolerates(&cordon) {
        return Prepared::Skip;
    }
    Prepared::judge(|node: &Node| node.is_cordoned.then_some(Reason::Cordoned))
}
