//! What differs between the plan that was shown and the one made under the lease.

use std::collections::BTreeMap;

use cluster_model::identity::{ObjectKey, PodId};
use cluster_model::kubevirt;

use super::{Action, DrainPlan, PodPlan};

/// One difference that a person would want to hear of before the run goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Drift {
    /// A pod that the shown plan did not have, and what would happen to it.
    Appeared(PodId, Action),
    /// Something else would happen to this pod.
    Changed(PodId, Action, Action),
    /// This pod would be deleted past its budget, as somebody has consented, and not be evicted under it.
    Bypasses(PodId),
    /// A virtual machine that the shown plan did not have.
    VmAppeared(ObjectKey, kubevirt::Action),
    /// Something else would happen to this virtual machine.
    VmChanged(ObjectKey, kubevirt::Action, kubevirt::Action),
}

/// Compares two plans. What went meanwhile, stays, or goes by itself is no difference.
pub fn between(shown: &DrainPlan, current: &DrainPlan) -> Vec<Drift> {
    let vms: BTreeMap<_, _> = shown.vms.iter().map(|vm| (&vm.uid, vm.action)).collect();
    let vm_drift = current.vms.iter().filter(|vm| vm.action != kubevirt::Action::Leave).filter_map(|vm| {
        let key = || ObjectKey::new(&vm.namespace, &vm.name);
        match vms.get(&vm.uid) {
            None => Some(Drift::VmAppeared(key(), vm.action)),
            Some(&action) if action != vm.action => Some(Drift::VmChanged(key(), action, vm.action)),
            Some(_) => None,
        }
    });
    let before: BTreeMap<_, _> = shown.pods().map(|(_, pod)| (&pod.pod, (pod.action, pod.bypasses_budget))).collect();
    let matters = |pod: &&PodPlan| !matches!(pod.action, Action::Leave | Action::Wait);
    let pod_drift = current.pods().map(|(_, pod)| pod).filter(matters).filter_map(|pod| match before.get(&pod.pod) {
        None => Some(Drift::Appeared(pod.pod.clone(), pod.action)),
        Some((action, _)) if *action != pod.action => Some(Drift::Changed(pod.pod.clone(), *action, pod.action)),
        Some((_, false)) if pod.bypasses_budget => Some(Drift::Bypasses(pod.pod.clone())),
        Some(_) => None,
    });
    vm_drift.chain(pod_drift).collect()
}
