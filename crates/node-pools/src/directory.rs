//! Which pools a cluster has, which nodes belong to each, and which pool a name means.

use std::collections::{BTreeMap, BTreeSet};

use cluster_model::identity::NodeName;

use crate::inventory::Inventory;
use crate::labels::{POOL_LABELS, PoolLabel};
use crate::name;
use crate::node::PoolNode;
use crate::node_label::NodeLabel;
use crate::pool::{Member, Pool, ProviderName, Supply};
use crate::provider::PoolReader;

/// A pool and its machines.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The pool.
    pub pool: Pool,
    /// Its machines.
    pub members: Vec<Member>,
}

impl Entry {
    /// Returns the names of its nodes, in the alphabet's order.
    pub fn node_names(&self) -> Vec<NodeName> {
        let mut names: Vec<_> = self.members.iter().filter_map(|member| member.node.clone()).collect();
        names.sort();
        names.dedup();
        names
    }

    /// Returns its nodes, as far as they are there.
    pub fn nodes<'a>(&'a self, inventory: &'a Inventory) -> impl Iterator<Item = &'a PoolNode> {
        self.members.iter().filter_map(|member| inventory.node(&member.node.as_ref()?.0))
    }
}

/// The pools of a cluster.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Directory {
    entries: Vec<Entry>,
}

/// A pool as it is typed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'a> {
    /// Its name, its alias, or a label as `KEY=VALUE`.
    pub name: &'a str,
    /// Where it has to be, if its object lives in a namespace.
    pub namespace: Option<&'a str>,
    /// The word of its provider.
    pub provider: Option<&'a str>,
}

/// Why a name means no pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotFound {
    /// There are no pools at all.
    NoPools,
    /// None is called so.
    Unknown {
        /// What was probably meant.
        similar: Vec<String>,
    },
    /// Several are.
    Ambiguous {
        /// Which ones.
        found: Vec<String>,
    },
}

impl Directory {
    /// Reads the pools of these providers, and those that are only seen by the labels of nodes that no provider claims.
    pub fn read<'a>(inventory: &Inventory, readers: impl Iterator<Item = &'a dyn PoolReader>) -> Self {
        let mut entries = Vec::new();
        for reader in readers {
            let pools = reader.pools(inventory).into_iter();
            entries.extend(pools.map(|pool| Entry { members: reader.members(inventory, &pool), pool }));
        }
        let claimed: BTreeSet<NodeName> = entries.iter().flat_map(Entry::node_names).collect();
        entries.extend(labelled(inventory, &claimed));
        Self { entries }
    }

    /// Returns the pools, those of the providers first.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Returns the pools without their machines.
    pub fn pools(&self) -> impl Iterator<Item = &Pool> {
        self.entries.iter().map(|entry| &entry.pool)
    }

    /// Finds the pool that is meant.
    pub fn find(&self, inventory: &Inventory, wanted: &Wanted<'_>) -> Result<Entry, NotFound> {
        if let Some(label) = NodeLabel::parse(wanted.name) {
            return by_label(inventory, label).ok_or(NotFound::Unknown { similar: Vec::new() });
        }
        let all: Vec<_> = self.entries.iter().filter(|entry| wanted.allows(&entry.pool)).collect();
        let found: Vec<_> = all.iter().filter(|entry| entry.pool.is_called(wanted.name)).collect();
        match found.as_slice() {
            [entry] => Ok((**entry).clone()),
            [] if all.is_empty() && wanted.namespace.is_none() && wanted.provider.is_none() => Err(NotFound::NoPools),
            [] => {
                let names = all
                    .iter()
                    .flat_map(|entry| std::iter::once(entry.pool.name.as_str()).chain(entry.pool.alias.as_deref()));
                Err(NotFound::Unknown { similar: name::nearest(wanted.name, names) })
            }
            several => Err(NotFound::Ambiguous { found: several.iter().map(|entry| entry.pool.title()).collect() }),
        }
    }
}

impl Wanted<'_> {
    /// Whether a pool is where, and of whom, it has to be.
    pub fn allows(&self, pool: &Pool) -> bool {
        let namespace = pool.object.as_ref().and_then(|object| object.namespace.as_deref());
        let in_place = match (self.namespace, namespace) {
            (Some(wanted), Some(namespace)) => wanted == namespace,
            _ => true,
        };
        in_place && self.provider.is_none_or(|wanted| wanted == pool.provider.word())
    }
}

