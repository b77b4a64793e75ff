//! What is given to which node, on small inventories.

use cluster_model::api::core as v1;
use serde_json::json;

use super::*;
use crate::mark::Maker;

fn node(inventory: &mut Inventory, name: &str, labels: &Value, taints: &Value) {
    let object = json!({
        "metadata": { "name": name, "labels": labels }, "spec": { "taints": taints },
        "status": { "allocatable": { "cpu": "4", "memory": "8Gi" }, "nodeInfo": { "kubeletVersion": "v1.37.1",
            "architecture": "", "bootID": "", "containerRuntimeVersion": "", "kernelVersion": "", "kubeProxyVersion": "",
            "machineID": "", "operatingSystem": "", "osImage": "", "systemUUID": "" } },
    });
    let object: v1::Node = serde_json::from_value(object).unwrap();
    inventory.put_node(PoolNode::from(&object));
}

fn request(selector: Option<&str>) -> CopyRequest {
    let maker =
        Maker { run: "r".into(), user: "alice".into(), at: jiff::Timestamp::UNIX_EPOCH, version: "poolcopy/0".into() };
    let nodes_match = selector.map(|text| NodesMatch { text: text.to_owned(), meaning: text.parse().unwrap() });
    CopyRequest { name: None, size: None, overrides: Vec::new(), nodes_match, share_templates: false, maker }
}

fn reader() -> Labelled {
    Labelled { label: NodeLabel { key: "pool".to_owned(), value: "blue".to_owned() } }
}

fn source(inventory: &Inventory) -> Pool {
    reader().pools(inventory).into_iter().find(|pool| pool.name == "pool=blue").unwrap()
}

fn plan(inventory: &Inventory, selector: Option<&str>) -> Result<CopyPlan, Refusal> {
    reader().copy(inventory, &source(inventory), &request(selector))
}

fn fleet() -> Inventory {
    let mut inventory = Inventory::default();
    let taints =
        json!([{ "key": "dedicated", "value": "shop", "effect": "NoSchedule", "timeAdded": "2026-01-01T00:00:00Z" }]);
    let labels = |host: &str, more: &str| {
        json!({ "pool": "blue", "team": "a", "kubernetes.io/hostname": host, "disk": more,
            "topology.kubernetes.io/zone": "z1", "feature.node.kubernetes.io/cpu": "x" })
    };
    node(&mut inventory, "old-1", &labels("old-1", "ssd"), &taints);
    node(&mut inventory, "old-2", &labels("old-2", "hdd"), &taints);
    node(&mut inventory, "new-1", &json!({ "rack": "r7", "team": "b" }), &json!([]));
    inventory
}

#[test]
fn a_new_node_gets_what_all_old_ones_have_and_the_copys_own_value_of_the_label() {
    let plan = plan(&fleet(), Some("rack=r7")).unwrap();
    assert_eq!((plan.target.as_str(), plan.size), ("pool=blue-2", Some(2)));
    let [Step::Merge { patch: labels, .. }, Step::Edit { patch: taints, .. }] = plan.steps.as_slice() else {
        panic!("{:?}", plan.steps)
    };
    assert_eq!(labels["metadata"]["labels"], json!({ "pool": "blue-2", "team": "a" }));
    let mark = CopyMark::read(labels["metadata"]["annotations"][mark::COPY].as_str().unwrap()).unwrap();
    assert_eq!(Value::Object(mark.labels), json!({ "pool": null, "team": "b" }), "what was there before");
    let taint = json!({ "key": "dedicated", "value": "shop", "effect": "NoSchedule" });
    assert_eq!(mark.taints, std::slice::from_ref(&taint));
    assert_eq!(
        *taints,
        json!([{ "op": "test", "path": "/spec/taints", "value": null }, { "op": "add", "path": "/spec/taints", "value": [taint] }])
    );
    let told: Vec<_> = plan.findings.iter().map(|finding| finding.message.as_str()).collect();
    assert!(told.contains(&"a new node needs at least 4 cpu, 8Gi of allocatable room"), "{told:?}");
}

