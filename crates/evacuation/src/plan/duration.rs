//! How long a run may take: an estimate, by how long pods of the same workloads took to start, and corrected as the run goes.

use std::collections::BTreeMap;

use super::{Action, Estimate, NodePlan, PodPlan};

/// The estimate for nodes that are emptied one after another. On each, workloads move side by side, and the pods of one as
/// many at a time as it allows. Pods of whose like none was seen to start are left out; `None`: nothing is known of any.
pub(super) fn of_run(nodes: &[NodePlan]) -> Option<Estimate> {
    let known: Vec<_> = nodes.iter().filter_map(of_node).collect();
    (!known.is_empty())
        .then(|| Estimate { low: known.iter().map(|one| one.low).sum(), high: known.iter().map(|one| one.high).sum() })
}

fn is_moving(pod: &PodPlan) -> bool {
    matches!(pod.action, Action::Handover | Action::Evict)
}

fn of_node(node: &NodePlan) -> Option<Estimate> {
    let mut workloads: BTreeMap<_, Vec<&PodPlan>> = BTreeMap::new();
    for pod in node.pods.iter().filter(|pod| is_moving(pod)) {
        workloads
            .entry((&pod.pod.namespace, &pod.owner, pod.owner.is_none().then_some(&pod.pod)))
            .or_default()
            .push(pod);
    }
    let each: Vec<_> = workloads.into_values().filter_map(|pods| of_workload(&pods)).collect();
    // The slowest of them decides.
    let most = |of: fn(&Estimate) -> u64| each.iter().map(of).max();
    Some(Estimate { low: most(|one| one.low)?, high: most(|one| one.high)? })
}

fn of_workload(pods: &[&PodPlan]) -> Option<Estimate> {
    let first = pods.first()?;
    let at_a_time = u64::from(first.at_a_time.max(1));
    let turns = u64::try_from(pods.len()).unwrap_or(u64::MAX).div_ceil(at_a_time);
    let longest = |of: &dyn Fn(&PodPlan) -> Option<u64>| pods.iter().filter_map(|pod| of(pod)).max();
    let low = longest(&|pod| pod.estimate.map(|one| one.low))?;
    let high = longest(&|pod| pod.estimate.map(|one| one.high))?;
    // What is evicted in turns waits each time for the next one to be Ready.
    let between = if turns > 1 { longest(&|pod| pod.expected_gap_seconds).unwrap_or(0) } else { 0 };
    Some(Estimate { low: low * turns, high: high.max(between).saturating_mul(turns - 1).saturating_add(high) })
}
