//! Copy, hand over, retire; and the copy's undo.

use std::time::Duration;

use e2e::{Kubectl, eventually};
use serde_json::{Value, json};

use crate::fleet::{Fleet, object};
use crate::ground::Ground;
use crate::objects::{follow_advice, list, written};
use crate::shop::Shop;

const DEPLOYMENTS: &str = "machinedeployments.cluster.x-k8s.io";
const POOLS: &str = "machinepools.cluster.x-k8s.io";

#[tokio::test]
async fn a_machine_deployment_is_copied_its_work_handed_over_and_then_it_is_retired() {
    let fleet = Fleet::open("copied").await;
    fleet.machine_deployment("blue", 2).await;
    let shop = Shop::open(&fleet.ns, 2).await;
    let before = fleet.get(DEPLOYMENTS, "blue").await.unwrap();

    let copied = fleet.poolcopy(&["blue"]).run().await.expect_code(0);
    assert!(copied.stderr.contains("blue-2 has 2 ready nodes, and is identical to its source"), "{copied}");
    let after = fleet.get(DEPLOYMENTS, "blue").await.unwrap();
    assert_eq!(written(&after), written(&before), "the source is as it was");
    let copy = fleet.get(DEPLOYMENTS, "blue-2").await.unwrap();
    assert_eq!(copy["spec"]["template"]["metadata"]["labels"]["node.cluster.x-k8s.io/tier"], "gold");
    assert_eq!(copy["spec"]["selector"]["matchLabels"]["cluster.x-k8s.io/deployment-name"], "blue-2");
    assert_eq!(fleet.node_count().await, 4);
    // Once more: the copy is there, and stays the only one.
    let again = fleet.poolcopy(&["blue"]).run().await.expect_code(0);
    assert!(again.stderr.contains("The copy has been made already"), "{again}");
    assert_eq!(fleet.node_count().await, 4);

    // Not before it is empty, and the refusal names the way.
    let refused = fleet.poolcopy(&["blue", "--retire"]).run().await.expect_code(3);
    assert!(refused.stderr.contains("blue is not empty"), "{refused}");
    follow_advice(&fleet.ns, &copied).await;
    let retired = fleet.poolcopy(&["blue", "--retire"]).run().await.expect_code(0);

    shop.never_had_less().await;
    assert_eq!(fleet.node_count().await, 2, "{retired}");
    let left = fleet.objects().await;
    let of_source = |name: &&String| name.split('/').nth(1).unwrap().starts_with("blue-2");
    assert!(left.iter().all(|name| of_source(&name)), "nothing of the source is left: {left:#?}\n{retired}");
    let copy = fleet.get(DEPLOYMENTS, "blue-2").await.unwrap();
    assert_eq!(copy["metadata"]["annotations"]["handover/copy"], Value::Null, "the copy is a pool like any other");
}

#[tokio::test]
async fn an_undone_copy_leaves_nothing() {
    let fleet = Fleet::open("undone").await;
    fleet.machine_deployment("blue", 1).await;
    let (before, names) = (fleet.get(DEPLOYMENTS, "blue").await.unwrap(), fleet.objects().await);
    fleet.poolcopy(&["blue", "--name=green", "--nodes=2"]).run().await.expect_code(0);
    assert_eq!(fleet.node_count().await, 3);

    let undone = fleet.poolcopy(&["blue", "--undo"]).run().await.expect_code(0);

    assert_eq!(fleet.objects().await, names, "{undone}");
    assert_eq!(written(&fleet.get(DEPLOYMENTS, "blue").await.unwrap()), written(&before));
    assert_eq!(fleet.node_count().await, 1);
    let again = fleet.poolcopy(&["blue", "--undo"]).run().await.expect_code(0);
    assert!(again.stderr.contains("nothing is left to do"), "{again}");
}

#[tokio::test]
async fn the_roles_of_the_file_are_enough() {
    let fleet = Fleet::open("roles").await;
    fleet.machine_deployment("blue", 1).await;
    let user = fleet.ns.limited_user();
    e2e::Roles::read("poolcopy").bind(&fleet.ns, &user).await;
    fleet.poolcopy(&["--list"]).user(&user).run().await.expect_code(0);
    fleet.poolcopy(&["blue"]).user(&user).run().await.expect_code(0);
    fleet.poolcopy(&["blue", "--undo"]).user(&user).run().await.expect_code(0);
    fleet.poolcopy(&["blue"]).user(&user).run().await.expect_code(0);
    let refused = fleet.poolcopy(&["blue", "--retire"]).user(&user).run().await.expect_code(3);
    follow_advice(&fleet.ns, &refused).await;
    fleet.poolcopy(&["blue", "--retire"]).user(&user).run().await.expect_code(0);
    let audit = e2e::AuditLog::of_user(fleet.ns.control_plane(), &user.name).await;
    let denied: Vec<_> = audit.events.iter().filter(|event| event.code == 403).map(e2e::AuditEvent::summary).collect();
    assert!(denied.is_empty(), "{denied:#?}");
}

