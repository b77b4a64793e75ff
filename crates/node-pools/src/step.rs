//! What is sent, one request a step, and what is waited for in between.

use std::fmt;

use cluster_model::identity::NodeName;
use serde::Serialize;
use serde_json::{Value, json};

use crate::address::Address;
use crate::raw;

/// One step.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Make an object.
    Create {
        /// Where.
        target: Address,
        /// The whole object.
        body: Value,
    },
    /// Merge into an object (RFC 7386).
    Merge {
        /// Which.
        target: Address,
        /// The patch.
        patch: Value,
        /// What it does, for a person: `stop its growth`.
        what: String,
    },
    /// Edit an object by operations that test first what they change (RFC 6902).
    Edit {
        /// Which.
        target: Address,
        /// The operations.
        patch: Value,
        /// What they do, for a person.
        what: String,
    },
    /// Delete an object, if it is still the one that was looked at.
    Delete {
        /// Which.
        target: Address,
        /// Its uid.
        uid: String,
        /// What becomes of what it owns.
        cascade: Cascade,
    },
    /// Wait until these are gone.
    AwaitGone {
        /// Objects.
        objects: Vec<Address>,
        /// Nodes.
        nodes: Vec<NodeName>,
    },
}

/// When an object is gone that owns others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cascade {
    /// At once; what it owns follows.
    Background,
    /// After what it owns.
    Foreground,
}

/// A step as a document tells it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Request {
    /// The HTTP method.
    pub method: &'static str,
    /// The path.
    pub path: String,
    /// The body.
    pub body: Value,
}

impl Step {
    /// Deletes an object that was read.
    pub fn deletion(address: &Address, object: &Value, cascade: Cascade) -> Self {
        Self::Delete { target: address.clone(), uid: raw::uid(object).to_owned(), cascade }
    }

    /// Plans to give an object another `spec.replicas`, if nobody has changed it since the object was read: a size that
    /// follows from another one would let go of more nodes than were looked at, or make more.
    pub fn scale(address: &Address, object: &Value, size: u32) -> Self {
        const PATH: &str = "/spec/replicas";
        // To test for null is to test for nothing there.
        let read = object.pointer(PATH).cloned().unwrap_or_default();
        let patch = json!([
            { "op": "test", "path": PATH, "value": read },
            { "op": "add", "path": PATH, "value": size },
        ]);
        Self::Edit { target: address.clone(), patch, what: format!("{size} nodes") }
    }

    /// Returns the request; `None`: nothing is sent.
    pub fn request(&self) -> Option<Request> {
        let (method, path, body) = match self {
            Self::Create { target, body } => ("POST", target.collection_path(), body.clone()),
            Self::Merge { target, patch, .. } | Self::Edit { target, patch, .. } => {
                ("PATCH", target.path(), patch.clone())
            }
            Self::Delete { target, uid, cascade } => ("DELETE", target.path(), delete_options(uid, *cascade)),
            Self::AwaitGone { .. } => return None,
        };
        Some(Request { method, path, body })
    }

    /// Returns what is changed by it; `None`: nothing.
    pub fn target(&self) -> Option<&Address> {
        match self {
            Self::Create { target, .. }
            | Self::Merge { target, .. }
            | Self::Edit { target, .. }
            | Self::Delete { target, .. } => Some(target),
            Self::AwaitGone { .. } => None,
        }
    }

    /// Returns the verb that RBAC asks for.
    pub fn verb(&self) -> Option<&'static str> {
        match self {
            Self::Create { .. } => Some("create"),
            Self::Merge { .. } | Self::Edit { .. } => Some("patch"),
            Self::Delete { .. } => Some("delete"),
            Self::AwaitGone { .. } => None,
        }
    }
}

/// The options of a deletion that hits only the object that was looked at.
pub fn delete_options(uid: &str, cascade: Cascade) -> Value {
    let policy = match cascade {
        Cascade::Background => "Background",
        Cascade::Foreground => "Foreground",
    };
    json!({
        "apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": policy,
        "preconditions": { "uid": uid },
    })
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create { target, .. } => write!(f, "create {target}"),
            Self::Merge { target, what, .. } | Self::Edit { target, what, .. } => write!(f, "patch {target}: {what}"),
            Self::Delete { target, .. } => write!(f, "delete {target}"),
            Self::AwaitGone { objects, nodes } => {
                let things = objects.iter().map(ToString::to_string);
                let nodes = nodes.iter().map(|node| format!("Node {node}"));
                let all: Vec<_> = things.chain(nodes).collect();
                match all.as_slice() {
                    [] => f.write_str("wait for nothing"),
                    [one] => write!(f, "wait until {one} is gone"),
                    [first, rest @ ..] => write!(f, "wait until {first} and {} more are gone", rest.len()),
                }
            }
        }
    }
}
