//! Storage: classes, drivers and what nodes can attach, volumes, claims in all their states.

use serde_json::{Map, Value, json};

use super::dice::Dice;
use super::nodes::region;
use super::{NAMESPACES, ZONES};

/// The driver that most volumes come from.
const DRIVER: &str = "csi.example.com";
const OTHER_DRIVER: &str = "other.example.com";
const AWS_DRIVER: &str = "ebs.csi.aws.com";
const GCE_DRIVER: &str = "pd.csi.storage.gke.io";
/// The annotation that the volume controller sets once a claim and its volume belong to each other.
const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
const SIZES: [&str; 5] = ["1Gi", "5Gi", "10G", "20e9", "1000Mi"];

/// The storage of a cluster.
pub(super) struct Storage {
    pub(super) objects: Vec<Value>,
    /// The claims, by namespace and name.
    pub(super) claims: Vec<(String, String)>,
}

/// Draws the storage of a cluster with these nodes.
pub(super) fn draw(dice: &mut Dice, nodes: &[String]) -> Storage {
    let mut storage = Storage { objects: vec![], claims: vec![] };
    classes(dice, &mut storage.objects);
    drivers(dice, nodes, &mut storage.objects);
    capacities(dice, &mut storage.objects);
    for namespace in NAMESPACES {
        let count = if namespace == "shop" { 5 + dice.below(5) } else { 1 + dice.below(3) };
        for number in 0..count {
            let name = format!("claim-{number}");
            claim(dice, namespace, &name, nodes, &mut storage.objects);
            storage.claims.push((namespace.to_owned(), name));
        }
    }
    for number in 0..dice.below(5) {
        storage.objects.push(free_volume(dice, number, nodes));
    }
    storage
}

/// The classes with their provisioners; those without `false` wait for a pod.
const CLASSES: [(&str, &str, bool); 6] = [
    ("wait", DRIVER, true),
    ("zonal", DRIVER, true),
    ("now", DRIVER, false),
    ("local", "kubernetes.io/no-provisioner", true),
    ("gce", "kubernetes.io/gce-pd", true),
    ("other", OTHER_DRIVER, true),
];

fn classes(dice: &mut Dice, objects: &mut Vec<Value>) {
    for (name, provisioner, waits) in CLASSES {
        if !dice.chance(94) {
            continue;
        }
        let mut class = json!({
            "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": name}, "provisioner": provisioner,
        });
        if waits {
            class["volumeBindingMode"] = json!("WaitForFirstConsumer");
        }
        if name == "zonal" {
            let terms: Vec<_> = (0..1 + dice.below(2))
                .map(|_| {
                    json!({"matchLabelExpressions": [
                        {"key": "topology.kubernetes.io/zone", "values": dice.at_least_one(&ZONES)},
                    ]})
                })
                .collect();
            let mut terms = terms;
            if dice.chance(20) {
                let more = json!({"key": "topology.kubernetes.io/region", "values": ["eu-north1"]});
                terms[0]["matchLabelExpressions"].as_array_mut().expect("it is one").push(more);
            }
            terms.dedup();
            class["allowedTopologies"] = terms.into();
        }
        objects.push(class);
    }
}

fn drivers(dice: &mut Dice, nodes: &[String], objects: &mut Vec<Value>) {
    for name in [DRIVER, OTHER_DRIVER] {
        if dice.chance(80) {
            let mut driver =
                json!({"apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver", "metadata": {"name": name}, "spec": {}});
            if dice.chance(40) {
                driver["spec"]["storageCapacity"] = json!(true);
            }
            if dice.chance(30) {
                driver["spec"]["preventPodSchedulingIfMissing"] = json!(dice.chance(80));
            }
            objects.push(driver);
        }
    }
    let scarce = dice.chance(40);
    let migrates = dice.chance(40);
    for node in nodes {
        if !dice.chance(88) {
            continue;
        }
        let mut installed = vec![];
        for name in [DRIVER, OTHER_DRIVER, GCE_DRIVER, AWS_DRIVER] {
            if !dice.chance(if name == DRIVER { 88 } else { 50 }) {
                continue;
            }
            let mut driver = json!({"name": name, "nodeID": node, "topologyKeys": []});
            if dice.chance(if scarce { 85 } else { 40 }) {
                let counts: &[i32] = if scarce { &[0, 1, 1, 2] } else { &[2, 4, 26] };
                driver["allocatable"] = json!({"count": dice.pick(counts)});
            } else if dice.chance(20) {
                driver["allocatable"] = json!({});
            }
            installed.push(driver);
        }
        let mut csi_node = json!({
            "apiVersion": "storage.k8s.io/v1", "kind": "CSINode", "metadata": {"name": node}, "spec": {"drivers": installed},
        });
        if migrates && dice.chance(80) {
            csi_node["metadata"]["annotations"] = json!({
                "storage.alpha.kubernetes.io/migrated-plugins": "kubernetes.io/aws-ebs,kubernetes.io/azure-disk,kubernetes.io/gce-pd",
            });
        }
        objects.push(csi_node);
    }
}

