//! A workload gets another size while its pods are handed over: a user's wish, or an autoscaler's.

use e2e::{ControlPlane, Kubectl, Metrics, Namespace, Plugin};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;

use super::{Scene, assert_only_the_node_is_marked, until_it_has};

async fn wanted(ns: &Namespace) -> Option<i32> {
    ns.api::<Deployment>().get("web").await.unwrap().spec.unwrap().replicas
}

/// Of three pods one is detached. The ReplicaSet takes its replacement back first, and one of the others.
#[tokio::test]
async fn a_user_who_wants_one_pod_instead_of_three_always_has_one() {
    let scene = Scene::begun("mw-scale-one", 3, async |ns| {
        ns.deployment("web").replicas(3).max_surge(1).exit_after("200ms").ready().await;
        ns.budget("web").max_unavailable(0).ready().await;
    })
    .await;
    Kubectl::run(&scene.ns, ["scale", "deployment", "web", "--replicas=1"]).await.expect_code(0);
    until_it_has(&scene.ns, "web", 1).await;
    let mut ended = scene.resolves().await;
    ended.web_had(1, 1).await;
}

/// All of several are detached at once; the ReplicaSet has only replacements, which do not serve yet.
#[tokio::test]
async fn the_detached_pods_serve_on_while_their_workload_shrinks_under_them() {
    let scene = Scene::begun("mw-scale-all", 3, async |ns| {
        ns.deployment("web").replicas(3).max_surge(3).exit_after("200ms").ready().await;
        ns.budget("web").min_available(1).ready().await;
    })
    .await;
    scene.ns.until::<Pod>("app=web,pod-template-hash=handover", "all are detached", |pods| pods.len() == 3).await;
    Kubectl::run(&scene.ns, ["scale", "deployment", "web", "--replicas=1"]).await.expect_code(0);
    until_it_has(&scene.ns, "web", 1).await;
    assert_eq!(scene.recorder.counts("web"), [3], "nobody serves but the old pods");
    let mut ended = scene.resolves().await;
    ended.web_had(1, 1).await;
}

#[tokio::test]
async fn a_workload_that_a_user_wants_no_pod_of_leaves_without_a_replacement() {
    let scene = Scene::begun("mw-scale-none", 2, async |ns| {
        ns.deployment("web").replicas(2).max_surge(1).exit_after("200ms").ready().await;
    })
    .await;
    Kubectl::run(&scene.ns, ["scale", "deployment", "web", "--replicas=0"]).await.expect_code(0);
    until_it_has(&scene.ns, "web", 0).await;
    let mut ended = scene.resolves().await;
    ended.web_had(0, 0).await;
    ended.web_is_gone().await;
}

/// The budget counts the detached pod, which is the only one left, and needs one.
#[tokio::test]
async fn a_budget_that_no_replacement_will_open_is_told_at_the_deadline_and_the_pod_serves_on() {
    let ns = Namespace::fresh(ControlPlane::shared(), "mw-scale-budget").await;
    let scene = Scene::begun_with(ns, 1, &["--replacement-timeout=8s"], async |ns| {
        ns.deployment("web").exit_after("200ms").ready().await;
        ns.budget("web").min_available(1).ready().await;
    })
    .await;
    let Scene { ns, old, mut recorder, running } = scene;
    Kubectl::run(&ns, ["scale", "deployment", "web", "--replicas=0"]).await.expect_code(0);
    until_it_has(&ns, "web", 0).await;
    ns.node("new").create().await;
    let run = running.wait().await.expect_code(4);
    let told = [
        "its workload asks for fewer pods by now, and it was waiting for PodDisruptionBudget",
        "(needs 1 healthy pods, has 1)",
        "it cannot be attached again either: its workload was scaled to 0",
    ];
    for words in told {
        assert!(run.stderr.contains(words), "{words:?}\n{run}");
    }
    assert_eq!(recorder.counts("web"), [1], "{run}");
    // Somebody wants it again: the same command goes on.
    Kubectl::run(&ns, ["scale", "deployment", "web", "--replicas=1"]).await.expect_code(0);
    let again = Plugin::safedrain(&ns).args([old.as_str(), "--settle=0s"]).run().await.expect_code(0);
    recorder.stop().await;
    assert_eq!(recorder.fewest_ready("web"), 1, "{again}");
    assert_only_the_node_is_marked(&ns, &old, &again).await;
}

#[tokio::test]
async fn an_autoscaler_that_wants_three_pods_instead_of_one_gets_them_and_no_more() {
    let metrics = Metrics::shared().await;
    let scene = Scene::begun("mw-hpa-up", 1, async |ns| {
        metrics.load(ns, "web", 80);
        ns.deployment("web").requests("100m", "64Mi").exit_after("200ms").ready().await;
        ns.budget("web").max_unavailable(0).ready().await;
        ns.autoscaler("web").create().await;
    })
    .await;
    metrics.load(&scene.ns, "web", 250);
    until_it_has(&scene.ns, "web", 3).await;
    let mut ended = scene.resolves().await;
    ended.ns.deployment_available("web").await;
    ended.web_had(1, 3).await;
    assert_eq!(wanted(&ended.ns).await, Some(3), "the detached pod has not led it astray\n{}", ended.run);
    assert_eq!(ended.ns.pods("app=web").await.len(), 3, "{}", ended.run);
}

#[tokio::test]
async fn an_autoscaler_that_wants_one_pod_instead_of_three_always_has_one() {
    let metrics = Metrics::shared().await;
    let scene = Scene::begun("mw-hpa-down", 3, async |ns| {
        metrics.load(ns, "web", 250);
        ns.deployment("web").replicas(3).max_surge(1).requests("100m", "64Mi").exit_after("200ms").ready().await;
        ns.budget("web").max_unavailable(0).ready().await;
        ns.autoscaler("web").create().await;
    })
    .await;
    metrics.load(&scene.ns, "web", 80);
    until_it_has(&scene.ns, "web", 1).await;
    let mut ended = scene.resolves().await;
    ended.web_had(1, 1).await;
    assert_eq!(wanted(&ended.ns).await, Some(1), "{}", ended.run);
}
