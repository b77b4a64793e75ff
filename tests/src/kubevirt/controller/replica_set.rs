//! virt-controller's replica set of VMIs (reference 4; OBSERVED (j), corrections 12).

use serde_json::json;

use super::Reconciler;
use super::cluster::Kind;
use super::object::{Object, text_of};
use super::writes::{Actor, Written};

const KIND: &str = "VirtualMachineInstanceReplicaSet";

impl Reconciler {
    /// Carries one replica set on.
    pub(super) async fn replica_set(&mut self, set: &Object) -> Written<()> {
        let mut own = self.cluster.all(Kind::Instance);
        own.retain(|vmi| vmi.namespace() == set.namespace() && vmi.controller_uid(KIND) == Some(set.uid()));
        if set.is_deleting() {
            return Ok(());
        }
        // OBSERVED (j): one whose launcher is being deleted is replaced at once, while its guest still shuts down.
        let (ending, mut living): (Vec<_>, Vec<_>) = own.into_iter().partition(|vmi| {
            let is_pod_ending = vmi
                .condition("Ready")
                .is_some_and(|own| text_of(own, "status") == "False" && text_of(own, "reason") == "PodTerminating");
            vmi.is_final() || vmi.is_deleting() || is_pod_ending
        });
        for vmi in ending.iter().filter(|vmi| !vmi.is_deleting()) {
            self.cluster.delete(Kind::Instance, vmi, None).await?;
            let message = format!("Deleted finished virtual machine instance: {}", vmi.name());
            self.cluster.event(Kind::ReplicaSet, set, false, "SuccessfulDelete", &message).await;
        }
        let wanted = set.at("/spec/replicas").as_u64().map_or(1, |wanted| usize::try_from(wanted).unwrap_or(1));
        while living.len() < wanted && !set.is_true("/spec/paused") {
            let name = match set.text("/spec/template/metadata/name") {
                "" => set.name(),
                name => name,
            };
            let vmi = json!({
                "apiVersion": "kubevirt.io/v1",
                "kind": "VirtualMachineInstance",
                "metadata": {
                    "generateName": name,
                    "namespace": set.namespace(),
                    "labels": set.at("/spec/template/metadata/labels"),
                    "annotations": set.at("/spec/template/metadata/annotations"),
                    "ownerReferences": [set.as_controller()],
                },
                "spec": set.at("/spec/template/spec"),
            });
            let created = self.cluster.create(Kind::Instance, &vmi).await?;
            let message =
                format!("Started the virtual machine by creating the new virtual machine instance {}", created.name());
            self.cluster.event(Kind::ReplicaSet, set, false, "SuccessfulCreate", &message).await;
            living.push(created);
        }
        for surplus in living.iter().skip(wanted) {
            self.cluster.delete(Kind::Instance, surplus, None).await?;
        }
        living.truncate(wanted);
        let ready = living.iter().filter(|vmi| vmi.is_condition_true("Ready")).count();
        let selector: Vec<String> = set
            .at("/spec/selector/matchLabels")
            .as_object()
            .into_iter()
            .flatten()
            .map(|(label, value)| format!("{label}={}", value.as_str().unwrap_or_default()))
            .collect();
        let patch = json!({ "status": {
            "replicas": living.len(), "readyReplicas": ready, "labelSelector": selector.join(","),
        } });
        self.cluster.ensure(Actor::Controller, Kind::ReplicaSet, set, patch).await.map(drop)
    }
}
