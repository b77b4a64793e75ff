//! The rehearsal: whether the scheduler will find places for the pods that move, before any of them does.

use std::collections::BTreeSet;

use cluster_model::api::core;
use cluster_model::identity::{NodeName, Uid};
use cluster_model::marks::DetachRecord;
use evacuation::guests::Moves;
use evacuation::plan::{self, DrainPlan, Foresight, Ground, PodPlan};
use evacuation_runner::observe::Observation;
use evacuation_runner::scheduler_view::{self, SchedulerView};
use kubectl_common::failure::Failure;
use kubectl_common::report::Output;
use scheduler_forecast::{Cluster, Move};

use crate::failure::list_failed;
use crate::guests;
use crate::job::Job;
use crate::pools::Onto;
use crate::session::Session;

/// Nodes of Karpenter's carry it.
const KARPENTER: &str = "karpenter.sh/nodepool";

/// Looks at what the scheduler sees, and writes into the plan what it will do. `fleet` holds the nodes.
pub(crate) async fn foresee(
    job: &Job,
    session: &Session,
    output: &Output,
    fleet: Cluster,
    observation: &Observation,
    onto: Option<&Onto>,
    plan: &mut DrainPlan,
) -> Result<(), Failure> {
    let targets: BTreeSet<NodeName> = plan.nodes.iter().map(|node| node.name.clone()).collect();
    let moves_pods = job.request.moves == Moves::Everything && plan::may_move(plan);
    let needs_room = guests::need_room(plan, &targets, &observation.cluster);
    if !moves_pods && !needs_room {
        return Ok(());
    }
    let looked = scheduler_view::look(&session.access, fleet, &targets).await;
    let mut view = match looked {
        Ok(view) => view,
        // That is no reason not to move virtual machines.
        Err(error) if !moves_pods => {
            output.note(&format!("whether the other nodes have room is not known: {error}"));
            return Ok(());
        }
        Err(error) => return Err(list_failed(session, &error)),
    };
    if needs_room {
        guests::foresee(&targets, &observation.cluster, &view.taken(), plan);
    }
    if moves_pods {
        let moves = plan::moves(plan, &view.leaving, |pod| template(pod, observation));
        foresee_pods(job, session, &mut view, &moves, onto, plan, observation).await?;
    }
    Ok(())
}

async fn foresee_pods(
    job: &Job,
    session: &Session,
    view: &mut SchedulerView,
    moves: &[Move],
    onto: Option<&Onto>,
    plan: &mut DrainPlan,
    observation: &Observation,
) -> Result<(), Failure> {
    let candidates: Vec<_> = moves.iter().map(|one| &one.candidate).collect();
    view.look_behind(&session.access, &candidates).await.map_err(|error| list_failed(session, &error))?;
    // Only where a pod is handed over does its namespace hold one more for a while.
    let crowded: BTreeSet<_> =
        moves.iter().filter(|one| one.stays).map(|one| one.candidate.resident.namespace.clone()).collect();
    let quotas = scheduler_view::quotas(&session.access, &crowded).await;
    let mut ground = Ground {
        onto: onto.map(|onto| (onto.name.clone(), onto.open.clone())),
        grown_by: onto.filter(|onto| onto.grows).map(|_| "the pool grows".to_owned()),
        quotas: quotas.map_err(|error| list_failed(session, &error))?,
        imagined: job.imagined_nodes,
        unseen: view.unseen.clone(),
    };
    let foresight = Foresight::look(plan, moves, &mut view.cluster, &ground);
    if !foresight.is_all_clear() && onto.is_none() {
        let has_karpenter = observation.cluster.nodes().any(|node| node.labels.contains_key(KARPENTER));
        ground.grown_by = if has_karpenter {
            Some("Karpenter may add one".to_owned())
        } else {
            let has_autoscaler = scheduler_view::has_cluster_autoscaler(&session.access).await;
            has_autoscaler.then(|| "the cluster autoscaler may add one".to_owned())
        };
    }
    let command = |arguments: &str| session.connection.kubectl(arguments);
    foresight.write(plan, &mut view.cluster, &ground, &job.request, &command);
    Ok(())
}

/// What the controller of a pod makes pods of, if its kind is one whose objects were listed.
fn template(pod: &PodPlan, observation: &Observation) -> Option<core::PodTemplateSpec> {
    let pod = observation.cluster.pod(&pod.pod)?;
    let uid: Uid = match &pod.controller {
        Some(controller) => controller.uid.clone(),
        None => DetachRecord::parse(pod.detached.as_deref()?).ok()?.replica_set_uid,
    };
    observation.templates.get(&uid).cloned()
}
