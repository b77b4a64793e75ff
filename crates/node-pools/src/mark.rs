//! The mark of a copied pool: whose copy it is, who made it, and what it gets back when the old pool is gone.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::difference::escaped;

/// The annotation on a copied pool and on every object that was made for it.
pub const COPY: &str = "handover/copy";
/// The annotation of a Cluster API Cluster that holds copied pools in its topology: a map from their names to marks.
pub const COPIES: &str = "handover/copies";
/// The annotation on a pool whose growth was stopped: what to give back.
pub const FROZEN: &str = "handover/frozen";
/// The version of the marks that this program writes.
pub const VERSION: u32 = 1;

/// The pool that was copied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// Its kind.
    pub kind: String,
    /// Where it lives; not there: in the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// The name that people know it by, where that is another one: of its entry in a topology.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// Its uid: a pool that was made anew under the same name is another one.
    pub uid: String,
}

impl Source {
    /// Returns the name that people know it by.
    pub fn known_as(&self) -> &str {
        self.alias.as_deref().unwrap_or(&self.name)
    }

    /// Whether somebody who types `name` may mean it, even if it is gone.
    pub fn is_called(&self, name: &str) -> bool {
        self.name == name || self.alias.as_deref() == Some(name)
    }
}

/// The mark of a copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CopyMark {
    /// The version of the mark.
    pub v: u32,
    /// Whose copy it is.
    pub of: Source,
    /// The run that made it.
    pub run: String,
    /// Who ran it.
    pub user: String,
    /// When.
    pub at: Timestamp,
    /// The plugin and its version.
    pub version: String,
    /// The source's autoscaling settings, which the copy gets when the source is retired.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub autoscaling: Map<String, Value>,
    /// Whether the source's growth had been stopped before it was copied: then an undo does not start it again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub source_was_frozen: bool,
    /// The labels that a node was given, with what it had there before; `null`: nothing.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub labels: Map<String, Value>,
    /// The taints that a node was given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taints: Vec<Value>,
    /// What only the source used, and is to be deleted after it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leftovers: Vec<Leftover>,
}

/// An object that is to be deleted once nobody uses it any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Leftover {
    /// Its API group.
    pub group: String,
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

/// Who makes a copy, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Maker {
    /// The id of the run.
    pub run: String,
    /// The user.
    pub user: String,
    /// The time.
    pub at: Timestamp,
    /// The plugin and its version.
    pub version: String,
}

/// Returns the JSON pointer of the mark in an object.
pub fn pointer() -> String {
    format!("/metadata/annotations/{}", escaped(COPY))
}

impl CopyMark {
    /// Makes the mark of a copy of `of`.
    pub fn new(of: Source, maker: &Maker) -> Self {
        let Maker { run, user, at, version } = maker.clone();
        Self {
            v: VERSION,
            of,
            run,
            user,
            at,
            version,
            autoscaling: Map::new(),
            source_was_frozen: false,
            labels: Map::new(),
            taints: Vec::new(),
            leftovers: Vec::new(),
        }
    }

    /// Reads the mark of an object. A mark that is not understood is none: nothing is done on its word.
    pub fn of(object: &Value) -> Option<Self> {
        Self::read(object.pointer("/metadata/annotations")?.get(COPY)?.as_str()?)
    }

    /// Reads a mark.
    pub fn read(text: &str) -> Option<Self> {
        serde_json::from_str::<Self>(text).ok().filter(|mark| mark.v == VERSION)
    }

    /// Writes it.
    pub fn text(&self) -> String {
        serde_json::to_value(self).map(|mark| mark.to_string()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_mark_is_read_as_it_was_written() {
        let of = Source {
            kind: "MachineDeployment".into(),
            namespace: Some("x".into()),
            name: "c2-blue-x".into(),
            alias: Some("blue".into()),
            uid: "u1".into(),
        };
        let maker =
            Maker { run: "r1".into(), user: "alice".into(), at: Timestamp::UNIX_EPOCH, version: "poolcopy/0".into() };
        let mark = CopyMark::new(of, &maker);
        let object = json!({ "metadata": { "annotations": { COPY: mark.text() } } });
        assert_eq!(CopyMark::of(&object), Some(mark.clone()));
        // A topology's pool that is gone is still meant by the name of its entry.
        let called = |name: &str| mark.of.is_called(name);
        assert_eq!(["c2-blue-x", "blue", "c2"].map(called), [true, true, false]);
        assert_eq!(CopyMark::of(&json!({ "metadata": {} })), None);
        assert_eq!(CopyMark::read("{}"), None);
        assert_eq!(CopyMark::read(&mark.text().replace("\"v\":1", "\"v\":2")), None);
    }
}
