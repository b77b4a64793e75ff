//! virt-controller's VM controller: what a run strategy makes of a VM's VMI (reference 4; OBSERVED (c), (d), (j) and
//! corrections 11).

use std::sync::Arc;

use serde_json::{Value, json};

use super::Reconciler;
use super::cluster::Kind;
use super::evacuation::is_migrating;
use super::instance::MACHINE_FINALIZER;
use super::object::{Object, list_or_none, text_of};
use super::writes::{Actor, Written};

/// The conditions of a VMI that its VM shows as well.
const SHOWN: [&str; 4] = ["Ready", "LiveMigratable", "StorageLiveMigratable", "Paused"];

impl Reconciler {
    /// Carries one VM on.
    pub(super) async fn machine(&mut self, vm: &Object) -> Written<()> {
        let vmi = self.instance_of_machine(vm);
        if vm.is_deleting() {
            if let Some(vmi) = &vmi {
                self.cluster.delete(Kind::Instance, vmi, None).await?;
                self.see_end(vmi).await?;
                return self.show(vm, Some(vmi)).await;
            }
            let patch = json!({ "metadata": { "finalizers": vm.finalizers_without(MACHINE_FINALIZER) } });
            return self.cluster.ensure(Actor::Controller, Kind::Machine, vm, patch).await.map(drop);
        }
        let patch = json!({ "metadata": { "finalizers": vm.finalizers_with(MACHINE_FINALIZER) } });
        let vm = &*self.cluster.ensure(Actor::Controller, Kind::Machine, vm, patch).await?;
        if let Some(vmi) = &vmi {
            self.see_end(vmi).await?;
        }
        self.apply_strategy(vm, vmi.as_deref()).await?;
        let Some(vm) = self.cluster.newest(Kind::Machine, vm) else { return Ok(()) };
        let vmi = self.instance_of_machine(&vm);
        self.show(&vm, vmi.as_deref()).await
    }

    fn instance_of_machine(&self, vm: &Object) -> Option<Arc<Object>> {
        self.cluster
            .get(Kind::Instance, vm.namespace(), vm.name())
            .filter(|vmi| vmi.controller_uid("VirtualMachine") == Some(vm.uid()))
    }

    /// A VMI may go once its VM has seen how it ended.
    async fn see_end(&mut self, vmi: &Object) -> Written<()> {
        if !vmi.is_final() {
            return Ok(());
        }
        let patch = json!({ "metadata": { "finalizers": vmi.finalizers_without(MACHINE_FINALIZER) } });
        self.cluster.ensure(Actor::Controller, Kind::Instance, vmi, patch).await.map(drop)
    }

    /// Reference 4: which strategy starts what is off, and what becomes of a guest that has ended.
    async fn apply_strategy(&mut self, vm: &Object, vmi: Option<&Object>) -> Written<()> {
        let strategy = strategy(vm);
        let is_start_requested = first_request(vm).is_some_and(|own| text_of(own, "action") == "Start");
        let Some(vmi) = vmi else {
            // A strategy that is new to this VM starts it.
            let is_new = vm.text("/status/runStrategy") != strategy;
            let starts = match strategy.as_str() {
                "Always" | "Once" => true,
                "RerunOnFailure" => is_new || is_start_requested,
                "Manual" => is_start_requested,
                _ => false,
            };
            // A VMI of that name which is not (or no longer) this VM's stands in the way.
            let is_free = self.cluster.get(Kind::Instance, vm.namespace(), vm.name()).is_none();
            return if starts && is_free { self.start(vm).await } else { Ok(()) };
        };
        let is_stop_requested = first_request(vm)
            .is_some_and(|own| text_of(own, "action") == "Stop" && own.get("uid").is_some_and(|uid| uid == vmi.uid()));
        let ends = match strategy.as_str() {
            "Always" | "RerunOnFailure" => is_stop_requested || vmi.is_final(),
            "Manual" => is_stop_requested || (is_start_requested && vmi.is_final()),
            "Once" => is_stop_requested,
            "Halted" => true,
            _ => false,
        };
        if !ends {
            return Ok(());
        }
        if strategy == "RerunOnFailure" && vmi.phase() == "Failed" && !is_start_requested {
            // Failed is the one end after which it runs again (#9823).
            let requests: Vec<Value> =
                vm.list("/status/stateChangeRequests").iter().cloned().chain([json!({ "action": "Start" })]).collect();
            let patch = json!({ "status": { "stateChangeRequests": requests } });
            self.cluster.ensure(Actor::Controller, Kind::Machine, vm, patch).await?;
        }
        if !vmi.is_deleting() {
            let message = format!("Stopped the virtual machine by deleting the virtual machine instance {}", vmi.uid());
            self.cluster.event(Kind::Machine, vm, false, "SuccessfulDelete", &message).await;
        }
        self.cluster.delete(Kind::Instance, vmi, None).await
    }

