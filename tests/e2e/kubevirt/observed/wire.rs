//! Requests and answers as they are on the wire, since a client library hides what is looked at here.

use http::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use http::{Method, Request};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

/// What kubectl and client-go accept.
pub(super) const JSON_OR_ANYTHING: &str = "application/json, */*";

/// An answer.
#[derive(Debug, PartialEq)]
pub(super) struct Answer {
    pub(super) code: u16,
    pub(super) content_type: String,
    pub(super) retry_after: Option<String>,
    pub(super) body: String,
}

impl Answer {
    /// The answer of the API server with a JSON body and without Retry-After, which all of them are.
    pub(super) fn json(code: u16, body: &str) -> Self {
        Self { code, content_type: String::from("application/json"), retry_after: None, body: body.to_owned() }
    }

    /// An answer with text for people.
    pub(super) fn plain(code: u16, body: &str) -> Self {
        Self { code, content_type: String::from("text/plain; charset=utf-8"), retry_after: None, body: body.to_owned() }
    }

    /// An answer without a body.
    pub(super) fn empty(code: u16) -> Self {
        Self { code, content_type: String::new(), retry_after: None, body: String::new() }
    }

    /// OBSERVED: what a webhook of evictions refuses with `sentence`.
    pub(super) fn refused_by(webhook: &str, sentence: &str) -> Self {
        let message = json!(format!("admission webhook \"{webhook}.kubevirt.io\" denied the request: {sentence}"));
        Self::json(
            429,
            &format!(
                r#"{{"kind":"Status","apiVersion":"v1","metadata":{{}},"status":"Failure","message":{message},"code":429}}"#
            ),
        )
    }

    /// OBSERVED: what the webhook of launchers refuses with `sentence`.
    pub(super) fn refused(sentence: &str) -> Self {
        Self::refused_by("virt-launcher-eviction-interceptor", sentence)
    }

    /// OBSERVED: a granted eviction.
    pub(super) fn granted() -> Self {
        Self::json(201, r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Success","code":201}"#)
    }

    /// Returns the message of a `Status`.
    pub(super) fn message(&self) -> String {
        let status: Value = serde_json::from_str(&self.body).expect(&self.body);
        status["message"].as_str().unwrap_or_default().to_owned()
    }
}

/// Returns the code and the message of a refusal; 0 for a request that did not come to an answer.
pub(super) fn refusal(error: &kube::Error) -> (u16, String) {
    match error {
        kube::Error::Api(status) => (status.code, status.message.clone()),
        other => (0, other.to_string()),
    }
}

/// Sends a request as it is, once.
pub(super) async fn send(client: &Client, method: Method, path: &str, accept: &str, body: &str) -> Answer {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(ACCEPT, accept)
        .header(CONTENT_TYPE, "application/json")
        .body(Body::from(body.as_bytes().to_vec()))
        .unwrap();
    let response = client.send(request).await.expect(path);
    let header = |name| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let (code, content_type, retry_after) =
        (response.status().as_u16(), header(CONTENT_TYPE).unwrap_or_default(), header(RETRY_AFTER));
    let body = response.into_body().collect().await.unwrap().to_bytes();
    // The API server ends a document with a new line.
    let body = String::from_utf8(body.to_vec()).unwrap().trim_end_matches('\n').to_owned();
    Answer { code, content_type, retry_after, body }
}
