//! virt-controller's migration controller (reference 3.2 to 3.4, 8).

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::Reconciler;
use super::cluster::Kind;
use super::evacuation::EVACUATION;
use super::instance::current;
use super::launcher;
use super::number;
use super::object::{Object, merge, now, replacing};
use super::writes::{Actor, Refused, Written};

/// Names the VMI of a migration.
pub(super) const MIGRATION_LABEL: &str = "kubevirt.io/vmi-name";

/// Holds a migration until it is final.
pub(super) const FINALIZER: &str = "kubevirt.io/migrationJobFinalize";

/// On a VMI: where it is going (reference 1.2).
pub(super) const TARGET_LABEL: &str = "kubevirt.io/migrationTargetNodeName";

/// On a target pod: the migration that made it.
pub(super) const JOB_LABEL: &str = "kubevirt.io/migrationJobUID";

const WORKLOAD_UPDATE: &str = "kubevirt.io/workloadUpdateMigration";
const UNSCHEDULABLE_TIMEOUT: &str = "kubevirt.io/migrationUnschedulablePodTimeoutSeconds";
const PENDING_TIMEOUT: &str = "kubevirt.io/migrationPendingPodTimeoutSeconds";
const REJECTED_BY_QUOTA: &str = "migrationRejectedByResourceQuota";
const ABORT_REQUESTED: &str = "migrationAbortRequested";

/// Reference 3.3: 20 s, doubled with each failure; OBSERVED (g): no more than 320 s, since five are remembered.
const BACKOFF: Duration = Duration::from_secs(20);

/// Reference 3.3.
const DEFAULT_UNSCHEDULABLE: Duration = Duration::from_secs(5 * 60);
const DEFAULT_PENDING: Duration = Duration::from_secs(15 * 60);

/// How many final migrations of a VMI are kept (reference 1.2).
const KEPT: usize = 5;

impl Reconciler {
    /// Returns all migrations in the order in which they may take a free place: by priority, then by age (reference 3.2).
    pub(super) fn queue(&self) -> Vec<Arc<Object>> {
        let mut migrations = self.cluster.all(Kind::Migration);
        migrations.sort_by_cached_key(|own| {
            let rank = match own.text("/spec/priority") {
                "system-critical" => 0,
                "user-triggered" => 1,
                "system-maintenance" => 2,
                _ => 3,
            };
            (rank, own.created(), self.cluster.order(own), own.key())
        });
        migrations
    }

    /// Carries one migration on.
    pub(super) async fn migration(&mut self, migration: &Object) -> Written<()> {
        let vmi = self.cluster.get(Kind::Instance, migration.namespace(), migration.text("/spec/vmiName"));
        if migration.is_final() {
            return self.collect(migration, vmi.as_deref()).await;
        }
        let Some(vmi) = vmi.filter(|vmi| !vmi.is_final()) else {
            let message = "Migration failed because vmi does not exist.";
            self.cluster.event(Kind::Migration, migration, true, "FailedMigration", message).await;
            return self.fail(migration, None).await;
        };
        if !migration.is_deleting() {
            let patch = json!({ "metadata": {
                "finalizers": migration.finalizers_with(FINALIZER),
                "labels": { MIGRATION_LABEL: vmi.name() },
            } });
            self.cluster.ensure(Actor::Controller, Kind::Migration, migration, patch).await?;
        }
        let Some(migration) = self.cluster.newest(Kind::Migration, migration) else { return Ok(()) };
        let target = self.target_of(&vmi, &migration);
        let is_handed_over = vmi.text("/status/migrationState/migrationUid") == migration.uid();
        if migration.is_deleting() && !is_handed_over {
            // OBSERVED (h): the object is gone at once, without having been seen as Failed.
            if let Some(target) = &target {
                self.cluster.delete(Kind::Pod, target, None).await?;
            }
            return self.release(&migration).await;
        }
        match migration.phase() {
            "" => self.proceed(&migration, "Pending").await,
            "Pending" if target.is_some() => self.proceed(&migration, "Scheduling").await,
            "Pending" => self.make_target(&migration, &vmi).await,
            _ if is_handed_over => self.follow_migration(&migration, &vmi, target.as_deref()).await,
            _ => match target {
                Some(target) if !target.is_final() => self.await_target(&migration, &vmi, &target).await,
                Some(_) | None => {
                    let message = "Migration target pod was removed during active migration.";
                    self.cluster.event(Kind::Migration, &migration, true, "FailedMigration", message).await;
                    self.fail(&migration, None).await
                }
            },
        }
    }

    pub(super) fn target_of(&self, vmi: &Object, migration: &Object) -> Option<Arc<Object>> {
        self.cluster.launchers(vmi).into_iter().find(|pod| pod.label(JOB_LABEL) == migration.uid())
    }

