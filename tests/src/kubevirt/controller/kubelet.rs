//! The end of a launcher, as its kubelet reports it: the guest is off, has moved away, or never came.

use serde_json::{Value, json};

use super::Reconciler;
use super::behaviour::{Behaviour, has_kubelet};
use super::cluster::Kind;
use super::migration::JOB_LABEL;
use super::object::{Object, now, text_of};
use super::writes::{Actor, Written};

impl Reconciler {
    /// Ends a launcher that has nothing to run any more; kwok removes it if it was to be deleted.
    pub(super) async fn launcher(&mut self, pod: &Object) -> Written<()> {
        let node = pod.text("/spec/nodeName");
        if pod.is_final() || node.is_empty() || !self.has_ended(pod) {
            return Ok(());
        }
        if !self.cluster.node(node).is_some_and(|node| has_kubelet(&node)) {
            return Ok(());
        }
        let containers: Vec<Value> = pod
            .list("/status/containerStatuses")
            .iter()
            .map(|container| {
                json!({
                    "name": text_of(container, "name"),
                    "image": text_of(container, "image"),
                    "imageID": "",
                    "ready": false,
                    "started": false,
                    "restartCount": 0,
                    "state": { "terminated": {
                        "exitCode": 0, "reason": "Completed",
                        "startedAt": pod.at("/status/startTime"), "finishedAt": now(),
                    } },
                })
            })
            .collect();
        let mut ended = Object(pod.0.clone());
        for condition in ["Ready", "ContainersReady"] {
            let conditions = ended.conditions_with(condition, "False", "PodCompleted", "");
            ended = ended.patched(&json!({ "status": { "conditions": conditions } }));
        }
        let mut patch = json!({ "status": { "phase": "Succeeded", "conditions": ended.at("/status/conditions") } });
        if !containers.is_empty() {
            super::object::merge(&mut patch, &json!({ "status": { "containerStatuses": containers } }));
        }
        self.cluster.ensure(Actor::Kubelet, Kind::Pod, pod, patch).await.map(drop)
    }

    fn has_ended(&self, pod: &Object) -> bool {
        let Some(vmi) = self.cluster.instance_of(pod) else { return true };
        if vmi.is_final() {
            return true;
        }
        let is_elsewhere = vmi.text("/status/nodeName") != pod.text("/spec/nodeName");
        if !is_elsewhere {
            return false;
        }
        if pod.is_deleting() {
            return true;
        }
        let job = pod.label(JOB_LABEL);
        let migrations = self.cluster.migrations(&vmi);
        let own = migrations.iter().find(|own| own.uid() == job);
        if own.is_some_and(|own| !own.is_final()) || vmi.text("/status/nodeName").is_empty() {
            return false;
        }
        // Reference 8, step 11 and 12. A target that never had the guest ends in any case.
        let never_came = own.is_some_and(|own| own.phase() == "Failed");
        never_came || !Behaviour(&vmi).leaves_source_running()
    }
}
