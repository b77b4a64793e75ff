//! Documented command lines of `kubectl drain`, run unchanged but for the names of the plugin and of the node: the
//! examples of kubectl's own help, and the procedures that operators follow by hand. Those for virtual machines are in
//! the tests of vmievict.

use std::time::Duration;

use e2e::workload::is_pod_ready;
use e2e::{ControlPlane, EndpointRecorder, Kubectl, Namespace, Plugin, Run};
use k8s_openapi::api::core::v1::{Node, Pod};
use serde_json::json;

/// The name of the node in kubectl's examples.
const NODE: &str = "foo";

/// Runs a line that is written for `kubectl drain`, on a node of one's own.
async fn as_written(ns: &Namespace, line: &str, written: &str, node: &str) -> Run {
    let mut words = line.split_whitespace();
    assert_eq!((words.next(), words.next()), (Some("kubectl"), Some("drain")), "{line}");
    let arguments: Vec<_> = words.map(|word| if word == written { node } else { word }).collect();
    assert!(arguments.contains(&node), "{line} names {written}");
    Plugin::safedrain(ns).args(arguments).deadline(Duration::from_secs(90)).run().await
}

async fn is_cordoned(ns: &Namespace, node: &str) -> bool {
    let node: Node = ns.nodes().get(node).await.unwrap();
    node.spec.and_then(|spec| spec.unschedulable).unwrap_or(false)
}

/// The apps whose pods are on a node, each once.
async fn apps_on(ns: &Namespace, node: &str) -> Vec<String> {
    let pods = ns.pods("").await;
    let here =
        pods.into_iter().filter(|pod| pod.spec.as_ref().is_some_and(|spec| spec.node_name.as_deref() == Some(node)));
    let mut apps: Vec<_> = here.map(|pod| pod.metadata.labels.unwrap()["app"].clone()).collect();
    apps.sort();
    apps.dedup();
    apps
}

/// kubectl prints its examples as it documents them; a new one would have to be looked at.
#[tokio::test]
async fn the_examples_of_kubectls_help_run_under_the_name_safedrain() {
    let ns = Namespace::fresh(ControlPlane::shared(), "examples").await;
    let old = ns.node("old").create().await;
    ns.service("web").create().await;
    ns.deployment("web").ready_after("500ms").ready().await;
    ns.pod("bare").ready().await;
    ns.ready_endpoints("web", 1).await;
    ns.node("new").create().await;
    let help = Kubectl::run(&ns, ["drain", "--help"]).await.expect_code(0);
    let examples = help.stdout.split("Examples:").nth(1).and_then(|text| text.split("Options:").next()).unwrap();
    let examples: Vec<_> = examples.lines().map(str::trim).filter(|line| line.starts_with("kubectl drain")).collect();
    let [forced, graceful] = examples.as_slice() else {
        panic!("other examples than those that were looked at: {help}")
    };
    let mut recorder = EndpointRecorder::start(&ns).await;

    // "As above, but abort if there are pods not managed by a replication controller, …": before anything is touched.
    let run = as_written(&ns, graceful, NODE, &old).await.expect_code(3);
    assert!(run.stderr.contains("/bare has no controller, so nobody makes it again (pass --force)"), "{run}");
    assert_eq!(apps_on(&ns, &old).await, ["bare", "web"], "{run}");
    assert!(!is_cordoned(&ns, &old).await, "{run}");
    // "… and use a grace period of 15 minutes", once nothing is in its way.
    let bare = ns.pods("app=bare").await.remove(0);
    Kubectl::run(&ns, ["delete", "pod", "bare", "--wait=false"]).await.expect_code(0);
    ns.pod_gone(&bare).await;
    let run = as_written(&ns, graceful, NODE, &old).await.expect_code(0);
    let audit = ns.audit().await;
    let evictions = audit.evictions();
    let [eviction] = evictions.as_slice() else { panic!("one eviction was expected: {evictions:?}\n{run}") };
    assert_eq!(eviction.request_object.as_ref().unwrap()["deleteOptions"]["gracePeriodSeconds"], json!(900), "{run}");
    assert!(run.stdout.ends_with(&format!("node/{old} drained\n")), "{run}");

    // "Drain node, even if there are pods not managed by a replication controller, …"
    let second = ns.node_name("new");
    ns.pod("bare").on_node(&second).ready().await;
    ns.node("newer").create().await;
    let run = as_written(&ns, forced, NODE, &second).await.expect_code(0);
    recorder.stop().await;
    assert_eq!(apps_on(&ns, &second).await, Vec::<String>::new(), "{run}");
    assert!(run.stdout.contains("pod/bare evicted\n"), "{run}");
    assert_eq!(recorder.counts("web"), [1, 2, 1, 2, 1], "{run}");
}

