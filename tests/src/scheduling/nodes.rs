//! Nodes: labels, taints, what they have to give, what they say they can do.

use serde_json::{Map, Value, json};

use super::ZONES;
use super::dice::Dice;
use super::tolerations::{EFFECTS, TAINT_KEYS, TAINT_VALUES};

/// Draws the names of 3 to 8 nodes.
pub(super) fn draw_names(dice: &mut Dice) -> Vec<String> {
    (0..3 + dice.below(6)).map(|number| format!("node-{number}")).collect()
}

/// Draws nodes with these names.
pub(super) fn draw(dice: &mut Dice, names: &[String]) -> Vec<Value> {
    let style = Style {
        cordons: if dice.chance(30) { 40 } else { 0 },
        taints: if dice.chance(40) { 35 } else { 0 },
        old_zone_labels: dice.chance(15),
        bare: dice.chance(10),
        crowded: if dice.chance(15) { 50 } else { 3 },
    };
    names.iter().map(|name| node(dice, name, &style)).collect()
}

/// What the nodes of a cluster have in common; numbers are of a hundred nodes.
struct Style {
    cordons: u64,
    taints: u64,
    /// Zones are told by the labels of before Kubernetes 1.17.
    old_zone_labels: bool,
    /// Nobody has labelled the nodes with zones.
    bare: bool,
    /// How many nodes take only a few pods.
    crowded: u64,
}

fn node(dice: &mut Dice, name: &str, style: &Style) -> Value {
    let unschedulable = dice.chance(style.cordons);
    let mut node = json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": labels(dice, name, style)},
        "spec": {},
        "status": {},
    });
    // Without `allocatable` all of the capacity is.
    let amounts = if dice.chance(90) { "allocatable" } else { "capacity" };
    node["status"][amounts] = amounts_of(dice, style);
    if unschedulable {
        node["spec"]["unschedulable"] = json!(true);
    }
    let taints = taints(dice, unschedulable, style);
    if !taints.is_empty() {
        node["spec"]["taints"] = taints.into();
    }
    if dice.chance(50) {
        node["status"]["declaredFeatures"] =
            json!(["GuaranteedQoSPodCPUResize", "RestartAllContainersOnContainerExits"]);
    } else if dice.chance(30) {
        node["status"]["declaredFeatures"] = json!(["GuaranteedQoSPodCPUResize"]);
    }
    node
}

fn labels(dice: &mut Dice, name: &str, style: &Style) -> Map<String, Value> {
    let mut labels = Map::new();
    if dice.chance(95) {
        // Some installers give names of their own.
        let hostname = if dice.chance(97) { name.to_owned() } else { format!("{name}.internal") };
        labels.insert("kubernetes.io/hostname".into(), hostname.into());
    }
    let zone = *dice.pick(&ZONES);
    if !style.bare && dice.chance(95) {
        labels.insert("topology.kubernetes.io/zone".into(), zone.into());
        if dice.chance(90) {
            labels.insert("topology.kubernetes.io/region".into(), region(zone).into());
        }
    }
    if style.old_zone_labels && dice.chance(80) {
        labels.insert("failure-domain.beta.kubernetes.io/zone".into(), zone.into());
        labels.insert("failure-domain.beta.kubernetes.io/region".into(), region(zone).into());
    }
    if !style.bare && dice.chance(40) {
        // What the drivers that clouds' disks have moved to say of zones.
        labels.insert("topology.gke.io/zone".into(), zone.into());
        labels.insert("topology.ebs.csi.aws.com/zone".into(), zone.into());
    }
    if dice.chance(85) {
        labels.insert("rack".into(), (*dice.pick(&["r1", "r2"])).into());
    }
    if dice.chance(60) {
        labels.insert("disk".into(), (*dice.pick(&["ssd", "hdd", ""])).into());
    }
    if dice.chance(60) {
        labels.insert("size".into(), (*dice.pick(&["1", "3", "5", "07", "1e1", "large"])).into());
    }
    labels
}

/// Returns the region of a zone, which its name begins with.
pub(super) fn region(zone: &str) -> &str {
    zone.rsplit_once('-').map_or(zone, |(region, _)| region)
}

fn amounts_of(dice: &mut Dice, style: &Style) -> Value {
    let mut amounts = Map::new();
    if dice.chance(97) {
        amounts.insert("cpu".into(), json!(dice.pick(&["4", "3920m", "8", "16", "2e0", "6500m"])));
    }
    amounts.insert("memory".into(), json!(dice.pick(&["8Gi", "16Gi", "8000000Ki", "16e9", "6G", "34359738368"])));
    let pods = if dice.chance(style.crowded) { ["3", "5", "8"] } else { ["110", "250", "64"] };
    if dice.chance(98) {
        amounts.insert("pods".into(), json!(dice.pick(&pods)));
    }
    if dice.chance(85) {
        amounts.insert("ephemeral-storage".into(), json!(dice.pick(&["20Gi", "100Gi", "50e9", "0"])));
    }
    if dice.chance(40) {
        amounts.insert("hugepages-2Mi".into(), json!(dice.pick(&["0", "64Mi", "128Mi"])));
    }
    if dice.chance(40) {
        amounts.insert("example.com/gpu".into(), json!(dice.pick(&["0", "1", "2", "4"])));
    }
    amounts.into()
}

fn taints(dice: &mut Dice, unschedulable: bool, style: &Style) -> Vec<Value> {
    let mut taints = vec![];
    // The taint follows the field a moment later, and outlives it for a moment.
    if dice.chance(if unschedulable { 85 } else { 2 }) {
        taints.push(json!({"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}));
    }
    if dice.chance(style.taints) {
        let key = *dice.pick(&TAINT_KEYS);
        for effect in dice.at_least_one(&EFFECTS) {
            let mut taint = json!({"key": key, "effect": effect});
            if dice.chance(70) {
                taint["value"] = json!(dice.pick(&TAINT_VALUES));
            }
            taints.push(taint);
        }
    }
    taints
}