#[tokio::test]
async fn what_cannot_be_is_refused_before_anything_is_changed() {
    let fleet = Fleet::open("refused").await;
    fleet.machine_deployment("blue", 1).await;
    // A pool whose cloud makes no machine.
    let machine = json!({ "template": { "spec": { "refusal": "quota exceeded" } } });
    fleet.apply(&object("infrastructure.cluster.x-k8s.io", "v1alpha1", "FooMachineTemplate", "sick", machine)).await;
    let mut sick = fleet.get(DEPLOYMENTS, "blue").await.unwrap();
    sick["metadata"] = json!({ "name": "sick" });
    sick["spec"]["selector"] = Value::Null;
    sick["spec"]["template"]["spec"]["infrastructureRef"]["name"] = json!("sick");
    sick.as_object_mut().unwrap().remove("status");
    fleet.apply(&sick).await;

    let table: [(&[&str], i32, &str); 6] = [
        (&["bleu"], 3, "blue"),
        (&["blue", "--name=sick"], 3, "sick"),
        (&["blue", "--name=Green"], 3, "Green"),
        (&["sick"], 3, "available"),
        (&["blue", "--set=/spec/clusterName=other"], 2, "clusterName"),
        (&["blue", "--provider=gke"], 2, "gke"),
    ];
    let user = fleet.ns.control_plane().operator(fleet.ns.name());
    for (arguments, code, named) in table {
        let run = fleet.poolcopy(arguments).user(&user).run().await.expect_code(code);
        assert!(run.stderr.contains(named) && run.stderr.contains("error: "), "{run}");
    }
    let limited = fleet.ns.limited_user();
    let run = fleet.poolcopy(&["blue"]).user(&limited).run().await;
    assert!(run.code() == 3 && run.stderr.contains("may not list"), "{run}");
    let audit = e2e::AuditLog::of_user(fleet.ns.control_plane(), &user.name).await;
    assert!(audit.changes().is_empty(), "{audit:?}");
}

/// Everything kept but the name makes machines without end, and the webhook lets it through.
#[tokio::test]
async fn a_naive_copy_runs_away_and_is_stopped() {
    let fleet = Fleet::open("runaway").await;
    fleet.machine_deployment("blue", 1).await;
    fleet.naive_copy(DEPLOYMENTS, "blue", "naive").await;
    fleet.until_nodes("the naive copy makes more nodes than it was asked for", |count| count > 4).await;

    let listed = fleet.poolcopy(&["--list"]).run().await.expect_code(0);
    assert!(listed.stdout.contains("it runs away"), "{listed}");
    let refused = fleet.poolcopy(&["naive"]).run().await.expect_code(3);
    assert!(refused.stderr.contains("--freeze stops it"), "{refused}");
    fleet.poolcopy(&["naive", "--freeze"]).run().await.expect_code(0);
    let refused = fleet.poolcopy(&["naive", "--retire"]).run().await.expect_code(3);
    assert!(refused.stderr.contains("is not cordoned"), "{refused}");
    // Machines that were on their way still come.
    let pool = "cluster.x-k8s.io/deployment-name=naive";
    eventually("every machine of the naive copy has its node", Duration::from_secs(60), || async {
        let machines = fleet.list("machines.cluster.x-k8s.io", pool).await;
        !machines.is_empty() && machines.iter().all(|machine| machine["status"]["nodeRef"]["name"].is_string())
    })
    .await;
    let refused = fleet.poolcopy(&["naive", "--retire"]).run().await.expect_code(3);
    follow_advice(&fleet.ns, &refused).await;
    let retired = fleet.poolcopy(&["naive", "--retire"]).run().await.expect_code(0);
    assert_eq!(fleet.node_count().await, 1, "{retired}");
    fleet.nodes_of("blue", 1).await;
    assert!(fleet.get("foomachinetemplates", "blue").await.is_some(), "the source still needs it");
}

