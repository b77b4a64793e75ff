//! A cluster that moves between the plan that was shown and the lock: the run executes no plan that nobody has seen.

use e2e::wait::DEADLINE;
use e2e::{ControlPlane, Namespace, Plugin, Running};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;

/// A run that has shown its plan and watches for 15 s whether a silent stranger, who holds the node, lives.
async fn waiting(ns: &Namespace, node: &str) -> Running {
    let lease = json!({ "metadata": { "name": format!("handover-{node}") }, "spec": {
        "holderIdentity": "somebody on another machine", "leaseDurationSeconds": 15 } });
    let leases = Api::<Lease>::namespaced(ns.client(), "kube-node-lease");
    leases.create(&PostParams::default(), &serde_json::from_value(lease).unwrap()).await.unwrap();
    let running = Plugin::safedrain(ns).args([node]).spawn();
    running.stderr_contains("watching for 15 s whether that run lives").await;
    running
}

/// Ends it, and looks that nothing but its lock was written.
async fn is_refused(ns: &Namespace, node: &str, running: Running, words: &[&str]) {
    let run = running.wait().await.expect_code(3);
    for word in words {
        assert!(run.stderr.contains(word), "{word:?}\n{run}");
    }
    let audit = ns.audit().await;
    let changes = audit.changes();
    assert!(changes.iter().all(|event| event.resource == "leases"), "{changes:?}\n{run}");
    let lease = Api::<Lease>::namespaced(ns.client(), "kube-node-lease").get_opt(&format!("handover-{node}")).await;
    assert!(lease.unwrap().is_none(), "the lock is released\n{run}");
}

#[tokio::test]
async fn a_pod_that_came_meanwhile_is_shown_and_nobody_is_there_to_say_yes() {
    let ns = Namespace::fresh(ControlPlane::shared(), "moved").await;
    let node = ns.node("old").create().await;
    ns.deployment("web").ready().await;
    let known = ns.pods("").await.remove(0).name_any();
    let running = waiting(&ns, &node).await;
    let more = Patch::Merge(json!({ "spec": { "replicas": 2 } }));
    ns.api::<Deployment>().patch("web", &PatchParams::default(), &more).await.unwrap();
    ns.deployment_available("web").await;
    let pods = ns.pods("").await;
    let newcomer = pods.iter().map(ResourceExt::name_any).find(|name| *name != known).unwrap();
    let appeared = format!("pod {}/{newcomer} is new here: handed over", ns.name());
    let words = [
        "The cluster has moved since the plan was shown:",
        &appeared,
        "there is no terminal to ask",
        "hint: pass `--yes`",
    ];
    is_refused(&ns, &node, running, &words).await;
}

#[tokio::test]
async fn a_pod_that_came_meanwhile_and_needs_a_consent_is_refused_whatever_yes_says() {
    let ns = Namespace::fresh(ControlPlane::shared(), "moved-bare").await;
    let node = ns.node("old").create().await;
    ns.deployment("web").ready().await;
    let running = waiting(&ns, &node).await;
    ns.pod("bare").ready().await;
    let line = format!("refused: pod {}/bare has no controller, so nobody makes it again (pass --force)", ns.name());
    is_refused(&ns, &node, running, &[&line, "nothing was changed", "hint: pass `--force`"]).await;
}

/// The lease of the one node has the name of the other's own, which is its kubelet's.
#[tokio::test]
async fn a_node_whose_lock_would_be_another_nodes_lease_is_refused() {
    let ns = Namespace::fresh(ControlPlane::shared(), "foreign").await;
    let node = ns.node("old").create().await;
    let other = ns.node("other").called(&format!("handover-{node}")).create().await;
    let leases = Api::<Lease>::namespaced(ns.client(), "kube-node-lease");
    let holder = async || {
        let lease = leases.get_opt(&other).await.unwrap();
        lease.and_then(|lease| lease.spec?.holder_identity)
    };
    e2e::eventually("the kubelet has its lease", DEADLINE, || async { holder().await.is_some() }).await;
    let before = holder().await;
    let run = Plugin::safedrain(&ns).args([&node]).run().await.expect_code(3);
    let told =
        format!("the lease kube-node-lease/{other} belongs to a node of that name, so node {node} cannot be locked");
    assert!(run.stderr.contains(&told), "{run}");
    // It was asked for, and refused.
    let audit = ns.audit().await;
    let kept: Vec<_> = audit.changes().into_iter().filter(|event| event.code != 409).collect();
    assert!(kept.is_empty(), "{kept:?}\n{run}");
    assert_eq!(holder().await, before);
}
