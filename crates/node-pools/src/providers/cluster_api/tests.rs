//! What is done to which object, on small inventories.

use serde_json::{Map, Value, json};

use super::*;
use crate::address::Resource;

const CORE: &str = "cluster.x-k8s.io";
const BOOT: &str = "bootstrap.cluster.x-k8s.io";

fn put(inventory: &mut Inventory, group: &str, kind: &str, namespace: &str, name: &str, spec: &Value) {
    let resource = Resource {
        group: group.to_owned(),
        version: "v1beta2".to_owned(),
        kind: kind.to_owned(),
        plural: format!("{}s", kind.to_lowercase()),
        namespaced: true,
    };
    let uid = format!("{namespace}-{kind}-{name}");
    let metadata = json!({ "name": name, "namespace": namespace, "uid": uid });
    inventory.put(&resource, json!({ "kind": kind, "metadata": metadata, "spec": spec }));
    inventory.serve(resource);
}

/// A pool with a reference to a bootstrap object, and that object.
fn pool(inventory: &mut Inventory, kind: &str, namespace: &str, name: &str, refers_to: &str, selects: &str) {
    let boot = if kind == POOL.kind { "FooConfig" } else { "FooConfigTemplate" };
    let reference = json!({ "apiGroup": BOOT, "kind": boot, "name": refers_to });
    let spec = json!({
        "clusterName": "c1",
        "replicas": 1,
        "selector": { "matchLabels": { DEPLOYMENT_NAME: selects } },
        "template": { "spec": { "bootstrap": { "configRef": reference } } },
    });
    put(inventory, CORE, kind, namespace, name, &spec);
    put(inventory, BOOT, boot, namespace, refers_to, &json!({}));
}

fn steps(inventory: &Inventory, kind: &str, name: &str) -> Result<Vec<String>, Refusal> {
    let pools = ClusterApi.pools(inventory);
    let is_meant =
        |pool: &&Pool| pool.name == name && pool.object.as_ref().is_some_and(|object| object.resource.kind == kind);
    let found = pools.iter().find(is_meant).expect("the pool is there");
    Ok(ClusterApi.remove(inventory, found, None)?.iter().map(ToString::to_string).collect())
}

#[test]
fn templates_go_with_their_last_pool_of_the_namespace() {
    let mut inventory = Inventory::default();
    pool(&mut inventory, DEPLOYMENT.kind, "shop", "blue", "boot", "blue");
    // Another one of the same name, in a namespace of its own, says nothing of this one.
    pool(&mut inventory, DEPLOYMENT.kind, "other", "green", "boot", "green");
    let deleted = steps(&inventory, DEPLOYMENT.kind, "blue").expect("it may go");
    assert!(deleted.iter().any(|step| step == "delete FooConfigTemplate shop/boot"), "{deleted:?}");
    assert!(!deleted.iter().any(|step| step.contains("other/")), "{deleted:?}");

    pool(&mut inventory, DEPLOYMENT.kind, "shop", "red", "boot", "red");
    let deleted = steps(&inventory, DEPLOYMENT.kind, "blue").expect("it may go");
    assert!(!deleted.iter().any(|step| step.contains("FooConfigTemplate")), "another pool needs it: {deleted:?}");
}

#[test]
fn a_machine_pool_that_shares_what_it_owns_stays() {
    let mut inventory = Inventory::default();
    pool(&mut inventory, POOL.kind, "shop", "blue", "boot", "blue");
    assert!(steps(&inventory, POOL.kind, "blue").is_ok());
    pool(&mut inventory, POOL.kind, "shop", "naive", "boot", "naive");
    for name in ["blue", "naive"] {
        assert!(matches!(steps(&inventory, POOL.kind, name), Err(Refusal::Shared { .. })), "{name}");
    }
}

