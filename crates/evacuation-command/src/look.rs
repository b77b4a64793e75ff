//! The look before a drain: the nodes, what is on them, what this user may do with it, and the plan that follows.

use std::collections::BTreeSet;

use api_access::rights::{self as review, MissingRight};
use cluster_model::identity::NodeName;
use cluster_model::legible::Legible;
use cluster_model::marks::{NodeRun, RunPhase};
use cluster_model::node::Node;
use cluster_model::quorum::Quorum;
use cluster_model::wishes;
use evacuation::guests::Moves;
use evacuation::plan::{self, DrainPlan};
use evacuation::request::Strategy;
use evacuation::surge::detach::Circumstances;
use evacuation_runner::observe::{self, Observation, Scope};
use evacuation_runner::{precedence, preflight, rights as needed};
use kubectl_common::failure::Failure;
use kubectl_common::flags::DryRun;
use kubectl_common::identity::PluginIdentity;
use kubectl_common::report::Output;
use scheduler_forecast::Cluster;

use crate::failure::{CommandError, call_failed, list_failed};
use crate::job::{Job, Targets};
use crate::pools::{Onto, Pools};
use crate::rehearsal::Rehearsal;
use crate::session::{Session, now};
use crate::{guests, nodes, rights};

/// The plugins that leave marks on nodes. A mark that names another program is no reason to print that name.
const PLUGINS: [&str; 2] = ["safedrain", "vmievict"];

/// What was found.
pub(crate) struct Look {
    pub(crate) targets: Vec<NodeName>,
    pub(crate) observation: Observation,
    pub(crate) circumstances: Circumstances,
    pub(crate) plan: DrainPlan,
    /// The rights without which the run would fail half-way.
    pub(crate) missing: Vec<MissingRight>,
    /// What else keeps the run from beginning.
    pub(crate) obstacle: Option<CommandError>,
    /// Where replacements are expected.
    pub(crate) onto: Option<Onto>,
}

/// Looks. `None`: no node is meant.
pub(crate) async fn look(
    job: &Job,
    session: &Session,
    output: &Output,
    targets: &Targets,
) -> Result<Option<Look>, Failure> {
    let request = &job.request;
    let pool = match targets {
        Targets::Pool(name) => Some(name),
        Targets::Named(_) | Targets::Selected(_) => None,
    };
    let names: Vec<_> = pool.into_iter().chain(&job.onto).map(String::as_str).collect();
    let pools = if names.is_empty() { None } else { Some(Pools::look(session, &names).await?) };
    let (targets, all_nodes, fleet) = find_nodes(job, session, output, targets, pools.as_ref()).await?;
    if targets.is_empty() {
        return Ok(None);
    }
    let onto = pools.as_ref().zip(job.onto.as_ref());
    let onto = onto.map(|(pools, name)| pools.onto(job, session, name, &targets)).transpose()?;
    check_marks(&all_nodes, &targets)?;
    warn_of_marks(session.plugin, output, &all_nodes, &targets);
    warn_of_holders(output, &all_nodes, &targets);
    warn_of_quorum(output, &all_nodes, &targets);
    let with_handovers = request.strategy != Strategy::Evict;
    let selector = job.pod_selector.as_ref().map(|selector| selector.text.as_str());
    let scope = match request.moves {
        Moves::Everything => Scope::Pods {
            with_handovers,
            with_turns: request.may_take_turns(),
            with_volumes: request.waits_for_volumes,
        },
        Moves::GuestsOnly => Scope::GuestsOnly,
    };
    let mut observation = observe::for_drain(&session.access, all_nodes, &targets, selector, scope)
        .await
        .map_err(|error| list_failed(session, &error))?;
    let installation = guests::look(job, session, &targets, &mut observation).await?;
    if with_handovers && request.moves == Moves::Everything {
        look_for_precedence(session, output, &mut observation).await?;
    }
    let observation = observation;
    let may_not_patch = review::lacking(&session.access, &needed::PATCH_PODS, &observation.handover_namespaces)
        .await
        .map_err(|error| call_failed(session, &error, "ask what you may do"))?;
    let mut circumstances =
        Circumstances { leaving: targets.iter().cloned().collect(), may_not_patch, ..Circumstances::default() };
    let make = |circumstances: &Circumstances| {
        let Observation { cluster, selected, .. } = &observation;
        plan::build(&targets, request, cluster, circumstances, selected.as_ref(), now())
    };
    let mut plan = make(&circumstances);
    let missing = rights::missing(session, &rights::of_drain(request, &plan, &observation)).await?;
    let mut obstacle = None;
    if let Some(installation) = &installation {
        let cluster = &observation.cluster;
        // Without a virtual machine there is nothing that it could keep from moving.
        let has_guests = !plan.vms.is_empty() || !plan.incoming.is_empty();
        if has_guests {
            guests::warn(installation, &targets, cluster, now(), output);
        }
        obstacle = has_guests.then(|| guests::obstacle(installation, &targets, cluster)).flatten();
    }
    // A client's dry run sends nothing that could be taken for a write, so policy webhooks are not asked.
    if job.dry_run != DryRun::Client && missing.is_empty() {
        circumstances.patch_denied =
            preflight::denied_patches(&session.access, &plan, &observation.cluster, now()).await;
        plan = make(&circumstances);
    }
    let rehearsal = Rehearsal { job, session, output, observation: &observation, onto: onto.as_ref() };
    rehearsal.hold(fleet, &mut plan).await?;
    if let Some(installation) = &installation
        && job.dry_run == DryRun::Server
        && missing.is_empty()
        && obstacle.is_none()
    {
        guests::rehearse(session, installation, &observation.cluster, &mut plan, output).await;
    }
    Ok(Some(Look { targets, observation, circumstances, plan, missing, obstacle, onto }))
}

