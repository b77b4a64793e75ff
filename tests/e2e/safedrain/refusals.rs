//! kubectl's refusals: found before anything is touched, each with the flag that lets the pod go.

use std::time::Duration;

use e2e::{ControlPlane, Kubectl, Namespace, Plugin};
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

#[tokio::test]
async fn each_refusal_names_its_pod_and_its_flag_and_changes_nothing() {
    let ns = Namespace::fresh(ControlPlane::shared(), "refusals").await;
    let node = ns.node("old").create().await;
    ns.pod("bare").on_node(&node).create().await;
    ns.deployment("cache").empty_dir().ready().await;
    ns.daemon_set("log").ready().await;
    ns.until("app=bare", "the bare pod is up", |pods: &[Pod]| {
        pods.iter().all(e2e::workload::is_pod_ready) && !pods.is_empty()
    })
    .await;

    let run = Plugin::safedrain(&ns).args([&node, "--ignore-daemonsets=false"]).run().await.expect_code(3);
    for (pod, flag) in [("/bare", "--force"), ("/cache-", "--delete-emptydir-data"), ("/log-", "--ignore-daemonsets")] {
        let line = run.stderr.lines().find(|line| line.starts_with("refused:") && line.contains(pod));
        assert!(line.is_some_and(|line| line.contains(flag)), "{pod} needs {flag}\n{run}");
    }
    let audit = ns.audit().await;
    let writes: Vec<_> =
        audit.mutating().into_iter().filter(|event| event.resource != "selfsubjectaccessreviews").collect();
    assert!(writes.is_empty(), "{writes:?}");

    ns.node("new").create().await;
    let run = Plugin::safedrain(&ns).args([&node, "--force", "--delete-emptydir-data"]).run().await.expect_code(0);
    assert!(run.stdout.contains("pod/bare evicted"), "{run}");
    let left = ns.pods("").await.into_iter().filter(|pod| pod.spec.as_ref().unwrap().node_name.as_ref() == Some(&node));
    let names: Vec<_> = left.map(|pod| pod.metadata.name.unwrap()).collect();
    assert!(names.iter().all(|name| name.starts_with("log-")) && names.len() == 1, "{names:?}");
}

#[tokio::test]
async fn an_unknown_node_stops_everything_before_it_begins() {
    let ns = Namespace::fresh(ControlPlane::shared(), "unknown").await;
    let node = ns.node("old").create().await;
    let typo = format!("{node}x");
    let run = Plugin::safedrain(&ns).args([&node, &typo]).run().await.expect_code(3);
    assert!(run.stderr.contains(&format!("node {typo} does not exist")), "{run}");
    assert!(run.stderr.contains(&format!("did you mean {node}?")), "{run}");
    assert_eq!(ns.audit().await.mutating().len(), 0);
}

#[tokio::test]
async fn a_pod_selector_moves_only_what_it_chooses() {
    let ns = Namespace::fresh(ControlPlane::shared(), "selector").await;
    let node = ns.node("old").create().await;
    ns.deployment("web").ready().await;
    ns.deployment("api").ready().await;
    ns.pod("bare").on_node(&node).create().await;
    ns.until("app=bare", "the bare pod is up", |pods: &[Pod]| pods.iter().any(e2e::workload::is_pod_ready)).await;
    ns.node("new").create().await;

    let run = Plugin::safedrain(&ns).args([&node, "--pod-selector=app=web"]).run().await.expect_code(0);

    assert!(run.stdout.contains("evicting pod") && run.stdout.contains("/web-"), "{run}");
    let left = ns.pods("").await.into_iter().filter(|pod| pod.spec.as_ref().unwrap().node_name.as_ref() == Some(&node));
    let mut apps: Vec<_> = left.map(|pod| pod.metadata.labels.unwrap()["app"].clone()).collect();
    apps.sort();
    assert_eq!(apps, ["api", "bare"], "{run}");
    let bad = Plugin::safedrain(&ns).args([&node, "--pod-selector=app in web"]).run().await.expect_code(2);
    assert!(bad.stderr.contains("not a label requirement"), "{bad}");
}