#[tokio::test]
async fn a_pool_shrinks_by_its_empty_nodes_one_after_another() {
    let fleet = Fleet::open("shrinks").await;
    fleet.machine_deployment("blue", 3).await;
    let shop = Shop::open(&fleet.ns, 1).await;
    let pods = list(&fleet.ns, "pods", "app=web").await;
    let busy = pods[0]["spec"]["nodeName"].as_str().unwrap().to_owned();
    let nodes = Ground::nodes(&fleet, "blue").await;
    let empty: Vec<_> = nodes.iter().filter(|node| **node != busy).collect();
    for node in &empty {
        Kubectl::run(&fleet.ns, ["cordon", node.as_str()]).await.expect_code(0);
    }
    // What a run that died before the size was changed leaves: its machine must not go in another's stead.
    let mark = "cluster.x-k8s.io/delete-machine=handover";
    Kubectl::run(&fleet.ns, ["annotate", "machines.cluster.x-k8s.io", &busy, mark]).await.expect_code(0);
    fleet.poolcopy(&["blue", "--resize=-1"]).run().await.expect_code(0);
    assert_eq!(fleet.node_count().await, 2, "the first is gone before the run ends");
    fleet.poolcopy(&["blue", "--resize=-1"]).run().await.expect_code(0);
    assert_eq!(Ground::nodes(&fleet, "blue").await, [busy]);
    shop.never_had_less().await;
}

/// Deleting a copy that refers to its source's objects deletes these.
#[tokio::test]
async fn the_end_of_a_machine_pools_copy_is_not_its_sources() {
    let fleet = Fleet::open("mp").await;
    fleet.machine_pool("red", 1).await;
    // With objects of its own, and without them once it goes.
    fleet.poolcopy(&["red", "--name=ours", "--nodes=1"]).run().await.expect_code(0);
    assert_eq!(fleet.node_count().await, 2);
    fleet.poolcopy(&["red", "--undo"]).run().await.expect_code(0);
    fleet.until_nodes("the source's node stays", |count| count == 1).await;
    assert!(fleet.get("foomachinepools", "red").await.is_some() && fleet.get("fooconfigs", "red").await.is_some());
    assert!(fleet.get("foomachinepools", "ours").await.is_none() && fleet.get("fooconfigs", "ours").await.is_none());

    fleet.naive_copy(POOLS, "red", "naive").await;
    for line in [["naive", "--retire"], ["red", "--name=other"]] {
        let refused = fleet.poolcopy(&line).run().await.expect_code(3);
        assert!(refused.stderr.contains("destroy"), "{refused}");
    }
    // The harm that the refusal kept off.
    e2e::Kubectl::run(&fleet.ns, ["delete", POOLS, "naive"]).await.expect_code(0);
    fleet.until_nodes("the source's nodes go with the naive copy", |count| count == 0).await;
}

#[tokio::test]
async fn a_machine_pool_is_copied_its_work_handed_over_and_then_it_is_retired() {
    let fleet = Fleet::open("mp-copied").await;
    fleet.machine_pool("red", 2).await;
    let shop = Shop::open(&fleet.ns, 2).await;
    let before = fleet.get(POOLS, "red").await.unwrap();

    let copied = fleet.poolcopy(&["red"]).run().await.expect_code(0);
    assert!(copied.stderr.contains("red-2 has 2 ready nodes, and is identical to its source"), "{copied}");
    assert_eq!(written(&fleet.get(POOLS, "red").await.unwrap()), written(&before), "the source is as it was");
    follow_advice(&fleet.ns, &copied).await;
    let retired = fleet.poolcopy(&["red", "--retire"]).run().await.expect_code(0);

    shop.never_had_less().await;
    assert_eq!(fleet.node_count().await, 2, "{retired}");
    assert!(fleet.get(POOLS, "red").await.is_none() && fleet.get("foomachinepools", "red").await.is_none());
    let copy = fleet.get(POOLS, "red-2").await.unwrap();
    assert_eq!(copy["metadata"]["annotations"]["handover/copy"], Value::Null, "the copy is a pool like any other");
}

