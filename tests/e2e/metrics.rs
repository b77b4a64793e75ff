//! The stand-in for metrics-server: what is asked of it comes through the API server, and the real autoscaler believes it.

use e2e::{ControlPlane, Kubectl, Metrics, Namespace};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use serde_json::json;

#[tokio::test]
async fn an_autoscaler_follows_the_load_from_one_pod_to_three_and_back() {
    let metrics = Metrics::shared().await;
    let namespace = Namespace::fresh(ControlPlane::shared(), "autoscaler").await;
    namespace.node("a").create().await;
    namespace.service("web").create().await;
    namespace.deployment("web").requests("100m", "64Mi").ready().await;
    namespace.deployment("idle").requests("100m", "64Mi").ready().await;
    namespace.ready_endpoints("web", 1).await;

    metrics.load(&namespace, "web", 250);
    namespace.autoscaler("web").between(1, 5).create().await;
    namespace.ready_endpoints("web", 3).await;
    let believes = |all: &[HorizontalPodAutoscaler]| {
        let conditions = all.iter().filter_map(|one| one.status.as_ref()?.conditions.as_ref()).flatten();
        conditions.into_iter().any(|one| one.type_ == "ScalingActive" && one.status == "True")
    };
    namespace.until("", "the autoscaler has its numbers", believes).await;

    // One number for the workload: each of its pods does a third of it, whoever asks.
    let top = Kubectl::run(&namespace, ["top", "pods", "--no-headers"]).await.expect_code(0);
    let mut usage: Vec<(&str, &str)> = top
        .stdout
        .lines()
        .map(|line| {
            let mut words = line.split_whitespace();
            let name = words.next().unwrap();
            (name.split('-').next().unwrap(), words.next().unwrap())
        })
        .collect();
    usage.sort_unstable();
    assert_eq!(usage, [("idle", "0m"), ("web", "84m"), ("web", "84m"), ("web", "84m")], "{top}");

    metrics.load(&namespace, "web", 80);
    namespace.ready_endpoints("web", 1).await;
    let object = Kubectl::run(&namespace, ["get", "deployment", "web", "-o", "json"]).await.expect_code(0).json();
    assert_eq!(object["spec"]["replicas"], json!(1));
}
