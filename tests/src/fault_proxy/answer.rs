//! Answers, whole and broken.

use std::convert::Infallible;
use std::fmt;
use std::time::Duration;

use futures::{StreamExt, future, stream};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, TRANSFER_ENCODING};
use http::{Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, BodyStream, Full, StreamBody};
use hyper::body::{Bytes, Frame};
use kube::client::Body;
use serde_json::json;
use tokio::sync::watch;
use tokio::time;

/// The body of an answer.
pub(super) type AnswerBody = UnsyncBoxBody<Bytes, Broken>;

/// The connection is to be closed here and now.
#[derive(Debug)]
pub(super) struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the proxy hangs up")
    }
}

impl std::error::Error for Broken {}

/// The answer as the server gave it, once all of it is there.
pub(super) async fn whole(response: Response<Body>) -> Result<Response<AnswerBody>, Broken> {
    let (mut parts, body) = response.into_parts();
    let bytes = body.collect().await.map_err(|_| Broken)?.to_bytes();
    parts.headers.remove(TRANSFER_ENCODING);
    parts.headers.insert(CONTENT_LENGTH, bytes.len().into());
    Ok(Response::from_parts(parts, full(bytes)))
}

/// Half of the answer, with the length of the whole.
pub(super) async fn truncated(response: Response<Body>) -> Result<Response<AnswerBody>, Broken> {
    let (mut parts, body) = response.into_parts();
    let bytes = body.collect().await.map_err(|_| Broken)?.to_bytes();
    parts.headers.remove(TRANSFER_ENCODING);
    parts.headers.insert(CONTENT_LENGTH, bytes.len().into());
    let half = Ok(Frame::data(bytes.slice(..bytes.len() / 2)));
    Ok(Response::from_parts(parts, StreamBody::new(stream::iter([half, Err(Broken)])).boxed_unsync()))
}

/// A stream that breaks off.
pub(super) fn cut(response: Response<Body>, pause: Duration) -> Response<AnswerBody> {
    streamed(response, time::sleep(pause), Ending::Break)
}

/// A stream that never says anything and never ends.
pub(super) fn silent(response: Response<Body>) -> Response<AnswerBody> {
    streamed(response, future::ready(()), Ending::Silence)
}

/// A stream that falls silent the next time that all are told to, and stays so.
pub(super) fn until_silence(response: Response<Body>, mut silences: watch::Receiver<usize>) -> Response<AnswerBody> {
    let until = async move {
        if silences.changed().await.is_err() {
            // The proxy is gone, and its connections with it.
            future::pending::<()>().await;
        }
    };
    streamed(response, until, Ending::Silence)
}

/// What becomes of a stream at the moment of the fault. Before, the server's own end is an end here as well.
#[derive(Clone, Copy, Debug)]
enum Ending {
    Break,
    Silence,
}

fn streamed(
    response: Response<Body>,
    until: impl Future<Output = ()> + Send + 'static,
    ending: Ending,
) -> Response<AnswerBody> {
    let (mut parts, body) = response.into_parts();
    parts.headers.remove(CONTENT_LENGTH);
    parts.headers.remove(TRANSFER_ENCODING);
    let start = (BodyStream::new(body), Box::pin(until), false);
    let frames = stream::unfold(start, move |(mut body, mut until, has_ended)| async move {
        if has_ended {
            return None;
        }
        tokio::select! {
            biased;
            () = &mut until => match ending {
                Ending::Break => Some((Err(Broken), (body, until, true))),
                Ending::Silence => future::pending().await,
            },
            frame = body.next() => frame.map(|frame| (frame.map_err(|_| Broken), (body, until, false))),
        }
    });
    Response::from_parts(parts, StreamBody::new(frames).boxed_unsync())
}

/// An answer of the API server's kind with this status.
pub(super) fn status(code: u16) -> Response<AnswerBody> {
    let reason = match code {
        401 => "Unauthorized",
        429 => "TooManyRequests",
        500 => "InternalError",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "Unknown",
    };
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code, "reason": reason,
        "message": format!("the fault proxy answers {code}"),
    });
    let mut response = json_response(StatusCode::from_u16(code).expect("a known status"), body.to_string());
    if code == 429 {
        response.headers_mut().insert(RETRY_AFTER, 1.into());
    }
    response
}

/// The answer of an API server that has no room for a request.
pub(super) fn busy(seconds: u16) -> Response<AnswerBody> {
    let mut response = Response::new(full(Bytes::from_static(b"Too many requests, please try again later.\n")));
    *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("text/plain; charset=utf-8"));
    response.headers_mut().insert(RETRY_AFTER, seconds.into());
    response
}

/// The one event of a watch whose version the server has forgotten.
pub(super) fn expired() -> Response<AnswerBody> {
    let event = json!({ "type": "ERROR", "object": {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 410, "reason": "Expired",
        "message": "too old resource version: the fault proxy says so",
    } });
    json_response(StatusCode::OK, format!("{event}\n"))
}

fn json_response(status: StatusCode, text: String) -> Response<AnswerBody> {
    let mut response = Response::new(full(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response
}

fn full(bytes: Bytes) -> AnswerBody {
    Full::new(bytes).map_err(|never: Infallible| match never {}).boxed_unsync()
}
