//! PersistentVolumes: of drivers, of plugins that drivers have taken over, local ones; free, bound and attached.

use serde_json::{Map, Value, json};

use super::dice::Dice;
use super::drivers::{DRIVER, GCE_DRIVER, OTHER_DRIVER};
use super::nodes::region;
use super::{ZONES, volumes};

/// How large volumes and claims are.
pub(super) const SIZES: [&str; 5] = ["1Gi", "5Gi", "10G", "20e9", "1000Mi"];

/// Draws a volume without a claim.
pub(super) fn volume(dice: &mut Dice, name: &str, class: &str, nodes: &[String]) -> Value {
    let mut volume = json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name},
        "spec": {"capacity": {"storage": dice.pick(&SIZES)}, "accessModes": ["ReadWriteOnce"], "storageClassName": class},
    });
    let mut source = dice.below(10);
    if class == "local" && dice.chance(65) {
        source = 9;
    }
    match source {
        0..=4 => {
            // Two volumes may be one disk.
            let handle = if dice.chance(85) { format!("disk-{name}") } else { "disk-shared".to_owned() };
            let driver = *dice.pick(&[DRIVER, DRIVER, DRIVER, OTHER_DRIVER]);
            volume["spec"]["csi"] = json!({"driver": driver, "volumeHandle": handle});
        }
        5 | 6 => {
            // Plugins that were once part of Kubernetes.
            for (field, source) in volumes::in_tree_disk(dice, name) {
                volume["spec"][field] = source;
            }
            if dice.chance(35) {
                volume["spec"]["nodeAffinity"] = reachable_from(dice, nodes, false);
            }
        }
        7 => volume["spec"]["nfs"] = json!({"server": "files.example.com", "path": "/"}),
        _ => {
            volume["spec"]["local"] = json!({"path": "/mnt/disk"});
            let is_on_one_node = dice.chance(55);
            volume["spec"]["nodeAffinity"] = reachable_from(dice, nodes, is_on_one_node);
        }
    }
    if source <= 4 && dice.chance(40) {
        volume["spec"]["nodeAffinity"] = reachable_from(dice, nodes, false);
    }
    if dice.chance(4) {
        volume["spec"].as_object_mut().expect("it is one").remove("storageClassName");
        volume["metadata"]["annotations"]["volume.beta.kubernetes.io/storage-class"] = json!(class);
    }
    if dice.chance(60) {
        volume["metadata"]["labels"] = zone_labels(dice);
    }
    volume
}

fn reachable_from(dice: &mut Dice, nodes: &[String], one_node: bool) -> Value {
    if one_node || dice.chance(25) {
        let node = dice.pick(nodes);
        return json!({"required": {"nodeSelectorTerms": [
            {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]},
        ]}});
    }
    let terms: Vec<_> = (0..=dice.below(2))
        .map(|_| {
            let operator = *dice.pick(&["In", "In", "In", "NotIn"]);
            let key =
                if dice.chance(90) { "topology.kubernetes.io/zone" } else { "failure-domain.beta.kubernetes.io/zone" };
            let mut expressions = vec![json!({"key": key, "operator": operator, "values": dice.at_least_one(&ZONES)})];
            if dice.chance(15) {
                expressions.push(json!({"key": "rack", "operator": "Exists"}));
            }
            json!({"matchExpressions": expressions})
        })
        .collect();
    json!({"required": {"nodeSelectorTerms": terms}})
}

fn zone_labels(dice: &mut Dice) -> Value {
    let mut labels = Map::new();
    let zone = *dice.pick(&ZONES);
    let prefix = if dice.chance(80) { "topology.kubernetes.io" } else { "failure-domain.beta.kubernetes.io" };
    if dice.chance(90) {
        // A regional disk is in several zones.
        let value = if dice.chance(25) { "eu-north1-a__eu-north1-b" } else { zone };
        labels.insert(format!("{prefix}/zone"), value.into());
    }
    if dice.chance(50) {
        labels.insert(format!("{prefix}/region"), region(zone).into());
    }
    labels.insert("tier".into(), "fast".into());
    labels.into()
}

/// Draws a volume that no claim has, perhaps reserved for one.
pub(super) fn free_volume(dice: &mut Dice, number: usize, nodes: &[String]) -> Value {
    let class = *dice.pick(&["local", "local", "local", "wait", "zonal"]);
    let mut volume = volume(dice, &format!("free-{number}"), class, nodes);
    if dice.chance(40) && volume["metadata"].get("labels").is_none() {
        volume["metadata"]["labels"] = json!({"tier": "fast"});
    }
    volume["spec"]["accessModes"] = json!(dice.at_least_one(&["ReadWriteOnce", "ReadWriteMany"]));
    if dice.chance(20) {
        volume["spec"]["accessModes"] = json!(["ReadWriteOncePod"]);
    }
    if dice.chance(8) {
        volume["spec"]["volumeMode"] = json!("Block");
    }
    if dice.chance(8) && volume.pointer("/spec/csi").is_some() {
        volume["spec"]["volumeAttributesClassName"] = json!("gold");
    }
    if dice.chance(15) {
        // Someone has reserved it for a claim, who may come from another time.
        let mut reference =
            json!({"kind": "PersistentVolumeClaim", "namespace": "shop", "name": format!("claim-{}", dice.below(5))});
        if dice.chance(40) {
            reference["uid"] = json!("of-another-time");
        }
        volume["spec"]["claimRef"] = reference;
    }
    if dice.chance(6) {
        volume["metadata"]["deletionTimestamp"] = json!("2026-11-28T07:00:00Z");
        volume["metadata"]["finalizers"] = json!(["kubernetes.io/pv-protection"]);
    }
    volume["status"] =
        json!({"phase": dice.pick(&["Available", "Available", "Available", "Released", "Failed", "Pending"])});
    volume
}

/// Draws where a volume is attached.
pub(super) fn attachments(dice: &mut Dice, volume: &Value, nodes: &[String], objects: &mut Vec<Value>) {
    if !dice.chance(35) {
        return;
    }
    let name = volume["metadata"]["name"].as_str().unwrap_or_default();
    let attacher = volume.pointer("/spec/csi/driver").and_then(Value::as_str).unwrap_or(GCE_DRIVER);
    objects.push(json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttachment", "metadata": {"name": format!("attached-{name}")},
        "spec": {"attacher": attacher, "nodeName": dice.pick(nodes), "source": {"persistentVolumeName": name}},
        "status": {"attached": true},
    }));
}
