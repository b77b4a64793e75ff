//! How a plan is made of a snapshot.

use std::collections::BTreeSet;

use cluster_model::budget::Room;
use cluster_model::disposition::{self, DaemonSetPresence, Disposition, LeaveReason, Warning};
use cluster_model::identity::{NodeName, ObjectKey, PodId, Uid};
use cluster_model::kubevirt::Decision;
use cluster_model::pod::Pod;
use cluster_model::snapshot::ClusterSnapshot;
use jiff::Timestamp;

use super::duration;
use super::gap::{self, Startup};
use super::impact::impacts;
use super::ledger::spend;
use super::words::{consent_to_downtime, leave_words, refusal_words, warning_words};
use super::{
    Action, DrainPlan, Estimate, Forecast, IncomingGuest, Method, NodePlan, OwnerName, PodPlan, RefusalKind, RefusedPod,
};
use crate::guests::{self, GuestObstacle, Moves, StrayLauncher};
use crate::request::{DrainRequest, Removal, Strategy};
use crate::surge::crew::Crew;
use crate::surge::detach::{self, Circumstances, Detachable, Obstacle};

/// Plans the drain of `nodes`, in their order. `selected` holds the pods that `--pod-selector` lets through; `None`:
/// all of them.
pub fn build(
    nodes: &[NodeName],
    request: &DrainRequest,
    cluster: &ClusterSnapshot,
    circumstances: &Circumstances,
    selected: Option<&BTreeSet<Uid>>,
    now: Timestamp,
) -> DrainPlan {
    let mut refusals = Vec::new();
    let chosen = |pod: &Pod| selected.is_none_or(|selected| selected.contains(&pod.id.uid));
    let guests = nodes.iter().map(|name| plan_guests(name, request, cluster, &chosen, &mut refusals)).collect();
    let moves_pods = request.moves == Moves::Everything;
    let mut nodes: Vec<_> = nodes
        .iter()
        .map(|name| {
            let is_meant = |pod: &&Pod| moves_pods && chosen(pod);
            let pods = cluster.pods_on(name).filter(is_meant).map(|pod| {
                let (plan, refusal) = plan_pod(pod, request, cluster, circumstances, now);
                refusals.extend(refusal.map(|(kind, message, remedy)| RefusedPod {
                    node: name.clone(),
                    pod: pod.id.clone(),
                    kind,
                    message,
                    remedy,
                }));
                plan
            });
            let pods = pods.collect();
            let cordoned = cluster.node(name).is_some_and(|node| node.unschedulable);
            NodePlan { name: name.clone(), cordoned, pods }
        })
        .collect();
    let (budgets, too_many) = spend(&mut nodes, request, cluster);
    refusals.extend(too_many);
    let services = impacts(&nodes, request, cluster);
    let Guests { vms, stray_launchers, incoming } = guests;
    let estimate = duration::of_run(&nodes);
    DrainPlan { nodes, vms, stray_launchers, incoming, services, budgets, estimate, capacity: None, refusals }
}

/// What the plan holds of virtual machines.
#[derive(Default)]
struct Guests {
    vms: Vec<Decision>,
    stray_launchers: Vec<StrayLauncher>,
    incoming: Vec<IncomingGuest>,
}

impl FromIterator<Self> for Guests {
    fn from_iter<I: IntoIterator<Item = Self>>(nodes: I) -> Self {
        let mut all = Self::default();
        for node in nodes {
            all.vms.extend(node.vms);
            all.stray_launchers.extend(node.stray_launchers);
            all.incoming.extend(node.incoming);
        }
        all
    }
}

