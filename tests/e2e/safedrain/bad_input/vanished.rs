//! A node that somebody deletes while it is drained.

use e2e::{ControlPlane, Namespace, Plugin};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::DeleteParams;

/// What was handed over serves elsewhere, what was being evicted goes with the node (the pod garbage collector takes up
/// to a minute for it), and nothing is left to give back.
#[tokio::test]
async fn a_node_that_is_deleted_meanwhile_ends_the_run_well_and_the_run_says_so() {
    let ns = Namespace::fresh(ControlPlane::shared(), "vanished").await;
    let old = ns.node("old").create().await;
    ns.deployment("web").ready().await;
    ns.stateful_set("db").exit_after("20s").ready().await;
    let new = ns.node("new").create().await;
    let running = Plugin::safedrain(&ns).args([&old, "--settle=0s"]).spawn();
    running.stderr_contains("serves on").await;
    running.stdout_contains("evicting").await;

    ns.nodes().delete(&old, &DeleteParams::default()).await.unwrap();
    let run = running.wait().await.expect_code(0);

    let told = format!("Warning: node {old} does not exist any more: somebody deleted it during the run");
    assert!(run.stderr.contains(&told), "{run}");
    assert!(!run.stderr.contains("give back:"), "there is nothing to give back: {run}");
    let pods = ns
        .until("", "both workloads are up elsewhere", |pods: &[Pod]| {
            pods.len() == 2 && pods.iter().all(e2e::workload::is_pod_ready)
        })
        .await;
    for pod in pods {
        assert_eq!(pod.spec.as_ref().unwrap().node_name.as_ref(), Some(&new), "{}", pod.name_any());
    }
    let undo = Plugin::safedrain(&ns).args([&old, "--undo"]).run().await.expect_code(3);
    assert!(undo.stderr.contains("does not exist in this cluster"), "{undo}");
}
