//! Pods whose controllers know them by the labels that their Services ask for: they are given to their namespace until their
//! replacement serves. `relied_on` has what Kubernetes itself does with such a pod.

use std::time::Duration;

use e2e::{ControlPlane, EndpointRecorder, Kubectl, Namespace, Plugin};
use k8s_openapi::api::core::v1::{Pod, ReplicationController};
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

/// Two pods called `web` behind a Service, on one node, and a free node.
struct Scene {
    ns: Namespace,
    old: String,
}

impl Scene {
    async fn open(purpose: &str, make: impl FnOnce(&Namespace) -> Value) -> Self {
        let ns = Namespace::fresh(ControlPlane::shared(), purpose).await;
        let old = ns.node("old").create().await;
        ns.service("web").create().await;
        let object = make(&ns);
        ns.create(object).await;
        ns.ready_endpoints("web", 2).await;
        ns.node("new").create().await;
        Self { ns, old }
    }

    fn drain(&self) -> e2e::Invocation {
        Plugin::safedrain(&self.ns).args([self.old.as_str(), "--settle=0s"])
    }

    /// Drains the node, during which no ready endpoint is missing.
    async fn hands_over(&self) {
        let mut recorder = EndpointRecorder::start(&self.ns).await;
        let run = self.drain().run().await.expect_code(0);
        recorder.stop().await;
        assert_eq!(recorder.fewest_ready("web"), 2, "{:?}\n{run}", recorder.counts("web"));
        self.is_tidy().await;
        assert!(self.pods_on_old().await.is_empty(), "{run}");
    }

    /// No pod tells of a handover any more, and each has its controller.
    async fn is_tidy(&self) {
        for pod in self.ns.pods("").await {
            let labels = pod.labels().values().any(|value| value == "handover");
            assert!(!labels && !pod.annotations().contains_key("handover/detached"), "{pod:?}");
            assert!(pod.owner_references().iter().all(|owner| owner.kind != "Namespace"), "{pod:?}");
            assert_eq!(pod.owner_references().len(), 1);
        }
    }

    async fn pods_on_old(&self) -> Vec<Pod> {
        let on_old = |pod: &Pod| pod.spec.as_ref().unwrap().node_name.as_ref() == Some(&self.old);
        self.ns.pods("app=web").await.into_iter().filter(on_old).collect()
    }
}

/// A controller of two pods that are labelled `app: web` and whatever else there is.
fn controller(ns: &Namespace, api_version: &str, kind: &str, more: &Value) -> Value {
    let mut labels = json!({ "app": "web" });
    labels.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let selector = if kind == "ReplicaSet" { json!({ "matchLabels": labels }) } else { labels.clone() };
    let annotations = json!({ "handover.test/ready-after": "500ms", "handover.test/exit-after": "200ms" });
    let spec = json!({
        "nodeSelector": { e2e::NAMESPACE_LABEL: ns.name() },
        "containers": [{ "name": "main", "image": "app:1" }],
    });
    json!({
        "apiVersion": api_version, "kind": kind, "metadata": { "name": "web" },
        "spec": {
            "replicas": 2, "selector": selector,
            "template": { "metadata": { "labels": labels, "annotations": annotations }, "spec": spec },
        },
    })
}

fn replication_controller(ns: &Namespace) -> Value {
    controller(ns, "v1", "ReplicationController", &json!({}))
}

fn replica_set(ns: &Namespace) -> Value {
    controller(ns, "apps/v1", "ReplicaSet", &json!({}))
}

/// A budget under which `kubectl drain` would never end.
async fn keep_both(ns: &Namespace) {
    ns.budget("web").min_available(2).ready().await;
}

#[tokio::test]
async fn the_pods_of_a_replica_set_of_its_own_are_handed_over() {
    let scene = Scene::open("alone-rs", replica_set).await;
    keep_both(&scene.ns).await;
    scene.hands_over().await;
}