/// Where Cluster API sees no control plane, it deletes the nodes of a MachineDeployment undrained.
#[tokio::test]
async fn a_pool_that_nobody_would_drain_is_not_deleted_with_its_pods() {
    let fleet = Fleet::without_control_plane("undrained-md").await;
    fleet.machine_deployment("blue", 2).await;
    let shop = Shop::open(&fleet.ns, 2).await;
    let copied = fleet.poolcopy(&["blue"]).run().await.expect_code(0);
    let refused = fleet.poolcopy(&["blue", "--retire"]).run().await.expect_code(3);
    assert!(refused.stderr.contains("kubectl safedrain"), "{refused}");
    follow_advice(&fleet.ns, &copied).await;
    fleet.poolcopy(&["blue", "--retire"]).run().await.expect_code(0);
    shop.never_had_less().await;

    // The harm, to the pool that has the work now.
    let shop = Shop::watch(&fleet.ns, 2).await;
    let delete = ["delete", DEPLOYMENTS, "blue-2", "--wait=false"];
    e2e::Kubectl::run(&fleet.ns, delete).await.expect_code(0);
    shop.has_lost().await;
}

/// A topology's controller takes a copied MachineDeployment for a duplicate and stops.
#[tokio::test]
async fn a_topologys_pool_is_copied_in_its_cluster() {
    let fleet = Fleet::open("topology").await;
    fleet.topology("blue", 2).await;
    let shop = Shop::open(&fleet.ns, 2).await;
    let copied = fleet.poolcopy(&["blue"]).run().await.expect_code(0);
    assert_eq!(fleet.node_count().await, 4, "{copied}");
    assert!(fleet.topology_is_reconciled().await, "{copied}");
    let again = fleet.poolcopy(&["blue"]).run().await.expect_code(0);
    assert!(again.stderr.contains("The copy has been made already"), "{again}");

    follow_advice(&fleet.ns, &copied).await;
    let retired = fleet.poolcopy(&["blue", "--retire"]).run().await.expect_code(0);
    shop.never_had_less().await;
    assert_eq!(fleet.node_count().await, 2, "{retired}");
    let cluster = fleet.get("clusters.cluster.x-k8s.io", "c2").await.unwrap();
    let workers = &cluster["spec"]["topology"]["workers"]["machineDeployments"];
    assert_eq!(workers.as_array().unwrap().len(), 1, "{workers}");
    assert_eq!(workers[0]["name"], "blue-2");
    assert_eq!(cluster["metadata"]["annotations"]["handover/copies"], Value::Null, "{retired}");
    eventually("the topology is reconciled", Duration::from_secs(60), || fleet.topology_is_reconciled()).await;

    // The harm of the obvious way.
    let name = fleet.of_topology("blue-2").await;
    fleet.naive_copy(DEPLOYMENTS, &name, "naive").await;
    eventually("a naive copy stops the whole cluster's reconciliation", Duration::from_secs(60), || async {
        !fleet.topology_is_reconciled().await
    })
    .await;
}

/// A topology's MachinePool: its entry is in another list, and nobody drains its nodes.
#[tokio::test]
async fn a_topologys_machine_pool_is_copied_in_its_cluster() {
    let fleet = Fleet::open("topology-mp").await;
    fleet.topology_of_machine_pools("red", 2).await;
    let entries = async || {
        let cluster = fleet.get("clusters.cluster.x-k8s.io", "c2").await.unwrap();
        cluster["spec"]["topology"]["workers"]["machinePools"].clone()
    };
    let before = entries().await;
    fleet.poolcopy(&["red", "--nodes=1"]).run().await.expect_code(0);
    assert_eq!(fleet.node_count().await, 3);
    let undone = fleet.poolcopy(&["red", "--undo"]).run().await.expect_code(0);
    fleet.until_nodes("the copy's node is gone", |count| count == 2).await;
    assert_eq!(entries().await, before, "{undone}");

    let shop = Shop::open(&fleet.ns, 2).await;
    let copied = fleet.poolcopy(&["red"]).run().await.expect_code(0);
    assert_eq!(fleet.node_count().await, 4, "{copied}");
    let refused = fleet.poolcopy(&["red", "--retire"]).run().await.expect_code(3);
    assert!(refused.stderr.contains("red is not empty"), "{refused}");
    follow_advice(&fleet.ns, &copied).await;
    let retired = fleet.poolcopy(&["red", "--retire"]).run().await.expect_code(0);
    shop.never_had_less().await;
    assert_eq!(fleet.node_count().await, 2, "{retired}");
    let left = entries().await;
    assert!(left.as_array().unwrap().len() == 1 && left[0]["name"] == "red-2", "{left}");
}
