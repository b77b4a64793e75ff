//! The proof that nothing is lost with a node: what is on it, and whether more can come.

use std::fmt;

use api_access::ApiAccess;
use cluster_model::identity::{NodeName, PodId};
use cluster_model::owners::{OwnerKind, owner_kind};
use cluster_model::pod::Pod;
use k8s_openapi::api::core::v1;
use kube::Api;
use kube::api::ListParams;
use node_pools::inventory::Inventory;

use crate::look::LookError;

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
        found.extend(pods.into_iter().map(|pod| Obstacle::Pod { node: name.clone(), pod }));
    }
    Ok(found)
}

/// Lists the pods of a node that would be lost with it: not those that have ended, nor those that live and die with
/// the node anyway (a DaemonSet's, the kubelet's own).
async fn pods_on(access: &ApiAccess, node: &NodeName) -> Result<Vec<PodId>, LookError> {
    let api = Api::<v1::Pod>::all(access.client.clone());
    let mut params = ListParams::default().fields(&format!("spec.nodeName={node}"));
    if access.chunk_size > 0 {
        params = params.limit(access.chunk_size);
    }
    let mut found = Vec::new();
    loop {
        let page = access.ask(|| api.list(&params)).await.map_err(|source| LookError {
            attempt: format!("list the pods of node {node}"),
            is_management: false,
            source,
        })?;
        for pod in page.items.iter().map(Pod::from) {
            let goes_with_it = pod.is_mirror || owner_kind(&pod) == OwnerKind::DaemonSet;
            if !goes_with_it && !pod.is_terminal() {
                found.push(pod.id);
            }
        }
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params.continue_token = Some(token),
            None => return Ok(found),
        }
    }
}