#[tokio::test]
async fn the_pods_of_a_replication_controller_are_handed_over() {
    let scene = Scene::open("alone-rc", replication_controller).await;
    keep_both(&scene.ns).await;
    scene.hands_over().await;
    let api: kube::Api<ReplicationController> = scene.ns.api();
    let spec = api.get("web").await.unwrap().spec.unwrap();
    assert_eq!(spec.replicas, Some(2), "nobody scaled it");
}

/// Makes a Rollout, which nobody acts on, and returns its uid.
async fn rollout(ns: &Namespace) -> String {
    let any = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
    let version = json!({ "name": "v1alpha1", "served": true, "storage": true, "schema": { "openAPIV3Schema": any } });
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": "rollouts.argoproj.io", "annotations": { "api-approved.kubernetes.io": "unapproved, a test" } },
        "spec": {
            "group": "argoproj.io", "scope": "Namespaced", "versions": [version],
            "names": { "plural": "rollouts", "singular": "rollout", "kind": "Rollout", "listKind": "RolloutList" },
        },
    });
    let apply = |object: &Value| Kubectl::command(ns, ["apply", "-f", "-"]).stdin(&object.to_string()).run();
    apply(&definition).await.expect_code(0);
    let wait = ["wait", "--for=condition=Established", "crd/rollouts.argoproj.io", "--timeout=60s"];
    Kubectl::run(ns, wait).await.expect_code(0);
    let object = json!({ "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": { "name": "web" } });
    // That the definition is established does not yet make it known to those who ask what there is.
    e2e::eventually("a Rollout can be made", Duration::from_secs(60), || async { apply(&object).await.code() == 0 })
        .await;
    let uid = Kubectl::run(ns, ["get", "rollout.argoproj.io", "web", "-o", "jsonpath={.metadata.uid}"]).await;
    uid.expect_code(0).stdout
}

/// Argo Rollouts puts the hash of the template into the Services' selectors. Its controller is not here: the ReplicaSet is
/// another object's, and looks as one of its does.
#[tokio::test]
async fn so_are_those_of_a_replica_set_that_somebody_else_owns_even_if_services_select_by_its_hash() {
    let ns = Namespace::fresh(ControlPlane::shared(), "alone-rollout").await;
    let old = ns.node("old").create().await;
    let hash = json!({ "rollouts-pod-template-hash": "6d4f" });
    ns.service("web").selecting(json!({ "app": "web", "rollouts-pod-template-hash": "6d4f" })).create().await;
    let owner = rollout(&ns).await;
    let mut set = controller(&ns, "apps/v1", "ReplicaSet", &hash);
    set["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": "web", "uid": owner, "controller": true,
    }]);
    ns.create(set).await;
    ns.ready_endpoints("web", 2).await;
    ns.node("new").create().await;
    let scene = Scene { ns, old };
    scene.hands_over().await;
}

#[tokio::test]
async fn a_budget_that_counts_replicas_lets_them_leave_one_by_one() {
    let scene = Scene::open("alone-scale", replication_controller).await;
    scene.ns.budget("web").max_unavailable(1).ready().await;
    let mut recorder = EndpointRecorder::start(&scene.ns).await;
    let run = scene.drain().run().await.expect_code(0);
    recorder.stop().await;
    assert_eq!(recorder.fewest_ready("web"), 1, "{run}");
    assert!(run.stderr.contains("counts its owner's replicas"), "the plan says why: {run}");
    let budget = Kubectl::run(&scene.ns, ["get", "pdb", "web", "-o", "jsonpath={.status.conditions[0].reason}"]).await;
    assert_ne!(budget.stdout, "SyncFailed");
}

