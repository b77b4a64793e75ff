//! Pools of nodes: which nodes `--pool` means, and which of the pool of `--onto` take pods.

use std::collections::BTreeSet;

use cluster_model::identity::{NodeName, PodId};
use kubectl_common::failure::{Failure, Remedy};
use node_pools::directory::{Directory, Entry, NotFound, Wanted};
use node_pools::inventory::Inventory;
use node_pools::node_label::NodeLabel;
use node_pools::pool::ProviderName;
use node_pools::providers;
use node_pools_runner::Places;
use node_pools_runner::look::{self, LookError};

use crate::failure::{CommandError, call_failed};
use crate::job::Job;
use crate::session::Session;

/// How many pods are named one by one.
const NAMED: usize = 5;

/// The pools of the cluster.
pub(crate) struct Pools {
    inventory: Inventory,
    directory: Directory,
}

/// The pool on which replacements are expected.
#[derive(Clone, Debug)]
pub(crate) struct Onto {
    /// Its name, as it was typed.
    pub(crate) name: String,
    /// Its nodes.
    nodes: BTreeSet<NodeName>,
    /// Those that take pods now.
    pub(crate) open: BTreeSet<NodeName>,
    /// Whether more come when pods find no room.
    pub(crate) grows: bool,
}

impl Pools {
    /// Looks at the pools, to find these among them. Labels stand for themselves: for them only nodes are read.
    pub(crate) async fn look(session: &Session, names: &[&str]) -> Result<Self, Failure> {
        let places = Places { management: session.access.clone(), workload: session.access.clone() };
        let are_labels = names.iter().all(|name| NodeLabel::parse(name).is_some());
        let readers = if are_labels { Vec::new() } else { providers::readers() };
        let kinds: Vec<_> = readers.iter().flat_map(|reader| reader.kinds()).copied().collect();
        let inventory = look::look(&places, &kinds).await.map_err(|error| unreadable(session, &error))?;
        let directory = Directory::read(&inventory, readers.iter().map(|reader| &**reader));
        Ok(Self { inventory, directory })
    }

    /// Finds the pool that a flag names.
    pub(crate) fn find(
        &self,
        job: &Job,
        session: &Session,
        flag: &'static str,
        name: &str,
    ) -> Result<Entry, CommandError> {
        let wanted = Wanted { name, namespace: job.kube.namespace.as_deref(), provider: None };
        let name = name.to_owned();
        self.directory.find(&self.inventory, &wanted).map_err(|why| match why {
            NotFound::Ambiguous { found } => CommandError::AmbiguousPool { flag, name, found },
            NotFound::NoPools => self.unknown(session, flag, name, Vec::new()),
            NotFound::Unknown { similar } => self.unknown(session, flag, name, similar),
        })
    }

    fn unknown(&self, session: &Session, flag: &'static str, name: String, similar: Vec<String>) -> CommandError {
        let is_empty = self.directory.entries().is_empty();
        CommandError::UnknownPool { flag, name, similar, is_empty, list: session.connection.kubectl("poolcopy --list") }
    }

    /// Finds the pool of `--onto`, and what it can take. Refused if it can take nothing, or is what is to be emptied.
    pub(crate) fn onto(
        &self,
        job: &Job,
        session: &Session,
        name: &str,
        targets: &[NodeName],
    ) -> Result<Onto, CommandError> {
        let entry = self.find(job, session, "--onto", name)?;
        let nodes: BTreeSet<_> = entry.node_names().into_iter().collect();
        if let Some(node) = targets.iter().find(|target| nodes.contains(*target)) {
            return Err(CommandError::OntoItself { name: name.to_owned(), node: node.clone() });
        }
        let (mut open, mut waits) = (BTreeSet::new(), Vec::new());
        for node in entry.nodes(&self.inventory) {
            match node.waits_for(&[], None) {
                None => {
                    open.insert(node.name.clone());
                }
                Some(wait) => waits.push(format!("node {} waits for {wait}", node.name)),
            }
        }
        let grows = entry.pool.grows();
        if open.is_empty() && !grows {
            return Err(CommandError::OntoNotReady { name: name.to_owned(), waits });
        }
        Ok(Onto { name: name.to_owned(), nodes, open, grows })
    }
}

/// The nodes that a pool has now and `known` has not. A pool that is only a label of somebody's own tells nothing of
/// whose the newcomers are: they are returned as strangers.
pub(crate) async fn joined(
    job: &Job,
    session: &Session,
    name: &str,
    known: &BTreeSet<NodeName>,
) -> Result<Joined, Failure> {
    let pools = Pools::look(session, &[name]).await?;
    let Ok(entry) = pools.find(job, session, "--pool", name) else { return Ok(Joined::default()) };
    let newcomers = entry.node_names().into_iter().filter(|node| !known.contains(node)).collect();
    Ok(match entry.pool.provider {
        ProviderName::Labels => Joined { members: Vec::new(), strangers: newcomers },
        _ => Joined { members: newcomers, strangers: Vec::new() },
    })
}

/// Nodes that have come during a run.
#[derive(Debug, Default)]
pub(crate) struct Joined {
    /// By their provider's word they belong to the pool that is being emptied.
    pub(crate) members: Vec<NodeName>,
    /// They only look like it.
    pub(crate) strangers: Vec<NodeName>,
}

impl Onto {
    /// Says in one sentence what is expected of it.
    pub(crate) fn introduction(&self) -> String {
        let nodes = match self.open.len() {
            1 => "1 node takes pods now".to_owned(),
            number => format!("{number} nodes take pods now"),
        };
        let more = if self.grows { ", and more come when they are needed" } else { "" };
        format!("replacements are expected on {}: {nodes}{more}", self.name)
    }

    /// Tells which replacements run on nodes that are none of the pool's; `None`: none does.
    pub(crate) fn strays<'a>(&self, replacements: impl Iterator<Item = (&'a PodId, &'a NodeName)>) -> Option<String> {
        let outside: Vec<_> = replacements.filter(|(_, node)| !self.nodes.contains(*node)).collect();
        let named: Vec<_> = outside.iter().take(NAMED).map(|(pod, node)| format!("{pod} on {node}")).collect();
        let more = outside.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(", and {more} more") } else { String::new() };
        let verb = if outside.len() == 1 { "replacement runs" } else { "replacements run" };
        (!outside.is_empty())
            .then(|| format!("{} {verb} outside {}: {}{more}", outside.len(), self.name, named.join(", ")))
    }

    /// Learns of nodes that came to the pool since.
    pub(crate) fn extend(&mut self, nodes: Vec<NodeName>) {
        self.nodes.extend(nodes);
    }
}

fn unreadable(session: &Session, error: &LookError) -> Failure {
    let failure = call_failed(session, &error.source, &error.attempt);
    if error.source.status().is_none_or(|status| status.code != 403) {
        return failure;
    }
    failure.with_remedy(Remedy::Explain(
        "--pool and --onto read the pools as poolcopy does: docs/rbac/poolcopy.yaml has the rights; a label as KEY=VALUE \
         needs none of them"
            .to_owned(),
    ))
}
