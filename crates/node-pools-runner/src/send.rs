//! One step, one request.

use api_access::{ApiAccess, CallError};
use http::Method;
use kube::core::Status;
use node_pools::step::{Request, Step};
use serde_json::Value;

/// Whether a request is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The server does what is asked.
    Real,
    /// The server checks it and keeps nothing.
    Rehearsal,
}

/// What a request came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Sent {
    /// It is done; the object as it is now.
    Done(Value),
    /// There was nothing left to do.
    AlreadySo,
    /// The cluster is not what the plan was made for: look again.
    Moved(String),
}

/// Sends a step. A step that only waits sends nothing.
///
/// Every request may be sent twice: an object is created by its name, a deletion is tied to a uid, an edit tests first.
pub async fn send(access: &ApiAccess, step: &Step, mode: Mode) -> Result<Sent, CallError> {
    let Some(request) = step.request() else { return Ok(Sent::AlreadySo) };
    let answer = access
        .ask(|| async {
            let request = http_request(&request, step, &access.field_manager, mode)?;
            access.client.request::<Value>(request).await
        })
        .await;
    match answer {
        Ok(object) => Ok(Sent::Done(object)),
        Err(error) => match (step, error.status().map(|status| (status.code, status.message.clone()))) {
            (Step::Delete { .. }, Some((404, _))) => Ok(Sent::AlreadySo),
            (Step::Create { .. }, Some((409, message))) => Ok(Sent::Moved(message)),
            (Step::Merge { .. } | Step::Edit { .. } | Step::Delete { .. }, Some((404 | 409, message))) => {
                Ok(Sent::Moved(message))
            }
            (Step::Edit { target, .. }, _) if error.status().is_some_and(does_not_apply) => {
                Ok(Sent::Moved(format!("the edit does not fit what {target} is now")))
            }
            _ => Err(error),
        },
    }
}

/// Whether an operation of a JSON patch does not fit the object, above all its test.
///
/// The API server keeps the reason to itself (`applyJSPatch` in its endpoints/handlers/patch.go): what tells it from an
/// object that would be invalid is that no field is blamed.
fn does_not_apply(status: &Status) -> bool {
    status.code == 422 && status.details.as_ref().is_none_or(|details| details.causes.is_empty())
}

fn http_request(
    request: &Request,
    step: &Step,
    manager: &str,
    mode: Mode,
) -> Result<http::Request<Vec<u8>>, kube::Error> {
    let mut query = Vec::new();
    let method = match step {
        Step::Create { .. } => Method::POST,
        Step::Merge { .. } | Step::Edit { .. } => Method::PATCH,
        Step::Delete { .. } | Step::AwaitGone { .. } => Method::DELETE,
    };
    let content_type = match step {
        Step::Merge { .. } => "application/merge-patch+json",
        Step::Edit { .. } => "application/json-patch+json",
        _ => "application/json",
    };
    let mut body = request.body.clone();
    if method != Method::DELETE {
        query.push(format!("fieldManager={manager}"));
        if mode == Mode::Rehearsal {
            query.push("dryRun=All".to_owned());
        }
    } else if mode == Mode::Rehearsal
        && let Some(options) = body.as_object_mut()
    {
        options.insert("dryRun".to_owned(), Value::Array(vec![Value::from("All")]));
    }
    let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
    let bytes = serde_json::to_vec(&body).map_err(kube::Error::SerdeError)?;
    http::Request::builder()
        .method(method)
        .uri(format!("{}{query}", request.path))
        .header(http::header::CONTENT_TYPE, content_type)
        .body(bytes)
        .map_err(kube::Error::HttpError)
}
