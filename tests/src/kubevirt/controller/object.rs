//! A Kubernetes object as JSON, with the questions that controllers ask of it, and merge patches.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// Nothing: what a field is that an object does not have.
static ABSENT: Value = Value::Null;

/// An object as the API server sent it.
#[derive(Clone, Debug)]
pub(super) struct Object(pub(super) Value);

impl Object {
    /// Returns the field at a JSON pointer, null where there is none.
    pub(super) fn at(&self, pointer: &str) -> &Value {
        self.0.pointer(pointer).unwrap_or(&ABSENT)
    }

    /// Returns the text at a JSON pointer, "" where there is none.
    pub(super) fn text(&self, pointer: &str) -> &str {
        self.at(pointer).as_str().unwrap_or_default()
    }

    pub(super) fn is_true(&self, pointer: &str) -> bool {
        self.at(pointer).as_bool().unwrap_or(false)
    }

    pub(super) fn has(&self, pointer: &str) -> bool {
        !self.at(pointer).is_null()
    }

    pub(super) fn list(&self, pointer: &str) -> &[Value] {
        self.at(pointer).as_array().map_or(&[], Vec::as_slice)
    }

    pub(super) fn name(&self) -> &str {
        self.text("/metadata/name")
    }

    pub(super) fn namespace(&self) -> &str {
        self.text("/metadata/namespace")
    }

    pub(super) fn uid(&self) -> &str {
        self.text("/metadata/uid")
    }

    /// Returns its place in the store.
    pub(super) fn key(&self) -> String {
        key(self.namespace(), self.name())
    }

    /// Returns its version. Versions of one kind can be compared.
    pub(super) fn version(&self) -> u64 {
        self.text("/metadata/resourceVersion").parse().unwrap_or_default()
    }

    pub(super) fn label(&self, label: &str) -> &str {
        text_of(self.at("/metadata/labels"), label)
    }

    pub(super) fn annotation(&self, annotation: &str) -> &str {
        text_of(self.at("/metadata/annotations"), annotation)
    }

    pub(super) fn has_annotation(&self, annotation: &str) -> bool {
        self.at("/metadata/annotations").get(annotation).is_some()
    }

    pub(super) fn is_deleting(&self) -> bool {
        self.has("/metadata/deletionTimestamp")
    }

    pub(super) fn has_finalizer(&self, finalizer: &str) -> bool {
        self.list("/metadata/finalizers").iter().any(|own| own == finalizer)
    }

    /// Returns the finalizers without one of them, for a patch.
    pub(super) fn finalizers_without(&self, finalizer: &str) -> Value {
        list_or_none(self.list("/metadata/finalizers").iter().filter(|own| *own != finalizer).cloned())
    }

    /// Returns the finalizers with one more.
    pub(super) fn finalizers_with(&self, finalizer: &str) -> Value {
        let more = (!self.has_finalizer(finalizer)).then(|| json!(finalizer));
        self.list("/metadata/finalizers").iter().cloned().chain(more).collect()
    }

    /// Returns the reference to its controller if that is of this kind.
    pub(super) fn controller(&self, kind: &str) -> Option<&Value> {
        let owners = self.list("/metadata/ownerReferences");
        owners.iter().find(|owner| text_of(owner, "kind") == kind && owner.get("controller") == Some(&json!(true)))
    }

    /// Returns the uid of its controller if that is of this kind.
    pub(super) fn controller_uid(&self, kind: &str) -> Option<&str> {
        self.controller(kind).map(|owner| text_of(owner, "uid"))
    }

    pub(super) fn phase(&self) -> &str {
        self.text("/status/phase")
    }

    /// Returns whether a VMI, a migration or a pod is in its last phase.
    pub(super) fn is_final(&self) -> bool {
        matches!(self.phase(), "Succeeded" | "Failed")
    }

    pub(super) fn condition(&self, condition: &str) -> Option<&Value> {
        self.list("/status/conditions").iter().find(|own| text_of(own, "type") == condition)
    }

    pub(super) fn is_condition_true(&self, condition: &str) -> bool {
        self.condition(condition).is_some_and(|own| text_of(own, "status") == "True")
    }

    /// Returns when it was made, in seconds since 1970.
    pub(super) fn created(&self) -> i64 {
        self.text("/metadata/creationTimestamp").parse::<Timestamp>().map_or(0, Timestamp::as_second)
    }

    /// Returns the reference that makes it the controller of what it makes.
    pub(super) fn as_controller(&self) -> Value {
        json!({
            "apiVersion": self.text("/apiVersion"), "kind": self.text("/kind"), "name": self.name(), "uid": self.uid(),
            "controller": true, "blockOwnerDeletion": true,
        })
    }

