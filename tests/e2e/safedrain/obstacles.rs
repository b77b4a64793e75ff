//! What cannot be handed over: with `--strategy=surge` each obstacle is a refusal of its own.

use e2e::{ControlPlane, Namespace, Plugin, Roles};

use super::refused::{Refused, Row};
use super::rules::{self, RACK};

fn surging(ns: &Namespace, node: &str) -> e2e::Invocation {
    Plugin::safedrain(ns).args([node, "--strategy=surge", "--force"])
}

#[tokio::test]
async fn each_obstacle_to_a_handover_is_a_refusal_of_its_own_under_strategy_surge() {
    let ns = Namespace::fresh(ControlPlane::shared(), "obstacles").await;
    let node = ns.node("old").label(RACK, "one").create().await;
    rules::make(&ns).await;
    ns.node("new").create().await;

    let row = |pod, says: String| Row {
        pod,
        says: format!("cannot be handed over: {says}"),
        remedy: "--strategy=auto".to_owned(),
    };
    let here = |kind: &str, name: &str, does: &str| format!("{kind} {}/{name} {does}", ns.name());
    let by_scale = "counts its owner's replicas, which a pod without owner would spoil";
    let mut rows = vec![
        row("bare", "no controller would replace it".to_owned()),
        row("batch-", "a Job's pod is not served by a second one".to_owned()),
        row("counter-", here("PodDisruptionBudget", "counter", by_scale)),
        row("single-", here("PodDisruptionBudget", "single", by_scale)),
        row("db-0", "a StatefulSet makes the next pod only when this one is gone".to_owned()),
        row("anew-", "strategy Recreate: its owner says that no two may run at once".to_owned()),
        row("tight-", "maxSurge is 0: its owner allows no extra pod".to_owned()),
        row("canary-", here("Service", "canary", "selects it by pod-template-hash")),
        row("counted-", here("PodDisruptionBudget", "counted", "selects it by pod-template-hash")),
        row("walled-", here("NetworkPolicy", "wall", "selects it by pod-template-hash")),
        row("wanted-", here("ReplicaSet", "wanted-alone", "would adopt it")),
        row("disk-", format!("claim {}/disk can be mounted by one node at a time", ns.name())),
        row("spread-", "its topology spread counts pods by pod-template-hash".to_owned()),
        row("apart-", format!("required anti-affinity leaves no free {RACK} for a second pod")),
        row("guarded-", "the server refuses to relabel it: ".to_owned()),
        row("ending-", "its ReplicaSet or Deployment is not there any more".to_owned()),
    ];
    let refused = Refused::run(&ns, ns.user(), surging(&ns, &node)).await;
    refused.refuses(&ns, &rows);
    refused.says(&["labels are kept"]);

    // Who may not patch pods can hand over none.
    let roles = Roles::read("safedrain");
    let patch = roles.grants().into_iter().find(|grant| grant.to_string() == "patch pods").unwrap();
    let user = ns.limited_user();
    roles.without(&patch).bind(&ns, &user).await;
    rows.retain(|row| row.pod != "guarded-");
    for pod in ["plain-", "guarded-"] {
        rows.push(row(pod, "you may not patch pods in its namespace".to_owned()));
    }
    Refused::run(&ns, &user, surging(&ns, &node)).await.refuses(&ns, &rows);

    // What is waited for is neither handed over nor evicted.
    let waits = ["--pod-selector=batch.kubernetes.io/job-name", "--jobs=wait", "--dry-run=client"];
    let dry = surging(&ns, &node).args(waits).run().await.expect_code(0);
    assert!(dry.stdout.contains("wait"), "{dry}");
    // The remedy is one.
    Plugin::safedrain(&ns).args([&node, "--strategy=auto", "--force", "--dry-run=client"]).run().await.expect_code(0);
    rules::let_go(&ns).await;
}
