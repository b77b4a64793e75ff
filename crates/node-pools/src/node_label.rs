//! A label by which nodes say that they belong together.

use std::fmt;

use crate::node::PoolNode;

/// A label's key and value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeLabel {
    /// The key.
    pub key: String,
    /// The value.
    pub value: String,
}

impl NodeLabel {
    /// Reads `KEY=VALUE`, as a pool without an object is typed; no pool of a provider can be called so.
    pub fn parse(text: &str) -> Option<Self> {
        let (key, value) = text.split_once('=')?;
        let is_plain = !key.is_empty() && !value.contains('=');
        is_plain.then(|| Self { key: key.to_owned(), value: value.to_owned() })
    }

    /// Whether a node carries it.
    pub fn is_on(&self, node: &PoolNode) -> bool {
        node.labels.get(&self.key) == Some(&self.value)
    }
}

impl fmt::Display for NodeLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.key, self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_typed_with_its_value() {
        let label = |key: &str, value: &str| Some(NodeLabel { key: key.to_owned(), value: value.to_owned() });
        let table = [
            ("pool=blue", label("pool", "blue")),
            ("node-role.kubernetes.io/worker=", label("node-role.kubernetes.io/worker", "")),
            ("blue", None),
            ("=blue", None),
            ("pool==blue", None),
        ];
        for (text, expected) in table {
            assert_eq!(NodeLabel::parse(text), expected, "{text}");
        }
    }
}
