//! Volumes that are there already, and where they can be reached from.

use e2e::scheduling::dice::Dice;
use serde_json::{Value, json};

use super::super::sketch::{Kind, OLD, Sketch, Way, ZONE};

/// A volume and the claim that is bound to it.
fn add_claim(sketch: &mut Sketch, claim: &str, mode: &str, volume: Value, labels: &Value) {
    let name = format!("{}-{claim}", sketch.namespace);
    let size = json!({ "storage": "1Gi" });
    let mut spec = volume;
    spec["capacity"] = size.clone();
    spec["accessModes"] = json!([mode]);
    spec["storageClassName"] = json!("");
    spec["claimRef"] = json!({ "namespace": sketch.namespace, "name": claim });
    sketch.first.push(json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": { "name": name, "labels": labels }, "spec": spec,
    }));
    sketch.first.push(json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": { "name": claim },
        "spec": {
            "accessModes": [mode], "storageClassName": "", "volumeName": name, "resources": { "requests": size },
        },
    }));
}

fn mounts(claim: &str) -> Value {
    json!([{ "name": "data", "persistentVolumeClaim": { "claimName": claim } }])
}

/// A volume on disks of zone 1.
fn in_zone(sketch: &Sketch) -> Value {
    let here = json!({ "key": ZONE, "operator": "In", "values": [sketch.zone(1)] });
    json!({
        "hostPath": { "path": "/data" },
        "nodeAffinity": { "required": { "nodeSelectorTerms": [{ "matchExpressions": [here] }] } },
    })
}

/// All nodes are in zone 1, except those that are shut.
fn zones(sketch: &mut Sketch, dice: &mut Dice, fits: bool) {
    let (here, there) = (sketch.zone(1), sketch.zone(2));
    for node in sketch.new_nodes() {
        sketch.label(node, ZONE, &here);
    }
    sketch.shut(dice, fits, |sketch, node| sketch.label(node, ZONE, &there));
}

/// A Deployment's claim whose volume is reached from one zone.
pub(super) fn bound_claim(sketch: &mut Sketch, dice: &mut Dice, fits: bool) {
    let volume = in_zone(sketch);
    add_claim(sketch, "data", "ReadWriteMany", volume, &json!({}));
    sketch.pod["volumes"] = mounts("data");
    zones(sketch, dice, fits);
}

/// A claim that a StatefulSet made: its template does not name it.
pub(super) fn claim_of_set(sketch: &mut Sketch, dice: &mut Dice, fits: bool) {
    let volume = in_zone(sketch);
    add_claim(sketch, "data-web-0", "ReadWriteOnce", volume, &json!({}));
    sketch.kind = Kind::StatefulSet;
    sketch.way = Way::After;
    sketch.owner["volumeClaimTemplates"] = json!([{
        "metadata": { "name": "data" },
        "spec": {
            "accessModes": ["ReadWriteOnce"], "storageClassName": "", "resources": { "requests": { "storage": "1Gi" } },
        },
    }]);
    zones(sketch, dice, fits);
}

/// A claim that one pod may use at a time is free only when the first pod has gone.
pub(super) fn one_pod_claim(sketch: &mut Sketch, _: &mut Dice, fits: bool) {
    let csi = json!({ "driver": "csi.example.com", "volumeHandle": sketch.namespace });
    add_claim(sketch, "data", "ReadWriteOncePod", json!({ "csi": csi }), &json!({}));
    sketch.pod["volumes"] = mounts("data");
    sketch.way = if fits { Way::After } else { Way::Beside };
}

/// A volume that says its zone in a label.
pub(super) fn zoned_volume(sketch: &mut Sketch, dice: &mut Dice, fits: bool) {
    let labels = json!({ ZONE: sketch.zone(1) });
    add_claim(sketch, "data", "ReadWriteMany", json!({ "hostPath": { "path": "/data" } }), &labels);
    sketch.pod["volumes"] = mounts("data");
    zones(sketch, dice, fits);
}

/// A driver attaches so many volumes to a node.
pub(super) fn volume_limit(sketch: &mut Sketch, dice: &mut Dice, fits: bool) {
    let driver = format!("{}.csi.example.com", sketch.namespace);
    let volume = |name: &str| json!({ "csi": { "driver": driver, "volumeHandle": name } });
    add_claim(sketch, "data", "ReadWriteMany", volume("data"), &json!({}));
    sketch.pod["volumes"] = mounts("data");
    let mut most: Vec<(&'static str, u32)> = vec![(OLD, 9)];
    for node in sketch.new_nodes() {
        let claim = format!("data-{node}");
        add_claim(sketch, &claim, "ReadWriteMany", volume(&claim), &json!({}));
        sketch.neighbour(node, json!({ "app": "other" }), json!({ "volumes": mounts(&claim) }));
    }
    let names = sketch.new_nodes();
    let open = *dice.pick(&names);
    most.extend(names.into_iter().map(|node| (node, if fits && node == open { 2 } else { 1 })));
    for (node, count) in most {
        let name = sketch.node_name(node);
        sketch.first.push(json!({
            "apiVersion": "storage.k8s.io/v1", "kind": "CSINode", "metadata": { "name": name },
            "spec": { "drivers": [{ "name": driver, "nodeID": name, "allocatable": { "count": count } }] },
        }));
    }
}

/// A disk that a pod names itself, and that another pod has mounted.
pub(super) fn disk(sketch: &mut Sketch, dice: &mut Dice, fits: bool) {
    let disk = |number: u32| {
        json!([{ "name": "disk", "iscsi": {
            "iqn": format!("iqn.2001-04.com.example:disk-{number}"), "lun": 0, "targetPortal": "10.0.0.1:3260",
        } }])
    };
    sketch.pod["volumes"] = disk(1);
    for node in sketch.new_nodes() {
        sketch.neighbour(node, json!({ "app": "other" }), json!({ "volumes": disk(2) }));
    }
    sketch.shut(dice, fits, |sketch, node| {
        sketch.neighbour(node, json!({ "app": "other" }), json!({ "volumes": disk(1) }));
    });
}
