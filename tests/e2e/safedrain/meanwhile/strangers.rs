//! Somebody drains the same node with `kubectl drain`, which asks for no lease and knows of no handover.

use std::collections::BTreeSet;

use e2e::{Invocation, Kubectl};
use kube::ResourceExt;

use super::Scene;

fn kubectl_drain(scene: &Scene) -> Invocation {
    // A detached pod has no controller, which kubectl takes only with --force.
    Kubectl::command(&scene.ns, ["drain", &scene.old, "--force", "--ignore-daemonsets"])
}

/// A budget holds kubectl back until the replacement serves; then it does not matter which of the two is first.
#[tokio::test]
async fn kubectl_drain_and_a_run_empty_a_node_together_and_the_budgets_hold() {
    let scene = Scene::begun("mw-drain", 3, async |ns| {
        ns.deployment("web").replicas(3).max_surge(1).exit_after("200ms").ready().await;
        ns.budget("web").max_unavailable(1).ready().await;
    })
    .await;
    let drain = kubectl_drain(&scene).spawn();
    drain.stderr_contains("will retry after 5s").await;
    let mut ended = scene.resolves().await;
    let drain = drain.wait().await.expect_code(0);
    ended.ns.deployment_available("web").await;
    // The budget lets one go.
    ended.web_had(2, 3).await;
    assert!(drain.stderr.contains("evict"), "{drain}");
    let left = ended.ns.pods("").await;
    let nodes: BTreeSet<_> = left.iter().filter_map(|pod| pod.spec.as_ref()?.node_name.clone()).collect();
    assert!(!nodes.contains(&ended.old), "{:?}", left.iter().map(ResourceExt::name_any).collect::<Vec<_>>());
}

/// Where no budget holds it back kubectl takes everything at once, also the pod that serves on until its replacement is
/// there. That gap is not the run's; it sees the pods gone, and ends.
#[tokio::test]
async fn what_kubectl_drain_has_taken_is_nothing_that_a_run_waits_for() {
    let scene = Scene::begun("mw-drain-all", 2, async |ns| {
        ns.deployment("web").replicas(2).max_surge(1).exit_after("200ms").ready().await;
    })
    .await;
    let drain = kubectl_drain(&scene).args(["--pod-selector=app=web"]).run().await.expect_code(0);
    let gone = scene.ns.pods("app=web").await;
    assert!(gone.iter().all(|pod| pod.spec.as_ref().unwrap().node_name.is_none()), "{drain}");
    let ended = scene.resolves().await;
    ended.ns.deployment_available("web").await;
    ended.ns.ready_endpoints("web", 2).await;
}
