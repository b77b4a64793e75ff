//! `kubectl safedrain --pool` and `--onto`: which nodes are meant, those that come meanwhile, and what is refused.

use e2e::{Kubectl, Plugin, Run};
use serde_json::Value;

use crate::fleet::Fleet;

fn safedrain(fleet: &Fleet, arguments: &[&str]) -> e2e::Invocation {
    Plugin::safedrain(&fleet.ns).args(["-n", fleet.ns.name(), "--settle=0s"]).args(arguments)
}

/// The nodes of a pool, and whether each is cordoned.
async fn cordons(fleet: &Fleet, pool: &str) -> Vec<(String, bool)> {
    let mut cordons = Vec::new();
    for machine in fleet.list("machines.cluster.x-k8s.io", &format!("cluster.x-k8s.io/deployment-name={pool}")).await {
        let Some(name) = machine["status"]["nodeRef"]["name"].as_str() else { continue };
        let run = Kubectl::run(&fleet.ns, ["get", "node", name, "-o", "json"]).await.expect_code(0);
        let node: Value = serde_json::from_str(&run.stdout).unwrap();
        cordons.push((name.to_owned(), node["spec"]["unschedulable"] == true));
    }
    cordons
}

fn says(run: &Run, words: &str) {
    assert!(run.stderr.contains(words), "{words:?} in {run}");
}

/// The pods of the namespace.
async fn pods(fleet: &Fleet) -> Vec<Value> {
    let run = Kubectl::run(&fleet.ns, ["get", "pods", "-o", "json"]).await.expect_code(0);
    let pods: Value = serde_json::from_str(&run.stdout).unwrap();
    pods["items"].as_array().unwrap().clone()
}