fn plan_guests(
    node: &NodeName,
    request: &DrainRequest,
    cluster: &ClusterSnapshot,
    chosen: &impl Fn(&Pod) -> bool,
    refusals: &mut Vec<RefusedPod>,
) -> Guests {
    let virtualization = cluster.virtualization();
    let mut refuse = |pod: PodId, kind, obstacle: Option<GuestObstacle>| {
        refusals.extend(obstacle.map(|GuestObstacle { message, remedy }| RefusedPod {
            node: node.clone(),
            pod,
            kind,
            message,
            remedy,
        }));
    };
    let mut planned = Guests::default();
    for instance in virtualization.instances_on(node).filter(|one| guests::is_meant(one, virtualization, chosen)) {
        let (decision, obstacle) = guests::plan_guest(instance, request, cluster);
        let key = &instance.metadata.key;
        let id = PodId { namespace: key.namespace.clone(), name: key.name.clone(), uid: instance.uid().clone() };
        refuse(id, RefusalKind::VirtualMachine, obstacle);
        planned.vms.push(decision);
    }
    for (stray, obstacle) in guests::stray_launchers(node, request, virtualization) {
        refuse(stray.pod.clone(), RefusalKind::StrayLauncher, obstacle);
        planned.stray_launchers.push(stray);
    }
    let incoming = guests::incoming(node, virtualization).map(|instance| IncomingGuest {
        node: node.clone(),
        vm: instance.metadata.key.clone(),
        from: instance.node.clone(),
    });
    planned.incoming.extend(incoming);
    planned
}

/// A refusal on its way into the plan: kind, sentence, remedy.
type PodRefusal = (RefusalKind, String, String);

/// Plans one pod, with the refusal if it stands in the way.
pub fn plan_pod(
    pod: &Pod,
    request: &DrainRequest,
    cluster: &ClusterSnapshot,
    circumstances: &Circumstances,
    now: Timestamp,
) -> (PodPlan, Option<PodRefusal>) {
    let owner = cluster.home_of(pod).map(|owner| OwnerName { kind: owner.kind, name: owner.name });
    let mut plan = PodPlan {
        pod: pod.id.clone(),
        owner,
        action: Action::Leave,
        method: Method::None,
        reason: None,
        expected_gap_seconds: Some(0),
        estimate: None,
        at_a_time: u32::MAX,
        forecast: Forecast::default(),
        warnings: Vec::new(),
        remedy: None,
        is_lost: false,
        bypasses_budget: false,
        keeps_a_gate: false,
    };
    let record = cluster.detach_record(pod);
    let is_ours = matches!(record, Some(Ok(_)));
    if let Some(Err(disbelief)) = &record {
        plan.warnings.push(format!("its mark of an earlier handover is not believed: {disbelief}"));
    }
    // Where KubeVirt is known, what has not ended of a guest's is the guest's.
    if cluster.virtualization().is_known() && guests::is_guests_pod(pod) && !pod.is_terminal() {
        plan.reason = Some("goes with its virtual machine".to_owned());
        return (plan, None);
    }
    match disposition::classify(pod, &request.policy, daemon_set_presence(pod, cluster), is_ours, now) {
        Disposition::Leave(reason) => {
            plan.reason = Some(leave_words(reason).to_owned());
            let services: BTreeSet<_> = cluster
                .traffic_of(&pod.id.namespace, &pod.id.uid)
                .into_iter()
                .map(|traffic| traffic.service.name)
                .collect();
            if reason == LeaveReason::DaemonSet && !services.is_empty() {
                let names: Vec<_> = services.into_iter().collect();
                plan.warnings.push(format!("serves on behind Service {}", names.join(" and ")));
            }
            (plan, None)
        }
        Disposition::Refuse(refusal) => {
            let (message, remedy) = refusal_words(refusal);
            refuse(plan, RefusalKind::Kubectl(refusal), message.to_owned(), remedy.to_owned())
        }
        Disposition::Move(warnings) => {
            plan.is_lost =
                warnings.iter().any(|warning| matches!(warning, Warning::Unmanaged | Warning::DaemonSetMissing));
            plan.warnings.extend(warnings.into_iter().map(|warning| warning_words(warning, request).to_owned()));
            plan_move(plan, pod, is_ours, request, cluster, circumstances)
        }
    }
}

