//! A dry run changes nothing, and what it shows is what a run does.

use e2e::{ControlPlane, Namespace, Plugin};
use serde_json::{Value, json};

async fn shop() -> (Namespace, String) {
    let ns = Namespace::fresh(ControlPlane::shared(), "dry-run").await;
    let old = ns.node("old").create().await;
    ns.service("web").create().await;
    ns.deployment("web").ready().await;
    ns.budget("web").min_available(1).ready().await;
    ns.stateful_set("db").ready().await;
    ns.daemon_set("log").ready().await;
    ns.ready_endpoints("web", 1).await;
    ns.node("new").create().await;
    (ns, old)
}

/// The parts of a document that a plan and the report of its run share.
fn shared_part(document: &Value) -> Value {
    let pods = |node: &Value| {
        let mut pods = node["pods"].clone();
        for pod in pods.as_array_mut().unwrap() {
            for only_in_reports in ["result", "replacement", "unavailableSeconds"] {
                pod.as_object_mut().unwrap().remove(only_in_reports);
            }
        }
        json!({ "name": node["name"], "cordoned": node["cordoned"], "pods": pods })
    };
    let nodes: Vec<_> = document["nodes"].as_array().unwrap().iter().map(pods).collect();
    json!({ "nodes": nodes, "services": document["services"], "refusals": document["refusals"],
            "cluster": document["cluster"], "verdict": document["verdict"] })
}

#[tokio::test]
async fn a_dry_run_sends_no_write_and_its_plan_is_the_runs() {
    let (ns, old) = shop().await;
    let dry = Plugin::safedrain(&ns).args([&old, "--dry-run=client", "-o", "json"]).run().await.expect_code(0);
    // An access review is a create by its verb, and changes nothing.
    let audit = ns.audit().await;
    let writes: Vec<_> =
        audit.mutating().into_iter().filter(|event| event.resource != "selfsubjectaccessreviews").collect();
    assert!(writes.is_empty(), "{writes:?}");
    let plan = dry.json();
    assert_eq!((plan["apiVersion"].as_str(), plan["kind"].as_str()), (Some("handover/v1"), Some("DrainPlan")));
    let actions: Vec<_> = plan["nodes"][0]["pods"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pod| (pod["owner"]["kind"].as_str().unwrap(), pod["action"].as_str().unwrap()))
        .collect();
    let expected = [("StatefulSet", "evict"), ("DaemonSet", "leave"), ("Deployment", "handover")];
    assert_eq!(actions, expected, "{dry}");

    let run = Plugin::safedrain(&ns).args([&old, "-o", "json"]).run().await.expect_code(0);
    let report = run.json();
    assert_eq!((report["kind"].as_str(), report["result"].as_str()), (Some("DrainReport"), Some("done")));
    assert_eq!(shared_part(&report), shared_part(&plan));
    let web = report["nodes"][0]["pods"].as_array().unwrap().iter().find(|pod| pod["action"] == "handover").unwrap();
    assert_eq!(web["replacement"]["node"], json!(ns.node_name("new")), "{run}");
    assert_eq!(web["unavailableSeconds"], json!(0), "{run}");
}

#[tokio::test]
async fn a_server_dry_run_only_rehearses() {
    let (ns, old) = shop().await;
    Plugin::safedrain(&ns).args([&old, "--dry-run=server"]).run().await.expect_code(0);
    let audit = ns.audit().await;
    let real: Vec<_> = audit
        .mutating()
        .into_iter()
        .filter(|event| event.resource != "selfsubjectaccessreviews" && !event.dry_run)
        .collect();
    assert!(real.is_empty(), "{real:?}");
    assert!(audit.mutating().iter().any(|event| event.dry_run && event.verb == "patch"), "the detach is rehearsed");
}

#[tokio::test]
async fn the_table_names_the_cluster_first_and_the_verdict_last() {
    let (ns, old) = shop().await;
    let run = Plugin::safedrain(&ns).args([&old, "--dry-run=client"]).run().await.expect_code(0);
    assert!(run.stdout.starts_with("context "), "{run}");
    assert!(run.stdout.lines().last().unwrap().starts_with("Ready"), "{run}");
    assert!(run.stdout.contains("handover"), "{run}");
    assert!(!run.stdout.contains('\u{1b}'), "no colour where nobody looks: {run}");
}
