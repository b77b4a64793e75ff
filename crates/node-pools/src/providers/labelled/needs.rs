//! What a new node has to be like, read from the old ones.

use std::collections::BTreeMap;

use crate::node::{PoolNode, capacity, least};

/// Tells what a new node needs that no program can give it.
pub(super) fn of(old: &[&PoolNode]) -> Vec<String> {
    let mut needs = Vec::new();
    if let Some(least) = least(old.iter().copied()) {
        needs.push(format!("at least {} of allocatable room", capacity(&least)));
    }
    needs.extend(each("kubelet", old, |node| Some(node.version.clone()).filter(|version| !version.is_empty())));
    for (label, what) in [("kubernetes.io/arch", "architecture"), ("node.kubernetes.io/instance-type", "instance type")]
    {
        needs.extend(each(what, old, |node| node.labels.get(label).cloned()));
    }
    needs.extend(each("zone", old, |node| node.zone.clone()));
    needs
}

/// `zone a (2 nodes) or b (1 node)`; `None`: the old nodes do not tell.
fn each(what: &str, old: &[&PoolNode], value: impl Fn(&PoolNode) -> Option<String>) -> Option<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for value in old.iter().filter_map(|node| value(node)) {
        *counts.entry(value).or_default() += 1;
    }
    let told: Vec<_> = match counts.len() {
        0 => return None,
        1 => counts.into_keys().collect(),
        _ => counts
            .into_iter()
            .map(|(value, count)| format!("{value} ({count} node{})", if count == 1 { "" } else { "s" }))
            .collect(),
    };
    Some(format!("{what} {}", told.join(" or ")))
}
