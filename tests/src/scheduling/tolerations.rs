//! Tolerations of all operators, also of taints that are not there and of effects that taints do not have.

use serde_json::{Value, json};

use super::dice::Dice;

/// The keys of taints.
pub(super) const TAINT_KEYS: [&str; 3] = ["dedicated", "gpu", "example.com/spot"];
/// The values of taints.
pub(super) const TAINT_VALUES: [&str; 2] = ["batch", "web"];
/// The effects of taints.
pub(super) const EFFECTS: [&str; 3] = ["NoSchedule", "NoExecute", "PreferNoSchedule"];

/// Draws the tolerations of a pod.
pub(super) fn draw(dice: &mut Dice) -> Vec<Value> {
    (0..=dice.below(3)).map(|_| toleration(dice)).collect()
}

fn toleration(dice: &mut Dice) -> Value {
    // Everything; or everything of one effect.
    if dice.chance(12) {
        let mut toleration = json!({"operator": "Exists"});
        if dice.chance(50) {
            toleration["effect"] = json!(dice.pick(&EFFECTS));
        }
        return toleration;
    }
    let key = if dice.chance(25) { "node.kubernetes.io/unschedulable" } else { *dice.pick(&TAINT_KEYS) };
    let mut toleration = json!({"key": key});
    if dice.chance(40) {
        toleration["operator"] = json!("Exists");
    } else {
        if dice.chance(50) {
            toleration["operator"] = json!("Equal");
        }
        if dice.chance(75) {
            toleration["value"] = json!(dice.pick(&TAINT_VALUES));
        }
    }
    if dice.chance(75) {
        let effect = *dice.pick(&EFFECTS);
        toleration["effect"] = json!(effect);
        if effect == "NoExecute" && dice.chance(30) {
            toleration["tolerationSeconds"] = json!(300);
        }
    }
    toleration
}
