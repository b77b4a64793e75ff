//! Several nodes in one run: all cordoned first, then emptied one after another, so that nothing moves twice.

use e2e::{ControlPlane, EndpointRecorder, Namespace, Plugin};

#[tokio::test]
async fn no_pod_moves_twice_when_nodes_are_chosen_by_label() {
    let ns = Namespace::fresh(ControlPlane::shared(), "several").await;
    let pool = |name| ns.node(name).label("pool", &format!("{}-old", ns.name()));
    pool("old-1").create().await;
    pool("old-2").create().await;
    ns.service("web").create().await;
    ns.deployment("web").replicas(4).max_surge(2).max_unavailable(0).ready_after("500ms").ready().await;
    ns.budget("web").max_unavailable(1).ready().await;
    ns.ready_endpoints("web", 4).await;
    let new = ns.node("new").create().await;
    let mut recorder = EndpointRecorder::start(&ns).await;

    let selector = format!("pool={}-old", ns.name());
    let run = Plugin::safedrain(&ns).args(["-l", &selector, "--settle=0s"]).run().await.expect_code(0);

    recorder.stop().await;
    assert_eq!(recorder.fewest_ready("web"), 4, "{run}");
    let seen: std::collections::BTreeSet<_> =
        recorder.history("web").into_iter().flat_map(|sample| sample.ready).collect();
    assert_eq!(seen.len(), 8, "four pods before, four after, none in between\n{run}");
    assert_eq!(recorder.history("web").last().unwrap().nodes.iter().collect::<Vec<_>>(), [&new], "{run}");
    let (first, second) = (ns.node_name("old-1"), ns.node_name("old-2"));
    let lines: Vec<_> = run.stdout.lines().collect();
    let place = |text: String| lines.iter().position(|line| *line == text).unwrap_or_else(|| panic!("{text}\n{run}"));
    let evicted = lines.iter().position(|line| line.starts_with("evicting pod")).unwrap();
    assert!(place(format!("node/{first} cordoned")) < evicted && place(format!("node/{second} cordoned")) < evicted);
    assert!(place(format!("node/{first} drained")) < place(format!("node/{second} drained")));
}

#[tokio::test]
async fn a_node_that_cannot_be_emptied_in_time_ends_the_run_and_keeps_its_pods_serving() {
    let ns = Namespace::fresh(ControlPlane::shared(), "timeout").await;
    let old = ns.node("old").create().await;
    ns.service("web").create().await;
    ns.deployment("web").ready().await;
    ns.ready_endpoints("web", 1).await;
    let mut recorder = EndpointRecorder::start(&ns).await;
    // There is no other node.
    let run = Plugin::safedrain(&ns).args([&old, "--timeout=2s"]).run().await.expect_code(4);
    recorder.stop().await;
    assert_eq!(recorder.counts("web"), [1], "{run}");
    assert!(run.stderr.contains("timeout"), "{run}");
}

#[tokio::test]
async fn a_selector_that_matches_no_node_is_no_error() {
    let ns = Namespace::fresh(ControlPlane::shared(), "nobody").await;
    let run = Plugin::safedrain(&ns).args(["-l", "pool=nowhere"]).run().await.expect_code(0);
    assert!(run.stdout.is_empty() && run.stderr.contains("no node matches"), "{run}");
    assert_eq!(ns.audit().await.mutating().len(), 0);
}
