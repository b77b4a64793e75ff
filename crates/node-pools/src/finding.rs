//! What was found before anything is made, and why a plan is refused.

use std::fmt;

use serde::Serialize;

use crate::difference::Difference;

/// Something that deserves to be known before a pool is copied.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// What it is, in one sentence.
    pub message: String,
    /// What can be done about it: a flag, a command or a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Finding {
    /// A finding with something to be done about it.
    pub fn new(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { message: message.into(), remedy: Some(remedy.into()) }
    }

    /// A finding about which nothing needs to be done.
    pub fn note(message: impl Into<String>) -> Self {
        Self { message: message.into(), remedy: None }
    }
}

/// Why nothing is done. Nothing has been changed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// The pool is not one that can be copied from as it is.
    #[error("{pool} cannot be copied as it is: {trouble}")]
    Trouble {
        /// Which pool.
        pool: String,
        /// What is wrong with it.
        trouble: String,
        /// What can be done.
        remedies: Vec<String>,
    },
    /// What the pool refers to would go with it, and somebody else needs it.
    #[error("{pool} cannot be removed: {fault}")]
    Shared {
        /// Which pool.
        pool: String,
        /// What would be destroyed.
        fault: String,
    },
    /// The name cannot be used.
    #[error("the copy cannot be called {name:?}: {fault}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        fault: String,
    },
    /// None of its nodes is in the cluster of the nodes.
    #[error("{pool} has nodes ({}), and none of {cluster}'s is in this cluster", .nodes.join(", "))]
    Elsewhere {
        /// Which pool.
        pool: String,
        /// The cluster that it says its nodes are in.
        cluster: String,
        /// Some of its nodes.
        nodes: Vec<String>,
    },
    /// Something else has the name.
    #[error("{what} exists already, and is no copy of {pool}")]
    Taken {
        /// What has it.
        what: String,
        /// The pool that was to be copied.
        pool: String,
    },
    /// The pool has a copy already, called otherwise.
    #[error("{pool} has a copy already: {copy}")]
    Copied {
        /// Which pool.
        pool: String,
        /// The name of its copy.
        copy: String,
    },
    /// A copy exists and is not what would be made.
    #[error("{what} exists, was made as a copy, and differs from what would be made now: {}", listed(.differences))]
    Differs {
        /// What exists.
        what: String,
        /// In which places.
        differences: Vec<Difference>,
    },
    /// An override does not fit the document.
    #[error("{flag} {pointer}: {fault}")]
    Override {
        /// `--set` or `--unset`.
        flag: &'static str,
        /// Where.
        pointer: String,
        /// What is wrong.
        fault: String,
    },
    /// Somebody has to join its nodes, and nobody said which they are.
    #[error("the nodes of {pool} are joined by hand, and nobody said which are the new ones")]
    NeedsNodes {
        /// Which pool.
        pool: String,
        /// What each new node needs.
        needs: Vec<String>,
    },
    /// The provider has no such thing.
    #[error("{0}")]
    Unsupported(String),
    /// There is nothing to do it to.
    #[error("{0}")]
    Nothing(String),
}

/// A difference as a person reads it.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a>(pub &'a Difference);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |value: &Option<serde_json::Value>| {
            value.as_ref().map_or_else(|| "nothing".to_owned(), ToString::to_string)
        };
        write!(f, "{}: {} instead of {}", self.0.path, text(&self.0.to), text(&self.0.from))
    }
}

/// The differences on one line.
fn listed(differences: &[Difference]) -> String {
    differences.iter().map(|difference| Told(difference).to_string()).collect::<Vec<_>>().join("; ")
}
