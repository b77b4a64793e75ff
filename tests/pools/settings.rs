//! What a copy is given on purpose, what it gets at the end, and who else keeps pools.

use e2e::{ControlPlane, Kubectl, NAMESPACE_LABEL, Namespace, Plugin, eventually};
use serde_json::{Value, json};

use crate::fleet::{Fleet, object};
use crate::objects::{follow_advice, list};
use crate::shop::Shop;

const DEPLOYMENTS: &str = "machinedeployments.cluster.x-k8s.io";
const POOLS: &str = "machinepools.cluster.x-k8s.io";
const CHECKS: &str = "machinehealthchecks.cluster.x-k8s.io";
const LEAST: &str = "cluster.x-k8s.io/cluster-api-autoscaler-node-group-min-size";
const MOST: &str = "cluster.x-k8s.io/cluster-api-autoscaler-node-group-max-size";
const DEADLINE: std::time::Duration = std::time::Duration::from_secs(60);

async fn annotations(fleet: &Fleet, name: &str) -> Value {
    fleet.get(DEPLOYMENTS, name).await.unwrap()["metadata"]["annotations"].clone()
}

#[tokio::test]
async fn the_copy_is_scaled_and_watched_like_its_source_once_that_is_gone() {
    let fleet = Fleet::open("scaled").await;
    fleet.machine_deployment("blue", 1).await;
    let limits = [format!("{LEAST}=1"), format!("{MOST}=5")];
    let annotate = ["annotate", DEPLOYMENTS, "blue", &limits[0], &limits[1]];
    Kubectl::run(&fleet.ns, annotate).await.expect_code(0);
    let spec = json!({
        "clusterName": "c1",
        "selector": { "matchLabels": { "cluster.x-k8s.io/deployment-name": "blue" } },
        "checks": { "unhealthyNodeConditions": [{ "type": "Ready", "status": "Unknown", "timeoutSeconds": 600 }] },
    });
    fleet.apply(&object("cluster.x-k8s.io", "v1beta2", "MachineHealthCheck", "blue-check", spec)).await;

    let copied = fleet.poolcopy(&["blue"]).run().await.expect_code(0);
    let (source, copy) = (annotations(&fleet, "blue").await, annotations(&fleet, "blue-2").await);
    assert!(source[MOST].is_null() && source["handover/frozen"].is_string(), "its growth is stopped: {copied}");
    assert!(copy[MOST].is_null(), "two pools would be scaled at once: {copy}");
    let check = fleet.get(CHECKS, "blue-2-check").await.unwrap();
    assert_eq!(check["spec"]["selector"]["matchLabels"]["cluster.x-k8s.io/deployment-name"], "blue-2");
    let again = fleet.poolcopy(&["blue"]).run().await.expect_code(0);
    assert!(again.stderr.contains("The copy has been made already"), "{again}");
    // Once there and back.
    fleet.poolcopy(&["blue", "--thaw"]).run().await.expect_code(0);
    assert_eq!(annotations(&fleet, "blue").await[MOST], "5");
    fleet.poolcopy(&["blue", "--freeze"]).run().await.expect_code(0);
    assert!(annotations(&fleet, "blue").await[MOST].is_null());

    follow_advice(&fleet.ns, &copied).await;
    fleet.poolcopy(&["blue", "--retire"]).run().await.expect_code(0);
    let copy = annotations(&fleet, "blue-2").await;
    assert_eq!((&copy[LEAST], &copy[MOST]), (&json!("1"), &json!("5")), "the copy is scaled now");
    assert!(fleet.get(CHECKS, "blue-check").await.is_none() && fleet.get(CHECKS, "blue-2-check").await.is_some());
}

