//! Waits until a copy's nodes are there, and says what each of them waits for.

use std::collections::BTreeSet;
use std::pin::pin;

use api_access::interrupts::{Interrupted, Interrupts};
use cluster_model::identity::NodeName;
use cluster_model::resources::Resources;
use kubectl_common::failure::Failure;
use node_pools::copy_plan::{CopyPlan, CopyRequest};
use node_pools::inventory::Inventory;
use node_pools::node::{self, PoolNode};
use node_pools::pool::{Pool, Supply};
use node_pools::provider::PoolProvider;
use node_pools_runner::daemons::{self, DaemonView};
use node_pools_runner::view::{PoolView, Seen};
use serde::Serialize;

use crate::build::{LastWords, interrupted};
use crate::failure::PoolError;
use crate::look::Chosen;
use crate::session::Session;

/// How one member of the copy stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NodeState {
    /// What the provider calls it.
    pub(crate) machine: String,
    /// Its node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// Whether work may be put on it.
    pub(crate) ready: bool,
    /// What it waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) waits_for: Option<String>,
}

/// What is expected of the copy's nodes.
pub(crate) struct Expected {
    start_up_taints: Vec<String>,
    at_least: Option<Resources>,
}

impl Expected {
    /// As large as the smallest node of the source; a copy that was changed on purpose may be smaller.
    pub(crate) fn of(chosen: &Chosen<'_>, plan: &CopyPlan, request: &CopyRequest) -> Self {
        let members = chosen.provider.members(&chosen.inventory, &chosen.pool);
        let nodes = members.iter().filter_map(|member| chosen.inventory.node(&member.node.as_ref()?.0));
        // A node that has not come up says nothing of what it will offer.
        let least = node::least(nodes.filter(|node: &&PoolNode| node.ready));
        Self { start_up_taints: plan.start_up_taints.clone(), at_least: least.filter(|_| request.overrides.is_empty()) }
    }
}

/// Finds the copy that a plan makes.
pub(crate) fn copy_of<'a>(source: &Pool, target: &str, pools: &'a [Pool]) -> Option<&'a Pool> {
    pools
        .iter()
        .find(|pool| pool.is_called(target) && pool.copy_of.as_ref().is_some_and(|mark| mark.of.uid == source.uid))
}

/// Says how the members of a pool stand.
pub(crate) fn states(
    provider: &dyn PoolProvider,
    inventory: &Inventory,
    pool: &Pool,
    expected: &Expected,
) -> Vec<NodeState> {
    let members = provider.members(inventory, pool);
    members
        .into_iter()
        .map(|member| {
            let node = member.node.as_ref().and_then(|name| inventory.node(&name.0));
            let waits_for = match node {
                Some(node) => {
                    let at_least = expected.at_least.as_ref();
                    node.waits_for(&expected.start_up_taints, at_least).map(|wait| wait.to_string())
                }
                None => Some(member.phase.unwrap_or_else(|| "its node to join".to_owned())),
            };
            NodeState {
                machine: member.machine,
                name: node.map(|node| node.name.0.clone()),
                ready: waits_for.is_none(),
                waits_for,
            }
        })
        .collect()
}

/// How a wait ended.
pub(crate) enum Followed {
    /// As many nodes as were planned are ready; how they stand.
    Ready(Vec<NodeState>),
    /// Nodes have come for which there is something to be done.
    MoreToDo,
}

/// Waits until as many nodes as were planned are ready. `is_complete` says whether nothing has to be done for those that
/// have come; it is asked where somebody else joins them.
pub(crate) async fn until_ready(
    session: &Session,
    chosen: &Chosen<'_>,
    plan: &CopyPlan,
    expected: &Expected,
    interrupts: &mut Interrupts,
    words: &LastWords,
    is_complete: impl Fn(&Inventory) -> bool,
) -> Result<Followed, Failure> {
    let watched: Vec<_> = chosen
        .provider
        .kinds()
        .iter()
        .filter_map(|kind| chosen.inventory.resource(kind.group, kind.kind))
        .cloned()
        .collect();
    let mut view = PoolView::new(&session.places, chosen.inventory.clone(), &watched);
    let wanted = usize::try_from(plan.size.unwrap_or_default()).unwrap_or(usize::MAX);
    let mut timeout = pin!(session.timeout());
    let (mut told, mut troubled) = (BTreeSet::new(), BTreeSet::new());
    loop {
        let pools = chosen.provider.pools(view.inventory());
        let copy = copy_of(&chosen.pool, &plan.target, &pools);
        let states = copy.map(|copy| states(chosen.provider, view.inventory(), copy, expected)).unwrap_or_default();
        let ready = states.iter().filter(|state| state.ready).count();
        for state in states.iter().filter(|state| state.ready) {
            if told.insert(state.machine.clone()) {
                let name = state.name.as_ref().unwrap_or(&state.machine);
                session.output.note(&format!("node {name} is ready ({} of {wanted})", told.len()));
            }
        }
        if ready >= wanted && copy.is_some_and(|copy| copy.is_accepted) && view.is_synced() {
            session.output.clear_status();
            return Ok(Followed::Ready(states));
        }
        if chosen.pool.supply == Supply::External && view.is_synced() && !is_complete(view.inventory()) {
            return Ok(Followed::MoreToDo);
        }
        for trouble in copy.into_iter().flat_map(|copy| &copy.troubles).filter(|trouble| !trouble.is_about_size) {
            if troubled.insert(trouble.message.clone()) {
                session.output.warning(&format!("{}: {}", plan.target, trouble.message));
            }
        }
        let waiting = if ready >= wanted && copy.is_some_and(|copy| !copy.is_accepted) {
            format!("its provider has not taken {} yet", plan.target)
        } else {
            waiting(&states, ready, wanted)
        };
        session.output.status(&waiting);
        let seen = interrupts.unless(async {
            tokio::select! {
                seen = view.changed() => Some(seen),
                () = &mut timeout => None,
            }
        });
        match seen.await {
            Err(Interrupted) => {
                session.output.clear_status();
                return Err(interrupted(words, &format!("the copy is made and goes on to come up; {waiting}")));
            }
            Ok(None) => {
                session.output.clear_status();
                let seconds = session.job.timeout.unwrap_or_default().as_secs();
                return Err(PoolError::TimedOut { waited: waiting, seconds, again: words.again.clone() }.into());
            }
            Ok(Some(Seen::Trouble(message))) => session.output.warning(&message),
            Ok(Some(Seen::Change)) => {}
        }
    }
}

