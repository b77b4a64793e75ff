//! What the API server asks a webhook, and what a webhook answers.

use http::{Response, StatusCode};
use http_body_util::Full;
use hyper::body::Bytes;
use k8s_openapi::ByteString;
use serde::Deserialize;
use serde_json::{Value, json};

/// What is asked: `.request` of an AdmissionReview.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Review {
    uid: String,
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) operation: String,
    user_info: UserInfo,
    pub(super) dry_run: bool,
    pub(super) object: Value,
    pub(super) old_object: Value,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct UserInfo {
    username: String,
}

/// What a webhook answers.
pub(super) enum Verdict {
    Allowed,
    /// Allowed with a JSON patch.
    Patched(Value),
    /// Refused with a status whose code is `code`; `reason` and `causes` only where KubeVirt gives them.
    Refused {
        code: u16,
        message: String,
        reason: Option<&'static str>,
        causes: Vec<Value>,
    },
}

impl Default for Review {
    fn default() -> Self {
        Self {
            uid: String::new(),
            name: String::new(),
            namespace: String::new(),
            operation: String::new(),
            user_info: UserInfo::default(),
            dry_run: false,
            object: Value::Null,
            old_object: Value::Null,
        }
    }
}

impl Review {
    /// Reads the body of an AdmissionReview.
    pub(super) fn read(body: &[u8]) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct AdmissionReview {
            request: Review,
        }
        serde_json::from_slice(body).map(|review: AdmissionReview| review.request)
    }

    /// Returns who changes the object.
    pub(super) fn user(&self) -> &str {
        &self.user_info.username
    }

    /// Returns the answer's body.
    pub(super) fn answer(&self, verdict: Verdict) -> Response<Full<Bytes>> {
        let mut response = json!({ "uid": self.uid, "allowed": !matches!(verdict, Verdict::Refused { .. }) });
        match verdict {
            Verdict::Allowed => {}
            Verdict::Patched(patch) => {
                response["patchType"] = json!("JSONPatch");
                response["patch"] = json!(ByteString(patch.to_string().into_bytes()));
            }
            Verdict::Refused { code, message, reason, causes } => {
                response["status"] = json!({ "metadata": {}, "message": message, "code": code });
                if let Some(reason) = reason {
                    response["status"]["reason"] = json!(reason);
                }
                if !causes.is_empty() {
                    response["status"]["details"] = json!({ "causes": causes });
                }
            }
        }
        let review = json!({ "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response });
        super::answer(StatusCode::OK, "application/json", review.to_string())
    }
}

impl Verdict {
    /// Refuses an eviction: 429 without a reason (OBSERVED, corrections 7).
    pub(super) fn not_now(message: impl Into<String>) -> Self {
        Self::Refused { code: 429, message: message.into(), reason: None, causes: Vec::new() }
    }

    /// Refuses a request that could not be right: 400 without a reason (KubeVirt's ToAdmissionResponseError).
    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::Refused { code: 400, message: message.into(), reason: None, causes: Vec::new() }
    }

    /// Refuses an object: 422 with the reason Invalid and the cause (KubeVirt's ToAdmissionResponse).
    pub(super) fn invalid(message: impl Into<String>, cause: &str, field: Option<&str>) -> Self {
        let message = message.into();
        let mut value = json!({ "reason": cause, "message": message });
        if let Some(field) = field {
            value["field"] = json!(field);
        }
        Self::Refused { code: 422, message, reason: Some("Invalid"), causes: vec![value] }
    }
}
