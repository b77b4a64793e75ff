//! What pods ask for: containers, init containers, sidecars, a pod's own resources, overhead, and pods that were resized
//! in place. Amounts come in all notations.

use serde_json::{Map, Value, json};

use super::dice::Dice;

/// How much a container asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Load {
    /// So little that it fits into what its pod asks for itself.
    Tiny,
    /// What leaves room for the other filters.
    Small,
    /// What some nodes do not have.
    Large,
}

impl Load {
    fn cpu(self) -> &'static [&'static str] {
        match self {
            Self::Tiny => &["0", "10m", "0.05", "20000u"],
            Self::Small => &["0", "10m", "50m", "0.1", "1e-1", "250m", "100000u", "1"],
            Self::Large => &["1", "2", "3500m", "1.5", "25e-1", "4", "7900m", "3900001u"],
        }
    }

    fn memory(self) -> &'static [&'static str] {
        match self {
            Self::Tiny => &["0", "16Mi", "20M", "1e6"],
            Self::Small => &["0", "16Mi", "64Mi", "100M", "50000k", "1e8", "0.25Gi", "134217728"],
            Self::Large => &["1Gi", "2G", "3000Mi", "4e9", "5000000Ki", "8589934592", "6Gi", "1500000000.5"],
        }
    }
}

/// Adds containers and all that they ask for to a pod's spec; returns the names of the containers.
pub(super) fn add(dice: &mut Dice, spec: &mut Value, load: Load) {
    let pod_level = dice.chance(if load == Load::Large { 20 } else { 6 });
    let each = if pod_level { Load::Tiny } else { load };
    let containers: Vec<_> =
        (0..*dice.pick(&[1, 1, 1, 2, 3])).map(|n| container(dice, &format!("c{n}"), each)).collect();
    spec["containers"] = containers.into();
    if dice.chance(30) {
        let mut init = vec![];
        for number in 0..=dice.below(3) {
            let mut container = container(dice, &format!("i{number}"), each);
            if dice.chance(45) {
                container["restartPolicy"] = json!("Always");
            }
            init.push(container);
        }
        spec["initContainers"] = init.into();
    }
    if pod_level {
        spec["resources"] = pod_level_resources(dice, load);
    }
    if dice.chance(8) {
        let mut overhead = Map::new();
        overhead.insert("cpu".into(), json!(dice.pick(&["250m", "1", "0.01"])));
        if dice.chance(70) {
            overhead.insert("memory".into(), json!(dice.pick(&["120Mi", "1G"])));
        }
        spec["overhead"] = overhead.into();
    }
}

/// Draws a container.
fn container(dice: &mut Dice, name: &str, load: Load) -> Value {
    let mut container = json!({"name": name, "image": "registry.example/app:1"});
    let mut amounts = Map::new();
    if dice.chance(85) {
        amounts.insert("cpu".into(), json!(dice.pick(load.cpu())));
    }
    if dice.chance(80) {
        amounts.insert("memory".into(), json!(dice.pick(load.memory())));
    }
    if load != Load::Tiny && dice.chance(12) {
        let sizes: &[&str] = if load == Load::Large { &["10Gi", "30e9", "99G"] } else { &["0", "100Mi", "1G"] };
        amounts.insert("ephemeral-storage".into(), json!(dice.pick(sizes)));
    }
    // Of these there must be a limit, and what is asked for is the limit.
    let mut exact = Map::new();
    if load == Load::Large {
        if dice.chance(15) {
            exact.insert("example.com/gpu".into(), json!(dice.pick(&["0", "1", "2", "3"])));
        }
        if dice.chance(10) && (amounts.contains_key("cpu") || amounts.contains_key("memory")) {
            exact.insert("hugepages-2Mi".into(), json!(dice.pick(&["2Mi", "64Mi", "100Mi"])));
        }
    }
    let mut all = amounts.clone();
    all.extend(exact.clone());
    container["resources"] = match dice.below(10) {
        // What is not asked for is the limit, in a pod but not in a template.
        0 | 1 if load != Load::Tiny => json!({"limits": all}),
        2 => json!({"limits": all, "requests": all}),
        3 => json!({"limits": exact, "requests": all}),
        _ if exact.is_empty() => json!({"requests": amounts}),
        _ => json!({"limits": exact, "requests": amounts}),
    };
    container
}

fn pod_level_resources(dice: &mut Dice, load: Load) -> Value {
    let (cpu, memory): (&[&str], &[&str]) = match load {
        Load::Large => (&["2", "5", "3500m"], &["2Gi", "7e9", "3000M"]),
        Load::Tiny | Load::Small => (&["500m", "1"], &["256Mi", "500M"]),
    };
    let mut amounts = Map::new();
    amounts.insert("cpu".into(), json!(dice.pick(cpu)));
    if dice.chance(70) {
        amounts.insert("memory".into(), json!(dice.pick(memory)));
    }
    if load == Load::Large && dice.chance(25) {
        amounts.insert("hugepages-2Mi".into(), json!("32Mi"));
        return json!({"requests": amounts, "limits": amounts});
    }
    match dice.below(4) {
        0 => json!({"limits": amounts}),
        1 => json!({"limits": amounts, "requests": amounts}),
        _ => json!({"requests": amounts}),
    }
}

/// Adds to a running pod what its kubelet says that its containers have; in some pods a change of resources is under way.
pub(super) fn add_status(dice: &mut Dice, pod: &mut Value) {
    let resized = dice.chance(35);
    for (containers, statuses) in [("containers", "containerStatuses"), ("initContainers", "initContainerStatuses")] {
        let mut reported = vec![];
        for container in pod["spec"].get(containers).and_then(Value::as_array).into_iter().flatten() {
            let mut status = json!({"name": container["name"], "image": container["image"], "imageID": "", "ready": true, "restartCount": 0});
            let asked = container.pointer("/resources/requests").cloned().unwrap_or_else(|| json!({}));
            for field in ["allocatedResources", "resources"] {
                if !dice.chance(85) {
                    continue;
                }
                let had = if resized && dice.chance(60) { other_amounts(dice, &asked) } else { asked.clone() };
                status[field] = if field == "resources" { json!({"requests": had}) } else { had };
            }
            reported.push(status);
        }
        if !reported.is_empty() {
            pod["status"][statuses] = reported.into();
        }
    }
    let own = pod.pointer("/spec/resources/requests").cloned();
    if let Some(own) = own
        && dice.chance(60)
    {
        pod["status"]["allocatedResources"] = if resized { other_amounts(dice, &own) } else { own.clone() };
        if dice.chance(80) {
            let had = if resized { other_amounts(dice, &own) } else { own };
            pod["status"]["resources"] = json!({"requests": had});
        }
    }
    if resized && dice.chance(70) {
        pod["status"]["conditions"] = json!([{
            "type": "PodResizePending", "status": dice.pick(&["True", "True", "True", "False"]), "reason": dice.pick(&["Infeasible", "Deferred"]),
        }]);
    }
}

fn other_amounts(dice: &mut Dice, asked: &Value) -> Value {
    let mut amounts = Map::new();
    for key in asked.as_object().into_iter().flat_map(Map::keys) {
        let values: &[&str] = match key.as_str() {
            "cpu" => &["100m", "500m", "1", "2"],
            "memory" => &["64Mi", "256Mi", "1Gi", "2G"],
            _ => continue,
        };
        amounts.insert(key.clone(), json!(dice.pick(values)));
    }
    amounts.into()
}
