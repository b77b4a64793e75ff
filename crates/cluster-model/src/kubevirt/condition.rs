//! `status.conditions` of a KubeVirt object.

use serde_json::Value;

use super::object::{list, text};

/// One condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    /// `status`: `True`, `False` or `Unknown`.
    pub(super) status: String,
    /// `reason`; empty if absent.
    pub(super) reason: String,
    /// `message`; empty if absent.
    pub(super) message: String,
}

impl Condition {
    /// Finds the condition of this type.
    pub(super) fn of(object: &Value, kind: &str) -> Option<Self> {
        let found = list(object, "/status/conditions").find(|one| text(one, "/type").as_deref() == Some(kind))?;
        let own = |pointer: &str| text(found, pointer).unwrap_or_default();
        Some(Self { status: own("/status"), reason: own("/reason"), message: own("/message") })
    }

    /// Whether the object has the condition and it is True.
    pub(super) fn is_true(object: &Value, kind: &str) -> bool {
        Self::of(object, kind).is_some_and(|condition| condition.status == "True")
    }
}
