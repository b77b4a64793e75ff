//! virt-handler's part: the guest boots, moves, and shuts down (reference 8). A dead virt-handler does none of it.

use std::sync::Arc;

use serde_json::{Value, json};

use super::Reconciler;
use super::behaviour::{Behaviour, has_handler};
use super::cluster::Kind;
use super::evacuation::{EVICTION_SOURCE, is_migrating};
use super::instance::{NODE_LABEL, current};
use super::launcher::{claim_of, grace};
use super::migration::TARGET_LABEL;
use super::object::{Object, merge, now, text_of};
use super::writes::{Actor, Written};

const ABORTED: &str = "Live migration has been aborted";

impl Reconciler {
    /// Carries one guest on.
    pub(super) async fn guest(&mut self, vmi: &Object) -> Written<()> {
        let node = vmi.text("/status/nodeName");
        if node.is_empty() || vmi.is_final() {
            return Ok(());
        }
        if !self.is_served(node) {
            // The other side of a migration has a virt-handler of its own.
            return self.prepare_target(vmi).await;
        }
        let launchers = self.cluster.launchers(vmi);
        let Some(pod) = current(vmi, &launchers) else { return Ok(()) };
        if let Some(phase) = Behaviour(vmi).ends_by_itself()
            && vmi.phase() == "Running"
        {
            return self.switch_off(vmi, phase).await;
        }
        if pod.is_deleting() {
            return self.shut_down(vmi).await;
        }
        match vmi.phase() {
            "Scheduled" => self.boot(vmi, &pod).await,
            "Running" => self.move_guest(vmi).await,
            _ => Ok(()),
        }
    }

    fn is_served(&self, node: &str) -> bool {
        self.cluster.node(node).is_some_and(|node| has_handler(&node))
    }

    async fn boot(&mut self, vmi: &Object, pod: &Object) -> Written<()> {
        let behaviour = Behaviour(vmi);
        if !self.cluster.has_lasted(vmi.uid(), "boot", behaviour.boot_time()) {
            return Ok(());
        }
        let (status, reason, message) = match behaviour.not_migratable() {
            Some((reason, message)) => ("False", reason, message),
            None => ("True", "", ""),
        };
        let mut running = Object(vmi.0.clone());
        for condition in ["LiveMigratable", "StorageLiveMigratable"] {
            let conditions = running.conditions_with(condition, status, reason, message);
            running = running.patched(&json!({ "status": { "conditions": conditions } }));
        }
        let volumes = self.volumes(vmi).await;
        // Local disks are copied along (reference 1.2).
        let is_local = vmi.list("/spec/volumes").iter().any(|volume| {
            ["containerDisk", "cloudInitNoCloud", "emptyDisk"].iter().any(|own| volume.get(own).is_some())
        });
        let mut patch = json!({ "status": {
            "conditions": running.at("/status/conditions"),
            "migrationMethod": if is_local { "BlockMigration" } else { "LiveMigration" },
            "selinuxContext": "none",
            "qosClass": "Burstable",
            "volumeStatus": volumes,
            "interfaces": [{ "name": "default", "ipAddress": pod.text("/status/podIP"), "ipAddresses": [pod.text("/status/podIP")] }],
        } });
        merge(&mut patch, &json!({ "status": vmi.entering("Running") }));
        self.cluster.ensure(Actor::Handler, Kind::Instance, vmi, patch).await.map(drop)
    }

    async fn volumes(&mut self, vmi: &Object) -> Vec<Value> {
        let mut statuses = Vec::new();
        for (index, volume) in vmi.list("/spec/volumes").iter().enumerate() {
            let letter = char::from(b'a' + u8::try_from(index).unwrap_or(25).min(25));
            let mut status = json!({ "name": text_of(volume, "name"), "target": format!("vd{letter}") });
            if let Some(claim) = claim_of(volume) {
                let path = format!("/api/v1/namespaces/{}/persistentvolumeclaims/{claim}", vmi.namespace());
                if let Ok(claim) = self.cluster.read(&path).await {
                    merge(
                        &mut status,
                        &json!({ "persistentVolumeClaimInfo": {
                            "claimName": claim.name(),
                            "accessModes": claim.at("/spec/accessModes"),
                        } }),
                    );
                }
            }
            statuses.push(status);
        }
        statuses
    }

    /// Reference 4: Succeeded, or Failed if the guest did not manage it within its grace period.
    async fn shut_down(&mut self, vmi: &Object) -> Written<()> {
        let wanted = Behaviour(vmi).shutdown_time();
        let allowed = std::time::Duration::from_secs(grace(vmi));
        if !self.cluster.has_lasted(vmi.uid(), "shut down", wanted.min(allowed)) {
            return Ok(());
        }
        let phase = if wanted > allowed && !allowed.is_zero() { "Failed" } else { "Succeeded" };
        self.switch_off(vmi, phase).await
    }

    async fn switch_off(&mut self, vmi: &Object, phase: &str) -> Written<()> {
        let mut patch = json!({ "status": vmi.entering(phase) });
        if is_migrating(vmi) {
            let state = ended(Some("the guest is off"));
            merge(&mut patch, &json!({ "status": { "migrationState": state } }));
        }
        self.cluster.ensure(Actor::Handler, Kind::Instance, vmi, patch).await.map(drop)
    }