    async fn start(&mut self, vm: &Object) -> Written<()> {
        let template = |part: &str| vm.at(&format!("/spec/template/{part}")).clone();
        let vmi = json!({
            "apiVersion": "kubevirt.io/v1",
            "kind": "VirtualMachineInstance",
            "metadata": {
                "name": vm.name(),
                "namespace": vm.namespace(),
                "labels": template("metadata/labels"),
                "annotations": template("metadata/annotations"),
                "finalizers": [MACHINE_FINALIZER],
                "ownerReferences": [vm.as_controller()],
            },
            "spec": template("spec"),
        });
        match self.cluster.create(Kind::Instance, &vmi).await {
            Ok(created) => {
                let message = format!(
                    "Started the virtual machine by creating the new virtual machine instance {}",
                    created.name()
                );
                self.cluster.event(Kind::Machine, vm, false, "SuccessfulCreate", &message).await;
                Ok(())
            }
            Err(refused) => {
                if refused.code != 409 && refused.code != 0 {
                    let message = format!("Error creating virtual machine instance: {}", refused.message);
                    self.cluster.event(Kind::Machine, vm, true, "FailedCreate", &message).await;
                }
                Err(refused)
            }
        }
    }

    /// Writes the VM's status.
    async fn show(&mut self, vm: &Object, vmi: Option<&Object>) -> Written<()> {
        let mut shown = Object(vm.0.clone());
        for condition in SHOWN {
            let own = vmi.and_then(|vmi| vmi.condition(condition));
            let conditions = match (own, condition) {
                (Some(own), _) => {
                    let (status, reason, message) =
                        (text_of(own, "status"), text_of(own, "reason"), text_of(own, "message"));
                    shown.conditions_with(condition, status, reason, message)
                }
                (None, "Ready") => shown.conditions_with("Ready", "False", "VMINotExists", "VMI does not exist"),
                (None, _) => shown.conditions_without(condition),
            };
            shown = shown.patched(&json!({ "status": { "conditions": conditions } }));
        }
        let requests = pending_requests(vm, vmi);
        let flag = |is_so: bool| if is_so { json!(true) } else { Value::Null };
        let patch = json!({ "status": {
            "conditions": shown.at("/status/conditions"),
            "created": flag(vmi.is_some()),
            "ready": flag(vmi.is_some_and(|vmi| vmi.is_condition_true("Ready"))),
            "printableStatus": printable(vm, vmi),
            "runStrategy": strategy(vm),
            "stateChangeRequests": list_or_none(requests.into_iter()),
        } });
        self.cluster.ensure(Actor::Controller, Kind::Machine, vm, patch).await.map(drop)
    }
}

/// Returns a VM's strategy: `running` is the old way to say Always or Halted (reference 1.1).
fn strategy(vm: &Object) -> String {
    match (vm.text("/spec/runStrategy"), vm.is_true("/spec/running")) {
        ("", true) => "Always".to_owned(),
        ("", false) => "Halted".to_owned(),
        (own, _) => own.to_owned(),
    }
}

fn first_request(vm: &Object) -> Option<&Value> {
    vm.list("/status/stateChangeRequests").first()
}

/// Returns the requests without the first if that is done.
fn pending_requests(vm: &Object, vmi: Option<&Object>) -> Vec<Value> {
    let mut requests = vm.list("/status/stateChangeRequests").to_vec();
    let is_done = requests.first().is_some_and(|first| match (text_of(first, "action"), vmi) {
        ("Start", Some(vmi)) => !vmi.is_final() && !vmi.is_deleting(),
        ("Stop", None) => true,
        ("Stop", Some(vmi)) => first.get("uid").is_none_or(|uid| uid != vmi.uid()),
        _ => false,
    });
    if is_done {
        requests.remove(0);
    }
    requests
}

/// Returns what `kubectl get vm` shows; the first that fits, in KubeVirt's order (reference 1.1).
fn printable(vm: &Object, vmi: Option<&Object>) -> &'static str {
    if vm.is_deleting() {
        return "Terminating";
    }
    let is_start_requested = first_request(vm).is_some_and(|own| text_of(own, "action") == "Start");
    let Some(vmi) = vmi.filter(|vmi| !vmi.is_final()) else {
        return if is_start_requested { "Starting" } else { "Stopped" };
    };
    let is_pod_ending = vmi
        .condition("Ready")
        .is_some_and(|own| text_of(own, "status") == "False" && text_of(own, "reason") == "PodTerminating");
    if vmi.is_deleting() || is_pod_ending {
        return "Stopping";
    }
    if is_migrating(vmi) {
        return "Migrating";
    }
    if vmi.is_condition_true("Paused") {
        return "Paused";
    }
    if vmi.phase() == "Running" {
        return "Running";
    }
    let is_unschedulable = vmi.condition("PodScheduled").is_some_and(|own| text_of(own, "reason") == "Unschedulable");
    if is_unschedulable { "ErrorUnschedulable" } else { "Starting" }
}
