//! A raw document on its way to become another one: what the server set is taken out, what must change is changed, and
//! each edit is kept with its reason.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::difference::escaped;

/// What the API server or a controller writes into the metadata of every object; a new object has its own.
const SERVER_SET: [&str; 12] = [
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "managedFields",
    "selfLink",
    "ownerReferences",
    "finalizers",
    "generateName",
    "clusterName",
];

/// kubectl's memory of what was applied; a copy has not been applied.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// An edit of a document, with its reason.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// Which document: `MachineDeployment x/blue`.
    pub document: String,
    /// A JSON pointer into the document.
    pub path: String,
    /// What the source has there; `null`: nothing.
    pub from: Value,
    /// What the copy has there; `null`: nothing.
    pub to: Value,
    /// Why it may not stay.
    pub why: String,
}

/// Returns a document without what the server set and without its status: what a person would have written.
pub fn cleaned(document: &Value) -> Value {
    let mut document = document.clone();
    if let Some(top) = document.as_object_mut() {
        top.remove("status");
    }
    if let Some(metadata) = document.pointer_mut("/metadata").and_then(Value::as_object_mut) {
        for field in SERVER_SET {
            metadata.remove(field);
        }
        let annotations = metadata.get_mut("annotations").and_then(Value::as_object_mut);
        if let Some(annotations) = annotations {
            annotations.remove(LAST_APPLIED);
        }
        for map in ["annotations", "labels"] {
            if metadata.get(map).and_then(Value::as_object).is_some_and(Map::is_empty) {
                metadata.remove(map);
            }
        }
    }
    document
}

/// Edits a document and records what it does.
#[derive(Clone, Debug)]
pub struct Editor {
    name: String,
    document: Value,
    changes: Vec<Change>,
}

impl Editor {
    /// Begins with a cleaned document; `name` is how the changes call it.
    pub fn new(name: impl Into<String>, source: &Value) -> Self {
        Self { name: name.into(), document: cleaned(source), changes: Vec::new() }
    }

    /// Returns the document as it is now.
    pub fn document(&self) -> &Value {
        &self.document
    }

    /// Returns what is at a pointer.
    pub fn get(&self, pointer: &str) -> Option<&Value> {
        self.document.pointer(pointer)
    }

    /// Sets a value, making the maps on the way to it. Nothing is recorded when it is there already.
    ///
    /// Returns whether it could be set: not inside something that is neither a map nor a list, nor past a list's end.
    pub fn set(&mut self, pointer: &str, value: Value, why: &str) -> bool {
        let from = self.document.pointer(pointer).cloned();
        if from.as_ref() == Some(&value) {
            return true;
        }
        if !put(&mut self.document, pointer, value.clone()) {
            return false;
        }
        self.record(pointer, from.unwrap_or(Value::Null), value, why);
        true
    }

    /// Removes a value, if there is one, and the maps that it leaves empty in the metadata. Returns it.
    pub fn remove(&mut self, pointer: &str, why: &str) -> Option<Value> {
        let from = take(&mut self.document, pointer)?;
        self.record(pointer, from.clone(), Value::Null, why);
        for map in ["/metadata/annotations", "/metadata/labels"] {
            if self.document.pointer(map).and_then(Value::as_object).is_some_and(Map::is_empty) {
                take(&mut self.document, map);
            }
        }
        Some(from)
    }

    /// Removes the entries of a map whose keys `unwanted` gives a reason for, and returns them.
    pub fn remove_entries(&mut self, map: &str, unwanted: impl Fn(&str) -> Option<&'static str>) -> Map<String, Value> {
        let keys: Vec<_> = self.get(map).and_then(Value::as_object).into_iter().flat_map(Map::keys).cloned().collect();
        let mut removed = Map::new();
        for key in keys {
            if let Some(why) = unwanted(&key)
                && let Some(value) = self.remove(&format!("{map}/{}", escaped(&key)), why)
            {
                removed.insert(key, value);
            }
        }
        removed
    }

    /// Ends the edit.
    pub fn finish(self) -> (Value, Vec<Change>) {
        (self.document, self.changes)
    }

    fn record(&mut self, pointer: &str, from: Value, to: Value, why: &str) {
        let change = Change { document: self.name.clone(), path: pointer.to_owned(), from, to, why: why.to_owned() };
        // A value that is edited twice has changed once.
        match self.changes.iter_mut().find(|earlier| earlier.path == change.path) {
            Some(earlier) => *earlier = Change { from: earlier.from.clone(), ..change },
            None => self.changes.push(change),
        }
        self.changes.retain(|change| change.from != change.to);
    }
}

