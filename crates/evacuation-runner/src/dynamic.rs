//! Objects as JSON, of kinds that have no type here: what is read of them does not need one, and a type for all that they hold
//! would weigh more in the program.

use kube::Api;
use kube::api::{ApiResource, DynamicObject, ListParams};
use serde_json::Value;

use crate::observe::ListError;
use api_access::ApiAccess;

/// A kind, as the client addresses it. The core group is "".
pub(crate) fn resource(group: &str, kind: &str, plural: &str) -> ApiResource {
    let api_version = if group.is_empty() { "v1".to_owned() } else { format!("{group}/v1") };
    ApiResource {
        group: group.to_owned(),
        version: "v1".to_owned(),
        api_version,
        kind: kind.to_owned(),
        plural: plural.to_owned(),
    }
}

/// All objects of a kind in the whole cluster, page by page.
pub(crate) async fn each_of(
    access: &ApiAccess,
    resource: &ApiResource,
    each: impl FnMut(&Value),
) -> Result<(), ListError> {
    let api = Api::<DynamicObject>::all_with(access.client.clone(), resource);
    each_dynamic(access, &api, resource, each).await
}

/// The objects as JSON, page by page.
pub(crate) async fn each_dynamic(
    access: &ApiAccess,
    api: &Api<DynamicObject>,
    resource: &ApiResource,
    mut each: impl FnMut(&Value),
) -> Result<(), ListError> {
    let mut params = ListParams::default();
    if access.chunk_size > 0 {
        params = params.limit(access.chunk_size);
    }
    loop {
        let page = access.ask(|| api.list(&params)).await.map_err(|source| ListError {
            resource: resource.plural.clone(),
            api_version: resource.api_version.clone(),
            namespace: None,
            source,
        })?;
        for object in page.items {
            each(&json_of(&object));
        }
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params.continue_token = Some(token),
            None => return Ok(()),
        }
    }
}

/// An object as the server sent it.
pub(crate) fn json_of(object: &DynamicObject) -> Value {
    // What was read from JSON a moment ago can be written as JSON.
    serde_json::to_value(object).unwrap_or_default()
}