    /// Makes the target pod once nothing speaks against it. What waits says so nowhere (OBSERVED, corrections 15).
    async fn make_target(&mut self, migration: &Object, vmi: &Object) -> Written<()> {
        let launchers = self.cluster.launchers(vmi);
        let Some(source) = current(vmi, &launchers) else { return Ok(()) };
        let patch = json!({ "status": { "migrationState": { "sourcePod": source.name() } } });
        let migration = &*self.cluster.ensure(Actor::Controller, Kind::Migration, migration, patch).await?;
        if !self.is_backoff_over(migration, vmi).await {
            return Ok(());
        }
        if vmi.phase() != "Running" || launchers.iter().filter(|pod| !pod.is_final()).count() > 1 {
            return Ok(());
        }
        let (mut in_cluster, mut outbound) = (0, 0);
        for other in self.cluster.all(Kind::Migration).iter().filter(|other| !other.is_final()) {
            let Some(other_vmi) = self.cluster.get(Kind::Instance, other.namespace(), other.text("/spec/vmiName"))
            else {
                continue;
            };
            // OBSERVED (i), reference 3.2: what has a target pod holds a place, whether or not that finds a node.
            let is_waiting = matches!(other.phase(), "" | "Pending");
            if !is_waiting || self.target_of(&other_vmi, other).is_some_and(|pod| !pod.is_final()) {
                in_cluster += 1;
                outbound += usize::from(other_vmi.text("/status/nodeName") == vmi.text("/status/nodeName"));
            }
        }
        if in_cluster >= self.cluster.parallel_per_cluster() || outbound >= self.cluster.parallel_outbound_per_node() {
            return Ok(());
        }
        let Some(node) = self.cluster.node(vmi.text("/status/nodeName")) else { return Ok(()) };
        let Ok(pod) = launcher::render_target(vmi, migration, &source, &node) else {
            let message = format!(
                "Migration cannot proceed since no node is suitable to run the required CPU model / required features: node \"{}\" has no host model label",
                node.name()
            );
            self.note_once(migration, "no host model", vmi, "NoSuitableNodesForHostModelMigration", &message).await;
            return Ok(());
        };
        match self.cluster.create(Kind::Pod, &pod).await {
            Ok(pod) => {
                let conditions = migration.conditions_without(REJECTED_BY_QUOTA);
                let migration = self.set_migration_conditions(migration, conditions).await?;
                let message = format!("Created migration target pod {}", pod.name());
                self.cluster.event(Kind::Migration, &migration, false, "SuccessfulCreate", &message).await;
                Ok(())
            }
            Err(refused) if is_quota(&refused) => {
                // Reference 3.3: it stays Pending and tries again.
                let reason = "Migration rejected due to exceeded quota";
                let conditions =
                    migration.conditions_with(REJECTED_BY_QUOTA, "True", "MigrationRejectedByQuota", reason);
                self.set_migration_conditions(migration, conditions).await?;
                let again = self.scaled(BACKOFF).max(Duration::from_secs(1));
                self.cluster.is_due(Instant::now() + again);
                Ok(())
            }
            Err(refused) => Err(refused),
        }
    }

    /// Reference 3.3: only what KubeVirt started itself backs off; a success begins anew, a cancelled one does not count.
    async fn is_backoff_over(&mut self, migration: &Object, vmi: &Object) -> bool {
        let is_own = |own: &Object| own.has_annotation(EVACUATION) || own.has_annotation(WORKLOAD_UPDATE);
        if !is_own(migration) {
            return true;
        }
        let mut failures = 0_u32;
        let mut last: Option<Instant> = None;
        for earlier in self.cluster.migrations(vmi).iter().rev().filter(|own| own.is_final() && is_own(own)) {
            if earlier.phase() == "Succeeded" {
                break;
            }
            if earlier.is_true("/status/migrationState/abortRequested") {
                continue;
            }
            failures += 1;
            last = last.max(Some(self.cluster.since(earlier.uid(), "final")));
        }
        let Some(last) = last else { return true };
        let wait = self.scaled(BACKOFF * 2_u32.saturating_pow(failures.min(5) - 1));
        if self.cluster.is_due(last + wait) {
            return true;
        }
        let message = format!("backoff migrating vmi {}/{}", vmi.namespace(), vmi.name());
        self.note_once(migration, "backoff", vmi, "MigrationBackoff", &message).await;
        false
    }

    /// Tells an event of the VMI once for each migration.
    async fn note_once(&mut self, migration: &Object, what: &'static str, vmi: &Object, reason: &str, message: &str) {
        if self.cluster.known_since(migration.uid(), what).is_none() {
            self.cluster.since(migration.uid(), what);
            self.cluster.event(Kind::Instance, vmi, true, reason, message).await;
        }
    }

