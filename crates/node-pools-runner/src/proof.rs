//! The proof that nothing is lost with a node: what is on it, and whether more can come.

use std::fmt;

use api_access::ApiAccess;
use cluster_model::identity::{NodeName, PodId};
use cluster_model::pod::Pod;
use node_pools::inventory::Inventory;

use crate::look::LookError;
use crate::residents::{goes_with_its_node, pods_on};

/// Why a node may not go yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// New pods may still be put on it.
    Schedulable(NodeName),
    /// A pod would be lost with it.
    Pod {
        /// Where it is.
        node: NodeName,
        /// Which.
        pod: PodId,
    },
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Schedulable(node) => write!(f, "node {node} is not cordoned, so pods may still be put on it"),
            Self::Pod { node, pod } => write!(f, "pod {pod} is on node {node}"),
        }
    }
}

/// Finds everything that keeps these nodes from going. A node that does not exist holds nothing.
pub async fn obstacles(
    access: &ApiAccess,
    inventory: &Inventory,
    nodes: &[NodeName],
) -> Result<Vec<Obstacle>, LookError> {
    let mut found = Vec::new();
    for name in nodes {
        let Some(node) = inventory.node(&name.0) else { continue };
        if !node.unschedulable {
            found.push(Obstacle::Schedulable(name.clone()));
        }
        let pods = pods_on(access, name).await?;
        let lost = pods.iter().map(Pod::from).filter(|pod| !goes_with_its_node(pod));
        found.extend(lost.map(|pod| Obstacle::Pod { node: name.clone(), pod: pod.id }));
    }
    Ok(found)
}
