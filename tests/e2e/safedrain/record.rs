//! What a run leaves behind for others to read, on the node and in a file.

use e2e::{ControlPlane, Kubectl, Namespace, Plugin};
use serde_json::{Value, json};

const LABEL: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

async fn label(ns: &Namespace, node: &str) -> Value {
    let run = Kubectl::run(ns, ["get", "node", node, "-o", "json"]).await.expect_code(0);
    let node: Value = serde_json::from_str(&run.stdout).unwrap();
    node["metadata"]["labels"][LABEL].clone()
}

#[tokio::test]
async fn a_drained_node_is_kept_out_of_the_load_balancers_until_that_is_undone() {
    let ns = Namespace::fresh(ControlPlane::shared(), "excluded").await;
    let node = ns.node("old").create().await;
    ns.deployment("web").ready().await;
    ns.node("new").create().await;
    let drain = |flags: &[&str]| Plugin::safedrain(&ns).args([node.as_str()]).args(flags);
    drain(&["--exclude-from-lb"]).run().await.expect_code(0);
    assert_eq!(label(&ns, &node).await, json!("true"));
    // Once more: what it was before is not forgotten.
    drain(&["--exclude-from-lb"]).run().await.expect_code(0);
    // Somebody else uncordons it, which says nothing of the label.
    Kubectl::run(&ns, ["uncordon", &node]).await.expect_code(0);
    drain(&["--undo"]).run().await.expect_code(0);
    assert_eq!(label(&ns, &node).await, Value::Null);
    // A label that was there before is nobody's to take.
    Kubectl::run(&ns, ["label", "node", &node, &format!("{LABEL}=true")]).await.expect_code(0);
    drain(&["--exclude-from-lb"]).run().await.expect_code(0);
    drain(&["--undo"]).run().await.expect_code(0);
    assert_eq!(label(&ns, &node).await, json!("true"));
}

#[tokio::test]
async fn the_report_is_written_whatever_becomes_of_the_run() {
    let ns = Namespace::fresh(ControlPlane::shared(), "report").await;
    let node = ns.node("old").create().await;
    ns.service("log").create().await;
    ns.daemon_set("log").ready().await;
    ns.pod("tool").ready().await;
    ns.node("new").create().await;
    let file = ns.control_plane().folder().join("report.json");
    let path = file.to_str().unwrap();
    let drain = |flags: &[&str]| Plugin::safedrain(&ns).args([node.as_str()]).args(flags);
    let read = || serde_json::from_str::<Value>(&std::fs::read_to_string(&file).unwrap()).unwrap();

    drain(&["--report=report.html"]).run().await.expect_code(2);
    let blocked = drain(&["--report=/dev/null/report.json"]).run().await.expect_code(3);
    assert!(blocked.stderr.contains("nothing was changed"), "{blocked}");
    drain(&["--report", path]).run().await.expect_code(3);
    assert!(ns.audit().await.changes().is_empty(), "{blocked}");
    assert_eq!((&read()["kind"], &read()["result"]), (&json!("DrainReport"), &json!("refused")));
    let run = drain(&["--report", path, "--force"]).run().await.expect_code(0);
    assert_eq!(read()["result"], json!("done"), "{run}");
    assert!(run.stderr.contains("it serves on behind Service log"), "a DaemonSet's pod is told of at the end: {run}");
}

