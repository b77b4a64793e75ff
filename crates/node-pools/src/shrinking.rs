//! Which machines go when a pool of machines shrinks: those that are marked for it, and no others.

use cluster_model::identity::NodeName;
use serde_json::{Value, json};

use crate::address::Address;
use crate::finding::Refusal;
use crate::step::Step;

/// What this program writes into a mark; the controllers look only whether there is one.
const OURS: &str = "handover";

/// A machine that nobody is removing yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Living<'a> {
    /// Which.
    pub address: &'a Address,
    /// Its node, once it has one.
    pub node: Option<NodeName>,
    /// What the annotation says that makes it go first; `None`: it has no such mark.
    pub mark: Option<&'a str>,
}

/// Plans to mark the machines of `leaving` by an annotation, to change the size, and to wait until they are gone: as long
/// as one is going, the next smaller size could let another one go with it. A mark that an earlier run left on a machine
/// that is to stay is taken off. `pool` is its name in a sentence.
///
/// # Errors
///
/// A node has no machine, or somebody else has marked one that is to stay: it would go instead.
pub fn steps(
    pool: &str,
    annotation: &str,
    living: &[Living<'_>],
    leaving: &[NodeName],
    scale: Step,
) -> Result<Vec<Step>, Refusal> {
    let mark = |machine: &Living<'_>, value: Value, what: &str| Step::Merge {
        target: machine.address.clone(),
        patch: json!({ "metadata": { "annotations": { annotation: value } } }),
        what: what.to_owned(),
    };
    let mut steps = Vec::new();
    let goes = |machine: &&Living<'_>| machine.node.as_ref().is_some_and(|node| leaving.contains(node));
    for machine in living.iter().filter(|machine| !goes(machine)) {
        match machine.mark {
            Some(OURS) => steps.push(mark(machine, Value::Null, "it stays")),
            Some(_) if !leaving.is_empty() => {
                return Err(Refusal::Unsupported(format!(
                    "{} carries {annotation}, which somebody else wrote, and is not empty: it would go first",
                    machine.address
                )));
            }
            Some(_) | None => {}
        }
    }
    let mut objects = Vec::new();
    for node in leaving {
        let machine = living.iter().find(|machine| machine.node.as_ref() == Some(node)).ok_or_else(|| {
            Refusal::Unsupported(format!(
                "{pool} has no Machine for node {node}, so nobody can say which of its nodes goes when it shrinks"
            ))
        })?;
        steps.push(mark(machine, json!(OURS), "it goes first"));
        objects.push(machine.address.clone());
    }
    steps.push(scale);
    if !objects.is_empty() {
        steps.push(Step::AwaitGone { objects, nodes: leaving.to_vec() });
    }
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Resource;

    #[test]
    fn a_machine_that_is_to_stay_does_not_go_first() {
        let addresses = ["a", "b", "c"].map(|name| Resource::nodes().at(None, name));
        let [a, b, c] = &addresses;
        let living = |marks: [Option<&'static str>; 3]| -> Vec<Living<'_>> {
            let one =
                |(address, mark)| Living { address, node: Some(NodeName(format!("node-{}", address.name))), mark };
            [a, b, c].into_iter().zip(marks).map(one).collect()
        };
        let scale = || Step::scale(a, &json!({}), 2);
        let plan = |marks, leaving: &[&str]| {
            let leaving: Vec<_> = leaving.iter().copied().map(NodeName::from).collect();
            let steps = steps("the pool", "first", &living(marks), &leaving, scale());
            steps.map(|steps| steps.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        let goes = |name: &str| format!("patch Node {name}: it goes first");
        let stays = |name: &str| format!("patch Node {name}: it stays");
        let scaled = || "patch Node a: 2 nodes".to_owned();
        let gone = || "wait until Node b and 1 more are gone".to_owned();
        assert_eq!(plan([None, None, None], &["node-b"]), Ok(vec![goes("b"), scaled(), gone()]));
        let left_by_a_dead_run = [Some(OURS), None, None];
        assert_eq!(plan(left_by_a_dead_run, &["node-b"]), Ok(vec![stays("a"), goes("b"), scaled(), gone()]));
        assert_eq!(plan(left_by_a_dead_run, &[]), Ok(vec![stays("a"), scaled()]), "it grows");
        assert!(plan([Some(""), None, None], &["node-b"]).is_err(), "somebody else's mark");
        assert_eq!(plan([Some(""), None, None], &[]), Ok(vec![scaled()]), "it grows, and nobody goes");
        assert!(plan([None, None, None], &["node-d"]).is_err(), "a node without a machine");
    }
}
