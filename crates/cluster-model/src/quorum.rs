//! What is left of the control plane when nodes are turned off. A drain itself leaves static pods where they are; what
//! comes after it usually does not.

use crate::identity::NodeName;
use crate::node::Node;

/// The labels by which installers mark the nodes that run etcd (kubeadm, its name of old, and what keeps etcd apart).
const ROLES: [&str; 3] =
    ["node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master", "node-role.kubernetes.io/etcd"];

/// How the control plane would stand without some of its nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quorum {
    /// Those of the nodes in question that belong to it.
    pub leaving: Vec<NodeName>,
    /// How many it has in all.
    pub members: usize,
    /// How many others of it are Ready.
    pub left: usize,
    /// How many etcd needs of so many members: more than half.
    pub needed: usize,
}

impl Quorum {
    /// Judges it by labels and readiness; `None`: none of `leaving` belongs to the control plane, as far as labels say.
    pub fn without(leaving: &[NodeName], nodes: &[Node]) -> Option<Self> {
        let is_member = |node: &&Node| ROLES.iter().any(|role| node.labels.contains_key(*role));
        let members: Vec<_> = nodes.iter().filter(is_member).collect();
        let goes = |node: &Node| leaving.contains(&node.name);
        let going: Vec<_> = members.iter().filter(|node| goes(node)).map(|node| node.name.clone()).collect();
        let left = members.iter().filter(|node| !goes(node) && node.ready).count();
        let needed = members.len() / 2 + 1;
        (!going.is_empty()).then_some(Self { leaving: going, members: members.len(), left, needed })
    }

    /// Whether etcd goes on without them.
    pub fn is_kept(&self) -> bool {
        self.left >= self.needed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    #[test]
    fn more_than_half_have_to_be_left() {
        let member = |name: &str, ready: bool| {
            let mut node = fixtures::node(name);
            node.labels.insert(ROLES[0].to_owned(), String::new());
            node.ready = ready;
            node
        };
        let worker = fixtures::node("w");
        let all = |ready: &[bool]| -> Vec<Node> {
            let members = ready.iter().enumerate().map(|(number, ready)| member(&format!("m{number}"), *ready));
            members.chain([worker.clone()]).collect()
        };
        // Readiness of each member, how many of them leave, how many are left, and whether that is enough.
        let table: [(&[bool], usize, usize, bool); 6] = [
            (&[true, true, true], 1, 2, true),
            (&[true, true, true], 2, 1, false),
            (&[true, true, false], 1, 1, false),
            (&[true], 1, 0, false),
            (&[true, true], 1, 1, false),
            (&[true, true, true, true, true], 2, 3, true),
        ];
        for (ready, count, left, kept) in table {
            let leaving: Vec<_> = (0..count).map(|number| NodeName(format!("m{number}"))).collect();
            let quorum = Quorum::without(&leaving, &all(ready)).unwrap();
            assert_eq!((quorum.left, quorum.is_kept()), (left, kept), "{ready:?} without {count}");
        }
        assert_eq!(Quorum::without(&[NodeName::from("w")], &all(&[true])), None);
    }
}