#[test]
fn a_pool_that_runs_away_is_stopped_before_its_machines_go_and_these_before_it() {
    let mut inventory = Inventory::default();
    pool(&mut inventory, DEPLOYMENT.kind, "shop", "naive", "boot", "blue");
    let pools = ClusterApi.pools(&inventory);
    let naive = pools.first().expect("the pool is there");
    assert!(naive.troubles.iter().any(|trouble| trouble.message.contains("runs away")), "{:?}", naive.troubles);
    let frozen = ClusterApi.freeze(&inventory, naive).expect("it can be stopped");
    assert_eq!(frozen.len(), 1, "{frozen:?}");

    let removed = steps(&inventory, DEPLOYMENT.kind, "naive").expect("it may go");
    let place = |text: &str| removed.iter().position(|step| step.contains(text));
    assert_eq!(place("0 nodes"), Some(0), "{removed:?}");
    assert!(place("0 nodes") < place("delete MachineDeployment"), "{removed:?}");
}

/// A Cluster whose topology has these worker pools, and the MachineDeployment that its controller made for `blue`.
fn topology(entries: &[&str], annotations: &Value) -> Inventory {
    let mut inventory = Inventory::default();
    let resource = |kind: &str| Resource {
        group: CORE.to_owned(),
        version: "v1beta2".to_owned(),
        kind: kind.to_owned(),
        plural: format!("{}s", kind.to_lowercase()),
        namespaced: true,
    };
    let workers: Vec<_> = entries.iter().map(|name| json!({ "name": name, "class": "w" })).collect();
    inventory.put(
        &resource(CLUSTER.kind),
        json!({
            "kind": CLUSTER.kind,
            "metadata": { "name": "c1", "namespace": "shop", "uid": "c1", "annotations": annotations },
            "spec": { "topology": { "workers": { "machineDeployments": workers } } },
        }),
    );
    let labels = json!({ TOPOLOGY_OWNED: "", TOPOLOGY_DEPLOYMENT: "blue" });
    inventory.put(
        &resource(DEPLOYMENT.kind),
        json!({
            "kind": DEPLOYMENT.kind,
            "metadata": { "name": "c1-blue-x", "namespace": "shop", "uid": "blue", "labels": labels },
            "spec": { "clusterName": "c1", "replicas": 1, "selector": {}, "template": { "spec": {} } },
        }),
    );
    inventory
}

#[test]
fn a_topologys_pool_goes_by_its_entry_and_is_waited_for_where_that_is_gone() {
    let removed = steps(&topology(&["red", "blue"], &json!({})), DEPLOYMENT.kind, "c1-blue-x").expect("it may go");
    assert_eq!(removed.len(), 2, "{removed:?}");
    assert!(removed[0].contains("without pool blue"), "{removed:?}");
    assert!(removed[1].starts_with("wait until MachineDeployment shop/c1-blue-x"), "{removed:?}");

    let removed =
        steps(&topology(&["red"], &json!({})), DEPLOYMENT.kind, "c1-blue-x").expect("a run before took it out");
    assert_eq!(removed.len(), 1, "{removed:?}");
    assert!(removed[0].starts_with("wait until"), "{removed:?}");
}

#[test]
fn marks_in_a_topology_are_written_over_what_was_read_only() {
    let mark = json!({ "v": 1 });
    for (annotations, tested) in [
        (Value::Null, json!({ "path": "/metadata/annotations", "value": null })),
        (json!({}), json!({ "path": "/metadata/annotations/handover~1copies", "value": null })),
        (
            json!({ "handover/copies": "{}" }),
            json!({ "path": "/metadata/annotations/handover~1copies", "value": "{}" }),
        ),
    ] {
        let cluster = if annotations.is_null() {
            json!({ "metadata": {} })
        } else {
            json!({ "metadata": { "annotations": annotations } })
        };
        let marks = Map::from_iter([("green".to_owned(), mark.clone())]);
        let edit = topology::marks_edit(&cluster, &marks);
        let [test, write] = edit.as_slice() else { panic!("{edit:?}") };
        assert_eq!(test["op"], "test", "{edit:?}");
        assert_eq!((&test["path"], &test["value"]), (&tested["path"], &tested["value"]), "{edit:?}");
        assert_eq!(write["op"], "add", "{edit:?}");
        assert!(write["value"].to_string().contains("green"), "{edit:?}");
    }
    let cluster = json!({ "metadata": { "annotations": { "handover/copies": "{}" } } });
    assert_eq!(topology::marks_edit(&cluster, &Map::new())[1]["op"], "remove");
}
