//! `--list`: the pools of the cluster, and what is known of each.

use std::collections::{BTreeMap, BTreeSet};

use api_access::interrupts::Interrupts;
use kubectl_common::exit::ExitStatus;
use kubectl_common::failure::Failure;
use kubectl_common::flags::OutputFormat;
use node_pools::inventory::Inventory;
use node_pools::labels::{POOL_LABELS, PoolLabel};
use node_pools::node::{PoolNode, least};
use node_pools::pool::Pool;
use node_pools::provider::PoolProvider;

use crate::document::{self, PoolList, PoolRow};
use crate::failure::PoolError;
use crate::look;
use crate::render;
use crate::session::{Session, now};

/// Runs `--list`.
pub(crate) async fn run(session: &Session, interrupts: &mut Interrupts) -> Result<ExitStatus, Failure> {
    let looking = Box::pin(look::pools(session));
    let looked = interrupts.unless(looking).await.map_err(|_| PoolError::InterruptedEarly)??;
    let (mut rows, mut claimed) = (Vec::new(), BTreeSet::new());
    for provider in &session.providers {
        for pool in looked.pools.iter().filter(|pool| pool.provider == provider.name()) {
            let nodes = nodes_of(&**provider, &looked.inventory, pool);
            claimed.extend(nodes.iter().map(|node| node.name.clone()));
            let row = row(pool, &nodes);
            if session.job.namespace.is_none() || row.namespace == session.job.namespace {
                rows.push(row);
            }
        }
    }
    rows.extend(labelled(&looked.inventory, &claimed));
    match session.job.format {
        OutputFormat::Table | OutputFormat::Wide => {
            let wide = session.job.format == OutputFormat::Wide;
            let unclaimed = looked.inventory.nodes().filter(|node| !claimed.contains(&node.name)).count()
                - rows.iter().filter(|row| !row.can_be_copied).map(|row| row.nodes).sum::<usize>();
            let table = render::pools(&rows, wide, now(), session.terminal.table_width());
            session.output.result_line(&table);
            if unclaimed > 0 {
                session.output.note(&format!("{unclaimed} nodes belong to no pool that is known here"));
            }
        }
        format => {
            let document = PoolList::new(&session.of_pools().cluster, &rows);
            document::print(&session.output, format, "pools", now(), &document);
        }
    }
    Ok(ExitStatus::Done)
}

fn nodes_of<'a>(provider: &dyn PoolProvider, inventory: &'a Inventory, pool: &Pool) -> Vec<&'a PoolNode> {
    let members = provider.members(inventory, pool);
    members.iter().filter_map(|member| inventory.node(&member.node.as_ref()?.0)).collect()
}

fn row(pool: &Pool, nodes: &[&PoolNode]) -> PoolRow {
    let mut row = of_nodes(pool.known_as(), &pool.description, nodes);
    row.namespace = pool.object.as_ref().and_then(|object| object.namespace.clone());
    row.can_be_copied = true;
    row.size = pool.size;
    row.scaled_by.clone_from(&pool.scaled_by);
    row.copy_of = pool.copy_of.as_ref().map(|mark| mark.of.name.clone());
    row.frozen = pool.is_frozen;
    row.troubles.clone_from(&pool.troubles);
    row
}

fn of_nodes(name: &str, provider: &str, nodes: &[&PoolNode]) -> PoolRow {
    let set = |value: fn(&PoolNode) -> Option<String>| -> Vec<String> {
        nodes.iter().filter_map(|node| value(node)).collect::<BTreeSet<_>>().into_iter().collect()
    };
    let taints: BTreeSet<_> = nodes
        .iter()
        .flat_map(|node| &node.taints)
        .filter(|taint| !taint.key.starts_with("node.kubernetes.io/"))
        .map(|taint| {
            let value = taint.value.as_ref().filter(|value| !value.is_empty());
            let value = value.map(|value| format!("={value}")).unwrap_or_default();
            format!("{}{value}:{}", taint.key, taint.effect)
        })
        .collect();
    PoolRow {
        name: name.to_owned(),
        namespace: None,
        provider: provider.to_owned(),
        can_be_copied: false,
        size: None,
        nodes: nodes.len(),
        ready: nodes.iter().filter(|node| node.ready && !node.unschedulable).count(),
        versions: set(|node| Some(node.version.clone()).filter(|version| !version.is_empty())),
        zones: set(|node| node.zone.clone()),
        capacity: least(nodes.iter().copied()).map(|least| render::capacity(&least)).unwrap_or_default(),
        taints: taints.into_iter().collect(),
        oldest: nodes.iter().filter_map(|node| node.created).min(),
        scaled_by: Vec::new(),
        copy_of: None,
        frozen: false,
        troubles: Vec::new(),
    }
}

/// The pools of providers that are only seen by the labels of their nodes.
fn labelled(inventory: &Inventory, claimed: &BTreeSet<cluster_model::identity::NodeName>) -> Vec<PoolRow> {
    let mut pools: BTreeMap<(usize, String), Vec<&PoolNode>> = BTreeMap::new();
    for node in inventory.nodes().filter(|node| !claimed.contains(&node.name)) {
        let label = POOL_LABELS.iter().enumerate().find_map(|(rank, label)| Some((rank, node.labels.get(label.key)?)));
        if let Some((rank, value)) = label {
            pools.entry((rank, value.clone())).or_default().push(node);
        }
    }
    pools
        .into_iter()
        .map(|((rank, name), nodes)| {
            let provider = POOL_LABELS.get(rank).map(|label| label.provider).unwrap_or_default();
            of_nodes(&name, &format!("{provider} (not built yet)"), &nodes)
        })
        .collect()
}

/// Finds by which provider's label nodes say that they belong to a pool of this name.
pub(crate) fn label_of(inventory: &Inventory, name: &str) -> Option<PoolLabel> {
    POOL_LABELS
        .into_iter()
        .find(|label| inventory.nodes().any(|node| node.labels.get(label.key).is_some_and(|value| value == name)))
}
