//! Whole objects, as the server says them: for what keeps them, not for decisions.

use cluster_model::identity::PodId;
use serde_json::Value;

use api_access::{ApiAccess, CallError};

/// Reads a pod; `None` if it is gone, or another one has its name. Needs `get pods`.
pub async fn pod(access: &ApiAccess, id: &PodId) -> Result<Option<Value>, CallError> {
    let path = format!("/api/v1/namespaces/{}/pods/{}", id.namespace, id.name);
    match read(access, &path).await {
        Ok(pod) => {
            let uid = pod.pointer("/metadata/uid").and_then(Value::as_str);
            Ok((uid == Some(&id.uid.0)).then_some(pod))
        }
        Err(error) if error.status().is_some_and(|status| status.code == 404) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads what is at a path.
pub(crate) async fn read(access: &ApiAccess, path: &str) -> Result<Value, CallError> {
    let ask = || async {
        let request = http::Request::get(path).body(Vec::new()).map_err(kube::Error::HttpError)?;
        access.client.request::<Value>(request).await
    };
    access.ask(ask).await
}
