//! virt-controller's part in a VMI: its launcher, its phases until the guest takes over, and its end (reference 4, 8).

use std::sync::Arc;

use serde_json::{Value, json};

use super::Reconciler;
use super::cluster::Kind;
use super::launcher;
use super::object::{Object, list_or_none, merge, text_of};
use super::writes::{Actor, Written};

/// Holds a VMI until its launchers are gone.
pub(super) const INSTANCE_FINALIZER: &str = "kubevirt.io/foregroundDeleteVirtualMachine";

/// Holds a VMI until the controller of its VM has seen how it ended.
pub(super) const MACHINE_FINALIZER: &str = "kubevirt.io/virtualMachineControllerFinalize";

/// Says where a VMI is; the VMIs of a node are found by it (reference 1.2).
pub(super) const NODE_LABEL: &str = "kubevirt.io/nodeName";

/// Keeps the descheduler away from what moves already (OBSERVED, corrections 16).
const IN_PROGRESS: &str = "descheduler.alpha.kubernetes.io/eviction-in-progress";

impl Reconciler {
    /// Carries one VMI on.
    pub(super) async fn instance(&mut self, vmi: &Object) -> Written<()> {
        let launchers = self.cluster.launchers(vmi);
        if vmi.is_deleting() {
            for pod in launchers.iter().filter(|pod| !pod.is_deleting()) {
                self.cluster.delete(Kind::Pod, pod, None).await?;
            }
        }
        match vmi.phase() {
            "" | "Pending" => self.start_launcher(vmi, &launchers).await,
            "Scheduling" => self.schedule(vmi, &launchers).await,
            "Succeeded" | "Failed" => self.let_go(vmi, &launchers).await,
            _ => self.follow(vmi, &launchers).await,
        }
    }

    async fn start_launcher(&mut self, vmi: &Object, launchers: &[Arc<Object>]) -> Written<()> {
        if vmi.is_deleting() {
            return if launchers.is_empty() { self.enter(vmi, "Failed").await.map(drop) } else { Ok(()) };
        }
        if launchers.is_empty() {
            let pod = self.cluster.create(Kind::Pod, &launcher::render(vmi)).await;
            match pod {
                Ok(pod) => {
                    let message = format!("Created virtual machine pod {}", pod.name());
                    self.cluster.event(Kind::Instance, vmi, false, "SuccessfulCreate", &message).await;
                }
                Err(refused) => {
                    let message = format!("Error creating pod: {}", refused.message);
                    self.cluster.event(Kind::Instance, vmi, true, "FailedCreate", &message).await;
                    return Err(refused);
                }
            }
        }
        self.enter(vmi, "Scheduling").await.map(drop)
    }

    async fn schedule(&mut self, vmi: &Object, launchers: &[Arc<Object>]) -> Written<()> {
        let Some(pod) = launchers.last() else {
            return self.enter(vmi, "Failed").await.map(drop);
        };
        if pod.is_final() {
            return self.enter(vmi, "Failed").await.map(drop);
        }
        if !pod.is_condition_true("Ready") || pod.is_deleting() {
            // The pod's own words tell why it has no node (reference 1.1: copied while Scheduling).
            let conditions = match pod.condition("PodScheduled") {
                Some(own) if text_of(own, "status") == "False" => {
                    vmi.conditions_with("PodScheduled", "False", text_of(own, "reason"), text_of(own, "message"))
                }
                Some(_) | None => vmi.conditions_without("PodScheduled"),
            };
            let vmi = self.set_conditions(vmi, conditions).await?;
            return self.set_ready(&vmi, "False", "GuestNotRunning", "Guest VM is not reported as running").await;
        }
        let node = pod.text("/spec/nodeName");
        let mut patch = json!({
            "metadata": { "labels": { NODE_LABEL: node } },
            "status": {
                "nodeName": node,
                "migrationTransport": "Unix",
                "launcherContainerImageVersion": pod.text("/spec/containers/0/image"),
                "activePods": { pod.uid(): node },
                "conditions": vmi.conditions_without("PodScheduled"),
            },
        });
        merge(&mut patch, &json!({ "status": vmi.entering("Scheduled") }));
        self.cluster.ensure(Actor::Controller, Kind::Instance, vmi, patch).await.map(drop)
    }

