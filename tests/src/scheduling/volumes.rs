//! The volumes of pods: claims, ephemeral claims, and the disks that pods named themselves before there were claims.

use serde_json::{Map, Value, json};

use super::claims;
use super::dice::Dice;

/// Draws disks that are named in the pod itself. There are few, so that pods meet at them.
pub(super) fn disks(dice: &mut Dice) -> Vec<Value> {
    let mut disks: Vec<Value> = vec![];
    for _ in 0..=dice.below(2) {
        let disk = disk(dice);
        if !disks.contains(&disk) {
            disks.push(disk);
        }
    }
    disks
}

fn disk(dice: &mut Dice) -> Value {
    let read_only = dice.chance(40);
    let number = dice.below(2);
    let mut disk = match dice.below(6) {
        0..=3 => in_tree_disk(dice, &number.to_string()).into(),
        4 => {
            let monitors = dice.at_least_one(&["mon-a", "mon-b", "mon-c"]);
            let mut rbd = json!({"image": format!("image-{number}"), "monitors": monitors});
            // There is a pool by default.
            if dice.chance(50) {
                rbd["pool"] = json!(dice.pick(&["rbd", "fast"]));
            }
            json!({"rbd": rbd})
        }
        _ => json!({"iscsi": {
            "iqn": format!("iqn.2001-04.com.example:disk-{number}"), "lun": 0,
            "targetPortal": dice.pick(&["10.0.0.1:3260", "10.0.0.2:3260"]),
        }}),
    };
    if read_only && let Some(source) = disk.as_object_mut().and_then(|disk| disk.values_mut().next()) {
        source["readOnly"] = json!(true);
    }
    disk
}

/// Draws a disk in the words of a plugin that was once part of Kubernetes: a field of volumes, and what is in it.
pub(super) fn in_tree_disk(dice: &mut Dice, name: &str) -> Map<String, Value> {
    let (plugin, source) = match dice.below(9) {
        0..=3 => ("gcePersistentDisk", json!({"pdName": format!("disk-{name}")})),
        4 | 5 => {
            let zone = *dice.pick(&["", "", "aws:///", "aws://eu-north1-a/"]);
            ("awsElasticBlockStore", json!({"volumeID": format!("{zone}vol-{name}")}))
        }
        6 => {
            let mut source = json!({"diskName": format!("disk-{name}"), "diskURI": format!("https://disks.example.com/disk-{name}.vhd")});
            if dice.chance(75) {
                let uri = format!("/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/disks/disk-{name}");
                source["diskURI"] = json!(uri);
                // Without it the disk is of a kind that the driver does not know.
                source["kind"] = json!("Managed");
            }
            ("azureDisk", source)
        }
        7 => ("cinder", json!({"volumeID": format!("disk-{name}")})),
        _ => ("portworxVolume", json!({"volumeID": format!("disk-{name}")})),
    };
    Map::from_iter([(plugin.to_owned(), source)])
}

/// Draws volumes that are claims of the pod's namespace.
pub(super) fn of_claims(dice: &mut Dice, namespace: &str, claims: &[(String, String)]) -> Vec<Value> {
    let own: Vec<&String> = claims.iter().filter(|(owner, _)| owner == namespace).map(|(_, name)| name).collect();
    let mut volumes: Vec<Value> = vec![];
    for _ in 0..*dice.pick(&[1, 1, 1, 2, 3]) {
        let name = if own.is_empty() || dice.chance(3) { "no-such-claim" } else { dice.pick(&own).as_str() };
        let volume = json!({"persistentVolumeClaim": {"claimName": name}});
        if !volumes.contains(&volume) {
            volumes.push(volume);
        }
    }
    volumes
}

/// Adds these to a pod's spec, under names.
pub(super) fn add(spec: &mut Value, volumes: Vec<Value>) {
    let have = spec.get("volumes").and_then(Value::as_array).map_or(0, Vec::len);
    for (number, mut volume) in volumes.into_iter().enumerate() {
        volume["name"] = json!(format!("v{}", have + number));
        match spec.get_mut("volumes").and_then(Value::as_array_mut) {
            Some(volumes) => volumes.push(volume),
            None => spec["volumes"] = json!([volume]),
        }
    }
}

/// Adds a generic ephemeral volume to a pod; returns the objects that come with it.
pub(super) fn add_ephemeral(dice: &mut Dice, pod: &mut Value, nodes: &[String]) -> Vec<Value> {
    let name = pod["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let namespace = pod["metadata"]["namespace"].as_str().unwrap_or_default().to_owned();
    let have = pod["spec"].get("volumes").and_then(Value::as_array).map_or(0, Vec::len);
    let owner = json!({
        "apiVersion": "v1", "kind": "Pod", "name": name, "uid": pod["metadata"]["uid"], "controller": true,
    });
    let (spec, objects) = claims::ephemeral(dice, &namespace, &format!("{name}-v{have}"), &owner, nodes);
    add(&mut pod["spec"], vec![json!({"ephemeral": {"volumeClaimTemplate": {"spec": spec}}})]);
    objects
}
