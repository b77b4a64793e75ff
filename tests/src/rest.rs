//! Requests whose bodies are JSON of any shape.

use http::{Method, Request};
use kube::Client;
use serde_json::Value;

/// The administrator's requests.
pub(crate) struct Rest(pub(crate) Client);

impl Rest {
    /// Reads an object or a list; `None` if it is not there.
    pub(crate) async fn get(&self, path: &str) -> Option<Value> {
        self.send(Method::GET, path, None).await
    }

    /// Reads a list's items.
    pub(crate) async fn items(&self, path: &str) -> Vec<Value> {
        match self.get(path).await {
            Some(mut list) => {
                list.get_mut("items").and_then(Value::as_array_mut).map(std::mem::take).unwrap_or_default()
            }
            None => Vec::new(),
        }
    }

    /// Creates an object; `None` if there is one already.
    pub(crate) async fn create(&self, path: &str, object: &Value) -> Option<Value> {
        self.send(Method::POST, path, Some(object)).await
    }

    /// Changes an object by a merge patch; `None` if it is gone or was changed meanwhile.
    pub(crate) async fn merge(&self, path: &str, change: &Value) -> Option<Value> {
        self.send(Method::PATCH, path, Some(change)).await
    }

    /// Deletes an object.
    pub(crate) async fn delete(&self, path: &str) {
        self.send(Method::DELETE, path, None).await;
    }

    /// Sends a request; an answer that says the object is not there, or not as it was, is `None`, and so is every other
    /// failure: who asks looks again soon.
    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Option<Value> {
        let content_type = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = Request::builder().method(method).uri(path).header("content-type", content_type);
        let request = request.body(body.into_bytes()).expect("the path is a path");
        self.0.request(request).await.ok()
    }
}