    /// Scheduling and Scheduled: the target pod comes up, and the migration is handed over to the virt-handlers.
    async fn await_target(&mut self, migration: &Object, vmi: &Object, target: &Object) -> Written<()> {
        if !target.is_condition_true("Ready") {
            return self.time_out(migration, vmi, target).await;
        }
        if migration.phase() == "Scheduling" {
            return self.proceed(migration, "Scheduled").await;
        }
        let launchers = self.cluster.launchers(vmi);
        let Some(source) = current(vmi, &launchers) else { return Ok(()) };
        let state = json!({
            "migrationUid": migration.uid(),
            "sourceNode": source.text("/spec/nodeName"),
            "sourcePod": source.name(),
            "targetNode": target.text("/spec/nodeName"),
            "targetPod": target.name(),
            "migrationConfiguration": self.configuration(),
        });
        let patch = json!({
            "metadata": { "labels": { TARGET_LABEL: target.text("/spec/nodeName") } },
            "status": { "migrationState": replacing(vmi.at("/status/migrationState"), state) },
        });
        self.cluster.ensure(Actor::Controller, Kind::Instance, vmi, patch).await?;
        let message = "Migration target pod is ready for preparation by virt-handler.";
        self.cluster.event(Kind::Migration, migration, false, "SuccessfulHandOver", message).await;
        self.proceed(migration, "PreparingTarget").await
    }

    fn configuration(&self) -> Value {
        let mut resolved = json!({
            "parallelOutboundMigrationsPerNode": self.cluster.parallel_outbound_per_node(),
            "parallelMigrationsPerCluster": self.cluster.parallel_per_cluster(),
            "nodeDrainTaintKey": self.cluster.drain_taint_key(),
            "bandwidthPerMigration": "0",
            "completionTimeoutPerGiB": 150,
            "progressTimeout": 150,
            "allowAutoConverge": false,
            "allowPostCopy": false,
            "unsafeMigrationOverride": false,
        });
        super::object::overlay(&mut resolved, &self.cluster.setting("/migrations"));
        resolved
    }

    /// A target pod without a node, or not started for another reason, is given up (reference 3.3; OBSERVED,
    /// corrections 9).
    async fn time_out(&mut self, migration: &Object, vmi: &Object, target: &Object) -> Written<()> {
        let told = |annotation: &str, default: Duration| {
            number(&json!(migration.annotation(annotation))).map_or_else(|| self.scaled(default), Duration::from_secs)
        };
        let (unschedulable, pending) =
            (told(UNSCHEDULABLE_TIMEOUT, DEFAULT_UNSCHEDULABLE), told(PENDING_TIMEOUT, DEFAULT_PENDING));
        let is_unschedulable = target.phase() == "Pending"
            && target
                .condition("PodScheduled")
                .is_some_and(|own| super::object::text_of(own, "reason") == "Unschedulable");
        let name = format!("{}/{}", target.namespace(), target.name());
        if is_unschedulable {
            if self.cluster.known_since(target.uid(), "unschedulable").is_none() {
                self.cluster.since(target.uid(), "unschedulable");
                let message = format!(
                    "Migration target pod for VMI [{}/{}] is currently unschedulable.",
                    vmi.namespace(),
                    vmi.name()
                );
                self.cluster.event(Kind::Migration, migration, true, "migrationTargetPodUnschedulable", &message).await;
            }
            if self.cluster.has_lasted(target.uid(), "pending", unschedulable) {
                let message = format!("unschedulable pod {name} timeout period exceeded");
                return self.give_up(migration, target, &message).await;
            }
        }
        if self.cluster.has_lasted(target.uid(), "pending", pending) {
            let message = format!("pending pod {name} timeout period exceeded");
            return self.give_up(migration, target, &message).await;
        }
        Ok(())
    }

    async fn give_up(&mut self, migration: &Object, target: &Object, message: &str) -> Written<()> {
        self.cluster.delete(Kind::Pod, target, None).await?;
        self.cluster.event(Kind::Migration, migration, false, "SuccessfulDelete", message).await;
        self.fail(migration, None).await
    }

