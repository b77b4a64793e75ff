//! Pods: those that are there, in all phases of their lives, and those to judge.

use serde_json::{Value, json};

use super::dice::Dice;
use super::resources::Load;
use super::{Aspect, NAMESPACES, affinity, ports, resources, selectors, spread, tolerations, volumes};

/// Draws a pod that is on a node, with the objects that come with it.
pub(super) fn bound(dice: &mut Dice, number: usize, nodes: &[String], claims: &[(String, String)]) -> Vec<Value> {
    let mut pod = new_pod(dice, &format!("bound-{number}"));
    // The node of some was deleted a moment ago.
    let node = if dice.chance(2) { "node-that-was".to_owned() } else { dice.pick(nodes).clone() };
    let load = if dice.chance(5) { Load::Large } else { Load::Small };
    resources::add(dice, &mut pod["spec"], load);
    if dice.chance(20) {
        add_ports(dice, &mut pod["spec"]);
    }
    if dice.chance(22) {
        affinity::add(dice, &mut pod["spec"]);
    }
    if dice.chance(10) {
        let disks = volumes::disks(dice);
        volumes::add(&mut pod["spec"], disks);
    }
    let mut others = vec![];
    if dice.chance(25) {
        let namespace = namespace_of(&pod);
        let claims = volumes::of_claims(dice, &namespace, claims);
        volumes::add(&mut pod["spec"], claims);
    } else if dice.chance(5) {
        others = volumes::add_ephemeral(dice, &mut pod, nodes);
    }
    if let Some(labels) = pod["metadata"]["labels"].as_object().cloned() {
        affinity::merge_label_keys(&mut pod["spec"], &labels);
    }
    // Labels may change later, which selectors do not follow.
    if dice.chance(5) {
        pod["metadata"]["labels"]["pod-template-hash"] = json!("handover");
    }
    pod["spec"]["nodeName"] = json!(node);
    pod["status"] = json!({"phase": dice.pick(&["Running", "Running", "Running", "Running", "Pending", "Succeeded", "Failed", "Unknown"])});
    if dice.chance(40) {
        resources::add_status(dice, &mut pod);
    }
    if dice.chance(8) {
        pod["metadata"]["deletionTimestamp"] = json!("2026-11-28T07:00:00Z");
        pod["metadata"]["deletionGracePeriodSeconds"] = json!(30);
    }
    others.push(pod);
    others
}

/// Draws a pod to judge that is about these aspects, with the objects that come with it.
pub(super) fn judged(
    dice: &mut Dice,
    number: usize,
    aspects: &[Aspect],
    nodes: &[String],
    claims: &[(String, String)],
) -> (Value, Vec<Value>) {
    let mut pod = new_pod(dice, &format!("judged-{number}"));
    let load = if aspects.contains(&Aspect::Resources) { Load::Large } else { Load::Small };
    resources::add(dice, &mut pod["spec"], load);
    let mut others = vec![];
    for aspect in aspects {
        let spec = &mut pod["spec"];
        match aspect {
            Aspect::Gates => spec["schedulingGates"] = json!([{"name": "example.com/wait"}]),
            Aspect::Name => spec["nodeName"] = json!(dice.pick(nodes)),
            Aspect::Tolerations => spec["tolerations"] = tolerations::draw(dice).into(),
            Aspect::NodeAffinity => selectors::add(dice, spec, nodes),
            Aspect::Ports => add_ports(dice, spec),
            Aspect::Resources => {}
            Aspect::Disks => {
                let disks = volumes::disks(dice);
                volumes::add(spec, disks);
            }
            Aspect::Claims => {
                if dice.chance(12) {
                    others.extend(volumes::add_ephemeral(dice, &mut pod, nodes));
                } else {
                    let namespace = namespace_of(&pod);
                    let claims = volumes::of_claims(dice, &namespace, claims);
                    volumes::add(&mut pod["spec"], claims);
                }
            }
            Aspect::Spread => {
                spec["topologySpreadConstraints"] = spread::draw(dice).into();
                // Which nodes a pod may use can decide which are counted.
                if dice.chance(25) {
                    selectors::add(dice, spec, nodes);
                }
            }
            Aspect::PodAffinity => affinity::add(dice, spec),
            Aspect::Features => add_restart_rule(dice, spec),
        }
    }
    // A pod with gates has no node.
    if aspects.contains(&Aspect::Gates)
        && let Some(spec) = pod["spec"].as_object_mut()
    {
        spec.remove("nodeName");
    }
    (pod, others)
}

fn new_pod(dice: &mut Dice, name: &str) -> Value {
    let namespace = *dice.pick(&["shop", "shop", "shop", "shop", "shop", "shop", "lab", "lab", NAMESPACES[2]]);
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "uid": format!("uid-{name}"), "labels": affinity::labels(dice)},
        "spec": {},
    })
}

fn namespace_of(pod: &Value) -> String {
    pod["metadata"]["namespace"].as_str().unwrap_or_default().to_owned()
}

fn add_ports(dice: &mut Dice, spec: &mut Value) {
    let host_network = dice.chance(20);
    if host_network {
        spec["hostNetwork"] = json!(true);
    }
    let mut free = ports::numbers();
    let which = if dice.chance(15) && spec.get("initContainers").is_some() { "initContainers" } else { "containers" };
    let containers = spec[which].as_array_mut();
    for container in containers.into_iter().flatten().take(2) {
        container["ports"] = ports::draw(dice, &mut free, host_network).into();
    }
}

fn add_restart_rule(dice: &mut Dice, spec: &mut Value) {
    let action = if dice.chance(85) { "RestartAllContainers" } else { "Restart" };
    spec["containers"][0]["restartPolicy"] = json!("Never");
    spec["containers"][0]["restartPolicyRules"] =
        json!([{"action": action, "exitCodes": {"operator": "In", "values": [42]}}]);
}
