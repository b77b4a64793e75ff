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

    // Machines that it makes while it goes would hang for ever.
    assert!(matches!(steps(&inventory, DEPLOYMENT.kind, "naive"), Err(Refusal::Trouble { .. })));

    let (address, mut stopped) =
        inventory.of(DEPLOYMENT).map(|(at, object)| (at.clone(), object.clone())).next().expect("it is there");
    stopped["spec"]["replicas"] = json!(0);
    inventory.put(&address.resource, stopped);
    put(&mut inventory, CORE, MACHINE.kind, "shop", "m1", &json!({ "clusterName": "c1" }));
    let resource = inventory.resource(CORE, MACHINE.kind).expect("machines are served").clone();
    let metadata = json!({ "name": "m1", "namespace": "shop", "uid": "m1", "labels": { DEPLOYMENT_NAME: "naive" } });
    inventory.put(&resource, json!({ "metadata": metadata, "spec": { "clusterName": "c1" } }));
    let removed = steps(&inventory, DEPLOYMENT.kind, "naive").expect("it may go");
    let place = |text: &str| removed.iter().position(|step| step.contains(text));
    assert_eq!(place("delete Machine shop/m1"), Some(0), "{removed:?}");
    assert!(place("delete Machine shop/m1") < place("delete MachineDeployment"), "{removed:?}");
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
    let workers: Vec<_> = entries.iter().map(|name| json!({ "name": name, "class": "w", "replicas": 1 })).collect();
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

#[test]
fn an_entry_of_which_nothing_was_made_yet_is_a_copy_as_well() {
    let mark = |kind: &str| {
        let of = json!({ "kind": kind, "namespace": "shop", "name": "c1-blue-x", "alias": "blue", "uid": "blue" });
        json!({ "v": 1, "of": of, "run": "r", "user": "u", "at": "2026-01-01T00:00:00Z", "version": "poolcopy/0" })
    };
    let marks = |key: &str, kind: &str| json!({ "handover/copies": json!({ key: mark(kind) }).to_string() });
    let swept = |inventory: &Inventory| {
        let pools = ClusterApi.pools(inventory);
        let steps = ClusterApi.sweep(inventory, &pools[0]);
        steps.iter().filter_map(Step::request).map(|request| request.body).collect::<Vec<_>>()
    };
    let inventory = topology(&["blue", "green"], &marks("green", DEPLOYMENT.kind));
    let patch = &swept(&inventory)[0];
    assert_eq!((&patch[0]["op"], &patch[0]["value"]), (&json!("test"), &json!("green")), "{patch}");
    assert_eq!(
        (&patch[1]["op"], &patch[1]["path"]),
        (&json!("remove"), &json!("/spec/topology/workers/machineDeployments/1"))
    );
    assert_eq!(patch[3]["op"], "remove", "the mark goes in the same request: {patch}");
    let gone = topology(&["blue"], &marks("green", DEPLOYMENT.kind));
    assert_eq!(swept(&gone)[0].as_array().map(Vec::len), Some(2), "only its mark is left");
    // A MachinePool's mark of the same name is of another list.
    assert!(swept(&topology(&["blue", "green"], &marks("machinePools/green", POOL.kind))).is_empty());
    assert!(ClusterApi.pools(&topology(&["blue"], &marks("machinePools/blue", POOL.kind)))[0].copy_of.is_none());

    let request = |name: Option<&str>| CopyRequest {
        name: name.map(str::to_owned),
        size: Some(1),
        overrides: Vec::new(),
        nodes_match: None,
        share_templates: false,
        maker: crate::mark::Maker {
            run: String::new(),
            user: String::new(),
            at: jiff::Timestamp::UNIX_EPOCH,
            version: String::new(),
        },
    };
    let source = &ClusterApi.pools(&inventory)[0];
    let plan = ClusterApi.copy(&inventory, source, &request(None)).expect("it is there already");
    assert_eq!(plan.target, "green", "no second one is made");
    assert!(ClusterApi.copy(&inventory, source, &request(Some("red"))).is_err());
}

#[test]
fn a_pool_of_another_cluster_does_not_look_empty() {
    let mut inventory = Inventory::default();
    pool(&mut inventory, DEPLOYMENT.kind, "shop", "blue", "boot", "blue");
    let check = |inventory: &Inventory| ClusterApi.check_place(inventory, &ClusterApi.pools(inventory)[0]);
    assert_eq!(check(&inventory), Ok(()), "nobody can say");
    let machine = |inventory: &mut Inventory, name: &str, node: &str, is_leaving: bool| {
        put(inventory, CORE, MACHINE.kind, "shop", name, &json!({ "clusterName": "c1" }));
        let resource = inventory.resource(CORE, MACHINE.kind).expect("machines are served").clone();
        let deletion = is_leaving.then_some("2026-01-01T00:00:00Z");
        inventory.put(
            &resource,
            json!({
                "metadata": { "name": name, "namespace": "shop", "uid": name, "deletionTimestamp": deletion,
                    "labels": { CLUSTER_NAME: "c1", DEPLOYMENT_NAME: "blue" } },
                "spec": { "clusterName": "c1" }, "status": { "nodeRef": { "name": node } },
            }),
        );
    };
    machine(&mut inventory, "a", "node-a", true);
    assert_eq!(check(&inventory), Ok(()), "its machine is going");
    machine(&mut inventory, "b", "node-b", false);
    assert!(matches!(check(&inventory), Err(Refusal::Elsewhere { nodes, .. }) if nodes == ["node-b"]));
    machine(&mut inventory, "c", "node-c", false);
    let node = json!({ "metadata": { "name": "node-c" } });
    inventory.put_node((&serde_json::from_value::<cluster_model::api::core::Node>(node).expect("a node")).into());
    assert_eq!(check(&inventory), Ok(()), "one of them is here, so node-b is gone");
}
