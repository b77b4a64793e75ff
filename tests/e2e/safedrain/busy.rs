//! An API server that has no room for an eviction.

use std::time::Duration;

use e2e::fault_proxy::Fault;
use e2e::{ControlPlane, FaultProxy, Namespace, Plugin, Schedule};

/// The real one always asks for one second at first, by which nobody could tell that it was heard; that its answers look like
/// this one is seen in `eviction_replies`.
#[tokio::test]
async fn a_server_without_room_is_asked_again_when_it_says() {
    let ns = Namespace::fresh(ControlPlane::shared(), "busy").await;
    let node = ns.node("old").create().await;
    ns.stateful_set("db").ready().await;
    ns.node("new").create().await;
    let schedule = Schedule::First(format!("POST /api/v1/namespaces/{}/pods/db-0/eviction", ns.name()), Fault::Busy(4));
    let proxy = FaultProxy::start(ns.control_plane(), ns.user(), schedule).await;
    let running = Plugin::safedrain(&ns).args([node.as_str()]).user(proxy.user()).spawn();
    proxy.aim(&running);
    let run = running.wait().await.expect_code(0);
    assert_eq!(proxy.strikes(), 1);
    assert!(run.stderr.contains("the API server is busy, asking again in 4 s"), "{run}");
    assert!(run.elapsed >= Duration::from_secs(4), "{run}");
    assert_eq!(ns.audit().await.evictions().len(), 1, "the server has heard of one only\n{run}");
}