    /// From the hand-over on the VMI tells how far it is (reference 8).
    async fn follow_migration(&mut self, migration: &Object, vmi: &Object, target: Option<&Object>) -> Written<()> {
        const STATE: &str = "/status/migrationState";
        let state = |field: &str| format!("{STATE}/{field}");
        if vmi.is_true(&state("failed")) {
            let message = "source node reported migration failed";
            self.cluster.event(Kind::Migration, migration, true, "FailedMigration", message).await;
            return self.fail(migration, Some(vmi)).await;
        }
        if vmi.is_true(&state("completed")) {
            if migration.phase() == "Running" {
                return self.succeed(migration, vmi).await;
            }
        } else if target.is_none_or(Object::is_final) {
            // OBSERVED, corrections 10.
            let patch = json!({ "status": { "migrationState": {
                "failed": true, "completed": true, "endTimestamp": now(), "failureReason": "Target pod is down",
            } } });
            self.cluster.ensure(Actor::Controller, Kind::Instance, vmi, patch).await?;
            return Ok(());
        }
        if migration.is_deleting() && !migration.is_condition_true(ABORT_REQUESTED) {
            let conditions = migration.conditions_with(ABORT_REQUESTED, "True", "", "");
            self.set_migration_conditions(migration, conditions).await?;
        }
        match migration.phase() {
            "Scheduled" => self.proceed(migration, "PreparingTarget").await,
            "PreparingTarget" if vmi.has(&state("targetNodeAddress")) => self.proceed(migration, "TargetReady").await,
            "TargetReady" if vmi.has(&state("startTimestamp")) => self.proceed(migration, "Running").await,
            "Running" => {
                if let Some(target) = target.filter(|_| vmi.has(&state("targetNodeDomainReadyTimestamp"))) {
                    let stamp = vmi.at(&state("targetNodeDomainReadyTimestamp"));
                    let patch = json!({ "metadata": { "annotations": {
                        "kubevirt.io/migration-target-ready-timestamp": stamp,
                    } } });
                    self.cluster.ensure(Actor::Controller, Kind::Pod, target, patch).await?;
                }
                if migration.is_deleting() && !vmi.is_true(&state("abortRequested")) {
                    // Reference 3.4: acts once it runs; virt-handler does the rest.
                    let patch = json!({ "status": { "migrationState": { "abortRequested": true } } });
                    self.cluster.ensure(Actor::Controller, Kind::Instance, vmi, patch).await?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    async fn succeed(&mut self, migration: &Object, vmi: &Object) -> Written<()> {
        // OBSERVED (g): it is told twice.
        for _ in 0..2 {
            let message = "Source node reported migration succeeded";
            self.cluster.event(Kind::Migration, migration, false, "SuccessfulMigration", message).await;
        }
        self.finish(migration, "Succeeded", Some(vmi)).await
    }

    async fn fail(&mut self, migration: &Object, vmi: Option<&Object>) -> Written<()> {
        self.finish(migration, "Failed", vmi).await
    }

    /// The last phase comes with a copy of the VMI's state of it, if that was handed over (reference 1.1).
    async fn finish(&mut self, migration: &Object, phase: &str, vmi: Option<&Object>) -> Written<()> {
        let mut status = migration.entering(phase);
        if let Some(vmi) = vmi {
            merge(&mut status, &json!({ "migrationState": vmi.at("/status/migrationState") }));
        }
        let migration =
            self.cluster.ensure(Actor::Controller, Kind::Migration, migration, json!({ "status": status })).await?;
        self.cluster.since(migration.uid(), "final");
        self.release(&migration).await
    }

    async fn proceed(&mut self, migration: &Object, phase: &str) -> Written<()> {
        let patch = json!({ "status": migration.entering(phase) });
        self.cluster.ensure(Actor::Controller, Kind::Migration, migration, patch).await.map(drop)
    }

    async fn release(&mut self, migration: &Object) -> Written<()> {
        let patch = json!({ "metadata": { "finalizers": migration.finalizers_without(FINALIZER) } });
        self.cluster.ensure(Actor::Controller, Kind::Migration, migration, patch).await.map(drop)
    }

    async fn set_migration_conditions(&mut self, migration: &Object, conditions: Value) -> Written<Arc<Object>> {
        let patch = json!({ "status": { "conditions": conditions } });
        self.cluster.ensure(Actor::Controller, Kind::Migration, migration, patch).await
    }

    /// Five final migrations of a VMI are kept; an older one goes with the launcher that it has ended: its target if it
    /// failed, its source if it succeeded (reference 1.2; OBSERVED (g)).
    async fn collect(&mut self, migration: &Object, vmi: Option<&Object>) -> Written<()> {
        self.release(migration).await?;
        let Some(vmi) = vmi else { return Ok(()) };
        let finals: Vec<_> = self.cluster.migrations(vmi).into_iter().filter(|own| own.is_final()).collect();
        let Some(surplus) = finals.len().checked_sub(KEPT) else { return Ok(()) };
        if !finals.iter().take(surplus).any(|own| own.uid() == migration.uid()) {
            return Ok(());
        }
        let ended = if migration.phase() == "Failed" {
            self.target_of(vmi, migration)
        } else {
            self.cluster.get(Kind::Pod, migration.namespace(), migration.text("/status/migrationState/sourcePod"))
        };
        if let Some(pod) = ended.filter(|pod| pod.is_final()) {
            self.cluster.delete(Kind::Pod, &pod, None).await?;
        }
        self.cluster.delete(Kind::Migration, migration, None).await
    }
}

fn is_quota(refused: &Refused) -> bool {
    refused.code == 403 && refused.message.contains("exceeded quota")
}
