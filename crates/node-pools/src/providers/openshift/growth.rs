//! Whether a MachineSet grows by itself: a MachineAutoscaler says so, an object of its own.

use serde_json::{Map, Value, json};

use super::AUTOSCALER;
use crate::address::Address;
use crate::inventory::Inventory;
use crate::mark::FROZEN;
use crate::raw::{annotation, number, text};
use crate::step::Step;

/// The limits that the MachineAutoscaler's controller writes on the set.
const LIMITS: &str = "machine.openshift.io/cluster-api-autoscaler-node-group-";

/// Whether an annotation is one of those.
pub(super) fn is_autoscaling(key: &str) -> bool {
    key.starts_with(LIMITS)
}

/// Returns the MachineAutoscalers of a set.
pub(super) fn autoscalers<'a>(
    inventory: &'a Inventory,
    set: &'a Address,
) -> impl Iterator<Item = (&'a Address, &'a Value)> {
    inventory.of(AUTOSCALER).filter(|(address, object)| {
        address.namespace == set.namespace
            && text(object, "/spec/scaleTargetRef/kind") == Some("MachineSet")
            && text(object, "/spec/scaleTargetRef/name") == Some(&set.name)
    })
}

/// Says who changes the set's size.
pub(super) fn scaled_by(inventory: &Inventory, set: &Address) -> Vec<String> {
    let told = |(address, object): (&Address, &Value)| {
        let limit = |pointer: &str| number(object, pointer).unwrap_or_default();
        format!("MachineAutoscaler {}, {} to {}", address.name, limit("/spec/minReplicas"), limit("/spec/maxReplicas"))
    };
    autoscalers(inventory, set).map(told).collect()
}

pub(super) fn is_frozen(inventory: &Inventory, set: &Address) -> bool {
    autoscalers(inventory, set).any(|(_, object)| annotation(object, FROZEN).is_some())
}

/// Lets the set grow no further than it is; what the limit was is kept in an annotation of the autoscaler.
pub(super) fn freeze(inventory: &Inventory, set: &Address, object: &Value) -> Vec<Step> {
    let size = number(object, "/spec/replicas").unwrap_or(1);
    let step = |(address, object): (&Address, &Value)| {
        let most = number(object, "/spec/maxReplicas")?;
        // The least that the API takes, and never less than the autoscaler's own least.
        let now = size.max(number(object, "/spec/minReplicas").unwrap_or_default()).max(1);
        let is_open = annotation(object, FROZEN).is_none() && most > now;
        is_open.then(|| Step::Merge {
            target: address.clone(),
            patch: json!({
                "metadata": { "annotations": { FROZEN: json!({ "maxReplicas": most }).to_string() } },
                "spec": { "maxReplicas": now },
            }),
            what: format!("stop the growth of {}", set.name),
        })
    };
    autoscalers(inventory, set).filter_map(step).collect()
}

/// Gives the autoscaler its limit back.
pub(super) fn thaw(inventory: &Inventory, set: &Address) -> Vec<Step> {
    let step = |(address, object): (&Address, &Value)| {
        let kept: Map<String, Value> = serde_json::from_str(annotation(object, FROZEN)?).ok()?;
        Some(Step::Merge {
            target: address.clone(),
            patch: json!({
                "metadata": { "annotations": { FROZEN: Value::Null } },
                "spec": { "maxReplicas": kept.get("maxReplicas")? },
            }),
            what: format!("let {} grow again", set.name),
        })
    };
    autoscalers(inventory, set).filter_map(step).collect()
}
