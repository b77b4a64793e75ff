//! What the plan costs: the Services behind which moved pods stand.

use std::collections::{BTreeMap, BTreeSet};

use cluster_model::identity::{ObjectKey, Uid};
use cluster_model::snapshot::ClusterSnapshot;

use super::{Action, NodePlan, ServiceImpact};
use crate::request::DrainRequest;
use crate::surge::crew::Crew;

/// The Services that lose an endpoint for a while, and those whose pods are handed over.
/// Of a workload whose pods go one after another, one is missing at a time.
pub(super) fn impacts(nodes: &[NodePlan], request: &DrainRequest, cluster: &ClusterSnapshot) -> Vec<ServiceImpact> {
    let mut behind: BTreeMap<ObjectKey, usize> = BTreeMap::new();
    let mut counted: BTreeSet<(ObjectKey, Uid)> = BTreeSet::new();
    for plan in nodes.iter().flat_map(|node| &node.pods) {
        let leaves = matches!(plan.action, Action::Handover | Action::Evict | Action::Wait | Action::Refuse);
        if !leaves {
            continue;
        }
        let services =
            cluster.traffic_of(&plan.pod.namespace, &plan.pod.uid).into_iter().map(|traffic| traffic.service);
        for service in services.collect::<BTreeSet<_>>() {
            let owner = cluster.pod(&plan.pod).filter(|pod| request.takes_turns(pod, plan.bypasses_budget));
            let owner = owner.and_then(|pod| Some(Crew::of(pod, cluster)?.key().clone()));
            let is_lost =
                plan.action == Action::Evict && owner.is_none_or(|owner| counted.insert((service.clone(), owner)));
            *behind.entry(service).or_default() += usize::from(is_lost);
        }
    }
    behind
        .into_iter()
        .map(|(service, lost)| {
            let ready_now = cluster.ready_endpoints(&service).len();
            let ready_worst = ready_now.saturating_sub(lost);
            let ObjectKey { namespace, name } = service;
            ServiceImpact { namespace, name, ready_now, ready_worst, routes: Vec::new() }
        })
        .collect()
}
