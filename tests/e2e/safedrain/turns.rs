//! Pods that go before their replacement is there go one after another, whether or not a budget asks for it.

use e2e::workload::WorkloadBuilder;
use e2e::{ControlPlane, EndpointRecorder, Kubectl, Namespace, Plugin, Run};
use serde_json::{Value, json};

/// Three pods called `web` behind a Service, all on one node, and a free node.
struct Scene {
    ns: Namespace,
    old: String,
}

impl Scene {
    async fn open(purpose: &str, make: impl FnOnce(&Namespace) -> WorkloadBuilder<'_>) -> Self {
        let ns = Namespace::fresh(ControlPlane::shared(), purpose).await;
        let old = ns.node("old").create().await;
        ns.service("web").create().await;
        make(&ns).replicas(3).exit_after("200ms").ready().await;
        ns.ready_endpoints("web", 3).await;
        ns.node("new").create().await;
        Self { ns, old }
    }

    /// Drains the node; at no time were there fewer ready endpoints than the plan says, which is `least`.
    async fn keeps(&self, least: u64, flags: &[&str]) -> Run {
        let dry = ["--dry-run=client", "-o", "json"];
        let planned = Plugin::safedrain(&self.ns).args([self.old.as_str()]).args(flags).args(dry).run().await;
        let plan: Value = serde_json::from_str(&planned.expect_code(0).stdout).unwrap();
        assert_eq!(plan["services"][0]["readyWorst"], json!(least), "{plan:#}");
        let mut recorder = EndpointRecorder::start(&self.ns).await;
        let run = Plugin::safedrain(&self.ns).args([self.old.as_str(), "--settle=0s"]).args(flags).run().await;
        recorder.stop().await;
        let fewest = recorder.fewest_ready("web");
        assert!(fewest as u64 >= least, "{:?}\n{run}", recorder.counts("web"));
        run
    }
}

#[tokio::test]
async fn a_stateful_sets_pods_leave_one_by_one_without_a_budget() {
    let scene = Scene::open("turns-sts", |ns| ns.stateful_set("web").ready_after("500ms")).await;
    let run = scene.keeps(2, &[]).await.expect_code(0);
    assert!(run.stderr.contains("goes when the last pod of its workload is replaced"), "the plan says so: {run}");
}

#[tokio::test]
async fn so_do_those_of_a_parallel_stateful_set() {
    let make = |set: &mut Value| set["spec"]["podManagementPolicy"] = json!("Parallel");
    let scene = Scene::open("turns-parallel", |ns| ns.stateful_set("web").ready_after("500ms").edit(make)).await;
    scene.keeps(2, &[]).await.expect_code(0);
}

#[tokio::test]
async fn a_deployment_that_allows_no_surge_loses_one_pod_at_a_time() {
    let scene =
        Scene::open("turns-no-surge", |ns| ns.deployment("web").ready_after("500ms").max_surge(0).max_unavailable(1))
            .await;
    scene.keeps(2, &[]).await.expect_code(0);
}

#[tokio::test]
async fn a_deployment_that_is_made_anew_as_a_whole_loses_one_pod_at_a_time() {
    let scene = Scene::open("turns-recreate", |ns| ns.deployment("web").ready_after("500ms").recreate()).await;
    scene.keeps(2, &[]).await.expect_code(0);
}

/// Two nodes of one run: the second one's pod waits for the first one's successor.
#[tokio::test]
async fn turns_are_taken_over_all_nodes_of_a_run() {
    let ns = Namespace::fresh(ControlPlane::shared(), "turns-nodes").await;
    let first = ns.node("one").create().await;
    ns.service("web").create().await;
    let apart = json!({ "podAntiAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [{
        "topologyKey": "kubernetes.io/hostname", "labelSelector": { "matchLabels": { "app": "web" } } }] } });
    let second = ns.node("two").create().await;
    ns.stateful_set("web").replicas(2).affinity(apart).ready_after("1s").exit_after("200ms").ready().await;
    ns.ready_endpoints("web", 2).await;
    ns.node("three").create().await;
    ns.node("four").create().await;
    let mut recorder = EndpointRecorder::start(&ns).await;
    let nodes = [first.as_str(), second.as_str(), "--settle=0s"];
    let run = Plugin::safedrain(&ns).args(nodes).run().await.expect_code(0);
    recorder.stop().await;
    assert_eq!(recorder.fewest_ready("web"), 1, "{run}");
}

/// A successor that never comes up: the pods that are left serve on.
#[tokio::test]
async fn the_others_stay_where_a_successor_does_not_come_up() {
    let make = |set: &mut Value| set["spec"]["updateStrategy"] = json!({ "type": "OnDelete" });
    let scene = Scene::open("turns-stuck", |ns| ns.stateful_set("web").edit(make)).await;
    let sick =
        json!({ "spec": { "template": { "metadata": { "annotations": { "handover.test/ready-after": "never" } } } } });
    Kubectl::run(&scene.ns, ["patch", "statefulset", "web", "-p", &sick.to_string()]).await.expect_code(0);
    let run = scene.keeps(2, &["--replacement-timeout=3s"]).await.expect_code(4);
    assert!(run.stderr.contains("last pod was not replaced in time"), "{run}");
    let mended =
        json!({ "spec": { "template": { "metadata": { "annotations": { "handover.test/ready-after": "0s" } } } } });
    Kubectl::run(&scene.ns, ["patch", "statefulset", "web", "-p", &mended.to_string()]).await.expect_code(0);
    let sick = Kubectl::run(&scene.ns, ["get", "pods", "-o", "json"]).await.expect_code(0);
    let sick: Value = serde_json::from_str(&sick.stdout).unwrap();
    let is_elsewhere = |pod: &&Value| pod["spec"]["nodeName"] != json!(scene.old);
    let sick = sick["items"].as_array().unwrap().iter().find(is_elsewhere).unwrap();
    let name = sick["metadata"]["name"].as_str().unwrap();
    Kubectl::run(&scene.ns, ["delete", "pod", name]).await.expect_code(0);
    scene.ns.ready_endpoints("web", 3).await;
    // The same command goes on.
    let mut recorder = EndpointRecorder::start(&scene.ns).await;
    Plugin::safedrain(&scene.ns).args([scene.old.as_str(), "--settle=0s"]).run().await.expect_code(0);
    recorder.stop().await;
    assert_eq!(recorder.fewest_ready("web"), 2);
}

/// The pods of a rollout are of one workload, whichever ReplicaSet has them.
#[tokio::test]
async fn a_rollout_that_has_one_pod_out_keeps_the_others_where_they_are() {
    let scene = Scene::open("turns-rollout", |ns| ns.deployment("web").max_surge(0).max_unavailable(1)).await;
    let sick =
        json!({ "spec": { "template": { "metadata": { "annotations": { "handover.test/ready-after": "never" } } } } });
    Kubectl::run(&scene.ns, ["patch", "deployment", "web", "-p", &sick.to_string()]).await.expect_code(0);
    scene.ns.ready_endpoints("web", 2).await;
    e2e::eventually("the new pod is there", std::time::Duration::from_secs(60), || async {
        let run = Kubectl::run(&scene.ns, ["get", "pods", "-l", "app=web", "-o", "name"]).await.expect_code(0);
        run.stdout.lines().count() == 3
    })
    .await;
    let mut recorder = EndpointRecorder::start(&scene.ns).await;
    let run = Plugin::safedrain(&scene.ns).args([scene.old.as_str(), "--timeout=5s"]).run().await.expect_code(4);
    recorder.stop().await;
    assert_eq!(recorder.fewest_ready("web"), 2, "{run}");
}
