//! What each answer of the eviction API means. The only place that looks into the words of a message: where the
//! server gives no typed cause, its sentence is all there is.
//!
//! Rules: `pkg/registry/core/pod/storage/eviction.go`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use serde::Serialize;

/// The meaning of a refused eviction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "reply", content = "detail")]
pub enum EvictionReply {
    /// The pod is not there any more.
    Gone,
    /// The name belongs to another pod by now: ours is gone.
    AnotherPod,
    /// A budget does not allow it now; `message` holds its name and numbers.
    BudgetBlocked {
        /// The server's words about the budget.
        message: String,
    },
    /// The budget's controller has not caught up; ask again after so many seconds.
    BudgetProcessing {
        /// Seconds, from the server.
        retry_after: u64,
    },
    /// The API server itself is busy (priority and fairness).
    Throttled {
        /// Seconds, from the server.
        retry_after: u64,
    },
    /// An admission webhook said no, often because an operator is moving the pod itself.
    WebhookDenied {
        /// The webhook's words.
        message: String,
    },
    /// The namespace is being deleted; the pod will go with it.
    NamespaceTerminating,
    /// More than one budget selects the pod.
    ManyBudgets,
    /// The user may not.
    Forbidden {
        /// The server's words.
        message: String,
    },
    /// Anything else.
    Unexpected {
        /// The HTTP status.
        code: i32,
        /// The server's words.
        message: String,
    },
}

/// Gives a refusal its meaning; `status` is the body of the answer.
pub fn classify(status: &Status) -> EvictionReply {
    let code = status.code.unwrap_or(0);
    let message = status.message.clone().unwrap_or_default();
    let details = status.details.as_ref();
    let retry_after =
        details.and_then(|details| details.retry_after_seconds).and_then(|after| u64::try_from(after).ok());
    let cause = |reason: &str| {
        details
            .and_then(|details| details.causes.as_ref())
            .into_iter()
            .flatten()
            .find(|cause| cause.reason.as_deref() == Some(reason))
    };
    // Some servers put words before it.
    let denied_by_webhook = message.contains("admission webhook \"") && message.contains("denied the request");
    match code {
        404 => EvictionReply::Gone,
        409 if message.contains("UID in the precondition") || message.contains("UID in precondition") => {
            EvictionReply::AnotherPod
        }
        _ if denied_by_webhook => EvictionReply::WebhookDenied { message },
        429 => match (cause("DisruptionBudget"), retry_after.filter(|after| *after > 0)) {
            (Some(_), Some(retry_after)) => EvictionReply::BudgetProcessing { retry_after },
            (Some(cause), None) => EvictionReply::BudgetBlocked { message: cause.message.clone().unwrap_or(message) },
            (None, retry_after) => EvictionReply::Throttled { retry_after: retry_after.unwrap_or(1) },
        },
        403 if cause("NamespaceTerminating").is_some() => EvictionReply::NamespaceTerminating,
        403 => EvictionReply::Forbidden { message },
        500 if message.contains("more than one PodDisruptionBudget") => EvictionReply::ManyBudgets,
        503 | 504 => match retry_after {
            Some(retry_after) => EvictionReply::Throttled { retry_after },
            None => EvictionReply::Unexpected { code, message },
        },
        _ => EvictionReply::Unexpected { code, message },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_answer_has_its_own_meaning() {
        let budget = |retry: i32| {
            json!({"code": 429, "reason": "TooManyRequests", "message": "Cannot evict pod as it would violate the pod's disruption budget.",
                   "details": {"retryAfterSeconds": retry, "causes": [{"reason": "DisruptionBudget", "message": "The disruption budget web needs 1 healthy pods and has 1 currently"}]}})
        };
        let cases = [
            (
                budget(0),
                EvictionReply::BudgetBlocked {
                    message: "The disruption budget web needs 1 healthy pods and has 1 currently".into(),
                },
            ),
            (budget(10), EvictionReply::BudgetProcessing { retry_after: 10 }),
            (
                json!({"code": 429, "message": "too many requests, please try again later", "details": {"retryAfterSeconds": 2}}),
                EvictionReply::Throttled { retry_after: 2 },
            ),
            (json!({"code": 404, "reason": "NotFound", "message": "pods \"web\" not found"}), EvictionReply::Gone),
            (
                json!({"code": 409, "reason": "Conflict", "message": "Operation cannot be fulfilled on Pod \"web\": the UID in the precondition (x) does not match the UID in record (y). The object might have been deleted and then recreated"}),
                EvictionReply::AnotherPod,
            ),
            (
                json!({"code": 500, "message": "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."}),
                EvictionReply::ManyBudgets,
            ),
            (
                json!({"code": 500, "message": "admission webhook \"drain.strimzi.io\" denied the request: The pod will be rolled"}),
                EvictionReply::WebhookDenied {
                    message: "admission webhook \"drain.strimzi.io\" denied the request: The pod will be rolled".into(),
                },
            ),
            (
                json!({"code": 429, "message": "Error trying to evict: admission webhook \"a.example.com\" denied the request: not now"}),
                EvictionReply::WebhookDenied {
                    message: "Error trying to evict: admission webhook \"a.example.com\" denied the request: not now"
                        .into(),
                },
            ),
            (
                json!({"code": 403, "message": "forbidden", "details": {"causes": [{"reason": "NamespaceTerminating"}]}}),
                EvictionReply::NamespaceTerminating,
            ),
            (
                json!({"code": 403, "message": "pods \"web\" is forbidden"}),
                EvictionReply::Forbidden { message: "pods \"web\" is forbidden".into() },
            ),
            (
                json!({"code": 504, "message": "timeout", "details": {"retryAfterSeconds": 10}}),
                EvictionReply::Throttled { retry_after: 10 },
            ),
            (
                json!({"code": 418, "message": "teapot"}),
                EvictionReply::Unexpected { code: 418, message: "teapot".into() },
            ),
        ];
        for (body, expected) in cases {
            let status: Status = serde_json::from_value(body.clone()).unwrap();
            assert_eq!(classify(&status), expected, "{body}");
        }
    }
}