#[tokio::test]
async fn a_right_that_is_missing_is_named_before_anything_happens() {
    let ns = Namespace::fresh(ControlPlane::shared(), "rights").await;
    let node = ns.node("old").create().await;
    ns.deployment("web").ready().await;
    let user = ns.limited_user();
    let role = |name: &str, rules: serde_json::Value| {
        serde_json::json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
                            "metadata": { "name": format!("{}-{name}", ns.name()) }, "rules": rules })
    };
    let bind = |name: &str| {
        serde_json::json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": { "name": format!("{}-{name}", ns.name()) },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": format!("{}-{name}", ns.name()) },
            "subjects": [{ "kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": user.name }] })
    };
    let everything = serde_json::json!([{ "apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list", "watch"] }]);
    ns.create(role("read", everything)).await;
    ns.create(bind("read")).await;

    // What is bound is known a moment later.
    let may = async |right: &[&str]| {
        e2e::eventually(&right.join(" "), Duration::from_secs(60), || async {
            let ask = Kubectl::command(&ns, ["auth", "can-i", "--all-namespaces"]).args(right);
            ask.user(&user).run().await.code() == 0
        })
        .await;
    };
    may(&["list", "nodes"]).await;

    let run = Plugin::safedrain(&ns).args([&node]).user(&user).run().await.expect_code(3);
    assert!(run.stderr.contains("you may not patch nodes"), "{run}");

    ns.create(role("nodes", serde_json::json!([{ "apiGroups": [""], "resources": ["nodes"], "verbs": ["patch"] }])))
        .await;
    ns.create(bind("nodes")).await;
    may(&["patch", "nodes"]).await;
    let run = Plugin::safedrain(&ns).args([&node]).user(&user).run().await.expect_code(3);
    assert!(run.stderr.contains(&format!("you may not create pods/eviction in {}", ns.name())), "{run}");
    assert!(run.stderr.contains("kubectl auth can-i create pods --subresource=eviction"), "{run}");

    let evict = serde_json::json!([{ "apiGroups": [""], "resources": ["pods/eviction"], "verbs": ["create"] }]);
    ns.node("new").create().await;
    ns.create(role("evict", evict)).await;
    ns.create(bind("evict")).await;
    may(&["create", "pods", "--subresource=eviction"]).await;
    let run = Plugin::safedrain(&ns).args([&node, "--dry-run=client"]).user(&user).run().await.expect_code(0);
    assert!(
        run.stdout.contains("you may not patch pods in its namespace"),
        "it is evicted, and the plan says why: {run}"
    );
}

/// kubectl prints a failed cordon and goes on to evict from a node that takes new pods.
#[tokio::test]
async fn a_cordon_that_is_refused_ends_the_run_before_any_pod_is_touched() {
    let ns = Namespace::fresh(ControlPlane::shared(), "cordon").await;
    let node = ns.node("old").create().await;
    ns.deployment("web").ready().await;
    ns.node("new").create().await;
    let spec = json!({
        "failurePolicy": "Fail",
        "matchConstraints": { "resourceRules": [{ "apiGroups": [""], "apiVersions": ["v1"],
            "operations": ["UPDATE"], "resources": ["nodes"], "resourceNames": [node] }] },
        "validations": [{ "expression": "!has(object.spec.unschedulable) || !object.spec.unschedulable",
            "message": "this node stays open" }],
    });
    ns.create_policy(ns.name(), spec).await;
    e2e::eventually("the policy is in force", std::time::Duration::from_secs(60), || async {
        let patch = ["patch", "node", &node, "--dry-run=server", "-p", r#"{"spec":{"unschedulable":true}}"#];
        Kubectl::run(&ns, patch).await.stderr.contains("this node stays open")
    })
    .await;
    let run = Plugin::safedrain(&ns).args([node.as_str()]).run().await.expect_code(4);
    assert!(run.stderr.contains("this node stays open"), "{run}");
    assert!(ns.audit().await.evictions().is_empty(), "{run}");
}