#[test]
fn what_was_given_is_taken_back_and_nothing_else() {
    let mut inventory = fleet();
    let given = plan(&inventory, Some("rack=r7")).unwrap();
    let [Step::Merge { patch, .. }, _] = given.steps.as_slice() else { panic!("{:?}", given.steps) };
    // As the server has it afterwards; somebody else has tainted it meanwhile.
    let annotation = patch["metadata"]["annotations"][mark::COPY].clone();
    let object: v1::Node = serde_json::from_value(json!({
        "metadata": { "name": "new-1", "labels": { "rack": "r7", "team": "a", "pool": "blue-2" },
            "annotations": { mark::COPY: annotation } },
        "spec": { "taints": [{ "key": "dedicated", "value": "shop", "effect": "NoSchedule" }, { "key": "mine", "effect": "NoExecute" }] },
    }))
    .unwrap();
    inventory.put_node(PoolNode::from(&object));
    assert!(plan(&inventory, Some("rack=r7")).unwrap().steps.is_empty(), "nothing is left to do");
    let copy = reader().pools(&inventory).into_iter().find(|pool| pool.name == "pool=blue-2").unwrap();
    let steps = reader().remove(&inventory, &copy, None).unwrap();
    let [Step::Edit { patch: taints, .. }, Step::Merge { patch: labels, .. }] = steps.as_slice() else {
        panic!("{steps:?}")
    };
    assert_eq!(taints[1]["value"], json!([{ "key": "mine", "effect": "NoExecute" }]));
    assert_eq!(labels["metadata"]["labels"], json!({ "pool": null, "team": "b" }));
    assert!(matches!(reader().finish(&inventory, &copy).unwrap().as_slice(), [Step::Merge { .. }]));
}

#[test]
fn what_the_old_nodes_gain_later_is_given_and_can_be_taken_back_as_well() {
    let mut inventory = fleet();
    let taint = |key: &str| json!({ "key": key, "effect": "NoSchedule" });
    let first = plan(&inventory, Some("rack=r7")).unwrap();
    let [Step::Merge { patch, .. }, _] = first.steps.as_slice() else { panic!("{:?}", first.steps) };
    let object: v1::Node = serde_json::from_value(json!({
        "metadata": { "name": "new-1", "labels": { "rack": "r7", "team": "a", "pool": "blue-2", "tier": "lead" },
            "annotations": patch["metadata"]["annotations"] },
        "spec": { "taints": [{ "key": "dedicated", "value": "shop", "effect": "NoSchedule" }] },
    }))
    .unwrap();
    inventory.put_node(PoolNode::from(&object));
    for old in ["old-1", "old-2"] {
        let labels = json!({ "pool": "blue", "team": "a", "tier": "gold" });
        let dedicated = json!({ "key": "dedicated", "value": "shop", "effect": "NoSchedule" });
        node(&mut inventory, old, &labels, &json!([dedicated, taint("late")]));
    }
    let second = plan(&inventory, Some("rack=r7")).unwrap();
    let [Step::Merge { patch, .. }, Step::Edit { patch: taints, .. }] = second.steps.as_slice() else {
        panic!("{:?}", second.steps)
    };
    assert_eq!(patch["metadata"]["labels"], json!({ "tier": "gold" }));
    assert_eq!(taints[1]["value"][1], taint("late"));
    let mark = CopyMark::read(patch["metadata"]["annotations"][mark::COPY].as_str().unwrap()).unwrap();
    assert_eq!(Value::Object(mark.labels), json!({ "pool": null, "team": "b", "tier": "lead" }));
    assert_eq!(mark.taints[1..], [taint("late")]);
}

#[test]
fn nobody_is_robbed_and_nothing_is_guessed() {
    let mut inventory = fleet();
    assert!(matches!(plan(&inventory, None), Err(Refusal::NeedsNodes { needs, .. }) if needs.len() == 3));
    assert!(plan(&inventory, Some("rack=r9")).unwrap().steps.is_empty(), "they are still to come");
    node(&mut inventory, "red-1", &json!({ "rack": "r7", "pool": "red" }), &json!([]));
    assert!(matches!(plan(&inventory, Some("rack=r7")), Err(Refusal::Unsupported(_))));
    assert!(matches!(plan(&inventory, Some("team=a")), Err(Refusal::Unsupported(_))), "the old nodes themselves");
    let renamed = |name: &str| CopyRequest { name: Some(name.to_owned()), ..request(Some("rack=r9")) };
    let target = |name: &str| reader().copy(&inventory, &source(&inventory), &renamed(name)).map(|plan| plan.target);
    assert_eq!(target("green").unwrap(), "pool=green");
    assert_eq!(target("pool=green").unwrap(), "pool=green");
    assert!(target("blue").is_err() && target("Green").is_err());
}
