//! What a plan spends of each budget. Looked at one by one, each pod may go; together they may ask for more than there is:
//! a pod that somebody makes again gives back what it took, one that nobody makes again does not.

use std::collections::BTreeMap;

use cluster_model::budget::Budget;
use cluster_model::identity::{NodeName, ObjectKey};
use cluster_model::snapshot::ClusterSnapshot;
use serde::Serialize;

use super::words::consent_to_downtime;
use super::{Action, Method, NodePlan, PodPlan, RefusalKind, RefusedPod};
use crate::request::{DrainRequest, Removal};

/// One budget and what is asked of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BudgetSpend {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// How many pods it lets go at a time, by what it says now; handed over pods come on top.
    pub allowed_now: i32,
    /// How many pods of the plan are under it.
    pub pods: usize,
    /// How many of them are handed over: each is one more than its workload needs by the time it goes.
    pub handed_over: usize,
    /// How many of them nobody makes again.
    pub lost: usize,
    /// In how many turns the others go; `None`: it lets none go now.
    pub turns: Option<usize>,
}

/// The pods under one budget, with their nodes.
type Asking<'a> = Vec<(NodeName, &'a mut PodPlan)>;

/// What is asked of each budget over all nodes, and the pods that ask for more than it can ever give. Those whose workload
/// somebody has consented for go past it.
pub(super) fn spend(
    nodes: &mut [NodePlan],
    request: &DrainRequest,
    cluster: &ClusterSnapshot,
) -> (Vec<BudgetSpend>, Vec<RefusedPod>) {
    if request.removal == Removal::Delete {
        return (Vec::new(), Vec::new());
    }
    let mut under: BTreeMap<&ObjectKey, (&Budget, Asking<'_>)> = BTreeMap::new();
    for node in nodes {
        for plan in node.pods.iter_mut().filter(|plan| matches!(plan.action, Action::Handover | Action::Evict)) {
            // What is not Ready takes nothing from a budget, who may go past it asks for nothing, and of several budgets the
            // plan of the pod itself says what is to be said.
            let pod = cluster.pod(&plan.pod).filter(|pod| pod.is_ready() && !plan.bypasses_budget);
            let mut budgets = pod.into_iter().flat_map(|pod| cluster.budgets_of(pod));
            if let (Some(budget), None) = (budgets.next(), budgets.next()) {
                under.entry(&budget.key).or_insert((budget, Vec::new())).1.push((node.name.clone(), plan));
            }
        }
    }
    let mut refused = Vec::new();
    let spends = under.into_values().map(|(budget, mut pods)| {
        let handed_over = pods.iter().filter(|(_, plan)| plan.action == Action::Handover).count();
        let lost = pods.iter().filter(|(_, plan)| plan.is_lost).count();
        // Only what the budget has beyond its need can be lost for good, whatever of it is Ready just now. One that counts
        // replicas leaves out pods that nobody owns.
        let spare = usize::try_from(budget.expected_pods.saturating_sub(budget.desired_healthy)).unwrap_or(0);
        if budget.is_computed() && !budget.counts_by_scale {
            let too_many = pods.iter_mut().filter(|(_, plan)| plan.is_lost).skip(spare);
            refused
                .extend(too_many.filter_map(|(node, plan)| too_many_lost(node, plan, budget, (lost, spare), request)));
        }
        let others = pods.len() - handed_over;
        let allowed = usize::try_from(budget.disruptions_allowed).unwrap_or(0);
        BudgetSpend {
            namespace: budget.key.namespace.clone(),
            name: budget.key.name.clone(),
            allowed_now: budget.disruptions_allowed,
            pods: pods.len(),
            handed_over,
            lost,
            turns: if others == 0 { Some(0) } else { (allowed > 0).then(|| others.div_ceil(allowed)) },
        }
    });
    let spends = spends.collect();
    (spends, refused)
}

/// Plans a pod that nobody makes again and that its budget has nothing left for; the refusal, without consent.
fn too_many_lost(
    node: &NodeName,
    plan: &mut PodPlan,
    budget: &Budget,
    (lost, spare): (usize, usize),
    request: &DrainRequest,
) -> Option<RefusedPod> {
    let message = format!(
        "is one of {lost} under PodDisruptionBudget {} that nobody makes again, and it has only {spare} to spare: the \
         others would wait for ever",
        budget.key.name
    );
    let workload = plan.workload();
    if request.allows_downtime(&workload) {
        (plan.method, plan.bypasses_budget) = (Method::Delete, true);
        plan.warnings.push(format!("{message}: deleted past it, as --allow-downtime says"));
        return None;
    }
    let remedy = consent_to_downtime(&workload);
    (plan.action, plan.method) = (Action::Refuse, Method::None);
    plan.remedy = Some(remedy.clone());
    let kind = RefusalKind::BudgetNeverAllows;
    Some(RefusedPod { node: node.clone(), pod: plan.pod.clone(), kind, message, remedy })
}

#[cfg(test)]
mod tests {
    use cluster_model::disposition::DrainPolicy;
    use cluster_model::fixtures;
    use cluster_model::identity::NodeName;
    use cluster_model::snapshot::Change;
    use jiff::Timestamp;

    use super::super::{DrainPlan, build};
    use super::*;
    use crate::surge::detach::Circumstances;

    /// Pods `a`, `b`, … of `app`, all Ready on one node, under a budget.
    fn plan(owner: Option<&str>, pods: usize, desired: i32) -> DrainPlan {
        let mut cluster = ClusterSnapshot::default();
        cluster.apply(Change::Node(Box::new(fixtures::node("old"))));
        for number in 0..pods {
            let name = format!("app-{number}");
            let mut pod = fixtures::pod("shop", &name).labelled(&[("app", "app")]).on("old").ready();
            if let Some(kind) = owner {
                pod = pod.managed_by("apps/v1", kind, "app");
            }
            cluster.apply(Change::Pod(Box::new(pod.build())));
        }
        let healthy = i32::try_from(pods).unwrap();
        cluster.apply(Change::Budget(Budget {
            current_healthy: healthy,
            desired_healthy: desired,
            expected_pods: healthy,
            ..fixtures::budget("shop", "app", (healthy - desired).max(0))
        }));
        let policy = DrainPolicy { force: true, ..DrainPolicy::default() };
        let request = DrainRequest { policy, ..DrainRequest::default() };
        build(&[NodeName::from("old")], &request, &cluster, &Circumstances::default(), None, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn what_is_made_again_goes_in_turns() {
        let plan = plan(Some("StatefulSet"), 5, 3);
        assert_eq!(plan.refusals, []);
        let [spend] = plan.budgets.as_slice() else { panic!("{:?}", plan.budgets) };
        assert_eq!((spend.allowed_now, spend.pods, spend.lost, spend.turns), (2, 5, 0, Some(3)));
    }

    #[test]
    fn what_nobody_makes_again_cannot_ask_for_more_than_there_is() {
        assert_eq!(plan(None, 3, 0).refusals, [], "all may go");
        let plan = plan(None, 3, 1);
        let refused: Vec<_> = plan.refusals.iter().map(|refusal| refusal.pod.name.as_str()).collect();
        assert_eq!(refused, ["app-2"], "two of three may go, and then no other");
        let refusal = &plan.refusals[0];
        assert!(refusal.message.contains("it has only 2 to spare"), "{}", refusal.message);
        assert_eq!(refusal.remedy, "--allow-downtime shop/pod/app-2");
    }
}
