//! What leads to Services from outside. Nobody has to be able to see it, and not every cluster has it.

use api_access::ApiAccess;
use cluster_model::route::Route;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, ListParams};
use serde_json::Value;

use crate::observe::ListError;
use crate::virtual_machines::each_dynamic;

/// How one of the kinds is read.
type Read = fn(&Value) -> Route;

/// Group, kind, plural, and how it is read.
const KINDS: [(&str, &str, &str, Read); 2] = [
    ("networking.k8s.io", "Ingress", "ingresses", Route::of_ingress),
    ("gateway.networking.k8s.io", "HTTPRoute", "httproutes", Route::of_http_route),
];

/// Lists them in the whole cluster.
pub async fn look(access: &ApiAccess) -> Result<Vec<Route>, ListError> {
    let mut routes = Vec::new();
    for (group, kind, plural, read) in KINDS {
        let resource = ApiResource {
            group: group.to_owned(),
            version: "v1".to_owned(),
            api_version: format!("{group}/v1"),
            kind: kind.to_owned(),
            plural: plural.to_owned(),
        };
        let api = Api::<DynamicObject>::all_with(access.client.clone(), &resource);
        let params = ListParams::default();
        let listed = each_dynamic(access, &api, &resource, &params, |object| routes.push(read(object))).await;
        match listed.as_ref().map_err(|error| error.source.status().map(|status| status.code)) {
            Ok(()) | Err(Some(403 | 404)) => {}
            Err(_) => listed?,
        }
    }
    Ok(routes)
}
