//! What a drain needs to know of a namespace.

use serde_json::Value;

use crate::identity::Uid;
use crate::wishes;

/// One namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: Uid,
    /// The number that it carries ([`wishes::ORDER`]), which holds for pods without one of their own.
    pub order: Option<i32>,
}

impl From<&Value> for Namespace {
    /// Reads the object as the server says it; what it does not say is empty.
    fn from(object: &Value) -> Self {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
        let order = object.pointer("/metadata/annotations").and_then(|all| all.get(wishes::ORDER)?.as_str());
        Self {
            name: text("/metadata/name").unwrap_or_default().to_owned(),
            uid: Uid::from(text("/metadata/uid").unwrap_or_default()),
            order: order.and_then(wishes::order),
        }
    }
}
