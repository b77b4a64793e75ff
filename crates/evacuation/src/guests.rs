//! Virtual machines in a run: what was asked for, and what the plan says of them.
//!
//! Each decision is made by [`cluster_model::kubevirt::decide`]; here it is put beside what else of KubeVirt's is on the
//! node, and what stands in the way.

use std::time::Duration;

use cluster_model::budget::{self, Budget, Room};
use cluster_model::identity::{NodeName, PodId};
use cluster_model::kubevirt::{
    self, Action, Cause, Decision, Means, Outcome, Role, VirtualMachineInstance, Virtualization, VmPolicy,
};
use cluster_model::pod::Pod;
use cluster_model::snapshot::ClusterSnapshot;
use serde::Serialize;

use crate::request::{DrainRequest, Removal};

/// What was asked for about virtual machines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuestRequest {
    /// What may happen to those that cannot migrate.
    pub policy: VmPolicy,
    /// `--vm-timeout`: how long one may be under way, not counting its wait for a migration slot; `None`: for ever.
    pub timeout: Option<Duration>,
    /// `--max-failures`: after so many failed migrations of one virtual machine its evacuation is ended for good.
    pub max_failures: u32,
    /// `--delete-stale-launchers`: pods that a migration left running although their guest runs elsewhere are deleted.
    pub delete_stale_launchers: bool,
}

impl Default for GuestRequest {
    /// The defaults of the command line.
    fn default() -> Self {
        Self {
            policy: VmPolicy::default(),
            timeout: Some(Duration::from_secs(30 * 60)),
            max_failures: 3,
            delete_stale_launchers: false,
        }
    }
}

/// What a run moves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Moves {
    /// Virtual machines, then pods.
    #[default]
    Everything,
    /// Virtual machines only.
    GuestsOnly,
}

/// A launcher pod on the node that holds no guest of its own.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StrayLauncher {
    /// The node.
    pub node: NodeName,
    /// Which pod.
    #[serde(flatten)]
    pub pod: PodId,
    /// What it is to its instance, in words.
    pub role: String,
}

/// Why a virtual machine, or a launcher pod, stands in the way: a sentence, and the flag or command that helps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuestObstacle {
    /// The sentence: about a virtual machine a whole one, about a pod without its subject.
    pub message: String,
    /// The flag or command.
    pub remedy: String,
}

/// Whether a pod is one of KubeVirt's that live and die with a guest.
pub fn is_guests_pod(pod: &Pod) -> bool {
    pod.labels.get("kubevirt.io").is_some_and(|role| matches!(role.as_str(), "virt-launcher" | "hotplug-disk"))
}

/// Whether an instance has to leave with the pods that `is_chosen` lets through: by its launcher pod. One without a pod
/// has nothing to be judged by, and is meant.
pub(crate) fn is_meant(
    instance: &VirtualMachineInstance,
    cluster: &Virtualization,
    is_chosen: impl Fn(&Pod) -> bool,
) -> bool {
    cluster.active_launcher(instance).is_none_or(|launcher| is_chosen(&launcher.pod))
}

/// Decides about one instance, and finds what stands in its way.
pub fn plan_guest(
    instance: &VirtualMachineInstance,
    request: &DrainRequest,
    cluster: &ClusterSnapshot,
) -> (Decision, Option<GuestObstacle>) {
    let virtualization = cluster.virtualization();
    let mut decision = kubevirt::decide(instance, virtualization, &request.guests.policy);
    if decision.action == Action::Refuse {
        let remedy = decision.remedy.as_ref().map(ToString::to_string).unwrap_or_default();
        let message = decision.reason.to_string();
        return (decision, Some(GuestObstacle { message, remedy }));
    }
    let obstacle = ends_guest(&decision).then(|| budget_dead_end(instance, decision.means, request, cluster)).flatten();
    if obstacle.is_some() {
        decision.action = Action::Refuse;
        decision.means = Means::None;
        decision.outcome = Outcome::Blocked;
    }
    (decision, obstacle)
}

/// Whether the guest is shut down on the way.
pub(crate) fn ends_guest(decision: &Decision) -> bool {
    matches!(decision.means, Means::Evict | Means::RestartMachine | Means::StopMachine | Means::DeleteInstance)
}

