//! Where the guests of a node could go: each by itself, and all of them together. Advice only; the scheduler decides.
//!
//! The target of a migration asks for what its launcher pod asks for, and besides, by `pkg/virt-controller/watch/migration`:
//! the CPU model of the source where the guest takes its host's, and the source's CPU vendor. Not judged: volumes that
//! cannot be attached everywhere, affinity and spread between pods, quotas.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::Timestamp;

use super::host::Host;
use super::snapshot::Virtualization;
use crate::demand::Misfit;
use crate::identity::{NodeName, ObjectKey};
use crate::resources::Resources;
use crate::snapshot::ClusterSnapshot;

/// A node's own CPU model, as the rest of the key.
const HOST_MODEL: &str = "host-model-cpu.node.kubevirt.io/";
/// A CPU model that guests may bring to a node.
const MIGRATION_MODEL: &str = "cpu-model-migration.node.kubevirt.io/";
/// A CPU model that a guest of a named one asks for; a guest that has migrated once asks for its first host's.
const MODELS: [&str; 2] = ["cpu-model.node.kubevirt.io/", MIGRATION_MODEL];
/// A node's CPU vendor.
const VENDOR: &str = "cpu-vendor.node.kubevirt.io/";

/// Where one guest could go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Prospect {
    /// To this node for example, whatever becomes of the others.
    Fits(NodeName),
    /// Only if others that are to leave as well go elsewhere or later.
    Competes,
    /// Nowhere now; for each reason the number of nodes.
    Nowhere(BTreeMap<Obstacle, usize>),
}

/// Why a node cannot take a guest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Obstacle {
    /// It is not Ready.
    NotReady,
    /// It is cordoned.
    Cordoned,
    /// KubeVirt puts no guest there.
    NotForGuests,
    /// virt-handler has not been heard of there for too long.
    Silent,
    /// It does not offer what the guest's pod asks for.
    Misfit(Misfit),
}

/// Judges the guests in `leaving`, for all of which room is sought beside what is `taken` of each node.
pub fn prospects(
    guests: &[ObjectKey],
    leaving: &BTreeSet<NodeName>,
    cluster: &ClusterSnapshot,
    taken: &BTreeMap<NodeName, Resources>,
    now: Timestamp,
) -> BTreeMap<ObjectKey, Prospect> {
    let virtualization = cluster.virtualization();
    let nothing = Resources::default();
    let mut room = taken.clone();
    let hosts: Vec<&Host> = virtualization.hosts().filter(|host| !leaving.contains(&host.name)).collect();
    let mut sized: Vec<_> = guests.iter().filter_map(|key| Some((key, Asking::of(key, virtualization)?))).collect();
    // The largest first: what is small finds a place more easily.
    let memory = |asking: &Asking<'_>| asking.launcher.demand.requests.memory;
    sized.sort_by(|(one_key, one), (other_key, other)| {
        memory(other).cmp(&memory(one)).then_with(|| one_key.cmp(other_key))
    });
    let mut found = BTreeMap::new();
    for (key, asking) in sized {
        let mut obstacles: BTreeMap<Obstacle, usize> = BTreeMap::new();
        let (mut best, mut fits_alone): (Option<(i64, &NodeName)>, bool) = (None, false);
        for host in &hosts {
            let alone = taken.get(&host.name).unwrap_or(&nothing);
            if let Some(obstacle) = closed(host, cluster, now).or_else(|| asking.obstacle(host, alone)) {
                *obstacles.entry(obstacle).or_default() += 1;
                continue;
            }
            fits_alone = true;
            let beside = room.get(&host.name).unwrap_or(&nothing);
            if asking.obstacle(host, beside).is_none() {
                let free = host.offer.allocatable.beside(beside).memory;
                if best.is_none_or(|(most, _)| free > most) {
                    best = Some((free, &host.name));
                }
            }
        }
        let prospect = match best {
            Some((_, node)) => {
                room.entry(node.clone()).or_default().add(&asking.launcher.demand.requests);
                Prospect::Fits(node.clone())
            }
            None if fits_alone => Prospect::Competes,
            None => Prospect::Nowhere(obstacles),
        };
        found.insert(key.clone(), prospect);
    }
    found
}

/// Whether a node takes any guest at all.
pub fn closed(host: &Host, cluster: &ClusterSnapshot, now: Timestamp) -> Option<Obstacle> {
    let node = cluster.node(&host.name);
    if !node.is_some_and(|node| node.ready) {
        Some(Obstacle::NotReady)
    } else if node.is_some_and(|node| node.unschedulable) {
        Some(Obstacle::Cordoned)
    } else if host.schedulable != Some(true) {
        Some(Obstacle::NotForGuests)
    } else if !host.is_responsive(now) {
        Some(Obstacle::Silent)
    } else {
        None
    }
}

/// What a guest asks of its next node.
struct Asking<'a> {
    launcher: &'a super::LauncherPod,
    /// Labels that a migration adds.
    labels: Vec<String>,
}

impl<'a> Asking<'a> {
    fn of(key: &ObjectKey, virtualization: &'a Virtualization) -> Option<Self> {
        let instance = virtualization.instance(key)?;
        let launcher = virtualization.active_launcher(instance)?;
        let source = launcher.node().and_then(|node| virtualization.host(node));
        let of_source = |prefix: &str| -> Option<String> {
            let labels = &source?.offer.labels;
            let own = labels.iter().find(|(key, value)| key.starts_with(prefix) && *value == "true");
            own.map(|(key, _)| key.trim_start_matches(prefix).to_owned())
        };
        let asks_for_model =
            launcher.demand.selector.keys().any(|key| MODELS.iter().any(|prefix| key.starts_with(prefix)));
        let model = if asks_for_model || !instance.takes_host_model { None } else { of_source(HOST_MODEL) };
        let model = model.map(|model| format!("{MIGRATION_MODEL}{model}"));
        let vendor = of_source(VENDOR).map(|vendor| format!("{VENDOR}{vendor}"));
        Some(Self { launcher, labels: model.into_iter().chain(vendor).collect() })
    }

    fn obstacle(&self, host: &Host, taken: &Resources) -> Option<Obstacle> {
        let has = |key: &str| host.offer.labels.get(key).is_some_and(|value| value == "true");
        if let Some(key) = self.labels.iter().find(|key| !has(key)) {
            return Some(Obstacle::Misfit(Misfit::Label { key: key.clone(), value: "true".to_owned() }));
        }
        self.launcher.demand.misfit(&host.offer, taken).map(Obstacle::Misfit)
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotReady => f.write_str("is not Ready"),
            Self::Cordoned => f.write_str("is cordoned"),
            Self::NotForGuests => f.write_str("takes no virtual machines"),
            Self::Silent => f.write_str("has a silent virt-handler"),
            Self::Misfit(misfit) => misfit.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests;
