//! Which rights a run needs from its first change on; what was needed to look has been used by then.
//! The plugin's file in docs/rbac grants all of them, and a test removes each in turn.

use std::collections::BTreeSet;

use api_access::rights::{self as review, MissingRight, Need, Right};
use cluster_model::kubevirt::Means;
use cluster_model::pod::Pod;
use evacuation::plan::{Action, DrainPlan, PodPlan};
use evacuation::request::{DrainRequest, Removal};
use evacuation_runner::observe::Observation;
use evacuation_runner::rights;
use kubectl_common::failure::Failure;

use crate::failure::call_failed;
use crate::session::Session;

/// What a drain needs, unless it can do without: `patch pods` decides in the plan how pods leave.
pub(crate) fn of_drain(request: &DrainRequest, plan: &DrainPlan, observation: &Observation) -> Vec<Need> {
    // What is waited for is evicted once it has ended, unless it is terminating already.
    let is_ending = |pod: &PodPlan| observation.cluster.pod(&pod.pod).is_some_and(Pod::is_terminating);
    let leaving = plan.pods().filter(|(_, pod)| match pod.action {
        Action::Handover | Action::Evict => true,
        Action::Wait => !is_ending(pod),
        Action::Leave | Action::Refuse => false,
    });
    let leaving = leaving.map(|(_, pod)| pod.pod.namespace.clone()).collect();
    let mut needs = vec![Need::everywhere(rights::PATCH_NODES), Need::within(removal_of(request), leaving)];
    // What goes round a budget, and what has several of them, is deleted.
    let past = plan.pods().filter(|(_, pod)| pod.bypasses_budget || needs_deletion(pod, observation));
    needs.push(Need::within(rights::DELETE_PODS, past.map(|(_, pod)| pod.pod.namespace.clone()).collect()));
    if request.keeps_manifests {
        let lost = plan.pods().filter(|(_, pod)| pod.is_lost);
        needs.push(Need::within(rights::GET_PODS, lost.map(|(_, pod)| pod.pod.namespace.clone()).collect()));
    }
    needs.extend(of_guests(request, plan, observation));
    needs.extend(of_the_view(observation));
    needs
}

/// Whether a pod is handed over although several budgets select it, which the eviction API does not support.
fn needs_deletion(plan: &PodPlan, observation: &Observation) -> bool {
    let pod = observation.cluster.pod(&plan.pod).filter(|_| plan.action == Action::Handover);
    pod.is_some_and(|pod| observation.cluster.budgets_of(pod).count() > 1)
}

fn removal_of(request: &DrainRequest) -> Right {
    match request.removal {
        Removal::Evict => rights::EVICT_PODS,
        Removal::Delete => rights::DELETE_PODS,
    }
}

/// What the virtual machines of a plan need, each by its means; and what calling their evacuation off would.
fn of_guests(request: &DrainRequest, plan: &DrainPlan, observation: &Observation) -> Vec<Need> {
    let by = |wanted: fn(Means) -> bool| -> BTreeSet<String> {
        plan.vms.iter().filter(|vm| wanted(vm.means)).map(|vm| vm.namespace.clone()).collect()
    };
    let evicts = by(|means| matches!(means, Means::Evacuate | Means::Mark));
    let shuts_down = by(|means| means == Means::Evict);
    let migrates = by(|means| matches!(means, Means::Evacuate | Means::Mark | Means::CreateMigration | Means::Follow));
    let marks = by(|means| matches!(means, Means::Evacuate | Means::Mark | Means::Follow));
    let can_cancel = observation.cluster.virtualization().features().can_cancel_evacuation;
    let marks = if can_cancel { marks } else { BTreeSet::new() };
    let stale = if request.guests.delete_stale_launchers { migrates.clone() } else { BTreeSet::new() };
    vec![
        Need::within(rights::EVICT_PODS, evicts),
        Need::within(removal_of(request), shuts_down),
        Need::within(rights::CREATE_MIGRATIONS, by(|means| means == Means::CreateMigration)),
        Need::within(rights::DELETE_MIGRATIONS, migrates),
        Need::within(rights::EVACUATE, marks.clone()),
        Need::within(rights::CANCEL_EVACUATION, marks),
        Need::within(rights::RESTART_MACHINES, by(|means| means == Means::RestartMachine)),
        Need::within(rights::STOP_MACHINES, by(|means| means == Means::StopMachine)),
        Need::within(rights::DELETE_INSTANCES, by(|means| means == Means::DeleteInstance)),
        Need::within(rights::DELETE_PODS, stale),
    ]
}

/// What giving back needs. `evacuating` are the namespaces of virtual machines whose evacuation is called off,
/// `stopped` of those that get their run strategy back.
pub(crate) fn of_undo(
    detached: BTreeSet<String>,
    evacuating: BTreeSet<String>,
    stopped: BTreeSet<String>,
    observation: &Observation,
) -> Vec<Need> {
    let mut needs = vec![
        Need::everywhere(rights::PATCH_NODES),
        Need::within(rights::PATCH_PODS, detached),
        Need::within(rights::EVACUATE, evacuating.clone()),
        Need::within(rights::CANCEL_EVACUATION, evacuating.clone()),
        Need::within(rights::DELETE_MIGRATIONS, evacuating),
        Need::within(rights::PATCH_MACHINES, stopped),
    ];
    needs.extend(of_the_view(observation));
    needs
}

/// The watches of `LiveView::new`, and the look at a pod whose detach was not answered.
fn of_the_view(observation: &Observation) -> Vec<Need> {
    let handovers = &observation.handover_namespaces;
    let budgets = observation.cluster.budgets().map(|budget| budget.key.namespace.clone());
    let budgets = budgets.filter(|namespace| !handovers.contains(namespace) && observation.touches(namespace));
    let guests = observation.guest_namespaces.as_ref().map(|namespaces| {
        [
            Need::everywhere(rights::WATCH_INSTANCES),
            Need::everywhere(rights::WATCH_MIGRATIONS),
            Need::within(rights::WATCH_MACHINES, namespaces.clone()),
        ]
    });
    let others = vec![
        Need::everywhere(rights::WATCH_NODES),
        Need::everywhere(rights::WATCH_PODS),
        Need::within(rights::GET_PODS, handovers.clone()),
        Need::within(rights::WATCH_REPLICA_SETS, handovers.clone()),
        Need::within(rights::WATCH_REPLICATION_CONTROLLERS, observation.controller_namespaces()),
        Need::within(rights::WATCH_ENDPOINT_SLICES, handovers.clone()),
        Need::within(rights::WATCH_BUDGETS, handovers.iter().cloned().chain(budgets).collect()),
    ];
    let attachments = observation.watches_attachments.then(|| Need::everywhere(rights::WATCH_ATTACHMENTS));
    others.into_iter().chain(attachments).chain(guests.into_iter().flatten()).collect()
}

/// Asks the server which of these the user lacks.
pub(crate) async fn missing(session: &Session, needs: &[Need]) -> Result<Vec<MissingRight>, Failure> {
    review::missing(&session.access, needs).await.map_err(|error| call_failed(session, &error, "ask what you may do"))
}
