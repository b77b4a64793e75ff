//! Where the replacement is not like the pod that runs, or like it in what no template says.

use e2e::NAMESPACE_LABEL;
use e2e::scheduling::dice::Dice;
use serde_json::{Value, json};

use super::super::sketch::{HOST, Kind, OLD, Sketch, WORLD, Way};

/// Requests that a LimitRange gives.
pub(super) fn limit_range(sketch: &mut Sketch, dice: &mut Dice, fits: bool) {
    sketch.asks(json!({}));
    sketch.first.push(json!({
        "apiVersion": "v1", "kind": "LimitRange", "metadata": { "name": "defaults" },
        "spec": { "limits": [{ "type": "Container", "defaultRequest": { "cpu": "3" }, "default": { "cpu": "4" } }] },
    }));
    sketch.shut(dice, fits, |sketch, node| sketch.offer(node, "cpu", "2900m"));
}

/// The old node has `disk: ssd`, where the first pod wants to be; the others have this or that.
fn disks(sketch: &mut Sketch, others: &str) {
    sketch.pod["nodeSelector"] = selector(sketch, "ssd");
    sketch.label(OLD, "disk", "ssd");
    for node in sketch.new_nodes() {
        sketch.label(node, "disk", others);
    }
}

fn selector(sketch: &Sketch, disk: &str) -> Value {
    json!({ NAMESPACE_LABEL: sketch.namespace, "disk": disk })
}

fn asks_for(sketch: &Sketch, disk: &str) -> Value {
    json!({ "spec": { "template": { "spec": { "nodeSelector": selector(sketch, disk) } } } })
}

/// A StatefulSet's new template counts when a pod is made again.
pub(super) fn on_delete(sketch: &mut Sketch, _: &mut Dice, fits: bool) {
    sketch.kind = Kind::StatefulSet;
    sketch.way = Way::After;
    sketch.owner["updateStrategy"] = json!({ "type": "OnDelete" });
    disks(sketch, if fits { "hdd" } else { "ssd" });
    sketch.later = Some(asks_for(sketch, "hdd"));
}

/// Below the partition the template before the last one does.
pub(super) fn partition(sketch: &mut Sketch, _: &mut Dice, fits: bool) {
    sketch.kind = Kind::StatefulSet;
    sketch.way = Way::After;
    sketch.owner["updateStrategy"] = json!({ "type": "RollingUpdate", "rollingUpdate": { "partition": 1 } });
    disks(sketch, if fits { "ssd" } else { "hdd" });
    sketch.later = Some(asks_for(sketch, "hdd"));
}

/// Nobody replaces the pods of a ReplicaSet whose template was edited.
pub(super) fn edited(sketch: &mut Sketch, _: &mut Dice, fits: bool) {
    sketch.kind = Kind::ReplicaSet;
    disks(sketch, if fits { "hdd" } else { "ssd" });
    sketch.later = Some(asks_for(sketch, "hdd"));
}

/// Somebody labelled the pod that runs, and others keep away from one label or the other.
pub(super) fn own_labels(sketch: &mut Sketch, dice: &mut Dice, fits: bool) {
    sketch.labels["side"] = json!("back");
    sketch.in_life = vec![json!({ "op": "replace", "path": "/metadata/labels/side", "value": "front" })];
    let shuns = |side: &str| {
        let term = json!({ "topologyKey": HOST, "labelSelector": { "matchLabels": { "side": side } } });
        json!({ "affinity": { "podAntiAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [term] } } })
    };
    for node in sketch.new_nodes() {
        sketch.neighbour(node, json!({ "app": "shy" }), shuns("front"));
    }
    sketch.shut(dice, fits, |sketch, node| sketch.neighbour(node, json!({ "app": "shy" }), shuns("back")));
}

/// Tolerations can be added to a pod that runs; its replacement does not have them.
pub(super) fn own_toleration(sketch: &mut Sketch, dice: &mut Dice, fits: bool) {
    let toleration = json!({ "key": "dedicated", "operator": "Exists" });
    sketch.in_life = vec![json!({ "op": "add", "path": "/spec/tolerations/-", "value": toleration })];
    sketch.shut(dice, fits, |sketch, node| sketch.taint(node, "dedicated", "NoSchedule"));
}

/// A gate that was taken away from the pod that runs; or that its owner does not ask for any more.
pub(super) fn gates(sketch: &mut Sketch, _: &mut Dice, fits: bool) {
    sketch.kind = Kind::ReplicaSet;
    sketch.pod["schedulingGates"] = json!([{ "name": "handover.test/wait" }]);
    sketch.at_birth = vec![json!({ "op": "remove", "path": "/spec/schedulingGates" })];
    if fits {
        sketch.later = Some(json!({ "spec": { "template": { "spec": { "schedulingGates": null } } } }));
    }
}

/// Room that a pod of lower priority has: the scheduler takes it, unless the class forbids that.
pub(super) fn priority(sketch: &mut Sketch, _: &mut Dice, fits: bool) {
    let name = format!("{}-urgent", sketch.namespace);
    let policy = if fits { "PreemptLowerPriority" } else { "Never" };
    sketch.first.push(json!({
        "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": { "name": name },
        "value": 1000, "preemptionPolicy": policy,
    }));
    sketch.pod["priorityClassName"] = json!(name);
    sketch.asks(json!({ "requests": { "cpu": "3" } }));
    for node in sketch.new_nodes() {
        sketch.fill(node, &json!({ "cpu": "2" }));
    }
}

fn runtime(sketch: &mut Sketch, more: &Value) {
    let name = format!("{}-sandbox", sketch.namespace);
    let mut class = json!({
        "apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": { "name": name }, "handler": "sandbox",
    });
    super::super::sketch::merge(&mut class, more);
    sketch.first.push(class);
    sketch.pod["runtimeClassName"] = json!(name);
}

/// What the sandbox of a pod takes besides its containers.
pub(super) fn overhead(sketch: &mut Sketch, dice: &mut Dice, fits: bool) {
    runtime(sketch, &json!({ "overhead": { "podFixed": { "cpu": "3" } } }));
    sketch.shut(dice, fits, |sketch, node| sketch.offer(node, "cpu", "3400m"));
}

/// A class of runtimes says on which nodes they are, and which taints are for them.
pub(super) fn runtime_nodes(sketch: &mut Sketch, dice: &mut Dice, fits: bool) {
    let tolerations = json!([{ "key": "sandboxed", "operator": "Exists" }]);
    runtime(sketch, &json!({ "scheduling": { "nodeSelector": { "sandbox": "yes" }, "tolerations": tolerations } }));
    sketch.way = Way::After;
    for node in sketch.nodes.keys().copied().collect::<Vec<_>>() {
        sketch.label(node, "sandbox", "yes");
        sketch.taint(node, "sandboxed", "NoSchedule");
    }
    sketch.shut(dice, fits, |sketch, node| sketch.label(node, "sandbox", "no"));
    assert!(sketch.pod["tolerations"].to_string().contains(WORLD), "the pod's own tolerations stay");
}
