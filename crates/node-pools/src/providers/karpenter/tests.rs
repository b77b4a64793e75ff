//! What is done to which object, on small inventories.

use serde_json::{Value, json};

use super::*;
use crate::address::Resource;
use crate::mark::Maker;

fn resource(kind: &str) -> Resource {
    Resource {
        group: GROUP.to_owned(),
        version: "v1".to_owned(),
        kind: kind.to_owned(),
        plural: format!("{}s", kind.to_lowercase()),
        namespaced: false,
    }
}

#[expect(clippy::needless_pass_by_value, reason = "JSON is written where it is passed")]
fn pool(inventory: &mut Inventory, name: &str, spec: Value) {
    let ready = json!({ "conditions": [{ "type": "Ready", "status": "True" }] });
    let metadata = json!({ "name": name, "uid": format!("uid-{name}"),
        "annotations": { "karpenter.sh/nodepool-hash": "1", "team": "a", "argocd.argoproj.io/tracking-id": "x" } });
    inventory.put(&resource("NodePool"), json!({ "metadata": metadata, "spec": spec, "status": ready }));
}

fn claim(inventory: &mut Inventory, pool: &str, name: &str) {
    let metadata = json!({ "name": name, "uid": name, "labels": { POOL_NAME: pool } });
    inventory
        .put(&resource("NodeClaim"), json!({ "metadata": metadata, "status": { "nodeName": format!("n-{name}") } }));
}

fn request() -> CopyRequest {
    let maker =
        Maker { run: "r".into(), user: "alice".into(), at: jiff::Timestamp::UNIX_EPOCH, version: "poolcopy/0".into() };
    CopyRequest { name: None, size: None, overrides: Vec::new(), nodes_match: None, share_templates: false, maker }
}

fn found(inventory: &Inventory, name: &str) -> Pool {
    Karpenter.pools(inventory).into_iter().find(|pool| pool.name == name).unwrap()
}

/// Does what the steps say, as a server would.
fn perform(inventory: &mut Inventory, steps: &[Step]) {
    for step in steps {
        match step {
            Step::Create { target, body } => {
                let mut body = body.clone();
                body["metadata"]["uid"] = json!(format!("uid-{}", target.name));
                inventory.put(&target.resource, body);
            }
            Step::Merge { target, patch, .. } => {
                let mut object = inventory.get(target).unwrap().clone();
                merge(&mut object, patch);
                inventory.put(&target.resource, object);
            }
            Step::Delete { target, .. } => inventory.forget(target),
            Step::Edit { .. } | Step::AwaitGone { .. } => {}
        }
    }
}

fn merge(into: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *into = patch.clone();
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    for (key, value) in patch {
        if value.is_null() {
            into.as_object_mut().unwrap().remove(key);
        } else {
            merge(&mut into[key], value);
        }
    }
}

#[test]
fn a_frozen_pool_is_given_back_what_it_had() {
    let budgets = json!([{ "nodes": "10%" }]);
    let table = [
        json!({ "limits": { "cpu": "100", "memory": "1Ti" }, "disruption": { "budgets": budgets, "consolidateAfter": "0s" } }),
        json!({ "limits": { "memory": "1Ti" }, "disruption": { "budgets": budgets } }),
        json!({ "disruption": { "budgets": budgets } }),
        json!({ "replicas": 2, "limits": { "nodes": "4" }, "disruption": { "budgets": budgets } }),
    ];
    for spec in table {
        let mut inventory = Inventory::default();
        pool(&mut inventory, "blue", spec);
        let before = inventory.clone();
        let freeze = Karpenter.freeze(&inventory, &found(&inventory, "blue")).unwrap();
        perform(&mut inventory, &freeze);
        let frozen = found(&inventory, "blue");
        let object = inventory.get(frozen.object.as_ref().unwrap()).unwrap().clone();
        assert_eq!(object["spec"]["disruption"]["budgets"], json!([{ "nodes": "0" }]));
        assert_eq!(object["spec"]["limits"]["cpu"] == "0", object["spec"]["replicas"].is_null());
        assert!(frozen.is_frozen && !frozen.grows());
        assert!(Karpenter.freeze(&inventory, &frozen).unwrap().is_empty(), "once is enough");
        assert_eq!(&growth::as_before(&object), before.get(frozen.object.as_ref().unwrap()).unwrap());
        let thaw = Karpenter.thaw(&inventory, &frozen).unwrap();
        perform(&mut inventory, &thaw);
        let address = frozen.object.as_ref().unwrap();
        assert_eq!(inventory.get(address), before.get(address));
    }
}

