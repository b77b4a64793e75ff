//! Streams that are closed: nobody reads what a run says, and the run is none the worse.

use e2e::{ControlPlane, Namespace, Plugin};

use super::without_strangers;

async fn shop(purpose: &str) -> (Namespace, String) {
    let ns = Namespace::fresh(ControlPlane::shared(), purpose).await;
    let old = ns.node("old").create().await;
    ns.service("web").create().await;
    ns.deployment("web").ready().await;
    ns.ready_endpoints("web", 1).await;
    ns.node("new").create().await;
    (ns, old)
}

async fn drains(ns: &Namespace, old: &str, invocation: e2e::Invocation) {
    let run = invocation.args([old, "--settle=0s"]).run().await.expect_code(0);
    assert!(!run.stderr.contains("panic") && !run.stderr.contains("error"), "{run}");
    let pods = ns.pods("").await;
    assert!(pods.iter().all(|pod| pod.spec.as_ref().unwrap().node_name.as_deref() != Some(old)), "{run}");
}

#[tokio::test]
async fn a_run_whose_output_nobody_reads_ends_as_any_other() {
    let (ns, old) = shop("unread").await;
    drains(&ns, &old, Plugin::safedrain(&ns).unread()).await;
}

#[tokio::test]
async fn a_run_with_closed_streams_ends_as_any_other() {
    let (ns, old) = shop("closed").await;
    drains(&ns, &old, Plugin::safedrain(&ns).redirected("<&- >&- 2>&-")).await;
}

#[tokio::test]
async fn a_document_that_nobody_reads_is_no_failure() {
    let (ns, old) = shop("unread-json").await;
    for closed in [Plugin::safedrain(&ns).unread(), Plugin::safedrain(&ns).redirected(">&-")] {
        let run = closed.args([&old, "--dry-run=client", "-o", "json"]).run().await.expect_code(0);
        assert_eq!(without_strangers(&ns, &run.stderr), "", "{run}");
    }
}

#[tokio::test]
async fn a_full_disk_is_told_once_and_the_run_has_been_made() {
    let (ns, old) = shop("full").await;
    let run = Plugin::safedrain(&ns).redirected(">/dev/full").args([&old, "--settle=0s"]).run().await.expect_code(1);
    let told = "error: cannot write to stdout: No space left on device (os error 28)\n  \
                hint: what has been done in the cluster stays done; only its report is incomplete.\n";
    assert!(run.stderr.ends_with(told), "{run}");
    let pods = ns.pods("").await;
    assert!(pods.iter().all(|pod| pod.spec.as_ref().unwrap().node_name.as_ref() != Some(&old)), "{run}");
}