    /// Returns the conditions with one of them set, its time of change kept where its status stays.
    pub(super) fn conditions_with(&self, condition: &str, status: &str, reason: &str, message: &str) -> Value {
        let before = self.condition(condition);
        let changed = match before {
            Some(before) if text_of(before, "status") == status => before.get("lastTransitionTime").cloned(),
            Some(_) | None => None,
        };
        let mut new = json!({
            "type": condition, "status": status,
            "lastTransitionTime": changed.unwrap_or_else(|| json!(now())),
        });
        if let Value::Object(fields) = &mut new {
            for (field, text) in [("reason", reason), ("message", message)] {
                if !text.is_empty() {
                    fields.insert(field.to_owned(), json!(text));
                }
            }
        }
        let mut list = self.list("/status/conditions").to_vec();
        match list.iter_mut().find(|own| text_of(own, "type") == condition) {
            Some(own) => *own = new,
            None => list.push(new),
        }
        Value::Array(list)
    }

    /// Returns the conditions without one of them, for a patch.
    pub(super) fn conditions_without(&self, condition: &str) -> Value {
        let others = self.list("/status/conditions").iter().filter(|own| text_of(own, "type") != condition);
        list_or_none(others.cloned())
    }

    /// Returns the object as it is once a merge patch has been applied.
    pub(super) fn patched(&self, patch: &Value) -> Self {
        let mut object = self.0.clone();
        merge(&mut object, patch);
        Self(object)
    }

    /// Returns the status of a change to `phase`: with the time of it, unless that is its phase already.
    pub(super) fn entering(&self, phase: &str) -> Value {
        if self.phase() == phase {
            return json!({});
        }
        let mut times = self.list("/status/phaseTransitionTimestamps").to_vec();
        times.push(json!({ "phase": phase, "phaseTransitionTimestamp": now() }));
        json!({ "phase": phase, "phaseTransitionTimestamps": times })
    }
}

/// Returns a list for a patch: the server keeps no empty ones apart from none, so an empty one is null.
pub(super) fn list_or_none(items: impl Iterator<Item = Value>) -> Value {
    let items: Vec<Value> = items.collect();
    if items.is_empty() { Value::Null } else { Value::Array(items) }
}

/// Returns the text of a field, "" where there is none.
pub(super) fn text_of<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// Returns an object's place in the store.
pub(super) fn key(namespace: &str, name: &str) -> String {
    format!("{namespace}/{name}")
}

/// Returns the time in the form of the API: whole seconds.
pub(super) fn now() -> String {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now).to_string()
}

/// Applies a JSON merge patch (RFC 7386). It is no way to put a null into a patch: that would be taken out of it.
pub(super) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(fields) = target else { return };
    for (field, change) in changes {
        if change.is_null() {
            fields.remove(field);
        } else {
            merge(fields.entry(field.clone()).or_insert(Value::Null), change);
        }
    }
}

/// Returns whether a merge patch would change anything.
pub(super) fn changes(target: &Value, patch: &Value) -> bool {
    let Value::Object(fields) = patch else { return target != patch };
    fields.iter().any(|(field, change)| match target.get(field) {
        Some(own) => change.is_null() || changes(own, change),
        None => !change.is_null() && !is_hollow(change),
    })
}

/// Returns whether a patch of an absent field adds nothing but the objects around nulls.
fn is_hollow(patch: &Value) -> bool {
    patch.as_object().is_some_and(|fields| fields.values().all(|field| field.is_null() || is_hollow(field)))
}

/// Returns the merge patch of one field that makes it `new`, whatever it held before.
pub(super) fn replacing(old: &Value, new: Value) -> Value {
    let mut patch = new;
    if let (Value::Object(old), Value::Object(patch)) = (old, &mut patch) {
        for field in old.keys() {
            patch.entry(field.clone()).or_insert(Value::Null);
        }
    }
    patch
}

/// Reads a duration as the annotations of tests tell it: "500ms", "3s" or "2m".
pub(super) fn duration(text: &str) -> Option<Duration> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let number: u64 = digits.parse().ok()?;
    match text.get(digits.len()..) {
        Some("ms") => Some(Duration::from_millis(number)),
        Some("s") => Some(Duration::from_secs(number)),
        Some("m") => Some(Duration::from_secs(60 * number)),
        Some(_) | None => None,
    }
}

/// Adds the fields of an object to another, where there are any.
pub(super) fn overlay(target: &mut Value, fields: &Value) {
    if fields.is_object() {
        merge(target, fields);
    }
}