#[tokio::test]
async fn a_replacement_that_does_not_come_up_gives_the_old_pod_back_and_the_controller_keeps_it() {
    let scene = Scene::open("alone-back", replication_controller).await;
    keep_both(&scene.ns).await;
    let before: Vec<_> = scene.pods_on_old().await.iter().map(ResourceExt::name_any).collect();
    let sick =
        json!({ "spec": { "template": { "metadata": { "annotations": { "handover.test/ready-after": "never" } } } } });
    let api: kube::Api<ReplicationController> = scene.ns.api();
    api.patch("web", &PatchParams::default(), &Patch::Merge(sick)).await.unwrap();
    let mut recorder = EndpointRecorder::start(&scene.ns).await;
    let run = scene.drain().args(["--replacement-timeout=2s"]).run().await.expect_code(4);
    assert_eq!(recorder.fewest_ready("web"), 2, "{run}");
    scene.is_tidy().await;
    let mut after: Vec<_> = scene.pods_on_old().await.iter().map(ResourceExt::name_any).collect();
    after.sort();
    assert_eq!(after, before, "{run}");
    // The same command goes on when the template is well again.
    let well =
        json!({ "spec": { "template": { "metadata": { "annotations": { "handover.test/ready-after": "100ms" } } } } });
    api.patch("web", &PatchParams::default(), &Patch::Merge(well)).await.unwrap();
    scene.drain().run().await.expect_code(0);
    recorder.stop().await;
    assert_eq!(recorder.fewest_ready("web"), 2, "{run}");
    scene.is_tidy().await;
}

#[tokio::test]
async fn what_a_killed_run_gave_away_is_told_and_given_back() {
    let scene = Scene::open("alone-killed", |ns| {
        let mut object = replication_controller(ns);
        object["spec"]["template"]["metadata"]["annotations"]["handover.test/ready-after"] = json!("3s");
        object
    })
    .await;
    keep_both(&scene.ns).await;
    let mut recorder = EndpointRecorder::start(&scene.ns).await;
    let running = scene.drain().spawn();
    let given =
        |pods: &[Pod]| pods.iter().any(|pod| pod.owner_references().iter().any(|owner| owner.kind == "Namespace"));
    scene.ns.until("app=web", "a pod is its namespace's", given).await;
    running.kill().await;
    let status = Plugin::safedrain(&scene.ns).args([scene.old.as_str(), "--status", "-o", "json"]).run().await;
    let status = status.expect_code(0);
    assert_eq!(status.json()["pods"][0]["record"]["kind"], json!("ReplicationController"), "{status}");
    Plugin::safedrain(&scene.ns).args([scene.old.as_str(), "--undo"]).run().await.expect_code(0);
    recorder.stop().await;
    assert_eq!(recorder.fewest_ready("web"), 2);
    scene.is_tidy().await;
    let nodes = Kubectl::run(&scene.ns, ["get", "node", &scene.old, "-o", "jsonpath={.spec.unschedulable}"]).await;
    assert_eq!(nodes.stdout, "");
}

/// The way to exchange a ReplicaSet that Kubernetes documents: deleted without its pods, for another one to take them in.
#[tokio::test]
async fn a_replica_set_that_is_deleted_without_its_pods_leaves_the_detached_one_serving() {
    let scene = Scene::open("alone-orphan", |ns| {
        let mut object = replica_set(ns);
        object["spec"]["template"]["metadata"]["annotations"]["handover.test/ready-after"] = json!("2s");
        object
    })
    .await;
    let mut recorder = EndpointRecorder::start(&scene.ns).await;
    let running = scene.drain().args(["--replacement-timeout=15s"]).spawn();
    let given = |pods: &[Pod]| {
        let is_given = |pod: &Pod| pod.owner_references().iter().any(|owner| owner.kind == "Namespace");
        pods.iter().any(is_given) && pods.len() > 2
    };
    scene.ns.until("app=web", "a pod is its namespace's, and the next one is made", given).await;
    Kubectl::run(&scene.ns, ["delete", "replicaset", "web", "--cascade=orphan"]).await.expect_code(0);
    running.stderr_contains("garbage collector").await;
    let again = replica_set(&scene.ns);
    Kubectl::command(&scene.ns, ["apply", "-f", "-"]).stdin(&again.to_string()).run().await.expect_code(0);
    let run = running.wait().await;
    recorder.stop().await;
    assert_eq!(run.code(), 4, "{run}");
    assert!(recorder.fewest_ready("web") >= 2, "{:?}\n{run}", recorder.counts("web"));
}
