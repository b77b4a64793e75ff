//! What storage there can be: classes, drivers, what nodes can attach, how much room is left.

use serde_json::{Value, json};

use super::ZONES;
use super::dice::Dice;

/// The driver that most volumes come from.
pub(super) const DRIVER: &str = "csi.example.com";
/// One more.
pub(super) const OTHER_DRIVER: &str = "other.example.com";
/// The drivers that have taken over what was once part of Kubernetes.
const AWS_DRIVER: &str = "ebs.csi.aws.com";
pub(super) const GCE_DRIVER: &str = "pd.csi.storage.gke.io";

/// The classes with their provisioners, and whether they wait for a pod.
const CLASSES: [(&str, &str, bool); 6] = [
    ("wait", DRIVER, true),
    ("zonal", DRIVER, true),
    ("now", DRIVER, false),
    ("local", "kubernetes.io/no-provisioner", true),
    ("gce", "kubernetes.io/gce-pd", true),
    ("other", OTHER_DRIVER, true),
];

/// Draws classes.
pub(super) fn classes(dice: &mut Dice, objects: &mut Vec<Value>) {
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
            let terms: Vec<_> = (0..=dice.below(2))
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

/// Draws drivers, and what each node has of them.
pub(super) fn drivers(dice: &mut Dice, nodes: &[String], objects: &mut Vec<Value>) {
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

/// Draws how much room is left.
pub(super) fn capacities(dice: &mut Dice, objects: &mut Vec<Value>) {
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
