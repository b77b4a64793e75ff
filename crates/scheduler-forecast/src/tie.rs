//! What ties a pod to the nodes that are emptied, and what would free it.

use std::fmt;

use crate::candidate::Candidate;
use crate::cluster::Cluster;
use crate::judge::Judgement;
use crate::node::Node;
use crate::outlook::Question;
use crate::rejection::{Reason, Rejection};
use cluster_model::api::core as v1;
use cluster_model::demand::term_holds;
use cluster_model::identity::NodeName;
use serde::Serialize;

/// Where the required node affinity is in a pod's specification.
const REQUIRED: &str = "affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution";

/// A field that keeps a pod from every node that is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tie {
    /// The field, as a person writes it: `nodeSelector[pool]`.
    pub field: String,
    /// What it says.
    pub says: String,
    /// The operations of a JSON patch on the pod's specification that free it, in order; none: nothing in it can.
    patch: Vec<Operation>,
}

/// One operation of a JSON patch (RFC 6902).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Operation {
    op: &'static str,
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
}

impl Operation {
    fn remove(path: impl Into<String>) -> Self {
        Self { op: "remove", path: path.into(), value: None }
    }
}

/// What ties a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ties(pub Vec<Tie>);

impl Ties {
    /// Finds what ties a pod that no node takes: the fewest fields without which some node would, and of several such nodes the
    /// one that is most like the one it is on. `None`: something else is in the way, too.
    pub fn find(pod: &Candidate, from: &NodeName, cluster: &Cluster, question: &Question<'_>) -> Option<Self> {
        let here = cluster.node(from);
        let is_shared = |node: &Node, key: &str, value: &str| node.label(key) == Some(value);
        let likeness = |node: &Node| {
            let own = here.into_iter().flat_map(|here| &here.offer.labels);
            own.filter(|(key, value)| is_shared(node, key, value)).count()
        };
        let nodes = cluster.nodes().filter(|node| question.counts(&node.name));
        let tied = nodes.filter_map(|node| Some((node, on(pod, node, cluster, question.onto.is_some())?)));
        let best = tied.min_by_key(|(node, ties)| (ties.len(), std::cmp::Reverse(likeness(node))));
        best.map(|(_, ties)| Self(ties)).or_else(|| by_volume(pod, cluster, question))
    }

    /// The patch that frees the pod, for an object that has the pod's specification at this path; `None`: there is none.
    pub fn patch(&self, path: &str) -> Option<String> {
        let under =
            |operation: &Operation| Operation { path: format!("{path}/{}", operation.path), ..operation.clone() };
        let operations: Vec<_> = self.0.iter().flat_map(|tie| &tie.patch).map(under).collect();
        let is_whole = !operations.is_empty() && self.0.iter().all(|tie| !tie.patch.is_empty());
        is_whole.then(|| serde_json::to_string(&operations).ok()).flatten()
    }
}

impl fmt::Display for Ties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told: Vec<_> = self.0.iter().map(|tie| format!("{} {}", tie.field, tie.says)).collect();
        f.write_str(&told.join(" and "))
    }
}

/// What ties the pod as far as this node is concerned; `None`: it takes the pod, or more than that is in the way.
fn on(pod: &Candidate, node: &Node, cluster: &Cluster, keeps: bool) -> Option<Vec<Tie>> {
    let mut freed = pod.clone();
    let mut ties = Vec::new();
    if let Some(name) = freed.node.take_if(|name| *name != node.name) {
        let patch = vec![Operation::remove("nodeName")];
        ties.push(Tie { field: "nodeName".to_owned(), says: format!("is {name}"), patch });
    }
    let selector = &mut freed.demand.selector;
    let others: Vec<_> = selector.iter().filter(|(key, value)| node.label(key) != Some(value.as_str())).collect();
    let others: Vec<_> = others.into_iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    for (key, value) in others {
        selector.remove(&key);
        let path = format!("nodeSelector/{}", escaped(&key));
        // Who says where the pods are to go keeps them tied, to there.
        let operation = match node.label(&key).filter(|_| keeps) {
            Some(there) => Operation { op: "replace", path, value: Some(there.to_owned()) },
            None => Operation::remove(path),
        };
        ties.push(Tie { field: format!("nodeSelector[{key}]"), says: format!("is {value}"), patch: vec![operation] });
    }
    if let Some(tie) = by_affinity(&freed, node) {
        freed.demand.terms = None;
        ties.push(tie);
    }
    let is_free = || Judgement::prepare(&freed, cluster).rejection(node).is_none();
    (!ties.is_empty() && is_free()).then_some(ties)
}

