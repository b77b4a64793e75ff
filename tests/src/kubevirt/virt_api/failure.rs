//! The answers of a subresource that could not be done: a `Status`, as KubeVirt's Go libraries build and print it.

use http::{Response, StatusCode};
use http_body_util::Full;
use hyper::body::Bytes;
use serde::Serialize;
use serde_json::ser::PrettyFormatter;
use serde_json::{Map, Serializer, Value, json};

use super::answer;

/// Why a subresource could not be done, as it is answered.
#[derive(Debug)]
pub(super) struct Failure {
    code: u16,
    body: Vec<u8>,
}

/// The fields in the order in which a Go program prints them.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Printed<'a> {
    kind: &'static str,
    api_version: &'static str,
    metadata: Map<String, Value>,
    status: &'static str,
    message: &'a str,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Details<'a>>,
    code: u16,
}

/// `.details`: which object, or what was the cause.
#[derive(Serialize)]
#[serde(untagged)]
enum Details<'a> {
    Object { name: &'a str, group: &'static str, kind: &'static str },
    Causes { causes: [Value; 1] },
}

impl Failure {
    fn new(code: u16, reason: &'static str, message: &str, details: Option<Details<'_>>) -> Self {
        let (kind, api_version, status) = ("Status", "v1", "Failure");
        let printed = Printed { kind, api_version, metadata: Map::new(), status, message, reason, details, code };
        let mut body = Vec::new();
        // One space a level, as go-restful prints.
        let mut serializer = Serializer::with_formatter(&mut body, PrettyFormatter::with_indent(b" "));
        printed.serialize(&mut serializer).expect("a status can be written as JSON");
        Self { code, body }
    }

    /// There is no such object; `kind` is the resource in the singular.
    pub(super) fn not_found(kind: &'static str, name: &str) -> Self {
        let details = Details::Object { name, group: "kubevirt.io", kind };
        Self::new(404, "NotFound", &format!("{kind}.kubevirt.io \"{name}\" not found"), Some(details))
    }

    /// The VirtualMachine is not in a state in which this could be done.
    pub(super) fn conflict(name: &str, why: &str) -> Self {
        let kind = "virtualmachine";
        let details = Details::Object { name, group: "kubevirt.io", kind };
        let message = format!("Operation cannot be fulfilled on {kind}.kubevirt.io \"{name}\": {why}");
        Self::new(409, "Conflict", &message, Some(details))
    }

    /// The request could never be done.
    pub(super) fn bad_request(message: &str) -> Self {
        Self::new(400, "BadRequest", message, None)
    }

    /// Something that was tried failed.
    pub(super) fn internal(cause: &str) -> Self {
        let details = Details::Causes { causes: [json!({ "message": cause })] };
        Self::new(500, "InternalError", &format!("Internal error occurred: {cause}"), Some(details))
    }

    pub(super) fn answer(self) -> Response<Full<Bytes>> {
        let code = StatusCode::from_u16(self.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        answer(code, "application/json", self.body)
    }
}
