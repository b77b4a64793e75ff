//! Reading of documents without a schema.

use serde_json::{Map, Value};

/// Reads a text at a pointer.
pub fn text<'a>(object: &'a Value, pointer: &str) -> Option<&'a str> {
    object.pointer(pointer).and_then(Value::as_str)
}

/// Reads a number at a pointer; `None`: there is none, or it is no count.
pub fn number(object: &Value, pointer: &str) -> Option<u32> {
    object.pointer(pointer).and_then(Value::as_u64).and_then(|number| u32::try_from(number).ok())
}

/// Reads `metadata.uid`.
pub fn uid(object: &Value) -> &str {
    text(object, "/metadata/uid").unwrap_or_default()
}

/// Reads the labels.
pub fn labels(object: &Value) -> Option<&Map<String, Value>> {
    object.pointer("/metadata/labels")?.as_object()
}

/// Reads one label.
pub fn label<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    labels(object)?.get(key)?.as_str()
}

/// Reads one annotation.
pub fn annotation<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object.pointer("/metadata/annotations")?.get(key)?.as_str()
}

/// Whether somebody has asked for its deletion.
pub fn is_leaving(object: &Value) -> bool {
    text(object, "/metadata/deletionTimestamp").is_some()
}

/// A condition of a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condition<'a> {
    /// `True`, `False` or `Unknown`.
    pub status: &'a str,
    /// Why, in the controller's words.
    pub message: &'a str,
}

/// Finds a condition; `None`: its controller has not spoken.
pub fn condition<'a>(object: &'a Value, kind: &str) -> Option<Condition<'a>> {
    let conditions = object.pointer("/status/conditions")?.as_array()?;
    let found = conditions.iter().find(|one| text(one, "/type") == Some(kind))?;
    Some(Condition { status: text(found, "/status")?, message: text(found, "/message").unwrap_or_default() })
}
