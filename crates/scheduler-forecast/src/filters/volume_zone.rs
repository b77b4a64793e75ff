//! A volume that is labelled with a zone is used from that zone (`volumezone/volume_zone.go`).

use std::collections::BTreeSet;

use super::Prepared;
use crate::candidate::Candidate;
use crate::cluster::Cluster;
use crate::node::Node;
use crate::rejection::Reason;
use crate::storage::Volume;
use crate::volume::PodVolume;

/// Labels of zones and regions, each with the name that it has by now.
const LABELS: [(&str, &str); 4] = [
    ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    ("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"),
    ("topology.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    ("topology.kubernetes.io/region", "topology.kubernetes.io/region"),
];

/// Where a claim's volume is.
struct Place<'a> {
    claim: &'a str,
    key: &'static str,
    key_by_now: &'static str,
    values: BTreeSet<&'a str>,
}

pub(super) fn prepare<'a>(pod: &'a Candidate, cluster: &'a Cluster) -> Prepared<'a> {
    let storage = &cluster.storage;
    let mut places = Vec::new();
    for volume in &pod.resident.volumes {
        let PodVolume::Claim(name) = volume else { continue };
        let Some(claim) = storage.claim(&pod.resident.namespace, name) else {
            return Prepared::Rejected(Reason::NoClaim(name.clone()));
        };
        let Some(volume) = &claim.volume else {
            match storage.classes.get(&claim.class) {
                Some(class) if class.waits_for_consumer => continue,
                Some(_) => return Prepared::Rejected(Reason::UnboundClaim(name.clone())),
                None => return Prepared::Rejected(Reason::NoClass(name.clone())),
            }
        };
        match storage.volumes.get(volume) {
            Some(volume) => places.extend(places_of(name, volume)),
            None => return Prepared::Rejected(Reason::NoVolume(name.clone())),
        }
    }
    if places.is_empty() {
        return Prepared::Skip;
    }
    Prepared::judge(move |node: &Node| {
        // A node that says nothing of zones is in a cluster that has none.
        if !LABELS.iter().any(|(key, _)| node.label(key).is_some()) {
            return None;
        }
        let is_elsewhere = |place: &&Place<'_>| {
            let own = node.label(place.key).or_else(|| node.label(place.key_by_now));
            !own.is_some_and(|own| place.values.contains(own))
        };
        places.iter().find(is_elsewhere).map(|place| Reason::OtherZone(place.claim.to_owned()))
    })
}

/// Reads `a__b` as both; what cannot be read says nothing.
fn places_of<'a>(claim: &'a str, volume: &'a Volume) -> impl Iterator<Item = Place<'a>> {
    LABELS.iter().filter_map(move |(key, key_by_now)| {
        let values: BTreeSet<_> = volume.labels.get(*key)?.split("__").map(str::trim).collect();
        (!values.contains("")).then_some(Place { claim, key, key_by_now, values })
    })
}
