//! Topology spread constraints.

use serde_json::{Value, json};

use super::affinity;
use super::dice::Dice;

const KEYS: [&str; 5] = [
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/zone",
    "kubernetes.io/hostname",
    "rack",
    "topology.kubernetes.io/region",
];

/// Draws the constraints of a pod; no two have the same key and action, which would be refused.
pub(super) fn draw(dice: &mut Dice) -> Vec<Value> {
    let mut constraints: Vec<Value> = vec![];
    for _ in 0..*dice.pick(&[1, 1, 1, 2, 2, 3]) {
        let constraint = constraint(dice);
        let same = |other: &Value| {
            other["topologyKey"] == constraint["topologyKey"]
                && other["whenUnsatisfiable"] == constraint["whenUnsatisfiable"]
        };
        if !constraints.iter().any(same) {
            constraints.push(constraint);
        }
    }
    constraints
}

fn constraint(dice: &mut Dice) -> Value {
    let key = if dice.chance(4) { "nobody-has-this" } else { *dice.pick(&KEYS) };
    let required = dice.chance(88);
    let mut constraint = json!({
        "maxSkew": dice.pick(&[1, 1, 1, 2, 3]),
        "topologyKey": key,
        "whenUnsatisfiable": if required { "DoNotSchedule" } else { "ScheduleAnyway" },
    });
    let selector = affinity::label_selector(dice);
    if !selector.is_null() {
        constraint["labelSelector"] = selector;
        if dice.chance(25) {
            constraint["matchLabelKeys"] = json!(affinity::label_keys(dice, &constraint["labelSelector"], &[]));
        }
    }
    if required && dice.chance(25) {
        constraint["minDomains"] = json!(dice.pick(&[1, 2, 3, 5]));
    }
    for policy in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
        if dice.chance(30) {
            constraint[policy] = json!(dice.pick(&["Honor", "Ignore"]));
        }
    }
    constraint
}
