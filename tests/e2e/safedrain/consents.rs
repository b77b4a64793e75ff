//! What a run does only when it is told to: keep what would be lost, wait for Jobs, go round a budget, heed an order.

use e2e::{ControlPlane, EndpointRecorder, Kubectl, Namespace, Plugin};
use serde_json::{Value, json};

const APART: &str = "handover-kept";

async fn pods(ns: &Namespace) -> Vec<Value> {
    let run = Kubectl::run(ns, ["get", "pods", "-o", "json"]).await.expect_code(0);
    let list: Value = serde_json::from_str(&run.stdout).unwrap();
    list["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_pod_without_a_controller_goes_once_its_manifest_is_kept_and_comes_back_from_it() {
    let ns = Namespace::fresh(ControlPlane::shared(), "kept").await;
    let node = ns.node("old").create().await;
    ns.pod("tool").ready().await;
    ns.node("new").create().await;
    let folder = ns.control_plane().folder().join(APART);
    let folder = folder.to_str().unwrap();
    let drain = |flags: &[&str]| Plugin::safedrain(&ns).args([node.as_str()]).args(flags);

    let refused = drain(&["--backup-dir", folder]).run().await.expect_code(3);
    assert!(refused.stderr.contains("--force"), "it is no consent: {refused}");
    // A folder that cannot be: nothing is changed.
    let blocked = drain(&["--force", "--backup-dir", "/dev/null/x"]).run().await.expect_code(3);
    assert!(blocked.stderr.contains("/dev/null/x") && blocked.stderr.contains("nothing was changed"), "{blocked}");
    assert!(ns.audit().await.changes().iter().all(|event| event.resource == "leases"), "{blocked}");

    let run = drain(&["--force", "--backup-dir", folder]).run().await.expect_code(0);
    assert!(pods(&ns).await.is_empty(), "{run}");
    let line = run.stderr.lines().find(|line| line.starts_with("kept ")).unwrap();
    let file = line.split_whitespace().nth(1).unwrap().trim_end_matches(':');
    Kubectl::run(&ns, ["apply", "-f", file]).await.expect_code(0);
    let again = Kubectl::run(&ns, ["wait", "--for=condition=Ready", "pod/tool", "--timeout=60s"]).await;
    again.expect_code(0);
    assert_eq!(pods(&ns).await[0]["spec"]["nodeName"], json!(ns.node_name("new")));
}

#[tokio::test]
async fn the_pods_of_jobs_are_waited_for_when_that_is_asked_for() {
    let ns = Namespace::fresh(ControlPlane::shared(), "jobs").await;
    let node = ns.node("old").create().await;
    ns.job("batch").complete_after("4s").create().await;
    Kubectl::run(&ns, ["wait", "--for=condition=Ready", "pod", "-l", "app=batch", "--timeout=60s"])
        .await
        .expect_code(0);
    ns.node("new").create().await;
    let run = Plugin::safedrain(&ns).args([node.as_str(), "--jobs=wait"]).run().await.expect_code(0);
    Kubectl::run(&ns, ["wait", "--for=condition=Complete", "job/batch", "--timeout=60s"]).await.expect_code(0);
    let job = Kubectl::run(&ns, ["get", "job", "batch", "-o", "jsonpath={.status.succeeded} {.status.failed}"]).await;
    assert_eq!(job.stdout.trim(), "1", "its only pod ended by itself: {run}");
}

/// The same as a wish of the pod itself, and one that is to be left.
#[tokio::test]
async fn what_pods_say_about_drains_is_heeded() {
    let ns = Namespace::fresh(ControlPlane::shared(), "wishes").await;
    let node = ns.node("old").create().await;
    ns.deployment("stays").label("cluster.x-k8s.io/drain", "skip").ready().await;
    ns.deployment("tired").pod_annotation("karpenter.sh/do-not-disrupt", "true").ready().await;
    ns.node("new").create().await;
    let run = Plugin::safedrain(&ns).args([node.as_str()]).run().await.expect_code(0);
    assert!(run.stderr.contains("asks to be left alone: karpenter.sh/do-not-disrupt=true"), "{run}");
    let left: Vec<_> = pods(&ns).await.into_iter().filter(|pod| pod["spec"]["nodeName"] == json!(node)).collect();
    assert_eq!(left.len(), 1, "{run}");
    assert_eq!(left[0]["metadata"]["labels"]["app"], "stays", "{run}");
}

/// A budget that never allows anything, and a workload that cannot be handed over: by name only, one pod at a time.
#[tokio::test]
async fn a_budget_is_bypassed_for_the_workload_that_is_named_and_for_no_other() {
    let ns = Namespace::fresh(ControlPlane::shared(), "downtime").await;
    let node = ns.node("old").create().await;
    for name in ["db", "queue"] {
        ns.service(name).create().await;
        ns.stateful_set(name).replicas(2).ready_after("500ms").exit_after("200ms").ready().await;
        ns.budget(name).max_unavailable(0).ready().await;
        ns.ready_endpoints(name, 2).await;
    }
    ns.node("new").create().await;
    let consent = format!("--allow-downtime={}/statefulset/db", ns.name());
    let drain = |flags: &[&str]| Plugin::safedrain(&ns).args([node.as_str(), "--settle=0s"]).args(flags);

    let refused = drain(&[]).run().await.expect_code(3);
    assert!(refused.stderr.contains(&consent.replace('=', " ")), "the remedy names it: {refused}");
    let refused = drain(&[&consent]).run().await.expect_code(3);
    assert!(refused.stderr.contains("queue-0") && !refused.stderr.contains("refused: pod downtime-0/db"), "{refused}");
    for bad in ["--allow-downtime=db", "--allow-downtime=a/b/c/d", "--jobs=never"] {
        drain(&[bad]).run().await.expect_code(2);
    }
    Kubectl::run(&ns, ["delete", "statefulset", "queue"]).await.expect_code(0);
    Kubectl::run(&ns, ["wait", "--for=delete", "pod", "-l", "app=queue", "--timeout=60s"]).await.expect_code(0);
    let mut recorder = EndpointRecorder::start(&ns).await;
    // kubectl's way for everything but this.
    let run = drain(&[&consent, "--strategy=evict"]).run().await.expect_code(0);
    recorder.stop().await;
    assert_eq!(recorder.fewest_ready("db"), 1, "one at a time: {run}");
    assert!(run.stderr.contains("budget bypassed: pod"), "{run}");
    let budget = Kubectl::run(&ns, ["get", "pdb", "db", "-o", "jsonpath={.spec.maxUnavailable}"]).await;
    assert_eq!(budget.stdout.trim(), "0", "a budget is never edited");
}

/// Two budgets on one pod make the eviction API fail; a pod that is handed over goes when each has one to spare.
#[tokio::test]
async fn a_pod_with_two_budgets_is_handed_over_and_deleted_when_both_have_one_to_spare() {
    let ns = Namespace::fresh(ControlPlane::shared(), "two-budgets").await;
    let node = ns.node("old").create().await;
    ns.service("web").create().await;
    ns.deployment("web").ready_after("500ms").exit_after("200ms").ready().await;
    ns.budget("web").min_available(1).ready().await;
    ns.budget("all").selecting(json!({ "app": "web" })).max_unavailable(0).ready().await;
    ns.ready_endpoints("web", 1).await;
    ns.node("new").create().await;
    let mut recorder = EndpointRecorder::start(&ns).await;
    let run = Plugin::safedrain(&ns).args([node.as_str()]).run().await.expect_code(0);
    recorder.stop().await;
    assert_eq!(recorder.counts("web"), [1, 2, 1], "{run}");
    assert!(run.stderr.contains("each have a pod to spare"), "{run}");
}

/// The lower number first, and each when the one before is gone.
#[tokio::test]
async fn pods_go_in_the_order_that_they_carry() {
    let ns = Namespace::fresh(ControlPlane::shared(), "ordered").await;
    let node = ns.node("old").create().await;
    for (name, order) in [("first", "-1"), ("last", "7"), ("middle", "0")] {
        ns.deployment(name).pod_annotation("handover/order", order).exit_after("300ms").ready().await;
    }
    ns.node("new").create().await;
    let run = Plugin::safedrain(&ns).args([node.as_str(), "--strategy=evict"]).run().await.expect_code(0);
    let evicted: Vec<_> = run.stdout.lines().filter(|line| line.ends_with(" evicted")).collect();
    let place = |name: &str| evicted.iter().position(|line| line.starts_with(&format!("pod/{name}-")));
    assert_eq!([place("first"), place("middle"), place("last")], [Some(0), Some(1), Some(2)], "{run}");
}