/// The required affinity, if none of its terms holds on this node, changed where the fewest requirements fail.
fn by_affinity(pod: &Candidate, node: &Node) -> Option<Tie> {
    let terms = pod.demand.terms.as_ref()?;
    let name = Some(node.offer.name.as_str());
    if terms.iter().any(|term| term_holds(term, &node.offer.labels, name)) {
        return None;
    }
    let single = |one: &v1::NodeSelectorRequirement, is_field: bool| {
        let term = if is_field {
            v1::NodeSelectorTerm { match_fields: Some(vec![one.clone()]), match_expressions: None }
        } else {
            v1::NodeSelectorTerm { match_expressions: Some(vec![one.clone()]), match_fields: None }
        };
        term_holds(&term, &node.offer.labels, name)
    };
    let failing = |term: &v1::NodeSelectorTerm| {
        let of = |all: Option<&Vec<v1::NodeSelectorRequirement>>, is_field: bool| {
            let all = all.into_iter().flatten().enumerate().filter(|(_, one)| !single(one, is_field));
            all.map(|(index, one)| (is_field, index, one.clone())).collect::<Vec<_>>()
        };
        let mut all = of(term.match_expressions.as_ref(), false);
        all.extend(of(term.match_fields.as_ref(), true));
        all
    };
    let (index, failing) =
        terms.iter().map(failing).enumerate().filter(|(_, all)| !all.is_empty()).min_by_key(|(_, all)| all.len())?;
    let told: Vec<_> = failing
        .iter()
        .map(|(_, _, one)| {
            format!("{} {} [{}]", one.key, one.operator, one.values.as_deref().unwrap_or_default().join(", "))
        })
        .collect();
    let term = terms.get(index)?;
    let all = term.match_expressions.as_ref().map_or(0, Vec::len) + term.match_fields.as_ref().map_or(0, Vec::len);
    let base = format!("{REQUIRED}/nodeSelectorTerms/{index}");
    let mut patch = Vec::new();
    // From the back, so that the places before stay what they are.
    for (is_field, place, one) in failing.iter().rev() {
        let list = if *is_field { "matchFields" } else { "matchExpressions" };
        let there = if *is_field { None } else { node.label(&one.key) };
        match there.filter(|_| one.operator == "In") {
            Some(there) => {
                let values = format!("{base}/{list}/{place}/values/-");
                patch.push(Operation { op: "add", path: values, value: Some(there.to_owned()) });
            }
            None => patch.push(Operation::remove(format!("{base}/{list}/{place}"))),
        }
    }
    let removed = patch.iter().filter(|operation| operation.op == "remove").count();
    if removed == all {
        // A term without anything in it holds nowhere.
        patch = vec![Operation::remove(REQUIRED)];
    }
    Some(Tie { field: "its required node affinity".to_owned(), says: format!("says {}", told.join(" and ")), patch })
}

/// A volume that is not reached from any node that would take the pod.
fn by_volume(pod: &Candidate, cluster: &Cluster, question: &Question<'_>) -> Option<Ties> {
    let judgement = Judgement::prepare(pod, cluster);
    let nodes = cluster.nodes().filter(|node| question.counts(&node.name));
    nodes.filter_map(|node| judgement.rejection(node)).find_map(|Rejection { reason, .. }| {
        let (Reason::VolumeUnreached(claim) | Reason::OtherZone(claim)) = reason else { return None };
        let says = "has a volume that stays where it is".to_owned();
        Some(Ties(vec![Tie { field: format!("claim {claim}"), says, patch: Vec::new() }]))
    })
}

