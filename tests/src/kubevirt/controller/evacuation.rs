//! virt-controller's evacuation controller: a mark, or the old drain taint, becomes a migration (reference 3.1).

use serde_json::json;

use super::Reconciler;
use super::cluster::Kind;
use super::object::{Object, text_of};
use super::writes::Written;

/// Says of a migration that it evacuates, and which node.
pub(super) const EVACUATION: &str = "kubevirt.io/evacuationMigration";

/// On a marked VMI: it was the descheduler that asked.
pub(super) const EVICTION_SOURCE: &str = "kubevirt.io/eviction-source";

impl Reconciler {
    /// Makes the migration of a VMI that has to leave its node, unless there is one.
    pub(super) async fn evacuate(&mut self, vmi: &Object) -> Written<()> {
        let node = vmi.text("/status/nodeName");
        // By code it is the node label that counts; it is written together with the field.
        let marked = !node.is_empty() && vmi.text("/status/evacuationNodeName") == node;
        if !(marked || self.is_drained_by_taint(node))
            || vmi.is_deleting()
            || vmi.phase() != "Running"
            || !self.cluster.evacuates(vmi)
            || is_migrating(vmi)
        {
            return Ok(());
        }
        let is_underway = self.cluster.migrations(vmi).iter().any(|own| !own.is_final());
        let living = self.cluster.launchers(vmi).iter().filter(|pod| !pod.is_final()).count();
        if is_underway || living > 1 {
            return Ok(());
        }
        // Reference 3.1.
        let is_minor = vmi.annotation(EVICTION_SOURCE) == "descheduler";
        let priority = if is_minor { "system-maintenance" } else { "system-critical" };
        // OBSERVED (a), (i): at once, for every marked VMI, whatever the limits are.
        let migration = json!({
            "apiVersion": "kubevirt.io/v1",
            "kind": "VirtualMachineInstanceMigration",
            "metadata": {
                "generateName": "kubevirt-evacuation-",
                "namespace": vmi.namespace(),
                "annotations": { EVACUATION: node },
            },
            "spec": { "vmiName": vmi.name(), "priority": priority },
        });
        let created = self.cluster.create(Kind::Migration, &migration).await?;
        let message = format!("Created Migration {}", created.name());
        self.cluster.event(Kind::Instance, vmi, false, "SuccessfulCreate", &message).await;
        Ok(())
    }

    fn is_drained_by_taint(&self, node: &str) -> bool {
        let key = self.cluster.drain_taint_key();
        self.cluster.node(node).is_some_and(|node| {
            node.list("/spec/taints")
                .iter()
                .any(|taint| text_of(taint, "key") == key && text_of(taint, "effect") == "NoSchedule")
        })
    }
}

/// Returns whether a migration is under way: it has begun and not ended (reference 1.1).
pub(super) fn is_migrating(vmi: &Object) -> bool {
    vmi.has("/status/migrationState/startTimestamp") && !vmi.has("/status/migrationState/endTimestamp")
}