async fn hold(fleet: &Fleet, pod: &str, finalizers: &str) {
    let patch = format!(r#"{{"metadata":{{"finalizers":{finalizers}}}}}"#);
    Kubectl::run(&fleet.ns, ["patch", "pod", pod, "--type=merge", "-p", &patch]).await.expect_code(0);
}

#[tokio::test]
async fn a_node_that_joins_the_pool_meanwhile_is_emptied_as_well() {
    let fleet = Fleet::open("joined").await;
    fleet.machine_deployment("blue", 1).await;
    fleet.ns.deployment("web").replicas(1).exit_after("200ms").ready().await;
    fleet.machine_deployment("green", 1).await;
    // The run waits for the pod's end, and that for its finalizer.
    let pod = pods(&fleet).await[0]["metadata"]["name"].as_str().unwrap().to_owned();
    hold(&fleet, &pod, r#"["handover.test/hold"]"#).await;

    let drain = safedrain(&fleet, &["--pool=blue", "--onto=green"]).spawn();
    drain.stderr_contains("replacements are expected on green: 1 node takes pods now").await;
    drain.stdout_contains("evicting pod").await;
    fleet.poolcopy(&["blue", "--resize=+1"]).run().await.expect_code(0);
    fleet.nodes_of("blue", 2).await;
    hold(&fleet, &pod, "null").await;
    let run = drain.wait().await.expect_code(0);

    says(&run, "joined the pool during the run");
    let cordons = cordons(&fleet, "blue").await;
    assert!(cordons.len() == 2 && cordons.iter().all(|(_, cordoned)| *cordoned), "{cordons:?} {run}");
    let green = self::cordons(&fleet, "green").await[0].0.clone();
    assert!(pods(&fleet).await.iter().all(|pod| pod["spec"]["nodeName"] == green.as_str()), "{run}");
}

#[tokio::test]
async fn a_pool_that_is_not_there_or_takes_nothing_is_refused() {
    let fleet = Fleet::open("onto").await;
    fleet.machine_deployment("blue", 1).await;
    fleet.machine_deployment("green", 1).await;
    let cordoned = cordons(&fleet, "green").await;
    let green = cordoned.first().unwrap().0.as_str();
    let user = fleet.ns.control_plane().operator(fleet.ns.name());
    let node = cordons(&fleet, "blue").await.first().unwrap().0.clone();

    let run = safedrain(&fleet, &["--pool=bleu"]).user(&user).run().await.expect_code(3);
    says(&run, "did you mean blue?");
    let run = safedrain(&fleet, &["--pool=blue", "--onto=gren"]).user(&user).run().await.expect_code(3);
    says(&run, "did you mean green?");
    let run = safedrain(&fleet, &["--pool=blue", "--onto=blue"]).user(&user).run().await.expect_code(3);
    says(&run, "belongs to that pool");
    let run = safedrain(&fleet, &[&node, "--onto=blue"]).user(&user).run().await.expect_code(3);
    says(&run, "belongs to that pool");
    safedrain(&fleet, &["--pool=blue", &node]).user(&user).run().await.expect_code(2);
    Kubectl::run(&fleet.ns, ["cordon", green]).await.expect_code(0);
    let run = safedrain(&fleet, &["--pool=blue", "--onto=green"]).user(&user).run().await.expect_code(3);
    says(&run, "waits for somebody to uncordon it");
    let audit = e2e::AuditLog::of_user(fleet.ns.control_plane(), &user.name).await;
    assert!(audit.changes().is_empty(), "{audit:?}");
}

#[tokio::test]
async fn a_name_that_two_pools_have_is_refused_until_their_namespace_is_said() {
    let (fleet, other) = (Fleet::open("twin-one").await, Fleet::open("twin-other").await);
    fleet.machine_deployment("twin", 1).await;
    other.machine_deployment("twin", 1).await;
    fleet.machine_deployment("green", 1).await;
    let user = fleet.ns.control_plane().operator(fleet.ns.name());
    let anywhere = |arguments: &[&str]| Plugin::safedrain(&fleet.ns).args(arguments).user(&user);
    let node = cordons(&fleet, "green").await.first().unwrap().0.clone();
    for (flag, arguments) in [("--pool", vec!["--pool=twin"]), ("--onto", vec![node.as_str(), "--onto=twin"])] {
        let run = anywhere(&arguments).run().await.expect_code(3);
        says(&run, &format!("{flag} twin: 2 pools are called so: "));
        for one in [&fleet, &other] {
            says(&run, one.ns.name());
        }
        says(&run, "nothing was changed");
        says(&run, "hint: pass `-n NAMESPACE`");
    }
    let audit = e2e::AuditLog::of_user(fleet.ns.control_plane(), &user.name).await;
    assert!(audit.changes().is_empty(), "{audit:?}");
    let its = cordons(&other, "twin").await.first().unwrap().0.clone();
    let run = anywhere(&["--pool=twin", "-n", other.ns.name(), "--dry-run=client"]).run().await.expect_code(0);
    assert!(run.stdout.contains(&format!("node {its}, to be cordoned")), "{run}");
}

#[tokio::test]
async fn what_finds_no_place_on_the_new_pool_is_told_and_not_evicted() {
    let fleet = Fleet::open("misfit").await;
    fleet.machine_deployment("blue", 1).await;
    fleet.machine_deployment("green", 1).await;
    let ns = &fleet.ns;
    let node = cordons(&fleet, "blue").await.first().unwrap().0.clone();
    Kubectl::run(ns, ["label", "node", &node, "rack=one"]).await.expect_code(0);
    ns.deployment("pinned")
        .replicas(1)
        .edit_pod(|pod| pod["spec"]["nodeSelector"]["rack"] = "one".into())
        .ready()
        .await;

    let run = safedrain(&fleet, &["--pool=blue", "--onto=green", "--dry-run=client"]).run().await.expect_code(0);
    assert!(run.stdout.contains("no node of green can take it (1 lacks label rack=one)"), "{run}");
    let run = safedrain(&fleet, &["--pool=blue", "--onto=green", "--strategy=evict"]).run().await.expect_code(3);
    says(&run, "would be evicted, and no node of green can take it");
    assert_eq!(cordons(&fleet, "blue").await, [(node, false)], "nothing was changed");
    let run = safedrain(&fleet, &["--pool=blue", "--onto=green", "--dry-run=client", "-o", "json"]).run().await;
    let plan: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(plan["nodes"][0]["pods"][0]["forecast"]["fits"], "no", "{run}");
}