fn plan_move(
    mut plan: PodPlan,
    pod: &Pod,
    is_ours: bool,
    request: &DrainRequest,
    cluster: &ClusterSnapshot,
    circumstances: &Circumstances,
) -> (PodPlan, Option<PodRefusal>) {
    if pod.is_terminating() {
        plan.action = Action::Wait;
        plan.reason = Some("it is terminating already".to_owned());
        return (plan, None);
    }
    if let Some(why) = request.waits_for(pod) {
        plan.action = Action::Wait;
        plan.reason = Some(format!("is waited for until it has ended: {why}"));
        return (plan, None);
    }
    plan.warnings.extend(pod.wishes.objections.iter().map(|wish| format!("it asks to be left alone: {wish}")));
    let grace = request.grace_seconds.map_or(pod.grace_seconds, i64::from);
    let grace = u64::try_from(grace).unwrap_or(0);
    let settle = request.settle_of(pod, cluster).as_secs();
    let handover = if is_ours {
        Ok(Some("it was detached by an earlier run, which goes on"))
    } else {
        may_hand_over(pod, request, cluster, circumstances)
    };
    match handover {
        Ok(note) => {
            plan.action = Action::Handover;
            plan.method = Method::Detach;
            plan.at_a_time = surge_of(pod, request, cluster, circumstances);
            plan.reason = note.map(str::to_owned);
            plan.estimate = Startup::of(pod, cluster)
                .map(|startup| Estimate { low: startup.usual + settle, high: startup.at_most() + settle + grace });
        }
        // A pod that does not serve has nothing to hand over, so that is no refusal even under --strategy=surge, whatever
        // else would be in the way.
        Err(Some(obstacle)) if request.strategy == Strategy::Surge && pod.is_ready() => {
            let message = format!("cannot be handed over: {obstacle}");
            return refuse(plan, RefusalKind::CannotSurge, message, "--strategy=auto".to_owned());
        }
        Err(obstacle) => {
            plan.action = Action::Evict;
            plan.method = if request.removal == Removal::Delete { Method::Delete } else { Method::Evict };
            plan.reason = obstacle.map(|obstacle| obstacle.to_string());
            if request.takes_turns(pod, false)
                && Crew::of(pod, cluster).is_some_and(|crew| crew.members(cluster).count() > 1)
            {
                plan.at_a_time = 1;
                plan.warnings.push("goes when the last pod of its workload is replaced".to_owned());
            }
            plan.expected_gap_seconds = gap::expected(&plan, pod, grace, request, cluster, circumstances);
            plan.estimate = Some(Estimate { low: 0, high: grace });
        }
    }
    if request.strategy != Strategy::Evict && cluster.gates_of(&pod.id.uid).next().is_some() {
        plan.warnings.push(gate_words(&plan, cluster));
        plan.keeps_a_gate = true;
    }
    if request.removal == Removal::Delete {
        return (plan, None);
    }
    let workload = plan.workload();
    match dead_end(pod, &plan, cluster) {
        Some((_, message)) if request.allows_downtime(&workload) => {
            // One that is handed over is replaced first, and only then deleted.
            if plan.action == Action::Evict {
                plan.method = Method::Delete;
            }
            plan.bypasses_budget = true;
            plan.warnings.push(format!("{message}: deleted past it, as --allow-downtime says"));
            (plan, None)
        }
        Some((kind, message)) => {
            // What keeps it from being handed over may be easier to change than the budget.
            let message = match &plan.reason {
                Some(obstacle) => format!("{message}; it cannot be handed over instead: {obstacle}"),
                None => message,
            };
            refuse(plan, kind, message, consent_to_downtime(&workload))
        }
        None => (plan, None),
    }
}

/// Whether a pod is to be handed over, with what there is to say about it; else the obstacle, or nothing where the
/// strategy alone decides.
pub(crate) fn may_hand_over(
    pod: &Pod,
    request: &DrainRequest,
    cluster: &ClusterSnapshot,
    circumstances: &Circumstances,
) -> Result<Option<&'static str>, Option<Obstacle>> {
    if request.strategy == Strategy::Evict {
        return Err(None);
    }
    match detach::judge(pod, cluster, circumstances) {
        Ok(detachable) if may_surge(&detachable, request, cluster) => Ok(None),
        Ok(_) => Err(Some(Obstacle::NoSurge)),
        Err(obstacle) if obstacle.is_passing() => Ok(Some("waits until the rollout of its Deployment has ended")),
        Err(obstacle) => Err(Some(obstacle)),
    }
}

