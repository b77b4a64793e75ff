//! Room on the nodes.

use e2e::scheduling::dice::Dice;
use serde_json::json;

use super::super::sketch::{Sketch, container};

/// Neighbours leave just too little of the 4 processors.
pub(super) fn processors(sketch: &mut Sketch, dice: &mut Dice, fits: bool) {
    let wanted = *dice.pick(&[700, 1500, 2000]);
    sketch.asks(json!({ "requests": { "cpu": format!("{wanted}m") } }));
    for node in sketch.new_nodes() {
        sketch.fill(node, &json!({ "cpu": format!("{}m", 4000 - wanted) }));
    }
    sketch.shut(dice, fits, |sketch, node| sketch.fill(node, &json!({ "cpu": "1m" })));
}

/// The same with memory, in other units.
pub(super) fn memory(sketch: &mut Sketch, dice: &mut Dice, fits: bool) {
    sketch.asks(json!({ "requests": { "memory": dice.pick(&["1Gi", "1073741824", "1048576Ki"]) } }));
    for node in sketch.new_nodes() {
        sketch.offer(node, "memory", "2Gi");
        sketch.fill(node, &json!({ "memory": "1Gi" }));
    }
    sketch.shut(dice, fits, |sketch, node| sketch.fill(node, &json!({ "memory": "1" })));
}

/// A pod that is being deleted has its room until it is gone.
pub(super) fn ending(sketch: &mut Sketch, dice: &mut Dice, fits: bool) {
    sketch.asks(json!({ "requests": { "cpu": "3" } }));
    sketch.shut(dice, fits, |sketch, node| {
        sketch.fill(node, &json!({ "cpu": "2" }));
        sketch.neighbours.last_mut().expect("it was added").is_ending = true;
    });
}

/// A node takes so many pods.
pub(super) fn pods(sketch: &mut Sketch, dice: &mut Dice, fits: bool) {
    for node in sketch.new_nodes() {
        sketch.fill(node, &json!({}));
        sketch.offer(node, "pods", "2");
    }
    sketch.shut(dice, fits, |sketch, node| sketch.offer(node, "pods", "1"));
}

/// Init containers need room beside the sidecars that are started before them.
pub(super) fn init_containers(sketch: &mut Sketch, dice: &mut Dice, fits: bool) {
    let requests = |cpu: &str| json!({ "requests": { "cpu": cpu } });
    sketch.asks(requests("1"));
    sketch.pod["initContainers"] = json!([
        { "name": "early", "image": "app:1", "resources": requests("3") },
        { "name": "sidecar", "image": "app:1", "restartPolicy": "Always", "resources": requests("1") },
        { "name": "late", "image": "app:1", "resources": requests("2500m") },
    ]);
    for node in sketch.new_nodes() {
        sketch.offer(node, "cpu", "3500m");
    }
    sketch.shut(dice, fits, |sketch, node| sketch.offer(node, "cpu", "3499m"));
}

/// What only some nodes have.
pub(super) fn devices(sketch: &mut Sketch, dice: &mut Dice, fits: bool) {
    const DEVICE: &str = "example.com/fpga";
    sketch.asks(json!({ "limits": { DEVICE: "2" } }));
    for node in sketch.nodes.keys().copied().collect::<Vec<_>>() {
        sketch.offer(node, DEVICE, "4");
    }
    sketch.shut(dice, fits, |sketch, node| sketch.offer(node, DEVICE, "1"));
}

/// What a pod asks for as a whole counts instead of what its containers ask for.
pub(super) fn pod_level(sketch: &mut Sketch, dice: &mut Dice, fits: bool) {
    sketch.pod["resources"] = json!({ "requests": { "cpu": "3" } });
    sketch.shut(dice, fits, |sketch, node| sketch.offer(node, "cpu", "2900m"));
}

/// Who only says the most asks for the most.
pub(super) fn limits(sketch: &mut Sketch, dice: &mut Dice, fits: bool) {
    sketch.asks(json!({ "limits": { "cpu": "3" } }));
    let injected = container(&json!({ "limits": { "memory": "64Mi" } }));
    sketch.shut(dice, fits, |sketch, node| {
        sketch.neighbour(node, json!({ "app": "other" }), injected.clone());
        sketch.fill(node, &json!({ "cpu": "1100m" }));
    });
}
