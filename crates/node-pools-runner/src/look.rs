//! Lists: which of the providers' kinds are served, and their objects, raw.

use std::collections::BTreeMap;

use api_access::{ApiAccess, CallError};
use cluster_model::api::core as v1;
use kube::Api;
use kube::api::ListParams;
use node_pools::address::{Address, Resource};
use node_pools::inventory::{Inventory, KindName};
use node_pools::node::PoolNode;
use serde_json::Value;

use crate::Places;

/// A question that brought no answer.
#[derive(Debug, thiserror::Error)]
#[error("cannot {attempt}")]
pub struct LookError {
    /// What was tried: `list machinedeployments.cluster.x-k8s.io`.
    pub attempt: String,
    /// Whether it was asked of the cluster of the pools' objects.
    pub is_management: bool,
    /// What happened.
    #[source]
    pub source: CallError,
}

/// Reads all objects of these kinds, as far as they are served, and the nodes.
pub async fn look(places: &Places, kinds: &[KindName]) -> Result<Inventory, LookError> {
    let mut inventory = Inventory::default();
    for resource in served(&places.management, kinds).await? {
        for object in list(&places.management, &resource, None).await? {
            inventory.put(&resource, object);
        }
        inventory.serve(resource);
    }
    nodes(&places.workload, &mut inventory).await?;
    Ok(inventory)
}

/// Reads the nodes.
pub async fn nodes(access: &ApiAccess, inventory: &mut Inventory) -> Result<(), LookError> {
    let api = Api::<v1::Node>::all(access.client.clone());
    let mut params = ListParams::default();
    if access.chunk_size > 0 {
        params = params.limit(access.chunk_size);
    }
    inventory.forget_nodes();
    loop {
        let page = access.ask(|| api.list(&params)).await.map_err(|source| LookError {
            attempt: "list nodes".to_owned(),
            is_management: false,
            source,
        })?;
        page.items.iter().map(PoolNode::from).for_each(|node| inventory.put_node(node));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params.continue_token = Some(token),
            None => return Ok(()),
        }
    }
}

/// Reads everything of further kinds, in one namespace or the whole cluster. Returns the kinds that are served.
pub async fn beside(
    access: &ApiAccess,
    inventory: &mut Inventory,
    kinds: &[(String, String)],
    namespace: Option<&str>,
) -> Result<Vec<Resource>, LookError> {
    let resources = served_named(access, kinds).await?;
    for resource in &resources {
        inventory.forget_all(resource);
        for object in list(access, resource, namespace).await? {
            inventory.put(resource, object);
        }
        inventory.serve(resource.clone());
    }
    Ok(resources)
}

/// Reads one object anew; one that is gone is forgotten.
pub async fn read(access: &ApiAccess, inventory: &mut Inventory, address: &Address) -> Result<(), LookError> {
    match get(access, &address.path()).await {
        Ok(object) => inventory.put(&address.resource, object),
        Err(error) if error.status().is_some_and(|status| status.code == 404) => inventory.forget(address),
        Err(source) => {
            return Err(LookError { attempt: format!("get {}", address.for_kubectl()), is_management: true, source });
        }
    }
    Ok(())
}

/// Finds out which of these kinds are served, and in which version: of those that serve it, the one that
/// the server prefers.
async fn served(access: &ApiAccess, kinds: &[KindName]) -> Result<Vec<Resource>, LookError> {
    let names: Vec<_> = kinds.iter().map(|kind| (kind.group.to_owned(), kind.kind.to_owned())).collect();
    served_named(access, &names).await
}

async fn served_named(access: &ApiAccess, kinds: &[(String, String)]) -> Result<Vec<Resource>, LookError> {
    if kinds.is_empty() {
        return Ok(Vec::new());
    }
    let failed = |attempt: &str| {
        let attempt = attempt.to_owned();
        move |source| LookError { attempt, is_management: true, source }
    };
    let groups = access.ask(|| access.client.list_api_groups()).await.map_err(failed("list the API groups"))?;
    let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for group in groups.groups {
        let preferred = group.preferred_version.map(|version| version.version);
        let others = group.versions.into_iter().map(|version| version.version);
        let all = preferred.clone().into_iter().chain(others.filter(|other| Some(other) != preferred.as_ref()));
        versions.insert(group.name, all.collect());
    }
    let mut found = Vec::new();
    let mut asked: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for (group, kind) in kinds {
        // A group's preferred version need not serve all of its kinds.
        for version in versions.get(group).into_iter().flatten() {
            let api_version = format!("{group}/{version}");
            if !asked.contains_key(&api_version) {
                let list = access
                    .ask(|| access.client.list_api_group_resources(&api_version))
                    .await
                    .map_err(failed(&format!("list the kinds of {api_version}")))?;
                asked.insert(api_version.clone(), list.resources);
            }
            let resources = asked.get(&api_version).into_iter().flatten();
            let served = resources.into_iter().find(|one| one.kind == *kind && !one.name.contains('/'));
            if let Some(resource) = served {
                found.push(Resource {
                    group: group.clone(),
                    version: version.clone(),
                    kind: kind.clone(),
                    plural: resource.name.clone(),
                    namespaced: resource.namespaced,
                });
                break;
            }
        }
    }
    Ok(found)
}

/// Lists all objects of a resource, in pages, as the server says them.
async fn list(access: &ApiAccess, resource: &Resource, namespace: Option<&str>) -> Result<Vec<Value>, LookError> {
    let mut objects = Vec::new();
    let mut token = String::new();
    loop {
        let limit = if access.chunk_size > 0 { format!("limit={}", access.chunk_size) } else { String::new() };
        let path = format!("{}?{limit}{token}", resource.path(namespace));
        let mut page = get(access, &path).await.map_err(|source| LookError {
            attempt: format!("list {}", resource.full_name()),
            is_management: true,
            source,
        })?;
        if let Some(Value::Array(items)) = page.get_mut("items").map(Value::take) {
            objects.extend(items);
        }
        match page.pointer("/metadata/continue").and_then(Value::as_str).filter(|token| !token.is_empty()) {
            Some(next) => token = format!("&continue={next}"),
            None => return Ok(objects),
        }
    }
}

async fn get(access: &ApiAccess, path: &str) -> Result<Value, CallError> {
    access
        .ask(|| async {
            let request = http::Request::get(path).body(Vec::new()).map_err(kube::Error::HttpError)?;
            access.client.request::<Value>(request).await
        })
        .await
}
