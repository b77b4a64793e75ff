//! Who holds the migration slots and who waits for one. KubeVirt says nothing of it: a migration above the limit is
//! Pending without a condition or an event (OBSERVED, corrections 15), so the place is worked out here.
//!
//! Rules: `watch/migration/migration.go` (limits when the target pod is made, backoff), `pkg/util/migrations`.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::migration::{Migration, MigrationPhase};
use super::snapshot::Virtualization;
use crate::identity::{NodeName, ObjectKey};

/// The wait after the first failure; it doubles with each further one (`handleMigrationBackoff`).
const FIRST_BACKOFF: SignedDuration = SignedDuration::from_secs(20);
/// More failures than these are never seen: only five ended migrations of an instance are kept (OBSERVED g).
const MOST_FAILURES_SEEN: u32 = 5;

/// The migrations that are not over, sorted into those that hold a slot and those that wait.
#[derive(Clone, Debug)]
pub struct MigrationQueue<'a> {
    cluster: &'a Virtualization,
    running: Vec<&'a Migration>,
    waiting: Vec<&'a Migration>,
}

/// Slots of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Slots {
    /// How many there are.
    pub limit: usize,
    /// The migrations that hold them; more than `limit` after it was lowered.
    pub holders: Vec<ObjectKey>,
}

impl Slots {
    /// How many are free.
    pub fn free(&self) -> usize {
        self.limit.saturating_sub(self.holders.len())
    }
}

/// Where a migration stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "place")]
pub enum Place {
    /// It is over, or unknown.
    Over,
    /// It has a target pod, and so a slot; even if that pod fits nowhere.
    Running,
    /// A slot is free: KubeVirt will get to it.
    Next,
    /// Its node has no outbound slot free.
    WaitsForNode {
        /// 1: it gets the next slot that becomes free.
        position: usize,
        /// The node's slots.
        slots: Slots,
    },
    /// The cluster has no slot free.
    WaitsForCluster {
        /// 1: it gets the next slot that becomes free.
        position: usize,
        /// The cluster's slots.
        slots: Slots,
    },
    /// The attempts before it failed: it waits until then, by the server's clock.
    Backoff {
        /// How many failed in a row, as far as they are kept.
        failures: u32,
        /// Not before this moment.
        until: Timestamp,
    },
    /// Something else holds it.
    Blocked {
        /// KubeVirt's words.
        by: String,
    },
}

impl<'a> MigrationQueue<'a> {
    /// Sorts the migrations of the whole cluster. The waiting ones come in KubeVirt's order: by priority, then by age.
    pub fn of(cluster: &'a Virtualization) -> Self {
        let open = cluster.migrations().filter(|migration| !migration.is_final());
        let (running, mut waiting): (Vec<_>, Vec<_>) = open.partition(|migration| holds_slot(migration, cluster));
        waiting.sort_by(|left, right| {
            let age = left.metadata.created_at.cmp(&right.metadata.created_at);
            right.priority.cmp(&left.priority).then(age).then_with(|| left.metadata.key.cmp(&right.metadata.key))
        });
        Self { cluster, running, waiting }
    }

    /// The migrations that hold a slot.
    pub fn running(&self) -> &[&'a Migration] {
        &self.running
    }

    /// The migrations that hold none, in the order in which KubeVirt takes them.
    pub fn waiting(&self) -> &[&'a Migration] {
        &self.waiting
    }

    /// The cluster's slots.
    pub fn cluster_slots(&self) -> Slots {
        let holders = self.running.iter().map(|migration| migration.metadata.key.clone()).collect();
        Slots { limit: self.cluster.limits().per_cluster, holders }
    }

    /// The slots for migrations that leave a node.
    pub fn outbound_slots(&self, node: &NodeName) -> Slots {
        let leaves = |migration: &&&Migration| self.source_of(migration) == Some(node);
        let holders = self.running.iter().filter(leaves).map(|migration| migration.metadata.key.clone()).collect();
        Slots { limit: self.cluster.limits().outbound_per_node, holders }
    }