fn capacities(dice: &mut Dice, objects: &mut Vec<Value>) {
    for number in 0..dice.below(6) {
        let mut capacity = json!({
            "apiVersion": "storage.k8s.io/v1", "kind": "CSIStorageCapacity",
            "metadata": {"name": format!("capacity-{number}"), "namespace": "lab"},
            "storageClassName": dice.pick(&["wait", "wait", "zonal", "other"]),
        });
        // Without a topology it is for no node.
        if dice.chance(90) {
            capacity["nodeTopology"] = if dice.chance(30) {
                json!({})
            } else {
                json!({"matchLabels": {"topology.kubernetes.io/zone": dice.pick(&ZONES)}})
            };
        }
        if dice.chance(85) {
            capacity["capacity"] = json!(dice.pick(&["2Gi", "8Gi", "100Gi", "0"]));
        }
        if dice.chance(30) {
            capacity["maximumVolumeSize"] = json!(dice.pick(&["1Gi", "50Gi"]));
        }
        objects.push(capacity);
    }
}

fn claim(dice: &mut Dice, namespace: &str, name: &str, nodes: &[String], objects: &mut Vec<Value>) {
    if dice.chance(55) {
        bound_claim(dice, namespace, name, nodes, objects);
    } else {
        objects.push(unbound_claim(dice, namespace, name, nodes));
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

fn unbound_claim(dice: &mut Dice, namespace: &str, name: &str, nodes: &[String]) -> Value {
    let class = *dice.pick(&[
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
    ]);
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
    claim
}

/// Draws a volume without a claim.
fn volume(dice: &mut Dice, name: &str, class: &str, nodes: &[String]) -> Value {
    let mut volume = json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name},
        "spec": {"capacity": {"storage": dice.pick(&SIZES)}, "accessModes": ["ReadWriteOnce"], "storageClassName": class},
    });
    let mut source = dice.below(10);
    if class == "local" {
        source = 9;
    }
    match source {
        0..=5 => {
            // Two volumes may be one disk.
            let handle = if dice.chance(85) { format!("disk-{name}") } else { "disk-shared".to_owned() };
            let driver = *dice.pick(&[DRIVER, DRIVER, DRIVER, OTHER_DRIVER]);
            volume["spec"]["csi"] = json!({"driver": driver, "volumeHandle": handle});
        }
        6 => volume["spec"]["gcePersistentDisk"] = json!({"pdName": format!("disk-{name}")}),
        7 => volume["spec"]["awsElasticBlockStore"] = json!({"volumeID": format!("vol-{name}")}),
        8 => volume["spec"]["nfs"] = json!({"server": "files.example.com", "path": "/"}),
        _ => {
            volume["spec"]["local"] = json!({"path": "/mnt/disk"});
            volume["spec"]["nodeAffinity"] = reachable_from(dice, nodes, true);
        }
    }
    if source <= 5 && dice.chance(40) {
        volume["spec"]["nodeAffinity"] = reachable_from(dice, nodes, false);
    }
    if dice.chance(if source <= 5 { 40 } else { 50 }) {
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
    let terms: Vec<_> = (0..1 + dice.below(2))
        .map(|_| {
            let operator = *dice.pick(&["In", "In", "In", "NotIn"]);
            let mut expressions = vec![json!({"key": "topology.kubernetes.io/zone", "operator": operator, "values": dice.at_least_one(&ZONES)})];
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

fn free_volume(dice: &mut Dice, number: usize, nodes: &[String]) -> Value {
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

fn attachments(dice: &mut Dice, volume: &Value, nodes: &[String], objects: &mut Vec<Value>) {
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
            objects.push(unbound_claim(dice, namespace, name, nodes));
        }
        if let Some(claim) = objects.last_mut()
            && dice.chance(90)
        {
            claim["metadata"]["ownerReferences"] = json!([owner]);
        }
    }
    (spec, objects)
}
