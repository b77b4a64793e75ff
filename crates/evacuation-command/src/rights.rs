//! Which rights a run needs from its first change on; what was needed to look has been used by then.
//! The plugin's file in docs/rbac grants all of them, and a test removes each in turn.

use std::collections::BTreeSet;

use evacuation::plan::{Action, DrainPlan};
use evacuation::request::{DrainRequest, Removal};
use evacuation_runner::observe::Observation;
use evacuation_runner::preflight::{self, MissingRight, Need, Right};
use kubectl_common::failure::Failure;

use crate::failure::call_failed;
use crate::session::Session;

/// What a drain needs, unless it can do without: `patch pods` decides in the plan how pods leave.
pub(crate) fn of_drain(request: &DrainRequest, plan: &DrainPlan, observation: &Observation) -> Vec<Need> {
    let leaving = plan.pods().filter(|(_, pod)| matches!(pod.action, Action::Handover | Action::Evict));
    let leaving = leaving.map(|(_, pod)| pod.pod.namespace.clone()).collect();
    let removal = match request.removal {
        Removal::Evict => Right::EVICT_PODS,
        Removal::Delete => Right::DELETE_PODS,
    };
    let mut needs = vec![Need::everywhere(Right::PATCH_NODES), Need::within(removal, leaving)];
    needs.extend(of_the_view(observation));
    needs
}

/// What giving back needs.
pub(crate) fn of_undo(detached: BTreeSet<String>, observation: &Observation) -> Vec<Need> {
    let mut needs = vec![Need::everywhere(Right::PATCH_NODES), Need::within(Right::PATCH_PODS, detached)];
    needs.extend(of_the_view(observation));
    needs
}

/// The watches of `LiveView::new`, and the look at a pod whose detach was not answered.
fn of_the_view(observation: &Observation) -> Vec<Need> {
    let handovers = &observation.handover_namespaces;
    let budgets = observation.cluster.budgets().map(|budget| budget.key.namespace.clone());
    let budgets = budgets.filter(|namespace| observation.eviction_namespaces.contains(namespace));
    vec![
        Need::everywhere(Right::WATCH_NODES),
        Need::everywhere(Right::WATCH_PODS),
        Need::within(Right::GET_PODS, handovers.clone()),
        Need::within(Right::WATCH_REPLICA_SETS, handovers.clone()),
        Need::within(Right::WATCH_ENDPOINT_SLICES, handovers.clone()),
        Need::within(Right::WATCH_BUDGETS, handovers.iter().cloned().chain(budgets).collect()),
    ]
}

/// Asks the server which of these the user lacks.
pub(crate) async fn missing(session: &Session, needs: &[Need]) -> Result<Vec<MissingRight>, Failure> {
    preflight::missing(&session.access, needs)
        .await
        .map_err(|error| call_failed(session, &error, "ask what you may do"))
}
