//! What pods ask of each other: labels, label selectors, affinity and anti-affinity.

use serde_json::{Map, Value, json};

use super::NAMESPACES;
use super::dice::Dice;

const TOPOLOGY_KEYS: [&str; 6] = [
    "kubernetes.io/hostname",
    "kubernetes.io/hostname",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/zone",
    "rack",
    "nobody-has-this",
];
/// The labels of pods, with their values.
const LABELS: [(&str, &[&str]); 3] =
    [("app", &["web", "db", "log"]), ("version", &["v1", "v2"]), ("pod-template-hash", &["x", "y"])];

/// Draws the labels of a pod.
pub(super) fn labels(dice: &mut Dice) -> Map<String, Value> {
    let mut labels = Map::new();
    for (key, values) in LABELS {
        if dice.chance(85) {
            labels.insert(key.into(), (*dice.pick(values)).into());
        }
    }
    labels
}

/// Draws a label selector: `null` selects nothing, an empty one everything.
pub(super) fn label_selector(dice: &mut Dice) -> Value {
    match dice.below(20) {
        0 => Value::Null,
        1 => json!({}),
        2..=11 => json!({"matchLabels": {"app": dice.pick(LABELS[0].1)}}),
        12..=14 => json!({"matchLabels": {"app": dice.pick(LABELS[0].1), "version": dice.pick(LABELS[1].1)}}),
        _ => json!({"matchExpressions": [label_expression(dice)]}),
    }
}

fn label_expression(dice: &mut Dice) -> Value {
    let (key, values) = *dice.pick(&LABELS);
    match *dice.pick(&["In", "In", "NotIn", "Exists", "DoesNotExist"]) {
        operator @ ("In" | "NotIn") => json!({"key": key, "operator": operator, "values": dice.at_least_one(values)}),
        operator => json!({"key": key, "operator": operator}),
    }
}

/// Draws keys of pods' labels that a selector says nothing about yet, as the API server demands, and that are not `taken`.
pub(super) fn label_keys(dice: &mut Dice, selector: &Value, taken: &[String]) -> Vec<String> {
    let text = selector.to_string();
    let free: Vec<String> = ["pod-template-hash", "version", "not-on-pods"]
        .iter()
        .map(ToString::to_string)
        .filter(|key| !text.contains(key.as_str()) && !taken.contains(key))
        .collect();
    if free.is_empty() { free } else { dice.at_least_one(&free) }
}

/// Adds affinity, anti-affinity or both to a pod's spec.
pub(super) fn add(dice: &mut Dice, spec: &mut Value) {
    let kinds: &[&str] = match dice.below(10) {
        0..=2 => &["podAffinity"],
        3..=8 => &["podAntiAffinity"],
        _ => &["podAffinity", "podAntiAffinity"],
    };
    for kind in kinds {
        let terms: Vec<_> = (0..*dice.pick(&[1, 1, 1, 2])).map(|_| term(dice)).collect();
        if dice.chance(10) {
            let preferred: Vec<_> = terms.iter().map(|term| json!({"weight": 1, "podAffinityTerm": term})).collect();
            spec["affinity"][kind]["preferredDuringSchedulingIgnoredDuringExecution"] = json!(preferred);
        } else {
            spec["affinity"][kind]["requiredDuringSchedulingIgnoredDuringExecution"] = json!(terms);
        }
    }
}

fn term(dice: &mut Dice) -> Value {
    let mut term = json!({"topologyKey": dice.pick(&TOPOLOGY_KEYS)});
    let selector = label_selector(dice);
    if !selector.is_null() {
        term["labelSelector"] = selector;
        if dice.chance(20) {
            let keys = label_keys(dice, &term["labelSelector"], &[]);
            if dice.chance(30) {
                let others = label_keys(dice, &term["labelSelector"], &keys);
                if !others.is_empty() {
                    term["mismatchLabelKeys"] = json!(others);
                }
            }
            let field = if dice.chance(60) || term.get("mismatchLabelKeys").is_some() {
                "matchLabelKeys"
            } else {
                "mismatchLabelKeys"
            };
            if !keys.is_empty() {
                term[field] = json!(keys);
            }
        }
    }
    if dice.chance(25) {
        term["namespaces"] = json!(dice.at_least_one(&NAMESPACES));
    }
    if dice.chance(25) {
        term["namespaceSelector"] = match dice.below(5) {
            0 => json!({}),
            1 => json!({"matchLabels": {"kubernetes.io/metadata.name": dice.pick(&NAMESPACES)}}),
            2 => json!({"matchExpressions": [{"key": "team", "operator": dice.pick(&["DoesNotExist", "Exists"])}]}),
            _ => json!({"matchLabels": {"team": dice.pick(&["red", "blue"])}}),
        };
    }
    term
}

/// Does to the selectors of a pod's spec what the API server did when the pod was created: the labels by
/// `matchLabelKeys` and `mismatchLabelKeys` are part of them.
pub(super) fn merge_label_keys(spec: &mut Value, labels: &Map<String, Value>) {
    for kind in ["podAffinity", "podAntiAffinity"] {
        let path = format!("/affinity/{kind}/requiredDuringSchedulingIgnoredDuringExecution");
        for term in spec.pointer_mut(&path).and_then(Value::as_array_mut).into_iter().flatten() {
            merge(term, "matchLabelKeys", "In", labels);
            merge(term, "mismatchLabelKeys", "NotIn", labels);
        }
        let path = format!("/affinity/{kind}/preferredDuringSchedulingIgnoredDuringExecution");
        for weighted in spec.pointer_mut(&path).and_then(Value::as_array_mut).into_iter().flatten() {
            merge(&mut weighted["podAffinityTerm"], "matchLabelKeys", "In", labels);
            merge(&mut weighted["podAffinityTerm"], "mismatchLabelKeys", "NotIn", labels);
        }
    }
    let constraints = spec.get_mut("topologySpreadConstraints").and_then(Value::as_array_mut);
    for constraint in constraints.into_iter().flatten() {
        merge(constraint, "matchLabelKeys", "In", labels);
    }
}

fn merge(holder: &mut Value, keys: &str, operator: &str, labels: &Map<String, Value>) {
    let keys = holder.get(keys).and_then(Value::as_array).cloned().unwrap_or_default();
    let wanted: Vec<Value> = keys
        .iter()
        .filter_map(|key| {
            let value = labels.get(key.as_str()?)?;
            Some(json!({"key": key, "operator": operator, "values": [value]}))
        })
        .collect();
    if wanted.is_empty() {
        return;
    }
    let selector = &mut holder["labelSelector"];
    match selector.get_mut("matchExpressions").and_then(Value::as_array_mut) {
        Some(expressions) => expressions.extend(wanted),
        None => selector["matchExpressions"] = wanted.into(),
    }
}
