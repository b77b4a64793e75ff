//! How fields are read out of KubeVirt's objects. An empty string is an absent one: KubeVirt writes both.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde::Deserialize;
use serde_json::Value;

use crate::identity::{ControllerRef, ObjectKey, Uid};
use crate::selector::Labels;

/// What is read of every object's metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// Which object.
    pub key: ObjectKey,
    /// `metadata.uid`.
    pub uid: Uid,
    /// `metadata.resourceVersion`, for guarded writes.
    pub resource_version: String,
    /// All labels.
    pub labels: Labels,
    /// The managing owner.
    pub controller: Option<ControllerRef>,
    /// `metadata.creationTimestamp`, whole seconds of the server's clock.
    pub created_at: Timestamp,
    /// `metadata.deletionTimestamp`: it is being deleted.
    pub deletion: Option<Timestamp>,
}

impl From<&Value> for Metadata {
    fn from(object: &Value) -> Self {
        let own = |pointer: &str| text(object, pointer).unwrap_or_default();
        let references = object.pointer("/metadata/ownerReferences");
        let references = references.and_then(|references| Vec::<OwnerReference>::deserialize(references).ok());
        Self {
            key: ObjectKey::new(own("/metadata/namespace"), own("/metadata/name")),
            uid: Uid(own("/metadata/uid")),
            resource_version: own("/metadata/resourceVersion"),
            labels: pairs(object, "/metadata/labels"),
            controller: ControllerRef::among(references.as_deref()),
            created_at: moment(object, "/metadata/creationTimestamp").unwrap_or(Timestamp::UNIX_EPOCH),
            deletion: moment(object, "/metadata/deletionTimestamp"),
        }
    }
}

/// Reads a text that is not empty.
pub(super) fn text(object: &Value, pointer: &str) -> Option<String> {
    object.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// Reads a boolean; absent is false.
pub(super) fn flag(object: &Value, pointer: &str) -> bool {
    object.pointer(pointer).and_then(Value::as_bool).unwrap_or(false)
}

/// Reads a number that is not negative.
pub(super) fn amount(object: &Value, pointer: &str) -> Option<u64> {
    object.pointer(pointer).and_then(Value::as_u64)
}

/// Reads a moment.
pub(super) fn moment(object: &Value, pointer: &str) -> Option<Timestamp> {
    object.pointer(pointer)?.as_str()?.parse().ok()
}

/// Reads a list; absent is empty.
pub(super) fn list<'a>(object: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    object.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

/// Reads a map of texts; absent is empty.
pub(super) fn pairs(object: &Value, pointer: &str) -> Labels {
    let map = object.pointer(pointer).and_then(Value::as_object).into_iter().flatten();
    map.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn missing_empty_and_misshapen_fields_are_absent() {
        let object = json!({"a": "", "b": "x", "c": 7, "d": null, "e": "2026-11-22T10:00:00Z", "f": "soon"});
        assert_eq!(text(&object, "/a"), None);
        assert_eq!(text(&object, "/b"), Some("x".to_owned()));
        assert_eq!(text(&object, "/c"), None);
        assert_eq!(text(&object, "/d/e"), None);
        assert_eq!(amount(&object, "/c"), Some(7));
        assert_eq!(moment(&object, "/e"), "2026-11-22T10:00:00Z".parse().ok());
        assert_eq!(moment(&object, "/f"), None);
        assert_eq!(list(&object, "/b").count(), 0);
        assert!(pairs(&object, "/b").is_empty());
    }

    #[test]
    fn an_object_without_metadata_is_read_without_complaint() {
        let metadata = Metadata::from(&json!({}));
        assert_eq!(metadata.key, ObjectKey::new("", ""));
        assert_eq!(metadata.controller, None);
    }
}
