//! The two records on which other tests rest: of endpoints and of requests.

use std::time::Duration;

use e2e::{AuditLog, ControlPlane, EndpointRecorder, Kubectl, Namespace};
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

#[tokio::test]
async fn recorder_sees_a_rollout_make_before_it_breaks() {
    let namespace = Namespace::fresh(ControlPlane::shared(), "rollout").await;
    namespace.node("a").create().await;
    namespace.service("web").create().await;
    // Both serve for a while, so that no slice leaves one of them out.
    let patient = |json: &mut serde_json::Value| json["spec"]["minReadySeconds"] = json!(2);
    namespace.deployment("web").edit(patient).ready_after("500ms").max_surge(1).max_unavailable(0).ready().await;
    namespace.ready_endpoints("web", 1).await;

    let mut recorder = EndpointRecorder::start(&namespace).await;
    let change = json!({ "spec": { "template": { "metadata": { "annotations": { "version": "2" } } } } });
    let deployments = namespace.api::<Deployment>();
    deployments.patch("web", &PatchParams::default(), &Patch::Merge(change)).await.unwrap();
    recorder.until("web", "two ready endpoints", |sample| sample.ready.len() == 2).await;
    recorder.until("web", "one ready endpoint", |sample| sample.ready.len() == 1).await;
    namespace.deployment_available("web").await;
    recorder.stop().await;

    assert_eq!(recorder.counts("web"), [1, 2, 1]);
    assert_eq!(recorder.fewest_ready("web"), 1);
    assert_eq!(recorder.time_below("web", 1), Duration::ZERO);
    let history = recorder.history("web");
    assert!(history[0].ready.is_disjoint(&history[2].ready));
}

#[tokio::test]
async fn recorder_no_longer_counts_endpoints_of_a_node_that_is_gone() {
    let namespace = Namespace::fresh(ControlPlane::shared(), "gone").await;
    let node = namespace.node("a").create().await;
    namespace.service("web").create().await;
    namespace.deployment("web").replicas(2).ready().await;
    namespace.ready_endpoints("web", 2).await;

    let recorder = EndpointRecorder::start(&namespace).await;
    namespace.nodes().delete(&node, &DeleteParams::default()).await.unwrap();
    recorder.until("web", "no ready endpoint", |sample| sample.ready.is_empty()).await;
    assert_eq!(recorder.counts("web"), [2, 0]);
}

#[tokio::test]
async fn audit_log_tells_users_bodies_and_dry_runs_apart() {
    let namespace = Namespace::fresh(ControlPlane::shared(), "audit").await;
    if namespace.control_plane().audit_log().is_none() {
        return;
    }
    let limited = namespace.limited_user();
    let name = namespace.name();
    let create = ["create", "configmap", "settings", "--from-literal=a=b"];
    Kubectl::run(&namespace, create).await.expect_code(0);
    Kubectl::command(&namespace, create).args(["--dry-run=server"]).run().await.expect_code(1);
    Kubectl::run(&namespace, ["get", "configmap", "settings"]).await.expect_code(0);
    let denied = Kubectl::command(&namespace, ["delete", "configmap", "settings"]).user(&limited).run().await;
    assert!(denied.stderr.contains("Forbidden"), "{denied}");

    let audit = namespace.audit().await;
    let summaries: Vec<String> = audit.mutating().iter().map(|event| event.summary()).collect();
    assert_eq!(
        summaries,
        [
            format!("create configmaps {name}/settings -> 201"),
            format!("create configmaps {name}/settings -> 409 (dry run)"),
        ]
    );
    assert_eq!(audit.mutating()[0].request_object.as_ref().unwrap()["data"]["a"], "b");
    assert_eq!(audit.count("create"), 2);
    assert_eq!(audit.of_resource("configmaps").len(), 3);
    assert!(audit.events.iter().all(|event| event.user == namespace.user().name));
    assert!(audit.events.iter().all(|event| event.user_agent.starts_with("kubectl/")), "{audit:#?}");

    let denied = AuditLog::of_user(namespace.control_plane(), &limited.name).await;
    let summaries: Vec<String> = denied.mutating().iter().map(|event| event.summary()).collect();
    assert_eq!(summaries, [format!("delete configmaps {name}/settings -> 403")]);
}
