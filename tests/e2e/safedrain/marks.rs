//! What a run leaves behind, and how it is given back.

use e2e::{ControlPlane, EndpointRecorder, Namespace, Plugin};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Node;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

const RUN: &str = "handover/run";
const DETACHED: &str = "handover/detached";

async fn node(ns: &Namespace, name: &str) -> Node {
    ns.nodes().get(name).await.unwrap()
}

async fn lease(ns: &Namespace, node: &str) -> Option<Lease> {
    let leases = Api::<Lease>::namespaced(ns.client(), "kube-node-lease");
    leases.get_opt(&format!("handover-{node}")).await.unwrap()
}

fn is_cordoned(node: &Node) -> bool {
    node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or(false)
}

#[tokio::test]
async fn a_run_leaves_only_its_mark_and_undo_takes_that_back() {
    let ns = Namespace::fresh(ControlPlane::shared(), "marks").await;
    let old = ns.node("old").create().await;
    ns.service("web").create().await;
    ns.deployment("web").ready().await;
    ns.budget("web").min_available(1).ready().await;
    ns.ready_endpoints("web", 1).await;
    ns.node("new").create().await;
    let untouched = node(&ns, &old).await;

    Plugin::safedrain(&ns).args([&old, "--settle=0s", "--reason", "kernel update"]).run().await.expect_code(0);

    let drained = node(&ns, &old).await;
    let mark: Value = serde_json::from_str(&drained.annotations()[RUN]).unwrap();
    assert_eq!((mark["v"].as_u64(), mark["phase"].as_str()), (Some(1), Some("drained")), "{mark}");
    assert_eq!((mark["reason"].as_str(), mark["wasSchedulable"].as_bool()), (Some("kernel update"), Some(true)));
    assert!(is_cordoned(&drained));
    let mut annotations = drained.annotations().clone();
    annotations.remove(RUN);
    assert_eq!(&annotations, untouched.annotations(), "no other mark is left on the node");
    assert_eq!(drained.labels(), untouched.labels());
    assert!(lease(&ns, &old).await.is_none(), "the lease is released");
    assert!(ns.pods("").await.iter().all(|pod| !pod.annotations().contains_key(DETACHED)));

    let status = Plugin::safedrain(&ns).args([&old, "--status", "-o", "json"]).run().await.expect_code(0);
    assert_eq!(status.json()["nodes"][0]["run"]["phase"], json!("drained"), "{status}");

    let undo = Plugin::safedrain(&ns).args([&old, "--undo"]).run().await.expect_code(0);
    assert!(undo.stdout.contains(&format!("node/{old} uncordoned")), "{undo}");
    let back = node(&ns, &old).await;
    assert!(!is_cordoned(&back) && !back.annotations().contains_key(RUN));
    assert_eq!(back.annotations(), untouched.annotations());
    assert!(lease(&ns, &old).await.is_none());
    Plugin::safedrain(&ns).args([&old, "--undo"]).run().await.expect_code(0);
}

#[tokio::test]
async fn undo_leaves_a_node_cordoned_that_was_cordoned_before() {
    let ns = Namespace::fresh(ControlPlane::shared(), "cordoned").await;
    let old = ns.node("old").cordoned().create().await;
    let run = Plugin::safedrain(&ns).args([&old]).run().await.expect_code(0);
    assert!(run.stdout.contains(&format!("node/{old} already cordoned")), "{run}");
    // A second run of the same node does not forget what the first found.
    Plugin::safedrain(&ns).args([&old]).run().await.expect_code(0);
    Plugin::safedrain(&ns).args([&old, "--undo"]).run().await.expect_code(0);
    let back = node(&ns, &old).await;
    assert!(is_cordoned(&back) && !back.annotations().contains_key(RUN));
}