/// How many pods of a workload are handed over side by side.
fn surge_of(pod: &Pod, request: &DrainRequest, cluster: &ClusterSnapshot, circumstances: &Circumstances) -> u32 {
    let limit = detach::judge(pod, cluster, circumstances).ok().map(|detachable| {
        let replicas = cluster.replica_set(&detachable.replica_set).map_or(0, |set| set.replicas);
        request.surge_limit(detachable.max_surge, replicas)
    });
    limit.and_then(|limit| u32::try_from(limit).ok()).unwrap_or(1)
}

fn may_surge(detachable: &Detachable, request: &DrainRequest, cluster: &ClusterSnapshot) -> bool {
    let replicas = cluster.replica_set(&detachable.replica_set).map_or(0, |set| set.replicas);
    request.surge_limit(detachable.max_surge, replicas) > 0
}

/// Finds a budget under which the eviction API can never let the pod go.
fn dead_end(pod: &Pod, plan: &PodPlan, cluster: &ClusterSnapshot) -> Option<(RefusalKind, String)> {
    match cluster.room_for(pod) {
        Room::Open => None,
        // A pod that is handed over is one more than its workload needs: it goes when each of them has one to spare. That
        // has to be known of each.
        Room::ManyBudgets(_) if plan.action == Action::Handover => {
            let unknown = cluster.budgets_of(pod).find(|budget| !budget.is_computed())?;
            let why = unknown.sync_failure.clone().unwrap_or_else(|| "its controller has not looked at it".to_owned());
            let name = &unknown.key.name;
            let message = format!("is held by PodDisruptionBudget {name}, which cannot be computed: {why}");
            Some((RefusalKind::BudgetNeverAllows, message))
        }
        Room::ManyBudgets(budgets) => {
            let names: Vec<_> = budgets.iter().map(|budget| budget.name.as_str()).collect();
            let message = format!(
                "is selected by {} PodDisruptionBudgets ({}), and Kubernetes evicts no such pod",
                names.len(),
                names.join(", ")
            );
            Some((RefusalKind::ManyBudgets, message))
        }
        Room::Closed(block) => {
            let budget = cluster.budget(&block.budget)?;
            if let Some(failure) = &budget.sync_failure {
                let message = format!(
                    "is held by PodDisruptionBudget {}, which cannot be computed: {failure}",
                    block.budget.name
                );
                return Some((RefusalKind::BudgetNeverAllows, message));
            }
            let never =
                budget.is_observed && budget.expected_pods > 0 && budget.desired_healthy >= budget.expected_pods;
            // A handover brings a healthy pod more than the budget expects, which is what opens it.
            (never && plan.action == Action::Evict).then(|| {
                let message = format!(
                    "is held by PodDisruptionBudget {}, which needs {} healthy pods of {} and so never allows an eviction",
                    block.budget.name, budget.desired_healthy, budget.expected_pods
                );
                (RefusalKind::BudgetNeverAllows, message)
            })
        }
    }
}

/// What to know of a pod that answers for a webhook. One whose place is empty for a while can keep its own successor out.
fn gate_words(plan: &PodPlan, cluster: &ClusterSnapshot) -> String {
    let others = |service: &ObjectKey| cluster.ready_endpoints(service).len() > 1;
    let is_alone = plan.action == Action::Evict && !cluster.gates_of(&plan.pod.uid).all(others);
    let alone = if is_alone {
        ", and is the only one: until its successor answers, that webhook refuses all it is asked"
    } else {
        ""
    };
    format!("answers for a webhook without which nothing passes: goes first{alone}")
}

fn refuse(mut plan: PodPlan, kind: RefusalKind, message: String, remedy: String) -> (PodPlan, Option<PodRefusal>) {
    plan.action = Action::Refuse;
    plan.method = Method::None;
    plan.reason = Some(message.clone());
    plan.remedy = Some(remedy.clone());
    plan.expected_gap_seconds = None;
    plan.estimate = None;
    (plan, Some((kind, message, remedy)))
}

/// Whether the DaemonSet that the pod names was found by the list.
fn daemon_set_presence(pod: &Pod, cluster: &ClusterSnapshot) -> DaemonSetPresence {
    let known = |uid: &Uid| cluster.controllers().any(|controller| controller.uid == *uid);
    match &pod.controller {
        Some(controller) if !known(&controller.uid) => DaemonSetPresence::Missing,
        _ => DaemonSetPresence::Exists,
    }
}