/// What the autoscaler's limits were is with the pool that was stopped, and goes to its copy with it.
#[tokio::test]
async fn a_pool_that_was_stopped_before_hands_its_limits_on() {
    let fleet = Fleet::open("stopped").await;
    fleet.machine_deployment("blue", 1).await;
    let annotate = ["annotate", DEPLOYMENTS, "blue", &format!("{LEAST}=1"), &format!("{MOST}=5")];
    Kubectl::run(&fleet.ns, annotate).await.expect_code(0);
    fleet.poolcopy(&["blue", "--freeze"]).run().await.expect_code(0);
    fleet.poolcopy(&["blue"]).run().await.expect_code(0);
    fleet.poolcopy(&["blue", "--undo"]).run().await.expect_code(0);
    assert!(annotations(&fleet, "blue").await[MOST].is_null(), "it was stopped before the copy");
    // The source grows while its copy is waited for: the copy keeps the size that was planned.
    fleet.poolcopy(&["blue", "--no-wait"]).run().await.expect_code(0);
    Kubectl::run(&fleet.ns, ["scale", DEPLOYMENTS, "blue", "--replicas=2"]).await.expect_code(0);
    fleet.nodes_of("blue", 2).await;
    let copied = fleet.poolcopy(&["blue"]).run().await.expect_code(0);
    assert!(copied.stderr.contains("blue-2 has 1 ready node"), "{copied}");
    follow_advice(&fleet.ns, &copied).await;
    fleet.poolcopy(&["blue", "--retire"]).run().await.expect_code(0);
    assert_eq!(annotations(&fleet, "blue-2").await[MOST], "5");
}

#[tokio::test]
async fn a_copy_differs_where_it_is_told_to() {
    let fleet = Fleet::open("told").await;
    fleet.machine_deployment("blue", 1).await;
    let arguments = [
        "blue",
        "--name=ours",
        "--share-templates",
        "--set=/metadata/annotations/team=shop",
        "--unset=/metadata/labels/env",
    ];
    let planned = fleet.poolcopy(&arguments).args(["--dry-run=client", "-o", "yaml"]).run().await.expect_code(0);
    let checked = Kubectl::command(&fleet.ns, ["apply", "--dry-run=server", "-f", "-"]).stdin(&planned.stdout);
    checked.run().await.expect_code(0);
    let copied = fleet.poolcopy(&arguments).run().await.expect_code(0);
    let (source, copy) = (fleet.get(DEPLOYMENTS, "blue").await.unwrap(), fleet.get(DEPLOYMENTS, "ours").await.unwrap());
    assert_eq!(
        (&copy["metadata"]["annotations"]["team"], &copy["metadata"]["labels"]["env"]),
        (&json!("shop"), &Value::Null)
    );
    let reference = "/spec/template/spec/infrastructureRef/name";
    assert_eq!(copy.pointer(reference), source.pointer(reference), "{copied}");
    fleet.poolcopy(&["blue", "--undo"]).run().await.expect_code(0);
    assert!(fleet.get("foomachinetemplates", "blue").await.is_some(), "the source still needs it");
    for bad in ["--set=/spec/replicas/x=1", "--unset=/spec/nothing", "--set=FooConfig:/spec/a=1"] {
        fleet.poolcopy(&["blue", bad]).run().await.expect_code(2);
    }
}

/// Nobody drains a MachinePool whose provider makes no Machines.
#[tokio::test]
async fn a_pool_with_pods_is_not_deleted() {
    let fleet = Fleet::open("undrained").await;
    fleet.machine_pool("red", 2).await;
    let ns = &fleet.ns;
    let shop = Shop::open(ns, 2).await;
    for line in [["red", "--retire"], ["red", "--resize=1"]] {
        let refused = fleet.poolcopy(&line).run().await.expect_code(3);
        assert!(refused.stderr.contains("kubectl safedrain"), "{refused}");
    }
    // The harm that the refusal kept off.
    Kubectl::run(ns, ["delete", POOLS, "red"]).await.expect_code(0);
    eventually("the nodes are gone", DEADLINE, || async { fleet.node_count().await == 0 }).await;
    shop.has_lost().await;
}