/// Waits until the DaemonSets that run well on the old nodes do so on the new ones.
pub(crate) async fn until_served(
    session: &Session,
    chosen: &Chosen<'_>,
    states: &[NodeState],
    interrupts: &mut Interrupts,
    words: &LastWords,
) -> Result<(), Failure> {
    let members = chosen.provider.members(&chosen.inventory, &chosen.pool);
    let is_up = |name: &NodeName| chosen.inventory.node(&name.0).is_some_and(|node| node.ready);
    let old: Vec<_> = members.into_iter().filter_map(|member| member.node).filter(is_up).collect();
    let new: Vec<_> = states.iter().filter_map(|state| chosen.inventory.node(state.name.as_ref()?)).cloned().collect();
    let access = &session.places.workload;
    let daemons = match daemons::well_on(access, &old).await {
        Ok(daemons) if daemons.is_empty() || new.is_empty() => return Ok(()),
        Ok(daemons) => daemons,
        Err(error) if error.source.status().is_some_and(|status| status.code == 403) => {
            session.output.warning(&format!(
                "whether the DaemonSets run on the new nodes is not known: you may not {}",
                error.attempt
            ));
            return Ok(());
        }
        Err(error) => return Err(session.look_failed(&error)),
    };
    let mut view = DaemonView::new(access, daemons, new);
    let mut timeout = pin!(session.timeout());
    loop {
        let missing: Vec<_> = view.missing().collect();
        let waiting = match missing.as_slice() {
            _ if !view.is_synced() => "the nodes are ready; looking at their pods".to_owned(),
            [] => {
                session.output.clear_status();
                return Ok(());
            }
            [(daemon, node), more @ ..] => {
                let more = if more.is_empty() { String::new() } else { format!(", and {} more", more.len()) };
                format!("the nodes are ready; node {node} waits for its pod of DaemonSet {daemon}{more}")
            }
        };
        session.output.status(&waiting);
        let seen = interrupts.unless(async {
            tokio::select! {
                seen = view.changed() => Some(seen),
                () = &mut timeout => None,
            }
        });
        let seen = seen.await;
        session.output.clear_status();
        match seen {
            Err(Interrupted) => return Err(interrupted(words, &format!("the copy is made; {waiting}"))),
            Ok(None) => {
                let seconds = session.job.timeout.unwrap_or_default().as_secs();
                return Err(PoolError::TimedOut { waited: waiting, seconds, again: words.again.clone() }.into());
            }
            Ok(Some(Seen::Trouble(message))) => session.output.warning(&message),
            Ok(Some(Seen::Change)) => {}
        }
    }
}

/// `1 of 3 nodes is ready; blue-2-x waits for its kubelet to be Ready`.
fn waiting(states: &[NodeState], ready: usize, wanted: usize) -> String {
    let mut text = format!("{ready} of {wanted} nodes {} ready", if ready == 1 { "is" } else { "are" });
    let first = states.iter().find_map(|state| Some((state, state.waits_for.as_ref()?)));
    if let Some((state, wait)) = first {
        let name = state.name.as_ref().unwrap_or(&state.machine);
        let verb = if state.name.is_some() { "waits for" } else { "is" };
        text = format!("{text}; {name} {verb} {wait}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_waited_for_is_named() {
        let state = |name: Option<&str>, wait: Option<&str>| NodeState {
            machine: "m1".to_owned(),
            name: name.map(str::to_owned),
            ready: wait.is_none(),
            waits_for: wait.map(str::to_owned),
        };
        assert_eq!(waiting(&[], 0, 3), "0 of 3 nodes are ready");
        let all = [state(Some("n1"), None), state(None, Some("Provisioning")), state(Some("n3"), Some("x"))];
        assert_eq!(waiting(&all, 1, 3), "1 of 3 nodes is ready; m1 is Provisioning");
        assert_eq!(waiting(&[state(Some("n3"), Some("x"))], 0, 1), "0 of 1 nodes are ready; n3 waits for x");
    }
}
