//! Marks that no run has written, or that were damaged: never believed against what the server itself says.

use e2e::{ControlPlane, Namespace, Plugin};
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::ResourceExt;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::Transcript;

/// Clears the screen, sets the window's title, goes up a line, and is red.
const ESCAPES: &str =
    "\u{1b}[2J\u{1b}]0;owned\u{7}\u{1b}[1A\r\u{9b}31m\u{1b}[31mkernel\u{202e} \u{200b}update\nnode/x drained";

async fn annotate(ns: &Namespace, node: &str, mark: &str) {
    let patch = json!({ "metadata": { "annotations": { "handover/run": mark } }, "spec": { "unschedulable": true } });
    ns.nodes().patch(node, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
}

fn node_mark(change: impl Fn(&mut Value)) -> String {
    let mut mark = json!({ "v": 1, "run": "r1", "user": "eve", "start": "2026-01-01T00:00:00Z", "reason": "kernel update",
                           "version": "safedrain/0.1.0", "phase": "draining", "wasSchedulable": true });
    change(&mut mark);
    mark.to_string()
}

/// Nothing but colours may reach a terminal.
fn assert_only_colours(text: &str, run: &e2e::Run) {
    for (index, rest) in text.match_indices('\u{1b}').map(|(index, _)| (index, &text[index + 1..])) {
        let end = rest.find(|c: char| !(c.is_ascii_digit() || c == ';' || c == '[')).unwrap_or(0);
        assert!(rest.starts_with('[') && rest[end..].starts_with('m'), "at {index}: {run}");
    }
    let is_harmless = |c: char| c == '\u{1b}' || c == '\n' || !c.is_control();
    assert!(text.chars().all(is_harmless), "{run}");
    assert!(!text.contains(['\u{202e}', '\u{200b}']), "{run}");
}

#[tokio::test]
async fn a_nodes_mark_that_is_damaged_stops_the_run_and_one_that_lies_paints_no_terminal() {
    let ns = Namespace::fresh(ControlPlane::shared(), "node-marks").await;
    let node = ns.node("old").create().await;
    let mut transcript = Transcript::of(&ns);
    let newer = node_mark(|mark| mark["v"] = json!(2));
    let cases = [
        ("not JSON", "{".to_owned()),
        ("JSON of another shape", json!([1, 2, 3]).to_string()),
        ("a field that is missing", node_mark(|mark| drop(mark.as_object_mut().unwrap().remove("wasSchedulable")))),
        ("a phase that does not exist", node_mark(|mark| mark["phase"] = json!(ESCAPES))),
        ("a newer version", newer),
        ("empty", String::new()),
    ];
    for (case, mark) in cases {
        annotate(&ns, &node, &mark).await;
        transcript.run(&format!("{case}, to a drain"), Plugin::safedrain(&ns).args([&node]), 3).await;
        transcript.run(&format!("{case}, to --undo"), Plugin::safedrain(&ns).args([&node, "--undo"]), 3).await;
        transcript.run(&format!("{case}, to --status"), Plugin::safedrain(&ns).args([&node, "--status"]), 0).await;
        let still: Node = ns.nodes().get(&node).await.unwrap();
        assert_eq!(still.annotations()["handover/run"], mark);
    }
    let other = ns.node("other").create().await;
    for (case, reason) in [("escape sequences", ESCAPES.to_owned()), ("a reason of 100 KB", "long ".repeat(20_000))] {
        annotate(
            &ns,
            &node,
            &node_mark(|mark| {
                mark["reason"] = json!(reason);
                mark["user"] = json!(reason);
            }),
        )
        .await;
        let status = Plugin::safedrain(&ns).args([&node, "--status", "--color=always"]);
        let run = transcript.run(&format!("{case}, to --status"), status, 0).await;
        assert_only_colours(&run.stdout, &run);
        let drain = Plugin::safedrain(&ns).args([&other, "--dry-run=client", "--color=always"]);
        let run = transcript.run(&format!("{case}, to a run elsewhere"), drain, 0).await;
        assert_only_colours(&run.stderr, &run);
        let json = Plugin::safedrain(&ns).args([&node, "--status", "-o", "json"]).run().await.expect_code(0);
        assert_eq!(json.json()["nodes"][0]["run"]["reason"], json!(reason), "a document tells it as it is");
    }
    transcript.end("node-marks").await;
}

#[tokio::test]
async fn a_pods_mark_that_the_server_does_not_confirm_makes_it_nobodys_pod() {
    let ns = Namespace::fresh(ControlPlane::shared(), "pod-marks").await;
    let elsewhere = Namespace::fresh(ControlPlane::shared(), "pod-marks-b").await;
    let node = ns.node("old").create().await;
    ns.deployment("web").ready().await;
    ns.node("new").create().await;
    let set = ns.api::<ReplicaSet>().list(&ListParams::default()).await.unwrap().items.remove(0);
    elsewhere.deployment("web").on_node(&node).ready().await;
    let far = elsewhere.api::<ReplicaSet>().list(&ListParams::default()).await.unwrap().items.remove(0);
    let hash = set.labels()["pod-template-hash"].clone();
    let record = |change: &dyn Fn(&mut Value)| {
        let mut record = json!({ "v": 1, "replicaSet": set.name_any(), "replicaSetUid": set.uid(), "hash": hash,
            "run": "r1", "node": node, "at": "2026-01-01T00:00:00Z", "availableBefore": 1 });
        change(&mut record);
        record.to_string()
    };
    let uid = "11111111-2222-3333-4444-555555555555";
    let cases: Vec<(&str, Option<String>)> = vec![
        ("no-annotation", None),
        ("empty", Some(String::new())),
        ("not-json", Some("{".to_owned())),
        ("another-shape", Some(json!(["v", 1]).to_string())),
        ("newer", Some(record(&|record| record["v"] = json!(2)))),
        ("no-such-uid", Some(record(&|record| record["replicaSetUid"] = json!(uid)))),
        (
            "another-namespace",
            Some(record(&|record| {
                record["replicaSet"] = json!(far.name_any());
                record["replicaSetUid"] = json!(far.uid());
                record["hash"] = json!(far.labels()["pod-template-hash"]);
            })),
        ),
        ("another-hash", Some(record(&|record| record["hash"] = json!("abc")))),
        ("another-app", Some(record(&|_| {}))),
        ("escapes", Some(record(&|record| record["replicaSet"] = json!(ESCAPES)))),
        ("huge", Some(record(&|record| record["replicaSet"] = json!("long".repeat(40_000))))),
    ];
    let mut transcript = Transcript::of(&ns);
    for (there, replica_set, pod) in [(&ns, "REPLICASET", "POD"), (&elsewhere, "FAR-REPLICASET", "FAR-POD")] {
        transcript.replace(&there.pods("app=web").await.remove(0).name_any(), pod);
        let sets = there.api::<ReplicaSet>().list(&ListParams::default()).await.unwrap().items;
        transcript.replace(&sets[0].name_any(), replica_set);
    }
    transcript.replace(elsewhere.name(), "ELSEWHERE");
    for (name, annotation) in &cases {
        let edit = |pod: &mut Value| {
            pod["metadata"]["labels"]["pod-template-hash"] = json!("handover");
            // The last one but three would be a pod of that ReplicaSet's if only its label were put back.
            pod["metadata"]["labels"]["app"] = json!(if *name == "another-app" { "db" } else { "web" });
            if let Some(annotation) = annotation {
                pod["metadata"]["annotations"]["handover/detached"] = json!(annotation);
            }
        };
        ns.pod(name).on_node(&node).edit(edit).create().await;
    }
    ns.until("pod-template-hash=handover", "all forged pods run", |pods: &[Pod]| {
        pods.len() == cases.len() && pods.iter().all(e2e::workload::is_pod_ready)
    })
    .await;
    let before = ns.pods("pod-template-hash=handover").await;

    let dry = Plugin::safedrain(&ns).args([&node, "--dry-run=client", "--color=always"]).run().await.expect_code(3);
    assert_only_colours(&dry.stdout, &dry);
    assert_only_colours(&dry.stderr, &dry);
    transcript.run("a drain", Plugin::safedrain(&ns).args([&node]), 3).await;
    transcript.run("--status", Plugin::safedrain(&ns).args([&node, "--status"]), 0).await;
    transcript.run("--undo", Plugin::safedrain(&ns).args([&node, "--undo"]), 4).await;
    let after = ns.pods("pod-template-hash=handover").await;
    assert_eq!(before, after, "no forged pod was touched");
    transcript.compare("pod-marks");
}
