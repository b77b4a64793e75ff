//! The node dies under the run, or the controllers do.

use e2e::{ControlPlane, EndpointRecorder, Kubectl, Namespace, Plugin};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Patch, PatchParams};
use kube::runtime::watcher;
use serde_json::json;

use super::{DETACHED, Scene, assert_only_the_node_is_marked, until_detached};

/// A kubelet that says nothing any more: the pods there do not serve, and do not end. The run waits for their end, which
/// only somebody who knows that the machine is off may declare.
#[tokio::test]
async fn a_node_that_dies_meanwhile_is_drained_once_its_pods_are_given_up() {
    let ns = Namespace::fresh(ControlPlane::shared(), "mw-dead").await;
    // Where most nodes are lost, kube-controller-manager takes its network for broken and does nothing.
    for healthy in ["new", "b", "c"] {
        ns.node(healthy).cordoned().create().await;
    }
    let scene = Scene::begun_with(ns, 1, &[], async |ns| {
        ns.deployment("web").grace(1).exit_after("never").ready().await;
        ns.budget("web").min_available(1).ready().await;
    })
    .await;
    let (ns, old) = (&scene.ns, scene.old.as_str());
    let detached = until_detached(ns, "web").await;
    let silence = Patch::Merge(json!({ "metadata": { "annotations": { "handover.test/ready": "Unknown" } } }));
    ns.nodes().patch(old, &PatchParams::default(), &silence).await.unwrap();
    let config = watcher::Config::default().fields(&format!("metadata.name={old}"));
    e2e::wait::until(ns.nodes(), config, "the node is given up", e2e::wait::DEADLINE, |nodes: &[Node]| {
        let taints = nodes.iter().filter_map(|node| node.spec.as_ref()?.taints.as_ref()).flatten();
        taints.into_iter().any(|taint| taint.key == "node.kubernetes.io/unreachable" && taint.effect == "NoExecute")
    })
    .await;
    // kube-controller-manager does this itself where it is the one who finds the node silent, after 50 seconds.
    Kubectl::run(ns, ["annotate", "pod", "-l", DETACHED, "handover.test/unready=yes"]).await.expect_code(0);
    scene.recorder.until("web", "the pod there does not serve", |sample| sample.ready.is_empty()).await;

    let new = ns.node_name("new");
    Kubectl::run(ns, ["uncordon", &new]).await.expect_code(0);
    ns.ready_endpoints("web", 1).await;
    ns.until::<Pod>(DETACHED, "the run has asked for all to end", |pods| {
        pods.iter().all(|pod| pod.metadata.deletion_timestamp.is_some())
    })
    .await;
    scene.running.stderr_contains("and that node is not Ready").await;
    Kubectl::run(ns, ["taint", "node", old, "node.kubernetes.io/out-of-service=nodeshutdown:NoExecute"])
        .await
        .expect_code(0);
    ns.pod_gone(&detached).await;

    let Scene { ns, old, mut recorder, running } = scene;
    let run = running.wait().await.expect_code(0);
    recorder.stop().await;
    assert!(run.stdout.contains(&format!("node/{old} drained")), "{run}");
    assert_only_the_node_is_marked(&ns, &old, &run).await;
    let last = recorder.history("web").pop().unwrap();
    assert_eq!((last.ready.len(), last.nodes.contains(&new)), (1, true), "{run}");
}

/// Without kube-controller-manager a detached pod gets no replacement: it stays until there is somebody who makes one.
#[tokio::test]
async fn a_detached_pod_serves_on_for_as_long_as_nobody_makes_its_replacement() {
    let control_plane = ControlPlane::start();
    let ns = Namespace::fresh(&control_plane, "mw-nobody").await;
    let old = ns.node("old").create().await;
    let new = ns.node("new").cordoned().create().await;
    ns.service("web").create().await;
    ns.deployment("web").exit_after("200ms").ready().await;
    ns.budget("web").min_available(1).ready().await;
    ns.ready_endpoints("web", 1).await;
    Kubectl::run(&ns, ["uncordon", &new]).await.expect_code(0);
    let mut recorder = EndpointRecorder::start(&ns).await;
    control_plane.stop("kube-controller-manager").await;

    let running = Plugin::safedrain(&ns).args([old.as_str(), "--settle=0s"]).spawn();
    let detached = until_detached(&ns, "web").await;
    running.stderr_contains("waits for its ReplicaSet to make a replacement").await;
    assert!(ns.audit().await.evictions().is_empty(), "{}", running.stderr());
    assert!(ns.pods("app=web").await.iter().all(|pod| pod.metadata.uid == detached.metadata.uid));
    control_plane.resume("kube-controller-manager").await;

    let run = running.wait().await.expect_code(0);
    recorder.stop().await;
    assert_eq!(recorder.counts("web"), [1, 2, 1], "{run}");
    assert_only_the_node_is_marked(&ns, &old, &run).await;
}