    /// Reference 8, steps 7 to 13.
    async fn move_guest(&mut self, vmi: &Object) -> Written<()> {
        let state = |field: &str| vmi.at(&format!("/status/migrationState/{field}"));
        let text = |field: &str| state(field).as_str().unwrap_or_default().to_owned();
        let target_node = text("targetNode");
        let is_current = !text("migrationUid").is_empty() && !target_node.is_empty();
        if !is_current || state("completed") == &json!(true) {
            // What a failed one leaves behind.
            let patch = json!({ "metadata": { "labels": { TARGET_LABEL: null } } });
            let is_over = is_current && !self.is_unfinished(vmi, &text("migrationUid"));
            return if is_over { self.write(vmi, patch).await.map(drop) } else { Ok(()) };
        }
        let behaviour = Behaviour(vmi);
        if state("targetNodeAddress").is_null() {
            return self.prepare_target(vmi).await;
        }
        if state("startTimestamp").is_null() {
            // The source acts on what virt-controller acknowledges, so that each phase can be seen.
            if self.migration_phase(vmi, &text("migrationUid")) != "TargetReady" {
                return Ok(());
            }
            return self.migrate_to(vmi, json!({ "startTimestamp": now(), "mode": "PreCopy" })).await.map(drop);
        }
        if self.migration_phase(vmi, &text("migrationUid")) != "Running" {
            return Ok(());
        }
        let job = text("migrationUid");
        if state("abortRequested") == &json!(true) {
            let mut aborted = ended(Some(ABORTED));
            merge(&mut aborted, &json!({ "abortStatus": "Succeeded" }));
            return self.migrate_to(vmi, aborted).await.map(drop);
        }
        if behaviour.hangs("copying") || !self.cluster.has_lasted(&job, "copy", behaviour.migration_time()) {
            return Ok(());
        }
        let failures = self.failures.get(vmi.uid()).copied().unwrap_or_default();
        if behaviour.fails_after(failures) {
            self.migrate_to(vmi, ended(Some(behaviour.failure_reason()))).await?;
            self.failures.insert(vmi.uid().to_owned(), failures + 1);
            return Ok(());
        }
        if !self.is_served(&target_node) {
            return Ok(());
        }
        self.arrive(vmi, &target_node).await
    }

    /// Step 7: virt-handler of the target is ready to receive.
    async fn prepare_target(&mut self, vmi: &Object) -> Written<()> {
        let target_node = vmi.text("/status/migrationState/targetNode").to_owned();
        let is_asked = !target_node.is_empty()
            && !vmi.is_true("/status/migrationState/completed")
            && !vmi.has("/status/migrationState/targetNodeAddress");
        if !is_asked || !self.is_served(&target_node) || Behaviour(vmi).hangs("preparing") {
            return Ok(());
        }
        let prepared = json!({ "targetNodeAddress": "127.0.0.1", "targetDirectMigrationNodePorts": { "49152": 0 } });
        self.migrate_to(vmi, prepared).await.map(drop)
    }

    /// Step 9 to 11: the guest runs on the target, which takes the mark away, acknowledges, and is the node.
    async fn arrive(&mut self, vmi: &Object, target: &str) -> Written<()> {
        let detected = json!({ "targetNodeDomainDetected": true, "targetNodeDomainReadyTimestamp": now() });
        let vmi = self.migrate_to(vmi, detected).await?;
        let patch = json!({
            "metadata": { "labels": { NODE_LABEL: target }, "annotations": { EVICTION_SOURCE: null } },
            "status": {
                "nodeName": target,
                "evacuationNodeName": null,
                "migrationState": { "endTimestamp": now() },
            },
        });
        let vmi = self.write(&vmi, patch).await?;
        let vmi = self.migrate_to(&vmi, json!({ "completed": true })).await?;
        self.write(&vmi, json!({ "metadata": { "labels": { TARGET_LABEL: null } } })).await.map(drop)
    }

    async fn migrate_to(&mut self, vmi: &Object, state: Value) -> Written<Arc<Object>> {
        self.write(vmi, json!({ "status": { "migrationState": state } })).await
    }

    async fn write(&mut self, vmi: &Object, patch: Value) -> Written<Arc<Object>> {
        self.cluster.ensure(Actor::Handler, Kind::Instance, vmi, patch).await
    }

    fn migration_phase(&self, vmi: &Object, uid: &str) -> String {
        let migrations = self.cluster.migrations(vmi);
        let phase = migrations.iter().find(|own| own.uid() == uid).map(|own| own.phase().to_owned());
        phase.unwrap_or_default()
    }

    fn is_unfinished(&self, vmi: &Object, uid: &str) -> bool {
        self.cluster.migrations(vmi).iter().any(|own| own.uid() == uid && !own.is_final())
    }
}

/// Returns the state of a migration that has ended; `reason` is why it failed.
fn ended(reason: Option<&str>) -> Value {
    let mut state = json!({ "endTimestamp": now(), "completed": true });
    if let Some(reason) = reason {
        merge(&mut state, &json!({ "failed": true, "failureReason": reason }));
    }
    state
}