/// Finds out who goes first.
async fn look_for_precedence(session: &Session, output: &Output, observation: &mut Observation) -> Result<(), Failure> {
    let found = precedence::look(&session.access, observation).await.map_err(|error| list_failed(session, &error))?;
    if found.is_blind_to_webhooks {
        output.note("you may not list webhook configurations, so pods that answer for webhooks do not go first");
    }
    if found.is_blind_to_namespaces {
        tracing::info!("namespaces may not be listed, so their annotation {} is not heeded", wishes::ORDER);
    }
    for change in found.changes {
        observation.cluster.apply(change);
    }
    Ok(())
}

async fn find_nodes(
    job: &Job,
    session: &Session,
    output: &Output,
    targets: &Targets,
    pools: Option<&Pools>,
) -> Result<(Vec<NodeName>, Vec<Node>, Cluster), Failure> {
    let fleet = observe::fleet(&session.access).await.map_err(|error| list_failed(session, &error))?;
    let (all_nodes, fleet) = fleet;
    let names = match targets {
        Targets::Named(names) => {
            nodes::all_exist(names, &all_nodes)?;
            names.clone()
        }
        Targets::Selected(selector) => {
            let names = observe::node_names(&session.access, selector).await;
            names.map_err(|error| list_failed(session, &error))?
        }
        Targets::Pool(name) => {
            let entry = pools.map(|pools| pools.find(job, session, "--pool", name)).transpose()?;
            if let Some(pool) = entry.as_ref().map(|entry| &entry.pool).filter(|pool| pool.grows()) {
                let freeze = session.connection.kubectl(&format!("poolcopy {name} --freeze"));
                output.warning(&format!(
                    "pool {name} still grows ({}): the work may come back to new nodes of it; `{freeze}` stops that",
                    pool.scaled_by.join(", ")
                ));
            }
            let names = entry.map(|entry| entry.node_names()).unwrap_or_default();
            // A machine may remember a node that is gone.
            names.into_iter().filter(|name| all_nodes.iter().any(|node| node.name == *name)).collect()
        }
    };
    Ok((names, all_nodes, fleet))
}

