//! A new version of a workload is rolled out while its pods are handed over.

use std::time::Duration;

use e2e::{Namespace, Plugin};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::{Scene, assert_only_the_node_is_marked, patch_deployment, until_detached};

/// A pod template's annotation by which its pods tell their version.
const VERSION: &str = "handover.test/version";

/// Starts a rollout of `web` to version 2, whose pods are Ready after `ready_after`; returns when its ReplicaSet has made
/// its first pod.
async fn roll_out(ns: &Namespace, ready_after: &str) {
    let annotations = json!({ VERSION: "2", "handover.test/ready-after": ready_after });
    let patch = json!({ "spec": { "template": { "metadata": { "annotations": annotations } } } });
    patch_deployment(ns, "web", &patch).await;
    ns.until::<Pod>("app=web", "the new version has a pod", |pods| pods.iter().any(is_new)).await;
}

fn is_new(pod: &Pod) -> bool {
    pod.annotations().get(VERSION).is_some_and(|version| version == "2")
}

async fn are_all_new(ns: &Namespace) -> bool {
    ns.pods("app=web").await.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).all(is_new)
}

#[tokio::test]
async fn a_rollout_that_begins_meanwhile_takes_the_place_of_a_single_replica_without_a_gap() {
    let scene = Scene::begun("mw-roll-one", 1, async |ns| {
        ns.deployment("web").exit_after("200ms").ready().await;
        ns.budget("web").min_available(1).ready().await;
    })
    .await;
    roll_out(&scene.ns, "500ms").await;
    let mut ended = scene.resolves().await;
    ended.ns.deployment_available("web").await;
    ended.web_had(1, 1).await;
    assert!(are_all_new(&ended.ns).await, "{}", ended.run);
}

/// The pods that are still to go when the rollout begins are the rollout's to replace.
#[tokio::test]
async fn a_rollout_that_begins_meanwhile_and_the_run_lose_none_of_three_endpoints() {
    let scene = Scene::begun("mw-roll-three", 3, async |ns| {
        ns.deployment("web").replicas(3).max_surge(1).max_unavailable(0).exit_after("200ms").ready().await;
        ns.budget("web").max_unavailable(0).ready().await;
    })
    .await;
    roll_out(&scene.ns, "500ms").await;
    let mut ended = scene.resolves().await;
    // The run may have ended before the rollout.
    ended.ns.deployment_available("web").await;
    ended.web_had(3, 3).await;
    assert!(are_all_new(&ended.ns).await, "{}", ended.run);
}

/// A new version that does not come up: what was detached is replaced by the old version, the rest stays and serves, and
/// once somebody has taken the new version back the same command goes on.
#[tokio::test]
async fn a_rollout_that_never_ends_keeps_the_pods_that_serve_where_they_are() {
    let scene = Scene::begun("mw-roll-stuck", 3, async |ns| {
        ns.deployment("web").replicas(3).max_surge(1).max_unavailable(0).exit_after("200ms").ready().await;
        ns.budget("web").max_unavailable(0).ready().await;
    })
    .await;
    roll_out(&scene.ns, "never").await;
    let Scene { ns, old, mut recorder, running } = scene;
    ns.node("new").create().await;
    recorder.until("calm", "the other workload has moved", |sample| !sample.nodes.contains(&old)).await;
    running.stderr_contains("the rollout of its Deployment to end").await;
    running.signal(Signal::INT);
    let stopped = running.wait().await.expect_code(130);
    assert_eq!(recorder.fewest_ready("web"), 3, "{:?}\n{stopped}", recorder.counts("web"));

    let back = json!({ "spec": { "template": { "metadata": { "annotations": {
        VERSION: Value::Null, "handover.test/ready-after": Value::Null,
    } } } } });
    patch_deployment(&ns, "web", &back).await;
    let again = Plugin::safedrain(&ns).args([old.as_str(), "--settle=0s", "--yes"]).run().await.expect_code(0);
    recorder.stop().await;
    assert_eq!(recorder.fewest_ready("web"), 3, "{:?}\n{stopped}\n{again}", recorder.counts("web"));
    assert_only_the_node_is_marked(&ns, &old, &again).await;
}

/// An interrupt gives a detached pod back, but not to a ReplicaSet that a rollout is emptying: that would delete it.
#[tokio::test]
async fn an_interrupt_during_a_rollout_leaves_the_detached_pod_serving() {
    let scene = Scene::begun("mw-roll-int", 1, async |ns| {
        ns.deployment("web").exit_after("200ms").ready().await;
        ns.budget("web").min_available(1).ready().await;
    })
    .await;
    roll_out(&scene.ns, "500ms").await;
    let Scene { ns, old, mut recorder, running } = scene;
    running.signal(Signal::INT);
    let stopped = running.wait().await.expect_code(130);
    assert!(stopped.stderr.contains("a rollout of its Deployment is in progress"), "{stopped}");
    let detached = until_detached(&ns, "web").await;

    ns.node("new").create().await;
    let again = Plugin::safedrain(&ns).args([old.as_str(), "--settle=0s", "--yes"]).deadline(Duration::from_secs(60));
    let again = again.run().await.expect_code(0);
    ns.pod_gone(&detached).await;
    ns.deployment_available("web").await;
    recorder.stop().await;
    assert_eq!(recorder.fewest_ready("web"), 1, "{:?}\n{stopped}\n{again}", recorder.counts("web"));
    assert!(are_all_new(&ns).await, "{again}");
    assert_only_the_node_is_marked(&ns, &old, &again).await;
}