#[test]
fn the_same_command_finds_nothing_left_to_do_although_the_source_is_frozen_by_then() {
    let mut inventory = Inventory::default();
    pool(&mut inventory, "blue", json!({ "weight": 10, "limits": { "cpu": "100" }, "disruption": {} }));
    let plan = Karpenter.copy(&inventory, &found(&inventory, "blue"), &request()).unwrap();
    assert_eq!((plan.target.as_str(), plan.size, plan.steps.len(), plan.afterwards.len()), ("blue-2", None, 1, 1));
    let body = &plan.documents[0].body;
    assert_eq!(body["metadata"]["annotations"].as_object().unwrap().len(), 2, "the mark and the team's: {body}");
    perform(&mut inventory, &plan.steps);
    perform(&mut inventory, &plan.afterwards);
    let again = Karpenter.copy(&inventory, &found(&inventory, "blue"), &request()).unwrap();
    assert!(again.steps.is_empty() && again.afterwards.is_empty(), "{again:?}");
    assert!(crate::copy_plan::fidelity(&again, &inventory).identical);
}

#[test]
fn a_pool_goes_before_its_copy_is_a_pool_like_any_other_and_nothing_of_it_is_forgotten() {
    let mut inventory = Inventory::default();
    pool(&mut inventory, "blue", json!({ "disruption": {} }));
    claim(&mut inventory, "blue", "c1");
    claim(&mut inventory, "green", "c2");
    let plan = Karpenter.copy(&inventory, &found(&inventory, "blue"), &request()).unwrap();
    perform(&mut inventory, &plan.steps);
    let (source, copy) = (found(&inventory, "blue"), found(&inventory, "blue-2"));
    let steps = Karpenter.remove(&inventory, &source, Some(&copy)).unwrap();
    assert!(matches!(steps[0], Step::Delete { cascade: Cascade::Foreground, .. }));
    let Step::AwaitGone { objects, nodes } = &steps[1] else { panic!("{steps:?}") };
    assert_eq!((objects.len(), nodes.as_slice()), (2, [NodeName::from("n-c1")].as_slice()));
    perform(&mut inventory, &steps);
    assert_eq!(found(&inventory, "blue-2").copy_of, None);

    // Somebody deleted the pool in the background: its claims are still there, and waited for.
    perform(&mut inventory, &plan.steps);
    let rest = Karpenter.finish(&inventory, &found(&inventory, "blue-2")).unwrap();
    assert!(
        matches!(&rest[..], [Step::AwaitGone { objects, .. }, Step::Merge { .. }] if objects.len() == 1),
        "{rest:?}"
    );
}

#[test]
fn a_dynamic_pool_has_no_size_and_a_static_one_does_not_shrink() {
    let mut inventory = Inventory::default();
    pool(&mut inventory, "dynamic", json!({ "limits": { "cpu": "100" } }));
    pool(&mut inventory, "static", json!({ "replicas": 2 }));
    let (dynamic, fixed) = (found(&inventory, "dynamic"), found(&inventory, "static"));
    assert_eq!((dynamic.size, dynamic.scaled_by.as_slice()), (None, ["Karpenter up to cpu 100".to_owned()].as_slice()));
    assert!(dynamic.grows() && !fixed.grows() && fixed.size == Some(2));
    let sized = CopyRequest { size: Some(3), ..request() };
    assert!(Karpenter.copy(&inventory, &dynamic, &sized).is_err());
    assert!(Karpenter.resize(&inventory, &dynamic, 3, &[]).is_err());
    assert!(Karpenter.resize(&inventory, &fixed, 1, &[]).is_err());
    assert_eq!(Karpenter.resize(&inventory, &fixed, 3, &[]).unwrap().len(), 1);
    assert_eq!(fixed.troubles.len(), 1, "none of its nodes is there");
    assert_eq!(Karpenter.copy(&inventory, &fixed, &sized).unwrap().size, Some(3));
}