/// One server stands for both clusters: what is seen is that each request goes by the context that it has to go by.
#[tokio::test]
async fn the_pools_objects_may_be_in_another_cluster_than_the_nodes() {
    let fleet = Fleet::open("two").await;
    fleet.machine_deployment("blue", 1).await;
    let context = ["--management-context", "handover-test"];
    let copied = fleet.poolcopy(&["blue"]).args(context).run().await.expect_code(0);
    let node = fleet.list("machines.cluster.x-k8s.io", "cluster.x-k8s.io/deployment-name=blue").await;
    let node = node[0]["status"]["nodeRef"]["name"].as_str().unwrap().to_owned();
    assert!(copied.stderr.contains(&format!("kubectl safedrain {node}")), "safedrain sees no pools there: {copied}");
    assert!(copied.stderr.contains("--management-context handover-test --retire"), "{copied}");
    follow_advice(&fleet.ns, &copied).await;
    fleet.poolcopy(&["blue", "--retire"]).args(context).run().await.expect_code(0);
    assert!(fleet.get(DEPLOYMENTS, "blue").await.is_none());
    let unknown = fleet.poolcopy(&["blue-2", "--management-context", "nowhere"]).run().await;
    assert!(unknown.code() != 0 && unknown.stderr.contains("nowhere"), "{unknown}");
}

/// Two API servers: one has the pools' objects and no node of them, the other the nodes and no kind of Cluster API's.
#[tokio::test]
async fn a_pool_whose_objects_another_server_has_is_replaced() {
    let workload = ControlPlane::start();
    let work = Namespace::fresh(&workload, "nodes").await;
    let fleet = Fleet::with_nodes_in("objects", &workload).await;
    let labels = json!({ "team": "blue", NAMESPACE_LABEL: work.name() });
    fleet.machine_deployment_with("blue", 2, &labels).await;
    assert_eq!(fleet.node_count().await, 0, "the nodes are in the other cluster");
    let shop = Shop::open(&work, 2).await;
    let manager = fleet.ns.user();
    let user = workload.user_with_context(work.user(), "management", manager);
    let poolcopy = |arguments: &[&str]| {
        let context = ["-n", fleet.ns.name(), "--management-context", "management"];
        Plugin::poolcopy(&work).user(&user).args(context).args(arguments)
    };

    let listed = poolcopy(&["--list"]).run().await.expect_code(0);
    assert!(listed.stdout.contains("blue"), "{listed}");
    let copied = poolcopy(&["blue"]).run().await.expect_code(0);
    assert!(copied.stderr.contains("blue-2 has 2 ready nodes, and is identical to its source"), "{copied}");
    assert!(copied.stderr.contains("--management-context management"), "the next commands name it: {copied}");
    let refused = poolcopy(&["blue", "--retire"]).run().await.expect_code(3);
    assert!(refused.stderr.contains("blue is not empty"), "{refused}");
    // Without a look at the nodes' own cluster they seem to be gone, and nothing to be on them.
    for line in [&["blue", "--retire"], &["blue", "--undo"], &["blue", "--resize=-1"]] {
        let blind = fleet.poolcopy(line).run().await.expect_code(3);
        assert!(blind.stderr.contains("Cluster c1's is in this cluster"), "{blind}");
    }
    follow_advice(&work, &copied).await;
    poolcopy(&["blue", "--retire"]).run().await.expect_code(0);
    shop.never_had_less().await;
    assert!(fleet.get(DEPLOYMENTS, "blue").await.is_none());
    let left = list(&work, "nodes", &format!("{NAMESPACE_LABEL}={}", work.name())).await;
    assert_eq!(left.len(), 2, "{left:#?}");

    // The copy's own copy, and back.
    poolcopy(&["blue-2", "--nodes=1"]).run().await.expect_code(0);
    poolcopy(&["blue-2", "--undo"]).run().await.expect_code(0);
    let left = list(&work, "nodes", &format!("{NAMESPACE_LABEL}={}", work.name())).await;
    assert_eq!(left.len(), 2, "{left:#?}");
    // Each cluster was asked to change what it has.
    let audit = fleet.ns.audit().await;
    let strays: Vec<_> = audit
        .changes()
        .into_iter()
        .filter(|event| !event.request_uri.contains("x-k8s.io"))
        .map(e2e::AuditEvent::summary)
        .collect();
    assert!(strays.is_empty(), "{strays:#?}");
}
