//! Two pods cannot open one port of a node (`nodeports/node_ports.go`).

use super::Prepared;
use crate::candidate::Candidate;
use crate::cluster::Cluster;
use crate::node::Node;
use crate::rejection::Reason;
use crate::resident::HostPort;

pub(super) fn prepare<'a>(pod: &'a Candidate, _: &'a Cluster) -> Prepared<'a> {
    let ports = &pod.resident.ports;
    if ports.is_empty() {
        return Prepared::Skip;
    }
    Prepared::judge(move |node: &Node| {
        let taken: Vec<&HostPort> = node.residents().flat_map(|resident| &resident.ports).collect();
        let clash = ports.iter().find(|port| taken.iter().any(|other| port.is_in_the_way_of(other)));
        clash.map(|port| Reason::Port(port.clone()))
    })
}