#[tokio::test]
async fn a_replacement_that_never_comes_up_gives_the_old_pod_back() {
    let ns = Namespace::fresh(ControlPlane::shared(), "given-back").await;
    let old = ns.node("old").create().await;
    ns.service("web").create().await;
    ns.deployment("web").ready().await;
    ns.budget("web").min_available(1).ready().await;
    ns.ready_endpoints("web", 1).await;
    let before = ns.pods("app=web").await.remove(0);
    let mut recorder = EndpointRecorder::start(&ns).await;

    // There is no other node.
    let run = Plugin::safedrain(&ns).args([&old, "--replacement-timeout=2s"]).run().await.expect_code(4);

    recorder.stop().await;
    assert_eq!(recorder.counts("web"), [1], "{run}");
    assert!(run.stderr.contains("kubectl safedrain") && run.stderr.contains("--undo"), "{run}");
    let pods = ns.pods("app=web").await;
    let live: Vec<_> = pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).collect();
    assert_eq!(live.len(), 1, "the surplus pod is gone\n{run}");
    assert_eq!(live[0].uid(), before.uid());
    assert_eq!(live[0].labels(), before.labels());
    assert_eq!(live[0].annotations(), before.annotations(), "record and deletion cost are taken back");
    let owner = &live[0].owner_references()[0];
    assert_eq!((owner.kind.as_str(), owner.controller), ("ReplicaSet", Some(true)));
    assert_eq!(ns.api::<Deployment>().get("web").await.unwrap().metadata.generation, Some(1));
}

#[tokio::test]
async fn a_killed_run_is_taken_over_by_the_same_command() {
    let ns = Namespace::fresh(ControlPlane::shared(), "killed").await;
    let old = ns.node("old").create().await;
    ns.service("web").create().await;
    ns.deployment("web").ready_after("1s").ready().await;
    ns.budget("web").min_available(1).ready().await;
    ns.ready_endpoints("web", 1).await;
    let mut recorder = EndpointRecorder::start(&ns).await;

    let first = Plugin::safedrain(&ns).args([&old]).spawn();
    first.stderr_contains("serves on").await;
    assert_eq!(first.kill().await.status.code(), None, "killed");
    ns.node("new").create().await;
    let second = Plugin::safedrain(&ns).args([&old]).run().await.expect_code(0);

    recorder.stop().await;
    assert_eq!(recorder.counts("web"), [1, 2, 1], "{second}");
    assert!(second.stderr.contains("dead run"), "the dead process of this host is no reason to wait: {second}");
}

#[tokio::test]
async fn an_interrupt_gives_the_old_pod_back_and_leaves_the_cordon() {
    let ns = Namespace::fresh(ControlPlane::shared(), "interrupt").await;
    let old = ns.node("old").create().await;
    ns.service("web").create().await;
    ns.deployment("web").ready().await;
    ns.ready_endpoints("web", 1).await;
    let before = ns.pods("app=web").await.remove(0);
    let mut recorder = EndpointRecorder::start(&ns).await;

    let running = Plugin::safedrain(&ns).args([&old]).spawn();
    running.stderr_contains("serves on").await;
    running.signal(rustix::process::Signal::INT);
    let run = running.wait().await.expect_code(130);

    recorder.stop().await;
    assert_eq!(recorder.counts("web"), [1], "{run}");
    assert!(run.stderr.contains("give back:"), "{run}");
    assert!(is_cordoned(&node(&ns, &old).await));
    assert!(lease(&ns, &old).await.is_none());
    let pods = ns.pods("app=web").await;
    let kept = pods.iter().find(|pod| pod.uid() == before.uid()).unwrap();
    assert_eq!((kept.labels(), kept.annotations()), (before.labels(), before.annotations()), "{run}");
}

#[tokio::test]
async fn a_second_run_finds_the_node_held() {
    let ns = Namespace::fresh(ControlPlane::shared(), "held").await;
    let old = ns.node("old").create().await;
    ns.deployment("web").ready().await;
    let first = Plugin::safedrain(&ns).args([&old]).spawn();
    first.stderr_contains("serves on").await;

    let second = Plugin::safedrain(&ns).args([&old]).run().await.expect_code(5);

    assert!(second.stderr.contains(&format!("node {old} is held by {}", ns.user().name)), "{second}");
    first.signal(rustix::process::Signal::INT);
    first.wait().await.expect_code(130);
}
