//! Workloads whose pods cannot be handed over, one for each rule that says so, all on one node.

use std::time::Duration;

use e2e::workload::WorkloadBuilder;
use e2e::{Kubectl, Namespace};
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

/// The label of nodes in the same rack, of which there is one.
pub(super) const RACK: &str = "handover.test/rack";

/// The Deployments, and the one of them whose pod can be handed over.
pub(super) const DEPLOYMENTS: [&str; 12] =
    ["plain", "anew", "tight", "canary", "walled", "counted", "wanted", "disk", "spread", "apart", "guarded", "ending"];

/// Makes them on the only node there is, and waits until what can be is Ready. All take a second to come up and to end, the
/// Job's three, and may take five to end. `sick` and `ill` never come up.
pub(super) async fn make(ns: &Namespace) {
    exclusive_claim(ns).await;
    for object in [alone(ns, "ReplicationController", "counter", 1), alone(ns, "ReplicaSet", "single", 1)] {
        ns.create(object).await;
    }
    slow(ns.pod("bare")).create().await;
    // Its controller looks again after a second: by then a pod that is told to end is not to have ended well.
    slow(ns.job("batch")).exit_after("3s").create().await;
    // What does not serve has nothing to hand over.
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
    let deployments = DEPLOYMENTS.map(|name| {
        let deployment = slow(ns.deployment(name));
        match name {
            "anew" => deployment.recreate(),
            "tight" => deployment.max_surge(0).max_unavailable(1),
            "disk" => deployment.edit_pod(on_disk),
            "spread" => deployment.edit_pod(spread),
            "apart" => deployment.anti_affinity(RACK),
            _ => deployment,
        }
    });
    let all = deployments.into_iter().chain([slow(ns.stateful_set("db"))]);
    futures::future::join_all(all.map(WorkloadBuilder::ready)).await;
    ns.until("", "all pods are bound, and all but two are Ready", |pods: &[Pod]| {
        pods.len() == 19 && pods.iter().filter(|pod| !e2e::workload::is_pod_ready(pod)).count() == 2
    })
    .await;
    let canary = by_hash(ns, "canary").await;
    ns.service("canary").selecting(canary).create().await;
    let counted = by_hash(ns, "counted").await;
    ns.budget("counted").selecting(counted).max_unavailable(1).ready().await;
    ns.budget("counter").max_unavailable(1).ready().await;
    ns.budget("single").min_available("0%").ready().await;
    let walled = by_hash(ns, "walled").await;
    ns.create(json!({ "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": { "name": "wall" },
                      "spec": { "podSelector": { "matchLabels": walled }, "policyTypes": ["Ingress"] } }))
        .await;
    ns.create(alone(ns, "ReplicaSet", "wanted", 0)).await;
    // Its deletion waits for a finalizer: until then the pods are there, and nobody would make others.
    let ending = replica_set(ns, "ending").await.name_any();
    ns.api::<ReplicaSet>()
        .patch(&ending, &PatchParams::default(), &hold(&json!(["handover.test/hold"])))
        .await
        .unwrap();
    ns.api::<ReplicaSet>().delete(&ending, &DeleteParams::background()).await.unwrap();
    guard(ns).await;
}

fn slow(workload: WorkloadBuilder<'_>) -> WorkloadBuilder<'_> {
    workload.ready_after("1s").exit_after("1s").grace(5)
}

/// Lets go of what would outlive the test otherwise.
pub(super) async fn let_go(ns: &Namespace) {
    let sets = ns.api::<ReplicaSet>();
    let ending = replica_set(ns, "ending").await.name_any();
    sets.patch(&ending, &PatchParams::default(), &hold(&Value::Null)).await.unwrap();
}

fn hold(finalizers: &Value) -> Patch<Value> {
    Patch::Merge(json!({ "metadata": { "finalizers": finalizers } }))
}

/// Lets nobody change the labels of pods called `app: guarded`.
async fn guard(ns: &Namespace) {
    let spec = json!({
        "failurePolicy": "Fail",
        "matchConstraints": {
            "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": ns.name() } },
            "objectSelector": { "matchLabels": { "app": "guarded" } },
            "resourceRules": [{ "apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["pods"] }],
        },
        "validations": [{ "expression": "object.metadata.labels == oldObject.metadata.labels",
            "message": "labels are kept" }],
    });
    ns.create_policy(ns.name(), spec).await;
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
pub(super) fn alone(ns: &Namespace, kind: &str, app: &str, replicas: u32) -> Value {
    let labels = json!({ "app": app });
    let (api_version, selector) = match kind {
        "ReplicaSet" => ("apps/v1", json!({ "matchLabels": labels })),
        _ => ("v1", labels.clone()),
    };
    let annotations = json!({ "handover.test/ready-after": "1s", "handover.test/exit-after": "1s" });
    let spec = json!({ "nodeSelector": { e2e::NAMESPACE_LABEL: ns.name() }, "terminationGracePeriodSeconds": 5,
                       "containers": [{ "name": "main", "image": "app:1" }] });
    json!({
        // A Deployment would adopt a ReplicaSet with its own labels.
        "apiVersion": api_version, "kind": kind, "metadata": { "name": format!("{app}-alone"), "labels": { "own": "" } },
        "spec": { "replicas": replicas, "selector": selector, "template": {
            "metadata": { "labels": labels, "annotations": annotations }, "spec": spec } },
    })
}
