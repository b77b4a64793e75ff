//! `--onto` and `--pool` with nodes that share a label: what is refused when the pool can take nothing, or not this.

use e2e::workload::WorkloadBuilder;
use e2e::{ControlPlane, Namespace, Plugin};
use serde_json::{Value, json};

use super::refused::Refused;

const RACK: &str = "handover.test/rack";

#[tokio::test]
async fn what_would_be_evicted_and_fits_nowhere_is_refused_and_its_consent_passes_it() {
    let ns = Namespace::fresh(ControlPlane::shared(), "nowhere").await;
    let green = format!("side={}", ns.name());
    let node = ns.node("old").label(RACK, "one").create().await;
    let pinned = |pod: &mut Value| pod["spec"]["nodeSelector"][RACK] = json!("one");
    let workloads = [
        ns.stateful_set("db").edit_pod(pinned),
        // One that is handed over serves on until it has found a place.
        ns.deployment("web").edit_pod(pinned),
        // Nobody makes this one again, so it needs none.
        ns.pod("bare").edit_pod(pinned),
        ns.stateful_set("free"),
    ];
    futures::future::join_all(workloads.map(WorkloadBuilder::ready)).await;
    ns.node("new").label("side", ns.name()).create().await;
    let onto = format!("--onto={green}");
    let drain = |flags: &[&str]| Plugin::safedrain(&ns).args([node.as_str(), "--force", &onto]).args(flags);
    let consent = format!("--allow-downtime {}/statefulset/db", ns.name());

    let refused = Refused::run(&ns, ns.user(), drain(&[])).await;
    refused.says(&[
        &format!(
            "refused: pod {}/db-0 would be evicted, and no node of {green} can take it (1 lacks label {RACK}=one)",
            ns.name()
        ),
        // It is tied, and what frees it is told before the consent that lets it go for nothing.
        &format!("(run kubectl patch statefulset db -n {} --type=json", ns.name()),
        "1 pod stands in the way",
    ]);
    let dry = drain(&[&consent.replace(' ', "="), "--dry-run=client", "-o", "json"]).run().await.expect_code(0);
    let pods = dry.json()["nodes"][0]["pods"].as_array().unwrap().clone();
    let fits = |name: &str| {
        let pod = pods.iter().find(|pod| pod["name"].as_str().unwrap().starts_with(name));
        pod.unwrap()["forecast"]["fits"].as_str().unwrap().to_owned()
    };
    assert_eq!([fits("db"), fits("web"), fits("bare"), fits("free")], ["no", "no", "unknown", "yes"], "{dry}");
}

#[tokio::test]
async fn a_pool_that_is_not_known_or_takes_nothing_is_refused() {
    let ns = Namespace::fresh(ControlPlane::shared(), "no-pool").await;
    let node = ns.node("old").label("side", &format!("{}-blue", ns.name())).create().await;
    ns.node("shut").label("side", &format!("{}-green", ns.name())).cordoned().create().await;
    ns.deployment("web").ready().await;
    let refused = async |flags: &[&str], words: &[&str]| {
        Refused::run(&ns, ns.user(), Plugin::safedrain(&ns).args(flags)).await.says(words);
    };
    let (blue, green) = (format!("side={}-blue", ns.name()), format!("side={}-green", ns.name()));

    let itself = format!("--onto {blue}: node {node} is to be emptied and belongs to that pool");
    refused(&[&node, "--onto", &blue], &[&itself, "name the pool that takes the work over"]).await;
    refused(&["--pool", &blue, "--onto", &blue], &[&itself]).await;
    let shut = format!("--onto {green}: no node of that pool takes pods: node {} waits for", ns.node_name("shut"));
    refused(&[&node, "--onto", &green], &[&shut, "somebody to uncordon it", "without --onto"]).await;
    refused(&["--pool=nowhere"], &["--pool nowhere: ", "poolcopy --list", "KEY=VALUE"]).await;
}
