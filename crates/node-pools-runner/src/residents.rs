//! The pods on nodes, and the volumes that tie them to their place.

use api_access::ApiAccess;
use cluster_model::api::core as v1;
use cluster_model::demand::Demand;
use cluster_model::identity::NodeName;
use cluster_model::owners::{OwnerKind, owner_kind};
use cluster_model::pod::Pod;
use kube::Api;
use kube::api::ListParams;
use node_pools::node::PoolNode;
use node_pools::pinned::Resident;

use crate::look::LookError;

/// Lists the pods of a node.
pub async fn pods_on(access: &ApiAccess, node: &NodeName) -> Result<Vec<v1::Pod>, LookError> {
    let params = ListParams::default().fields(&format!("spec.nodeName={node}"));
    all(access, &Api::all(access.client.clone()), params, &format!("list the pods of node {node}")).await
}

/// Whether a pod lives and dies with its node anyway (a DaemonSet's, the kubelet's own), or has ended.
pub fn goes_with_its_node(pod: &Pod) -> bool {
    pod.is_mirror || owner_kind(pod) == OwnerKind::DaemonSet || pod.is_terminal()
}

/// Reads the pods on these nodes that will have to go, with their volumes. A user who may not list volumes gets the pods,
/// and the error that says so beside them.
pub async fn residents<'a>(
    access: &ApiAccess,
    nodes: &[&'a PoolNode],
) -> Result<(Vec<(&'a PoolNode, Resident)>, Option<LookError>), LookError> {
    let mut found = Vec::new();
    for node in nodes {
        for pod in pods_on(access, &node.name).await? {
            let known = Pod::from(&pod);
            if let Some(spec) = pod.spec.filter(|_| !goes_with_its_node(&known)) {
                let claims = known.claims.clone();
                found.push((
                    *node,
                    claims,
                    Resident { pod: known.id, demand: Demand::from(&spec), volumes: Vec::new() },
                ));
            }
        }
    }
    let (mut volumes, mut blind) = (Vec::new(), None);
    if found.iter().any(|(_, claims, _)| !claims.is_empty()) {
        match all(
            access,
            &Api::<v1::PersistentVolume>::all(access.client.clone()),
            ListParams::default(),
            "list persistentvolumes",
        )
        .await
        {
            Ok(listed) => volumes = listed,
            Err(error) if error.source.status().is_some_and(|status| status.code == 403) => blind = Some(error),
            Err(error) => return Err(error),
        }
    }
    let tied = |namespace: &str, claim: &str| {
        let spec = volumes.iter().filter_map(|volume| volume.spec.as_ref()).find(|spec| {
            spec.claim_ref
                .as_ref()
                .is_some_and(|of| of.namespace.as_deref() == Some(namespace) && of.name.as_deref() == Some(claim))
        })?;
        Some((claim.to_owned(), spec.node_affinity.clone()?))
    };
    let with_volumes = |(node, claims, mut resident): (&'a PoolNode, Vec<String>, Resident)| {
        resident.volumes = claims.iter().filter_map(|claim| tied(&resident.pod.namespace, claim)).collect();
        (node, resident)
    };
    Ok((found.into_iter().map(with_volumes).collect(), blind))
}

/// Lists everything, page by page.
pub(crate) async fn all<K>(
    access: &ApiAccess,
    api: &Api<K>,
    params: ListParams,
    attempt: &str,
) -> Result<Vec<K>, LookError>
where
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let mut params = if access.chunk_size > 0 { params.limit(access.chunk_size) } else { params };
    let mut found = Vec::new();
    loop {
        let page = access.ask(|| api.list(&params)).await.map_err(|source| LookError {
            attempt: attempt.to_owned(),
            is_management: false,
            source,
        })?;
        found.extend(page.items);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params.continue_token = Some(token),
            None => return Ok(found),
        }
    }
}
