//! What a new node is given, and how it is taken back.

use std::collections::BTreeMap;

use cluster_model::api::core::Taint;
use serde_json::{Value, json};

use super::{GIVE, mark_of, null_or};
use crate::address::{Address, Resource};
use crate::copy_plan::GIVE_BACK;
use crate::labels::{POOL_LABELS, is_discovered, is_of_the_machine, is_of_the_moment};
use crate::mark::{COPY, CopyMark};
use crate::node::PoolNode;
use crate::node_label::NodeLabel;
use crate::step::Step;

/// What an undo does to a node.
const AS_BEFORE: &str = "as it was before";

/// What all nodes of a pool have in common.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Shape {
    labels: BTreeMap<String, String>,
    taints: Vec<Taint>,
}

impl Shape {
    /// Reads the old nodes; the pool's label gets the copy's value.
    pub(super) fn of(old: &[&PoolNode], target: &NodeLabel) -> Self {
        let Some((first, rest)) = old.split_first() else {
            return Self { labels: BTreeMap::new(), taints: Vec::new() };
        };
        let is_of_a_pool = |key: &str| POOL_LABELS.iter().any(|label| label.key == key);
        let mut labels: BTreeMap<_, _> = first
            .labels
            .iter()
            .filter(|(key, value)| rest.iter().all(|node| node.labels.get(*key) == Some(*value)))
            .filter(|(key, _)| !is_of_the_machine(key) && !is_discovered(key) && !is_of_a_pool(key))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        labels.insert(target.key.clone(), target.value.clone());
        let taints = first.taints.iter().filter(|taint| rest.iter().all(|node| has(node, taint)));
        let taints = taints.filter(|taint| !is_of_the_moment(&taint.key));
        // When a taint was put on the old node says nothing of the new one.
        let taints = taints.map(|taint| Taint { time_added: None, ..taint.clone() }).collect();
        Self { labels, taints }
    }

    /// `labels pool=green, team=a; taint dedicated=x:NoSchedule`.
    pub(super) fn told(&self) -> String {
        let labels: Vec<_> = self.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let taint = |taint: &Taint| {
            let value = taint.value.as_ref().filter(|value| !value.is_empty());
            let value = value.map(|value| format!("={value}")).unwrap_or_default();
            format!("{}{value}:{}", taint.key, taint.effect)
        };
        let taints: Vec<_> = self.taints.iter().map(taint).collect();
        let taints = if taints.is_empty() { String::new() } else { format!("; taints {}", taints.join(", ")) };
        format!("labels {}{taints}", labels.join(", "))
    }
}

/// Whether a node has a taint, whenever it was put there.
fn has(node: &PoolNode, wanted: &Taint) -> bool {
    node.taints.iter().any(|taint| is_same(taint, wanted))
}

fn is_same(one: &Taint, other: &Taint) -> bool {
    let value = |taint: &Taint| taint.value.clone().unwrap_or_default();
    one.key == other.key && one.effect == other.effect && value(one) == value(other)
}

/// Plans what a node still lacks. The mark comes with the first labels, so whatever is begun can be taken back; what the
/// old nodes have gained since it was written is added to it.
pub(super) fn give(node: &PoolNode, shape: &Shape, mark: &CopyMark) -> Vec<Step> {
    let lacking: BTreeMap<_, _> =
        shape.labels.iter().filter(|(key, value)| node.labels.get(*key) != Some(*value)).collect();
    let missing: Vec<_> = shape.taints.iter().filter(|taint| !has(node, taint)).cloned().collect();
    let written = mark_of(node);
    let marked = recorded(written.as_ref().unwrap_or(mark), node, &lacking, &missing);
    let mut steps = Vec::new();
    if !lacking.is_empty() || written.as_ref() != Some(&marked) {
        let mut metadata = json!({ "labels": lacking });
        if written.as_ref() != Some(&marked)
            && let Some(metadata) = metadata.as_object_mut()
        {
            metadata.insert("annotations".to_owned(), json!({ COPY: marked.text() }));
        }
        steps.push(Step::Merge {
            target: address(node),
            patch: json!({ "metadata": metadata }),
            what: format!("{GIVE} (labels)"),
        });
    }
    if !missing.is_empty() {
        let taints: Vec<_> = node.taints.iter().cloned().chain(missing).collect();
        steps.push(taint(node, &taints, format!("{GIVE} (taints)")));
    }
    steps
}

/// Returns the mark with what the node is about to be given. What is in it already stays: it tells what was there before
/// the first of these gifts.
fn recorded(mark: &CopyMark, node: &PoolNode, lacking: &BTreeMap<&String, &String>, missing: &[Taint]) -> CopyMark {
    let mut mark = mark.clone();
    for key in lacking.keys().copied() {
        if !mark.labels.contains_key(key) {
            mark.labels.insert(key.clone(), null_or(node.labels.get(key)));
        }
    }
    for taint in missing {
        if !given(&mark).iter().any(|one| is_same(one, taint)) {
            mark.taints.extend(serde_json::to_value(taint));
        }
    }
    mark
}

/// Returns the taints that a node was given.
fn given(mark: &CopyMark) -> Vec<Taint> {
    mark.taints.iter().filter_map(|taint| serde_json::from_value(taint.clone()).ok()).collect()
}

/// Plans to take back what a node was given, as far as it is still there.
pub(super) fn take_back(node: &PoolNode) -> Vec<Step> {
    let Some(mark) = mark_of(node) else { return Vec::new() };
    let given = given(&mark);
    let left: Vec<_> =
        node.taints.iter().filter(|taint| !given.iter().any(|one| is_same(one, taint))).cloned().collect();
    let mut steps = Vec::new();
    if left.len() < node.taints.len() {
        steps.push(taint(node, &left, AS_BEFORE.to_owned()));
    }
    // Last: as long as the node is marked, the same command finds it again.
    let patch = json!({ "metadata": { "labels": mark.labels, "annotations": { COPY: Value::Null } } });
    steps.push(Step::Merge { target: address(node), patch, what: AS_BEFORE.to_owned() });
    steps
}

/// Plans to make the node one like any other.
pub(super) fn unmark(node: &PoolNode) -> Step {
    let patch = json!({ "metadata": { "annotations": { COPY: Value::Null } } });
    Step::Merge { target: address(node), patch, what: GIVE_BACK.to_owned() }
}

fn address(node: &PoolNode) -> Address {
    Resource::nodes().at(None, &node.name.0)
}

/// Replaces the list of taints, if it is still the one that was read: others put theirs there as well.
fn taint(node: &PoolNode, taints: &[Taint], what: String) -> Step {
    let read = if node.taints.is_empty() { Value::Null } else { json!(node.taints) };
    let change = match (node.taints.is_empty(), taints.is_empty()) {
        (_, true) => json!({ "op": "remove", "path": "/spec/taints" }),
        (true, false) => json!({ "op": "add", "path": "/spec/taints", "value": taints }),
        (false, false) => json!({ "op": "replace", "path": "/spec/taints", "value": taints }),
    };
    let patch = json!([{ "op": "test", "path": "/spec/taints", "value": read }, change]);
    Step::Edit { target: address(node), patch, what }
}