/// The pools that are only seen by a label that a provider puts on its nodes.
fn labelled(inventory: &Inventory, claimed: &BTreeSet<NodeName>) -> Vec<Entry> {
    let mut pools: BTreeMap<(usize, String), Vec<NodeName>> = BTreeMap::new();
    for node in inventory.nodes().filter(|node| !claimed.contains(&node.name)) {
        let label = POOL_LABELS.iter().enumerate().find_map(|(rank, label)| Some((rank, node.labels.get(label.key)?)));
        if let Some((rank, value)) = label {
            pools.entry((rank, value.clone())).or_default().push(node.name.clone());
        }
    }
    pools.into_iter().filter_map(|((rank, name), nodes)| Some(seen(POOL_LABELS.get(rank)?, &name, nodes))).collect()
}

fn seen(label: &PoolLabel, name: &str, nodes: Vec<NodeName>) -> Entry {
    let why = if label.is_built { "without its object" } else { "not built yet" };
    entry(
        ProviderName::Unbuilt,
        format!("{} ({why})", label.provider),
        name.to_owned(),
        NodeLabel { key: label.key.to_owned(), value: name.to_owned() },
        nodes,
    )
}

/// The nodes that carry a label that was typed; `None`: no node does.
pub(crate) fn by_label(inventory: &Inventory, label: NodeLabel) -> Option<Entry> {
    let nodes: Vec<_> = inventory.nodes().filter(|node| label.is_on(node)).map(|node| node.name.clone()).collect();
    (!nodes.is_empty())
        .then(|| entry(ProviderName::Labels, "nodes with one label".to_owned(), label.to_string(), label, nodes))
}

fn entry(provider: ProviderName, description: String, name: String, label: NodeLabel, nodes: Vec<NodeName>) -> Entry {
    Entry {
        pool: Pool {
            provider,
            description,
            name,
            alias: None,
            object: None,
            uid: format!("label {label}"),
            label: Some(label),
            supply: Supply::External,
            size: None,
            scaled_by: Vec::new(),
            is_accepted: true,
            troubles: Vec::new(),
            copy_of: None,
            is_frozen: false,
        },
        members: nodes.into_iter().map(Member::of_node).collect(),
    }
}

#[cfg(test)]
mod tests {
    use cluster_model::api::core as v1;
    use serde_json::json;

    use super::*;

    fn inventory(nodes: &[(&str, &str, &str)]) -> Inventory {
        let mut inventory = Inventory::default();
        for (name, key, value) in nodes {
            let node = json!({ "metadata": { "name": name, "labels": { *key: value } } });
            let node: v1::Node = serde_json::from_value(node).unwrap();
            inventory.put_node(PoolNode::from(&node));
        }
        inventory
    }

    fn found(inventory: &Inventory, name: &str) -> Result<Vec<String>, NotFound> {
        let directory = Directory::read(inventory, std::iter::empty());
        let entry = directory.find(inventory, &Wanted { name, ..Wanted::default() })?;
        Ok(entry.node_names().into_iter().map(|name| name.0).collect())
    }

    #[test]
    fn a_pool_is_found_by_the_label_of_its_provider_or_by_any_label_with_its_value() {
        let nodes = [
            ("a1", "cloud.google.com/gke-nodepool", "blue"),
            ("a2", "cloud.google.com/gke-nodepool", "blue"),
            ("b1", "agentpool", "green"),
            ("c1", "rack", "blue"),
        ];
        let inventory = inventory(&nodes);
        let names = |names: &[&str]| Ok(names.iter().map(|name| (*name).to_owned()).collect());
        let unknown = |similar: &[&str]| {
            Err(NotFound::Unknown { similar: similar.iter().map(|name| (*name).to_owned()).collect() })
        };
        let table = [
            ("blue", names(&["a1", "a2"])),
            ("green", names(&["b1"])),
            ("rack=blue", names(&["c1"])),
            ("blu", unknown(&["blue"])),
            ("rack=red", unknown(&[])),
        ];
        for (name, expected) in table {
            assert_eq!(found(&inventory, name), expected, "{name}");
        }
    }

    #[test]
    fn a_name_that_two_pools_have_means_neither() {
        let inventory = inventory(&[("a", "cloud.google.com/gke-nodepool", "blue"), ("b", "agentpool", "blue")]);
        let Err(NotFound::Ambiguous { found }) = found(&inventory, "blue") else { panic!("two pools are called so") };
        assert_eq!(found.len(), 2);
        assert_eq!(self::found(&Inventory::default(), "blue"), Err(NotFound::NoPools));
    }
}