/// Refuses nodes whose mark this program does not understand: overwriting it would forget how the node was before.
pub(crate) fn check_marks(nodes: &[Node], targets: &[NodeName]) -> Result<(), CommandError> {
    for node in nodes.iter().filter(|node| targets.contains(&node.name)) {
        NodeRun::read(node).map_err(|mark| CommandError::UnknownMark { node: node.name.clone(), mark })?;
    }
    Ok(())
}

/// Every start tells of marks that other runs have left on other nodes; on its own nodes this run goes on itself.
fn warn_of_marks(plugin: &PluginIdentity, output: &Output, nodes: &[Node], targets: &[NodeName]) {
    let names: BTreeSet<_> = targets.iter().collect();
    for node in nodes.iter().filter(|node| !names.contains(&node.name)) {
        let Some(mark) = NodeRun::of(node).filter(|mark| mark.phase == RunPhase::Draining) else { continue };
        let name = &node.name;
        let command = plugin_of(&mark, plugin);
        output.warning(&format!(
            "node {name} carries the mark of a run of {} from {:.0} that has not ended: \
             if nobody runs it any more, go on with `kubectl {command} {name}`, or give it back with `kubectl {command} {name} --undo`",
            Legible(&mark.user),
            mark.start,
        ));
    }
}

/// Another tool that empties one of the nodes does not know of this run.
fn warn_of_holders(output: &Output, nodes: &[Node], targets: &[NodeName]) {
    for node in nodes.iter().filter(|node| targets.contains(&node.name)) {
        for holder in &node.holders {
            output.warning(&format!(
                "node {}: {holder}; what it evicts, it evicts before a replacement is there",
                node.name
            ));
        }
    }
}

/// A drain leaves etcd and the control plane running, as static pods; the machine that is turned off afterwards does not.
fn warn_of_quorum(output: &Output, nodes: &[Node], targets: &[NodeName]) {
    let Some(Quorum { leaving, members, left, needed }) = Quorum::without(targets, nodes) else { return };
    let names: Vec<_> = leaving.iter().map(ToString::to_string).collect();
    let names = names.join(", ");
    let which = format!("{names} of the {members} nodes of the control plane");
    output.warning(&if left >= needed {
        format!("this drains {which}: turned off, they leave {left} that are Ready, and etcd needs {needed}")
    } else {
        format!(
            "this drains {which}: turned off, they leave {left} that are Ready, fewer than etcd needs ({needed}): \
             the API server stops answering then. Add members first, or bring the others back"
        )
    });
}

/// The plugin by which a run goes on: the one that began it, since another moves something else.
fn plugin_of<'a>(mark: &'a NodeRun, running: &'a PluginIdentity) -> &'a str {
    mark.plugin().filter(|name| PLUGINS.contains(name)).unwrap_or(running.name)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn a_run_goes_on_by_the_plugin_that_began_it() {
        let running =
            PluginIdentity { name: "safedrain", version: "0.2.0", repository: "https://example.test/handover" };
        let mark = |version: &str| NodeRun {
            v: 1,
            run: "r1".to_owned(),
            user: "alice".to_owned(),
            start: Timestamp::UNIX_EPOCH,
            reason: None,
            version: version.to_owned(),
            phase: RunPhase::Draining,
            was_schedulable: true,
            taints_added: vec![],
            labels_added: vec![],
            stopped: vec![],
            options: vec![],
        };
        assert_eq!(plugin_of(&mark("vmievict/0.1.0"), &running), "vmievict");
        for version in ["safedrain/0.1.0", "delete/0.1.0", "safedrain n1; reboot/1", "0.1.0", ""] {
            assert_eq!(plugin_of(&mark(version), &running), "safedrain", "{version}");
        }
    }
}
