//! Where a pod asks to run by the labels and fields of nodes: nodeSelector and the required terms of node affinity. The
//! same terms say where a volume can be reached.

use serde_json::{Map, Value, json};

use super::ZONES;
use super::dice::Dice;

/// Adds a nodeSelector, node affinity, or both to a pod's spec.
pub(super) fn add(dice: &mut Dice, spec: &mut Value, nodes: &[String]) {
    if dice.chance(40) {
        spec["nodeSelector"] = node_selector(dice, nodes);
        if dice.chance(60) {
            return;
        }
    }
    let terms: Vec<_> = (0..*dice.pick(&[1, 1, 1, 2, 2, 3])).map(|_| term(dice, nodes)).collect();
    spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] =
        json!({"nodeSelectorTerms": terms});
    if dice.chance(15) {
        spec["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"] =
            json!([{"weight": 3, "preference": {"matchExpressions": [expression(dice, nodes)]}}]);
    }
}

fn node_selector(dice: &mut Dice, nodes: &[String]) -> Value {
    let mut selector = Map::new();
    for _ in 0..=dice.below(2) {
        let (key, values) = key_and_values(dice, nodes);
        let value = dice.pick(&values).clone();
        selector.insert(key, value.into());
    }
    selector.into()
}

fn term(dice: &mut Dice, nodes: &[String]) -> Value {
    let mut term = Map::new();
    // One that asks for nothing is met by no node.
    if dice.chance(5) {
        return term.into();
    }
    let fields = dice.chance(25);
    if fields {
        let operator = *dice.pick(&["In", "In", "NotIn"]);
        let mut fields = vec![json!({"key": "metadata.name", "operator": operator, "values": [a_node(dice, nodes)]})];
        if dice.chance(20) {
            fields.push(json!({"key": "metadata.name", "operator": "NotIn", "values": [a_node(dice, nodes)]}));
        }
        term.insert("matchFields".into(), fields.into());
    }
    if !fields || dice.chance(30) {
        let expressions: Vec<_> = (0..=dice.below(2)).map(|_| expression(dice, nodes)).collect();
        term.insert("matchExpressions".into(), expressions.into());
    }
    term.into()
}

fn a_node(dice: &mut Dice, nodes: &[String]) -> String {
    if dice.chance(8) { "node-that-was".to_owned() } else { dice.pick(nodes).clone() }
}

/// Draws one requirement, with any operator.
fn expression(dice: &mut Dice, nodes: &[String]) -> Value {
    if dice.chance(20) {
        let operator = *dice.pick(&["Gt", "Lt"]);
        let key = *dice.pick(&["size", "size", "size", "disk"]);
        // The API server takes any text for a number.
        let value = *dice.pick(&["2", "3", "0", "4", "07", "many", "2.5"]);
        return json!({"key": key, "operator": operator, "values": [value]});
    }
    let (key, values) = key_and_values(dice, nodes);
    match *dice.pick(&["In", "In", "In", "NotIn", "NotIn", "Exists", "DoesNotExist"]) {
        operator @ ("In" | "NotIn") => json!({"key": key, "operator": operator, "values": dice.at_least_one(&values)}),
        operator => json!({"key": key, "operator": operator}),
    }
}

fn key_and_values(dice: &mut Dice, nodes: &[String]) -> (String, Vec<String>) {
    let zones: Vec<String> = ZONES.iter().map(ToString::to_string).collect();
    let (key, values) = match dice.below(12) {
        0..=3 => ("topology.kubernetes.io/zone", zones),
        4 => ("topology.kubernetes.io/region", vec!["eu-north1".into(), "us-south1".into()]),
        5..=6 => ("disk", vec!["ssd".into(), "hdd".into(), String::new()]),
        7 => ("size", vec!["1".into(), "3".into(), "large".into()]),
        8 => ("rack", vec!["r1".into(), "r2".into()]),
        9..=10 => ("kubernetes.io/hostname", nodes.to_vec()),
        _ => ("nobody-has-this", vec!["yes".into()]),
    };
    (key.to_owned(), values)
}
