//! What differs between the plan that was shown and the one made under the lease.

use std::collections::BTreeMap;

use cluster_model::identity::PodId;

use super::{Action, DrainPlan, PodPlan};

/// One difference that a person would want to hear of before the run goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Drift {
    /// A pod that the shown plan did not have, and what would happen to it.
    Appeared(PodId, Action),
    /// Something else would happen to this pod.
    Changed(PodId, Action, Action),
}

/// Compares two plans. A pod that went meanwhile, one that stays, and one that goes by itself are no difference.
pub fn between(shown: &DrainPlan, current: &DrainPlan) -> Vec<Drift> {
    let before: BTreeMap<_, _> = shown.pods().map(|(_, pod)| (&pod.pod, pod.action)).collect();
    let matters = |pod: &&PodPlan| !matches!(pod.action, Action::Leave | Action::Wait);
    current
        .pods()
        .map(|(_, pod)| pod)
        .filter(matters)
        .filter_map(|pod| match before.get(&pod.pod) {
            None => Some(Drift::Appeared(pod.pod.clone(), pod.action)),
            Some(&action) if action != pod.action => Some(Drift::Changed(pod.pod.clone(), action, pod.action)),
            Some(_) => None,
        })
        .collect()
}
