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
    use std::collections::BTreeSet;

    use serde::Deserialize;
    use serde_json::Value;

    use super::*;

    /// Bodies that a real server sent, names and uids replaced; an end-to-end test has it send them again. Those that it
    /// was not brought to send say so.
    const REPLIES: &str = include_str!("eviction_reply/replies.json");

    #[derive(Deserialize)]
    struct Row {
        case: String,
        body: Status,
        reading: Value,
    }

    #[test]
    fn every_answer_has_its_own_meaning() {
        let rows: Vec<Row> = serde_json::from_str(REPLIES).unwrap();
        let mut meanings = BTreeSet::new();
        for Row { case, body, reading } in rows {
            assert_eq!(serde_json::to_value(classify(&body)).unwrap(), reading, "{case}");
            meanings.insert(reading["reply"].as_str().unwrap().to_owned());
        }
        assert_eq!(meanings.len(), 10, "each meaning has a row: {meanings:?}");
    }
}
