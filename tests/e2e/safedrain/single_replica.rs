//! The main job: a single replica behind a budget moves, and its Service never loses its ready endpoint.

use e2e::{ControlPlane, EndpointRecorder, Namespace, Plugin};
use jiff::SignedDuration;
use k8s_openapi::api::apps::v1::Deployment;
use serde_json::{Value, json};

/// Two nodes, and one replica of `web` behind a Service on the first of them.
struct Shop {
    ns: Namespace,
    old: String,
    new: String,
}

impl Shop {
    async fn open(purpose: &str) -> Self {
        let ns = Namespace::fresh(ControlPlane::shared(), purpose).await;
        let old = ns.node("old").create().await;
        ns.service("web").create().await;
        Self { old, new: ns.node_name("new"), ns }
    }

    /// Adds the second node once the workload is up on the first.
    async fn grow(&self) {
        self.ns.ready_endpoints("web", 1).await;
        assert_eq!(self.ns.node("new").create().await, self.new);
    }

    async fn deployment(&self) -> Deployment {
        self.ns.api::<Deployment>().get("web").await.unwrap()
    }

    /// Drains the old node and checks everything that must hold, whatever the budget and the workload's own rules.
    async fn moves_without_a_gap(&self) {
        let before = self.deployment().await;
        let mut recorder = EndpointRecorder::start(&self.ns).await;

        let run = Plugin::safedrain(&self.ns).args([self.old.as_str()]).run().await.expect_code(0);

        recorder.stop().await;
        assert_eq!(recorder.counts("web"), [1, 2, 1], "{run}");
        let last = recorder.history("web").pop().unwrap();
        assert_eq!(last.nodes.iter().collect::<Vec<_>>(), [&self.new], "{run}");
        let after = self.deployment().await;
        assert_eq!(after.spec, before.spec, "the Deployment's spec is not touched");
        assert_eq!(after.metadata.generation, before.metadata.generation);
        assert!(run.stdout.contains(&format!("node/{} cordoned\n", self.old)), "{run}");
        assert!(run.stdout.ends_with(&format!("node/{} drained\n", self.old)), "{run}");
    }
}

#[tokio::test]
async fn a_single_replica_with_min_available_1_moves() {
    let shop = Shop::open("min-available").await;
    shop.ns.deployment("web").ready_after("1s").exit_after("1s").ready().await;
    shop.ns.budget("web").min_available(1).ready().await;
    shop.grow().await;
    shop.moves_without_a_gap().await;
}

#[tokio::test]
async fn a_single_replica_with_max_unavailable_0_moves() {
    let shop = Shop::open("max-unavailable").await;
    shop.ns.deployment("web").ready_after("500ms").ready().await;
    shop.ns.budget("web").max_unavailable(0).ready().await;
    shop.grow().await;
    shop.moves_without_a_gap().await;
}

#[tokio::test]
async fn a_single_replica_with_min_available_100_percent_moves() {
    let shop = Shop::open("hundred-percent").await;
    shop.ns.deployment("web").ready_after("500ms").ready().await;
    shop.ns.budget("web").min_available("100%").ready().await;
    shop.grow().await;
    shop.moves_without_a_gap().await;
}

#[tokio::test]
async fn a_paused_deployment_moves() {
    let shop = Shop::open("paused").await;
    shop.ns.deployment("web").ready().await;
    shop.ns.budget("web").min_available(1).ready().await;
    shop.grow().await;
    let pause = json!({ "spec": { "paused": true } });
    let patch = kube::api::Patch::Merge(&pause);
    shop.ns.api::<Deployment>().patch("web", &kube::api::PatchParams::default(), &patch).await.unwrap();
    shop.ns
        .until("", "the pause is observed", |all: &[Deployment]| {
            all.iter().all(|one| one.status.as_ref().and_then(|s| s.observed_generation) == one.metadata.generation)
        })
        .await;
    shop.moves_without_a_gap().await;
}

#[tokio::test]
async fn a_replica_that_keeps_its_kind_away_from_its_host_moves() {
    let shop = Shop::open("anti-affinity").await;
    shop.ns.deployment("web").anti_affinity("kubernetes.io/hostname").ready().await;
    shop.ns.budget("web").min_available(1).ready().await;
    shop.grow().await;
    shop.moves_without_a_gap().await;
}

#[tokio::test]
async fn min_ready_seconds_are_waited_for() {
    let shop = Shop::open("min-ready").await;
    let patient = |json: &mut Value| json["spec"]["minReadySeconds"] = json!(3);
    shop.ns.deployment("web").edit(patient).ready().await;
    shop.ns.budget("web").min_available(1).ready().await;
    shop.grow().await;
    let mut recorder = EndpointRecorder::start(&shop.ns).await;
    let settle = ["--settle=0s", shop.old.as_str()];
    let run = Plugin::safedrain(&shop.ns).args(settle).run().await.expect_code(0);
    recorder.stop().await;
    assert_eq!(recorder.counts("web"), [1, 2, 1], "{run}");
    // By the server's stamps, of which the pod's is cut to whole seconds: Kubernetes itself counts from that one.
    let new = shop.ns.pods("app=web").await.remove(0);
    let conditions = new.status.into_iter().flat_map(|status| status.conditions.unwrap_or_default());
    let ready =
        conditions.filter(|condition| condition.type_ == "Ready").find_map(|one| one.last_transition_time).unwrap();
    let evicted = shop.ns.audit().await.evictions()[0].received_at;
    assert!(evicted >= ready.0 + SignedDuration::from_secs(3), "Ready since {ready:?}, evicted at {evicted}\n{run}");
}
