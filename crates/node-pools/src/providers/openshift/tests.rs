//! What is done to which object, on small inventories.

use serde_json::{Value, json};

use super::*;
use crate::address::Resource;
use crate::mark::Maker;

fn put(inventory: &mut Inventory, kind: KindName, name: &str, owner: Option<&str>, spec: &Value, status: &Value) {
    let resource = Resource {
        group: kind.group.to_owned(),
        version: "v1beta1".to_owned(),
        kind: kind.kind.to_owned(),
        plural: format!("{}s", kind.kind.to_lowercase()),
        namespaced: true,
    };
    let owners: Vec<_> =
        owner.iter().map(|set| json!({ "kind": "MachineSet", "name": set, "uid": format!("uid-{set}") })).collect();
    let metadata = json!({ "name": name, "namespace": "machines", "uid": format!("uid-{name}"), "ownerReferences": owners,
        "annotations": { "machine.openshift.io/vCPU": "4", "machine.openshift.io/cluster-api-autoscaler-node-group-max-size": "9" } });
    inventory.put(&resource, json!({ "metadata": metadata, "spec": spec, "status": status }));
}

fn set(inventory: &mut Inventory, name: &str, labelled: &str) {
    let labels = json!({ SET_NAME: labelled, "machine.openshift.io/cluster-api-cluster": "infra" });
    let spec = json!({
        "replicas": 1,
        "selector": { "matchLabels": labels },
        "template": { "metadata": { "labels": labels }, "spec": { "providerSpec": { "value": { "any": ["thing"] } } } },
    });
    put(inventory, SET, name, None, &spec, &json!({ "availableReplicas": 1 }));
}

fn fleet() -> Inventory {
    let mut inventory = Inventory::default();
    set(&mut inventory, "blue", "blue");
    put(
        &mut inventory,
        MACHINE,
        "m1",
        Some("blue"),
        &json!({}),
        &json!({ "nodeRef": { "name": "n1" }, "phase": "Running" }),
    );
    put(&mut inventory, MACHINE, "m2", Some("green"), &json!({}), &json!({ "nodeRef": { "name": "n2" } }));
    let target =
        json!({ "minReplicas": 1, "maxReplicas": 9, "scaleTargetRef": { "kind": "MachineSet", "name": "blue" } });
    put(&mut inventory, AUTOSCALER, "scale", None, &target, &json!({}));
    put(
        &mut inventory,
        HEALTH_CHECK,
        "check",
        None,
        &json!({ "selector": { "matchLabels": { SET_NAME: "blue" } } }),
        &json!({}),
    );
    inventory
}

fn found(inventory: &Inventory, name: &str) -> Pool {
    OpenShift.pools(inventory).into_iter().find(|pool| pool.name == name).unwrap()
}

fn plan(inventory: &Inventory) -> Result<CopyPlan, Refusal> {
    let maker =
        Maker { run: "r".into(), user: "alice".into(), at: jiff::Timestamp::UNIX_EPOCH, version: "poolcopy/0".into() };
    let request =
        CopyRequest { name: None, size: None, overrides: Vec::new(), nodes_match: None, share_templates: false, maker };
    OpenShift.copy(inventory, &found(inventory, "blue"), &request)
}

#[test]
fn a_copy_has_a_label_of_its_own_and_what_watches_the_source_is_named() {
    let plan = plan(&fleet()).unwrap();
    let body = &plan.documents[0].body;
    let label = "/spec/selector/matchLabels/machine.openshift.io~1cluster-api-machineset";
    assert_eq!(body.pointer(label), Some(&json!("blue-2")));
    assert_eq!(
        body.pointer(&label.replace("selector/matchLabels", "template/metadata/labels")),
        Some(&json!("blue-2"))
    );
    assert_eq!(body["spec"]["template"]["spec"]["providerSpec"]["value"], json!({ "any": ["thing"] }));
    let annotations = body["metadata"]["annotations"].as_object().unwrap();
    assert!(annotations.contains_key("machine.openshift.io/vCPU") && annotations.len() == 2, "{annotations:?}");
    let told: Vec<_> = plan.findings.iter().map(|finding| finding.message.as_str()).collect();
    assert!(told.iter().any(|told| told.contains("MachineAutoscaler machines/scale")), "{told:?}");
    assert!(told.iter().any(|told| told.contains("MachineHealthCheck machines/check")), "{told:?}");
}

#[test]
fn growth_is_stopped_at_the_size_of_now_and_given_back() {
    let mut inventory = fleet();
    let freeze = OpenShift.freeze(&inventory, &found(&inventory, "blue")).unwrap();
    let [Step::Merge { target, patch, .. }] = freeze.as_slice() else { panic!("{freeze:?}") };
    assert_eq!((target.name.as_str(), &patch["spec"]), ("scale", &json!({ "maxReplicas": 1 })));
    let mut scaler = inventory.get(target).unwrap().clone();
    scaler["spec"]["maxReplicas"] = json!(1);
    scaler["metadata"]["annotations"] = patch["metadata"]["annotations"].clone();
    inventory.put(&target.resource.clone(), scaler);
    let frozen = found(&inventory, "blue");
    assert!(frozen.is_frozen && !frozen.grows() && OpenShift.freeze(&inventory, &frozen).unwrap().is_empty());
    let thaw = OpenShift.thaw(&inventory, &frozen).unwrap();
    let [Step::Merge { patch, .. }] = thaw.as_slice() else { panic!("{thaw:?}") };
    assert_eq!(patch["spec"]["maxReplicas"], 9);
}

#[test]
fn machines_are_told_by_their_owner_and_the_one_that_goes_is_chosen() {
    let mut inventory = fleet();
    let pool = found(&inventory, "blue");
    let members = OpenShift.members(&inventory, &pool);
    assert_eq!(members.iter().map(|member| member.machine.as_str()).collect::<Vec<_>>(), ["m1"]);
    let steps = OpenShift.resize(&inventory, &pool, 0, &[NodeName::from("n1")]).unwrap();
    let told: Vec<_> = steps.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "patch Machine machines/m1: it goes first",
            "patch MachineSet machines/blue: 0 nodes",
            "wait until Machine machines/m1 and 1 more are gone"
        ]
    );
    let removal = OpenShift.remove(&inventory, &pool, None).unwrap();
    assert!(matches!(&removal[1], Step::AwaitGone { objects, nodes } if objects.len() == 2 && nodes.len() == 1));
    // A copy that somebody else made, with the source's label.
    set(&mut inventory, "naive", "blue");
    let naive = found(&inventory, "naive");
    assert!(naive.troubles[0].message.contains("another set's name"), "{naive:?}");
    assert!(found(&inventory, "blue").troubles.is_empty());
}