/// Puts a value where a pointer says.
fn put(document: &mut Value, pointer: &str, value: Value) -> bool {
    let Some((parent, key)) = split(pointer) else { return false };
    let mut place = document;
    for step in parent {
        place = match place {
            Value::Object(map) => map.entry(step).or_insert_with(|| Value::Object(Map::new())),
            Value::Array(list) => match step.parse::<usize>().ok().and_then(|index| list.get_mut(index)) {
                Some(item) => item,
                None => return false,
            },
            _ => return false,
        };
    }
    match place {
        Value::Object(map) => {
            map.insert(key, value);
            true
        }
        Value::Array(list) if key == "-" => {
            list.push(value);
            true
        }
        Value::Array(list) => match key.parse::<usize>().ok().and_then(|index| list.get_mut(index)) {
            Some(item) => {
                *item = value;
                true
            }
            None => false,
        },
        _ => false,
    }
}

pub(crate) fn take(document: &mut Value, pointer: &str) -> Option<Value> {
    let (place, _) = pointer.rsplit_once('/')?;
    let (_, key) = split(pointer)?;
    match document.pointer_mut(place)? {
        Value::Object(map) => map.remove(&key),
        Value::Array(list) => {
            key.parse().ok().filter(|index| *index < list.len()).map(|index: usize| list.remove(index))
        }
        _ => None,
    }
}

/// Splits a pointer into the keys on the way and the last one.
fn split(pointer: &str) -> Option<(Vec<String>, String)> {
    let mut keys: Vec<_> =
        pointer.strip_prefix('/')?.split('/').map(|key| key.replace("~1", "/").replace("~0", "~")).collect();
    let last = keys.pop()?;
    Some((keys, last))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_server_set_is_taken_out_and_nothing_else() {
        let read = json!({
            "apiVersion": "x/v1", "kind": "Pool",
            "metadata": {
                "name": "a", "namespace": "n", "uid": "u", "resourceVersion": "7", "generation": 2,
                "creationTimestamp": "t", "managedFields": [], "ownerReferences": [], "finalizers": ["f"],
                "annotations": { LAST_APPLIED: "{}" }, "labels": { "team": "blue" }, "futureField": { "kept": true },
            },
            "spec": { "replicas": 3 }, "status": { "replicas": 3 }, "data": [null],
        });
        assert_eq!(
            cleaned(&read),
            json!({
                "apiVersion": "x/v1", "kind": "Pool",
                "metadata": { "name": "a", "namespace": "n", "labels": { "team": "blue" }, "futureField": { "kept": true } },
                "spec": { "replicas": 3 }, "data": [null],
            })
        );
    }

    #[test]
    fn every_edit_is_recorded_once() {
        let source = json!({ "metadata": { "name": "a", "annotations": { "k/1": "v" } }, "spec": { "list": [1, 2] } });
        let mut editor = Editor::new("Pool a", &source);
        assert!(editor.set("/metadata/name", json!("b"), "first"));
        assert!(editor.set("/metadata/name", json!("c"), "second"));
        assert!(editor.set("/spec/list/1", json!(2), "is so already"));
        assert!(editor.set("/spec/new/deep", json!(true), "made"));
        assert_eq!(editor.remove("/metadata/annotations/k~11", "gone"), Some(json!("v")));
        assert_eq!(editor.remove("/spec/absent", "never"), None);
        assert!(!editor.set("/spec/list/9", json!(0), "no such place"));
        assert!(!editor.set("/metadata/name/x", json!(0), "no such place"));
        let (document, changes) = editor.finish();
        assert_eq!(
            document,
            json!({ "metadata": { "name": "c" }, "spec": { "list": [1, 2], "new": { "deep": true } } })
        );
        let told: Vec<_> = changes.iter().map(|change| (change.path.as_str(), change.why.as_str())).collect();
        assert_eq!(
            told,
            [("/metadata/name", "second"), ("/spec/new/deep", "made"), ("/metadata/annotations/k~11", "gone")]
        );
        assert_eq!(changes.first().map(|change| change.from.clone()), Some(json!("a")));
    }

    #[test]
    fn entries_are_removed_by_their_keys() {
        let source = json!({ "metadata": { "labels": { "a/x": "1", "b": "2" } } });
        let mut editor = Editor::new("Pool", &source);
        let removed = editor.remove_entries("/metadata/labels", |key| key.starts_with("a/").then_some("because"));
        assert_eq!(removed.len(), 1);
        assert_eq!(editor.finish().0, json!({ "metadata": { "labels": { "b": "2" } } }));
    }
}
