//! `--list`: the pools of the cluster, and what is known of each.

use std::collections::BTreeSet;

use api_access::interrupts::Interrupts;
use kubectl_common::exit::ExitStatus;
use kubectl_common::failure::Failure;
use kubectl_common::flags::OutputFormat;
use node_pools::node::{PoolNode, capacity, least};
use node_pools::pool::{Pool, ProviderName};

use crate::document::{self, PoolList, PoolRow};
use crate::failure::PoolError;
use crate::look;
use crate::render;
use crate::session::{Session, now};

/// Runs `--list`.
pub(crate) async fn run(session: &Session, interrupts: &mut Interrupts) -> Result<ExitStatus, Failure> {
    let looking = Box::pin(look::pools(session));
    let looked = interrupts.unless(looking).await.map_err(|_| PoolError::InterruptedEarly)??;
    let (inventory, namespace) = (&looked.inventory, &session.job.namespace);
    let (mut rows, mut claimed) = (Vec::new(), BTreeSet::new());
    for entry in looked.directory.entries() {
        claimed.extend(entry.node_names());
        let row = row(&entry.pool, &entry.nodes(inventory).collect::<Vec<_>>());
        if namespace.is_none() || row.namespace == *namespace {
            rows.push(row);
        }
    }
    match session.job.format {
        OutputFormat::Table | OutputFormat::Wide => {
            let wide = session.job.format == OutputFormat::Wide;
            let unclaimed = inventory.nodes().filter(|node| !claimed.contains(&node.name)).count();
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

fn row(pool: &Pool, nodes: &[&PoolNode]) -> PoolRow {
    let mut row = of_nodes(pool.known_as(), &pool.description, nodes);
    row.namespace = pool.object.as_ref().and_then(|object| object.namespace.clone());
    row.can_be_copied = pool.provider != ProviderName::Unbuilt;
    row.size = pool.size;
    row.scaled_by.clone_from(&pool.scaled_by);
    row.copy_of = pool.copy_of.as_ref().map(|mark| mark.of.known_as().to_owned());
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
        capacity: least(nodes.iter().copied()).map(|least| capacity(&least)).unwrap_or_default(),
        taints: taints.into_iter().collect(),
        oldest: nodes.iter().filter_map(|node| node.created).min(),
        scaled_by: Vec::new(),
        copy_of: None,
        frozen: false,
        troubles: Vec::new(),
    }
}
