//! virt-handler's word on its node, and what virt-controller makes of silence (reference 5).

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Reconciler;
use super::behaviour::{VIRT_HANDLER, VIRT_HANDLER_SEEN, has_handler};
use super::cluster::Kind;
use super::object::{Object, merge, now};
use super::writes::{Actor, Written};

const HEARTBEAT: &str = "kubevirt.io/heartbeat";
const SCHEDULABLE: &str = "kubevirt.io/schedulable";

/// The pause between two heartbeats.
const INTERVAL: Duration = Duration::from_secs(60);

/// After so long a silence nothing is scheduled there any more.
const DEAD_AFTER: Duration = Duration::from_secs(5 * 60);

/// What the node-labeller says of a node's processor unless the test has said something.
const PROCESSOR: [(&str, &str); 7] = [
    ("host-model-cpu.node.kubevirt.io/", "Cascadelake-Server"),
    ("cpu-model-migration.node.kubevirt.io/", "Cascadelake-Server"),
    ("cpu-model.node.kubevirt.io/", "Cascadelake-Server"),
    ("host-model-required-features.node.kubevirt.io/", "vmx"),
    ("cpu-feature.node.kubevirt.io/", "vmx"),
    ("cpu-vendor.node.kubevirt.io/", "Intel"),
    ("machine-type.node.kubevirt.io/", "q35"),
];

impl Reconciler {
    /// Writes a node's heartbeat and labels if they are due, or notices that nobody does.
    pub(super) async fn node(&mut self, node: &Object) -> Written<()> {
        if !node.has_annotation(VIRT_HANDLER) || node.is_deleting() {
            return Ok(());
        }
        let seen = json!({ "metadata": { "annotations": { VIRT_HANDLER_SEEN: node.annotation(VIRT_HANDLER) } } });
        let node = &*self.cluster.ensure(Actor::Kubelet, Kind::Node, node, seen).await?;
        if !has_handler(node) {
            return self.watch_heart(node).await;
        }
        let last = self.cluster.known_since(node.uid(), "heartbeat");
        if last.is_some_and(|last| !self.cluster.is_due(last + INTERVAL)) {
            return Ok(());
        }
        let mut labels = json!({ SCHEDULABLE: "true", "kubevirt.io/cpumanager": "false" });
        let given = node.at("/metadata/labels").as_object();
        for (prefix, value) in PROCESSOR {
            if !given.into_iter().flatten().any(|(label, _)| label.starts_with(prefix)) {
                merge(&mut labels, &json!({ format!("{prefix}{value}"): "true" }));
            }
        }
        // A label that the test has given stays.
        if let (Value::Object(labels), Some(given)) = (&mut labels, given) {
            labels.retain(|label, _| label == SCHEDULABLE || !given.contains_key(label));
        }
        let patch = json!({ "metadata": { "labels": labels, "annotations": { HEARTBEAT: now() } } });
        self.cluster.ensure(Actor::Handler, Kind::Node, node, patch).await?;
        self.cluster.forget(node.uid(), "heartbeat");
        let beat = self.cluster.since(node.uid(), "heartbeat");
        self.cluster.is_due(beat + INTERVAL);
        Ok(())
    }

    /// Virt-controller: a heartbeat too old makes the node unschedulable for guests, and guests there without a living
    /// launcher Failed. A node without a heartbeat counts as alive.
    async fn watch_heart(&mut self, node: &Object) -> Written<()> {
        // Whoever comes back tells so at once.
        self.cluster.forget(node.uid(), "heartbeat");
        let Ok(beat) = node.annotation(HEARTBEAT).parse::<Timestamp>() else { return Ok(()) };
        let age = Timestamp::now().duration_since(beat).unsigned_abs();
        let allowed = self.scaled(DEAD_AFTER);
        if let Some(left) = allowed.checked_sub(age).filter(|left| !left.is_zero()) {
            self.cluster.is_due(Instant::now() + left);
            return Ok(());
        }
        let patch = json!({ "metadata": { "labels": { SCHEDULABLE: "false" } } });
        self.cluster.ensure(Actor::Controller, Kind::Node, node, patch).await?;
        for vmi in self.cluster.all(Kind::Instance) {
            let is_there = vmi.text("/status/nodeName") == node.name() && !vmi.is_final();
            let is_alive = self
                .cluster
                .launchers(&vmi)
                .iter()
                .any(|pod| !pod.is_final() && pod.text("/spec/nodeName") == node.name());
            if is_there && !is_alive {
                self.enter(&vmi, "Failed").await?;
            }
        }
        Ok(())
    }
}
