//! Many workloads at once: none of them ever has fewer ready endpoints than replicas, or more extra pods than allowed.

use e2e::{ControlPlane, EndpointRecorder, Namespace, Plugin};
use futures::future::join_all;

#[tokio::test]
async fn twenty_deployments_of_three_replicas_keep_all_their_endpoints() {
    let ns = Namespace::fresh(ControlPlane::shared(), "twenty").await;
    let old = ns.node("old").create().await;
    ns.node("other").create().await;
    let names: Vec<_> = (0..20).map(|number| format!("app-{number}")).collect();
    join_all(names.iter().map(|name| async {
        ns.service(name).create().await;
        ns.deployment(name)
            .replicas(3)
            .max_surge(1)
            .max_unavailable(0)
            .ready_after("500ms")
            .exit_after("500ms")
            .ready()
            .await;
        ns.budget(name).max_unavailable(1).ready().await;
    }))
    .await;
    join_all(names.iter().map(|name| ns.ready_endpoints(name, 3))).await;
    let on_old =
        ns.pods("").await.into_iter().filter(|pod| pod.spec.as_ref().unwrap().node_name.as_ref() == Some(&old));
    assert!(on_old.count() > 10, "the scheduler spreads pods over both nodes");
    ns.node("new").create().await;
    let mut recorder = EndpointRecorder::start(&ns).await;

    let run = Plugin::safedrain(&ns).args(["--settle=500ms", &old]).run().await.expect_code(0);

    recorder.stop().await;
    for name in &names {
        assert_eq!(recorder.fewest_ready(name), 3, "{name}\n{run}");
        let most = recorder.counts(name).into_iter().max().unwrap();
        assert!(most <= 4, "{name} had {most} ready endpoints with maxSurge 1\n{run}");
    }
    let left = ns.pods("").await.into_iter().filter(|pod| pod.spec.as_ref().unwrap().node_name.as_ref() == Some(&old));
    assert_eq!(left.count(), 0, "{run}");
}

/// `kubectl drain` takes 49 s for this and goes down to nine; scripts/bench has the times.
#[tokio::test]
async fn ten_replicas_of_one_node_are_never_fewer_under_a_budget_that_lets_one_go() {
    let ns = Namespace::fresh(ControlPlane::shared(), "ten").await;
    let old = ns.node("old").create().await;
    ns.service("web").create().await;
    ns.deployment("web").replicas(10).ready_after("1s").exit_after("500ms").ready().await;
    ns.budget("web").max_unavailable(1).ready().await;
    ns.ready_endpoints("web", 10).await;
    ns.node("new").create().await;
    let mut recorder = EndpointRecorder::start(&ns).await;

    let flags = ["--max-surge=100%", "--settle=0s"];
    let run = Plugin::safedrain(&ns).args([old.as_str()]).args(flags).run().await.expect_code(0);

    recorder.stop().await;
    assert_eq!(recorder.fewest_ready("web"), 10, "{run}");
}
