//! A node has to have room (`noderesources/fit.go`). Pods that terminate take room until they are gone. Resources that the
//! scheduler's configuration ignores cannot be read.

use std::collections::BTreeSet;

use cluster_model::demand::Misfit;

use super::Prepared;
use crate::candidate::Candidate;
use crate::cluster::Cluster;
use crate::node::Node;
use crate::rejection::Reason;

pub(super) fn prepare<'a>(pod: &'a Candidate, cluster: &'a Cluster) -> Prepared<'a> {
    let wanted = &pod.resident.requests;
    let is_claimed = |name: &str| cluster.claimed_devices.contains(name);
    Prepared::judge(move |node: &Node| {
        let (offered, taken) = (&node.offer.allocatable, node.requested());
        let is_short = |(name, amount): &(&str, i64)| {
            // What a device driver brings instead is not this filter's.
            let is_drivers = offered.of(name) <= 0 && is_claimed(name);
            *amount > 0 && *amount > offered.of(name).saturating_sub(taken.of(name)) && !is_drivers
        };
        let lacking: BTreeSet<_> = wanted.iter().filter(is_short).map(|(name, _)| name.to_owned()).collect();
        Misfit::room(lacking).map(Reason::Misfit)
    })
}
