//! Nodes that somebody joins by hand, and that belong together by one label: `KEY=VALUE`.
//!
//! Nothing makes such nodes, so a copy is made of nodes that are there already or still come: those that `--nodes-match`
//! chooses get what all old nodes have in common, with another value of the label. Each is marked with what it was given,
//! so that an undo gives it back as it was.

mod giving;
mod needs;

use cluster_model::identity::NodeName;
use serde_json::Value;

use crate::copy_plan::{CopyPlan, CopyRequest, NodesMatch};
use crate::directory;
use crate::finding::{Finding, Refusal};
use crate::inventory::{Inventory, KindName};
use crate::mark::{self, CopyMark};
use crate::name;
use crate::node::PoolNode;
use crate::node_label::NodeLabel;
use crate::pool::{Member, Pool, ProviderName};
use crate::provider::{PoolProvider, PoolReader};
use crate::step::Step;

/// The pool of one label, and its copies.
#[derive(Clone, Debug)]
pub struct Labelled {
    /// The label that was typed.
    pub label: NodeLabel,
}

impl PoolReader for Labelled {
    fn name(&self) -> ProviderName {
        ProviderName::Labels
    }

    fn kinds(&self) -> &'static [KindName] {
        &[]
    }

    fn pools(&self, inventory: &Inventory) -> Vec<Pool> {
        let mut values: Vec<&str> =
            inventory.nodes().filter_map(|node| node.labels.get(&self.label.key)).map(String::as_str).collect();
        values.sort_unstable();
        values.dedup();
        let pool = |value: &str| {
            let label = NodeLabel { key: self.label.key.clone(), value: value.to_owned() };
            let mut pool = directory::by_label(inventory, label)?.pool;
            let mark = nodes_of(inventory, &pool).find_map(mark_of);
            pool.copy_of = mark;
            Some(pool)
        };
        // Of all values of the label, only those are pools of this command that it names or has made copies of.
        let is_meant = |pool: &Pool| pool.label.as_ref() == Some(&self.label) || pool.copy_of.is_some();
        values.into_iter().filter_map(pool).filter(is_meant).collect()
    }

    fn members(&self, inventory: &Inventory, pool: &Pool) -> Vec<Member> {
        nodes_of(inventory, pool).map(|node: &PoolNode| Member::of_node(node.name.clone())).collect()
    }
}

impl PoolProvider for Labelled {
    fn kinds_beside(&self, _: &Inventory, _: &Pool) -> Vec<(String, String)> {
        Vec::new()
    }

    fn copy(&self, inventory: &Inventory, pool: &Pool, request: &CopyRequest) -> Result<CopyPlan, Refusal> {
        let old: Vec<_> = nodes_of(inventory, pool).collect();
        if !request.overrides.is_empty() {
            return Err(Refusal::Unsupported(format!(
                "--set and --unset: {} has no document; label and taint its new nodes as they are to differ",
                pool.title()
            )));
        }
        let needs = needs::of(&old);
        let Some(wanted) = &request.nodes_match else {
            return Err(Refusal::NeedsNodes { pool: pool.title(), needs });
        };
        let target = self.target(inventory, pool, request)?;
        let size = request.size.unwrap_or_else(|| u32::try_from(old.len()).unwrap_or(u32::MAX));
        let shape = giving::Shape::of(&old, &target);
        let mark = CopyMark::new(pool.source(), &request.maker);
        let mut steps = Vec::new();
        let chosen = candidates(inventory, &self.label, &target, wanted)?;
        // A pool of that name that was there before would swallow the copy, and its undo could not tell them apart.
        let is_foreign = |node: &PoolNode| {
            mark_of(node).is_none_or(|mark| mark.of.uid != pool.uid) && !chosen.iter().any(|one| one.name == node.name)
        };
        if let Some(other) = inventory.nodes().find(|node| target.is_on(node) && is_foreign(node)) {
            return Err(Refusal::Taken { what: format!("{target} (node {})", other.name), pool: pool.title() });
        }
        for node in chosen {
            steps.extend(giving::give(node, &shape, &mark));
        }
        let mut findings: Vec<_> =
            needs.into_iter().map(|need| Finding::note(format!("a new node needs {need}"))).collect();
        findings.push(Finding::note(format!("nodes that match {:?} get {}", wanted.text, shape.told())));
        Ok(CopyPlan {
            target: target.to_string(),
            size: Some(size),
            documents: Vec::new(),
            steps,
            afterwards: Vec::new(),
            findings,
            start_up_taints: Vec::new(),
        })
    }

