//! Drivers bring only so many volumes to a node (`nodevolumelimits/csi.go`), those of plugins that they have taken over
//! included.

use std::collections::{BTreeMap, BTreeSet};

use super::Prepared;
use crate::candidate::Candidate;
use crate::cluster::Cluster;
use crate::in_tree::{Attachable, Provisioner};
use crate::node::Node;
use crate::rejection::Reason;
use crate::resident::Resident;
use crate::storage::{Claim, Storage};
use crate::volume::PodVolume;

pub(super) fn prepare<'a>(pod: &'a Candidate, cluster: &'a Cluster) -> Prepared<'a> {
    let storage = &cluster.storage;
    if pod.resident.volumes.is_empty() {
        return Prepared::Skip;
    }
    // The answer is the same for all nodes that have drivers, and for all that have none.
    let wanted_by = [false, true].map(|has_drivers| attachable(&pod.resident, storage, IsNew(true), has_drivers));
    if wanted_by.iter().all(|wanted| wanted.as_ref().is_ok_and(BTreeSet::is_empty)) {
        return Prepared::Skip;
    }
    let [without_drivers, with_drivers] = wanted_by;
    // So may those of pods that are there: a claim that was not made for its pod, a disk that its driver does not know.
    let may_fail_there = |volume: &PodVolume| match volume {
        PodVolume::Ephemeral(_) => true,
        PodVolume::Disk { in_tree, .. } => in_tree.as_ref().is_some_and(|disk| disk.csi.is_none()),
        PodVolume::Claim(_) => false,
    };
    let mut residents = cluster.nodes().flat_map(Node::residents);
    let may_fail = with_drivers.is_err() || residents.any(|resident| resident.volumes.iter().any(may_fail_there));
    let judge = move |node: &Node| {
        let drivers = storage.nodes.get(&node.name);
        let wanted = if drivers.is_some() { &with_drivers } else { &without_drivers };
        let wanted = match wanted {
            Ok(wanted) if wanted.is_empty() => return None,
            Ok(wanted) => wanted,
            Err(reason) => return Some(reason.clone()),
        };
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
            match attachable(resident, storage, IsNew(false), true) {
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
    };
    if may_fail { Prepared::judge_that_may_fail(judge) } else { Prepared::judge(judge) }
}

/// Whether a pod is to be placed, or runs.
#[derive(Clone, Copy)]
struct IsNew(bool);

/// The volumes of a pod that a driver has to bring. A claim that is not there keeps a new pod off, and is passed over with
/// one that runs. Disks of in-tree plugins are brought by drivers only to nodes that have any.
fn attachable(
    pod: &Resident,
    storage: &Storage,
    is_new: IsNew,
    has_drivers: bool,
) -> Result<BTreeSet<Attachable>, Reason> {
    let mut all = BTreeSet::new();
    for volume in &pod.volumes {
        if let PodVolume::Disk { in_tree: Some(disk), .. } = volume
            && has_drivers
        {
            let Some(csi) = &disk.csi else { return Err(Reason::NotTakenOver(disk.plugin.driver.to_owned())) };
            all.insert(csi.clone());
        }
        let Some(name) = volume.claim() else { continue };
        let Some(claim) = storage.claim(&pod.namespace, name) else {
            if is_new.0 {
                return Err(Reason::NoClaim(name.to_owned()));
            }
            continue;
        };
        if matches!(volume, PodVolume::Ephemeral(_)) && claim.controller.as_ref() != Some(&pod.uid) {
            return Err(Reason::ForeignClaim(name.to_owned()));
        }
        all.extend(of_claim(claim, storage, has_drivers).filter(|(driver, handle)| {
            // Nothing can be counted without both.
            !driver.is_empty() && !handle.is_empty()
        }));
    }
    Ok(all)
}

fn of_claim(claim: &Claim, storage: &Storage, has_drivers: bool) -> Option<Attachable> {
    if let Some(volume) = claim.volume.as_ref().and_then(|name| storage.volumes.get(name)) {
        let in_tree = || volume.in_tree.as_ref().filter(|_| has_drivers).and_then(|(disk, _)| disk.csi.clone());
        return volume.csi.clone().or_else(in_tree);
    }
    // It is counted as one more of the driver that will make it.
    let driver = match Provisioner::of(&storage.classes.get(&claim.class)?.provisioner) {
        Provisioner::Driver(name) => name,
        Provisioner::TakenOver(driver) if has_drivers => driver,
        Provisioner::TakenOver(_) | Provisioner::Uncounted => return None,
    };
    Some((driver.to_owned(), format!("new/{}/{}", claim.key.namespace, claim.key.name)))
}

/// Volumes that are attached, whether a pod mounts them or not.
fn left_over<'a>(node: &Node, storage: &'a Storage) -> impl Iterator<Item = Attachable> + use<'a> {
    storage.attached.get(&node.name).into_iter().flatten().filter(|one| !one.attacher.is_empty()).filter_map(|one| {
        let (_, handle) = storage.volumes.get(one.volume.as_ref()?)?.csi.clone()?;
        Some((one.attacher.clone(), handle))
    })
}