/// Workflow B: a node is drained past everything that kubectl asks about, and comes back. A single replica behind a
/// budget, for which the document has people scale up and down again, needs no such step.
#[tokio::test]
async fn workflow_b_cordon_drain_and_uncordon_as_documented() {
    let ns = Namespace::fresh(ControlPlane::shared(), "workflow-b").await;
    let old = ns.node("old").create().await;
    ns.service("web").create().await;
    ns.deployment("web").ready_after("500ms").ready().await;
    ns.budget("web").min_available(1).ready().await;
    ns.deployment("cache").empty_dir().ready().await;
    ns.daemon_set("log").ready().await;
    ns.pod("bare").ready().await;
    ns.ready_endpoints("web", 1).await;
    let new = ns.node("new").create().await;
    let mut recorder = EndpointRecorder::start(&ns).await;

    Kubectl::run(&ns, ["cordon", &old]).await.expect_code(0);
    let line = "kubectl drain NODE --delete-local-data --ignore-daemonsets --force";
    let run = as_written(&ns, line, "NODE", &old).await.expect_code(0);

    recorder.stop().await;
    assert_eq!(recorder.counts("web"), [1, 2, 1], "{run}");
    assert_eq!(recorder.history("web").pop().unwrap().nodes.iter().collect::<Vec<_>>(), [&new], "{run}");
    assert_eq!(apps_on(&ns, &old).await, ["log"], "{run}");
    let lines: Vec<_> = run.stdout.lines().collect();
    assert_eq!(lines.first(), Some(&format!("node/{old} already cordoned").as_str()), "{run}");
    assert_eq!(lines.last(), Some(&format!("node/{old} drained").as_str()), "{run}");
    assert!(run.stdout.contains("pod/bare evicted\n"), "{run}");

    let back = Kubectl::run(&ns, ["uncordon", &old]).await.expect_code(0);
    assert!(back.stdout.contains("uncordoned") && !is_cordoned(&ns, &old).await, "{back}");
}

/// Workflow C: all old nodes are cordoned first, then drained one at a time; the pods that moved are up before the next.
#[tokio::test]
async fn workflow_c_the_old_pool_is_cordoned_and_drained_node_by_node_as_documented() {
    let ns = Namespace::fresh(ControlPlane::shared(), "workflow-c").await;
    let pool = format!("pool={}-old", ns.name());
    for name in ["one", "two"] {
        ns.node(name).label("pool", &format!("{}-old", ns.name())).create().await;
    }
    ns.service("web").create().await;
    ns.deployment("web").replicas(4).max_surge(1).max_unavailable(0).ready_after("500ms").ready().await;
    ns.pod("bare").on_node(&ns.node_name("two")).ready().await;
    ns.ready_endpoints("web", 4).await;
    let new = ns.node("new").create().await;
    let mut recorder = EndpointRecorder::start(&ns).await;

    let chosen = ["get", "nodes", "-l", pool.as_str(), "-o", "name"];
    let nodes = Kubectl::run(&ns, chosen).await.expect_code(0).stdout;
    let nodes: Vec<_> = nodes.lines().collect();
    assert_eq!(nodes.len(), 2, "{nodes:?}");
    for node in &nodes {
        Kubectl::run(&ns, ["cordon", node]).await.expect_code(0);
    }
    for node in &nodes {
        let run = as_written(&ns, "kubectl drain NODE --force", "NODE", node).await.expect_code(0);
        assert!(run.stdout.ends_with(&format!("{node} drained\n")), "{run}");
        // What the document has people look at before they go on.
        let pods: Vec<Pod> = ns.pods("app=web").await;
        let ready = pods.iter().filter(|pod| is_pod_ready(pod) && pod.metadata.deletion_timestamp.is_none());
        assert_eq!(ready.count(), 4, "{run}");
        assert_eq!(apps_on(&ns, node.trim_start_matches("node/")).await, Vec::<String>::new(), "{run}");
    }

    recorder.stop().await;
    assert_eq!(recorder.fewest_ready("web"), 4);
    let last = recorder.history("web").pop().unwrap();
    assert_eq!(last.nodes.iter().collect::<Vec<_>>(), [&new]);
    let seen: std::collections::BTreeSet<_> = recorder.history("web").into_iter().flat_map(|one| one.ready).collect();
    assert_eq!(seen.len(), 8, "no pod moved twice: {seen:?}");
    assert!(ns.pods("app=bare").await.is_empty(), "a pod without a controller is gone, as the document says");
}
