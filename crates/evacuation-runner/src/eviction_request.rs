//! The eviction of a pod as a request: guarded by its uid, and with all that the answer says of when to ask again.

use api_access::{ApiAccess, CallError};
use cluster_model::api::core::Pod;
use cluster_model::identity::PodId;
use http::header::{HeaderMap, RETRY_AFTER};
use k8s_openapi::api::policy::v1::Eviction;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{DeleteOptions, ObjectMeta, Preconditions};
use kube::api::PostParams;
use kube::client::Body;
use kube::core::response::StatusDetails;
use kube::core::{Request, Status};
use kube::{Client, Error, Resource};

/// Sends an eviction, guarded by the pod's uid. Not `Api::evict`, which sends the options under a name that the server
/// ignores. A rehearsal says so in the query and in the body: KubeVirt before 1.4 heeded only the query.
pub(crate) async fn evict_request(
    access: &ApiAccess,
    pod: &PodId,
    grace_seconds: Option<u32>,
    is_rehearsal: bool,
) -> Result<(), CallError> {
    let eviction = Eviction {
        metadata: ObjectMeta {
            name: Some(pod.name.clone()),
            namespace: Some(pod.namespace.clone()),
            ..ObjectMeta::default()
        },
        delete_options: Some(DeleteOptions {
            grace_period_seconds: grace_seconds.map(i64::from),
            preconditions: Some(Preconditions { uid: Some(pod.uid.0.clone()), resource_version: None }),
            dry_run: is_rehearsal.then(|| vec!["All".to_owned()]),
            ..DeleteOptions::default()
        }),
    };
    let params = PostParams { dry_run: is_rehearsal, field_manager: Some(access.field_manager.clone()) };
    access.call(post(&access.client, pod, &params, &eviction)).await
}

/// The same as `Api::create_subresource`, which keeps nothing of an answer but its body.
async fn post(client: &Client, pod: &PodId, params: &PostParams, eviction: &Eviction) -> kube::Result<()> {
    let body = serde_json::to_vec(eviction).map_err(Error::SerdeError)?;
    let pods = Request::new(Pod::url_path(&(), Some(&pod.namespace)));
    let request = pods.create_subresource("eviction", &pod.name, params, body).map_err(Error::BuildRequest)?;
    let (parts, body) = client.send(request.map(Body::from)).await?.into_parts();
    let body = body.collect_bytes().await?;
    if parts.status.is_success() {
        return Ok(());
    }
    Err(Error::Api(refusal(parts.status.as_u16(), &parts.headers, &body).boxed()))
}

/// What the server says of its refusal. Where it is too busy to say it in a document (priority and fairness: a line of
/// text), only the header tells when to ask again (`apiserver/pkg/server/filters/priority-and-fairness.go`).
fn refusal(code: u16, headers: &HeaderMap, body: &[u8]) -> Status {
    if let Ok(status) = serde_json::from_slice(body) {
        return status;
    }
    let text = String::from_utf8_lossy(body);
    let mut status = Status::failure(text.trim(), "Failed to parse error data").with_code(code);
    let seconds = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    if let Some(retry_after_seconds) = seconds {
        status.details = Some(StatusDetails { retry_after_seconds, ..no_details() });
    }
    status
}

fn no_details() -> StatusDetails {
    StatusDetails {
        name: String::new(),
        group: String::new(),
        kind: String::new(),
        uid: String::new(),
        causes: Vec::new(),
        retry_after_seconds: 0,
    }
}

#[cfg(test)]
mod tests {
    use cluster_model::eviction_reply::EvictionReply;
    use evacuation::engine::Reply;
    use http::HeaderValue;

    use super::*;
    use crate::actions::removal_reply;

    fn reply(code: u16, retry_after: Option<&'static str>, body: &str) -> Reply {
        let mut headers = HeaderMap::new();
        if let Some(value) = retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from_static(value));
        }
        let status = refusal(code, &headers, body.as_bytes());
        removal_reply(Err(CallError::Client(Error::Api(status.boxed()))))
    }

    #[test]
    fn a_server_that_is_too_busy_for_a_document_says_in_the_header_when_to_ask_again() {
        let busy = "Too many requests, please try again later.\n";
        let throttled = |retry_after| Reply::Evicted(EvictionReply::Throttled { retry_after });
        assert_eq!(reply(429, Some("8"), busy), throttled(8));
        assert_eq!(reply(429, None, busy), throttled(1));
        assert_eq!(reply(429, Some("Wed, 21 Oct 2026 07:28:00 GMT"), busy), throttled(1));
        assert_eq!(reply(503, Some("4"), "down for a moment"), throttled(4));
    }

    /// A budget that is shut has no such time, whatever a proxy adds.
    #[test]
    fn a_document_speaks_for_itself() {
        let document = r#"{"kind":"Status","status":"Failure","code":429,"message":"no",
            "details":{"causes":[{"reason":"DisruptionBudget","message":"needs 1"}]}}"#;
        let blocked = Reply::Evicted(EvictionReply::BudgetBlocked { message: "needs 1".to_owned() });
        assert_eq!(reply(429, Some("8"), document), blocked);
    }
}
