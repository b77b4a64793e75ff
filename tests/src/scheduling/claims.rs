//! Claims in all their states, with the storage that they are about.

use serde_json::{Value, json};

use super::NAMESPACES;
use super::dice::Dice;
use super::drivers::{capacities, classes, drivers};
use super::persistent_volumes::{SIZES, attachments, free_volume, volume};

/// The annotation that the volume controller sets once a claim and its volume belong to each other.
const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";

/// The storage of a cluster.
pub(super) struct Storage {
    pub(super) objects: Vec<Value>,
    /// The claims, by namespace and name.
    pub(super) claims: Vec<(String, String)>,
}

/// Returns the namespace and name of an object, if it is a claim.
pub(super) fn key_of(object: &Value) -> Option<(String, String)> {
    let text = |path: &str| object.pointer(path).and_then(Value::as_str).map(ToOwned::to_owned);
    (object["kind"] == "PersistentVolumeClaim").then_some((text("/metadata/namespace")?, text("/metadata/name")?))
}

/// Draws the storage of a cluster with these nodes.
pub(super) fn draw(dice: &mut Dice, nodes: &[String]) -> Storage {
    let mut storage = Storage { objects: vec![], claims: vec![] };
    classes(dice, &mut storage.objects);
    drivers(dice, nodes, &mut storage.objects);
    capacities(dice, &mut storage.objects);
    // Nothing makes volumes: claims compete for those that are there.
    let made_by_hand = dice.chance(35);
    for namespace in NAMESPACES {
        let count = if namespace == "shop" { 5 + dice.below(5) } else { 1 + dice.below(3) };
        for number in 0..count {
            let name = format!("claim-{number}");
            if made_by_hand && dice.chance(75) {
                storage.objects.push(unbound_claim(dice, namespace, &name, "local", nodes));
            } else {
                claim(dice, namespace, &name, nodes, &mut storage.objects);
            }
            storage.claims.push((namespace.to_owned(), name));
        }
    }
    let free = dice.below(5) + if made_by_hand { 4 + dice.below(6) } else { 0 };
    for number in 0..free {
        storage.objects.push(free_volume(dice, number, nodes));
    }
    storage
}

/// The classes of claims that have no volume.
const UNBOUND: [&str; 18] = [
    "wait",
    "wait",
    "wait",
    "wait",
    "zonal",
    "zonal",
    "zonal",
    "local",
    "local",
    "local",
    "local",
    "gce",
    "gce",
    "other",
    "other",
    "now",
    "gone-class",
    "",
];

fn claim(dice: &mut Dice, namespace: &str, name: &str, nodes: &[String], objects: &mut Vec<Value>) {
    if dice.chance(55) {
        bound_claim(dice, namespace, name, nodes, objects);
    } else {
        let class = *dice.pick(&UNBOUND);
        objects.push(unbound_claim(dice, namespace, name, class, nodes));
    }
}

fn new_claim(dice: &mut Dice, namespace: &str, name: &str, class: &str) -> Value {
    let mode = *dice.pick(&["ReadWriteOnce", "ReadWriteOnce", "ReadWriteOncePod", "ReadWriteMany"]);
    let mut claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": namespace, "uid": format!("{namespace}-{name}")},
        "spec": {"accessModes": [mode], "resources": {"requests": {"storage": dice.pick(&SIZES)}}},
    });
    if dice.chance(96) {
        claim["spec"]["storageClassName"] = json!(class);
    } else if dice.chance(50) {
        claim["metadata"]["annotations"]["volume.beta.kubernetes.io/storage-class"] = json!(class);
    }
    if dice.chance(3) {
        claim["metadata"]["deletionTimestamp"] = json!("2026-11-28T07:00:00Z");
        claim["metadata"]["finalizers"] = json!(["kubernetes.io/pvc-protection"]);
    }
    claim
}

fn bound_claim(dice: &mut Dice, namespace: &str, name: &str, nodes: &[String], objects: &mut Vec<Value>) {
    let volume_name = format!("pv-{namespace}-{name}");
    let class = *dice.pick(&["wait", "now", "zonal", "local", "gone-class"]);
    let mut claim = new_claim(dice, namespace, name, class);
    claim["spec"]["volumeName"] = json!(volume_name);
    claim["status"] = json!({"phase": if dice.chance(96) { "Bound" } else { "Lost" }});
    if dice.chance(95) {
        claim["metadata"]["annotations"][BIND_COMPLETED] = json!("yes");
    }
    if dice.chance(95) {
        let mut volume = volume(dice, &volume_name, class, nodes);
        volume["spec"]["accessModes"] = claim["spec"]["accessModes"].clone();
        volume["spec"]["claimRef"] = json!({"kind": "PersistentVolumeClaim", "namespace": namespace, "name": name, "uid": claim["metadata"]["uid"]});
        volume["status"] = json!({"phase": "Bound"});
        attachments(dice, &volume, nodes, objects);
        objects.push(volume);
    }
    objects.push(claim);
}

fn unbound_claim(dice: &mut Dice, namespace: &str, name: &str, class: &str, nodes: &[String]) -> Value {
    let mut claim = new_claim(dice, namespace, name, class);
    claim["status"] = json!({"phase": "Pending"});
    if dice.chance(8) {
        let node = if dice.chance(90) { dice.pick(nodes).as_str() } else { "node-that-was" };
        claim["metadata"]["annotations"]["volume.kubernetes.io/selected-node"] = json!(node);
    }
    if dice.chance(12) {
        claim["spec"]["selector"] = json!({"matchLabels": {"tier": "fast"}});
    }
    if dice.chance(8) {
        claim["spec"]["volumeMode"] = json!("Block");
    }
    if dice.chance(6) {
        claim["spec"]["volumeAttributesClassName"] = json!("gold");
    }
    claim
}

/// Draws the spec of the claim of a generic ephemeral volume, and the claim itself if its controller has made it.
pub(super) fn ephemeral(
    dice: &mut Dice,
    namespace: &str,
    name: &str,
    owner: &Value,
    nodes: &[String],
) -> (Value, Vec<Value>) {
    let class = *dice.pick(&["wait", "wait", "zonal", "other"]);
    let spec = json!({
        "accessModes": ["ReadWriteOnce"], "storageClassName": class, "resources": {"requests": {"storage": "1Gi"}},
    });
    let mut objects = vec![];
    if dice.chance(85) {
        if dice.chance(50) {
            bound_claim(dice, namespace, name, nodes, &mut objects);
        } else {
            let class = *dice.pick(&UNBOUND);
            objects.push(unbound_claim(dice, namespace, name, class, nodes));
        }
        if let Some(claim) = objects.last_mut()
            && dice.chance(90)
        {
            claim["metadata"]["ownerReferences"] = json!([owner]);
        }
    }
    (spec, objects)
}