/// Whoever holds a pod's object is named, once its grace period is over.
#[tokio::test]
async fn a_pod_that_does_not_go_is_told_with_who_holds_it() {
    let ns = Namespace::fresh(ControlPlane::shared(), "held").await;
    let node = ns.node("old").create().await;
    ns.deployment("web")
        .grace(1)
        .edit_pod(|pod| pod["metadata"]["finalizers"] = json!(["example.com/hold"]))
        .ready()
        .await;
    ns.node("new").create().await;
    let args = [node.as_str(), "-o", "jsonl", "--timeout=15s", "--settle=0s"];
    let run = Plugin::safedrain(&ns).args(args).run().await.expect_code(4);
    assert!(run.stdout.contains(r#""for":"finalizers","names":["example.com/hold"]"#), "{run}");
    let pods = ["patch", "pods", "--all", "--type=merge", "-p", r#"{"metadata":{"finalizers":null}}"#];
    let free = Kubectl::command(&ns, ["get", "pods", "-o", "name"]).run().await.expect_code(0);
    for name in free.stdout.lines() {
        Kubectl::run(&ns, ["patch", name, "--type=merge", "-p", pods[5]]).await.expect_code(0);
    }
}

/// Runs `kubectl get events` about one object and returns reason, type and message of each, oldest first.
async fn events(ns: &Namespace, namespace: &str, name: &str) -> Vec<(String, String, String)> {
    let about = format!("involvedObject.name={name}");
    let by = "--sort-by=.metadata.creationTimestamp";
    let run = Kubectl::run(ns, ["get", "events", "-n", namespace, "--field-selector", &about, by, "-o", "json"]).await;
    let all: Value = serde_json::from_str(&run.expect_code(0).stdout).unwrap();
    let ours =
        all["items"].as_array().unwrap().iter().filter(|event| event["source"]["component"] == "kubectl-safedrain");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    ours.map(|event| (text(&event["reason"]), text(&event["type"]), text(&event["message"]))).collect()
}

#[tokio::test]
async fn an_event_for_each_workload_and_node_says_what_was_done_by_whom_and_why() {
    let ns = Namespace::fresh(ControlPlane::shared(), "events").await;
    let node = ns.node("old").create().await;
    ns.deployment("web").replicas(2).ready().await;
    ns.stateful_set("db").ready().await;
    ns.node("new").create().await;
    let drain = |flags: &[&str]| Plugin::safedrain(&ns).args([node.as_str(), "--settle=0s"]).args(flags);
    drain(&["--dry-run=client"]).run().await.expect_code(0);
    assert_eq!(events(&ns, ns.name(), "web").await, [], "a dry run tells nothing");
    let run = drain(&["--reason=kernel update"]).run().await.expect_code(0);
    let of_web = events(&ns, ns.name(), "web").await;
    let [(reason, kind, message)] = of_web.as_slice() else { panic!("{of_web:?}\n{run}") };
    assert_eq!((reason.as_str(), kind.as_str()), ("Drained", "Normal"));
    assert!(message.starts_with(&format!("2 pods handed over from node {node}; by ")), "{message}");
    assert!(message.contains("with kubectl safedrain/") && message.ends_with("(kernel update)"), "{message}");
    let of_db = events(&ns, ns.name(), "db").await;
    assert!(of_db[0].2.starts_with("1 pod evicted from node"), "{of_db:?}");
    drain(&["--undo"]).run().await.expect_code(0);
    let of_node = events(&ns, "default", &node).await;
    let reasons: Vec<_> = of_node.iter().map(|(reason, ..)| reason.as_str()).collect();
    assert_eq!(reasons, ["NodeDrained", "NodeDrainUndone"], "{of_node:?}");
    // That is where people look.
    let described = Kubectl::run(&ns, ["describe", "node", &node]).await.expect_code(0);
    assert!(described.stdout.contains("2 pods handed over, 1 pod evicted from node"), "{described}");
}

#[tokio::test]
async fn what_was_kept_is_told_as_a_warning() {
    let ns = Namespace::fresh(ControlPlane::shared(), "events-kept").await;
    let node = ns.node("old").create().await;
    ns.deployment("web").ready().await;
    // No other node: the replacement has no place.
    let run = Plugin::safedrain(&ns).args([node.as_str(), "--replacement-timeout=1s"]).run().await.expect_code(4);
    let of_web = events(&ns, ns.name(), "web").await;
    assert_eq!((of_web[0].0.as_str(), of_web[0].1.as_str()), ("DrainIncomplete", "Warning"), "{run}");
    assert!(of_web[0].2.starts_with("1 pod kept: its replacement took too long"), "{of_web:?}");
    let of_node = events(&ns, "default", &node).await;
    assert_eq!((of_node[0].0.as_str(), of_node[0].1.as_str()), ("NodeDrainStopped", "Warning"), "{run}");
}
