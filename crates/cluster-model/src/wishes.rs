//! What pods and nodes say to the tools that empty nodes, in the words of those tools.

use std::collections::BTreeMap;

use crate::api::core as v1;

/// The annotation that puts a pod, or all pods of a namespace that say nothing themselves, before or after others: a whole
/// number, 0 where there is none; the lowest goes first.
pub const ORDER: &str = "handover/order";
/// Cluster API's word about its drains (`PodDrainLabel` in `api/core/v1beta2/machinedrainrules_types.go`).
pub const DRAIN: &str = "cluster.x-k8s.io/drain";

/// Annotations by which a pod asks to be left alone, with the value that means it.
const OBJECTIONS: [(&str, &str); 2] =
    [("karpenter.sh/do-not-disrupt", "true"), ("cluster-autoscaler.kubernetes.io/safe-to-evict", "false")];

/// Taints by which another tool says that it is emptying a node, or will remove it, with what it is.
const HOLDERS: [(&str, &str); 4] = [
    ("karpenter.sh/disrupted", "Karpenter is replacing it"),
    ("ToBeDeletedByClusterAutoscaler", "the Cluster Autoscaler is removing it"),
    ("DeletionCandidateOfClusterAutoscaler", "the Cluster Autoscaler is about to remove it"),
    ("medik8s.io/drain", "a node maintenance operator is draining it"),
];

/// What a pod says about its own leaving.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// [`ORDER`]; `None`: it says nothing, or no whole number.
    pub order: Option<i32>,
    /// [`DRAIN`].
    pub drain: DrainWish,
    /// The annotations by which it asks to be left alone, as `KEY=VALUE`.
    pub objections: Vec<String>,
}

/// The values of [`DRAIN`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DrainWish {
    /// Nothing is said.
    #[default]
    None,
    /// `skip`: it stays.
    Skip,
    /// `wait-completed`: it is waited for until it has ended.
    WaitCompleted,
}

impl Wishes {
    /// Reads them.
    pub fn of(labels: &BTreeMap<String, String>, annotations: Option<&BTreeMap<String, String>>) -> Self {
        let annotation = |key: &str| annotations.and_then(|all| all.get(key)).map(String::as_str);
        let drain = match labels.get(DRAIN).map(String::as_str) {
            Some("skip") => DrainWish::Skip,
            Some("wait-completed") => DrainWish::WaitCompleted,
            Some(_) | None => DrainWish::None,
        };
        let objections = OBJECTIONS.iter().filter(|(key, value)| annotation(key) == Some(*value));
        Self {
            order: annotation(ORDER).and_then(order),
            drain,
            objections: objections.map(|(key, value)| format!("{key}={value}")).collect(),
        }
    }
}

/// Reads the value of [`ORDER`]; `None`: it is no whole number.
pub fn order(text: &str) -> Option<i32> {
    text.trim().parse().ok()
}

/// Says who else is at work on a node, by its taints.
pub fn holders(taints: &[v1::Taint]) -> Vec<String> {
    let found = HOLDERS.iter().filter(|(key, _)| taints.iter().any(|taint| taint.key == *key));
    found.map(|(key, what)| format!("{what} (taint {key})")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn wishes_are_read_as_their_tools_write_them() {
        let annotations = map(&[
            ("karpenter.sh/do-not-disrupt", "true"),
            ("cluster-autoscaler.kubernetes.io/safe-to-evict", "true"),
            (ORDER, "-3"),
        ]);
        let wishes = Wishes::of(&map(&[(DRAIN, "wait-completed")]), Some(&annotations));
        assert_eq!((wishes.order, wishes.drain), (Some(-3), DrainWish::WaitCompleted));
        assert_eq!(wishes.objections, ["karpenter.sh/do-not-disrupt=true"]);
        assert_eq!(Wishes::of(&map(&[(DRAIN, "no")]), Some(&map(&[(ORDER, "first")]))), Wishes::default());
        assert_eq!(Wishes::of(&map(&[(DRAIN, "skip")]), None).drain, DrainWish::Skip);
    }

    #[test]
    fn a_node_tells_who_else_empties_it() {
        let taint =
            |key: &str| v1::Taint { key: key.to_owned(), effect: "NoSchedule".to_owned(), ..v1::Taint::default() };
        assert_eq!(holders(&[taint("dedicated"), taint("karpenter.sh/disrupted")]).len(), 1);
        assert!(holders(&[taint("node.kubernetes.io/unschedulable")]).is_empty());
    }
}
