//! Disks that are mounted once at a time, and claims for one pod alone (`volumerestrictions/volume_restrictions.go`).

use super::Prepared;
use crate::candidate::Candidate;
use crate::cluster::Cluster;
use crate::node::Node;
use crate::rejection::Reason;
use crate::storage::Storage;
use crate::volume::{Disk, PodVolume};

pub(super) fn prepare<'a>(pod: &'a Candidate, cluster: &'a Cluster) -> Prepared<'a> {
    let namespace = &pod.resident.namespace;
    let mut exclusive = Vec::new();
    for volume in &pod.resident.volumes {
        let PodVolume::Claim(name) = volume else { continue };
        match cluster.storage.claim(namespace, name) {
            None => return Prepared::Rejected(Reason::NoClaim(name.clone())),
            Some(claim) if Storage::is_exclusive(claim) => exclusive.push(name.as_str()),
            Some(_) => {}
        }
    }
    let in_use = exclusive.into_iter().find(|name| is_used(namespace, name, cluster));
    let disks: Vec<&Disk> = disks(&pod.resident.volumes).collect();
    if disks.is_empty() && in_use.is_none() {
        return Prepared::Skip;
    }
    Prepared::judge(move |node: &Node| {
        let mut mounted = node.residents().flat_map(|resident| self::disks(&resident.volumes));
        if mounted.any(|other| disks.iter().any(|disk| disk.is_in_the_way_of(other))) {
            return Some(Reason::DiskInUse);
        }
        in_use.map(|claim| Reason::ClaimInUse(claim.to_owned()))
    })
}

fn disks(volumes: &[PodVolume]) -> impl Iterator<Item = &Disk> {
    volumes.iter().filter_map(|volume| match volume {
        PodVolume::Disk { exclusive, .. } => exclusive.as_ref(),
        _ => None,
    })
}

/// Whether a pod on any node mounts the claim. One for which it was made is not looked at.
fn is_used(namespace: &str, claim: &str, cluster: &Cluster) -> bool {
    let mut residents = cluster.nodes().flat_map(|node| node.residents_in(namespace));
    let mounts = |volume: &PodVolume| matches!(volume, PodVolume::Claim(name) if name == claim);
    residents.any(|resident| resident.volumes.iter().any(mounts))
}
