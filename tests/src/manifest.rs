//! Objects as JSON, put into the cluster as `kubectl apply --server-side` would.

use std::collections::BTreeSet;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::watcher;
use kube::{Api, Client, ResourceExt};
use serde_json::Value;

use crate::namespace::from_json;
use crate::wait::{self, DEADLINE};

/// Server-side applies an object, or a subresource of it, under the name of a field manager.
pub(crate) async fn apply(client: &Client, manager: &str, object: &Value, subresource: Option<&str>) {
    let (api, name) = api_of(client, object);
    let parameters = PatchParams::apply(manager).force();
    let applied = match subresource {
        None => api.patch(&name, &parameters, &Patch::Apply(object)).await,
        Some(subresource) => api.patch_subresource(subresource, &name, &parameters, &Patch::Apply(object)).await,
    };
    applied.unwrap_or_else(|error| panic!("apply {} {name}: {error}", text(object, "/kind")));
}

/// Returns the API that an object belongs to, and its name.
pub(crate) fn api_of(client: &Client, object: &Value) -> (Api<DynamicObject>, String) {
    let dynamic: DynamicObject = from_json(object.clone());
    let types = dynamic.types.unwrap_or_default();
    let gvk = GroupVersionKind::try_from(&types).unwrap_or_else(|error| panic!("{}: {error}", types.kind));
    let resource = ApiResource::from_gvk(&gvk);
    let api = match &dynamic.metadata.namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    (api, dynamic.metadata.name.unwrap_or_default())
}

/// Applies CustomResourceDefinitions and waits until their kinds are served.
pub(crate) async fn define(client: &Client, manager: &str, definitions: &[Value]) {
    for definition in definitions {
        apply(client, manager, definition, None).await;
    }
    let names: BTreeSet<&str> = definitions.iter().map(|definition| text(definition, "/metadata/name")).collect();
    let api = Api::<CustomResourceDefinition>::all(client.clone());
    wait::until(api, watcher::Config::default(), "the custom resources are served", DEADLINE, |found| {
        found.iter().filter(|one| is_established(one) && names.contains(&*one.name_any())).count() == names.len()
    })
    .await;
}

fn is_established(definition: &CustomResourceDefinition) -> bool {
    definition.status.as_ref().and_then(|status| status.conditions.as_ref()).is_some_and(|conditions| {
        conditions.iter().any(|condition| condition.type_ == "Established" && condition.status == "True")
    })
}

/// Returns the text at a JSON pointer, or nothing.
pub(crate) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}