    /// Scheduled and Running: the guest's phases are virt-handler's; this mirrors what can be seen from outside.
    async fn follow(&mut self, vmi: &Object, launchers: &[Arc<Object>]) -> Written<()> {
        let Some(pod) = current(vmi, launchers) else {
            // Reference 4: a launcher that is removed by force takes the VMI with it, as Failed.
            return self.enter(vmi, "Failed").await.map(drop);
        };
        if pod.phase() == "Failed" {
            return self.enter(vmi, "Failed").await.map(drop);
        }
        let active: serde_json::Map<String, Value> = launchers
            .iter()
            .filter(|pod| !pod.text("/spec/nodeName").is_empty())
            .map(|pod| (pod.uid().to_owned(), json!(pod.text("/spec/nodeName"))))
            .collect();
        let active = super::object::replacing(vmi.at("/status/activePods"), Value::Object(active));
        // The condition mirrors the mark (reference 1.1).
        let conditions = match (vmi.has("/status/evacuationNodeName"), vmi.condition("EvictionRequested")) {
            (true, None) => vmi.conditions_with("EvictionRequested", "True", "EvictionInProgress", ""),
            (false, Some(_)) => vmi.conditions_without("EvictionRequested"),
            (true, Some(_)) | (false, None) => vmi.at("/status/conditions").clone(),
        };
        let patch = json!({ "status": { "activePods": active, "conditions": conditions } });
        let vmi = self.cluster.ensure(Actor::Controller, Kind::Instance, vmi, patch).await?;
        self.shield(&vmi, &pod).await?;
        if pod.is_deleting() {
            return self.set_ready(&vmi, "False", "PodTerminating", "virt-launcher pod is terminating").await;
        }
        if vmi.phase() == "Running" {
            return self.set_ready(&vmi, "True", "", "").await;
        }
        self.set_ready(&vmi, "False", "GuestNotRunning", "Guest VM is not reported as running").await
    }

    /// Marks the launcher of a guest that leaves (OBSERVED, corrections 16).
    async fn shield(&mut self, vmi: &Object, pod: &Object) -> Written<()> {
        let migrations = self.cluster.migrations(vmi);
        let evacuates = migrations
            .iter()
            .any(|own| !own.is_final() && own.has_annotation(super::evacuation::EVACUATION) && !own.phase().is_empty());
        let marked = vmi.has("/status/evacuationNodeName") && self.cluster.evacuates(vmi);
        let wanted = if evacuates || marked { json!("true") } else { Value::Null };
        let patch = json!({ "metadata": { "annotations": { IN_PROGRESS: wanted } } });
        self.cluster.ensure(Actor::Controller, Kind::Pod, pod, patch).await.map(drop)
    }

    /// The guest is off: the finalizers go once the launchers have (reference 4; OBSERVED, corrections 11: a VMI
    /// without an owner stays).
    async fn let_go(&mut self, vmi: &Object, launchers: &[Arc<Object>]) -> Written<()> {
        let vmi = self.set_ready_of(vmi, "False", "PodTerminating", "virt-launcher pod is terminating").await?;
        let mut keep = vmi.list("/metadata/finalizers").to_vec();
        if launchers.is_empty() {
            keep.retain(|own| own != INSTANCE_FINALIZER);
        }
        if self.machine_of(&vmi).is_none() {
            keep.retain(|own| own != MACHINE_FINALIZER);
        }
        let patch = json!({ "metadata": { "finalizers": list_or_none(keep.into_iter()) } });
        self.cluster.ensure(Actor::Controller, Kind::Instance, &vmi, patch).await.map(drop)
    }

    async fn set_ready(&mut self, vmi: &Object, status: &str, reason: &str, message: &str) -> Written<()> {
        self.set_ready_of(vmi, status, reason, message).await.map(drop)
    }

    async fn set_ready_of(&mut self, vmi: &Object, status: &str, reason: &str, message: &str) -> Written<Arc<Object>> {
        let conditions = vmi.conditions_with("Ready", status, reason, message);
        self.set_conditions(vmi, conditions).await
    }

    async fn set_conditions(&mut self, vmi: &Object, conditions: Value) -> Written<Arc<Object>> {
        let patch = json!({ "status": { "conditions": conditions } });
        self.cluster.ensure(Actor::Controller, Kind::Instance, vmi, patch).await
    }

    /// Moves a VMI to a phase.
    pub(super) async fn enter(&mut self, vmi: &Object, phase: &str) -> Written<Arc<Object>> {
        let patch = json!({ "status": vmi.entering(phase) });
        self.cluster.ensure(Actor::Controller, Kind::Instance, vmi, patch).await
    }

    /// Returns the VM that controls a VMI, if it is there.
    pub(super) fn machine_of(&self, vmi: &Object) -> Option<Arc<Object>> {
        let uid = vmi.controller_uid("VirtualMachine")?;
        self.cluster.get(Kind::Machine, vmi.namespace(), vmi.name()).filter(|vm| vm.uid() == uid)
    }
}

/// Returns the launcher that a VMI runs in: the newest on its node (reference 1.2).
pub(super) fn current(vmi: &Object, launchers: &[Arc<Object>]) -> Option<Arc<Object>> {
    let node = vmi.text("/status/nodeName");
    launchers.iter().rev().find(|pod| !node.is_empty() && pod.text("/spec/nodeName") == node).cloned()
}