    fn freeze(&self, _: &Inventory, _: &Pool) -> Result<Vec<Step>, Refusal> {
        Ok(Vec::new())
    }

    fn thaw(&self, _: &Inventory, _: &Pool) -> Result<Vec<Step>, Refusal> {
        Ok(Vec::new())
    }

    fn resize(&self, _: &Inventory, pool: &Pool, _: u32, _: &[NodeName]) -> Result<Vec<Step>, Refusal> {
        Err(Refusal::Unsupported(format!(
            "{} has as many nodes as somebody joins: it has no size to change",
            pool.title()
        )))
    }

    fn remove(&self, inventory: &Inventory, pool: &Pool, copy: Option<&Pool>) -> Result<Vec<Step>, Refusal> {
        match copy {
            Some(copy) => self.finish(inventory, copy),
            // A copy that is taken back: its nodes stay, as they were.
            None => Ok(nodes_of(inventory, pool).flat_map(giving::take_back).collect()),
        }
    }

    fn finish(&self, inventory: &Inventory, copy: &Pool) -> Result<Vec<Step>, Refusal> {
        Ok(nodes_of(inventory, copy).filter(|node| mark_of(node).is_some()).map(giving::unmark).collect())
    }

    fn sweep(&self, inventory: &Inventory, source: &Pool) -> Vec<Step> {
        let is_ours = |node: &&PoolNode| mark_of(node).is_some_and(|mark| mark.of.uid == source.uid);
        inventory.nodes().filter(is_ours).flat_map(giving::take_back).collect()
    }
}

impl Labelled {
    /// The label of the copy: another value of the pool's key.
    fn target(&self, inventory: &Inventory, pool: &Pool, request: &CopyRequest) -> Result<NodeLabel, Refusal> {
        let NodeLabel { key, value } = &self.label;
        let made = self.pools(inventory).into_iter().find(|other| {
            other.label.as_ref() != Some(&self.label)
                && other.copy_of.as_ref().is_some_and(|mark| mark.of.uid == pool.uid)
        });
        let made = made.and_then(|copy| copy.label);
        let label = |value: String| NodeLabel { key: key.clone(), value };
        // `KEY=VALUE` is how a pool is called, so the copy may be called so, too.
        let chosen = request.name.as_ref().map(|name| match NodeLabel::parse(name) {
            Some(label) if label.key == *key => label.value,
            _ => name.clone(),
        });
        match (chosen, made) {
            (Some(chosen), Some(made)) if chosen != made.value => {
                Err(Refusal::Copied { pool: pool.title(), copy: made.to_string() })
            }
            (Some(chosen), None) if chosen == *value => {
                Err(Refusal::Name { name: chosen, fault: "that is the old pool's".to_owned() })
            }
            (Some(chosen), None) => match name::fault(&chosen) {
                Some(fault) => Err(Refusal::Name { name: chosen, fault: fault.to_owned() }),
                None => Ok(label(chosen)),
            },
            (_, Some(made)) => Ok(made),
            (None, None) => Ok(label(name::next(if value.is_empty() { "new" } else { value }))),
        }
    }
}

/// The nodes of a pool.
fn nodes_of<'a>(inventory: &'a Inventory, pool: &Pool) -> impl Iterator<Item = &'a PoolNode> {
    let label = pool.label.clone();
    inventory.nodes().filter(move |node| label.as_ref().is_some_and(|label| label.is_on(node)))
}

fn mark_of(node: &PoolNode) -> Option<CopyMark> {
    CopyMark::read(node.annotations.get(mark::COPY)?)
}

/// The nodes that are chosen as the new ones. One that belongs to another pool of the same key is not taken away from it.
fn candidates<'a>(
    inventory: &'a Inventory,
    old: &NodeLabel,
    new: &NodeLabel,
    wanted: &NodesMatch,
) -> Result<Vec<&'a PoolNode>, Refusal> {
    let mut found = Vec::new();
    for node in inventory.nodes().filter(|node| wanted.meaning.matches(&node.labels)) {
        match node.labels.get(&old.key) {
            Some(value) if *value != new.value => {
                return Err(Refusal::Unsupported(format!(
                    "node {}, which --nodes-match chooses, belongs to pool {}={value}: take that label off it first, or \
                     choose other nodes",
                    node.name, old.key
                )));
            }
            _ => found.push(node),
        }
    }
    Ok(found)
}

/// Why taints and labels are put on a node.
const GIVE: &str = "it becomes a node of the copy";

fn null_or(value: Option<&String>) -> Value {
    value.map_or(Value::Null, |value| Value::from(value.as_str()))
}

#[cfg(test)]
mod tests;
