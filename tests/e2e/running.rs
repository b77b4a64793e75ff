//! How the harness runs programs: what it captures, and how it ends them.

use std::time::Duration;

use e2e::{ControlPlane, Kubectl, Namespace};
use rustix::process::Signal;

#[tokio::test]
async fn running_program_can_be_watched_and_interrupted() {
    let namespace = Namespace::fresh(ControlPlane::shared(), "signal").await;
    namespace.node("a").create().await;
    let watching = || Kubectl::command(&namespace, ["get", "nodes", "--watch"]).spawn();

    let interrupted = watching();
    interrupted.stdout_contains(&namespace.node_name("a")).await;
    interrupted.signal(Signal::INT);
    // kubectl leaves its exit status to chance here; that it ends at all is the interrupt.
    let run = interrupted.wait().await;
    assert!(run.stdout.contains("Ready"), "{run}");

    let killed = watching();
    killed.stdout_contains(&namespace.node_name("a")).await;
    assert_eq!(killed.kill().await.code(), 137);
}

#[tokio::test]
async fn program_gets_its_input_and_nothing_of_our_environment() {
    let namespace = Namespace::fresh(ControlPlane::shared(), "input").await;
    let object = r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "piped"}}"#;
    let run = Kubectl::command(&namespace, ["create", "-f", "-", "-o", "json"]).stdin(object).run().await;
    assert_eq!(run.expect_code(0).json()["metadata"]["namespace"], namespace.name());

    let contexts = Kubectl::run(&namespace, ["config", "get-contexts", "-o", "name"]).await.expect_code(0);
    assert_eq!(contexts.stdout, "handover-test\n");
}

#[tokio::test]
#[should_panic(expected = "has not ended within")]
async fn program_that_does_not_end_is_a_failure() {
    let namespace = Namespace::fresh(ControlPlane::shared(), "hang").await;
    let run = Kubectl::command(&namespace, ["get", "nodes", "--watch"]).deadline(Duration::from_secs(1)).run().await;
    panic!("it ended: {run}");
}