/// A key as a part of a JSON pointer (RFC 6901).
fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Value, json};

    use super::*;

    fn read<T: serde::de::DeserializeOwned>(object: Value) -> T {
        serde_json::from_value(object).unwrap()
    }

    fn found(spec: &Value, onto: bool) -> (String, Option<Value>) {
        let mut cluster = Cluster::default();
        for (name, pool) in [("old", "blue"), ("new", "green")] {
            cluster.add_node(&read(json!({
                "metadata": {"name": name, "labels": {"example.test/pool": pool}},
                "status": {"allocatable": {"cpu": "4", "pods": "10"}},
            })));
        }
        let pod: v1::Pod = read(json!({"metadata": {"namespace": "ns", "name": "p"}, "spec": spec}));
        let leaving = BTreeSet::from([NodeName::from("old")]);
        let open = BTreeSet::from([NodeName::from("new")]);
        let question = Question { moves: &[], leaving: &leaving, onto: onto.then_some(&open) };
        let ties = Ties::find(&Candidate::replacement(&pod, None), &NodeName::from("old"), &cluster, &question);
        let Some(ties) = ties else { return (String::new(), None) };
        let patch = ties.patch("/spec/template/spec").map(|text| serde_json::from_str(&text).unwrap());
        (ties.to_string(), patch)
    }

    #[test]
    fn the_field_is_named_and_the_patch_frees_the_pod() {
        let affinity = |terms: Value| json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}});
        let pool =
            |operator: &str, values: Value| json!({"key": "example.test/pool", "operator": operator, "values": values});
        let selector = "/spec/template/spec/nodeSelector/example.test~1pool";
        let required = format!("/spec/template/spec/{REQUIRED}");
        let term = format!("{required}/nodeSelectorTerms/0/matchExpressions");
        let absent = json!({"key": "absent", "operator": "Exists"});
        let table = [
            (
                json!({"nodeSelector": {"example.test/pool": "blue"}}),
                false,
                "nodeSelector[example.test/pool] is blue",
                json!([{"op": "remove", "path": selector}]),
            ),
            (
                json!({"nodeSelector": {"example.test/pool": "blue"}}),
                true,
                "nodeSelector[example.test/pool] is blue",
                json!([{"op": "replace", "path": selector, "value": "green"}]),
            ),
            (
                affinity(json!([{"matchExpressions": [pool("In", json!(["blue"]))]}])),
                false,
                "its required node affinity says example.test/pool In [blue]",
                json!([{"op": "add", "path": format!("{term}/0/values/-"), "value": "green"}]),
            ),
            (
                affinity(json!([{"matchExpressions": [pool("NotIn", json!(["green"]))]}])),
                false,
                "its required node affinity says example.test/pool NotIn [green]",
                json!([{"op": "remove", "path": required}]),
            ),
            (
                affinity(json!([{"matchExpressions": [absent, pool("In", json!(["blue", "green"]))]}])),
                false,
                "its required node affinity says absent Exists []",
                json!([{"op": "remove", "path": format!("{term}/0")}]),
            ),
            (json!({"nodeName": "old"}), false, "", Value::Null),
        ];
        for (spec, onto, words, patch) in table {
            let expected = (words.to_owned(), Some(patch).filter(|patch| !patch.is_null()));
            assert_eq!(found(&spec, onto), expected, "{spec}");
        }
    }

    #[test]
    fn what_something_else_keeps_off_is_not_tied() {
        let spec = json!({
            "nodeSelector": {"example.test/pool": "blue"},
            "containers": [{"name": "c", "resources": {"requests": {"cpu": "9"}}}],
        });
        assert_eq!(found(&spec, false), (String::new(), None));
    }
}
