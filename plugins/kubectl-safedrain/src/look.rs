//! The look before a drain: the nodes, what is on them, what this user may do with it, and the plan that follows.

use std::collections::BTreeSet;

use cluster_model::identity::NodeName;
use cluster_model::legible::Legible;
use cluster_model::marks::{NodeRun, RunPhase};
use cluster_model::node::Node;
use evacuation::plan::{self, DrainPlan};
use evacuation::request::{DrainRequest, Strategy};
use evacuation::surge::detach::Circumstances;
use evacuation_runner::observe::{self, Observation};
use evacuation_runner::preflight::{self, MissingRight, Right};
use kubectl_common::failure::Failure;
use kubectl_common::flags::DryRun;
use kubectl_common::report::Output;

use crate::cli::DrainArgs;
use crate::failure::{DrainError, call_failed, list_failed};
use crate::request::Targets;
use crate::session::{Session, now};
use crate::{nodes, rights};

/// What was found.
pub(crate) struct Look {
    pub(crate) targets: Vec<NodeName>,
    pub(crate) observation: Observation,
    pub(crate) circumstances: Circumstances,
    pub(crate) plan: DrainPlan,
    /// The rights without which the run would fail half-way.
    pub(crate) missing: Vec<MissingRight>,
}

/// Looks. `None`: the selector chooses no node.
pub(crate) async fn look(
    args: &DrainArgs,
    request: &DrainRequest,
    session: &Session,
    output: &Output,
    targets: Targets,
) -> Result<Option<Look>, Failure> {
    let (targets, all_nodes) = find_nodes(session, targets).await?;
    if targets.is_empty() {
        return Ok(None);
    }
    check_marks(&all_nodes, &targets)?;
    warn_of_marks(output, &all_nodes, &targets);
    let with_handovers = request.strategy != Strategy::Evict;
    let selector = args.pod_selector.as_deref();
    let observation = observe::for_drain(&session.access, all_nodes, &targets, selector, with_handovers)
        .await
        .map_err(|error| list_failed(&session.connection, &error))?;
    let may_not_patch = preflight::lacking(&session.access, Right::PATCH_PODS, &observation.handover_namespaces)
        .await
        .map_err(|error| call_failed(&session.connection, &error, "ask what you may do"))?;
    let mut circumstances =
        Circumstances { leaving: targets.iter().cloned().collect(), may_not_patch, ..Circumstances::default() };
    let make = |circumstances: &Circumstances| {
        let Observation { cluster, selected, .. } = &observation;
        plan::build(&targets, request, cluster, circumstances, selected.as_ref(), now())
    };
    let mut plan = make(&circumstances);
    let missing = rights::missing(session, &rights::of_drain(request, &plan, &observation)).await?;
    // A client's dry run sends nothing that could be taken for a write, so policy webhooks are not asked.
    if args.dry_run.mode() != DryRun::Client && missing.is_empty() {
        circumstances.patch_denied =
            preflight::denied_patches(&session.access, &plan, &observation.cluster, now()).await;
        plan = make(&circumstances);
    }
    Ok(Some(Look { targets, observation, circumstances, plan, missing }))
}

async fn find_nodes(session: &Session, targets: Targets) -> Result<(Vec<NodeName>, Vec<Node>), Failure> {
    let all_nodes = observe::nodes(&session.access).await.map_err(|error| list_failed(&session.connection, &error))?;
    let names = match targets {
        Targets::Named(names) => {
            nodes::all_exist(&names, &all_nodes)?;
            names
        }
        Targets::Selected(selector) => {
            let names = observe::node_names(&session.access, &selector).await;
            names.map_err(|error| list_failed(&session.connection, &error))?
        }
    };
    Ok((names, all_nodes))
}

/// Refuses nodes whose mark this program does not understand: overwriting it would forget how the node was before.
pub(crate) fn check_marks(nodes: &[Node], targets: &[NodeName]) -> Result<(), DrainError> {
    for node in nodes.iter().filter(|node| targets.contains(&node.name)) {
        NodeRun::read(node).map_err(|mark| DrainError::UnknownMark { node: node.name.clone(), mark })?;
    }
    Ok(())
}

/// Every start tells of marks that other runs have left on other nodes; on its own nodes this run goes on itself.
fn warn_of_marks(output: &Output, nodes: &[Node], targets: &[NodeName]) {
    let names: BTreeSet<_> = targets.iter().collect();
    for node in nodes.iter().filter(|node| !names.contains(&node.name)) {
        let Some(mark) = NodeRun::of(node).filter(|mark| mark.phase == RunPhase::Draining) else { continue };
        let name = &node.name;
        output.warning(&format!(
            "node {name} carries the mark of a run of {} from {:.0} that has not ended: \
             if nobody runs it any more, go on with `kubectl safedrain {name}`, or give it back with `kubectl safedrain {name} --undo`",
            Legible(&mark.user),
            mark.start,
        ));
    }
}