/// Whether the budgets let a guest be shut down now. Only an eviction asks them by itself; what is asked of KubeVirt
/// keeps to them all the same, each of several.
pub(crate) fn closed_budget(
    pod: &Pod,
    request: &DrainRequest,
    cluster: &ClusterSnapshot,
) -> Option<budget::BudgetBlock> {
    if request.removal == Removal::Delete {
        return None;
    }
    cluster.budgets_of(pod).find_map(|one| match budget::room(pod, std::iter::once(one)) {
        Room::Closed(block) => Some(block),
        Room::Open | Room::ManyBudgets(_) => None,
    })
}

/// Finds budgets that will never let the guest be shut down by the means that was decided on.
fn budget_dead_end(
    instance: &VirtualMachineInstance,
    means: Means,
    request: &DrainRequest,
    cluster: &ClusterSnapshot,
) -> Option<GuestObstacle> {
    if request.removal == Removal::Delete {
        return None;
    }
    let pod = &cluster.virtualization().active_launcher(instance)?.pod;
    let obstacle = |message| GuestObstacle { message, remedy: "--disable-eviction".to_owned() };
    if means == Means::Evict
        && let Room::ManyBudgets(budgets) = cluster.room_for(pod)
    {
        let names: Vec<_> = budgets.iter().map(|budget| budget.name.as_str()).collect();
        return Some(obstacle(format!(
            "it would be shut down by an eviction, and Kubernetes evicts no pod that {} PodDisruptionBudgets select ({})",
            names.len(),
            names.join(", ")
        )));
    }
    let is_closed = |one: &&Budget| matches!(budget::room(pod, std::iter::once(*one)), Room::Closed(_));
    cluster.budgets_of(pod).filter(is_closed).find_map(|budget| {
        let name = &budget.key.name;
        if let Some(failure) = &budget.sync_failure {
            return Some(obstacle(format!(
                "it would be shut down, and PodDisruptionBudget {name}, which holds it, cannot be computed: {failure}"
            )));
        }
        let never = budget.is_observed && budget.expected_pods > 0 && budget.desired_healthy >= budget.expected_pods;
        never.then(|| {
            obstacle(format!(
                "it would be shut down, and PodDisruptionBudget {name} needs {} healthy pods of {}, so it never allows \
                 that",
                budget.desired_healthy, budget.expected_pods
            ))
        })
    })
}

/// The launcher pods on a node that hold no guest and have not ended, each with what stands in the way if it will not go
/// by itself.
pub(crate) fn stray_launchers(
    node: &NodeName,
    request: &DrainRequest,
    cluster: &Virtualization,
) -> Vec<(StrayLauncher, Option<GuestObstacle>)> {
    let stray = cluster.launchers_on(node).filter_map(|launcher| {
        let role = cluster.role(launcher);
        let obstacle = match role {
            Role::Active | Role::Finished => return None,
            Role::StaleSource if !request.guests.delete_stale_launchers => Some(GuestObstacle {
                message:
                    "was left running by a migration that is over: its guest runs elsewhere, and no eviction of it \
                          is ever granted"
                        .to_owned(),
                remedy: "--delete-stale-launchers".to_owned(),
            }),
            Role::Orphan if !launcher.pod.is_terminating() => Some(GuestObstacle {
                message:
                    "is a virtual machine's pod, and no such virtual machine exists: KubeVirt refuses its eviction"
                        .to_owned(),
                remedy: format!("kubectl delete pod -n {} {}", launcher.pod.id.namespace, launcher.pod.id.name),
            }),
            Role::StaleSource | Role::Orphan | Role::IncomingTarget { .. } | Role::Unsettled | Role::Provisioning => {
                None
            }
        };
        let stray = StrayLauncher { node: node.clone(), pod: launcher.pod.id.clone(), role: role.to_string() };
        Some((stray, obstacle))
    });
    stray.collect()
}

/// The guests that are migrating to a node, those it holds already not among them.
pub fn incoming<'a>(
    node: &'a NodeName,
    cluster: &'a Virtualization,
) -> impl Iterator<Item = &'a VirtualMachineInstance> {
    cluster.instances().filter(move |instance| !instance.is_final() && instance.is_incoming_to(node))
}

/// Whether a decision leaves nothing to do or to wait for: the guest stays, by the person's own word.
pub(crate) fn stays(decision: &Decision) -> bool {
    decision.action == Action::Leave && !matches!(decision.reason.cause, Cause::Ended | Cause::Ending)
}
