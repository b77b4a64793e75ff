//! What leads to Services from outside. Nobody has to be able to see it, and not every cluster has it.

use api_access::ApiAccess;
use cluster_model::route::Route;
use serde_json::Value;

use crate::dynamic::{each_of, resource};
use crate::observe::ListError;

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
        let listed = each_of(access, &resource(group, kind, plural), |object| routes.push(read(object))).await;
        match listed.as_ref().map_err(|error| error.source.status().map(|status| status.code)) {
            Ok(()) | Err(Some(403 | 404)) => {}
            Err(_) => listed?,
        }
    }
    Ok(routes)
}
