//! Whether a NodePool makes nodes, and how that is stopped and given back.
//!
//! Limits and budgets are outside of the hash by which Karpenter finds that a pool's nodes are out of date, so neither
//! replaces a node (seen: no drift, running nodes untouched).

use serde_json::{Value, json};

use super::replicas;
use crate::address::Address;
use crate::mark::FROZEN;
use crate::raw::annotation;
use crate::step::Step;

const LIMITS: &str = "/spec/limits";
const BUDGETS: &str = "/spec/disruption/budgets";

/// Says who changes the pool's size, and within which limits.
pub(super) fn scaled_by(object: &Value) -> Option<String> {
    if replicas(object).is_some() {
        return None;
    }
    let limits = object.pointer(LIMITS).and_then(Value::as_object).filter(|limits| !limits.is_empty());
    let told = limits.map(|limits| {
        let limits: Vec<_> = limits.iter().map(|(name, limit)| format!("{name} {}", plain(limit))).collect();
        format!(" up to {}", limits.join(" and "))
    });
    Some(format!("Karpenter{}", told.unwrap_or_default()))
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Stops the pool: no new nodes (of a dynamic one), and none is replaced. What was there is kept in an annotation.
pub(super) fn freeze(address: &Address, object: &Value) -> Option<Step> {
    if annotation(object, FROZEN).is_some() {
        return None;
    }
    let at = |pointer: &str| object.pointer(pointer).cloned().unwrap_or(Value::Null);
    let kept = json!({ "limits": at(LIMITS), "budgets": at(BUDGETS) });
    let mut spec = json!({ "disruption": { "budgets": [{ "nodes": "0" }] } });
    // A static pool takes no limit but one of nodes, and makes none as long as it has those that it is to have.
    if replicas(object).is_none()
        && let Some(spec) = spec.as_object_mut()
    {
        spec.insert("limits".to_owned(), json!({ "cpu": "0" }));
    }
    let patch = json!({ "metadata": { "annotations": { FROZEN: kept.to_string() } }, "spec": spec });
    Some(Step::Merge { target: address.clone(), patch, what: "stop its growth".to_owned() })
}

/// What a frozen pool had; `None`: it is not frozen, or nobody can read what it had.
fn kept(object: &Value) -> Option<Value> {
    serde_json::from_str::<Value>(annotation(object, FROZEN)?).ok().filter(Value::is_object)
}

/// Gives the pool back what [`freeze`] took.
pub(super) fn thaw(address: &Address, object: &Value) -> Option<Step> {
    let kept = kept(object)?;
    let limits = match kept.get("limits").filter(|limits| limits.is_object()) {
        Some(limits) => json!({ "cpu": limits.get("cpu") }),
        None => Value::Null,
    };
    let mut spec = json!({ "disruption": { "budgets": kept.get("budgets") } });
    if replicas(object).is_none()
        && let Some(spec) = spec.as_object_mut()
    {
        spec.insert("limits".to_owned(), limits);
    }
    let patch = json!({ "metadata": { "annotations": { FROZEN: Value::Null } }, "spec": spec });
    Some(Step::Merge { target: address.clone(), patch, what: "let it grow again".to_owned() })
}

/// Returns a pool as it was before it was frozen: that is what a copy is compared with.
pub(super) fn as_before(object: &Value) -> Value {
    let mut object = object.clone();
    let Some(kept) = kept(&object) else { return object };
    for (map, key) in [("/spec", "limits"), ("/spec/disruption", "budgets")] {
        let Some(place) = object.pointer_mut(map).and_then(Value::as_object_mut) else { continue };
        match kept.get(key).filter(|value| !value.is_null()) {
            Some(value) => place.insert(key.to_owned(), value.clone()),
            None => place.remove(key),
        };
    }
    if let Some(annotations) = object.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.remove(FROZEN);
    }
    object
}
