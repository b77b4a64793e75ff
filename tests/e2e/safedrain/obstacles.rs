//! What cannot be handed over: with `--strategy=surge` each obstacle is a refusal of its own.

use std::time::Duration;

use e2e::workload::WorkloadBuilder;
use e2e::{ControlPlane, Kubectl, Namespace, Plugin, Roles};
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::refused::{Refused, Row};

const RACK: &str = "handover.test/rack";

/// Lets nobody change the labels of pods called `app: guarded`.
async fn guard(ns: &Namespace) {
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": { "name": ns.name() },
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {
                "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": ns.name() } },
                "objectSelector": { "matchLabels": { "app": "guarded" } },
                "resourceRules": [{ "apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["pods"] }],
            },
            "validations": [{ "expression": "object.metadata.labels == oldObject.metadata.labels",
                "message": "labels are kept" }],
        },
    });
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": { "name": ns.name() },
        "spec": { "policyName": ns.name(), "validationActions": ["Deny"] },
    });
    for object in [policy, binding] {
        ns.create(object).await;
    }
    e2e::eventually("the policy is in force", Duration::from_secs(60), || async {
        let label = ["label", "pods", "-l", "app=guarded", "colour=red", "--dry-run=server"];
        Kubectl::run(ns, label).await.stderr.contains("labels are kept")
    })
    .await;
}

/// The ReplicaSet of a Deployment.
async fn replica_set(ns: &Namespace, deployment: &str) -> ReplicaSet {
    let found = ns.until(&format!("app={deployment}"), "the ReplicaSet", |sets: &[ReplicaSet]| sets.len() == 1).await;
    found.into_iter().next().unwrap()
}

/// The labels by which something chooses the pods of a Deployment by their template's hash.
async fn by_hash(ns: &Namespace, deployment: &str) -> Value {
    let hash = replica_set(ns, deployment).await.labels()["pod-template-hash"].clone();
    json!({ "app": deployment, "pod-template-hash": hash })
}

/// A claim that one node at a time may mount, bound to a volume.
async fn exclusive_claim(ns: &Namespace) {
    let (size, access) = (json!({ "storage": "1Gi" }), json!(["ReadWriteOnce"]));
    let volume =
        json!({ "capacity": size, "accessModes": access, "storageClassName": "", "hostPath": { "path": "/disk" } });
    let claim = json!({ "accessModes": access, "storageClassName": "", "volumeName": ns.name(),
                        "resources": { "requests": size } });
    let object = |kind: &str, name: &str, spec| json!({ "apiVersion": "v1", "kind": kind, "metadata": { "name": name }, "spec": spec });
    ns.create(object("PersistentVolume", ns.name(), volume)).await;
    ns.create(object("PersistentVolumeClaim", "disk", claim)).await;
}

/// A controller of its own without a Deployment above it.
fn alone(ns: &Namespace, kind: &str, app: &str, replicas: u32) -> Value {
    let labels = json!({ "app": app });
    let (api_version, selector) = match kind {
        "ReplicaSet" => ("apps/v1", json!({ "matchLabels": labels })),
        _ => ("v1", labels.clone()),
    };
    let spec = json!({ "nodeSelector": { e2e::NAMESPACE_LABEL: ns.name() },
                       "containers": [{ "name": "main", "image": "app:1" }] });
    json!({
        // A Deployment would adopt a ReplicaSet with its own labels.
        "apiVersion": api_version, "kind": kind, "metadata": { "name": format!("{app}-alone"), "labels": { "own": "" } },
        "spec": { "replicas": replicas, "selector": selector, "template": { "metadata": { "labels": labels }, "spec": spec } },
    })
}

fn surging(ns: &Namespace, node: &str) -> e2e::Invocation {
    Plugin::safedrain(ns).args([node, "--strategy=surge", "--force"])
}

