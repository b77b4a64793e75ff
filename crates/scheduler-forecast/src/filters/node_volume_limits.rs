//! Drivers bring only so many volumes to a node (`nodevolumelimits/csi.go`). Volumes of plugins that drivers have taken over
//! are not counted: see [`crate::judge`].

use std::collections::{BTreeMap, BTreeSet};

use super::Prepared;
use crate::candidate::Candidate;
use crate::cluster::Cluster;
use crate::node::Node;
use crate::rejection::Reason;
use crate::resident::Resident;
use crate::storage::{Claim, Storage};
use crate::volume::PodVolume;

/// Provisioners whose work drivers have taken over; their classes are counted only where a node says so.
const IN_TREE: [&str; 5] = [
    "kubernetes.io/aws-ebs",
    "kubernetes.io/azure-disk",
    "kubernetes.io/cinder",
    "kubernetes.io/gce-pd",
    "kubernetes.io/portworx-volume",
];

/// A driver, and what tells its volumes apart.
type Attachable = (String, String);

pub(super) fn prepare<'a>(pod: &'a Candidate, cluster: &'a Cluster) -> Prepared<'a> {
    let storage = &cluster.storage;
    if !pod.resident.volumes.iter().any(|volume| volume.claim().is_some()) {
        return Prepared::Skip;
    }
    // Upstream asks anew on each node, with the same answer.
    let wanted = match attachable(&pod.resident, storage, true) {
        Ok(wanted) => wanted,
        Err(reason) => return Prepared::judge(move |_: &Node| Some(reason.clone())),
    };
    if wanted.is_empty() {
        return Prepared::Skip;
    }
    Prepared::judge(move |node: &Node| {
        let drivers = storage.nodes.get(&node.name);
        let is_missing = |name: &&String| {
            storage.drivers.get(*name).is_some_and(|driver| driver.is_needed_on_node)
                && !drivers.is_some_and(|node| node.limits.contains_key(*name))
        };
        if let Some(name) = wanted.iter().map(|(driver, _)| driver).find(is_missing) {
            return Some(Reason::NoDriver(name.clone()));
        }
        let limits = &drivers?.limits;
        if limits.values().all(Option::is_none) {
            return None;
        }
        let mut there = BTreeSet::new();
        for resident in node.residents() {
            match attachable(resident, storage, false) {
                Ok(volumes) => there.extend(volumes),
                Err(reason) => return Some(reason),
            }
        }
        let new = wanted.difference(&there);
        let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
        new.for_each(|(driver, _)| *counts.entry(driver).or_default() += 1);
        let left_over: BTreeSet<_> = left_over(node, storage).collect();
        let count = |all: &BTreeSet<Attachable>, driver: &str| all.iter().filter(|(name, _)| name == driver).count();
        let is_full = |(driver, new): &(&str, i64)| {
            let beside = left_over.difference(&there).filter(|(name, _)| name == driver).count();
            let held = i64::try_from(count(&there, driver) + beside).unwrap_or(i64::MAX);
            limits.get(*driver).copied().flatten().is_some_and(|limit| held.saturating_add(*new) > limit)
        };
        counts.into_iter().find(is_full).map(|(driver, _)| Reason::VolumeLimit(driver.to_owned()))
    })
}

/// The volumes of a pod that a driver has to bring. A claim that is not there keeps a new pod off, and is passed over with
/// one that runs.
fn attachable(pod: &Resident, storage: &Storage, is_new: bool) -> Result<BTreeSet<Attachable>, Reason> {
    let mut all = BTreeSet::new();
    for volume in &pod.volumes {
        let Some(name) = volume.claim() else { continue };
        let Some(claim) = storage.claim(&pod.namespace, name) else {
            if is_new {
                return Err(Reason::NoClaim(name.to_owned()));
            }
            continue;
        };
        if matches!(volume, PodVolume::Ephemeral(_)) && claim.controller.as_ref() != Some(&pod.uid) {
            return Err(Reason::ForeignClaim(name.to_owned()));
        }
        all.extend(of_claim(claim, storage));
    }
    Ok(all)
}

fn of_claim(claim: &Claim, storage: &Storage) -> Option<Attachable> {
    if let Some(volume) = claim.volume.as_ref().and_then(|name| storage.volumes.get(name)) {
        return volume.csi.clone();
    }
    // It is counted as one more of the driver that will make it.
    let class = storage.classes.get(&claim.class)?;
    let is_counted = !IN_TREE.contains(&class.provisioner.as_str());
    is_counted.then(|| (class.provisioner.clone(), format!("new/{}/{}", claim.key.namespace, claim.key.name)))
}

/// Volumes that are attached, whether a pod mounts them or not.
fn left_over<'a>(node: &Node, storage: &'a Storage) -> impl Iterator<Item = Attachable> + use<'a> {
    storage.attached.get(&node.name).into_iter().flatten().filter(|one| !one.attacher.is_empty()).filter_map(|one| {
        let (_, handle) = storage.volumes.get(one.volume.as_ref()?)?.csi.clone()?;
        Some((one.attacher.clone(), handle))
    })
}
