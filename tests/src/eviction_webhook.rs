//! A validating webhook on the evictions of one namespace, which denies those of the pods that a test names.

#![expect(clippy::indexing_slicing, reason = "indexing a JSON template with a name adds what is not there")]

use std::collections::BTreeMap;

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response};
use http_body_util::Full;
use hyper::body::Bytes;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};

use crate::background::Background;
use crate::namespace::Namespace;
use crate::tls_server::{Endpoint, Server};
use crate::wait::{DEADLINE, eventually};

/// How one eviction is denied.
#[derive(Clone, Debug)]
pub struct Denial {
    /// The status that the webhook gives; the API server passes it on.
    pub code: u16,
    /// The webhook's words.
    pub message: String,
}

/// A webhook that is asked about every eviction in a namespace, and fails them all while it is down.
#[derive(Debug)]
pub struct EvictionWebhook {
    server: Server,
    _background: Background,
}

impl EvictionWebhook {
    /// Starts one; returns once the API server asks it. `denials` are by the pods' names, one at least.
    pub async fn start(namespace: &Namespace, name: &str, denials: BTreeMap<String, Denial>) -> Self {
        let probe = denials.keys().next().expect("a webhook that denies nothing shows nothing").clone();
        let endpoint = Endpoint::on_free_port();
        let configuration = configuration(namespace, name, endpoint.port(), endpoint.certificate());
        let (server, serving) = Server::new(endpoint);
        let background = Background::start("eviction-webhook", async move || {
            let answer = move |request: http::Request<Bytes>| {
                let body = judge(request.body(), &denials);
                async move { answer(&body) }
            };
            serving.run(answer).await;
        });
        server.listens(true).await;
        namespace.create(configuration).await;
        // Other clients ask again by themselves when they are told to come back later.
        let client = namespace.control_plane().forwarding_client(namespace.user()).await;
        let pods = Api::<Pod>::namespaced(client, namespace.name());
        eventually("the API server asks the webhook", DEADLINE, || async {
            let eviction = json!({ "apiVersion": "policy/v1", "kind": "Eviction", "metadata": { "name": probe } });
            let dry_run = PostParams { dry_run: true, ..PostParams::default() };
            let answer = pods.create_subresource::<_, Value>("eviction", &probe, &dry_run, &eviction).await;
            matches!(answer, Err(kube::Error::Api(status)) if status.message.contains("denied the request"))
        })
        .await;
        Self { server, _background: background }
    }

    /// Returns its address, as the API server's messages show it: `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        self.server.address()
    }

    /// Stops it: connections are refused.
    pub async fn stop(&self) {
        self.server.want(false).await;
    }
}

fn configuration(namespace: &Namespace, name: &str, port: u16, certificate: &str) -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": { "name": namespace.name() },
        "webhooks": [{
            "name": name,
            "admissionReviewVersions": ["v1"],
            "failurePolicy": "Fail",
            "timeoutSeconds": 10,
            "sideEffects": "None",
            "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": namespace.name() } },
            "rules": [{ "operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods/eviction"] }],
            "clientConfig": {
                "url": format!("https://127.0.0.1:{port}/"),
                "caBundle": ByteString(certificate.as_bytes().to_vec()),
            },
        }],
    })
}

/// Returns the answer to an AdmissionReview.
fn judge(body: &[u8], denials: &BTreeMap<String, Denial>) -> Value {
    let review: Value = serde_json::from_slice(body).unwrap_or_default();
    let denial = denials.get(review["request"]["name"].as_str().unwrap_or_default());
    let mut response = json!({ "uid": review["request"]["uid"], "allowed": denial.is_none() });
    if let Some(Denial { code, message }) = denial {
        response["status"] = json!({ "code": code, "message": message });
    }
    json!({ "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response })
}

fn answer(body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(Bytes::from(body.to_string())));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