#[tokio::test]
async fn each_obstacle_to_a_handover_is_a_refusal_of_its_own_under_strategy_surge() {
    let ns = Namespace::fresh(ControlPlane::shared(), "obstacles").await;
    let node = ns.node("old").label(RACK, "one").create().await;
    exclusive_claim(&ns).await;
    for object in [alone(&ns, "ReplicationController", "counter", 1), alone(&ns, "ReplicaSet", "single", 1)] {
        ns.create(object).await;
    }
    ns.pod("bare").create().await;
    ns.job("batch").create().await;
    // What does not serve has nothing to hand over: it is evicted, and refused by nobody.
    ns.deployment("sick").ready_after("never").create().await;
    ns.stateful_set("ill").ready_after("never").create().await;
    let on_disk = |pod: &mut Value| {
        pod["spec"]["volumes"] = json!([{ "name": "disk", "persistentVolumeClaim": { "claimName": "disk" } }]);
    };
    let spread = |pod: &mut Value| {
        pod["spec"]["topologySpreadConstraints"] = json!([{ "maxSkew": 1, "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "DoNotSchedule", "labelSelector": { "matchLabels": { "app": "spread" } },
            "matchLabelKeys": ["pod-template-hash"] }]);
    };
    let deployments = [
        ns.deployment("plain"),
        ns.deployment("anew").recreate(),
        ns.deployment("tight").max_surge(0).max_unavailable(1),
        ns.deployment("canary"),
        ns.deployment("walled"),
        ns.deployment("counted"),
        ns.deployment("wanted"),
        ns.deployment("disk").edit_pod(on_disk),
        ns.deployment("spread").edit_pod(spread),
        ns.deployment("apart").anti_affinity(RACK),
        ns.deployment("guarded"),
        ns.deployment("ending"),
        ns.stateful_set("db"),
    ];
    futures::future::join_all(deployments.map(WorkloadBuilder::ready)).await;
    ns.until("", "all pods are bound, and all but two are Ready", |pods: &[Pod]| {
        pods.len() == 19 && pods.iter().filter(|pod| !e2e::workload::is_pod_ready(pod)).count() == 2
    })
    .await;
    let canary = by_hash(&ns, "canary").await;
    ns.service("canary").selecting(canary).create().await;
    let counted = by_hash(&ns, "counted").await;
    ns.budget("counted").selecting(counted).max_unavailable(1).ready().await;
    ns.budget("counter").max_unavailable(1).ready().await;
    ns.budget("single").min_available("0%").ready().await;
    let walled = by_hash(&ns, "walled").await;
    ns.create(json!({ "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": { "name": "wall" },
                      "spec": { "podSelector": { "matchLabels": walled }, "policyTypes": ["Ingress"] } }))
        .await;
    ns.create(alone(&ns, "ReplicaSet", "wanted", 0)).await;
    // Its deletion waits for a finalizer: until then the pods are there, and nobody would make others.
    let sets = ns.api::<ReplicaSet>();
    let ending = replica_set(&ns, "ending").await.name_any();
    let hold = |finalizers: Value| Patch::Merge(json!({ "metadata": { "finalizers": finalizers } }));
    sets.patch(&ending, &PatchParams::default(), &hold(json!(["handover.test/hold"]))).await.unwrap();
    sets.delete(&ending, &DeleteParams::background()).await.unwrap();
    guard(&ns).await;

    let row = |pod, says: String| Row {
        pod,
        says: format!("cannot be handed over: {says}"),
        remedy: "--strategy=auto".to_owned(),
    };
    let here = |kind: &str, name: &str, does: &str| format!("{kind} {}/{name} {does}", ns.name());
    let by_scale = "counts its owner's replicas, which a pod without owner would spoil";
    let mut rows = vec![
        row("bare", "no controller would replace it".to_owned()),
        row("batch-", "a Job's pod is not served by a second one".to_owned()),
        row("counter-", here("PodDisruptionBudget", "counter", by_scale)),
        row("single-", here("PodDisruptionBudget", "single", by_scale)),
        row("db-0", "a StatefulSet makes the next pod only when this one is gone".to_owned()),
        row("anew-", "strategy Recreate: its owner says that no two may run at once".to_owned()),
        row("tight-", "maxSurge is 0: its owner allows no extra pod".to_owned()),
        row("canary-", here("Service", "canary", "selects it by pod-template-hash")),
        row("counted-", here("PodDisruptionBudget", "counted", "selects it by pod-template-hash")),
        row("walled-", here("NetworkPolicy", "wall", "selects it by pod-template-hash")),
        row("wanted-", here("ReplicaSet", "wanted-alone", "would adopt it")),
        row("disk-", format!("claim {}/disk can be mounted by one node at a time", ns.name())),
        row("spread-", "its topology spread counts pods by pod-template-hash".to_owned()),
        row("apart-", format!("required anti-affinity leaves no free {RACK} for a second pod")),
        row("guarded-", "the server refuses to relabel it: ".to_owned()),
        row("ending-", "its ReplicaSet or Deployment is not there any more".to_owned()),
    ];
    let refused = Refused::run(&ns, ns.user(), surging(&ns, &node)).await;
    refused.refuses(&ns, &rows);
    refused.says(&["labels are kept"]);

    // Who may not patch pods can hand over none.
    let roles = Roles::read("safedrain");
    let patch = roles.grants().into_iter().find(|grant| grant.to_string() == "patch pods").unwrap();
    let user = ns.limited_user();
    roles.without(&patch).bind(&ns, &user).await;
    rows.retain(|row| row.pod != "guarded-");
    for pod in ["plain-", "guarded-"] {
        rows.push(row(pod, "you may not patch pods in its namespace".to_owned()));
    }
    Refused::run(&ns, &user, surging(&ns, &node)).await.refuses(&ns, &rows);

    // What is waited for is neither handed over nor evicted.
    let waits = ["--pod-selector=batch.kubernetes.io/job-name", "--jobs=wait", "--dry-run=client"];
    let dry = surging(&ns, &node).args(waits).run().await.expect_code(0);
    assert!(dry.stdout.contains("wait"), "{dry}");
    // The remedy is one.
    Plugin::safedrain(&ns).args([&node, "--strategy=auto", "--force", "--dry-run=client"]).run().await.expect_code(0);
    sets.patch(&ending, &PatchParams::default(), &hold(Value::Null)).await.unwrap();
}
