//! PodDisruptionBudgets: whether an eviction may be asked for now, judged by what the watch says.
//!
//! Rules: `pkg/registry/core/pod/storage/eviction.go` and `pkg/controller/disruption/disruption.go`.

use crate::api::policy as v1;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::identity::ObjectKey;
use crate::pod::{Phase, Pod};
use crate::selector::Selector;

/// One PodDisruptionBudget.
#[derive(Clone, Debug, PartialEq)]
pub struct Budget {
    /// Which budget.
    pub key: ObjectKey,
    /// `metadata.resourceVersion`: tells whether anything changed since a refusal.
    pub resource_version: String,
    /// Its pods. In policy/v1 an absent selector selects none, an empty one the whole namespace.
    pub selector: Selector,
    /// Whether the controller has seen the current spec.
    pub is_observed: bool,
    /// `status.disruptionsAllowed`.
    pub disruptions_allowed: i32,
    /// `status.currentHealthy`.
    pub current_healthy: i32,
    /// `status.desiredHealthy`.
    pub desired_healthy: i32,
    /// `status.expectedPods`.
    pub expected_pods: i32,
    /// Whether it says how many of its pods' owners' replicas have to be there (`maxUnavailable`, or a percentage), and not
    /// how many pods: then each of its pods has to have an owner with a scale, or none
    /// (`pkg/controller/disruption/disruption.go`, `getExpectedPodCount`).
    pub counts_by_scale: bool,
    /// `unhealthyPodEvictionPolicy: AlwaysAllow`.
    pub always_allows_unhealthy: bool,
    /// Why the controller could not compute the budget: condition DisruptionAllowed with reason SyncFailed.
    pub sync_failure: Option<String>,
}

impl Budget {
    /// Whether its numbers say something: its controller has seen its spec, and could compute it.
    pub fn is_computed(&self) -> bool {
        self.is_observed && self.sync_failure.is_none()
    }
}

impl From<&v1::PodDisruptionBudget> for Budget {
    fn from(budget: &v1::PodDisruptionBudget) -> Self {
        let spec = budget.spec.as_ref();
        let status = budget.status.as_ref();
        let observed = status.and_then(|status| status.observed_generation).unwrap_or(0);
        Self {
            key: ObjectKey::of(&budget.metadata),
            resource_version: budget.metadata.resource_version.clone().unwrap_or_default(),
            selector: Selector::from_label_selector(spec.and_then(|spec| spec.selector.as_ref())),
            is_observed: status.is_some() && observed >= budget.metadata.generation.unwrap_or(0),
            disruptions_allowed: status.map_or(0, |status| status.disruptions_allowed),
            current_healthy: status.map_or(0, |status| status.current_healthy),
            desired_healthy: status.map_or(0, |status| status.desired_healthy),
            expected_pods: status.map_or(0, |status| status.expected_pods),
            counts_by_scale: spec.is_some_and(|spec| {
                spec.max_unavailable.is_some() || matches!(spec.min_available, Some(IntOrString::String(_)))
            }),
            always_allows_unhealthy: spec.and_then(|spec| spec.unhealthy_pod_eviction_policy.as_deref())
                == Some("AlwaysAllow"),
            sync_failure: status
                .and_then(|status| status.conditions.as_ref())
                .into_iter()
                .flatten()
                .find(|condition| condition.status == "False" && condition.reason == "SyncFailed")
                .map(|condition| condition.message.clone()),
        }
    }
}

/// Whether the eviction API would let a pod go, as far as a watch can know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Room {
    /// Nothing speaks against asking.
    Open,
    /// Asking would be refused now; it may open later.
    Closed(BudgetBlock),
    /// More than one budget selects the pod: the API answers 500 whatever their state.
    ManyBudgets(Vec<ObjectKey>),
}

/// The numbers behind a closed budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetBlock {
    /// Which budget.
    pub budget: ObjectKey,
    /// How many healthy pods it has.
    pub current_healthy: i32,
    /// How many it needs.
    pub desired_healthy: i32,
    /// Whether its controller still has to see its newest spec.
    pub is_stale: bool,
}

/// Judges an eviction of `pod` under the budgets that select it. Clauses, in the server's order:
///
/// 1. a pod that is pending, ended or already terminating is under no budget;
/// 2. more than one budget is an error;
/// 3. a budget that its controller has not observed is closed;
/// 4. an unready pod goes if the policy says always, or if the budget is met without it;
/// 5. otherwise `disruptionsAllowed` must be positive.
pub fn room<'a>(pod: &Pod, budgets: impl Iterator<Item = &'a Budget>) -> Room {
    if pod.phase == Phase::Pending || pod.is_terminal() || pod.is_terminating() {
        return Room::Open;
    }
    let mut selecting = budgets.filter(|budget| selects(budget, pod));
    let Some(budget) = selecting.next() else { return Room::Open };
    let others: Vec<_> = selecting.map(|other| other.key.clone()).collect();
    if !others.is_empty() {
        return Room::ManyBudgets(std::iter::once(budget.key.clone()).chain(others).collect());
    }
    let unready = pod.ready_since.is_none();
    let met_without_it = budget.current_healthy >= budget.desired_healthy && budget.desired_healthy > 0;
    let open = unready && (budget.always_allows_unhealthy || met_without_it) || budget.disruptions_allowed > 0;
    if open && (budget.is_observed || unready) {
        return Room::Open;
    }
    Room::Closed(BudgetBlock {
        budget: budget.key.clone(),
        current_healthy: budget.current_healthy,
        desired_healthy: budget.desired_healthy,
        is_stale: !budget.is_observed,
    })
}

/// Whether `budget` lies in the pod's namespace and selects its labels.
pub fn selects(budget: &Budget, pod: &Pod) -> bool {
    budget.key.namespace == pod.id.namespace && budget.selector.matches(&pod.labels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    #[test]
    fn the_clauses_of_the_eviction_api() {
        let ready = fixtures::pod("shop", "web").labelled(&[("app", "web")]).ready().build();
        let unready = fixtures::pod("shop", "web").labelled(&[("app", "web")]).build();
        let pending = fixtures::pod("shop", "web").labelled(&[("app", "web")]).phase(Phase::Pending).build();
        let open = fixtures::budget("shop", "web", 1);
        let shut = fixtures::budget("shop", "web", 0);
        let stale = Budget { is_observed: false, ..open.clone() };
        let always = Budget { always_allows_unhealthy: true, current_healthy: 0, ..shut.clone() };
        let unmet = Budget { current_healthy: 0, ..shut.clone() };
        let elsewhere = fixtures::budget("other", "web", 0);
        let second = Budget { key: ObjectKey::new("shop", "all"), ..open.clone() };
        let cases: &[(&str, &Pod, &[&Budget], bool)] = &[
            ("no budget", &ready, &[], true),
            ("another namespace's", &ready, &[&elsewhere], true),
            ("room", &ready, &[&open], true),
            ("no room", &ready, &[&shut], false),
            ("not observed", &ready, &[&stale], false),
            ("pending pod", &pending, &[&shut], true),
            ("unready, budget met without it", &unready, &[&shut], true),
            ("unready, budget not met", &unready, &[&unmet], false),
            ("unready, always allowed", &unready, &[&always], true),
            ("two budgets", &ready, &[&open, &second], false),
        ];
        for (name, pod, budgets, expected) in cases {
            let room = room(pod, budgets.iter().copied());
            assert_eq!(room == Room::Open, *expected, "{name}: {room:?}");
        }
    }
}
