//! Who goes first, and who last.

use e2e::{ControlPlane, EndpointRecorder, Kubectl, NAMESPACE_LABEL, Namespace, Plugin, Run};
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

/// The last change of the pods of one workload was before the first one of another's.
async fn assert_before(ns: &Namespace, first: &str, second: &str, run: &Run) {
    let audit = ns.audit().await;
    let changes = audit.changes();
    let is_about = |name: &str| {
        let prefix = format!("{name}-");
        move |event: &&&e2e::AuditEvent| event.resource == "pods" && event.name.starts_with(&prefix)
    };
    let left = changes.iter().filter(is_about(first)).map(|event| event.received_at).max();
    let begun = changes.iter().filter(is_about(second)).map(|event| event.received_at).min();
    assert!(left.is_some() && left < begun, "{first} until {left:?}, {second} from {begun:?}\n{run}");
}

#[tokio::test]
async fn storage_leaves_after_the_pods_that_may_need_it() {
    let ns = Namespace::fresh(ControlPlane::shared(), "order").await;
    let node = ns.node("old").create().await;
    // By its name alone it would be first.
    for name in ["ceph-osd", "web"] {
        ns.deployment(name).ready().await;
    }
    ns.node("new").create().await;

    let run = Plugin::safedrain(&ns).args([&node]).run().await.expect_code(0);

    assert_before(&ns, "web", "ceph-osd", &run).await;
    let audit = ns.audit().await;
    assert_eq!(audit.evictions().len(), 2, "{run}");
}

#[tokio::test]
async fn the_number_of_a_namespace_holds_for_pods_that_say_nothing_themselves() {
    let ns = Namespace::fresh(ControlPlane::shared(), "order-of").await;
    let other = Namespace::fresh(ControlPlane::shared(), "order-other").await;
    let node = ns.node("old").create().await;
    // By their names alone the other namespace's would be first, or all at once.
    for (name, annotation) in [("api", None), ("early", Some("-1"))] {
        let mut deployment = other.deployment(name);
        if let Some(number) = annotation {
            deployment = deployment.pod_annotation("handover/order", number);
        }
        let here = json!({ NAMESPACE_LABEL: ns.name() });
        deployment.edit_pod(|pod| pod["spec"]["nodeSelector"] = here).ready().await;
    }
    ns.deployment("web").ready().await;
    Kubectl::run(&ns, ["annotate", "namespace", other.name(), "handover/order=5"]).await.expect_code(0);
    ns.node("new").create().await;
    let run = Plugin::safedrain(&ns).args([&node]).run().await.expect_code(0);
    assert_before(&ns, "early", "web", &run).await;
    assert_before(&ns, "web", "api", &run).await;
}

/// Makes a webhook about pods that Service `gate` answers for; returns the name of its configuration.
async fn gate(ns: &Namespace) -> String {
    let name = format!("{}-gate", ns.name());
    let webhook = json!({
        "name": "gate.handover.test", "sideEffects": "None", "admissionReviewVersions": ["v1"],
        "clientConfig": { "service": { "namespace": ns.name(), "name": "gate" } },
        "namespaceSelector": { "matchLabels": { "handover.test/asks": "nobody" } },
        "rules": [{ "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"] }],
    });
    let configuration = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": { "name": name }, "webhooks": [webhook],
    });
    Kubectl::command(ns, ["apply", "-f", "-"]).stdin(&configuration.to_string()).run().await.expect_code(0);
    name
}

/// The webhook is real and is asked about no namespace that exists: what is seen is the order, not its answers.
#[tokio::test]
async fn a_pod_that_answers_for_a_webhook_goes_first_and_alone() {
    let ns = Namespace::fresh(ControlPlane::shared(), "order-gate").await;
    let node = ns.node("old").create().await;
    for name in ["app", "policy", "storage"] {
        ns.deployment(name).ready_after("500ms").ready().await;
    }
    ns.service("gate").selecting(json!({ "app": "policy" })).create().await;
    ns.ready_endpoints("gate", 1).await;
    let name = gate(&ns).await;
    ns.node("new").create().await;
    let run = Plugin::safedrain(&ns).args([node.as_str(), "--settle=0s"]).run().await;
    Kubectl::run(&ns, ["delete", "validatingwebhookconfiguration", &name]).await.expect_code(0);
    let run = run.expect_code(0);
    assert!(run.stderr.contains("answers for a webhook without which nothing passes: goes first"), "{run}");
    assert_before(&ns, "policy", "app", &run).await;
    assert_before(&ns, "policy", "storage", &run).await;
}

/// Its rollout waits for a pod that does not come up, and the run with it, and the others with the run.
#[tokio::test]
async fn the_others_go_on_when_the_rollout_of_a_webhooks_pod_does_not_end() {
    let ns = Namespace::fresh(ControlPlane::shared(), "order-gate-stuck").await;
    let node = ns.node("old").create().await;
    ns.deployment("app").ready().await;
    ns.deployment("policy").max_surge(1).max_unavailable(0).ready().await;
    for (service, app) in [("gate", "policy"), ("app", "app")] {
        ns.service(service).selecting(json!({ "app": app })).create().await;
        ns.ready_endpoints(service, 1).await;
    }
    let name = gate(&ns).await;
    let sick =
        json!({ "spec": { "template": { "metadata": { "annotations": { "handover.test/ready-after": "never" } } } } });
    ns.node("new").create().await;
    Kubectl::run(&ns, ["patch", "deployment", "policy", "-p", &sick.to_string()]).await.expect_code(0);
    ns.until("app=policy", "the rollout has begun", |pods: &[Pod]| pods.len() == 2).await;
    let mut recorder = EndpointRecorder::start(&ns).await;
    let drain = [node.as_str(), "--settle=0s", "--replacement-timeout=8s"];
    let run = Plugin::safedrain(&ns).args(drain).run().await;
    Kubectl::run(&ns, ["delete", "validatingwebhookconfiguration", &name]).await.expect_code(0);
    let run = run.expect_code(4);
    recorder.stop().await;
    let told = "it answers for a webhook, all others wait for it, and it was waiting too long for the rollout of its \
                Deployment to end";
    assert!(run.stderr.contains(told), "{run}");
    assert_eq!((recorder.fewest_ready("gate"), recorder.fewest_ready("app")), (1, 1), "{run}");
    let apps = recorder.history("app").pop().unwrap();
    assert!(!apps.nodes.contains(&node), "the other pod has left: {apps:?}\n{run}");
}

#[tokio::test]
async fn a_node_of_the_control_plane_is_told_with_what_etcd_needs() {
    let ns = Namespace::fresh(ControlPlane::shared(), "order-quorum").await;
    let node = ns.node("old").create().await;
    Kubectl::run(&ns, ["label", "node", &node, "node-role.kubernetes.io/control-plane="]).await.expect_code(0);
    let run = Plugin::safedrain(&ns).args([node.as_str(), "--dry-run=client"]).run().await.expect_code(0);
    assert!(run.stderr.contains(&format!("this drains {node} of the ")), "{run}");
    assert!(run.stderr.contains("nodes of the control plane: turned off, they leave"), "{run}");
}
