//! Somebody deletes the workload, or the very pod that is being handed over.

use e2e::{ControlPlane, Kubectl, Namespace, Plugin};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::DeleteParams;
use rustix::process::Signal;

use super::{Scene, assert_only_the_node_is_marked, until_detached};

/// The garbage collector deletes the pods of a Deployment that is gone, but not the one that was detached: nobody owns
/// it. The run takes it away, since it would have gone with the others.
#[tokio::test]
async fn a_detached_pod_goes_when_its_deployment_is_deleted() {
    let scene = Scene::begun("mw-del-one", 1, async |ns| {
        ns.deployment("web").exit_after("200ms").ready().await;
    })
    .await;
    Kubectl::run(&scene.ns, ["delete", "deployment", "web"]).await.expect_code(0);
    let mut ended = scene.resolves().await;
    ended.web_had(0, 0).await;
    ended.web_is_gone().await;
}

/// Pods that were still to be handed over when their Deployment was deleted go with it: that is no failure of the run.
#[tokio::test]
async fn a_deployment_that_is_deleted_takes_the_pods_with_it_that_wait_for_their_handover() {
    let scene = Scene::begun("mw-del-three", 3, async |ns| {
        ns.deployment("web").replicas(3).max_surge(1).exit_after("500ms").ready().await;
    })
    .await;
    Kubectl::run(&scene.ns, ["delete", "deployment", "web"]).await.expect_code(0);
    let mut ended = scene.resolves().await;
    ended.web_had(0, 0).await;
    ended.web_is_gone().await;
}

/// Deleted without its pods: its ReplicaSet stays, and with it everything that a handover needs.
#[tokio::test]
async fn a_deployment_that_is_deleted_without_its_pods_loses_no_endpoint() {
    let scene = Scene::begun("mw-del-orphan", 2, async |ns| {
        ns.deployment("web").replicas(2).max_surge(1).ready_after("300ms").exit_after("200ms").ready().await;
    })
    .await;
    Kubectl::run(&scene.ns, ["delete", "deployment", "web", "--cascade=orphan"]).await.expect_code(0);
    let Scene { ns, old, mut recorder, running } = scene;
    ns.node("new").create().await;
    let run = running.wait().await.expect_code(0);
    recorder.stop().await;
    assert_eq!(recorder.fewest_ready("web"), 2, "{:?}\n{run}", recorder.counts("web"));
    assert_only_the_node_is_marked(&ns, &old, &run).await;
}

/// A budget that is left behind never opens for a pod whose workload is gone, and is nobody's to pass by: the run says so
/// and ends, and who is asked for what is the next run's plan.
#[tokio::test]
async fn a_budget_that_outlives_its_workload_holds_the_detached_pod_and_the_run_says_so() {
    let ns = Namespace::fresh(ControlPlane::shared(), "mw-del-budget").await;
    let new = ns.node("new").cordoned().create().await;
    let flags = ["--replacement-timeout=15s"];
    let scene = Scene::begun_with(ns, 1, &flags, async |ns| {
        ns.deployment("web").exit_after("200ms").ready().await;
        ns.budget("web").min_available(1).ready().await;
    })
    .await;
    let Scene { ns, old, mut recorder, running } = scene;
    Kubectl::run(&ns, ["delete", "deployment", "web", "--cascade=foreground", "--wait"]).await.expect_code(0);
    Kubectl::run(&ns, ["uncordon", &new]).await.expect_code(0);
    let run = running.wait().await.expect_code(4);
    recorder.stop().await;
    assert!(run.stderr.contains("its workload is gone"), "{run}");
    assert_eq!((recorder.counts("web"), recorder.counts("calm")), (vec![1], vec![1, 2, 1]), "{run}");

    let refused = Plugin::safedrain(&ns).args([old.as_str()]).run().await.expect_code(3);
    assert!(refused.stderr.contains("--force"), "{refused}");
    Kubectl::run(&ns, ["delete", "pdb", "web"]).await.expect_code(0);
    let forced = Plugin::safedrain(&ns).args([old.as_str(), "--force"]).run().await.expect_code(0);
    assert_only_the_node_is_marked(&ns, &old, &forced).await;
}

/// So does an interrupt, which waits for no budget that does not open.
#[tokio::test]
async fn an_interrupt_ends_a_run_that_waits_for_such_a_budget() {
    let scene = Scene::begun("mw-del-int", 1, async |ns| {
        ns.deployment("web").exit_after("200ms").ready().await;
        ns.budget("web").min_available(1).ready().await;
    })
    .await;
    Kubectl::run(&scene.ns, ["delete", "deployment", "web", "--cascade=foreground", "--wait"]).await.expect_code(0);
    scene.running.signal(Signal::INT);
    let run = scene.running.wait().await.expect_code(130);
    assert!(run.stderr.contains("its workload is gone"), "{run}");
    assert_eq!(scene.recorder.counts("web"), [1], "{run}");
}

/// What it served is lost by that, not by the run, which sees its replacement come up and ends.
#[tokio::test]
async fn somebody_deletes_the_detached_pod_and_its_replacement_comes_all_the_same() {
    let scene = Scene::begun("mw-del-pod", 3, async |ns| {
        ns.deployment("web").replicas(3).max_surge(1).exit_after("200ms").ready().await;
        ns.budget("web").max_unavailable(0).ready().await;
    })
    .await;
    let detached = until_detached(&scene.ns, "web").await;
    scene.ns.api::<Pod>().delete(&detached.name_any(), &DeleteParams::default()).await.unwrap();
    scene.ns.pod_gone(&detached).await;
    let mut ended = scene.resolves().await;
    ended.web_had(2, 3).await;
    let audit = ended.ns.audit().await;
    let evictions: Vec<_> = audit.evictions().into_iter().map(|eviction| eviction.name.clone()).collect();
    assert!(!evictions.contains(&detached.name_any()), "nobody evicts what is gone: {evictions:?}\n{}", ended.run);
}
