//! virt-controller's part in the pods of hotplugged volumes. How such a volume is attached was never seen, so nothing
//! here makes such a pod (OBSERVED, limits of the rig).

use serde_json::Value;

use super::Reconciler;
use super::cluster::Kind;
use super::launcher::claim_of;
use super::object::{Object, text_of};
use super::writes::Written;

/// The value of the label `kubevirt.io` (reference 1.2).
const ROLE: &str = "hotplug-disk";

impl Reconciler {
    /// Deletes the pod of a volume that its guest does not have (OBSERVED, corrections 14).
    pub(super) async fn hotplug_pod(&mut self, pod: &Object) -> Written<()> {
        // Its owner is the launcher, and it goes with it (reference 1.2): the garbage collector's matter.
        let Some(owner) = pod.controller("Pod") else { return Ok(()) };
        let launcher = self.cluster.get(Kind::Pod, pod.namespace(), text_of(owner, "name"));
        let Some(launcher) = launcher.filter(|launcher| launcher.uid() == text_of(owner, "uid")) else { return Ok(()) };
        let Some(vmi) = self.cluster.instance_of(&launcher) else { return Ok(()) };
        let wanted: Vec<&str> =
            vmi.list("/spec/volumes").iter().filter(|own| is_hotplugged(own)).filter_map(claim_of).collect();
        if pod.list("/spec/volumes").iter().filter_map(claim_of).any(|claim| wanted.contains(&claim)) {
            return Ok(());
        }
        self.cluster.delete(Kind::Pod, pod, None).await
    }
}

/// Returns whether a pod holds a hotplugged volume.
pub(super) fn is_hotplug_pod(pod: &Object) -> bool {
    pod.label("kubevirt.io") == ROLE
}

/// Returns whether a volume of a VMI is held by a pod of its own and not by the launcher.
pub(super) fn is_hotplugged(volume: &Value) -> bool {
    ["/persistentVolumeClaim/hotpluggable", "/dataVolume/hotpluggable"]
        .iter()
        .any(|pointer| volume.pointer(pointer).is_some_and(|own| own == true))
}
