//! What of Kubernetes' own behaviour a handover relies on, seen on the real controllers without any plugin.

use e2e::{ControlPlane, EndpointRecorder, Kubectl, Namespace};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::Api;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

/// A ReplicaSet or ReplicationController of its own called `web`, with one pod on `old`, which is cordoned.
struct Scene {
    ns: Namespace,
    pod: Pod,
}

impl Scene {
    async fn open(purpose: &str, api_version: &str, kind: &str, budget: Value) -> Self {
        let ns = Namespace::fresh(ControlPlane::shared(), purpose).await;
        let old = ns.node("old").create().await;
        ns.service("web").create().await;
        let labels = json!({ "app": "web" });
        let selector = if kind == "ReplicaSet" { json!({ "matchLabels": labels }) } else { labels.clone() };
        let template = json!({
            "metadata": { "labels": labels },
            "spec": {
                "nodeSelector": { e2e::namespace::NAMESPACE_LABEL: ns.name() },
                "containers": [{ "name": "web", "image": "web" }],
            },
        });
        ns.create(json!({
            "apiVersion": api_version, "kind": kind, "metadata": { "name": "web" },
            "spec": { "replicas": 1, "selector": selector, "template": template },
        }))
        .await;
        let mut spec = budget;
        spec["selector"] = json!({ "matchLabels": labels });
        ns.create(json!({
            "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": { "name": "web" }, "spec": spec,
        }))
        .await;
        ns.ready_endpoints("web", 1).await;
        let pod = ns.pods("app=web").await.remove(0);
        Kubectl::run(&ns, ["cordon", &old]).await.expect_code(0);
        ns.node("new").create().await;
        Self { ns, pod }
    }

    /// Gives the pod to its namespace.
    async fn give_away(&self) {
        let namespaces = Api::<k8s_openapi::api::core::v1::Namespace>::all(self.ns.client());
        let namespace = namespaces.get(self.ns.name()).await.unwrap();
        let own = &self.pod.owner_references()[0];
        let patch = json!({ "metadata": { "uid": self.pod.uid().unwrap(), "ownerReferences": [
            { "$patch": "delete", "uid": own.uid },
            { "apiVersion": "v1", "kind": "Namespace", "name": self.ns.name(), "uid": namespace.uid().unwrap(),
              "controller": true },
        ] } });
        let pods: Api<Pod> = self.ns.api();
        pods.patch(&self.pod.name_any(), &PatchParams::default(), &Patch::Strategic(patch)).await.unwrap();
    }
}

#[tokio::test]
async fn a_pod_that_is_given_to_its_namespace_serves_on_beside_the_one_that_takes_its_place() {
    for (api_version, kind) in [("apps/v1", "ReplicaSet"), ("v1", "ReplicationController")] {
        let purpose = format!("given-{}", kind.to_lowercase().chars().take(10).collect::<String>());
        let scene = Scene::open(&purpose, api_version, kind, json!({ "minAvailable": 1 })).await;
        let ns = &scene.ns;
        let mut recorder = EndpointRecorder::start(ns).await;
        scene.give_away().await;
        recorder.until("web", "two ready endpoints", |sample| sample.ready.len() == 2).await;
        let budgets = ns.until("", "the budget counts both", |budgets: &[PodDisruptionBudget]| {
            let status = budgets.first().and_then(|budget| budget.status.as_ref());
            status.is_some_and(|status| status.disruptions_allowed == 1)
        });
        assert_eq!(budgets.await[0].status.as_ref().unwrap().expected_pods, 2);
        let pods: Api<Pod> = ns.api();
        let eviction =
            json!({ "apiVersion": "policy/v1", "kind": "Eviction", "metadata": { "name": scene.pod.name_any() } });
        let params = PostParams::default();
        let name = scene.pod.name_any();
        drop(pods.create_subresource::<_, Value>("eviction", &name, &params, &eviction).await.unwrap());
        ns.pod_gone(&scene.pod).await;
        recorder.stop().await;
        assert_eq!(recorder.counts("web"), [1, 2, 1], "{kind}");
    }
}
