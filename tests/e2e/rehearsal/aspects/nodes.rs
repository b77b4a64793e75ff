//! What nodes are, and which of them a pod asks for.

use e2e::NAMESPACE_LABEL;
use e2e::scheduling::dice::Dice;
use serde_json::json;

use super::super::sketch::{OLD, Sketch, WORLD};

/// Taints that are tolerated in part, and one that only discourages.
pub(super) fn taints(sketch: &mut Sketch, dice: &mut Dice, fits: bool) {
    sketch.pod["tolerations"] = json!([
        { "key": WORLD, "operator": "Exists" },
        { "key": "dedicated", "operator": "Equal", "value": "batch", "effect": "NoSchedule" },
    ]);
    for node in sketch.new_nodes() {
        sketch.taint(node, "dedicated", "NoSchedule");
        sketch.taint(node, "spot", "PreferNoSchedule");
    }
    let effect = *dice.pick(&["NoExecute", "NoSchedule"]);
    sketch.shut(dice, fits, |sketch, node| sketch.taint(node, "gpu", effect));
}

/// Another label is wanted as well.
pub(super) fn selector(sketch: &mut Sketch, dice: &mut Dice, fits: bool) {
    sketch.pod["nodeSelector"] = json!({ NAMESPACE_LABEL: sketch.namespace, "disk": "ssd" });
    for node in sketch.nodes.keys().copied().collect::<Vec<_>>() {
        sketch.label(node, "disk", "ssd");
    }
    let other = *dice.pick(&["hdd", ""]);
    sketch.shut(dice, fits, |sketch, node| sketch.label(node, "disk", other));
}

/// Terms of which one has to hold, with the operators that compare.
pub(super) fn affinity(sketch: &mut Sketch, dice: &mut Dice, fits: bool) {
    let of_two = json!([
        { "matchExpressions": [{ "key": "nobody-has-this", "operator": "Exists" }] },
        { "matchExpressions": [
            { "key": "size", "operator": "Gt", "values": ["3"] },
            { "key": "disk", "operator": "NotIn", "values": ["hdd"] },
        ] },
    ]);
    sketch.pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] =
        json!({ "nodeSelectorTerms": of_two });
    sketch.label(OLD, "size", "8");
    for node in sketch.new_nodes() {
        sketch.label(node, "size", "4");
    }
    let (key, value) = *dice.pick(&[("size", "3"), ("size", "many"), ("disk", "hdd")]);
    sketch.shut(dice, fits, |sketch, node| sketch.label(node, key, value));
}

/// A port of the node that another pod has; the same number by another protocol is another port.
pub(super) fn ports(sketch: &mut Sketch, dice: &mut Dice, fits: bool) {
    let port = |protocol: &str, address: &str| {
        let port = json!({ "containerPort": 53, "hostPort": 53, "protocol": protocol, "hostIP": address });
        json!({ "containers": [{ "name": "main", "image": "app:1", "ports": [port] }] })
    };
    sketch.pod["containers"] = port("UDP", "").get("containers").cloned().unwrap_or_default();
    for node in sketch.new_nodes() {
        sketch.neighbour(node, json!({ "app": "other" }), port("TCP", ""));
    }
    let address = *dice.pick(&["", "127.0.0.1"]);
    sketch.shut(dice, fits, |sketch, node| sketch.neighbour(node, json!({ "app": "other" }), port("UDP", address)));
}
