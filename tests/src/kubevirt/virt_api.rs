//! virt-api: the webhooks and the subresources, behind one TLS port on loopback.
//!
//! It is asked by the API server alone and believes the user names that the API server sends with a request for a
//! subresource; the genuine one demands the API server's client certificate first.

mod admission;
mod evacuate_cancel;
mod eviction;
mod failure;
mod lifecycle;
mod machine_instance;
mod migration;
mod objects;
mod subresources;
mod webhooks;

pub(crate) use webhooks::webhook_configurations;

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Bytes;
use kube::Client;
use serde::de::DeserializeOwned;

use admission::{Review, Verdict};
use failure::Failure;

use super::Account;
use crate::control_plane::ControlPlane;

/// What virt-api needs to answer.
#[derive(Clone)]
pub(crate) struct VirtApi {
    client: Client,
}

impl VirtApi {
    pub(crate) async fn new(control_plane: &ControlPlane) -> Self {
        Self { client: Account::Api.client(control_plane).await }
    }

    /// Answers one request, whose body has been read.
    pub(crate) async fn answer(&self, request: Request<Bytes>) -> Response<Full<Bytes>> {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path();
        if path.starts_with("/apis/") {
            return self.answer_subresource(&parts, &body).await;
        }
        match Review::read(&body) {
            Ok(review) => review.answer(self.judge(path, &review).await),
            Err(_) => plain(StatusCode::NOT_FOUND, "404: Page Not Found"),
        }
    }

    async fn judge(&self, path: &str, review: &Review) -> Verdict {
        match path {
            webhooks::POD_EVICTION => self.judge_eviction(review).await,
            webhooks::VMI_MUTATE => self.mutate_vmi(review).await,
            webhooks::VMI_CREATE => Self::judge_new_vmi(review),
            webhooks::VMI_UPDATE => Self::judge_changed_vmi(review),
            webhooks::MIGRATION_MUTATE => Self::mutate_migration(review),
            webhooks::MIGRATION_CREATE => self.judge_new_migration(review).await,
            webhooks::MIGRATION_UPDATE => Self::judge_changed_migration(review),
            _ => Verdict::bad_request(format!("no webhook at {path}")),
        }
    }
}

/// Returns an answer of a type with a body.
fn answer(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = empty(status);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    *response.body_mut() = Full::from(body.into());
    response
}

/// Returns an answer for people.
fn plain(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    if text.is_empty() {
        return empty(status);
    }
    answer(status, "text/plain; charset=utf-8", text.to_owned())
}

/// Returns an answer without a body.
fn empty(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

/// Reads the options of a subresource; a request without a body has the default ones.
fn read_body<O: DeserializeOwned + Default>(body: &[u8]) -> Result<O, Failure> {
    if body.trim_ascii().is_empty() {
        return Ok(O::default());
    }
    serde_json::from_slice(body)
        .map_err(|error| Failure::bad_request(&format!("Can not unmarshal Request body to struct, error: {error}")))
}