    /// Where a migration stands at `now`, the server's clock as well as it is known.
    pub fn place(&self, migration: &Migration, now: Timestamp) -> Place {
        let key = &migration.metadata.key;
        if self.running.iter().any(|running| running.metadata.key == *key) {
            return Place::Running;
        }
        let Some(index) = self.waiting.iter().position(|waiting| waiting.metadata.key == *key) else {
            return Place::Over;
        };
        if let Some(held) = self.hold_of(migration, now) {
            return held;
        }
        let rivals = || self.waiting.iter().take(index).filter(|rival| self.hold_of(rival, now).is_none());
        let ahead = rivals().count();
        if let Some(node) = self.source_of(migration) {
            let ahead_here = rivals().filter(|rival| self.source_of(rival) == Some(node)).count();
            let slots = self.outbound_slots(node);
            if ahead_here >= slots.free() {
                return Place::WaitsForNode { position: ahead_here - slots.free() + 1, slots };
            }
        }
        let slots = self.cluster_slots();
        if ahead >= slots.free() {
            return Place::WaitsForCluster { position: ahead - slots.free() + 1, slots };
        }
        Place::Next
    }

    /// What keeps a waiting migration from taking a slot that is free.
    fn hold_of(&self, migration: &Migration, now: Timestamp) -> Option<Place> {
        if let Some(by) = &migration.blocked_by {
            return Some(Place::Blocked { by: by.clone() });
        }
        let (failures, until) = self.backoff_of(migration)?;
        (now < until).then_some(Place::Backoff { failures, until })
    }

    /// How many attempts of the same evacuation failed since the last success, and until when the next one waits:
    /// counted from the newest failure. A migration that somebody deleted or aborted is no failure.
    fn backoff_of(&self, migration: &Migration) -> Option<(u32, Timestamp)> {
        if !migration.is_evacuation() {
            return None;
        }
        let instance = migration.instance_key();
        let mut ended: Vec<_> = self.cluster.migrations_of(&instance).filter(|other| other.is_final()).collect();
        ended.sort_by_key(|other| std::cmp::Reverse((other.metadata.created_at, other.metadata.key.clone())));
        let is_counted = |other: &&&Migration| other.metadata.deletion.is_none() && !other.abort_requested;
        let failed: Vec<_> =
            ended.iter().take_while(|other| other.phase != MigrationPhase::Succeeded).filter(is_counted).collect();
        let failures = u32::try_from(failed.len()).unwrap_or(MOST_FAILURES_SEEN).min(MOST_FAILURES_SEEN);
        let newest = failed.first()?;
        let failed_at = newest.failed_at.or_else(|| newest.state.as_ref()?.ended_at)?;
        let wait = FIRST_BACKOFF.checked_mul(1 << failures.saturating_sub(1))?;
        Some((failures, failed_at.checked_add(wait).ok()?))
    }

    /// The node that a migration leaves.
    fn source_of<'m>(&'m self, migration: &'m Migration) -> Option<&'m NodeName> {
        let recorded = || migration.state.as_ref()?.source_node.as_ref();
        let instance = self.cluster.instance(&migration.instance_key());
        recorded().or_else(|| instance?.node.as_ref())
    }
}

/// Whether it counts against the limits: it has a target pod, or is so far that it must have one.
fn holds_slot(migration: &Migration, cluster: &Virtualization) -> bool {
    let is_past_waiting = migration.phase != MigrationPhase::Pending;
    let is_its_target = |launcher: &super::LauncherPod| launcher.migration.as_ref() == Some(migration.uid());
    is_past_waiting || cluster.launchers().any(|launcher| is_its_target(launcher) && !launcher.pod.is_terminal())
}

#[cfg(test)]
mod tests;
