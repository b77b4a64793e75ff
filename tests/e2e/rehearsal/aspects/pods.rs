//! What pods want of each other.

use e2e::scheduling::dice::Dice;
use serde_json::{Value, json};

use super::super::sketch::{HOST, OLD, Sketch, Way, ZONE};

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";

fn term(app: &str, key: &str) -> Value {
    json!({ "topologyKey": key, "labelSelector": { "matchLabels": { "app": app } } })
}

/// A pod that stays is in the zone of the old node; nodes in other zones are too far.
pub(super) fn near(sketch: &mut Sketch, dice: &mut Dice, fits: bool) {
    anchor(sketch, dice, fits);
    sketch.pod["affinity"]["podAffinity"][REQUIRED] = json!([term("anchor", ZONE)]);
}

/// The same with pods of namespaces that are chosen by their labels.
pub(super) fn near_by_namespace(sketch: &mut Sketch, dice: &mut Dice, fits: bool) {
    anchor(sketch, dice, fits);
    let mut near = term("anchor", ZONE);
    near["namespaceSelector"] = json!({ "matchLabels": { "kubernetes.io/metadata.name": sketch.namespace } });
    sketch.pod["affinity"]["podAffinity"][REQUIRED] = json!([near]);
}

/// It has to be there before the pod that wants to be near to it, which waits for it.
fn anchor(sketch: &mut Sketch, dice: &mut Dice, fits: bool) {
    let (near, far) = (sketch.zone(1), sketch.zone(2));
    for node in sketch.new_nodes() {
        sketch.label(node, ZONE, &near);
    }
    sketch.first.push(json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "anchor", "labels": { "app": "anchor" } },
        "spec": {
            "nodeName": sketch.node_name(OLD), "tolerations": [{ "operator": "Exists" }],
            "containers": [{ "name": "main", "image": "app:1" }],
        },
    }));
    sketch.shut(dice, fits, |sketch, node| sketch.label(node, ZONE, &far));
}

/// Pods from which it keeps away.
pub(super) fn apart(sketch: &mut Sketch, dice: &mut Dice, fits: bool) {
    sketch.pod["affinity"]["podAntiAffinity"][REQUIRED] = json!([term("noisy", HOST)]);
    sketch.shut(dice, fits, |sketch, node| sketch.neighbour(node, json!({ "app": "noisy" }), json!({})));
}

/// Pods that keep away from it.
pub(super) fn shunned(sketch: &mut Sketch, dice: &mut Dice, fits: bool) {
    let shy = json!({ "affinity": { "podAntiAffinity": { REQUIRED: [term("web", HOST)] } } });
    sketch.shut(dice, fits, |sketch, node| sketch.neighbour(node, json!({ "app": "shy" }), shy.clone()));
}

/// One in each zone, while the first one is still there.
pub(super) fn apart_from_itself(sketch: &mut Sketch, dice: &mut Dice, fits: bool) {
    sketch.way = Way::Beside;
    sketch.pod["affinity"]["podAntiAffinity"][REQUIRED] = json!([term("web", ZONE)]);
    let (here, there) = (sketch.zone(1), sketch.zone(2));
    for node in sketch.new_nodes() {
        sketch.label(node, ZONE, &there);
    }
    sketch.shut(dice, fits, |sketch, node| sketch.label(node, ZONE, &here));
}

fn constraint(more: &Value) -> Value {
    let mut constraint = json!({
        "maxSkew": 1, "topologyKey": ZONE, "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": { "matchLabels": { "app": "web" } },
    });
    super::super::sketch::merge(&mut constraint, more);
    constraint
}

/// A zone whose only node takes nothing counts, and has no pod; unless taints are honoured.
pub(super) fn spread(sketch: &mut Sketch, dice: &mut Dice, fits: bool) {
    lone_zone(sketch);
    sketch.way = *dice.pick(&[Way::After, Way::Beside]);
    let policy = if fits { "Honor" } else { "Ignore" };
    sketch.pod["topologySpreadConstraints"] = json!([constraint(&json!({ "nodeTaintsPolicy": policy }))]);
    sketch.neighbour("a", json!({ "app": "web" }), json!({}));
}

/// All nodes are in zone 1, except one in zone 2, which is shut.
fn lone_zone(sketch: &mut Sketch) {
    let here = sketch.zone(1);
    for node in sketch.new_nodes() {
        sketch.label(node, ZONE, &here);
    }
    let (name, there) = ("b", sketch.zone(2));
    sketch.label(name, ZONE, &there);
    sketch.taint(name, "shut", "NoSchedule");
}

/// With fewer zones than are wanted, one pod in each is the most.
pub(super) fn spread_widely(sketch: &mut Sketch, dice: &mut Dice, fits: bool) {
    sketch.way = Way::Beside;
    sketch.pod["topologySpreadConstraints"] = json!([constraint(&json!({ "minDomains": 3 }))]);
    let (here, there) = (sketch.zone(1), sketch.zone(2));
    for node in sketch.new_nodes() {
        sketch.label(node, ZONE, &there);
    }
    sketch.shut(dice, fits, |sketch, node| sketch.label(node, ZONE, &here));
}

/// Pods of another generation count only where nobody tells them apart.
pub(super) fn spread_by_generation(sketch: &mut Sketch, _: &mut Dice, fits: bool) {
    lone_zone(sketch);
    sketch.way = Way::After;
    let keys = if fits { json!(["pod-template-hash"]) } else { json!([]) };
    sketch.pod["topologySpreadConstraints"] = json!([constraint(&json!({ "matchLabelKeys": keys }))]);
    sketch.neighbour("a", json!({ "app": "web", "pod-template-hash": "before" }), json!({}));
}
