//! Nodes that are not there: what if there were more like this one?

use std::collections::BTreeSet;

use cluster_model::demand::UNSCHEDULABLE;
use cluster_model::identity::NodeName;

use crate::cluster::Cluster;
use crate::node::HOSTNAME;
use crate::outlook::{Alone, Move, Question};
use crate::trial;

/// How many nodes are tried at the most.
const MOST: usize = 20;

/// Adds so many nodes like this one, with what stays on it, and returns their names.
pub fn imagine(cluster: &mut Cluster, like: &NodeName, moves: &[Move], count: usize) -> Vec<NodeName> {
    let Some(node) = cluster.node(like).cloned() else { return Vec::new() };
    // Some may have been imagined before.
    let names = (1..).map(|number| NodeName(format!("{like}-more-{number}")));
    let names: Vec<_> = names.filter(|name| cluster.node(name).is_none()).take(count).collect();
    for name in &names {
        let mut copy = node.clone();
        copy.name = name.clone();
        copy.offer.name.clone_from(&name.0);
        copy.is_cordoned = false;
        copy.offer.taints.retain(|taint| taint.key != UNSCHEDULABLE);
        if let Some(host) = copy.offer.labels.get_mut(HOSTNAME) {
            host.clone_from(&name.0);
        }
        // What does not move is there as well: the pods of DaemonSets, mostly.
        copy.remove(|resident| moves.iter().any(|one| one.pod == resident.uid));
        cluster.insert(copy);
    }
    names
}

/// How many more nodes like this one would hold all; `None`: as many as there are moves would not.
pub fn needed_nodes(cluster: &mut Cluster, question: &Question<'_>, like: &NodeName) -> Option<usize> {
    let most = question.moves.len().min(MOST);
    (1..=most).find(|count| {
        let names = imagine(cluster, like, question.moves, *count);
        let onto = question.onto.map(|onto| onto.iter().chain(&names).cloned().collect::<BTreeSet<_>>());
        let wider = Question { onto: onto.as_ref(), ..*question };
        let alone: Vec<Alone> = wider.moves.iter().map(|one| Alone::look(one, cluster, &wider)).collect();
        let fits = trial::fits(&alone, cluster, &wider);
        cluster.forget_last(names.len());
        fits
    })
}

#[cfg(test)]
mod tests {
    use cluster_model::api::core as v1;
    use cluster_model::identity::Uid;
    use serde_json::{Value, json};

    use super::*;
    use crate::candidate::Candidate;

    fn read<T: serde::de::DeserializeOwned>(object: Value) -> T {
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn nodes_that_were_imagined_before_stay_and_are_not_counted_again() {
        let like = NodeName::from("old");
        let mut cluster = Cluster::default();
        cluster.add_node(&read(json!({
            "metadata": {"name": "old", "labels": {HOSTNAME: "old"}}, "spec": {"unschedulable": true},
            "status": {"allocatable": {"cpu": "2", "pods": "10"}},
        })));
        let mut coming = |name: &str| {
            let running: v1::Pod = read(json!({
                "metadata": {"name": name, "namespace": "ns", "uid": name},
                "spec": {"nodeName": "old", "containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}]},
            }));
            cluster.add_pod(&running);
            Move {
                pod: Uid::from(name),
                from: like.clone(),
                candidate: Candidate::replacement(&running, None),
                stays: false,
            }
        };
        let moves = ["p1", "p2", "p3", "p4", "p5"].map(&mut coming);
        let leaving = BTreeSet::from([like.clone()]);
        let question = Question { moves: &moves, leaving: &leaving, onto: None };
        assert_eq!(needed_nodes(&mut cluster, &question, &like), Some(3));
        imagine(&mut cluster, &like, &moves, 1);
        let before = cluster.clone();
        assert_eq!(needed_nodes(&mut cluster, &question, &like), Some(2));
        assert_eq!(cluster, before);
    }
}
